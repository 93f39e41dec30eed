#include "checkpoint/generations.h"

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

#define PREFIX    "step_"
#define SUFFIX    ".safetensors"
#define TEMPORARY ".safetensors.tmp"

/* Whether a file name is PREFIX, at least eight digits, then `suffix`. */
static bool parse(const char *name, const char *suffix, uint64_t *step)
{
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return false;
    const char *digits = name + strlen(PREFIX);
    size_t n = strspn(digits, "0123456789");
    if (n < 8 || n > 19 || strcmp(digits + n, suffix) != 0)
        return false;
    *step = strtoull(digits, NULL, 10);
    return true;
}

/* Calls visit for every file of that suffix; 0, or the errno of a directory that cannot be read. */
static int visit_files(const char *dir, const char *suffix,
                       void (*visit)(const char *path, uint64_t step, void *context), void *context)
{
    DIR *stream = opendir(dir);
    if (!stream)
        return errno;
    const struct dirent *entry;
    errno = 0; /* an error in the middle must not pass for the end: a generation not seen is a run begun anew */
    while ((entry = readdir(stream)) != NULL) {
        char path[PATH_MAX];
        uint64_t step;
        if (parse(entry->d_name, suffix, &step) &&
            (size_t)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) < sizeof path)
            visit(path, step, context);
        errno = 0;
    }
    int error = errno;
    closedir(stream);
    return error;
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

static void find_newest(const char *path, uint64_t step, void *context)
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
    int error = visit_files(dir, SUFFIX, find_newest, &newest);
    if (error != 0 && error != ENOENT)
        return dn_fail_errno(DN_ERR_IO, error, "cannot look into %s", dir);
    if (newest.found)
        DN_TRY(dn_generation_path(dir, newest.step, path, bytes));
    *found = newest.found;
    return DN_OK;
}

static void remove_any(const char *path, uint64_t step, void *context)
{
    unlink(path);
}

static void remove_before(const char *path, uint64_t step, void *context)
{
    if (step < *(const uint64_t *)context)
        unlink(path);
}

void dn_generations_clean(const char *dir)
{
    visit_files(dir, TEMPORARY, remove_any, NULL);
}

void dn_generations_prune(const char *dir, uint64_t step)
{
    struct newest kept = {.below = step};
    visit_files(dir, SUFFIX, find_newest, &kept);
    if (kept.found)
        visit_files(dir, SUFFIX, remove_before, &kept.step);
}
