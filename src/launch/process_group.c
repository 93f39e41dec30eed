#include "launch/process_group.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "PID (NAME) STATE PARENT GROUP ...", where NAME may hold anything. */
static bool is_living_member(const char *entry, pid_t group)
{
    char path[64], line[512], state = 'Z';
    int of = 0;
    snprintf(path, sizeof path, "/proc/%.16s/stat", entry);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    line[fread(line, 1, sizeof line - 1, file)] = '\0';
    fclose(file);
    const char *name_end = strrchr(line, ')');
    return name_end && sscanf(name_end + 1, " %c %*d %d", &state, &of) == 2 && of == group && state != 'Z' &&
           state != 'X';
}

/* kill() alone would count zombies, which stay where the container's first process does not reap. It is tried
 * first because it is fast in the usual case of an empty group. */
bool dn_process_group_lives(pid_t group)
{
    if (kill(-group, 0) != 0)
        return false;
    DIR *processes = opendir("/proc");
    if (!processes)
        return true;
    bool lives = false;
    for (struct dirent *entry; !lives && (entry = readdir(processes));)
        lives = atoi(entry->d_name) > 0 && is_living_member(entry->d_name, group);
    closedir(processes);
    return lives;
}
