/* What a generation begins with. */
#ifndef TRAIN_PROMPT_H
#define TRAIN_PROMPT_H

#include "dionode/comm.h"
#include "dionode/tokenizer.h"
#include "dionode/train.h"
#include "nn/spec.h"

typedef struct dn_prompt {
    char *text; /* [n_text], as it was given */
    int32_t *tokens;
    size_t n_text, n; /* 1 <= n <= T */
} dn_prompt;

/** Collective over comm (NULL: alone), of which rank 0 reads. The last T tokens of the prompt; of an empty
 * one the token that texts begin with, or end with, or a new line. Must be freed either way. Errors:
 * DN_ERR_IO, DN_ERR_MEMORY, DN_ERR_CONFIG what is no token of the model. */
dn_status dn_prompt_read(dn_prompt *prompt, const dn_generation *what, const dn_tokenizer *tokenizer,
                         const dn_spec *spec, dn_comm *comm) DN_MUST_USE;
void dn_prompt_free(dn_prompt *prompt);

#endif
