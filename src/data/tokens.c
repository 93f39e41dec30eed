#include "data/tokens.h"

#include "base/fail.h"
#include "base/nofile.h"
#include "base/printable.h"
#include "data/packing.h"
#include "base/size.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* llm.c's two kinds of shards. */
static const struct kind {
    int32_t magic, version;
    size_t width; /* bytes of a token */
} kinds[] = {{20240520, 1, sizeof(uint16_t)}, {20240801, 7, sizeof(uint32_t)}};
enum { HEADER = sizeof(dn_shard_header) };

struct token_file {
    char *path;   /* owned */
    int fd, mask; /* -1: not open; of the mask: all tokens count */
    size_t width; /* bytes a token: 2 or 4 in a shard, 1 in a raw file */
    size_t start; /* offset of the first token */
    size_t first; /* its place in the stream */
    size_t count;
    dn_tokens_origin origin;
};

struct dn_tokens {
    size_t count;
    dn_tokens_origin origin;
    size_t n_files;
    struct token_file files[]; /* by `first`, ascending */
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

/* Exactly `bytes` bytes at `offset`, or an error. fd: the file's, or its mask's. */
static dn_status read_at(const struct token_file *file, int fd, void *out, size_t bytes, size_t offset)
{
    char *at = out;
    while (bytes > 0) {
        ssize_t n = pread(fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dn_fail_errno(DN_ERR_IO, errno, "%s%s: cannot read at byte %zu", file->path,
                                 fd == file->mask ? ", its mask" : "", offset);
        if (n == 0)
            return dn_fail(DN_ERR_DATA, "%s: ends at byte %zu, but was longer when the run began; restore it",
                           file->path, offset);
        at += n;
        offset += (size_t)n;
        bytes -= (size_t)n;
    }
    return DN_OK;
}

/* What stands beside the shard tells. */
static dn_status check_complete(const char *shard)
{
    char mark[PATH_MAX];
    const char *slash = strrchr(shard, '/');
    int folder = slash ? (int)(slash - shard) + 1 : 0;
    snprintf(mark, sizeof mark, "%.*s" DN_SHARDS_INCOMPLETE, folder, shard);
    if (access(mark, F_OK) != 0)
        return DN_OK;
    return dn_fail(DN_ERR_DATA,
                   "%s: some shards beside it are missing or of another text: 'dionode prepare' is at work "
                   "there, or was "
                   "interrupted (%s); run it again",
                   shard, mark);
}

size_t dn_shard_width(size_t vocab_size)
{
    return kinds[vocab_size > 1 << 16].width;
}

dn_shard_header dn_shard_header_of(size_t n, size_t vocab_size, uint64_t tokenizer, uint64_t text_bytes)
{
    const struct kind *kind = &kinds[vocab_size > 1 << 16];
    return (dn_shard_header){.magic = kind->magic,
                             .version = kind->version,
                             .tokens = (int32_t)n,
                             .tokenizer = {(uint32_t)tokenizer, (uint32_t)(tokenizer >> 32)},
                             .text = {(uint32_t)text_bytes, (uint32_t)(text_bytes >> 32)}};
}

/* The kind with that magic; NULL: none. */
static const struct kind *kind_of(int32_t magic)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].magic == magic)
            return &kinds[i];
    return NULL;
}

static uint64_t joined(const uint32_t words[2])
{
    return words[0] | (uint64_t)words[1] << 32;
}

dn_status dn_mask_path(const char *shard, char *path)
{
    size_t n = strlen(shard) - (has_suffix(shard, ".bin") ? 4 : 0);
    if (n + sizeof ".mask" > PATH_MAX)
        return dn_fail(DN_ERR_DATA, "%s: no room for the name of its mask", shard);
    snprintf(path, PATH_MAX, "%.*s.mask", (int)n, shard);
    return DN_OK;
}

static dn_status open_mask(struct token_file *file, int32_t masked)
{
    char path[PATH_MAX];
    struct stat st;
    if (masked == 0)
        return DN_OK;
    if (masked != 1)
        return dn_fail(DN_ERR_DATA, "%s: masked in a way (%" PRId32 ") that this version does not know", file->path, masked);
    DN_TRY(dn_mask_path(file->path, path));
    file->mask = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file->mask < 0 || fstat(file->mask, &st) != 0)
        return dn_fail_errno(DN_ERR_DATA, errno, "cannot open %s, which says which tokens of %s count: copy both, or prepare again",
                             path, file->path);
    if (S_ISREG(st.st_mode) && (size_t)st.st_size == dn_mask_bytes(file->count))
        return DN_OK;
    return dn_fail(DN_ERR_DATA, "%s: not the mask of %s, which would have %zu bytes: copy both, or prepare again", path,
                   file->path, dn_mask_bytes(file->count));
}

