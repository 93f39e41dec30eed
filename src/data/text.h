/* Text files read one after the other as one stream of bytes, gzip and dictzip files as what is in them. */
#ifndef DATA_TEXT_H
#define DATA_TEXT_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

typedef struct dn_text {
    const char *const *files; /* borrowed; "-" is standard input */
    size_t n_files, current;
    gzFile gz;       /* of the current file; NULL: not yet open */
    uint64_t passed; /* bytes on disk of the files before it */
    uint64_t total;  /* bytes on disk of all files; 0 = unknown, as one of them is a pipe */
} dn_text;

/** Looks at all files before the first is read. Errors: DN_ERR_DATA (missing, a directory). */
dn_status dn_text_open(const char *const *files, size_t n_files, dn_text *out) DN_MUST_USE;

/** Reads up to `bytes` bytes; *got is less only at the end of the last file. Errors: DN_ERR_DATA naming the
 * file (missing, damaged or truncated gzip), DN_ERR_IO. */
dn_status dn_text_read(dn_text *text, void *out, size_t bytes, size_t *got) DN_MUST_USE;

/** Bytes on disk consumed so far; reaches total. */
uint64_t dn_text_done(const dn_text *text);

/** Closes; safe at any time after a successful open. */
void dn_text_close(dn_text *text);

#endif
