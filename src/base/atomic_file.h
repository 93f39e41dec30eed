/*
 * Atomic files, which appear complete or not at all: written elsewhere, synced, then renamed into place.
 *
 *     open -> append, patch ... -> seal -> publish          discard: from anywhere, leaves nothing
 *
 * Until it is published a file has no name (O_TMPFILE) where the file system can do that, so a killed writer
 * leaves nothing; elsewhere, and for a moment before the rename, it is PATH.TAG.tmp with eight random digits, which
 * dn_atomic_file_clean removes from folders that are ours. Several files that belong together are all sealed, which is
 * where a full disk shows, before the first is published.
 *
 * Several processes can write one file, each at its own offsets. One of them, the owner, opens, seals and
 * publishes it; the others join:
 *
 *     the owner     open -> share ->        write, read ... -> advance ... -> seal -> publish
 *     the others               -> join -> write ... -> discard
 */
#ifndef BASE_ATOMIC_FILE_H
#define BASE_ATOMIC_FILE_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct dn_atomic_file {
    char *path; /* where it will be published; NULL: nothing is open; owned */
    int fd;
    uint32_t tag;
    bool named;        /* PATH.TAG.tmp exists */
    uint64_t bytes;    /* appended, or advanced to, so far */
    uint64_t expected; /* bytes in all, 0 = unknown */
} dn_atomic_file;

/** Creates a directory and its missing parents, durably; one that exists is fine. Errors: DN_ERR_IO. */
dn_status dn_dir_make(const char *dir) DN_MUST_USE;

/** Length of the longest part of the path, from its beginning, that exists. */
size_t dn_dir_existing(const char *dir);

/** After an error, removes the directories that dn_dir_make has made: those beyond the first `existing` bytes of the path, if
 * nothing is in them. */
void dn_dir_remove_made(const char *dir, size_t existing);

/** Makes the directory entry of a file or directory durable: syncs its parent directory, not the file's
 * content. Errors: DN_ERR_IO. */
dn_status dn_name_sync(const char *path) DN_MUST_USE;

/** As fopen(path, "r"), but never blocks: a named pipe without a writer reads as empty, where fopen would
 * wait for one. NULL with errno set on failure. The caller closes it with fclose. */
FILE *dn_file_read(const char *path);

/** *bytes = free bytes in the file system of dir; UINT64_MAX if unknown. Errors: DN_ERR_IO. */
dn_status dn_dir_space(const char *dir, uint64_t *bytes) DN_MUST_USE;

/** Whether `bytes` more fit in the file system of dir. Errors: DN_ERR_IO with what is needed and what is
 * free. */
dn_status dn_dir_check_space(const char *dir, uint64_t bytes) DN_MUST_USE;

/** Starts the file `path`, of expected_bytes (0 = unknown); its directory must exist. Errors: DN_ERR_IO: no
 * permission, or no room (dn_dir_check_space). */
dn_status dn_atomic_file_open(const char *path, uint64_t expected_bytes, dn_atomic_file *out) DN_MUST_USE;

/** The same in memory, for a draft of the file `path`: joined, written and read as one on a disk, and discarded in the end.
 * Errors: DN_ERR_IO: other processes could not join it, or there are no such files. */
dn_status dn_atomic_file_open_memory(const char *path, uint64_t expected_bytes, dn_atomic_file *out) DN_MUST_USE;

/** Appends. Starts writing to the disk behind itself and waits for what it appended 16 MiB earlier, so the
 * final sync is short and a slow disk is felt evenly. Errors: DN_ERR_IO naming file and bytes; discard then.
 */
dn_status dn_atomic_file_append(dn_atomic_file *f, const void *data, size_t bytes) DN_MUST_USE;

/** Writes at `offset`: over what is there, or beyond what was appended (then see dn_atomic_file_advance). Errors:
 * as dn_atomic_file_append. */
dn_status dn_atomic_file_write(dn_atomic_file *f, uint64_t offset, const void *data, size_t bytes) DN_MUST_USE;

/** Reads at `offset` what any process has written. Only for the owner. Errors: DN_ERR_IO. */
dn_status dn_atomic_file_read(dn_atomic_file *f, uint64_t offset, void *data, size_t bytes) DN_MUST_USE;

/** Counts the next `bytes` bytes, which dn_atomic_file_write has written, as appended. */
dn_status dn_atomic_file_advance(dn_atomic_file *f, size_t bytes) DN_MUST_USE;

/* What other processes need to join an open file. */
typedef struct dn_atomic_file_place {
    int pid, fd;
    bool named;
    uint32_t tag;
} dn_atomic_file_place;

/** Fills *place for dn_atomic_file_join. A file without a name gets one if others could not open it otherwise.
 * Errors: DN_ERR_IO. */
dn_status dn_atomic_file_share(dn_atomic_file *f, dn_atomic_file_place *place) DN_MUST_USE;

/** Joins the file that the owner writes for `path`. expected_bytes as the owner's. Errors: DN_ERR_IO. */
dn_status dn_atomic_file_join(const char *path, dn_atomic_file_place place, uint64_t expected_bytes,
                        dn_atomic_file *out) DN_MUST_USE;

/** Syncs the content, range by range, calling tick (may be NULL) after each, so that on a slow disk the final
 * fsync, during which no progress can be reported, has little left to do. Errors: DN_ERR_IO. */
dn_status dn_atomic_file_seal(dn_atomic_file *f, void (*tick)(void *), void *context) DN_MUST_USE;

/** Renames a sealed file into place, replacing an older one, and syncs the directory. Zeroes *f on success.
 * Errors: DN_ERR_IO. */
dn_status dn_atomic_file_publish(dn_atomic_file *f) DN_MUST_USE;

/** Closes and removes the unpublished file (a joined file is only closed) and zeroes *f. A no-op on an empty
 * (zeroed or published) one. Keeps the message of the last failure. */
void dn_atomic_file_discard(dn_atomic_file *f);

/** The end of a file that belongs to no others: if status, of what was written, is DN_OK, seals and publishes it; otherwise, and
 * after a failure, discards it. Returns the first failure. Errors: status; DN_ERR_IO. */
dn_status dn_atomic_file_end(dn_atomic_file *f, dn_status status) DN_MUST_USE;

/** Writes the text file `path`: print(out, context) prints, and need not look at errors. The whole file replaces an
 * older one, or nothing is changed; a symbolic link stays one. What is no regular file (/dev/stdout, a pipe) is
 * written to as it is. Its directory is made if it is missing. Errors: DN_ERR_IO. */
dn_status dn_atomic_file_print(const char *path, void (*print)(FILE *out, void *context), void *context) DN_MUST_USE;

/** Makes `path`, replacing an older file, a second name of the file `from` on the same file system, at once or not at
 * all. Its directory is not synced. 0, or the errno. */
int dn_atomic_link(const char *from, const char *path) DN_MUST_USE;

/** Removes what killed writers left in dir of files for whose name (without dir) is_ours says true. Nobody else may be
 * writing them. Best effort. */
void dn_atomic_file_clean(const char *dir, bool (*is_ours)(const char *name));

#endif
