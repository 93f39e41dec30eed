/*
 * Files of one folder that belong together: none appears before all are complete, which is where a full disk
 * shows.
 *
 *     dn_atomic_files set = {.dir = folder};
 *     begin -> append ... (dn_atomic_file) | print, of each file -> end
 *
 * A writer that is killed leaves nothing.
 */
#ifndef BASE_ATOMIC_FILES_H
#define BASE_ATOMIC_FILES_H

#include "base/atomic_file.h"

typedef struct dn_atomic_files {
    const char *dir;       /* exists; borrowed */
    dn_atomic_file *files; /* [n], in the order in which they will appear; owned until the end */
    size_t n;
} dn_atomic_files;

/** Begins the file `name` of the folder, of expected_bytes (0 = unknown). *out belongs to the set, is
 * appended to, and not sealed; valid until the next file begins. Errors: DN_ERR_IO as dn_atomic_file_open;
 * DN_ERR_MEMORY. */
dn_status dn_atomic_files_begin(dn_atomic_files *set, const char *name, uint64_t expected_bytes,
                                dn_atomic_file **out) DN_MUST_USE;

/** The file `name` holds `text` and a newline. Errors: DN_ERR_IO; DN_ERR_MEMORY. */
dn_status dn_atomic_files_print(dn_atomic_files *set, const char *name, const char *text) DN_MUST_USE;

/** If status, of what was written, is DN_OK, seals all files and then publishes one after the other;
 * otherwise, and after a failure, discards those that are not published. Empties the set. Returns the first
 * failure. Errors: status; DN_ERR_IO. */
dn_status dn_atomic_files_end(dn_atomic_files *set, dn_status status) DN_MUST_USE;

#endif
