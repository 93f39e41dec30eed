/*
 * The text of one continuation, token by token: whole characters, and nothing that may turn out to be a stop
 * string.
 */
#ifndef TRAIN_CONTINUATION_H
#define TRAIN_CONTINUATION_H

#include "dionode/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct dn_continuation {
    dn_decoder decoder; /* its tokenizer NULL: tokens are bytes */
    const char *const *stops;
    size_t n_stops;
    char *held; /* [n_held] decoded, and not yet given out */
    size_t n_held;
} dn_continuation;

/** tokenizer NULL: tokens are bytes. It and stops [n_stops], not empty, are borrowed. Errors: DN_ERR_MEMORY.
 * Must be closed either way. */
dn_status dn_continuation_open(dn_continuation *c, const dn_tokenizer *tokenizer, const char *const *stops,
                               size_t n_stops) DN_MUST_USE;
void dn_continuation_close(dn_continuation *c);

/** A token of the prompt: what follows is decoded as its continuation. */
void dn_continuation_skip(dn_continuation *c, int32_t token);

/** The first *ready bytes of held may be given out now that the token is there, then dropped by
 * dn_continuation_drop. True: a stop string follows them, and the text is over. */
bool dn_continuation_add(dn_continuation *c, int32_t token, size_t *ready);
/** The same for the end of the text, from which on nothing is held. */
void dn_continuation_end(dn_continuation *c, size_t *ready);
void dn_continuation_drop(dn_continuation *c, size_t n);

#endif