static dn_status check_shard(struct token_file *file, const struct kind *kind, const dn_shard_header *header,
                             size_t bytes)
{
    DN_TRY(check_complete(file->path));
    if (bytes >= sizeof(int32_t[3]) && header->version != kind->version)
        return dn_fail(DN_ERR_DATA,
                       "%s: shard version %" PRId32 ", only version %" PRId32 " is supported; prepare it again",
                       file->path, header->version, kind->version);
    if (bytes > HEADER + kind->width * (size_t)INT32_MAX)
        return dn_fail(
            DN_ERR_DATA,
            "%s: %zu tokens, but a shard's header counts to %d; split it into several shards, e.g. of "
            "100 million tokens",
            file->path, (bytes - HEADER) / kind->width, INT32_MAX);
    if (bytes < HEADER || header->tokens < 0 || bytes != HEADER + kind->width * (size_t)header->tokens)
        return dn_fail(DN_ERR_DATA,
                       "%s: truncated or damaged shard: %zu bytes, expected a header of %d and %" PRId32
                       " tokens of %zu bytes: %lld; copy or prepare it again",
                       file->path, bytes, HEADER, header->tokens, kind->width,
                       HEADER + (long long)kind->width * header->tokens);
    file->width = kind->width;
    file->start = HEADER;
    file->count = (size_t)header->tokens;
    file->origin = (dn_tokens_origin){joined(header->tokenizer), joined(header->text)};
    return open_mask(file, header->masked);
}

/* A file of 16-bit tokens without a header, as nanoGPT writes it: no token beyond GPT-2's vocabulary (in
 * other data, one word in four is), and bytes that text does not have. */
static dn_status looks_like_tokens(const struct token_file *file, size_t bytes, bool *tokens)
{
    enum { WORDS = 4096, VOCABULARY = 50304 };
    uint16_t words[WORDS];
    size_t n = bytes / sizeof *words < WORDS ? bytes / sizeof *words : WORDS;
    bool any = false, text = true;
    *tokens = false;
    DN_TRY(read_at(file, file->fd, words, n * sizeof *words, 0));
    for (size_t i = 0; i < n; i++) {
        if (words[i] >= VOCABULARY)
            return DN_OK;
        any = any || words[i] != 0;
    }
    for (size_t i = 0; i < n * sizeof *words; i++) {
        unsigned char byte = ((const unsigned char *)words)[i];
        text = text && (byte >= ' ' || strchr("\t\n\f\r", byte)) && byte != 0;
    }
    *tokens = any && !text && bytes % sizeof *words == 0;
    return DN_OK;
}

static dn_status fail_not_a_shard(const struct token_file *file, int32_t magic, size_t bytes)
{
    bool tokens;
    if (bytes < sizeof magic)
        return dn_fail(DN_ERR_DATA,
                       "%s: %zu bytes, less than the %d of a shard's header; copy or prepare it again",
                       file->path, bytes, HEADER);
    DN_TRY(looks_like_tokens(file, bytes, &tokens));
    if (tokens)
        return dn_fail(
            DN_ERR_DATA,
            "%s: it looks like %zu 16-bit tokens without a header, as nanoGPT writes them; if so, "
            "set data_format: uint16",
            file->path, bytes / 2);
    return dn_fail(DN_ERR_DATA,
                   "%s: wrong magic: %" PRId32 ", a token shard starts with %d; make shards of text with "
                   "'dionode prepare', or, if each byte is a token, rename it to something other than *.bin",
                   file->path, magic, kinds[0].magic);
}

static dn_status open_file(struct token_file *file, dn_tokens_format format)
{
    struct stat st;
    /* Nonblocking: opening a pipe would wait for a writer. */
    file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file->fd < 0 || fstat(file->fd, &st) != 0)
        return dn_fail_errno(errno == ENOENT ? DN_ERR_DATA : DN_ERR_IO, errno, "cannot open token file %s",
                             file->path);
    if (S_ISFIFO(st.st_mode))
        return dn_fail(DN_ERR_DATA, "%s is a pipe, but tokens are read in random order; write them to a file",
                       file->path);
    if (!S_ISREG(st.st_mode))
        return dn_fail(DN_ERR_DATA,
                       "%s is not a file; use a pattern for the files in it, as in 'dir/train_*.bin'",
                       file->path);
    size_t bytes = (size_t)st.st_size;
    dn_shard_header header = {0};
    size_t begun = dn_min(bytes, sizeof header);
    DN_TRY(read_at(file, file->fd, &header, begun, 0));
    const dn_packing *packing = dn_packing_of(&header, begun);
    if (packing)
        return dn_fail(DN_ERR_DATA, "%s: in %s format, whose bytes are not the data's; unpack it first (%s)", file->path,
                       packing->name, packing->unpack);
    if (format == DN_TOKENS_UINT16 && bytes % sizeof(uint16_t) != 0)
        return dn_fail(DN_ERR_DATA, "%s has %zu bytes, which are no tokens of 16 bits", file->path, bytes);
    if (format == DN_TOKENS_UINT16) {
        file->width = sizeof(uint16_t);
        file->count = bytes / sizeof(uint16_t);
        return DN_OK;
    }
    const struct kind *kind = bytes >= sizeof header.magic ? kind_of(header.magic) : NULL;
    if (kind)
        return check_shard(file, kind, &header, bytes);
    if (has_suffix(file->path, ".bin"))
        return fail_not_a_shard(file, header.magic, bytes);
    file->width = 1;
    file->start = 0;
    file->count = bytes;
    return DN_OK;
}

