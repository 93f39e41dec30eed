#include "sync/factors.h"

#include "base/fail.h"

#include <math.h>
#include <string.h>

/* Where the streams of random numbers for sketches of P, and of R, begin: above the model's and Q's. */
#define STREAM_SKETCH_P (UINT64_C(2) << 62)
#define STREAM_SKETCH_R (UINT64_C(3) << 62)

/* ---- the states of a matrix ---- */

static dn_block part_of_q(const dn_slot *slot, const int at[DN_N_AXES])
{
    dn_range band = dn_layout_bands(&slot->layout, slot->shape.transposed, at).q;
    return (dn_block){band.first, dn_range_size(band), 0, slot->shape.r};
}

static dn_block part_of_rank(const dn_slot *slot, const int at[DN_N_AXES])
{
    (void)slot, (void)at;
    return (dn_block){0, 1, 0, 2};
}

static void describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    const dn_param *param = slot->param;
    slot->shape = dn_dion_shape_of(param->rows, param->cols, config->rank_fraction,
                                   (size_t)config->rank_multiple_of);
    bool compressed = config->compress && dn_dion_compresses(&slot->shape, config->rank_fraction);
    slot->layout = dn_layout_of(param, size, compressed);
    dn_slot_add_state(slot, "dion.momentum", param->rows, param->cols, dn_slot_part);
    slot->states[DN_STATE_MOMENTUM].per_replica = slot->layout.replicas != 0;
    dn_slot_add_state(slot, "dion.q", slot->shape.n, slot->shape.r, part_of_q);
    if (config->adaptive_rank) {
        dn_slot_add_state(slot, "dion.rank", 1, 2, part_of_rank);
        slot->states[DN_STATE_RANK].everywhere = true;
        slot->states[DN_STATE_RANK].type = DN_REAL; /* a number that counts */
    }
}

/* ---- Q between steps ---- */

/* This rank's band of Q in the memory of the basis: as many columns as the step has. */
static dn_buf *own_band(const dn_factored *x)
{
    return dn_at(x->basis, (x->bands.q.first - x->bands.n.first) * x->dion.shape.r);
}

/* The state has a column for each of the largest rank, of which the step takes the first r. */
static void load_band(const dn_party *party, const dn_factored *x)
{
    const dn_factors *f = party->work;
    const dn_kernels *k = party->stream->kernels;
    size_t rows = dn_range_size(x->bands.q), r = x->dion.shape.r, most = x->slot->shape.r;
    dn_buf *q = x->slot->states[DN_STATE_Q].data;
    if (r == most)
        k->copy(party->stream, own_band(x), q, rows * r);
    else
        k->take_columns(party->stream, own_band(x), q, f->columns, r, rows, most, 1);
}

static void store_band(const dn_party *party, const dn_factored *x)
{
    const dn_factors *f = party->work;
    const dn_kernels *k = party->stream->kernels;
    size_t rows = dn_range_size(x->bands.q), r = x->dion.shape.r, most = x->slot->shape.r;
    dn_buf *q = x->slot->states[DN_STATE_Q].data;
    if (r == most) {
        k->copy(party->stream, q, own_band(x), rows * r);
        return;
    }
    k->fill(party->stream, q, rows * most, 0);
    k->add_columns(party->stream, q, f->columns, 1, own_band(x), r, rows, most);
}

/* ---- one step ---- */

/*
 * The P of a bucket, or its R, each where its bands are. first_stream + turn: where the random numbers of its
 * sketches begin; turn counts orthonormalizations of the same matrices over the run (there are fewer than
 * 2^20 matrices). Adds the rounds that it took, which depend on the numbers, to records.
 */
static dn_status orthonormalize(dn_factors *f, dn_factor_batch *b, bool of_r, uint64_t first_stream, uint64_t turn)
{
    const dn_party *party = f->party;
    dn_orth_matrix *orth = of_r ? b->orth_r : b->orth_p;
    for (size_t i = 0; i < b->n; i++)
        orth[i].draw = first_stream + (turn << 20) + b->matrices[i].slot->index;
    DN_TRY(dn_orthonormalize(party->stream, party->mesh->all, party->config->orth, party->config->seed,
                             f->orth_workspace, f->orth_bytes, orth, b->n));
    for (size_t i = 0; i < b->n; i++) {
        dn_orth_record *record = &b->matrices[i].orth[of_r];
        record->r = orth[i].r;
        record->owner = orth[i].owner;
        dn_orth_rounds_add(&record->rounds, &orth[i].rounds);
    }
    for (size_t i = 0; i < b->n; i++) {
        dn_factored *x = &b->matrices[i];
        if (orth[i].found == DN_ORTH_BROKEN)
            return dn_slot_broken(x->slot);
        if (x->found < orth[i].found)
            x->found = orth[i].found;
    }
    return dn_stream_sync(party->stream);
}

