/*
 * One process at a time works in a folder. The lock is flock() on the file `.lock` in it, so it belongs to
 * the folder itself, by whatever name or symbolic link it was reached, and the kernel drops it when its owner
 * dies, however it dies. The content of the file only names the owner; the file is removed when the lock is
 * released.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "dionode/status.h"

#include <stdint.h>

typedef struct dn_lock {
    int fd;     /* of the lock file, close-on-exec: what this process starts does not hold the lock; -1: none */
    char *path; /* owned; NULL: nothing is held */
} dn_lock;

/** Takes the lock of an existing folder without waiting. If the file system does not support locks, logs a
 * warning and succeeds without one. Errors: DN_ERR_IO: somebody else holds it (the message says who, where
 * and since when), or the folder cannot be written; DN_ERR_MEMORY. */
dn_status dn_lock_take(const char *dir, dn_lock *out) DN_MUST_USE;

/* The lock's file, which another process than its owner can look for. */
typedef struct dn_lock_id {
    uint64_t device, inode;
} dn_lock_id;

/** *id = that of the folder's lock file now. Errors: DN_ERR_IO: there is none. */
dn_status dn_lock_identify(const char *dir, dn_lock_id *id) DN_MUST_USE;

/** Whether it is still there. If not, the folder of that name may be another's: it was moved, replaced, or the file
 * deleted, and another process could have locked it since. Errors: DN_ERR_IO, which says so. */
dn_status dn_lock_check(const char *dir, const dn_lock_id *id) DN_MUST_USE;

/** Releases it and removes its file, unless another one has its name by now. A no-op on an empty (zeroed or released) one. */
void dn_lock_release(dn_lock *lock);

#endif
