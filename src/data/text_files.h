/* Which files a list of files and folders names. */
#ifndef DATA_TEXT_FILES_H
#define DATA_TEXT_FILES_H

#include "dionode/status.h"

#include <stddef.h>

typedef struct dn_text_files {
    char **names; /* [n], owned */
    size_t n;
} dn_text_files;

/** The n names, each folder among them replaced by the files in it and below it, in the order of their names; hidden
 * ones and the folder `except` are left out, and so is what is neither file nor folder. *out is to be freed whatever is
 * returned. Errors: DN_ERR_DATA a folder without files; DN_ERR_IO one that cannot be read; DN_ERR_MEMORY. */
dn_status dn_text_files_find(const char *const *names, size_t n, const char *except,
                             dn_text_files *out) DN_MUST_USE;
void dn_text_files_free(dn_text_files *files);

#endif
