/*
 * Preloaded into a program (LD_PRELOAD), stands between it and the files below one folder. It makes the N-th
 * call of a kind fail, and records every call that changes a file or a directory, in order, so that a test can
 * rebuild what a power cut would have left. It knows nothing of the program: whoever rewrites the code that
 * writes need not touch it.
 *
 *     DISK_UNDER     absolute path of the folder; without it the library does nothing
 *     DISK_TRACE     takes a line "ROLE KIND FUNCTION NAME" for each counted call; "hit NAME" for those that fail
 *     DISK_FAIL      kind of the call that fails: open, read, write, sync, rename, link, unlink, mkdir, close,
 *                    truncate
 *     DISK_AT        which of them, from 1 on, in each process of DISK_ROLE; 0: all of them
 *     DISK_ROLE      "launcher", or a worker's rank; the process that suffers
 *     DISK_ERROR     errno of the failing call; 0: it transfers half (read, write)
 *     DISK_NAMELESS  "no": O_TMPFILE is refused, as some file systems do
 *     DISK_RECORD    file that takes the operations (see `note`)
 *
 * All variants of a function (64, at, v, fortified) end in one place here and go to the kernel from there. A
 * file is known by its inode, since it may have no name yet. What passes us by (mappings, io_uring) shows in
 * power_cut.py: what was recorded must add up to what is on the disk.
 */
#undef _FILE_OFFSET_BITS /* open and open64 are two names here */
#undef _FORTIFY_SOURCE

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_PARTS = 64 }; /* of a vectored call; longer ones are cut short, which is allowed */

static struct {
    bool ready;
    char under[PATH_MAX];
    char role[16];
    const char *fail;
    unsigned at, seen;
    int error;
    bool nameless;
    int trace, record;
} disk = {.trace = -1, .record = -1};

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

