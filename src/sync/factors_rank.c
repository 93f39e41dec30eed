/* Adaptive ranks of Dion's matrices (optim/adadion.h): decided of global numbers, so all ranks decide alike.
 */
#include "sync/factors.h"

#include "base/fail.h"
#include "base/random.h"
#include "optim/adadion.h"

#include <math.h>

/* First stream of random numbers for fresh columns, below that of Q. */
#define STREAM_FRESH (UINT64_C(1) << 61)

size_t dn_factors_most_fresh(void)
{
    return dn_adadion_defaults().most_up;
}

/* Columns r .. r + k - 1, 0 so far, of this rank's band of Q: of N(0, 1/n), unit vectors in the mean. The
 * place of the basis is free: all ranks have read it. */
static dn_status add_fresh(const dn_factors *f, const dn_factored *x, uint64_t step, size_t r, size_t k)
{
    dn_stream *s = f->party->stream;
    dn_range band = x->bands.q;
    size_t rows = dn_range_size(band), room = x->slot->shape.r;
    dn_buf *q = x->slot->states[DN_STATE_Q].data;
    dn_random_normal(f->party->config->seed, STREAM_FRESH + (step << 20) + x->slot->index, band.first * k,
                     rows * k, 1 / sqrt((double)x->dion.shape.n), f->draws);
    dn_upload(s, x->basis, f->draws, rows * k);
    s->kernels->add_columns(s, q, f->columns + r, 1, x->basis, k, rows, room);
    return dn_stream_sync(s);
}

static dn_status adapt(const dn_factors *f, dn_factored *x, uint64_t step)
{
    const dn_adadion_rule rule = dn_adadion_defaults();
    size_t r = x->dion.shape.r;
    double smoothed = (double)x->rank[1];
    double effective = x->found == DN_ORTH_ZERO ? 0 : dn_adadion_effective_rank(x->squares, r);
    size_t next = dn_adadion_next_rank(&rule, effective, &smoothed, r, x->slot->shape.r);
    x->rank[0] = (dn_real)next;
    x->rank[1] = (dn_real)smoothed;
    dn_upload(f->party->stream, x->slot->states[DN_STATE_RANK].data, x->rank, 2);
    return next > r ? add_fresh(f, x, step, r, next - r) : DN_OK;
}

dn_status dn_factors_adapt(const dn_factors *f, dn_factor_batch *b, uint64_t step)
{
    for (size_t i = 0; i < b->n; i++)
        DN_TRY(adapt(f, &b->matrices[i], step));
    return dn_stream_sync(f->party->stream);
}
