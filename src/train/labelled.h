/* Labelled texts as a model reads them: tokens, and micro-batches of them in an order that seed and step alone decide. */
#ifndef TRAIN_LABELLED_H
#define TRAIN_LABELLED_H

#include "data/labels.h"
#include "dionode/tokenizer.h"

typedef struct dn_labelled_tokens {
    const dn_labels *labels; /* borrowed */
    int32_t *tokens;         /* of all texts, one behind the other */
    size_t *first;           /* [labels->n + 1]: where those of a text begin; it has one at least */
    size_t most;             /* that are read of a text, its first ones: the longest has so many, or more */
    size_t n_cut;            /* texts that have more */
} dn_labelled_tokens;

/** Encodes all texts; tokenizer NULL: bytes. most: positions that the model has. *out is to be closed also after an error.
 * Errors: DN_ERR_DATA a text of no token, or with one that is not below vocab_size; dn_encode's; DN_ERR_MEMORY. */
dn_status dn_labelled_encode(const dn_labels *labels, const dn_tokenizer *tokenizer, size_t vocab_size, size_t most,
                             dn_labelled_tokens *out) DN_MUST_USE;
void dn_labelled_close(dn_labelled_tokens *texts);

/** Tokens that are read of a text. */
size_t dn_labelled_length(const dn_labelled_tokens *texts, size_t row);

/** rows [n] of training, or those held out, to `rows` [labels->n], in the order of the file; returns n. */
size_t dn_labelled_rows(const dn_labelled_tokens *texts, bool held_out, uint32_t *rows);

/** Shuffles rows [n] for an epoch: batches of rows of like length, which is little padding, in random order. */
void dn_labelled_shuffle(const dn_labelled_tokens *texts, uint32_t *rows, size_t n, size_t batch, uint64_t seed, uint64_t epoch);
/** Puts long ones first, equal ones as they stood. */
void dn_labelled_sort(const dn_labelled_tokens *texts, uint32_t *rows, size_t n);

/** The micro-batch of rows [B]: inputs and targets [B,*T], *T the longest one's length. A target is the class at a text's last
 * token, and -1 elsewhere; behind it stand tokens that nothing reads. */
void dn_labelled_batch(const dn_labelled_tokens *texts, const uint32_t *rows, size_t B, int32_t *inputs, int32_t *targets,
                       size_t *T);

#endif
