/* The head's memory, for code that reads its logits. */
#ifndef NN_HEAD_H
#define NN_HEAD_H

#include "nn/layer.h"

typedef struct dn_head_kept {
    dn_norm norm;
    dn_buf *next; /* [n_sequences,V]: with a cache, the logits of all words; without tp that is logits */
    size_t logits_rows; /* positions that the head processes at a time */
    dn_buf *logits;     /* [logits_rows, words.n], activations; symmetric with a cache */
    dn_buf *parts[2]; /* [logits_rows,3]: partial cross-entropy, double-buffered; symmetric; NULL: tp has size
                         1 */
    const dn_buf *all_parts[DN_MAX_RANKS]; /* views of one of them on each rank of tp */
} dn_head_kept;

/** Rows of logits held at a time for N positions, equal on all ranks of tp: as many as the memory budget
 * allows, such that N is split into chunks of equal size. */
size_t dn_head_rows(const dn_spec *spec, int tp_size, size_t N);

#endif
