/* Adaptive ranks of Dion's matrices (optim/adadion.h). They are decided from norms of whole columns, so all
 * ranks decide alike. */
#include "shard/lowrank.h"

#include "base/fail.h"
#include "base/random.h"
#include "optim/adadion.h"

#include <math.h>

/* First stream of random numbers for fresh columns, below that of Q. */
#define STREAM_FRESH (UINT64_C(1) << 61)

size_t dn_lowrank_max_new_columns(void)
{
    return dn_adadion_defaults().most_up;
}

dn_status dn_lowrank_adapt(const dn_lowrank *f, dn_lowrank_batch *b, uint64_t step)
{
    const dn_adadion_rule rule = dn_adadion_defaults();
    dn_stream *s = f->group->stream;
    for (size_t i = 0; i < b->n; i++) {
        dn_lowrank_matrix *x = &b->matrices[i];
        size_t r = x->dion.shape.r, most = x->ps->shape.r;
        double smoothed = (double)x->rank[1];
        double effective = x->info == DN_ORTH_ZERO ? 0 : dn_adadion_effective_rank(x->squares, r);
        size_t next = dn_adadion_next_rank(&rule, effective, &smoothed, r, most);
        x->rank[0] = (dn_real)next;
        x->rank[1] = (dn_real)smoothed;
        dn_upload(s, x->ps->states[DN_STATE_RANK].data, x->rank, 2);
        if (next <= r)
            continue;

        /* This rank's shard of the columns r .. next - 1 of Q, which are 0 so far: of N(0, 1/n), unit vectors
         * in the mean. The memory of the basis is free: all ranks have read it. */
        size_t fresh = next - r, rows = dn_range_size(x->shards.q);
        dn_buf *q = x->ps->states[DN_STATE_Q].data;
        dn_random_normal(f->group->config->seed, STREAM_FRESH + (step << 20) + x->ps->index,
                         x->shards.q.first * fresh, rows * fresh, 1 / sqrt((double)x->dion.shape.n),
                         f->draws);
        dn_upload(s, x->basis, f->draws, rows * fresh);
        s->kernels->add_columns(s, q, f->columns + r, 1, x->basis, fresh, rows, most);
        DN_TRY(dn_stream_sync(s)); /* f->draws is the next matrix's, too */
    }
    return dn_stream_sync(s);
}
