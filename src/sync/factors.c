#include "sync/factors.h"

#include "base/fail.h"
#include "shm/world.h"

#include <math.h>

/* First stream of random numbers for sketches, above the model's and those of Q. */
#define STREAM_SKETCH (UINT64_C(1) << 63)

/* What the owner found out about a matrix in this step; the worst of all power iterations stands. */
enum { FINE, FELL_BACK, ZERO, BROKEN };

static bool owned(const dn_factors *f, const dn_factored *a)
{
    return a->owner == dn_comm_rank(f->dp);
}

/* The owner's copy of a symmetric buffer, to be read in place. */
static dn_buf *owners(const dn_factors *f, const dn_factored *a, const dn_buf *x)
{
    return dn_comm_peer(f->dp, x, a->owner);
}

static int verdict(const dn_factors *f, const dn_factored *a)
{
    return *(const int *)dn_comm_peer(f->dp, a->verdict, a->owner);
}

static void judge(dn_factored *a, int found)
{
    if (*a->verdict < found)
        *a->verdict = found;
}

/* ---- owners ---- */

/* Work that only the owner of a matrix does in one power iteration. */
static double owner_flops(const dn_factored *a)
{
    double products = a->compressed ? 0 : 2 * dn_dion_product_flops(&a->dion.shape);
    return products + dn_dion_orth_flops(&a->dion.shape);
}

static dn_factored *most_expensive_left(dn_factors *f)
{
    dn_factored *best = NULL;
    for (size_t i = 0; i < f->n_matrices; i++) {
        dn_factored *a = &f->matrices[i];
        if (a->owner < 0 && (!best || owner_flops(a) > owner_flops(best)))
            best = a;
    }
    return best;
}

static void fill_items(dn_factors *f)
{
    f->n_items = 0;
    for (size_t i = 0; i < f->n_matrices; i++) {
        const dn_factored *a = &f->matrices[i];
        const dn_dion_shape *z = &a->dion.shape;
        if (!a->compressed)
            continue;
        f->p_items[f->n_items] = (dn_owned){a->p, z->m * z->r, a->owner};
        f->r_items[f->n_items] = (dn_owned){a->r, z->n * z->r, a->owner};
        f->n_items++;
    }
}

void dn_factors_deal(dn_factors *f)
{
    double load[DN_MAX_RANKS] = {0};
    for (size_t i = 0; i < f->n_matrices; i++)
        f->matrices[i].owner = -1;
    for (dn_factored *a; (a = most_expensive_left(f));) {
        a->owner = 0;
        for (int rank = 1; rank < dn_comm_size(f->dp); rank++)
            if (load[rank] < load[a->owner])
                a->owner = rank;
        load[a->owner] += owner_flops(a);
    }
    fill_items(f);
}

double dn_factors_flops(const dn_factors *f)
{
    double flops = 0;
    for (size_t i = 0; i < f->n_matrices; i++) {
        const dn_factored *a = &f->matrices[i];
        double product = dn_dion_product_flops(&a->dion.shape);
        flops += 2 * product; /* into M and X */
        if (a->compressed)
            flops += f->power_iters * 2 * product;
        if (owned(f, a))
            flops += f->power_iters * owner_flops(a);
    }
    return flops;
}

/* ---- one step ---- */

/* After this all members know what the owners found out, and may read what they made. */
static dn_status agree(dn_factors *f)
{
    DN_TRY(dn_stream_sync(f->stream));
    DN_TRY(dn_comm_barrier(f->dp));
    for (size_t i = 0; i < f->n_matrices; i++)
        if (verdict(f, &f->matrices[i]) == BROKEN)
            return dn_fail(DN_ERR_NUMERIC,
                           "%s: momentum beyond the range of numbers; training diverged, lower lr",
                           f->matrices[i].name);
    return DN_OK;
}

static dn_status average(dn_factors *f, const dn_owned *items)
{
    DN_TRY(dn_stream_sync(f->stream));
    if (f->n_items == 0)
        return DN_OK;
    return dn_comm_reduce_to_owners(f->dp, items, f->n_items, DN_REAL, DN_AVG, DN_TRAFFIC_FACTORS);
}

static dn_status squared_norm(dn_factors *f, const dn_buf *x, size_t n, double *out)
{
    f->stream->kernels->sum_squares(f->stream, out, x, n);
    return dn_stream_sync(f->stream);
}

/* p = B basis, where this member has to: everywhere if it is to be averaged, else on the owner. */
static void project(dn_factors *f, const dn_factored *a, bool first)
{
    if (a->compressed || owned(f, a))
        dn_dion_project(f->stream, &a->dion, a->p, first ? a->dion.q : owners(f, a, a->r));
}

