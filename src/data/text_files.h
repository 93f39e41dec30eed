/* Expanding a list of files and directories. */
#ifndef DATA_TEXT_FILES_H
#define DATA_TEXT_FILES_H

#include "dionode/status.h"

#include <stddef.h>

typedef struct dn_text_files {
    char **names; /* [n], owned */
    size_t n;
} dn_text_files;

/** The n names, with each directory replaced by all files below it, in the order of their names, except
 * hidden ones, the directory `except`, and what is neither a file nor a directory. *out must be freed, also
 * on failure. Errors: DN_ERR_DATA: a directory without files; DN_ERR_IO: one that cannot be read;
 * DN_ERR_MEMORY. */
dn_status dn_text_files_find(const char *const *names, size_t n, const char *except,
                             dn_text_files *out) DN_MUST_USE;
void dn_text_files_free(dn_text_files *files);

#endif
