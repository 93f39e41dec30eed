#include "base/atomic_file.h"

#include "base/fail.h"
#include "base/output.h"
#include "dionode/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Bytes of which write-back is begun, or waited for, at a time: on a slow disk that is the time between two signs
 * of life. And how many ranges are being written at most. */
enum { RANGE = 1 << 20, IN_FLIGHT = 16 };

static double megabytes(uint64_t bytes)
{
    return (double)bytes * 1e-6;
}

/* The directory part of a path, "." if there is none. dir holds PATH_MAX. */
static void parent_of(const char *path, char *dir)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        strcpy(dir, ".");
    else
        snprintf(dir, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* PATH.TAG.tmp; drawn, so that it is no file of the user's, nor of another writer of the same path. */
#define TAG_FORMAT "%08" PRIx32
enum { TAG_DIGITS = 8, SUFFIX = 1 + TAG_DIGITS + sizeof ".tmp" - 1 };

static uint32_t draw_tag(void)
{
    uint32_t tag;
    return getrandom(&tag, sizeof tag, GRND_NONBLOCK) == sizeof tag ? tag : (uint32_t)getpid();
}

static void temporary_name(const char *path, uint32_t tag, char *name)
{
    snprintf(name, PATH_MAX, "%s." TAG_FORMAT ".tmp", path, tag);
}

static int sync_all(int fd)
{
    int result;
    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result;
}

/* 0, or errno. */
static int sync_name(const char *path)
{
    char dir[PATH_MAX];
    parent_of(path, dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || (sync_all(fd) != 0 && errno != EINVAL) ? errno : 0; /* EINVAL: nothing to sync there */
    if (fd >= 0)
        close(fd);
    return error;
}

dn_status dn_name_sync(const char *path)
{
    char dir[PATH_MAX];
    parent_of(path, dir);
    int error = sync_name(path);
    return error == 0 ? DN_OK : dn_fail_errno(DN_ERR_IO, error, "cannot sync directory %s", dir);
}

/* 0, or errno of the part that could not be made, which `part` [PATH_MAX] is then. */
static int make_parts(const char *dir, char *part)
{
    strcpy(part, dir);
    for (char *end = part + 1;; end++) {
        char at = *end;
        if (at != '/' && at != '\0')
            continue;
        *end = '\0';
        bool made = mkdir(part, 0777) == 0;
        if (!made && errno != EEXIST)
            return errno;
        int error = made ? sync_name(part) : 0; /* else a power cut may take it away with all that was synced in it */
        if (error != 0 || at == '\0')
            return error;
        *end = at;
    }
}

dn_status dn_dir_make(const char *dir)
{
    char part[PATH_MAX];
    struct stat st;
    int error = ENOENT;
    if (strlen(dir) >= sizeof part || !*dir)
        return dn_fail(DN_ERR_IO, "'%s' is no directory name", dir);
    for (int i = 0; i < 100 && error == ENOENT; i++) { /* another process that fails may remove what it made */
        error = make_parts(dir, part);
        if (error == 0 && stat(dir, &st) != 0 && lstat(dir, &st) != 0)
            error = errno;
    }
    if (error != 0)
        return dn_fail_errno(DN_ERR_IO, error, "cannot make directory %s", part);
    if (S_ISLNK(st.st_mode))
        return dn_fail(DN_ERR_IO, "%s is in the way: a symbolic link that leads to no directory; choose another name", dir);
    if (!S_ISDIR(st.st_mode))
        return dn_fail(DN_ERR_IO, "%s is in the way: it is not a directory; choose another name", dir);
    return DN_OK;
}

/* Strips the last component of a path and the slashes around it. Returns the remaining length. */
static size_t strip(char *path)
{
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 0 && path[n - 1] == '/')
        n--;
    path[n] = 0;
    return n;
}

size_t dn_dir_existing(const char *dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    size_t n = strlen(path);
    while (n > 0 && access(path, F_OK) != 0)
        n = strip(path);
    return n;
}

void dn_dir_remove_made(const char *dir, size_t existing)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    for (size_t n = strlen(path); n > existing && rmdir(path) == 0;)
        n = strip(path);
}

FILE *dn_file_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (fd >= 0 && !file)
        close(fd);
    return file;
}

dn_status dn_dir_space(const char *dir, uint64_t *bytes)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot write in %s", dir);
    *bytes = fs.f_blocks > 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX;
    return DN_OK;
}

dn_status dn_dir_check_space(const char *dir, uint64_t bytes)
{
    uint64_t available = 0;
    DN_TRY(dn_dir_space(dir, &available));
    if (available < bytes)
        return dn_fail(
            DN_ERR_IO,
            "%s: %.1f MB are needed, only %.1f MB are free; free some space or choose another directory", dir,
            megabytes(bytes), megabytes(available));
    return DN_OK;
}

/* A file without a name can be given one later, or be opened by others, only through /proc: without that it is given up.
 * Returns the descriptor, or -1. */
static int seen_in_proc(int fd)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (fd >= 0 && access(link, F_OK) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
}