/* The tokens of all files mean the same; their texts add up, unless one is unknown. */
static dn_status join_origin(dn_tokens *tokens, size_t i)
{
    const dn_tokens_origin *one = &tokens->files[i].origin;
    if (i == 0)
        tokens->origin = *one;
    else if (one->tokenizer != tokens->origin.tokenizer)
        return dn_fail(DN_ERR_DATA,
                       "%s and %s were made by different tokenizers; prepare them again with one of them",
                       tokens->files[0].path, tokens->files[i].path);
    else
        tokens->origin.text_bytes =
            one->text_bytes && tokens->origin.text_bytes ? tokens->origin.text_bytes + one->text_bytes : 0;
    return DN_OK;
}

static dn_status open_all(dn_tokens *tokens, char *const *paths, const char *pattern, dn_tokens_format format)
{
    /* All files stay open, so that replacing one during a run has no effect on it. */
    DN_TRY(dn_nofile_allow(tokens->n_files, pattern));
    for (size_t i = 0; i < tokens->n_files; i++) {
        struct token_file *file = &tokens->files[i];
        file->path = strdup(paths[i]);
        if (!file->path)
            return dn_fail(DN_ERR_MEMORY, "%s: out of memory", pattern);
        DN_TRY(open_file(file, format));
        DN_TRY(join_origin(tokens, i));
        if (i == 0 && file->mask >= 0)
            DN_TRY(dn_nofile_allow(2 * tokens->n_files, pattern));
        file->first = tokens->count;
        tokens->count += file->count;
    }
    if (tokens->count == 0)
        return dn_fail(DN_ERR_DATA, "%s: no tokens in %zu file%s; prepare text first", pattern,
                       tokens->n_files, dn_plural((long long)tokens->n_files));
    return DN_OK;
}

/* Called by glob for a folder that it cannot read, which it would skip with all its files. */
static int fail_unreadable(const char *folder, int error)
{
    return error == ENOENT ? 0 : dn_fail_errno(DN_ERR_IO, error, "cannot search for token files in %s", folder);
}

/* Sorted by bytes: glob sorts by locale, and users would train on different streams. */
static dn_status match(const char *pattern, glob_t *matches)
{
    int result = glob(pattern, GLOB_NOSORT, fail_unreadable, matches);
    if (result == GLOB_NOMATCH)
        return dn_fail(DN_ERR_DATA,
                       "no token file matches '%s'; check the path, or make shards with 'dionode prepare'",
                       pattern);
    if (result == GLOB_NOSPACE)
        return dn_fail(DN_ERR_MEMORY, "cannot search for '%s': out of memory", pattern);
    if (result != 0)
        return DN_ERR_IO; /* told by fail_unreadable */
    qsort(matches->gl_pathv, matches->gl_pathc, sizeof *matches->gl_pathv, by_bytes);
    return DN_OK;
}

/* Of a shard that is matched, too, and that opens it itself. */
static bool is_mask(const char *path, const glob_t *matches)
{
    char name[PATH_MAX];
    const char *shard = name;
    if (!has_suffix(path, ".mask"))
        return false;
    snprintf(name, sizeof name, "%.*s.bin", (int)(strlen(path) - strlen(".mask")), path);
    return bsearch(&shard, matches->gl_pathv, matches->gl_pathc, sizeof shard, by_bytes) != NULL;
}

