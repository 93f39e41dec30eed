/* A disk on which every byte takes its time, for whoever preloads this: SLOW_NS nanoseconds a byte, for reads of
 * more than 64 KiB and for what is synced. With DISK_GATE none of more than 64 KiB is written before the file of that name is
 * there. Files in memory are none of the disk's. The names are those of large files: pread64, pwrite64. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static uint64_t unsynced; /* bytes written and not yet synced; files are written one at a time */

static void take_time(uint64_t bytes)
{
    const char *text = getenv("SLOW_NS");
    uint64_t ns = bytes * (text ? strtoull(text, NULL, 10) : 0);
    nanosleep(&(struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)}, NULL);
}

static bool on_disk(int fd)
{
    char link[64], target[16] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, target, sizeof target - 1) < 0 || strncmp(target, "/memfd:", 7) != 0;
}

static void wait_at_the_gate(void)
{
    const char *gate = getenv("DISK_GATE");
    while (gate && access(gate, F_OK) != 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

__attribute__((visibility("default"))) ssize_t pread(int fd, void *out, size_t bytes, off_t offset)
{
    ssize_t (*real)(int, void *, size_t, off_t) = (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread64");
    ssize_t n = real(fd, out, bytes, offset);
    if (n > 65536 && on_disk(fd))
        take_time((uint64_t)n);
    return n;
}

__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    ssize_t (*real)(int, const void *, size_t, off_t) =
        (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    const bool counts = bytes > 65536 && on_disk(fd);
    if (counts)
        wait_at_the_gate();
    ssize_t n = real(fd, data, bytes, offset);
    if (counts && n > 0)
        unsynced += (uint64_t)n;
    return n;
}

/* Waits for the range as a disk that has just begun with it; starting one costs nothing. */
__attribute__((visibility("default"))) int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags)
{
    uint64_t done = (uint64_t)bytes < unsynced ? (uint64_t)bytes : unsynced;
    (void)fd, (void)offset;
    if (flags & SYNC_FILE_RANGE_WAIT_AFTER) {
        take_time(done);
        unsynced -= done;
    }
    return 0;
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    (void)fd;
    take_time(unsynced);
    unsynced = 0;
    return 0;
}
