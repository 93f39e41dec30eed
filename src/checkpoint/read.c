#include "checkpoint/checkpoint.h"

#include "base/fail.h"
#include "checkpoint/format.h"
#include "checkpoint/generations.h"
#include "checkpoint/shards.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { CHUNK = 1 << 20 };

struct dn_checkpoint {
    char *path;       /* owned */
    json_t *header;   /* owned */
    size_t start;     /* file offset of the tensors */
    size_t bytes;     /* of the whole file */
    const char *file; /* mapped, `bytes`; NULL: the header alone was read */
    dn_status (*tick)(void *);
    void *tick_context;
};

/* One entry of the header. Offsets count from the first tensor byte. */
struct entry {
    const char *dtype;
    json_int_t rows, cols, begin, end;
};

/* Nobody is told to delete a file: it may be somebody else's, or all that is left. */
static dn_status damaged(const dn_checkpoint *c, const char *what)
{
    return dn_fail(DN_ERR_CHECKPOINT, "%s: %s%s", c->path, what,
                   dn_generation_is(c->path) ? "; move this file away to go on without it" : "");
}

static dn_status read_on(const dn_checkpoint *c)
{
    return c->tick ? c->tick(c->tick_context) : DN_OK;
}

static dn_status read_failed(const dn_checkpoint *c, ssize_t result)
{
    if (result == 0)
        return damaged(c, "truncated while being read");
    return dn_fail_errno(DN_ERR_IO, errno, "cannot read checkpoint %s", c->path);
}

