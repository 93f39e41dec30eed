/* A directory of its own for a test, and files in it. Helpers return what the test asserts on. */
#ifndef SUPPORT_SCRATCH_H
#define SUPPORT_SCRATCH_H

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct scratch {
    char dir[256];
    char path[PATH_MAX]; /* of the last call to scratch_path */
} scratch;

static inline bool scratch_make(scratch *s)
{
    const char *base = getenv("TMPDIR");
    snprintf(s->dir, sizeof s->dir, "%s/dionode-test-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(s->dir) != NULL;
}

static inline const char *scratch_path(scratch *s, const char *name)
{
    snprintf(s->path, sizeof s->path, "%s/%s", s->dir, name);
    return s->path;
}

/* Number of entries in the directory; with `remove` they are gone afterwards, directories with all that is in
 * them.
 */
static inline int scratch_entries(const char *dir, bool remove)
{
    DIR *stream = opendir(dir);
    int n = 0;
    const struct dirent *entry;
    while (stream && (entry = readdir(stream)) != NULL) {
        char *path = NULL;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n++;
        if (remove && asprintf(&path, "%s/%s", dir, entry->d_name) > 0 && unlink(path) != 0) {
            scratch_entries(path, true);
            rmdir(path);
        }
        free(path);
    }
    if (stream)
        closedir(stream);
    return n;
}

static inline void scratch_remove(scratch *s)
{
    scratch_entries(s->dir, true);
    rmdir(s->dir);
}

static inline bool scratch_write(scratch *s, const char *name, const void *data, size_t bytes)
{
    FILE *file = fopen(scratch_path(s, name), "wb");
    if (!file)
        return false;
    bool written = fwrite(data, 1, bytes, file) == bytes;
    return fclose(file) == 0 && written;
}

/* The whole file, with a zero byte after it; owned by the caller; NULL if it cannot be read. */
static inline char *scratch_read(const char *path, size_t *bytes)
{
    struct stat st;
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *data = NULL;
    if (fstat(fileno(file), &st) == 0 && (data = calloc(1, (size_t)st.st_size + 1)) != NULL)
        *bytes = fread(data, 1, (size_t)st.st_size, file);
    fclose(file);
    return data;
}

/* An llm.c shard as the format's description says, written without the library. */
static inline bool scratch_write_shard(scratch *s, const char *name, const uint16_t *tokens, size_t n)
{
    size_t bytes = 1024 + 2 * n;
    char *data = calloc(1, bytes);
    if (!data)
        return false;
    int32_t header[3] = {20240520, 1, (int32_t)n};
    memcpy(data, header, sizeof header);
    memcpy(data + 1024, tokens, 2 * n);
    bool written = scratch_write(s, name, data, bytes);
    free(data);
    return written;
}

#endif
