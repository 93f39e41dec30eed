#include "base/lock.h"

#include "base/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { OWNER_MAX = 160, TRIES = 100 };

/* The owner as its file tells it. */
static dn_status in_use(const char *dir, int fd)
{
    char owner[OWNER_MAX] = "";
    ssize_t n = pread(fd, owner, sizeof owner - 1, 0);
    owner[n > 0 ? n : 0] = 0;
    owner[strcspn(owner, "\n")] = 0;
    return dn_fail(DN_ERR_IO, "%s is in use by %s; wait for its end, stop it, or choose another folder", dir,
                   *owner ? owner : "another process");
}

/* Only for the reader of a message: a disk without room for it is no reason to stop. */
static void write_owner(int fd)
{
    char owner[OWNER_MAX], since[32] = "?";
    struct utsname host;
    struct tm local;
    time_t now = time(NULL);
    if (localtime_r(&now, &local))
        strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S", &local);
    int length = snprintf(owner, sizeof owner, "process %ld on %.64s since %s\n", (long)getpid(),
                          uname(&host) == 0 ? host.nodename : "?", since);
    if (ftruncate(fd, 0) == 0 && pwrite(fd, owner, (size_t)length, 0) != length)
        errno = 0;
}

/* Whether the open file is still the one of that name: its owner may have removed it before we had the lock. */
static bool is_at(int fd, const char *path)
{
    struct stat open_file, named;
    return fstat(fd, &open_file) == 0 && lstat(path, &named) == 0 && open_file.st_ino == named.st_ino &&
           open_file.st_dev == named.st_dev;
}

static int flock_now(int fd)
{
    int result;
    do
        result = flock(fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

static bool cannot_lock_at_all(int error)
{
    return error == ENOLCK || error == ENOSYS || error == EOPNOTSUPP || error == EINVAL;
}

/* *fd = -1 after a success: the file was replaced meanwhile; try again. */
static dn_status try_once(const char *dir, const char *path, int *fd)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (*fd < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot write in %s: cannot create its file .lock", dir);
    int error = flock_now(*fd);
    if (error == 0 && is_at(*fd, path))
        return DN_OK;
    if (cannot_lock_at_all(error)) {
        dn_log(DN_LOG_WARNING, "%s: this file system has no locks (%s): see to it that no other run uses this "
                               "folder at the same time",
               dir, strerror(error));
        return DN_OK;
    }
    dn_status status = error == EWOULDBLOCK ? in_use(dir, *fd)
                       : error              ? dn_fail_errno(DN_ERR_IO, error, "cannot lock %s", path)
                                            : DN_OK;
    close(*fd);
    *fd = -1;
    return status;
}

dn_status dn_lock_take(const char *dir, dn_lock *out)
{
    char path[PATH_MAX];
    *out = (dn_lock){.fd = -1};
    if ((size_t)snprintf(path, sizeof path, "%s/.lock", dir) >= sizeof path)
        return dn_fail(DN_ERR_IO, "path too long: %.200s...", dir);
    int fd = -1;
    for (int i = 0; i < TRIES && fd < 0; i++)
        DN_TRY(try_once(dir, path, &fd));
    if (fd < 0)
        return dn_fail(DN_ERR_IO, "cannot lock %s: others take and release it all the time", path);
    write_owner(fd);
    *out = (dn_lock){fd, strdup(path)};
    if (out->path)
        return DN_OK;
    close(fd);
    *out = (dn_lock){.fd = -1};
    return dn_fail(DN_ERR_MEMORY, "%s: out of memory", dir);
}

dn_status dn_lock_identify(const char *dir, dn_lock_id *id)
{
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s/.lock", dir);
    if (lstat(path, &st) != 0)
        return dn_fail_errno(DN_ERR_IO, errno, "%s: its file .lock is gone", dir);
    *id = (dn_lock_id){st.st_dev, st.st_ino};
    return DN_OK;
}

dn_status dn_lock_check(const char *dir, const dn_lock_id *id)
{
    dn_lock_id now;
    if (dn_lock_identify(dir, &now) == DN_OK && now.device == id->device && now.inode == id->inode)
        return DN_OK;
    return dn_fail(DN_ERR_IO,
                   "%s was moved or replaced, or its file .lock deleted, since this run began: another run may be using it, "
                   "and nothing is saved there; move it back, or go on from where it is now",
                   dir);
}

/* The name goes while the lock is still held, so that nobody removes another owner's file. */
void dn_lock_release(dn_lock *lock)
{
    if (!lock->path)
        return;
    if (is_at(lock->fd, lock->path))
        unlink(lock->path);
    close(lock->fd);
    free(lock->path);
    *lock = (dn_lock){.fd = -1};
}
