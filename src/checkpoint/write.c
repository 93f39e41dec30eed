#include "checkpoint/checkpoint.h"

#include "base/aside.h"
#include "base/fail.h"
#include "checkpoint/format.h"
#include "checkpoint/generations.h"
#include "checkpoint/shards.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    CHUNK = 4 << 20
}; /* bytes between two ticks; put together, hashed and written while still in the cache */

static size_t tensor_bytes(const dn_tensor *tensor)
{
    return tensor->rows * tensor->cols * dn_type_bytes(tensor->type);
}

/* The safetensors header as an object; NULL if a string is not UTF-8 or memory is short. Order counts: the
 * checksum comes first (format.h). */
static json_t *describe(const dn_meta *meta, size_t n_meta, const dn_tensor *tensors, size_t n_tensors)
{
    json_t *header = json_object(), *strings = json_object();
    int failed = json_object_set_new(strings, "xxh3", json_string(DN_CHECKPOINT_ZEROS));
    for (size_t i = 0; i < n_meta; i++) {
        assert(!json_object_get(strings, meta[i].key));
        failed |= json_object_set_new(strings, meta[i].key, json_string(meta[i].value));
    }
    failed |= json_object_set_new(header, "__metadata__", strings);
    size_t at = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        assert(!json_object_get(header, tensors[i].name));
        assert(at % dn_type_bytes(tensors[i].type) == 0);
        const char *dtype = tensors[i].type == DN_BF16 ? DN_CHECKPOINT_BF16 : DN_CHECKPOINT_DTYPE;
        size_t end = at + tensor_bytes(&tensors[i]);
        failed |= json_object_set_new(header, tensors[i].name,
                                      json_pack("{s:s, s:[I,I], s:[I,I]}", "dtype", dtype, "shape",
                                                (json_int_t)tensors[i].rows, (json_int_t)tensors[i].cols,
                                                "data_offsets", (json_int_t)at, (json_int_t)end));
        at = end;
    }
    if (failed) {
        json_decref(header);
        return NULL;
    }
    return header;
}

/* Length word and header text, padded so that tensors are aligned; owned by the caller, NULL as above. */
static char *encode(json_t *header, size_t *bytes)
{
    char *text = header ? json_dumps(header, JSON_COMPACT) : NULL;
    if (!text)
        return NULL;
    size_t length = strlen(text);
    *bytes = (8 + length + DN_CHECKPOINT_ALIGN - 1) / DN_CHECKPOINT_ALIGN * DN_CHECKPOINT_ALIGN;
    char *out = malloc(*bytes);
    if (out) {
        uint64_t padded = *bytes - 8;
        memcpy(out, &padded, 8);
        memset(out + 8, ' ', padded);
        memcpy(out + 8, text, length);
        assert(memcmp(out + 8, DN_CHECKPOINT_PREFIX, sizeof DN_CHECKPOINT_PREFIX - 1) == 0);
    }
    free(text);
    return out;
}

/* A file that is being written. */
typedef struct writer {
    dn_aside file;
    XXH3_state_t *hash; /* owned */
    void *chunk;        /* [CHUNK bytes] owned */
    void (*tick)(void *);
    void *context;
} writer;

static dn_status append_hashed(writer *w, const void *data, size_t bytes)
{
    XXH3_64bits_update(w->hash, data, bytes);
    DN_TRY(dn_aside_append(&w->file, data, bytes));
    if (w->tick)
        w->tick(w->context);
    return DN_OK;
}

static dn_status append_tensor(writer *w, const dn_tensor *tensor)
{
    size_t left = tensor->rows * tensor->cols, width = dn_type_bytes(tensor->type);
    for (size_t at = 0, n; left > 0; at += n, left -= n) {
        n = left < CHUNK / width ? left : CHUNK / width;
        dn_shards_gather(tensor, at, n, w->chunk);
        DN_TRY(append_hashed(w, w->chunk, n * width));
    }
    return DN_OK;
}

/* One pass over the tensors: the sum goes into its place when it is known, which is cheaper than reading all
 * numbers once more before. */
static dn_status write_content(writer *w, const char *header, size_t header_bytes, const dn_tensor *tensors,
                               size_t n_tensors)
{
    char digits[DN_CHECKPOINT_DIGITS + 1];
    XXH3_64bits_reset(w->hash);
    DN_TRY(append_hashed(w, header, header_bytes));
    for (size_t i = 0; i < n_tensors; i++)
        DN_TRY(append_tensor(w, &tensors[i]));
    snprintf(digits, sizeof digits, "%016" PRIx64, (uint64_t)XXH3_64bits_digest(w->hash));
    DN_TRY(dn_aside_patch(&w->file, DN_CHECKPOINT_DIGITS_AT, digits, DN_CHECKPOINT_DIGITS));
    return dn_aside_seal(&w->file, w->tick, w->context);
}

static dn_status write_file(const char *path, const char *header, size_t header_bytes,
                            const dn_tensor *tensors, size_t n_tensors, void (*tick)(void *), void *context)
{
    uint64_t bytes = header_bytes;
    for (size_t i = 0; i < n_tensors; i++)
        bytes += tensor_bytes(&tensors[i]);
    writer w = {.tick = tick, .context = context};
    DN_TRY(dn_aside_open(path, bytes, &w.file));
    w.hash = XXH3_createState();
    w.chunk = malloc(CHUNK);
    dn_status status = w.hash && w.chunk ? write_content(&w, header, header_bytes, tensors, n_tensors)
                                         : dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    free(w.chunk);
    XXH3_freeState(w.hash);
    if (status == DN_OK)
        status = dn_aside_publish(&w.file);
    dn_aside_discard(&w.file);
    return status;
}

dn_status dn_checkpoint_write(const char *dir, uint64_t step, size_t keep, const dn_meta *meta, size_t n_meta,
                              const dn_tensor *tensors, size_t n_tensors, void (*tick)(void *), void *context)
{
    char path[PATH_MAX];
    DN_TRY(dn_generation_path(dir, step, path, sizeof path));
    for (size_t i = 0; i < n_tensors; i++)
        DN_TRY(dn_shards_check(&tensors[i]));
    DN_TRY(dn_dir_make(dir));
    dn_checkpoint_clean(dir);
    size_t header_bytes = 0;
    json_t *object = describe(meta, n_meta, tensors, n_tensors);
    char *header = encode(object, &header_bytes);
    json_decref(object);
    if (!header)
        return dn_fail(DN_ERR_ARG, "%s: out of memory, or a name or metadata string that is not UTF-8", path);
    dn_generations_prune(dir, step, keep > 2 ? keep - 1 : 1);
    dn_status status = write_file(path, header, header_bytes, tensors, n_tensors, tick, context);
    free(header);
    if (status == DN_OK)
        dn_generations_prune(dir, step, keep - 1);
    return status;
}
