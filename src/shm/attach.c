/*
 * The world of another process, read-only, through the descriptor that every process of a run keeps of it.
 *
 * That process is not trusted: nothing of it is mapped, as reading a mapped file that its owner truncates
 * raises SIGBUS. The control page is copied, and the copy checked before it is used.
 */
#include "shm/world.h"

#include "base/fail.h"
#include "shm/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether a link in /proc/PID/fd leads to a segment of Dionode; opening anything else could have effects. */
static bool is_segment(const char *folder, const char *entry)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "%s/%.16s", folder, entry);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return false;
    target[length] = '\0';
    return strncmp(target, "/dev/shm/dionode-", 17) == 0 || strncmp(target, "/memfd:dionode ", 15) == 0;
}

/* The descriptor of the world in a folder of descriptors; -1 if there is none. Others with such a name, like
 * a pipe, are skipped. */
static int open_segment(const char *folder, DIR *entries)
{
    for (struct dirent *entry; (entry = readdir(entries));) {
        struct stat info;
        if (!is_segment(folder, entry->d_name))
            continue;
        int descriptor = openat(dirfd(entries), entry->d_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (descriptor >= 0 && fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode))
            return descriptor;
        if (descriptor >= 0)
            close(descriptor);
    }
    return -1;
}

/* Takes the descriptor. */
static dn_status copy_world(int descriptor, int pid, dn_world **out)
{
    dn_control *control = aligned_alloc(_Alignof(dn_control), sizeof *control);
    dn_world *world = malloc(sizeof *world);
    struct stat info;
    if (control && world && pread(descriptor, control, sizeof *control, 0) == (ssize_t)sizeof *control &&
        control->magic == DN_CONTROL_MAGIC && fstat(descriptor, &info) == 0 &&
        control->bytes == (uint64_t)info.st_size && control->n_ranks >= 1 &&
        control->n_ranks <= DN_MAX_RANKS) {
        *world = (dn_world){.control = control,
                            .bytes = control->bytes,
                            .n_ranks = (int)control->n_ranks,
                            .descriptor = descriptor,
                            .is_copy = true};
        *out = world;
        return DN_OK;
    }
    free(world);
    free(control);
    close(descriptor);
    return dn_fail(
        DN_ERR_SYSTEM,
        "cannot read the shared memory of process %d: it is damaged, or of another version of Dionode", pid);
}

dn_status dn_world_attach_pid(int pid, dn_world **out)
{
    char folder[32];
    snprintf(folder, sizeof folder, "/proc/%d/fd", pid);
    DIR *entries = opendir(folder);
    if (!entries && errno == EACCES)
        return dn_fail(DN_ERR_SYSTEM, "process %d is another user's: run as that user, or as root", pid);
    if (!entries)
        return dn_fail(DN_ERR_ARG, "there is no process %d", pid);
    int descriptor = open_segment(folder, entries);
    closedir(entries);
    if (descriptor < 0)
        return dn_fail(DN_ERR_ARG, "process %d is neither a launcher nor a worker of Dionode", pid);
    return copy_world(descriptor, pid, out);
}