dn_status dn_tokens_open(const char *pattern, dn_tokens_format format, dn_tokens **out)
{
    glob_t matches = {0};
    dn_status status = match(pattern, &matches);
    dn_tokens *tokens = NULL;
    char **paths = NULL;
    if (status == DN_OK) {
        tokens = calloc(1, sizeof *tokens + matches.gl_pathc * sizeof *tokens->files);
        paths = calloc(matches.gl_pathc, sizeof *paths);
        if (!tokens || !paths)
            status = dn_fail(DN_ERR_MEMORY, "%s: out of memory", pattern);
    }
    if (status == DN_OK) {
        for (size_t i = 0; i < matches.gl_pathc; i++)
            if (!is_mask(matches.gl_pathv[i], &matches))
                paths[tokens->n_files++] = matches.gl_pathv[i];
        for (size_t i = 0; i < tokens->n_files; i++)
            tokens->files[i].fd = tokens->files[i].mask = -1;
        status = open_all(tokens, paths, pattern, format);
    }
    free(paths);
    globfree(&matches);
    if (status == DN_OK)
        *out = tokens;
    else
        dn_tokens_close(&tokens);
    return status;
}

void dn_tokens_close(dn_tokens **tokens)
{
    if (!*tokens)
        return;
    for (size_t i = 0; i < (*tokens)->n_files; i++) {
        if ((*tokens)->files[i].fd >= 0)
            close((*tokens)->files[i].fd);
        if ((*tokens)->files[i].mask >= 0)
            close((*tokens)->files[i].mask);
        free((*tokens)->files[i].path);
    }
    free(*tokens);
    *tokens = NULL;
}

size_t dn_tokens_count(const dn_tokens *tokens)
{
    return tokens->count;
}

size_t dn_tokens_n_files(const dn_tokens *tokens)
{
    return tokens->n_files;
}

size_t dn_tokens_file_first(const dn_tokens *tokens, size_t file)
{
    return tokens->files[file].first;
}

bool dn_tokens_masked(const dn_tokens *tokens)
{
    bool masked = false;
    for (size_t i = 0; i < tokens->n_files; i++)
        masked = masked || tokens->files[i].mask >= 0;
    return masked;
}

dn_tokens_origin dn_tokens_origin_of(const dn_tokens *tokens)
{
    return tokens->origin;
}

/* The file that holds stream position `at`: the last one that starts at or before it and is not empty. */
static const struct token_file *find_file(const dn_tokens *tokens, size_t at)
{
    size_t low = 0, high = tokens->n_files;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (tokens->files[middle].first <= at)
            low = middle;
        else
            high = middle;
    }
    return &tokens->files[low];
}

/* Tokens [first, first + n) of one file; n * width bytes fit the buffer. */
static dn_status read_chunk(const struct token_file *file, size_t first, size_t n, size_t vocab_size,
                            int32_t *out, void *buffer)
{
    DN_TRY(read_at(file, file->fd, buffer, n * file->width, file->start + first * file->width));
    for (size_t i = 0; i < n; i++) {
        uint32_t token = file->width == 1   ? ((const uint8_t *)buffer)[i]
                         : file->width == 2 ? ((const uint16_t *)buffer)[i]
                                            : ((const uint32_t *)buffer)[i];
        out[i] = (int32_t)token;
        if (token >= vocab_size)
            return dn_fail(DN_ERR_DATA,
                           "%s: token %zu is %" PRIu32
                           ", but the vocabulary has %zu; use a larger vocab_size or "
                           "data of this vocabulary",
                           file->path, first + i, token, vocab_size);
    }
    return DN_OK;
}

dn_status dn_tokens_read(const dn_tokens *tokens, size_t first, size_t n, size_t vocab_size, int32_t *out)
{
    assert(first <= tokens->count && n <= tokens->count - first);
    uint32_t buffer[2048];
    while (n > 0) {
        const struct token_file *file = find_file(tokens, first);
        size_t within = first - file->first;
        size_t chunk = dn_min(dn_min(file->count - within, n), sizeof buffer / file->width);
        DN_TRY(read_chunk(file, within, chunk, vocab_size, out, buffer));
        first += chunk;
        out += chunk;
        n -= chunk;
    }
    return DN_OK;
}

dn_status dn_tokens_counts(const dn_tokens *tokens, size_t first, size_t n, bool *counts)
{
    assert(first <= tokens->count && n <= tokens->count - first);
    uint8_t bits[2048];
    while (n > 0) {
        const struct token_file *file = find_file(tokens, first);
        size_t within = first - file->first, skip = within % 8;
        size_t chunk = dn_min(dn_min(file->count - within, n), 8 * sizeof bits - skip);
        if (file->mask >= 0)
            DN_TRY(read_at(file, file->mask, bits, dn_mask_bytes(skip + chunk), within / 8));
        for (size_t i = 0; i < chunk; i++)
            counts[i] = file->mask < 0 || (bits[(skip + i) / 8] >> (skip + i) % 8 & 1);
        first += chunk;
        counts += chunk;
        n -= chunk;
    }
    return DN_OK;
}
