#include "base/atomic_files.h"

#include "base/fail.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

dn_status dn_atomic_files_begin(dn_atomic_files *set, const char *name, uint64_t expected_bytes,
                                dn_atomic_file **out)
{
    char path[PATH_MAX];
    dn_atomic_file *files = realloc(set->files, (set->n + 1) * sizeof *files);
    if (!files)
        return dn_fail(DN_ERR_MEMORY, "no memory to write %s/%s", set->dir, name);
    set->files = files;
    *out = &files[set->n];
    if (snprintf(path, sizeof path, "%s/%s", set->dir, name) >= (int)sizeof path)
        return dn_fail(DN_ERR_IO, "path too long: %.200s.../%s", set->dir, name);
    DN_TRY(dn_atomic_file_open(path, expected_bytes, *out));
    set->n++;
    return DN_OK;
}

dn_status dn_atomic_files_print(dn_atomic_files *set, const char *name, const char *text)
{
    dn_atomic_file *file;
    DN_TRY(dn_atomic_files_begin(set, name, 0, &file));
    DN_TRY(dn_atomic_file_append(file, text, strlen(text)));
    return dn_atomic_file_append(file, "\n", 1);
}

dn_status dn_atomic_files_end(dn_atomic_files *set, dn_status status)
{
    for (size_t i = 0; i < set->n && status == DN_OK; i++)
        status = dn_atomic_file_seal(&set->files[i], NULL, NULL);
    for (size_t i = 0; i < set->n && status == DN_OK; i++)
        status = dn_atomic_file_publish(&set->files[i]);
    for (size_t i = 0; i < set->n; i++)
        dn_atomic_file_discard(&set->files[i]);
    free(set->files);
    set->files = NULL;
    set->n = 0;
    return status;
}