/* A matrix whose P is zero has no R and keeps its Q: of the sum that R is elsewhere, each rank has the rows
 * of its own band as its term, and zeros in all others. */
static void keep_basis(const dn_party *party, const dn_factored *x)
{
    const dn_range n = x->bands.n, band = x->bands.r;
    size_t r = x->dion.shape.r;
    party->stream->kernels->fill(party->stream, x->basis, (band.first - n.first) * r, 0);
    party->stream->kernels->fill(party->stream, dn_at(x->basis, (band.end - n.first) * r),
                                 (n.end - band.end) * r, 0);
}

/* squares [r] of each matrix = squared norms of the columns of the whole R, the same bits on all ranks. A
 * barrier: behind it all ranks have read what was gathered. */
static dn_status sum_squares(const dn_party *party, dn_factor_batch *b)
{
    memset(b->squares, 0, b->n_squares * sizeof *b->squares); /* an empty band adds nothing */
    for (size_t i = 0; i < b->n; i++) {
        const dn_factored *x = &b->matrices[i];
        size_t r = x->dion.shape.r, at = (x->bands.r.first - x->bands.n.first) * r;
        party->stream->kernels->column_squares(party->stream, x->squares, dn_at(x->basis, at),
                                               dn_range_size(x->bands.r), r);
    }
    DN_TRY(dn_stream_sync(party->stream));
    DN_TRY(dn_comm_all_reduce(party->mesh->all, b->squares, b->n_squares, DN_F64, DN_SUM, DN_TRAFFIC_BASIS));
    for (size_t i = 0; i < b->n; i++)
        for (size_t j = 0; j < b->matrices[i].dion.shape.r; j++)
            if (!isfinite(b->matrices[i].squares[j]))
                return dn_slot_broken(b->matrices[i].slot);
    return DN_OK;
}

static dn_dion_step params_of(const dn_party *party, const dn_factored *x, double lr)
{
    return (dn_dion_step){.lr = lr * x->slot->group.lr_scale,
                          .weight_decay = x->slot->group.weight_decay,
                          .mu = party->config->mu,
                          .eps = party->config->eps};
}

/*
 * One step of a bucket: dion.md 1.2, line by line, each line for all matrices x[0..n). On the right is what
 * this rank then holds: of B its block [m_a, n_b], of the factors either the rows that belong to that block
 * (m_a, n_b) or its band of those ("band of P"). Where rows of Q and of R lie is the same memory: the basis.
 *
 * Memory that others may still read is not written: between the last read of it and the next write all ranks
 * pass a barrier, in orthonormalizing P (Q of this turn is read), in sum_squares (P and R are gathered), and
 * at the end. No weight changes before all ranks know that P and R of the whole bucket are finite.
 */
