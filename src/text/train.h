/* Training byte-level BPE: words are counted first, then pairs of tokens in them merge. */
#ifndef TEXT_TRAIN_H
#define TEXT_TRAIN_H

#include "dionode/tokenizer.h"

typedef struct dn_bpe_trainer dn_bpe_trainer;

/** *out is owned by the caller. Errors: DN_ERR_MEMORY. */
dn_status dn_bpe_trainer_create(dn_bpe_trainer **out) DN_MUST_USE;
void dn_bpe_trainer_destroy(dn_bpe_trainer **trainer);

/** Counts the words of a text; what is not UTF-8 is left out. Errors: DN_ERR_MEMORY. */
dn_status dn_bpe_trainer_count(dn_bpe_trainer *trainer, const char *text, size_t n) DN_MUST_USE;

/** Merges until there are `size` tokens, or no pair is left, and writes tokenizer.json to path; once.
 * progress (may be NULL) gets the tokens so far. Errors: DN_ERR_MEMORY, DN_ERR_IO. */
dn_status dn_bpe_trainer_write(dn_bpe_trainer *trainer, size_t size, const char *path,
                               void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                               size_t *made) DN_MUST_USE;

/** A place at which a text of n bytes can be cut so that its two parts have the words of the whole: behind a
 * newline between two characters that are not white space, the last such place. 0: there is none. */
size_t dn_text_cut(const char *text, size_t n);

#endif