dn_status dn_atomic_file_open(const char *path, uint64_t expected_bytes, dn_atomic_file *out)
{
    *out = (dn_atomic_file){.fd = -1};
    DN_TRY(dn_descriptors_occupy());
    char dir[PATH_MAX], temporary[PATH_MAX];
    if (strlen(path) + SUFFIX >= PATH_MAX)
        return dn_fail(DN_ERR_IO, "path too long: %.200s...", path);
    dn_atomic_file f = {.path = strdup(path), .fd = -1, .tag = draw_tag(), .expected = expected_bytes};
    if (!f.path)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    parent_of(path, dir);
    temporary_name(path, f.tag, temporary);
    dn_status status = expected_bytes ? dn_dir_check_space(dir, expected_bytes) : DN_OK;
    if (status == DN_OK)
        f.fd = seen_in_proc(open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666));
    if (status == DN_OK && f.fd < 0) {
        f.fd = open(temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
        f.named = f.fd >= 0;
        if (f.fd < 0)
            status = dn_fail_errno(DN_ERR_IO, errno, "cannot write %s", path);
    }
    if (status == DN_OK)
        *out = f;
    else
        free(f.path);
    return status;
}

dn_status dn_atomic_file_open_memory(const char *path, uint64_t expected_bytes, dn_atomic_file *out)
{
    *out = (dn_atomic_file){.fd = -1};
    DN_TRY(dn_descriptors_occupy());
    int fd = seen_in_proc(memfd_create("draft", MFD_CLOEXEC));
    if (fd < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "%s: cannot be drafted in memory", path);
    *out = (dn_atomic_file){.path = strdup(path), .fd = fd, .expected = expected_bytes};
    if (out->path)
        return DN_OK;
    close(fd);
    return dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
}

static dn_status stopped(const dn_atomic_file *f, uint64_t at, int error)
{
    char of[64] = "";
    if (f->expected)
        snprintf(of, sizeof of, " of %.1f", megabytes(f->expected));
    return dn_fail_errno(DN_ERR_IO, error,
                         "%s: stopped after %.1f%s MB, nothing is left of it; free some space or choose "
                         "another directory",
                         f->path, megabytes(at), of);
}

