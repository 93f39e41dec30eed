/*
 * Linked before a program with --wrap: the N-th call of one function fails, as the environment says.
 *
 *     FAIL_CALL=NAME FAIL_AT=N   which call; "hit NAME N" is written to standard output when it comes
 *     FAIL_IN=launcher|RANK      in which process
 *     FAIL_SHM=1                 /dev/shm has no room, so that anonymous memory is taken
 *
 * Only calls from the program's own objects and the library's are counted, not those of foreign libraries.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

#include <hwloc.h>

static bool is_this_process(void)
{
    const char *where = getenv("FAIL_IN"), *rank = getenv("RANK");
    return where && strcmp(where, rank ? rank : "launcher") == 0;
}

/* Whether this call of `name` is the one that fails. */
static bool fails(const char *name)
{
    static int n_calls;
    char line[64];
    const char *call = getenv("FAIL_CALL"), *at = getenv("FAIL_AT");
    if (!call || !at || strcmp(call, name) != 0 || !is_this_process() || ++n_calls != atoi(at))
        return false;
    int length = snprintf(line, sizeof line, "hit %s %d\n", name, n_calls);
    return write(1, line, (size_t)length) == length;
}

#define FAIL_WITH(name, error, value)                                                                        \
    do {                                                                                                     \
        if (fails(name)) {                                                                                   \
            errno = error;                                                                                   \
            return value;                                                                                    \
        }                                                                                                    \
    } while (0)

/* A function that reports by errno. */
#define WRAP(type, name, parameters, arguments, error, value)                                                \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        FAIL_WITH(#name, error, value);                                                                      \
        return __real_##name arguments;                                                                      \
    }

WRAP(void *, mmap64, (void *at, size_t n, int protection, int flags, int fd, off_t offset),
     (at, n, protection, flags, fd, offset), ENOMEM, MAP_FAILED)
WRAP(int, shm_open, (const char *name, int flags, mode_t mode), (name, flags, mode), EMFILE, -1)
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, -1)
WRAP(int, ftruncate64, (int fd, off_t length), (fd, length), ENOSPC, -1)
WRAP(int, madvise, (void *at, size_t n, int advice), (at, n, advice), ENOMEM, -1)
WRAP(pid_t, fork, (void), (), EAGAIN, -1)
WRAP(int, pidfd_open, (pid_t pid, unsigned flags), (pid, flags), EMFILE, -1)
WRAP(int, pipe2, (int ends[2], int flags), (ends, flags), EMFILE, -1)
WRAP(int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags), EMFILE, -1)
WRAP(int, eventfd, (unsigned count, int flags), (count, flags), EMFILE, -1)
WRAP(int, flock, (int fd, int operation), (fd, operation), ENOLCK, -1)
WRAP(void *, malloc, (size_t n), (n), ENOMEM, NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), ENOMEM, NULL)
WRAP(int, hwloc_set_cpubind, (hwloc_topology_t topology, hwloc_const_cpuset_t set, int flags),
     (topology, set, flags), EPERM, -1)
WRAP(int, hwloc_set_membind,
     (hwloc_topology_t topology, hwloc_const_bitmap_t set, hwloc_membind_policy_t policy, int flags),
     (topology, set, policy, flags), EPERM, -1)

/* Functions that return the error. */
int __real_posix_fallocate64(int fd, off_t offset, off_t length);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t length);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t length)
{
    return fails("posix_fallocate64") ? ENOSPC : __real_posix_fallocate64(fd, offset, length);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *context)
{
    return fails("pthread_create") ? EAGAIN : __real_pthread_create(thread, how, run, context);
}

int __real_statvfs64(const char *path, struct statvfs *info);
int __wrap_statvfs64(const char *path, struct statvfs *info);
int __wrap_statvfs64(const char *path, struct statvfs *info)
{
    int result = __real_statvfs64(path, info);
    if (getenv("FAIL_SHM")) {
        info->f_blocks = 1;
        info->f_bavail = 0;
    }
    return result;
}
