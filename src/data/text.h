/* Text files read as one concatenated stream of bytes; gzip and dictzip files are decompressed. */
#ifndef DATA_TEXT_H
#define DATA_TEXT_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

typedef struct dn_text {
    const char *const *files; /* borrowed; "-" is standard input */
    size_t n_files, current;
    uint64_t passed; /* bytes on disk of the files before the current one */
    uint64_t total;  /* bytes on disk of all files; 0 = unknown, as one of them is a pipe */
    /* of the current file: */
    int fd; /* -1: not yet open */
    bool at_end, packed;
    uint64_t read;        /* bytes */
    size_t n_members;     /* of gzip, complete */
    bool in_member;       /* the next one has begun */
    unsigned char *input; /* owned; what was read and not yet used starts at z.next_in */
    z_stream z;
} dn_text;

/** Checks all files before the first is read. *out must not move until it is closed. Errors: DN_ERR_DATA
 * (missing, a directory); DN_ERR_MEMORY. */
dn_status dn_text_open(const char *const *files, size_t n_files, dn_text *out) DN_MUST_USE;

/** Reads up to `bytes` bytes; *got is less only at the end of the last file. Errors: DN_ERR_DATA naming the
 * file (missing; compressed by another program; gzip that is damaged, ends early, or is followed by anything
 * but another member: part of the text would be missing); DN_ERR_IO; DN_ERR_MEMORY. */
dn_status dn_text_read(dn_text *text, void *out, size_t bytes, size_t *got) DN_MUST_USE;

/** As dn_text_read, of the present file only, of which there must be one; *ended: it has been read to its
 * end, and the next one, if there is one, is the present file. */
dn_status dn_text_read_file(dn_text *text, void *out, size_t bytes, size_t *got, bool *ended) DN_MUST_USE;

/** Bytes on disk consumed so far; reaches total. */
uint64_t dn_text_done(const dn_text *text);

/** Closes; safe at any time after a successful open. */
void dn_text_close(dn_text *text);

#endif
