/* What a model is: its sizes and its architecture; nothing of ranks, memory or files. */
#ifndef NN_SPEC_H
#define NN_SPEC_H

#include <stdbool.h>
#include <stddef.h>

typedef struct dn_spec {
    size_t V, T, C, L, NH; /* vocabulary, positions, model width, layers, attention heads */
    size_t hd;             /* size of a head; 0: C / NH */
    bool split_heads;      /* heads' parts of c_q, c_k and c_v are matrices of their own to the optimizer */
    const struct dn_architecture *architecture; /* a row of the registry (model/model.h); layers do not read it */
} dn_spec;

static inline size_t dn_head_size(const dn_spec *spec)
{
    return spec->hd > 0 ? spec->hd : spec->C / spec->NH;
}

#endif
