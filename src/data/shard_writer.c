#include "data/shard_writer.h"

#include "base/fail.h"
#include "base/nofile.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static void shard_path(const dn_shard_writer *w, size_t index, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s_%06zu.bin", w->dir, w->kind, index);
}

/* The number of tokens is known only now. */
dn_status dn_shard_writer_seal(dn_shard_writer *w)
{
    if (w->n == 0)
        return DN_OK;
    dn_shard_header header =
        dn_shard_header_of((size_t)w->in_last, w->vocab_size, w->tokenizer, w->text_in_last);
    DN_TRY(dn_atomic_file_write(&w->shards[w->n - 1], 0, &header, sizeof header));
    return dn_atomic_file_seal(&w->shards[w->n - 1], NULL, NULL);
}

static dn_status begin_shard(dn_shard_writer *w)
{
    static const dn_shard_header header;
    char path[PATH_MAX];
    DN_TRY(dn_shard_writer_seal(w));
    DN_TRY(dn_nofile_allow(w->n + 1, w->dir));
    dn_atomic_file *shards = realloc(w->shards, (w->n + 1) * sizeof *shards);
    if (!shards)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu shards of %s", w->n + 1, w->dir);
    w->shards = shards;
    shard_path(w, w->n, path);
    DN_TRY(dn_atomic_file_open(path, 0, &w->shards[w->n]));
    w->n++;
    w->in_last = w->text_in_last = 0;
    return dn_atomic_file_append(&w->shards[w->n - 1], &header, sizeof header);
}

dn_status dn_shard_writer_append(dn_shard_writer *w, const int32_t *tokens, size_t n, uint64_t text_bytes)
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
        w->in_last += piece;
        w->tokens += piece;
        w->text_in_last += text;
        w->text_bytes += text;
        tokens += piece;
        n -= piece;
        text_bytes -= text;
    }
    return DN_OK;
}

dn_status dn_shard_writer_publish(dn_shard_writer *w)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < w->n; i++)
        DN_TRY(dn_atomic_file_publish(&w->shards[i]));
    for (size_t index = w->n;; index++) {
        shard_path(w, index, path);
        if (unlink(path) != 0)
            return errno == ENOENT ? DN_OK
                                   : dn_fail_errno(DN_ERR_IO, errno,
                                                   "cannot remove %s, a shard of an earlier text", path);
    }
}

void dn_shard_writer_discard(dn_shard_writer *w)
{
    for (size_t i = 0; i < w->n; i++)
        dn_atomic_file_discard(&w->shards[i]);
    free(w->shards);
}
