/* The world of another process, read-only, through the descriptor that every process of a run keeps of it. */
#include "shm/world.h"

#include "base/fail.h"
#include "shm/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether a link in /proc/PID/fd leads to a segment of ours; opening anything else could have effects. */
static bool is_ours(const char *folder, const char *entry)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "%s/%.16s", folder, entry);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return false;
    target[length] = '\0';
    return strncmp(target, "/dev/shm/dionode-", 17) == 0 || strncmp(target, "/memfd:dionode ", 15) == 0;
}

/* The descriptor of the world in a folder of descriptors; -1 if none is there. */
static int open_world_in(const char *folder, DIR *entries)
{
    int descriptor = -1;
    for (struct dirent *entry; descriptor < 0 && (entry = readdir(entries));)
        if (is_ours(folder, entry->d_name))
            descriptor = openat(dirfd(entries), entry->d_name, O_RDONLY | O_CLOEXEC);
    return descriptor;
}

static dn_status map_read_only(int descriptor, int pid, dn_world **out)
{
    struct stat info;
    uint64_t magic = 0;
    if (fstat(descriptor, &info) != 0 || (uint64_t)info.st_size < sizeof(dn_control) ||
        pread(descriptor, &magic, sizeof magic, 0) != (ssize_t)sizeof magic || magic != DN_CONTROL_MAGIC)
        return dn_fail(DN_ERR_SYSTEM, "the shared memory of process %d is not of this version of the program",
                       pid);
    size_t bytes = (size_t)info.st_size;
    dn_control *control = mmap(NULL, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    if (control == MAP_FAILED)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "mapping the shared memory of process %d", pid);
    dn_world *world = malloc(sizeof *world);
    if (!world || control->bytes != bytes || control->n_ranks < 1 || control->n_ranks > DN_MAX_RANKS) {
        free(world);
        munmap(control, bytes);
        return dn_fail(DN_ERR_SYSTEM, "the shared memory of process %d cannot be read", pid);
    }
    *world = (dn_world){
        .control = control, .bytes = bytes, .n_ranks = (int)control->n_ranks, .descriptor = descriptor};
    *out = world;
    return DN_OK;
}

dn_status dn_world_look(int pid, dn_world **out)
{
    char folder[32];
    snprintf(folder, sizeof folder, "/proc/%d/fd", pid);
    DIR *entries = opendir(folder);
    if (!entries && errno == EACCES)
        return dn_fail(DN_ERR_SYSTEM, "process %d is another user's: ask as that user, or as root", pid);
    if (!entries)
        return dn_fail(DN_ERR_ARG, "there is no process %d", pid);
    int descriptor = open_world_in(folder, entries);
    closedir(entries);
    if (descriptor < 0)
        return dn_fail(DN_ERR_ARG, "process %d is neither a launcher nor a worker with shared memory of ours",
                       pid);
    dn_status status = map_read_only(descriptor, pid, out);
    if (status != DN_OK)
        close(descriptor);
    return status;
}
