#include "data/shard_writer.h"

#include "base/fail.h"
#include "base/nofile.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void shard_path(const dn_shard_writer *w, size_t index, const char *ending, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s_%06zu.%s", w->dir, w->kind, index, ending);
}

/* The number of tokens is known only now. */
dn_status dn_shard_writer_seal(dn_shard_writer *w)
{
    if (w->n == 0)
        return DN_OK;
    dn_shard_header header =
        dn_shard_header_of((size_t)w->in_last, w->vocab_size, w->tokenizer, w->text_in_last);
    header.masked = w->masked;
    DN_TRY(dn_atomic_file_write(&w->shards[w->n - 1], 0, &header, sizeof header));
    DN_TRY(dn_atomic_file_seal(&w->shards[w->n - 1], NULL, NULL));
    if (!w->masked)
        return DN_OK;
    DN_TRY(dn_atomic_file_append(&w->masks[w->n - 1], w->bits, dn_mask_bytes((size_t)w->in_last)));
    return dn_atomic_file_seal(&w->masks[w->n - 1], NULL, NULL);
}

/* Whether n more tokens of the last shard count. */
static dn_status mark(dn_shard_writer *w, size_t n, bool counts)
{
    size_t begin = (size_t)w->in_last, end = begin + n, needed = dn_mask_bytes(end);
    if (!w->masked)
        return DN_OK;
    if (needed > w->n_bits) {
        uint8_t *bits = realloc(w->bits, 2 * needed);
        if (!bits)
            return dn_fail(DN_ERR_MEMORY, "no memory for a mask of %zu tokens", end);
        w->bits = bits;
        w->n_bits = 2 * needed;
    }
    memset(w->bits + dn_mask_bytes(begin), 0, needed - dn_mask_bytes(begin));
    for (size_t i = begin; i < end && counts; i++)
        w->bits[i / 8] |= (uint8_t)(1u << i % 8);
    return DN_OK;
}

static dn_status begin_shard(dn_shard_writer *w)
{
    static const dn_shard_header header;
    char path[PATH_MAX];
    DN_TRY(dn_shard_writer_seal(w));
    DN_TRY(dn_nofile_allow((w->n + 1) * (w->masked ? 2 : 1), w->dir));
    dn_atomic_file *shards = realloc(w->shards, (w->n + 1) * sizeof *shards);
    w->shards = shards ? shards : w->shards;
    dn_atomic_file *masks = realloc(w->masks, (w->n + 1) * sizeof *masks);
    w->masks = masks ? masks : w->masks;
    if (!shards || !masks)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu shards of %s", w->n + 1, w->dir);
    w->masks[w->n] = (dn_atomic_file){0};
    shard_path(w, w->n, "bin", path);
    DN_TRY(dn_atomic_file_open(path, 0, &w->shards[w->n]));
    w->n++;
    shard_path(w, w->n - 1, "mask", path);
    if (w->masked)
        DN_TRY(dn_atomic_file_open(path, 0, &w->masks[w->n - 1]));
    w->in_last = w->text_in_last = 0;
    return dn_atomic_file_append(&w->shards[w->n - 1], &header, sizeof header);
}

dn_status dn_shard_writer_append(dn_shard_writer *w, const int32_t *tokens, size_t n, bool counts, uint64_t text_bytes)
{
    size_t width = dn_shard_width(w->vocab_size);
    uint32_t wide[2048];
    uint16_t *narrow = (uint16_t *)wide;
    while (n > 0) {
        if (w->n == 0 || w->in_last == w->limit)
            DN_TRY(begin_shard(w));
        size_t piece = sizeof wide / width;
        piece = piece < n ? piece : n;
        if (piece > w->limit - w->in_last)
            piece = (size_t)(w->limit - w->in_last);
        for (size_t i = 0; i < piece; i++)
            if (width == sizeof *wide)
                wide[i] = (uint32_t)tokens[i];
            else
                narrow[i] = (uint16_t)tokens[i];
        DN_TRY(dn_atomic_file_append(&w->shards[w->n - 1], wide, piece * width));
        uint64_t text = text_bytes * piece / n; /* this shard's part, in proportion */
        DN_TRY(mark(w, piece, counts));
        w->in_last += piece;
        w->counted += counts ? piece : 0;
        w->tokens += piece;
        w->text_in_last += text;
        w->text_bytes += text;
        tokens += piece;
        n -= piece;
        text_bytes -= text;
    }
    return DN_OK;
}

/* *there: whether an earlier text has left such a file. */
static dn_status remove_older(const dn_shard_writer *w, size_t index, const char *ending, bool *there)
{
    char path[PATH_MAX];
    shard_path(w, index, ending, path);
    *there = unlink(path) == 0;
    return *there || errno == ENOENT ? DN_OK
                                     : dn_fail_errno(DN_ERR_IO, errno, "cannot remove %s, of an earlier text", path);
}

dn_status dn_shard_writer_publish(dn_shard_writer *w)
{
    for (size_t i = 0; i < w->n; i++) {
        DN_TRY(dn_atomic_file_publish(&w->shards[i]));
        if (w->masked)
            DN_TRY(dn_atomic_file_publish(&w->masks[i]));
    }
    bool more = true;
    for (size_t i = w->masked ? w->n : 0; i < w->n || more; i++) {
        DN_TRY(remove_older(w, i, "mask", &more));
        more = true;
        if (i >= w->n)
            DN_TRY(remove_older(w, i, "bin", &more));
    }
    return DN_OK;
}

void dn_shard_writer_discard(dn_shard_writer *w)
{
    for (size_t i = 0; i < w->n; i++) {
        dn_atomic_file_discard(&w->shards[i]);
        dn_atomic_file_discard(&w->masks[i]);
    }
    free(w->shards);
    free(w->masks);
    free(w->bits);
}
