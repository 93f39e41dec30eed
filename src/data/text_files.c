#include "data/text_files.h"

#include "base/fail.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static dn_status add(dn_text_files *files, const char *name)
{
    char **names = realloc(files->names, (files->n + 1) * sizeof *names);
    if (!names)
        return dn_fail(DN_ERR_MEMORY, "no memory for the names of files");
    files->names = names;
    names[files->n] = strdup(name);
    if (!names[files->n])
        return dn_fail(DN_ERR_MEMORY, "no memory for the names of files");
    files->n++;
    return DN_OK;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static dn_status add_entry(FTS *tree, FTSENT *entry, const struct stat *except, dn_text_files *files)
{
    bool hidden = entry->fts_level > FTS_ROOTLEVEL && entry->fts_name[0] == '.';
    switch (entry->fts_info) {
    case FTS_D:
        if (hidden ||
            (entry->fts_statp->st_ino == except->st_ino && entry->fts_statp->st_dev == except->st_dev))
            fts_set(tree, entry, FTS_SKIP);
        return DN_OK;
    case FTS_F:
        return hidden ? DN_OK : add(files, entry->fts_path);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return dn_fail_errno(DN_ERR_IO, entry->fts_errno, "cannot read text from %s", entry->fts_path);
    case FTS_SLNONE:
    case FTS_DEFAULT:
        if (!hidden)
            dn_log(DN_LOG_WARNING, "%s is skipped: %s", entry->fts_path,
                   entry->fts_info == FTS_SLNONE ? "a dangling link" : "not a regular file");
        return DN_OK;
    default: /* a folder's end */
        return DN_OK;
    }
}

static dn_status add_folder(const char *folder, const struct stat *except, dn_text_files *files)
{
    char *roots[] = {(char *)folder, NULL};
    FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (!tree)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot read text from %s", folder);
    size_t before = files->n;
    dn_status status = DN_OK;
    for (FTSENT *entry; status == DN_OK && (entry = fts_read(tree)) != NULL;)
        status = add_entry(tree, entry, except, files);
    fts_close(tree);
    if (status == DN_OK && files->n == before)
        return dn_fail(DN_ERR_DATA, "no file in %s", folder);
    return status;
}

dn_status dn_text_files_find(const char *const *names, size_t n, const char *except, dn_text_files *out)
{
    struct stat st, skipped = {0};
    *out = (dn_text_files){0};
    if (stat(except, &skipped) != 0)
        skipped = (struct stat){0}; /* not created yet */
    for (size_t i = 0; i < n; i++) {
        bool is_folder = strcmp(names[i], "-") != 0 && stat(names[i], &st) == 0 && S_ISDIR(st.st_mode);
        DN_TRY(is_folder ? add_folder(names[i], &skipped, out) : add(out, names[i]));
    }
    return DN_OK;
}

void dn_text_files_free(dn_text_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        free(files->names[i]);
    free(files->names);
    *files = (dn_text_files){0};
}