static const char *text(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static int open_log(const char *name)
{
    const char *path = text(name);
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    return *path ? (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0666) : -1;
}

/* Constructors of other libraries may come before ours. */
static bool active(void)
{
    if (!disk.ready) {
        disk.ready = true;
        snprintf(disk.under, sizeof disk.under, "%s", text("DISK_UNDER"));
        snprintf(disk.role, sizeof disk.role, "%s", *text("RANK") ? text("RANK") : "launcher");
        disk.fail = strcmp(text("DISK_ROLE"), disk.role) == 0 ? text("DISK_FAIL") : "";
        disk.at = (unsigned)atoi(text("DISK_AT"));
        disk.error = atoi(text("DISK_ERROR"));
        disk.nameless = strcmp(text("DISK_NAMELESS"), "no") != 0;
        disk.trace = open_log("DISK_TRACE");
        disk.record = open_log("DISK_RECORD");
    }
    return *disk.under;
}

static __attribute__((constructor)) void begin(void)
{
    active();
}

/* The folder that a path relative to `dir` starts from, to out [PATH_MAX]; false: it has none. */
static bool starting_point(int dir, char *out)
{
    char name[64];
    if (dir == AT_FDCWD)
        return getcwd(out, PATH_MAX);
    snprintf(name, sizeof name, "/proc/self/fd/%d", dir);
    ssize_t n = readlink(name, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The path below the folder, in room [PATH_MAX], or NULL if it lies elsewhere. */
static const char *below(int dir, const char *path, char *room)
{
    char start[PATH_MAX] = "", full[2 * PATH_MAX];
    if (!active() || (path[0] != '/' && !starting_point(dir, start)))
        return NULL;
    snprintf(full, sizeof full, "%s%s%s", start, path[0] == '/' ? "" : "/", path);
    size_t n = strlen(disk.under);
    if (strncmp(full, disk.under, n) != 0 || (full[n] != '/' && full[n] != '\0'))
        return NULL;
    snprintf(room, PATH_MAX, "%s", full[n] ? full + n + 1 : ".");
    return room;
}

/* The same for an open file. One without a name has one all the same: that of its folder, and a number. */
static const char *below_fd(int fd, char *room)
{
    char path[PATH_MAX];
    return active() && starting_point(fd, path) && path[0] == '/' ? below(AT_FDCWD, path, room) : NULL;
}

static void put(int fd, const char *line, size_t n)
{
    if (fd >= 0 && syscall(SYS_write, fd, line, n) != (ssize_t)n)
        abort(); /* a test without its records proves nothing */
}

/* Counts a call; true: it must fail. errno is set then, unless it is to transfer half. */
static bool fails_in(const char *kind, const char *function, const char *name)
{
    bool counts = strcmp(kind, disk.fail) == 0;
    bool hit = counts && (__atomic_add_fetch(&disk.seen, 1, __ATOMIC_RELAXED) == disk.at || disk.at == 0);
    char line[2 * PATH_MAX];
    int n = snprintf(line, sizeof line, "%s %s %s %s%s\n", disk.role, kind, function, hit ? "hit " : "", name);
    put(disk.trace, line, (size_t)n);
    if (hit)
        errno = disk.error;
    return hit;
}

#define fails(kind, name) fails_in(kind, __func__, name)

/* What happens to files happens in one order, in all processes, and is noted in that order. */
static void enter(void)
{
    pthread_mutex_lock(&order);
    if (disk.record >= 0)
        syscall(SYS_flock, disk.record, LOCK_EX);
}

static void leave(void)
{
    int error = errno;
    if (disk.record >= 0)
        syscall(SYS_flock, disk.record, LOCK_UN);
    pthread_mutex_unlock(&order);
    errno = error;
}

/*
 * One operation a line, its name first:
 *     create INODE | entry PATH INODE | directory PATH INODE | rename FROM TO | remove PATH
 *     write INODE OFFSET HEX | truncate INODE BYTES | sync INODE | sync-all | unknown FUNCTION
 */
static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
    if (disk.record < 0)
        return;
    char line[3 * PATH_MAX];
    int error = errno;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    put(disk.record, line, (size_t)n);
    errno = error;
}

static uint64_t inode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static uint64_t inode_at(int dir, const char *path)
{
    struct stat st;
    return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_ino : 0;
}

/* ---- open and close ---- */

static int do_open(int dir, const char *path, int flags, mode_t mode)
{
    char room[PATH_MAX];
    const char *name = below(dir, path, room);
    if (!name)
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    bool temporary = (flags & O_TMPFILE) == O_TMPFILE;
    if (temporary && !disk.nameless) {
        errno = EOPNOTSUPP;
        return -1;
    }
    if (fails("open", name))
        return -1;
    enter();
    uint64_t before = inode_at(dir, path);
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (fd >= 0 && (temporary || (!before && (flags & O_CREAT)))) {
        note("create %" PRIu64 "\n", inode_of(fd));
        if (!temporary)
            note("entry %s %" PRIu64 "\n", name, inode_of(fd));
    } else if (fd >= 0 && (flags & O_TRUNC)) {
        note("truncate %" PRIu64 " 0\n", inode_of(fd));
    }
    leave();
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return do_open(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return do_open(dir, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));
int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags) __attribute__((alias("__openat_2")));

int __open_2(const char *path, int flags)
{
    return do_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dir, const char *path, int flags)
{
    return do_open(dir, path, flags, 0);
}

/* The descriptor is gone all the same, as on Linux. */
int close(int fd)
{
    char room[PATH_MAX];
    const char *name = below_fd(fd, room);
    bool failing = name && fails("close", name);
    int error = errno, result = (int)syscall(SYS_close, fd);
    if (!failing)
        return result;
    errno = error;
    return -1;
}

/* ---- reading ---- */

static ssize_t do_read(int fd, const struct iovec *parts, int n, off_t offset)
{
    char room[PATH_MAX];
    const char *name = below_fd(fd, room);
    struct iovec half;
    if (name && fails("read", name)) {
        if (disk.error)
            return -1;
        half = (struct iovec){parts[0].iov_base, (parts[0].iov_len + 1) / 2};
        parts = &half;
        n = 1;
    }
    if (n > MOST_PARTS)
        n = MOST_PARTS;
    return syscall(SYS_preadv2, fd, parts, n, offset, 0, 0);
}

ssize_t read(int fd, void *to, size_t bytes)
{
    return do_read(fd, &(struct iovec){to, bytes}, 1, -1);
}

ssize_t pread(int fd, void *to, size_t bytes, off_t offset)
{
    return do_read(fd, &(struct iovec){to, bytes}, 1, offset);
}

ssize_t readv(int fd, const struct iovec *parts, int n)
{
    return do_read(fd, parts, n, -1);
}

ssize_t preadv(int fd, const struct iovec *parts, int n, off_t offset)
{
    return do_read(fd, parts, n, offset);
}

ssize_t pread64(int fd, void *to, size_t bytes, off64_t offset) __attribute__((alias("pread")));
ssize_t preadv64(int fd, const struct iovec *parts, int n, off64_t offset) __attribute__((alias("preadv")));

ssize_t __read_chk(int fd, void *to, size_t bytes, size_t room);
ssize_t __pread_chk(int fd, void *to, size_t bytes, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *to, size_t bytes, off64_t offset, size_t room)
    __attribute__((alias("__pread_chk")));

ssize_t __read_chk(int fd, void *to, size_t bytes, size_t room)
{
    return bytes <= room ? read(fd, to, bytes) : (abort(), -1);
}

ssize_t __pread_chk(int fd, void *to, size_t bytes, off_t offset, size_t room)
{
    return bytes <= room ? pread(fd, to, bytes, offset) : (abort(), -1);
}

static ssize_t stream_read(void *cookie, char *to, size_t bytes)
{
    return read((int)(intptr_t)cookie, to, bytes);
}

static int stream_seek(void *cookie, off64_t *offset, int whence)
{
    *offset = lseek((int)(intptr_t)cookie, *offset, whence);
    return *offset < 0 ? -1 : 0;
}

static int stream_close(void *cookie)
{
    return close((int)(intptr_t)cookie);
}

/* The C library reads streams by calls that cannot be replaced; ours reads by `read`. It has no fileno(). */
FILE *fopen(const char *path, const char *mode)
{
    char room[PATH_MAX];
    bool ours = below(AT_FDCWD, path, room);
    if (ours && mode[0] == 'r' && !strchr(mode, '+')) {
        int fd = open(path, O_RDONLY | (strchr(mode, 'e') ? O_CLOEXEC : 0));
        const cookie_io_functions_t calls = {.read = stream_read, .seek = stream_seek, .close = stream_close};
        return fd < 0 ? NULL : fopencookie((void *)(intptr_t)fd, "r", calls);
    }
    if (ours)
        note("unknown fopen\n");
    FILE *(*plain)(const char *, const char *);
    *(void **)&plain = dlsym(RTLD_NEXT, "fopen");
    return plain(path, mode);
}

FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));

