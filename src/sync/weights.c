/* Weights that fs does not cut: one piece, the parameters themselves. */
#include "sync/weights.h"

#include "base/fail.h"

#include <stdlib.h>

struct dn_weights {
    dn_weight *weights; /* by first parameter of a stack */
    dn_piece *pieces;   /* [n_params], likewise */
};

size_t dn_weights_heap_bytes(const dn_param *params, size_t n_params, const size_t *unit_of,
                             const int size[DN_N_AXES], dn_gather gather)
{
    return 0;
}

/* Stacks that start with parameter i and go on with those behind it. */
static void describe(dn_weights *w, const dn_param *params, size_t n_params, size_t i)
{
    dn_piece *piece = &w->pieces[i];
    *piece = (dn_piece){.cols = params[i].block.cols, .weight = params[i].weight, .grad = params[i].grad};
    for (size_t k = i; k < n_params && params[k].stack == k - i; k++)
        piece->rows += params[k].block.rows;
    bool empty = piece->rows == 0 || piece->cols == 0;
    w->weights[i] = (dn_weight){piece->rows, piece->cols, empty ? 0 : 1, piece};
}

dn_status dn_weights_create(const dn_param *params, size_t n_params, const size_t *unit_of,
                            const dn_mesh *mesh, dn_gather gather, dn_stream *stream, dn_weights **out)
{
    *out = NULL;
    if (mesh->size[DN_FS] > 1)
        return dn_fail(DN_ERR_ARG, "weights cut over %d ranks are not available yet; set fs_size to 1",
                       mesh->size[DN_FS]);
    dn_weights *w = calloc(1, sizeof *w);
    if (w) {
        w->weights = calloc(n_params, sizeof *w->weights);
        w->pieces = calloc(n_params, sizeof *w->pieces);
    }
    if (!w || !w->weights || !w->pieces) {
        dn_weights_destroy(&w);
        return dn_fail(DN_ERR_MEMORY, "no memory to describe %zu weights", n_params);
    }
    for (size_t i = 0; i < n_params; i++)
        if (params[i].stack == 0)
            describe(w, params, n_params, i);
    *out = w;
    return DN_OK;
}

void dn_weights_destroy(dn_weights **weights)
{
    if (!*weights)
        return;
    free((*weights)->weights);
    free((*weights)->pieces);
    free(*weights);
    *weights = NULL;
}

dn_status dn_weights_open(dn_weights *weights, size_t unit, bool backward)
{
    return DN_OK;
}

const dn_weight *dn_weights_of(const dn_weights *weights, size_t first_param)
{
    return &weights->weights[first_param];
}

dn_status dn_weights_close(dn_weights *weights, size_t unit, bool backward)
{
    return DN_OK;
}