static dn_status read_at(const dn_checkpoint *c, int fd, void *out, size_t bytes, size_t offset)
{
    char *at = out;
    while (bytes > 0) {
        ssize_t n = pread(fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return read_failed(c, n);
        at += n;
        offset += (size_t)n;
        bytes -= (size_t)n;
    }
    return DN_OK;
}

/* Length word, then the header's text into `text`, which is owned by the caller. */
static dn_status read_header(dn_checkpoint *c, int fd, char **text)
{
    uint64_t length;
    if (c->bytes < 8)
        return damaged(c, "truncated: shorter than a header length");
    DN_TRY(read_at(c, fd, &length, sizeof length, 0));
    if (length > DN_CHECKPOINT_HEADER_MAX)
        return damaged(c, "not a safetensors file: its header length makes no sense");
    if (length > c->bytes - 8)
        return damaged(c, "truncated: it ends within its header");
    if ((8 + length) % DN_CHECKPOINT_ALIGN != 0 ||
        8 + length < DN_CHECKPOINT_DIGITS_AT + DN_CHECKPOINT_DIGITS)
        return damaged(c, "damaged header length, or not written by Dionode");
    c->start = 8 + length;
    *text = malloc(length);
    if (!*text)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", c->path);
    return read_at(c, fd, *text, length, 8);
}

static bool get_pair(const json_t *array, json_int_t *first, json_int_t *second)
{
    const json_t *a = json_array_get(array, 0), *b = json_array_get(array, 1);
    if (json_array_size(array) != 2 || !json_is_integer(a) || !json_is_integer(b))
        return false;
    *first = json_integer_value(a);
    *second = json_integer_value(b);
    return *first >= 0 && *second >= 0;
}

static bool get_entry(const json_t *object, struct entry *entry)
{
    entry->dtype = json_string_value(json_object_get(object, "dtype"));
    return json_object_size(object) == 3 && entry->dtype &&
           get_pair(json_object_get(object, "shape"), &entry->rows, &entry->cols) &&
           get_pair(json_object_get(object, "data_offsets"), &entry->begin, &entry->end);
}

/* Whether an entry describes exactly the bytes begin .. end-1 in whole elements. */
static bool is_consistent(const struct entry *entry)
{
    json_int_t width = strcmp(entry->dtype, "F32") == 0                ? 4
                       : strcmp(entry->dtype, "F64") == 0              ? 8
                       : strcmp(entry->dtype, DN_CHECKPOINT_BF16) == 0 ? 2
                                                                       : 0;
    json_int_t elements, bytes;
    if (width == 0 || entry->begin % width != 0 || entry->end < entry->begin)
        return false;
    return !__builtin_mul_overflow(entry->rows, entry->cols, &elements) &&
           !__builtin_mul_overflow(elements, width, &bytes) && bytes == entry->end - entry->begin;
}

/* Tensors must follow each other without gap or overlap and end with the file. */
static dn_status check_entries(const dn_checkpoint *c)
{
    const char *name;
    json_t *value;
    json_int_t at = 0;
    json_object_foreach(c->header, name, value)
    {
        struct entry entry;
        if (strcmp(name, "__metadata__") == 0)
            continue;
        if (!get_entry(value, &entry) || !is_consistent(&entry) || entry.begin != at)
            return damaged(c, "damaged: a tensor's dtype, shape and offsets do not fit each other");
        at = entry.end;
    }
    size_t have = c->bytes - c->start;
    if ((uint64_t)at > have)
        return damaged(c, "truncated: tensors are missing at its end");
    if ((uint64_t)at < have)
        return damaged(c, "damaged: there is something after its last tensor");
    return DN_OK;
}

static dn_status parse_header(dn_checkpoint *c, const char *text)
{
    size_t prefix = sizeof DN_CHECKPOINT_PREFIX - 1;
    if (memcmp(text, DN_CHECKPOINT_PREFIX, prefix) != 0 || text[prefix + DN_CHECKPOINT_DIGITS] != '"')
        return damaged(c, "it does not start as a checkpoint of Dionode does: damaged, or from elsewhere");
    c->header = json_loadb(text, c->start - 8, JSON_REJECT_DUPLICATES, NULL);
    if (!c->header)
        return damaged(c, "damaged: its header is not JSON");
    return check_entries(c);
}

/* The sum over the whole file, the digits of the sum itself taken as zeros. text: the header, changed here.
 */
static dn_status check_sum(const dn_checkpoint *c, int fd, char *text, XXH3_state_t *hash, char *chunk)
{
    char *digits = text + DN_CHECKPOINT_DIGITS_AT - 8;
    char stored[DN_CHECKPOINT_DIGITS], found[DN_CHECKPOINT_DIGITS + 1];
    memcpy(stored, digits, sizeof stored);
    memcpy(digits, DN_CHECKPOINT_ZEROS, DN_CHECKPOINT_DIGITS);
    uint64_t length = c->start - 8;
    XXH3_64bits_reset(hash);
    XXH3_64bits_update(hash, &length, sizeof length);
    XXH3_64bits_update(hash, text, length);
    for (size_t at = c->start; at < c->bytes;) {
        size_t piece = c->bytes - at < CHUNK ? c->bytes - at : CHUNK;
        DN_TRY(read_at(c, fd, chunk, piece, at));
        XXH3_64bits_update(hash, chunk, piece);
        at += piece;
        DN_TRY(read_on(c));
    }
    snprintf(found, sizeof found, "%016" PRIx64, (uint64_t)XXH3_64bits_digest(hash));
    if (memcmp(stored, found, sizeof stored) != 0)
        return damaged(c, "damaged: its checksum does not fit its content");
    return DN_OK;
}

/* The header, and unless that alone is asked for, the sum over everything. */
static dn_status verify(dn_checkpoint *c, int fd, bool header_only)
{
    char *text = NULL, *chunk = malloc(CHUNK);
    XXH3_state_t *hash = XXH3_createState();
    dn_status status = chunk && hash ? DN_OK : dn_fail(DN_ERR_MEMORY, "%s: out of memory", c->path);
    if (status == DN_OK)
        status = read_header(c, fd, &text);
    if (status == DN_OK)
        status = parse_header(c, text);
    if (status == DN_OK && !header_only)
        status = check_sum(c, fd, text, hash, chunk);
    XXH3_freeState(hash);
    free(chunk);
    free(text);
    return status;
}

static dn_status map(dn_checkpoint *c, int fd)
{
    void *file = mmap(NULL, c->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file == MAP_FAILED)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot map checkpoint %s", c->path);
    c->file = file;
    return DN_OK;
}

static dn_status load(dn_checkpoint *c, bool header_only)
{
    int fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
    if (fd < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot open checkpoint %s", c->path);
    struct stat st;
    dn_status status = DN_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        status = dn_fail(DN_ERR_CHECKPOINT,
                         "%s is not a file; name a checkpoint, or the directory to take the "
                         "newest of",
                         c->path);
    else
        c->bytes = (size_t)st.st_size;
    if (status == DN_OK)
        status = verify(c, fd, header_only);
    if (status == DN_OK && !header_only)
        status = map(c, fd);
    close(fd);
    return status;
}

static dn_status open_checkpoint(const char *path, bool header_only, dn_status (*tick)(void *), void *context,
                                 dn_checkpoint **out)
{
    dn_checkpoint *c = calloc(1, sizeof *c);
    if (c)
        *c = (dn_checkpoint){.path = strdup(path), .tick = tick, .tick_context = context};
    dn_status status =
        c && c->path ? load(c, header_only) : dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    if (status == DN_OK)
        *out = c;
    else
        dn_checkpoint_close(&c);
    return status;
}

dn_status dn_checkpoint_open(const char *path, dn_status (*tick)(void *), void *context, dn_checkpoint **out)
{
    return open_checkpoint(path, false, tick, context, out);
}

dn_status dn_checkpoint_peek(const char *path, dn_checkpoint **out)
{
    return open_checkpoint(path, true, NULL, NULL, out);
}

void dn_checkpoint_close(dn_checkpoint **checkpoint)
{
    dn_checkpoint *c = *checkpoint;
    if (!c)
        return;
    if (c->file)
        munmap((void *)c->file, c->bytes);
    json_decref(c->header);
    free(c->path);
    free(c);
    *checkpoint = NULL;
}

const char *dn_checkpoint_meta(const dn_checkpoint *checkpoint, const char *key)
{
    return json_string_value(json_object_get(json_object_get(checkpoint->header, "__metadata__"), key));
}

dn_status dn_checkpoint_step(const dn_checkpoint *checkpoint, uint64_t *step)
{
    const char *text = dn_checkpoint_meta(checkpoint, "step");
    uint64_t named;
    if (!text)
        return dn_fail(DN_ERR_CHECKPOINT, "%s: not a checkpoint of a run: it names no step",
                       checkpoint->path);
    *step = strtoull(text, NULL, 10);
    if (dn_generation_step(checkpoint->path, &named) && named != *step)
        return dn_fail(DN_ERR_CHECKPOINT,
                       "%s is a checkpoint of step %" PRIu64 ", not of the step in its name; rename it to "
                       "step_%08" PRIu64 ".safetensors, or move it away",
                       checkpoint->path, *step, *step);
    return DN_OK;
}

bool dn_checkpoint_has(const dn_checkpoint *checkpoint, const char *name)
{
    return json_object_get(checkpoint->header, name) != NULL;
}

const char *dn_checkpoint_next(const dn_checkpoint *checkpoint, const char *name)
{
    void *at = name ? json_object_iter_next(checkpoint->header, json_object_iter_at(checkpoint->header, name))
                    : json_object_iter(checkpoint->header);
    if (at && strcmp(json_object_iter_key(at), "__metadata__") == 0)
        at = json_object_iter_next(checkpoint->header, at);
    return at ? json_object_iter_key(at) : NULL;
}

/* The tensor's entry, of the shape that is expected. */
static dn_status find(const dn_checkpoint *checkpoint, const char *name, size_t rows, size_t cols,
                      struct entry *entry)
{
    const json_t *object = json_object_get(checkpoint->header, name);
    if (!object || strcmp(name, "__metadata__") == 0 || !get_entry(object, entry))
        return dn_fail(DN_ERR_CHECKPOINT, "%s: has no tensor %s; is it of another model or optimizer?",
                       checkpoint->path, name);
    if ((size_t)entry->rows != rows || (size_t)entry->cols != cols)
        return dn_fail(DN_ERR_CHECKPOINT,
                       "%s: %s is [%" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
                       "], the model needs [%zu, %zu]; take the configuration of that run",
                       checkpoint->path, name, entry->rows, entry->cols, rows, cols);
    return DN_OK;
}

dn_status dn_checkpoint_tensor(const dn_checkpoint *checkpoint, const char *name, size_t rows, size_t cols,
                               const dn_real **data)
{
    struct entry entry;
    DN_TRY(find(checkpoint, name, rows, cols, &entry));
    if (strcmp(entry.dtype, DN_CHECKPOINT_DTYPE) != 0)
        return dn_fail(DN_ERR_CHECKPOINT, "%s: %s is %s, this program computes in %s", checkpoint->path, name,
                       entry.dtype, DN_CHECKPOINT_DTYPE);
    *data = (const dn_real *)(checkpoint->file + checkpoint->start + entry.begin);
    return DN_OK;
}

/* bfloat16 is the upper half of a float. */
static void widen(dn_real *to, const uint16_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)from[i] << 16;
        float f;
        memcpy(&f, &bits, sizeof f);
        to[i] = (dn_real)f;
    }
}

