#include "shard/gram.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"

#include <math.h>

/* ---- the choice ---- */

bool dn_gram_pays(const dn_optim_config *config, const dn_param_state *ps, size_t rows, size_t cols)
{
    size_t n_ranks = (size_t)dn_axes_size(ps->layout.size, DN_ALL_AXES);
    size_t a = dn_min(rows, cols), b = dn_max(rows, cols);
    unsigned short_cut = rows > cols ? ps->layout.col_axes : ps->layout.row_axes;
    bool must_be_whole = ps->rule->row_scale || ps->rule->transform;
    return config->gram && n_ranks > 1 && !short_cut && !must_be_whole && b > 2 * n_ranks * a;
}

static bool is_tall(const dn_owned_matrix *x)
{
    return x->rows > x->cols;
}

/* ---- one step ---- */

/* Squared norms of whole matrices, then parts of X / norm. What is zero stays so. */
static dn_status scale(const dn_owner_work *w, dn_owner_batch *b)
{
    const dn_param_group *group = w->group;
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->matrices[i].ps->distributed) {
            dn_block part = dn_owned_matrix_block(&b->matrices[i], group->mesh->at);
            group->stream->kernels->sum_squares(group->stream, &b->squares[n++], b->matrices[i].ps->grad,
                                                part.rows * part.cols);
        }
    DN_TRY(dn_stream_sync(group->stream));
    DN_TRY(dn_comm_all_reduce(group->mesh->all, b->squares, n, DN_F64, DN_SUM, DN_TRAFFIC_BASIS));
    n = 0;
    for (size_t i = 0; i < b->n; i++) {
        dn_owned_matrix *x = &b->matrices[i];
        if (!x->ps->distributed)
            continue;
        double square = b->squares[n++];
        dn_block part = dn_owned_matrix_block(x, group->mesh->at);
        x->info = !isfinite(square) ? DN_NS_NOT_FINITE : square == 0 ? DN_NS_ZERO : DN_NS_OK;
        if (x->info == DN_NS_NOT_FINITE)
            return dn_param_state_not_finite(x->ps);
        if (x->info == DN_NS_OK)
            group->stream->kernels->scale(group->stream, x->ps->grad, dn_ns_scale(&w->method, square),
                                          x->ps->grad, part.rows * part.cols);
    }
    return DN_OK;
}

/* One round: each X becomes X K (K X where it is wide), with K from its Gram matrix; a is the short side. */
static dn_status do_round(const dn_owner_work *w, const dn_owner_batch *b, int round)
{
    dn_stream *s = w->group->stream;
    const dn_mesh *mesh = w->group->mesh;
    for (size_t i = 0; i < b->n; i++) {
        const dn_owned_matrix *x = &b->matrices[i];
        dn_block part = dn_owned_matrix_block(x, mesh->at);
        if (x->ps->distributed)
            dn_ns_gram_shard(s, x->gram, x->ps->grad, part.rows, part.cols, is_tall(x)); /* a term [a, a] */
    }
    DN_TRY(dn_stream_sync(s));
    DN_TRY(
        dn_comm_reduce_to_owners(mesh->all, b->grams, b->n_distributed, DN_REAL, DN_SUM, DN_TRAFFIC_BASIS));
    for (size_t i = 0; i < b->n; i++) {
        const dn_owned_matrix *x = &b->matrices[i];
        size_t a = dn_min(x->rows, x->cols);
        if (!x->ps->distributed || x->ps->owner != dn_comm_rank(mesh->all))
            continue;
        dn_ns_gram_factor(s, &w->method, round, x->k, x->gram, a, w->workspace); /* at the owner: K [a, a] */
    }
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_comm_barrier(mesh->all));
    for (size_t i = 0; i < b->n; i++) {
        const dn_owned_matrix *x = &b->matrices[i];
        if (!x->ps->distributed)
            continue;
        dn_block part = dn_owned_matrix_block(x, mesh->at);
        size_t a = dn_min(x->rows, x->cols);
        const dn_buf *k = dn_comm_view_from_owner(mesh->all, dn_comm_chunk_of(x->k, a * a * sizeof(dn_real)),
                                                  x->ps->owner, DN_TRAFFIC_BASIS);
        dn_ns_gram_apply(s, x->ps->grad, k, part.rows, part.cols, is_tall(x), w->workspace);
    }
    return DN_OK;
}

dn_status dn_gram_orthonormalize(const dn_owner_work *w, dn_owner_batch *b)
{
    DN_TRY(scale(w, b));
    for (int round = 0; round < DN_NS_GRAM_ROUNDS; round++)
        DN_TRY(do_round(w, b, round));
    return dn_stream_sync(w->group->stream);
}

/* ---- what it costs ---- */

double dn_gram_block_flops(const dn_owned_matrix *x, const dn_mesh *mesh)
{
    dn_block part = dn_layout_block(&x->ps->layout, mesh->at);
    size_t a = dn_min(x->rows, x->cols), along = is_tall(x) ? part.rows : part.cols;
    return dn_ns_gram_shard_flops(a, a * along);
}
