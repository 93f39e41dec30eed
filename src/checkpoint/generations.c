#include "checkpoint/generations.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "checkpoint/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "step_"
#define SUFFIX ".safetensors"
#define BEST   "best.safetensors"

/* Whether a file name is PREFIX, a step as dn_generation_path writes it, then SUFFIX. */
static bool parse(const char *name, uint64_t *step)
{
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return false;
    const char *digits = name + strlen(PREFIX);
    size_t n = strspn(digits, "0123456789");
    if (n < 8 || n > 19 || (n > 8 && *digits == '0') || strcmp(digits + n, SUFFIX) != 0)
        return false;
    *step = strtoull(digits, NULL, 10);
    return true;
}

/* Calls visit for the step of every generation; 0, or the errno of a directory that cannot be read. */
static int visit_files(const char *dir, void (*visit)(uint64_t step, void *context), void *context)
{
    DIR *stream = opendir(dir);
    if (!stream)
        return errno;
    const struct dirent *entry;
    errno = 0; /* an error in the middle must not pass for the end: a generation not seen is a run begun anew */
    while ((entry = readdir(stream)) != NULL) {
        uint64_t step;
        if (parse(entry->d_name, &step))
            visit(step, context);
        errno = 0;
    }
    int error = errno;
    closedir(stream);
    return error;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool dn_generation_step(const char *path, uint64_t *step)
{
    return parse(name_of(path), step);
}

bool dn_generation_is(const char *path)
{
    uint64_t step;
    return dn_generation_step(path, &step) || strcmp(name_of(path), BEST) == 0;
}

dn_status dn_generation_path(const char *dir, uint64_t step, char *path, size_t bytes)
{
    if ((size_t)snprintf(path, bytes, "%s/" PREFIX "%08" PRIu64 SUFFIX, dir, step) >= bytes)
        return dn_fail(DN_ERR_ARG, "path too long: %.200s...", dir);
    return DN_OK;
}

struct newest {
    uint64_t below; /* only generations before this one count */
    uint64_t step;
    bool found;
};

static void find_newest(uint64_t step, void *context)
{
    struct newest *newest = context;
    if (step < newest->below && (!newest->found || step > newest->step)) {
        newest->step = step;
        newest->found = true;
    }
}

dn_status dn_checkpoint_latest(const char *dir, char *path, size_t bytes, bool *found)
{
    struct stat st;
    if (stat(dir, &st) == 0 && S_ISREG(st.st_mode)) {
        if ((size_t)snprintf(path, bytes, "%s", dir) >= bytes)
            return dn_fail(DN_ERR_ARG, "path too long: %.200s...", dir);
        *found = true;
        return DN_OK;
    }
    struct newest newest = {.below = UINT64_MAX};
    int error = visit_files(dir, find_newest, &newest);
    if (error != 0 && error != ENOENT)
        return dn_fail_errno(DN_ERR_IO, error, "cannot look into %s", dir);
    if (newest.found)
        DN_TRY(dn_generation_path(dir, newest.step, path, bytes));
    *found = newest.found;
    return DN_OK;
}

dn_status dn_checkpoint_best(const char *dir, char *path, size_t bytes)
{
    if ((size_t)snprintf(path, bytes, "%s/" BEST, dir) >= bytes)
        return dn_fail(DN_ERR_ARG, "path too long: %.200s...", dir);
    return DN_OK;
}

void dn_checkpoint_clean(const char *dir)
{
    dn_atomic_file_clean(dir, dn_generation_is);
}

struct oldest {
    uint64_t below; /* only generations before this one count */
    uint64_t step;
    size_t n;
};

static void find_oldest(uint64_t step, void *context)
{
    struct oldest *oldest = context;
    if (step >= oldest->below)
        return;
    if (oldest->n++ == 0 || step < oldest->step)
        oldest->step = step;
}

/* One at a time, the oldest first: whenever this ends, what is left are the newest. */
void dn_generations_prune(const char *dir, uint64_t step, size_t n)
{
    for (;;) {
        char path[PATH_MAX];
        struct oldest oldest = {.below = step};
        if (visit_files(dir, find_oldest, &oldest) != 0 || oldest.n <= n)
            return;
        if (dn_generation_path(dir, oldest.step, path, sizeof path) != DN_OK || unlink(path) != 0)
            return;
    }
}

dn_status dn_checkpoint_count(const char *dir, size_t *n)
{
    char best[PATH_MAX];
    struct stat st;
    struct oldest all = {.below = UINT64_MAX};
    DN_TRY(dn_checkpoint_best(dir, best, sizeof best));
    int error = visit_files(dir, find_oldest, &all);
    if (error != 0 && error != ENOENT)
        return dn_fail_errno(DN_ERR_IO, error, "cannot look into %s", dir);
    *n = all.n + (stat(best, &st) == 0 && st.st_nlink == 1);
    return DN_OK;
}

/* Not every file system gives a file two names. */
static bool has_no_links(int error)
{
    return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK;
}

dn_status dn_checkpoint_set_best(const char *dir, uint64_t step)
{
    char path[PATH_MAX], best[PATH_MAX];
    DN_TRY(dn_generation_path(dir, step, path, sizeof path));
    DN_TRY(dn_checkpoint_best(dir, best, sizeof best));
    int error = dn_atomic_link(path, best);
    if (has_no_links(error)) {
        dn_log(DN_LOG_WARNING, "%s: this file system has no hard links: the best checkpoint is not kept beside "
                               "the newest",
               dir);
        return DN_OK;
    }
    if (error)
        return dn_fail_errno(DN_ERR_IO, error, "cannot make %s of %s", best, path);
    return dn_name_sync(best);
}
