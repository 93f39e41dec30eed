/* The head's memory, for what looks at its logits. */
#ifndef NN_HEAD_H
#define NN_HEAD_H

#include "nn/layer.h"

typedef struct dn_head_kept {
    dn_norm norm;
    size_t logits_rows; /* the head works on so many positions at a time */
    dn_buf *logits;     /* [logits_rows, words.n] */
    dn_buf *parts[2];   /* [logits_rows,3]: of the cross-entropy, in turn; symmetric; NULL: tp is a group of one */
    const dn_buf *all_parts[DN_MAX_RANKS]; /* one of them on each rank of tp, while the loss is joined */
} dn_head_kept;

/** Rows of logits to hold at a time for N positions, equal on all ranks of tp: as many as the budget allows,
 * N in chunks of equal size. */
size_t dn_head_rows(const dn_spec *spec, int tp_size, size_t N);

#endif