dn_status dn_checkpoint_block(const dn_checkpoint *checkpoint, const char *name, size_t rows, size_t cols,
                              const dn_block *block, dn_real *to)
{
    struct entry entry;
    const dn_real *data = NULL;
    DN_TRY(find(checkpoint, name, rows, cols, &entry));
    bool narrow = strcmp(entry.dtype, DN_CHECKPOINT_BF16) == 0;
    const uint16_t *halves = (const uint16_t *)(checkpoint->file + checkpoint->start + entry.begin);
    if (!narrow)
        DN_TRY(dn_checkpoint_tensor(checkpoint, name, rows, cols, &data));
    if (!dn_block_is_within(*block, rows, cols))
        return dn_fail(DN_ERR_ARG, "%s: [%zu, %zu] from (%zu, %zu) on is not within [%zu, %zu]", name,
                       block->rows, block->cols, block->row0, block->col0, rows, cols);
    size_t copied = 0; /* bytes since the last tick */
    for (size_t row = 0; row < block->rows && block->cols > 0; row++) {
        size_t from = (block->row0 + row) * cols + block->col0;
        if (narrow)
            widen(to + row * block->cols, halves + from, block->cols);
        else
            memcpy(to + row * block->cols, data + from, block->cols * sizeof *to);
        copied += block->cols * sizeof *to;
        if (copied >= CHUNK) {
            DN_TRY(read_on(checkpoint));
            copied = 0;
        }
    }
    return DN_OK;
}