DIR *opendir(const char *path)
{
    char room[PATH_MAX];
    const char *name = below(AT_FDCWD, path, room);
    if (name && fails("open", name))
        return NULL;
    DIR *(*plain)(const char *);
    *(void **)&plain = dlsym(RTLD_NEXT, "opendir");
    return plain(path);
}

struct dirent *readdir(DIR *dir)
{
    char room[PATH_MAX];
    const char *name = below_fd(dirfd(dir), room);
    if (name && fails("read", name) && disk.error)
        return NULL;
    struct dirent *(*plain)(DIR *);
    *(void **)&plain = dlsym(RTLD_NEXT, "readdir");
    return plain(dir);
}

struct dirent64 *readdir64(DIR *dir)
{
    return (struct dirent64 *)readdir(dir);
}

/* ---- writing ---- */

static void note_bytes(uint64_t inode, off_t offset, const struct iovec *parts, size_t bytes)
{
    static const char digit[] = "0123456789abcdef";
    char hex[1 << 12];
    note("write %" PRIu64 " %jd ", inode, (intmax_t)offset);
    size_t n = 0;
    for (; bytes > 0; parts++)
        for (size_t i = 0; i < parts->iov_len && bytes > 0; i++, bytes--) {
            unsigned char byte = ((const unsigned char *)parts->iov_base)[i];
            hex[n++] = digit[byte >> 4];
            hex[n++] = digit[byte & 15];
            if (n == sizeof hex) {
                put(disk.record, hex, n);
                n = 0;
            }
        }
    hex[n++] = '\n';
    put(disk.record, hex, n);
}

