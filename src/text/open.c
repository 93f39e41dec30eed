#include "text/tokenizer.h"

#include "base/atomic_file.h"
#include "base/fail.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum { FILE_MAX = 256 << 20 }; /* bytes; the largest known tokenizer.json has 33 MB */

/* The content of a file, with a NUL behind; owned by the caller. */
static dn_status read_file(const char *path, char **content, size_t *n)
{
    FILE *file = dn_file_read(path);
    if (!file)
        return dn_fail_errno(errno == ENOENT ? DN_ERR_DATA : DN_ERR_IO, errno, "%s", path);
    struct stat info;
    dn_status status = DN_OK;
    char *bytes = NULL;
    if (fstat(fileno(file), &info) || !S_ISREG(info.st_mode))
        status = dn_fail(DN_ERR_DATA, "%s is not a file", path);
    else if (info.st_size > FILE_MAX)
        status = dn_fail(DN_ERR_DATA, "%s has %lld bytes: not a tokenizer", path, (long long)info.st_size);
    else if (!(bytes = malloc((size_t)info.st_size + 1)))
        status = dn_fail(DN_ERR_MEMORY, "%s: no memory for %lld bytes", path, (long long)info.st_size);
    else {
        *n = fread(bytes, 1, (size_t)info.st_size, file);
        bytes[*n] = '\0';
        if (ferror(file))
            status = dn_fail_errno(DN_ERR_IO, errno, "%s", path);
    }
    fclose(file);
    if (status != DN_OK) {
        free(bytes);
        bytes = NULL;
    }
    *content = bytes;
    return status;
}

static const char *const names[] = {"tokenizer.json", "tokenizer.model"};

/* path: of the file that a folder holds. */
static dn_status find_in_folder(const char *folder, char path[PATH_MAX])
{
    struct stat info;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, PATH_MAX, "%s/%s", folder, names[i]);
        if (stat(path, &info) == 0)
            return DN_OK;
    }
    DIR *dir = opendir(folder);
    if (!dir)
        return dn_fail_errno(DN_ERR_IO, errno, "%s", folder);
    size_t found = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *end = strrchr(entry->d_name, '.');
        if (end && strcmp(end, ".tiktoken") == 0) {
            snprintf(path, PATH_MAX, "%s/%s", folder, entry->d_name);
            found++;
        }
    }
    closedir(dir);
    return found == 1 ? DN_OK
                      : dn_fail(DN_ERR_DATA, "%s: %s", folder,
                                found ? "has several *.tiktoken: name one of them"
                                      : "has no tokenizer: no tokenizer.json, tokenizer.model or *.tiktoken");
}

static dn_status read_content(dn_tokenizer *t, const char *content, size_t n)
{
    uint32_t magic = 0;
    memcpy(&magic, content, n < sizeof magic ? n : sizeof magic);
    if (magic == 20240328)
        return dn_tokenizer_read_llmc(t, content, n);
    if (content[strspn(content, " \t\r\n")] == '{') {
        t->name = names[0];
        return dn_tokenizer_read_json(t, content, n);
    }
    if (content[0] == '\n') { /* protobuf: the first field, of several bytes */
        t->name = names[1];
        return dn_tokenizer_read_sentencepiece(t, content, n);
    }
    return dn_tokenizer_read_tiktoken(t, content, n);
}

/* Names of tokens that end a text, if the file does not say which does. */
static const char *const ends[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"};

static dn_status open_at(const char *path, bool folder, dn_tokenizer *t)
{
    char *content, config[PATH_MAX];
    size_t n;
    DN_TRY(read_file(path, &content, &n));
    t->unknown = t->begin = t->end = -1;
    memset(t->byte_ids, 0xff, sizeof t->byte_ids); /* -1 */
    dn_status status = read_content(t, content, n);
    free(content);
    struct stat info;
    const char *slash = strrchr(path, '/');
    snprintf(config, sizeof config, "%.*stokenizer_config.json", slash ? (int)(slash + 1 - path) : 0, path);
    if (status == DN_OK && folder && stat(config, &info) == 0) {
        DN_TRY(read_file(config, &content, &n));
        status = dn_tokenizer_read_config(t, content, n);
        free(content);
    }
    for (size_t i = 0; status == DN_OK && i < sizeof ends / sizeof *ends && t->end < 0; i++)
        t->end = dn_tokenizer_special(t, ends[i]);
    return status;
}

dn_status dn_tokenizer_open(const char *path, dn_tokenizer **out)
{
    char file[PATH_MAX];
    struct stat info;
    *out = NULL;
    if (stat(path, &info) != 0)
        return dn_fail_errno(errno == ENOENT || errno == ENOTDIR ? DN_ERR_DATA : DN_ERR_IO, errno, "%s",
                             path);
    snprintf(file, sizeof file, "%s", path);
    if (S_ISDIR(info.st_mode))
        DN_TRY(find_in_folder(path, file));
    dn_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return dn_fail(DN_ERR_MEMORY, "no memory for a tokenizer");
    dn_status status = (t->path = strdup(file)) ? open_at(file, S_ISDIR(info.st_mode), t)
                                                : dn_fail(DN_ERR_MEMORY, "no memory for a tokenizer");
    if (status != DN_OK) {
        char why[1024];
        snprintf(why, sizeof why, "%s", dn_error_message());
        dn_tokenizer_close(&t);
        return strstr(why, file) ? status : dn_fail(status, "%s: %s", file, why);
    }
    *out = t;
    return DN_OK;
}

void dn_tokenizer_close(dn_tokenizer **tokenizer)
{
    dn_tokenizer *t = *tokenizer;
    *tokenizer = NULL;
    if (!t)
        return;
    for (size_t i = 0; i < t->size; i++)
        free(t->tokens[i].bytes);
    for (size_t i = 0; i < t->n_normalizers; i++) {
        free((char *)t->normalizers[i].from);
        free((char *)t->normalizers[i].to);
    }
    for (size_t i = 0; i < t->n_splits; i++)
        dn_split_free(&t->splits[i]);
    free(t->path);
    free(t->tokens);
    free(t->by_bytes);
    free(t->merges);
    free(t->added);
    free(t);
}

const char *dn_tokenizer_path(const dn_tokenizer *t)
{
    return t->path;
}

size_t dn_tokenizer_size(const dn_tokenizer *t)
{
    return t->size;
}

uint64_t dn_tokenizer_hash(const dn_tokenizer *t)
{
    uint64_t hash = 0;
    for (size_t id = 0; id < t->size; id++)
        if (t->tokens[id].bytes)
            hash = XXH3_64bits_withSeed(t->tokens[id].bytes, t->tokens[id].n, hash + id + 1);
    return hash;
}

int32_t dn_tokenizer_end(const dn_tokenizer *t)
{
    return t->end;
}

int32_t dn_tokenizer_begin(const dn_tokenizer *t)
{
    return t->begin;
}

const char *dn_tokenizer_bytes(const dn_tokenizer *t, int32_t id, size_t *n)
{
    bool known = id >= 0 && (size_t)id < t->size && t->tokens[id].bytes;
    *n = known ? t->tokens[id].n : 0;
    return known ? t->tokens[id].bytes : "";
}
