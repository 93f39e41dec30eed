/*
 * Files that appear whole or not at all: written aside, synced, then renamed into place.
 *
 *     open -> append, patch ... -> seal -> publish          discard: from anywhere, leaves nothing
 *
 * Until it is published a file has no name (O_TMPFILE) where the file system can do that, so a killed writer
 * leaves nothing; elsewhere it is PATH.tmp, which the next writer of the same path removes. Several files
 * that belong together are all sealed, which is where a full disk shows, before the first is published.
 *
 * Several processes can write one file, each where it likes. One of them opens, seals and publishes it;
 * others join:
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
    bool named;        /* PATH.tmp exists */
    uint64_t bytes;    /* appended, or advanced to, so far */
    uint64_t expected; /* bytes in all, 0 = unknown */
} dn_atomic_file;

/** Makes a directory and its missing parents, which survive a power cut; an existing one is fine. Errors:
 * DN_ERR_IO. */
dn_status dn_dir_make(const char *dir) DN_MUST_USE;

/** Makes the name of a file or directory survive a power cut: syncs the directory that it lies in. What the file
 * holds is another matter. Errors: DN_ERR_IO. */
dn_status dn_name_sync(const char *path) DN_MUST_USE;

/** Opens a file of ours to read, as fopen does; a pipe under its name is at once at its end, where fopen would wait
 * for a writer. NULL with errno. Owned by the caller, for fclose. */
FILE *dn_file_read(const char *path);

/** *bytes = what is free in the file system of dir; UINT64_MAX if it does not tell. Errors: DN_ERR_IO. */
dn_status dn_dir_space(const char *dir, uint64_t *bytes) DN_MUST_USE;

/** Whether `bytes` more fit in the file system of dir. Errors: DN_ERR_IO with what is needed and what is
 * free. */
dn_status dn_dir_check_space(const char *dir, uint64_t bytes) DN_MUST_USE;

/** Starts the file `path`, of expected_bytes (0 = unknown); its directory must exist. Errors: DN_ERR_IO: no
 * permission, or no room (dn_dir_check_space). */
dn_status dn_atomic_file_open(const char *path, uint64_t expected_bytes, dn_atomic_file *out) DN_MUST_USE;

/** Appends. Starts writing to the disk behind itself and waits for what it appended 16 MiB earlier, so the
 * final sync is short and a slow disk is felt evenly. Errors: DN_ERR_IO naming file and bytes; discard then.
 */
dn_status dn_atomic_file_append(dn_atomic_file *f, const void *data, size_t bytes) DN_MUST_USE;

/** Writes at `offset`, over what is there, or ahead of what was appended: dn_aside_advance. Errors: as
 * dn_atomic_file_append. */
dn_status dn_aside_write(dn_atomic_file *f, uint64_t offset, const void *data, size_t bytes) DN_MUST_USE;

/** Reads what was written at `offset`, by whomever. Not for who has joined. Errors: DN_ERR_IO. */
dn_status dn_aside_read(dn_atomic_file *f, uint64_t offset, void *data, size_t bytes) DN_MUST_USE;

/** The next `bytes` bytes are written, as if they had been appended. */
dn_status dn_aside_advance(dn_atomic_file *f, size_t bytes) DN_MUST_USE;

/* Where other processes find an open file. */
typedef struct dn_aside_place {
    int pid, fd;
    bool named;
} dn_aside_place;

/** What others need to join; a file that they could not open without a name gets one. Errors: DN_ERR_IO. */
dn_status dn_aside_share(dn_atomic_file *f, dn_aside_place *place) DN_MUST_USE;

/** Opens the file that another process writes for `path`, to write to, too. expected_bytes as there. Errors:
 * DN_ERR_IO. */
dn_status dn_aside_join(const char *path, dn_aside_place place, uint64_t expected_bytes,
                        dn_atomic_file *out) DN_MUST_USE;

/** Syncs the content: what is still on its way a range at a time, with tick (may be NULL) after each, so that
 * on a slow disk the last call, which nobody can look into, finds little left to do. Errors: DN_ERR_IO. */
dn_status dn_atomic_file_seal(dn_atomic_file *f, void (*tick)(void *), void *context) DN_MUST_USE;

/** Renames a sealed file into place, replacing an older one, and syncs the directory. Empties *aside after a
 * success. Errors: DN_ERR_IO. */
dn_status dn_atomic_file_publish(dn_atomic_file *f) DN_MUST_USE;

/** Removes whatever there is of it, or only leaves it if it was joined; empties *aside. A no-op on an empty
 * (zeroed or published) one. Keeps the message of the last failure. */
void dn_atomic_file_discard(dn_atomic_file *f);

#endif