/* offset -1: where the descriptor stands. */
static ssize_t do_write(int fd, const struct iovec *parts, int n, off_t offset)
{
    char room[PATH_MAX];
    const char *name = below_fd(fd, room);
    struct iovec half;
    if (name && fails("write", name)) {
        if (disk.error)
            return -1;
        half = (struct iovec){parts[0].iov_base, (parts[0].iov_len + 1) / 2};
        parts = &half;
        n = 1;
    }
    if (n > MOST_PARTS)
        n = MOST_PARTS;
    if (!name)
        return syscall(SYS_pwritev2, fd, parts, n, offset, 0, 0);
    enter();
    ssize_t written = syscall(SYS_pwritev2, fd, parts, n, offset, 0, 0);
    if (written > 0 && disk.record >= 0) {
        int error = errno;
        off_t at = offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR) - written;
        note_bytes(inode_of(fd), at, parts, (size_t)written);
        errno = error;
    }
    leave();
    return written;
}

ssize_t write(int fd, const void *from, size_t bytes)
{
    return do_write(fd, &(struct iovec){(void *)from, bytes}, 1, -1);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t offset)
{
    return do_write(fd, &(struct iovec){(void *)from, bytes}, 1, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    return do_write(fd, parts, n, -1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset)
{
    return do_write(fd, parts, n, offset);
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t offset) __attribute__((alias("pwrite")));
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset) __attribute__((alias("pwritev")));

int ftruncate(int fd, off_t bytes)
{
    char room[PATH_MAX];
    const char *name = below_fd(fd, room);
    if (name && fails("truncate", name))
        return -1;
    enter();
    int result = (int)syscall(SYS_ftruncate, fd, bytes);
    if (name && result == 0)
        note("truncate %" PRIu64 " %jd\n", inode_of(fd), (intmax_t)bytes);
    leave();
    return result;
}

int truncate(const char *path, off_t bytes)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = ftruncate(fd, bytes);
    close(fd);
    return result;
}

int ftruncate64(int fd, off64_t bytes) __attribute__((alias("ftruncate")));
int truncate64(const char *path, off64_t bytes) __attribute__((alias("truncate")));

/* ---- syncing: data of a file or entries of a directory, whichever the inode is ---- */

static int do_sync(long call, int fd)
{
    char room[PATH_MAX];
    const char *name = below_fd(fd, room);
    if (name && fails("sync", name))
        return -1;
    enter();
    int result = (int)syscall(call, fd);
    if (name && result == 0 && call == SYS_syncfs)
        note("sync-all\n");
    else if (name && result == 0)
        note("sync %" PRIu64 "\n", inode_of(fd));
    leave();
    return result;
}

int fsync(int fd)
{
    return do_sync(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return do_sync(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
    return do_sync(SYS_syncfs, fd);
}

/* Promises nothing, but may be the only call that tells of an error. */
int sync_file_range(int fd, off64_t from, off64_t bytes, unsigned flags)
{
    char room[PATH_MAX];
    const char *name = below_fd(fd, room);
    if (flags & SYNC_FILE_RANGE_WAIT_AFTER && name && fails("sync", name))
        return -1;
    return (int)syscall(SYS_sync_file_range, fd, from, bytes, flags);
}

/* ---- names ---- */

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    char from_room[PATH_MAX], to_room[PATH_MAX];
    const char *from_name = below(from_dir, from, from_room), *to_name = below(to_dir, to, to_room);
    if (to_name && fails("rename", to_name))
        return -1;
    enter();
    int result = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (result == 0 && (from_name || to_name)) {
        if (from_name && to_name && (flags & ~(unsigned)RENAME_NOREPLACE) == 0)
            note("rename %s %s\n", from_name, to_name);
        else
            note("unknown rename\n");
    }
    leave();
    return result;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    char room[PATH_MAX];
    const char *name = below(to_dir, to, room);
    if (name && fails("link", name))
        return -1;
    enter();
    int result = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (result == 0 && name)
        note("entry %s %" PRIu64 "\n", name, inode_at(to_dir, to));
    leave();
    return result;
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
    char room[PATH_MAX];
    const char *name = below(dir, path, room);
    if (name && fails("unlink", name))
        return -1;
    enter();
    int result = (int)syscall(SYS_unlinkat, dir, path, flags);
    if (result == 0 && name)
        note("remove %s\n", name);
    leave();
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    int result = unlink(path);
    return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    char room[PATH_MAX];
    const char *name = below(dir, path, room);
    if (name && fails("mkdir", name))
        return -1;
    enter();
    int result = (int)syscall(SYS_mkdirat, dir, path, mode);
    if (result == 0 && name)
        note("directory %s %" PRIu64 "\n", name, inode_at(dir, path));
    leave();
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}
