#include "checkpoint/checkpoint.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/size.h"
#include "checkpoint/format.h"
#include "checkpoint/generations.h"
#include "checkpoint/shards.h"
#include "comm/world.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Bytes that are put together and written at a time, and that are read back; a tick follows each. Ranks meet when each
 * could have written so many chunks. */
enum { CHUNK = 4 << 20, PIECE = 1 << 20, CHUNKS_A_RANK = 4 };

static size_t tensor_bytes(const dn_sharded_tensor *tensor)
{
    return tensor->tensor.rows * tensor->tensor.cols * dn_type_bytes(tensor->tensor.type);
}

/* The safetensors header as an object; NULL if a string is not UTF-8 or memory is short. Order counts: the
 * checksum comes first (format.h). */
static json_t *describe(const dn_meta *meta, size_t n_meta, const dn_sharded_tensor *tensors,
                        size_t n_tensors)
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
        assert(!json_object_get(header, tensors[i].tensor.name));
        assert(at % dn_type_bytes(tensors[i].tensor.type) == 0);
        const char *dtype = tensors[i].tensor.type == DN_BF16 ? DN_CHECKPOINT_BF16 : DN_CHECKPOINT_DTYPE;
        size_t end = at + tensor_bytes(&tensors[i]);
        failed |= json_object_set_new(
            header, tensors[i].tensor.name,
            json_pack("{s:s, s:[I,I], s:[I,I]}", "dtype", dtype, "shape", (json_int_t)tensors[i].tensor.rows,
                      (json_int_t)tensors[i].tensor.cols, "data_offsets", (json_int_t)at, (json_int_t)end));
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

/* A file that is being written. Tensors follow the header, in chunks. */
typedef struct dn_checkpoint_draft {
    dn_comm *comm;
    char dir[PATH_MAX];
    uint64_t step;
    size_t keep;
    dn_atomic_file file, draft; /* all write into the draft, if there is one, else into the file; both owned */
    XXH3_state_t *hash;         /* owned; rank 0's */
    void *chunk;                /* [CHUNK bytes] owned */
    uint64_t end;               /* of the chunks that were written or left to others so far */
    uint64_t complete;          /* up to here everybody has written */
    size_t n_chunks;            /* since all have met */
    void (*tick)(void *);
    void *context;
} writer;

/* What the others need to know of the file, or draft, that rank 0 has begun. */
typedef struct start {
    dn_atomic_file_place place;
    uint64_t header_bytes, file_bytes;
} start;

static void show_life(const writer *w)
{
    if (w->tick)
        w->tick(w->context);
}

static dn_atomic_file *written_by_all(writer *w)
{
    return w->draft.path ? &w->draft : &w->file;
}

/* Rank 0 takes the sum of what all have written, from where they wrote it: the order of the sum is the file's. What is only
 * drafted it writes. */
static dn_status take_complete(writer *w)
{
    while (w->file.bytes < w->complete) {
        size_t n = (size_t)dn_min((uint64_t)PIECE, w->complete - w->file.bytes);
        DN_TRY(dn_atomic_file_read(written_by_all(w), w->file.bytes, w->chunk, n));
        XXH3_64bits_update(w->hash, w->chunk, n);
        DN_TRY(w->draft.path ? dn_atomic_file_append(&w->file, w->chunk, n) : dn_atomic_file_advance(&w->file, n));
        show_life(w);
    }
    return DN_OK;
}

/* The sum of what was complete at the last meeting is taken while others still write. */
static dn_status meet(writer *w)
{
    if (w->hash && !w->draft.path)
        DN_TRY(take_complete(w));
    DN_TRY(dn_comm_barrier(w->comm));
    w->complete = w->end;
    w->n_chunks = 0;
    return DN_OK;
}

/* Who writes a chunk: one that holds some of it; of several nodes one of rank 0's, where the file is. */
static int writer_of(const writer *w, int holder)
{
    int rank = holder;
    while (dn_comm_node(w->comm, rank) != dn_comm_node(w->comm, 0))
        rank = (rank + 1) % dn_comm_size(w->comm);
    return rank;
}

static dn_status write_tensor(writer *w, const dn_sharded_tensor *tensor)
{
    size_t left = tensor->tensor.rows * tensor->tensor.cols, width = dn_type_bytes(tensor->tensor.type);
    for (size_t at = 0, n; left > 0; at += n, left -= n) {
        n = dn_min(left, CHUNK / width);
        if (writer_of(w, dn_shards_holder(tensor, at, n, w->n_chunks)) == dn_comm_rank(w->comm)) {
            dn_shards_gather(w->comm, tensor, at, n, w->chunk);
            DN_TRY(dn_atomic_file_write(written_by_all(w), w->end, w->chunk, n * width));
            show_life(w);
        }
        w->end += n * width;
        if (++w->n_chunks == CHUNKS_A_RANK * (size_t)dn_comm_size(w->comm))
            DN_TRY(meet(w));
    }
    return DN_OK;
}

static dn_status write_tensors(writer *w, const dn_sharded_tensor *tensors, size_t n_tensors)
{
    for (size_t i = 0; i < n_tensors; i++)
        DN_TRY(write_tensor(w, &tensors[i]));
    return meet(w);
}

