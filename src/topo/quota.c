#include "topo/quota.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* First line of directory/name, without its newline. */
static bool read_line(const char *directory, const char *name, char *line, int bytes)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool read = fgets(line, bytes, file) != NULL;
    fclose(file);
    return read;
}

/* The limit of one group; 0 if it sets none. */
static double limit_of(const char *directory)
{
    char line[128];
    double quota = 0, period = 0;
    if (read_line(directory, "cpu.max", line, sizeof line))
        return sscanf(line, "%lf %lf", &quota, &period) == 2 && period > 0 ? quota / period : 0;
    if (read_line(directory, "cpu.cfs_quota_us", line, sizeof line) && sscanf(line, "%lf", &quota) == 1 &&
        quota > 0 && read_line(directory, "cpu.cfs_period_us", line, sizeof line) &&
        sscanf(line, "%lf", &period) == 1 && period > 0)
        return quota / period;
    return 0;
}

/* The smallest limit of `group` (a path below mount, starting with '/') and its ancestors up to mount. */
static double least_limit(const char *mount, const char *group)
{
    char directory[PATH_MAX];
    size_t root = strlen(mount);
    if (snprintf(directory, sizeof directory, "%s%s", mount, group) >= (int)sizeof directory)
        return 0;
    double least = 0;
    for (;;) {
        double limit = limit_of(directory);
        if (limit > 0 && (least == 0 || limit < least))
            least = limit;
        char *slash = strrchr(directory, '/');
        if (strlen(directory) <= root || !slash)
            return least;
        *slash = '\0';
    }
}

/* Where the hierarchy of a line of /proc/self/cgroup may be mounted below /sys/fs/cgroup: version 2, without
 * controller names, at the top or, beside version 1, in "unified"; version 1 under its controllers' names.
 * Returns the number of names. */
static int mounts_of(const char *controllers, const char *names[2])
{
    if (*controllers == '\0') {
        names[0] = "";
        names[1] = "/unified";
        return 2;
    }
    char list[128];
    snprintf(list, sizeof list, ",%s,", controllers);
    names[0] = "/cpu";
    names[1] = "/cpu,cpuacct";
    return strstr(list, ",cpu,") ? 2 : 0;
}

double dn_quota_read(const char *root)
{
    char path[PATH_MAX], line[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= (int)sizeof path)
        return 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    double least = 0;
    while (fgets(line, sizeof line, file)) { /* "number:controllers:/group" */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        const char *names[2];
        int n_names = mounts_of(controllers + 1, names);
        for (int i = 0; i < n_names; i++) {
            char mount[PATH_MAX];
            if (snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, names[i]) >= (int)sizeof mount)
                continue;
            double limit = least_limit(mount, group);
            if (limit > 0 && (least == 0 || limit < least))
                least = limit;
        }
    }
    fclose(file);
    return least;
}