static dn_status write_all(const dn_atomic_file *f, uint64_t offset, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t n = pwrite(f->fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return stopped(f, offset, n < 0 ? errno : ENOSPC);
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return DN_OK;
}

/* Only pace: where the file system cannot do it, the sync at the end does all the work. But an error that is
 * told here is told only once; the sync at the end would not know of it. */
static dn_status wait_for_range(const dn_atomic_file *f, uint64_t range)
{
    int result =
        sync_file_range(f->fd, (off_t)(range * RANGE), RANGE,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    bool lost = result != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT);
    return lost ? stopped(f, f->bytes, errno) : DN_OK;
}

static dn_status write_behind(const dn_atomic_file *f, uint64_t before)
{
    for (uint64_t range = before / RANGE; range < f->bytes / RANGE; range++) {
        sync_file_range(f->fd, (off_t)(range * RANGE), RANGE, SYNC_FILE_RANGE_WRITE);
        if (range >= IN_FLIGHT)
            DN_TRY(wait_for_range(f, range - IN_FLIGHT));
    }
    return DN_OK;
}

dn_status dn_atomic_file_append(dn_atomic_file *f, const void *data, size_t bytes)
{
    DN_TRY(write_all(f, f->bytes, data, bytes));
    return dn_atomic_file_advance(f, bytes);
}

dn_status dn_atomic_file_advance(dn_atomic_file *f, size_t bytes)
{
    uint64_t before = f->bytes;
    f->bytes += bytes;
    return write_behind(f, before);
}

dn_status dn_atomic_file_write(dn_atomic_file *f, uint64_t offset, const void *data, size_t bytes)
{
    return write_all(f, offset, data, bytes);
}

dn_status dn_atomic_file_read(dn_atomic_file *f, uint64_t offset, void *data, size_t bytes)
{
    char *at = data;
    while (bytes > 0) {
        ssize_t n = pread(f->fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return dn_fail_errno(DN_ERR_IO, n < 0 ? errno : EIO, "%s: what was written cannot be read back",
                                 f->path);
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return DN_OK;
}

dn_status dn_atomic_file_seal(dn_atomic_file *f, void (*tick)(void *), void *context)
{
    uint64_t n_ranges = (f->bytes + RANGE - 1) / RANGE;
    for (uint64_t range = n_ranges > IN_FLIGHT ? n_ranges - IN_FLIGHT - 1 : 0; tick && range < n_ranges;
         range++) {
        DN_TRY(wait_for_range(f, range));
        tick(context);
    }
    return sync_all(f->fd) == 0 ? DN_OK : stopped(f, f->bytes, errno);
}

static dn_status give_name(dn_atomic_file *f)
{
    char temporary[PATH_MAX], link[64];
    temporary_name(f->path, f->tag, temporary);
    snprintf(link, sizeof link, "/proc/self/fd/%d", f->fd);
    if (!f->named && linkat(AT_FDCWD, link, AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) != 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot create %s", temporary);
    f->named = true;
    return DN_OK;
}

/* A program that has privileges of its own (setcap) keeps its /proc to itself. */
dn_status dn_atomic_file_share(dn_atomic_file *f, dn_atomic_file_place *place)
{
    if (prctl(PR_GET_DUMPABLE) != 1)
        DN_TRY(give_name(f));
    *place = (dn_atomic_file_place){.pid = (int)getpid(), .fd = f->fd, .named = f->named, .tag = f->tag};
    return DN_OK;
}

dn_status dn_atomic_file_join(const char *path, dn_atomic_file_place place, uint64_t expected_bytes, dn_atomic_file *out)
{
    *out = (dn_atomic_file){.fd = -1};
    DN_TRY(dn_descriptors_occupy());
    dn_atomic_file f = {.path = strdup(path), .expected = expected_bytes};
    char name[PATH_MAX];
    if (!f.path)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    if (place.named)
        temporary_name(path, place.tag, name);
    else
        snprintf(name, sizeof name, "/proc/%d/fd/%d", place.pid, place.fd);
    do
        f.fd = open(name, O_WRONLY | O_CLOEXEC);
    while (f.fd < 0 && errno == EINTR);
    if (f.fd < 0) {
        int error = errno;
        free(f.path);
        return dn_fail_errno(DN_ERR_IO, error, "%s: cannot open %s, which another worker writes", path, name);
    }
    *out = f;
    return DN_OK;
}

dn_status dn_atomic_file_publish(dn_atomic_file *f)
{
    char temporary[PATH_MAX];
    DN_TRY(give_name(f));
    temporary_name(f->path, f->tag, temporary);
    if (rename(temporary, f->path) != 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot rename %s", temporary);
    f->named = false;
    DN_TRY(dn_name_sync(f->path));
    dn_atomic_file_discard(f);
    return DN_OK;
}

void dn_atomic_file_discard(dn_atomic_file *f)
{
    if (!f->path)
        return;
    close(f->fd);
    if (f->named) {
        char temporary[PATH_MAX];
        temporary_name(f->path, f->tag, temporary);
        unlink(temporary);
    }
    free(f->path);
    *f = (dn_atomic_file){.fd = -1};
}

dn_status dn_atomic_file_end(dn_atomic_file *f, dn_status status)
{
    if (status == DN_OK)
        status = dn_atomic_file_seal(f, NULL, NULL);
    if (status == DN_OK)
        status = dn_atomic_file_publish(f);
    dn_atomic_file_discard(f);
    return status;
}

/* Closes `out`. */
static dn_status print_all(FILE *out, const char *path, void (*print)(FILE *, void *), void *context)
{
    if (!out)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot write '%s'", path);
    char name[PATH_MAX + 2];
    snprintf(name, sizeof name, "'%s'", path);
    errno = 0;
    print(out, context);
    dn_status status = dn_flush_named(out, name, ferror(out) ? errno : 0);
    if (fclose(out) != 0 && status == DN_OK)
        status = dn_fail_errno(DN_ERR_IO, errno, "cannot write %s", name);
    return status;
}

dn_status dn_atomic_file_print(const char *path, void (*print)(FILE *, void *), void *context)
{
    char target[PATH_MAX], dir[PATH_MAX];
    struct stat st;
    parent_of(path, dir);
    if (access(dir, F_OK) != 0)
        DN_TRY(dn_dir_make(dir));
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* /dev/stdout, a pipe: what passes there cannot be replaced */
        return print_all(fopen(path, "we"), path, print, context);
    if (!realpath(path, target)) /* else a symbolic link would be replaced, not what it leads to */
        snprintf(target, sizeof target, "%s", path);
    dn_atomic_file f;
    DN_TRY(dn_atomic_file_open(target, 0, &f));
    int fd = fcntl(f.fd, F_DUPFD_CLOEXEC, 0);
    dn_status status = print_all(fd >= 0 ? fdopen(fd, "w") : NULL, path, print, context);
    return dn_atomic_file_end(&f, status);
}

int dn_atomic_link(const char *from, const char *path)
{
    char temporary[PATH_MAX];
    temporary_name(path, draw_tag(), temporary);
    int error = link(from, temporary) == 0 ? 0 : errno;
    if (error == 0) {
        error = rename(temporary, path) == 0 ? 0 : errno;
        unlink(temporary); /* also there after a success, if both were names of one file already */
    }
    return error;
}

void dn_atomic_file_clean(const char *dir, bool (*is_ours)(const char *name))
{
    DIR *stream = opendir(dir);
    if (!stream)
        return;
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        char path[PATH_MAX], name[NAME_MAX + 1];
        size_t n = strlen(entry->d_name);
        const char *suffix = entry->d_name + n - SUFFIX;
        if (n <= SUFFIX || *suffix != '.' || strspn(suffix + 1, "0123456789abcdef") != TAG_DIGITS ||
            strcmp(suffix + 1 + TAG_DIGITS, ".tmp") != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(n - SUFFIX), entry->d_name);
        if (is_ours(name) && (size_t)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) < sizeof path)
            unlink(path);
    }
    closedir(stream);
}