static dn_status step_bucket(dn_factors *f, dn_factor_batch *b, uint64_t step, double lr,
                             dn_step_report *report)
{
    const dn_party *party = f->party;
    const dn_optim_config *config = party->config;
    dn_comm *all = party->mesh->all;
    dn_stream *s = party->stream;
    const dn_kernels *k = s->kernels;
    dn_factored *x = b->matrices;
    dn_product *products = b->products;
    size_t n = b->n;

    for (size_t i = 0; i < n; i++) {
        x[i].found = DN_ORTH_FINE;
        memset(x[i].orth, 0, sizeof x[i].orth);
        dn_slot_open(s, x[i].slot);
    }
    for (size_t i = 0; i < n; i++)
        load_band(party, &x[i]); /* band of Q */
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_shares_gather(&b->q, DN_TRAFFIC_BASIS)); /* Q [n_b, r] */

    for (int turn = 0; turn < config->power_iters; turn++) {
        dn_comm_tick(all, step + 1, "dion: P");
        for (size_t i = 0; i < n; i++) {
            if (turn == 0)
                dn_dion_accumulate(s, &x[i].dion); /* M += G: B [m_a, n_b] */
            products[i] = dn_dion_project(&x[i].dion, x[i].scale, x[i].p, x[i].basis);
        }
        k->gemm_many(s, products, n); /* B Q [m_a, r], a term of P */
        DN_TRY(dn_stream_sync(s));
        DN_TRY(dn_shares_reduce(&b->p, DN_SUM, DN_TRAFFIC_FACTORS)); /* band of P = B Q */

        dn_comm_tick(all, step + 1, "dion: orthonormalize");
        uint64_t turns = step * (uint64_t)config->power_iters + (uint64_t)turn;
        DN_TRY(orthonormalize(f, b, false, STREAM_SKETCH_P, turns)); /* band of P = orth(P) */
        DN_TRY(dn_shares_gather(&b->p, DN_TRAFFIC_BASIS));               /* P [m_a, r] */

        dn_comm_tick(all, step + 1, "dion: R");
        size_t n_products = 0;
        for (size_t i = 0; i < n; i++) {
            if (x[i].found == DN_ORTH_ZERO)
                keep_basis(party, &x[i]);
            else
                products[n_products++] = dn_dion_reflect(&x[i].dion, x[i].scale, x[i].basis, x[i].p);
        }
        k->gemm_many(s, products, n_products); /* B^T P [n_b, r], a term of R */
        DN_TRY(dn_stream_sync(s));
        DN_TRY(dn_shares_reduce(&b->r, DN_SUM, DN_TRAFFIC_FACTORS)); /* band of R = B^T P */
        DN_TRY(dn_shares_gather(&b->r, DN_TRAFFIC_BASIS));           /* R [n_b, r] */
        DN_TRY(sum_squares(party, b));                               /* norms of R's columns: [r] */
    }

    if (!config->orth_dion)
        dn_comm_tick(all, step + 1, "dion: update");
    for (size_t i = 0; i < n; i++) {
        const dn_dion_step params = params_of(party, &x[i], lr);
        products[i] = dn_dion_feed_back(&x[i].dion, x[i].p, x[i].basis, &params);
    }
    k->gemm_many(s, products, n); /* B -= (1 - mu) P R^T [m_a, n_b] */
    if (config->orth_dion) {
        DN_TRY(dn_stream_sync(s));
        dn_comm_tick(all, step + 1, "dion: orthonormalize R");
        DN_TRY(orthonormalize(f, b, true, STREAM_SKETCH_R, step)); /* band of Q = orth(R) */
        DN_TRY(dn_shares_gather(&b->r, DN_TRAFFIC_BASIS));              /* Q [n_b, r] */
        dn_comm_tick(all, step + 1, "dion: update");
    } else {
        for (size_t i = 0; i < n; i++) {
            const dn_dion_step params = params_of(party, &x[i], lr);
            dn_dion_normalize(s, &x[i].dion, x[i].basis, x[i].squares, &params); /* Q [n_b, r] = R / norms */
        }
    }
    for (size_t i = 0; i < n; i++) {
        const dn_dion_step params = params_of(party, &x[i], lr);
        products[i] = dn_dion_apply(&x[i].dion, x[i].p, x[i].basis, &params);
    }
    k->gemm_many(s, products, n); /* X = (1 - lr wd) X - lr sqrt(rows/cols) P Q^T [rows, cols here] */
    for (size_t i = 0; i < n; i++)
        store_band(party, &x[i]); /* band of Q */
    if (config->orth_dion)
        DN_TRY(dn_comm_barrier(all)); /* all have gathered Q: the next bucket may use its memory */

    for (size_t i = 0; i < n; i++) {
        report->n_zero += x[i].found == DN_ORTH_ZERO;
        report->n_fallback += x[i].found == DN_ORTH_FELL_BACK;
    }
    if (config->adaptive_rank)
        DN_TRY(dn_factors_adapt(f, b, step));
    for (size_t i = 0; i < n; i++)
        dn_slot_close(s, x[i].slot);
    return dn_stream_sync(s);
}

static dn_status step_all(dn_party *party, uint64_t step, double lr, dn_step_report *report)
{
    dn_factors *f = party->work;
    DN_TRY(dn_factors_fit(f));
    for (size_t i = 0; i < f->n_batches; i++)
        DN_TRY(step_bucket(f, &f->batches[i], step, lr, report));
    return DN_OK;
}

/* ---- what it costs ---- */

/* With the ranks r of the step to come. */
static const dn_factors *fitted(const dn_party *party)
{
    dn_factors *f = party->work;
    dn_status status = dn_factors_fit(f);
    (void)status; /* a stream that has failed says so in that step */
    return f;
}

static double flops(const dn_party *party)
{
    const dn_factors *f = fitted(party);
    double all = 0, turns = party->config->power_iters;
    for (size_t i = 0; i < party->n_slots; i++) {
        const dn_factored *x = &f->matrices[i];
        const dn_dion_shape *z = &x->dion.shape;
        double product = 2.0 * (double)dn_slot_size(x->slot) * (double)z->r;
        double own_p = (double)dn_range_size(x->bands.p) / (double)z->m,
               own_r = (double)dn_range_size(x->bands.r) / (double)z->n;
        all += (2 * turns + 2) * product + turns * own_p * dn_dion_orth_flops(z->m, z->r);
        all += party->config->orth_dion ? own_r * dn_dion_orth_flops(z->n, z->r) : 0;
    }
    return all;
}

static void tell(const dn_party *party, size_t i, dn_matrix_choice *choice)
{
    const dn_factored *x = &fitted(party)->matrices[i];
    choice->r = x->dion.shape.r;
    memcpy(choice->orth, x->orth, sizeof x->orth);
}

const dn_executor dn_executor_low_rank = {
    .describe = describe,
    .heap_bytes = dn_factors_heap_bytes,
    .open = dn_factors_open,
    .close = dn_factors_close,
    .step = step_all,
    .flops = flops,
    .tell = tell,
};