/* Rank 0, when all have written. The sum goes into its place when it is known. */
static dn_status finish(writer *w)
{
    char digits[DN_CHECKPOINT_DIGITS + 1];
    DN_TRY(take_complete(w));
    snprintf(digits, sizeof digits, "%016" PRIx64, (uint64_t)XXH3_64bits_digest(w->hash));
    DN_TRY(dn_atomic_file_write(&w->file, DN_CHECKPOINT_DIGITS_AT, digits, DN_CHECKPOINT_DIGITS));
    DN_TRY(dn_atomic_file_seal(&w->file, w->tick, w->context));
    DN_TRY(dn_atomic_file_publish(&w->file));
    dn_generations_prune(w->dir, w->step, w->keep - 1);
    return DN_OK;
}

static void end(writer *w)
{
    free(w->chunk);
    XXH3_freeState(w->hash);
    dn_atomic_file_discard(&w->file);
    dn_atomic_file_discard(&w->draft);
    free(w);
}

/* Whether all write a draft: there is memory for it, and others can reach it. */
static bool begin_draft(writer *w, const char *path, uint64_t bytes, uint64_t room, dn_atomic_file_place *place)
{
    if (bytes > room || dn_atomic_file_open_memory(path, bytes, &w->draft) != DN_OK)
        return false;
    if (dn_atomic_file_share(&w->draft, place) == DN_OK)
        return true;
    dn_atomic_file_discard(&w->draft);
    return false;
}

/* Rank 0: makes the directory ready and begins the file. */
static dn_status begin(writer *w, const char *path, uint64_t room, const dn_meta *meta, size_t n_meta,
                       const dn_sharded_tensor *tensors, size_t n_tensors, start *out)
{
    size_t bytes = 0;
    DN_TRY(dn_dir_make(w->dir));
    dn_checkpoint_clean(w->dir);
    json_t *object = describe(meta, n_meta, tensors, n_tensors);
    char *header = encode(object, &bytes);
    json_decref(object);
    if (!header)
        return dn_fail(DN_ERR_ARG, "%s: out of memory, or a name or metadata string that is not UTF-8", path);
    dn_generations_prune(w->dir, w->step, w->keep > 2 ? w->keep - 1 : 1);
    *out = (start){.header_bytes = bytes, .file_bytes = bytes};
    for (size_t i = 0; i < n_tensors; i++)
        out->file_bytes += tensor_bytes(&tensors[i]);
    dn_status status = dn_atomic_file_open(path, out->file_bytes, &w->file);
    if (status == DN_OK && !begin_draft(w, path, out->file_bytes, room, &out->place))
        status = dn_atomic_file_share(&w->file, &out->place);
    if (status == DN_OK)
        status = dn_atomic_file_write(written_by_all(w), 0, header, bytes);
    free(header);
    if (status != DN_OK)
        return status;
    w->hash = XXH3_createState();
    if (!w->hash)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    XXH3_64bits_reset(w->hash);
    return DN_OK;
}

dn_status dn_checkpoint_write(dn_comm *comm, const char *dir, uint64_t step, size_t keep, const dn_meta *meta,
                              size_t n_meta, const dn_sharded_tensor *tensors, size_t n_tensors,
                              void (*tick)(void *), void *context, uint64_t room, dn_checkpoint_draft **rest)
{
    const bool first = dn_comm_rank(comm) == 0;
    char path[PATH_MAX];
    start begun = {0};
    if (rest)
        *rest = NULL;
    DN_TRY(dn_generation_path(dir, step, path, sizeof path));
    for (size_t i = 0; i < n_tensors; i++) {
        const dn_tensor *t = &tensors[i].tensor;
        char why[160];
        if (!dn_shards_tile(t->rows, t->cols, tensors[i].shards, tensors[i].n_shards, why, sizeof why))
            return dn_fail(DN_ERR_ARG, "%s: %s", t->name, why);
    }
    writer *w = calloc(1, sizeof *w);
    if (!w)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    *w = (writer){.comm = comm, .step = step, .keep = keep, .tick = tick, .context = context, .chunk = malloc(CHUNK)};
    snprintf(w->dir, sizeof w->dir, "%s", dir);
    dn_status status = w->chunk ? DN_OK : dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    if (status == DN_OK && first)
        status = begin(w, path, room, meta, n_meta, tensors, n_tensors, &begun);
    if (status == DN_OK)
        status = dn_comm_broadcast(comm, &begun, sizeof begun, 0, DN_TRAFFIC_CONTROL);
    if (status == DN_OK && !first && dn_comm_node(comm, dn_comm_rank(comm)) == dn_comm_node(comm, 0))
        status = dn_atomic_file_join(path, begun.place, begun.file_bytes, &w->file);
    w->end = begun.header_bytes;
    if (status == DN_OK)
        status = write_tensors(w, tensors, n_tensors);
    if (status == DN_OK && w->draft.path) {
        *rest = w;
        return DN_OK;
    }
    if (status == DN_OK && first)
        status = finish(w);
    end(w);
    return status;
}

dn_status dn_checkpoint_finish(dn_checkpoint_draft **draft, void (*tick)(void *), void *context)
{
    writer *w = *draft;
    *draft = NULL;
    w->tick = tick;
    w->context = context;
    dn_status status = finish(w);
    end(w);
    return status;
}
