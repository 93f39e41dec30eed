#include "text/tokenizer.h"

#include "base/fail.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dn_status copy_file(const char *from, dn_atomic_files *to, const char *name, bool must)
{
    static const size_t piece = 1 << 16;
    FILE *file = dn_file_read(from);
    if (!file)
        return must ? dn_fail_errno(DN_ERR_IO, errno, "cannot read %s", from) : DN_OK;
    dn_atomic_file *copy;
    char *bytes = malloc(piece);
    dn_status status = bytes ? dn_atomic_files_begin(to, name, 0, &copy)
                             : dn_fail(DN_ERR_MEMORY, "no memory to copy %s", from);
    for (size_t n; status == DN_OK && (n = fread(bytes, 1, piece, file)) > 0;)
        status = dn_atomic_file_append(copy, bytes, n);
    if (status == DN_OK && ferror(file))
        status = dn_fail(DN_ERR_IO, "cannot read %s", from);
    free(bytes);
    fclose(file);
    return status;
}

dn_status dn_tokenizer_copy(const dn_tokenizer *tokenizer, dn_atomic_files *to)
{
    const char *path = dn_tokenizer_path(tokenizer), *slash = strrchr(path, '/');
    char config[PATH_MAX];
    snprintf(config, sizeof config, "%.*stokenizer_config.json", slash ? (int)(slash + 1 - path) : 0, path);
    const char *name = tokenizer->name ? tokenizer->name : slash ? slash + 1 : path;
    DN_TRY(copy_file(path, to, name, true));
    return copy_file(config, to, "tokenizer_config.json", false);
}
