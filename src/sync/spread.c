#include "sync/spread.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"

#include <math.h>

/* ---- the choice ---- */

bool dn_spread_pays(const dn_optim_config *config, const dn_slot *slot, size_t rows, size_t cols)
{
    size_t n_ranks = (size_t)dn_axes_size(slot->layout.size, DN_ALL_AXES);
    size_t a = dn_min(rows, cols), b = dn_max(rows, cols);
    unsigned short_cut = rows > cols ? slot->layout.col_axes : slot->layout.row_axes;
    bool must_be_whole = slot->rule->row_scale || slot->rule->transform;
    return config->gram && n_ranks > 1 && !short_cut && !must_be_whole && b > 2 * n_ranks * a;
}

static bool is_tall(const dn_whole *x)
{
    return x->rows > x->cols;
}

/* ---- one step ---- */

/* Squared norms of whole matrices, then parts of X / norm. What is zero stays so. */
static dn_status scale(const dn_wholes *w, dn_whole_batch *b)
{
    const dn_party *party = w->party;
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->matrices[i].slot->spread) {
            dn_block part = dn_whole_part(&b->matrices[i], party->mesh->at);
            party->stream->kernels->sum_squares(party->stream, &b->squares[n++], b->matrices[i].slot->grad,
                                                part.rows * part.cols);
        }
    DN_TRY(dn_stream_sync(party->stream));
    DN_TRY(dn_comm_all_reduce(party->mesh->all, b->squares, n, DN_F64, DN_SUM, DN_TRAFFIC_BASIS));
    n = 0;
    for (size_t i = 0; i < b->n; i++) {
        dn_whole *x = &b->matrices[i];
        if (!x->slot->spread)
            continue;
        double square = b->squares[n++];
        dn_block part = dn_whole_part(x, party->mesh->at);
        x->found = !isfinite(square) ? DN_NS_BROKEN : square == 0 ? DN_NS_ZERO : DN_NS_FINE;
        if (x->found == DN_NS_BROKEN)
            return dn_slot_broken(x->slot);
        if (x->found == DN_NS_FINE)
            party->stream->kernels->scale(party->stream, x->slot->grad, dn_ns_scale(&w->method, square),
                                          x->slot->grad, part.rows * part.cols);
    }
    return DN_OK;
}

/* One round: each X becomes X K (K X where it is wide), with K from its Gram matrix; a is the short side. */
static dn_status do_round(const dn_wholes *w, const dn_whole_batch *b, int round)
{
    dn_stream *s = w->party->stream;
    const dn_mesh *mesh = w->party->mesh;
    for (size_t i = 0; i < b->n; i++) {
        const dn_whole *x = &b->matrices[i];
        dn_block part = dn_whole_part(x, mesh->at);
        if (x->slot->spread)
            dn_ns_gram_part(s, x->gram, x->slot->grad, part.rows, part.cols, is_tall(x)); /* a term [a, a] */
    }
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_comm_reduce_to_owners(mesh->all, b->grams, b->n_spread, DN_REAL, DN_SUM, DN_TRAFFIC_BASIS));
    for (size_t i = 0; i < b->n; i++) {
        const dn_whole *x = &b->matrices[i];
        size_t a = dn_min(x->rows, x->cols);
        if (!x->slot->spread || x->slot->owner != dn_comm_rank(mesh->all))
            continue;
        dn_ns_gram_factor(s, &w->method, round, x->k, x->gram, a, w->workspace); /* at the owner: K [a, a] */
    }
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_comm_barrier(mesh->all));
    for (size_t i = 0; i < b->n; i++) {
        const dn_whole *x = &b->matrices[i];
        if (!x->slot->spread)
            continue;
        dn_block part = dn_whole_part(x, mesh->at);
        size_t a = dn_min(x->rows, x->cols);
        const dn_buf *k = dn_comm_view_from_owner(mesh->all, dn_comm_chunk_of(x->k, a * a * sizeof(dn_real)),
                                                  x->slot->owner, DN_TRAFFIC_BASIS);
        dn_ns_gram_apply(s, x->slot->grad, k, part.rows, part.cols, is_tall(x), w->workspace);
    }
    return DN_OK;
}

dn_status dn_spread_orthonormalize(const dn_wholes *w, dn_whole_batch *b)
{
    DN_TRY(scale(w, b));
    for (int round = 0; round < DN_NS_GRAM_ROUNDS; round++)
        DN_TRY(do_round(w, b, round));
    return dn_stream_sync(w->party->stream);
}

/* ---- what it costs ---- */

double dn_spread_part_flops(const dn_whole *x, const dn_mesh *mesh)
{
    dn_block part = dn_layout_part(&x->slot->layout, mesh->at);
    size_t a = dn_min(x->rows, x->cols), along = is_tall(x) ? part.rows : part.cols;
    return dn_ns_gram_part_flops(a, a * along);
}
