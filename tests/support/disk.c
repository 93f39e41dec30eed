#include "support/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

struct disk disk = {-1, -1, false, 0};

static bool disk_is_full(size_t *bytes)
{
    if (disk.room < 0)
        return false;
    if ((int64_t)*bytes > disk.room)
        *bytes = (size_t)disk.room;
    disk.room -= (int64_t)*bytes;
    if (*bytes > 0)
        return false;
    errno = ENOSPC;
    return true;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    return disk_is_full(&bytes) ? -1 : syscall(SYS_pwrite64, fd, data, bytes, offset);
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    return disk_is_full(&bytes) ? -1 : syscall(SYS_write, fd, data, bytes);
}

int fsync(int fd)
{
    disk.syncs++;
    return 0;
}

int sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags)
{
    return 0;
}

int statvfs(const char *restrict path, struct statvfs *restrict out)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    int result = fstatvfs(fd, out);
    close(fd);
    if (disk.free_claimed >= 0)
        out->f_bavail = (fsblkcnt_t)disk.free_claimed / out->f_frsize;
    return result;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = va_arg(args, int);
    va_end(args);
    if (disk.no_nameless && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