static void reflect(dn_factors *f, const dn_factored *a)
{
    if (a->compressed || owned(f, a))
        dn_dion_reflect(f->stream, &a->dion, a->r, owners(f, a, a->p));
}

/* P of one owned matrix, orthonormal; 0 stays 0. `turn` counts power iterations over the run. */
static dn_status orthonormalize(dn_factors *f, dn_factored *a, uint64_t turn)
{
    const dn_dion_shape *z = &a->dion.shape;
    double norm2;
    DN_TRY(squared_norm(f, a->p, z->m * z->r, &norm2));
    if (norm2 == 0 || !isfinite(norm2)) {
        judge(a, norm2 == 0 ? ZERO : BROKEN);
        return DN_OK;
    }
    uint64_t draw = STREAM_SKETCH + (turn << 20) + a->index; /* fewer than 2^20 parameters */
    bool fell_back;
    DN_TRY(dn_orthonormalize(f->stream, f->orth, a->p, z->m, z->r, f->seed, draw, &fell_back));
    if (fell_back)
        judge(a, FELL_BACK);
    return DN_OK;
}

/* All P: averaged and orthonormal on their owners. */
static dn_status find_p(dn_factors *f, uint64_t step, int iteration)
{
    for (size_t i = 0; i < f->n_matrices; i++) {
        dn_comm_tick(f->dp, step, "dion: P");
        if (iteration == 0)
            dn_dion_accumulate(f->stream,
                               &f->matrices[i].dion); /* here, while M is in the cache for its product */
        project(f, &f->matrices[i], iteration == 0);
    }
    DN_TRY(average(f, f->p_items));
    uint64_t turn = step * (uint64_t)f->power_iters + (uint64_t)iteration;
    for (size_t i = 0; i < f->n_matrices; i++) {
        dn_comm_tick(f->dp, step, "dion: orthonormalize");
        if (owned(f, &f->matrices[i]))
            DN_TRY(orthonormalize(f, &f->matrices[i], turn));
    }
    return agree(f);
}

/* All R = B^T P: averaged on their owners. */
static dn_status find_r(dn_factors *f, uint64_t step)
{
    for (size_t i = 0; i < f->n_matrices; i++) {
        dn_comm_tick(f->dp, step, "dion: R");
        reflect(f, &f->matrices[i]);
    }
    DN_TRY(average(f, f->r_items));
    for (size_t i = 0; i < f->n_matrices; i++) {
        dn_factored *a = &f->matrices[i];
        if (!owned(f, a))
            continue;
        double norm2;
        DN_TRY(squared_norm(f, a->r, a->dion.shape.n * a->dion.shape.r, &norm2));
        if (!isfinite(norm2))
            judge(a, BROKEN);
    }
    return agree(f);
}

static dn_status factor(dn_factors *f, uint64_t step)
{
    for (size_t i = 0; i < f->n_matrices; i++)
        *f->matrices[i].verdict = FINE;
    for (int i = 0; i < f->power_iters; i++) {
        DN_TRY(find_p(f, step, i));
        DN_TRY(find_r(f, step));
    }
    return DN_OK;
}

static void update(dn_factors *f, uint64_t step, const dn_dion_step *rule, int *n_zero, int *n_fallback)
{
    for (size_t i = 0; i < f->n_matrices; i++) {
        dn_comm_tick(f->dp, step, "dion: update");
        const dn_factored *a = &f->matrices[i];
        int found = verdict(f, a);
        *n_zero += found == ZERO;
        *n_fallback += found == FELL_BACK;
        if (found == ZERO)
            dn_dion_decay(f->stream, &a->dion, rule);
        else
            dn_dion_update(f->stream, &a->dion, owners(f, a, a->p), owners(f, a, a->r), rule);
    }
}

dn_status dn_factors_step(dn_factors *f, uint64_t step, const dn_dion_step *rule, int *n_zero,
                          int *n_fallback)
{
    *n_zero = *n_fallback = 0;
    /* Replicas exchange for all at once; alone, a matrix goes through all phases while it is in cache. */
    size_t batch = dn_comm_size(f->dp) > 1 ? f->n_matrices : 1;
    for (size_t first = 0; first < f->n_matrices; first += batch) {
        dn_factors some = *f;
        some.matrices += first;
        some.n_matrices = batch;
        DN_TRY(factor(&some, step));
        update(&some, step, rule, n_zero, n_fallback);
    }
    return dn_stream_sync(f->stream);
}
