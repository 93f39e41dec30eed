/* Writes the shards of one set, "train" or "val": under temporary names until all are complete. */
#ifndef DATA_SHARD_WRITER_H
#define DATA_SHARD_WRITER_H

#include "base/atomic_file.h"
#include "data/tokens.h"

typedef struct dn_shard_writer {
    const char *dir, *kind; /* borrowed */
    uint64_t limit;         /* tokens a shard */
    size_t vocab_size;
    uint64_t tokenizer;          /* its hash; 0: bytes */
    bool masked;                 /* not all tokens count as targets: a mask beside each shard says which do */
    uint64_t tokens, text_bytes; /* in all shards */
    uint64_t counted;            /* as targets */
    uint64_t in_last, text_in_last;
    dn_atomic_file *shards, *masks; /* [n], owned; the last is being filled. Masks of none but masked ones are open */
    size_t n;
    uint8_t *bits; /* of the last mask, with room for n_bits bytes; owned */
    size_t n_bits;
} dn_shard_writer;

/** Appends n tokens, which stand for text_bytes bytes of text. counts: as targets; all must, unless w->masked. Errors:
 * DN_ERR_IO, DN_ERR_MEMORY. */
dn_status dn_shard_writer_append(dn_shard_writer *w, const int32_t *tokens, size_t n, bool counts,
                                 uint64_t text_bytes) DN_MUST_USE;

/** Completes the last shard. Errors: DN_ERR_IO. */
dn_status dn_shard_writer_seal(dn_shard_writer *w) DN_MUST_USE;

/** Renames all shards and masks to their final names, and removes what an earlier, longer text left: shards with higher
 * numbers, masks. Errors: DN_ERR_IO. */
dn_status dn_shard_writer_publish(dn_shard_writer *w) DN_MUST_USE;

/** Removes unpublished shards and frees all memory. */
void dn_shard_writer_discard(dn_shard_writer *w);

#endif
