#include "sync/factors.h"

#include "base/fail.h"
#include "base/inject.h"

#include <math.h>
#include <string.h>

/* First streams of random numbers for sketches of P and of R, above the model's and those of Q. */
#define STREAM_SKETCH_P (UINT64_C(2) << 62)
#define STREAM_SKETCH_R (UINT64_C(3) << 62)

/* ---- what Dion keeps for a matrix ---- */

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
    slot->shape = dn_dion_shape_of(param->rows, param->cols, config->rank_fraction, config->rank_multiple_of);
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

/* The first n products of a batch. */
static void multiply(const dn_party *party, const dn_factor_batch *b, size_t n)
{
    party->stream->kernels->gemm_many(party->stream, b->products, n);
}

/* ---- Q ---- */

/* This rank's band of the basis, of as many columns as the step has, and the state it comes from. */
static dn_buf *own_band(const dn_factored *x)
{
    return dn_at(x->basis, (x->bands.q.first - x->bands.n.first) * x->dion.shape.r);
}

static void recall_band(const dn_party *party, const dn_factored *x)
{
    const dn_factors *f = party->work;
    const dn_kernels *k = party->stream->kernels;
    size_t rows = dn_range_size(x->bands.q), r = x->dion.shape.r, room = x->slot->shape.r;
    dn_buf *q = x->slot->states[DN_STATE_Q].data;
    if (r == room)
        k->copy(party->stream, own_band(x), q, rows * r);
    else
        k->take_columns(party->stream, own_band(x), q, f->columns, r, rows, room, 1);
}

static void keep_band(const dn_party *party, const dn_factored *x)
{
    const dn_comm *all = party->mesh->all;
    if (dn_injected(DN_INJECT_STALE_Q) && dn_comm_rank(all) == dn_comm_size(all) - 1)
        return;
    const dn_factors *f = party->work;
    const dn_kernels *k = party->stream->kernels;
    size_t rows = dn_range_size(x->bands.q), r = x->dion.shape.r, room = x->slot->shape.r;
    dn_buf *q = x->slot->states[DN_STATE_Q].data;
    if (r == room) {
        k->copy(party->stream, q, own_band(x), rows * r);
        return;
    }
    k->fill(party->stream, q, rows * room, 0);
    k->add_columns(party->stream, q, f->columns, 1, own_band(x), r, rows, room);
}

/* basis = Q_b. Nobody reads the basis of an earlier batch any more: all have met since. */
static dn_status recall_basis(const dn_party *party, const dn_factor_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        recall_band(party, &b->matrices[i]);
    DN_TRY(dn_stream_sync(party->stream));
    return dn_shares_gather(&b->q, DN_TRAFFIC_BASIS);
}

/* ---- P = orth(B Q) ---- */

/* What this rank has exchanged for it, now that the rounds are known. */
static void add_rounds(dn_factors *f, const dn_orth_matrix *orth, size_t n)
{
    const dn_comm *team = f->party->mesh->all;
    unsigned all = dn_axes_of(f->party->mesh->size, DN_ALL_AXES);
    for (size_t i = 0; i < n; i++) {
        dn_orth_payload payload = dn_orth_payload_of(&orth[i], dn_comm_size(team), dn_comm_rank(team));
        dn_formula_add(&f->rounds, all, DN_REDUCE_SCATTER, DN_TRAFFIC_ORTH, payload.reduced);
        dn_formula_add(&f->rounds, all, DN_ALL_GATHER, DN_TRAFFIC_ORTH, payload.gathered);
        f->rounds.payload[all][DN_TRAFFIC_ORTH] += payload.sent;
    }
}

/* P or R of a batch. `turn` counts orthonormalizations of it over the run; fewer than 2^20 parameters. */
static dn_status orthonormalize(dn_factors *f, dn_factor_batch *b, dn_orth_matrix *orth, uint64_t stream,
                                uint64_t turn)
{
    const dn_party *party = f->party;
    for (size_t i = 0; i < b->n; i++)
        orth[i].draw = stream + (turn << 20) + b->matrices[i].slot->index;
    DN_TRY(dn_orthonormalize(party->stream, party->mesh->all, party->config->orth, party->config->seed,
                             f->orth_workspace, f->orth_bytes, orth, b->n));
    add_rounds(f, orth, b->n);
    for (size_t i = 0; i < b->n; i++) {
        dn_factored *x = &b->matrices[i];
        if (orth[i].found == DN_ORTH_BROKEN)
            return dn_slot_broken(x->slot);
        if (x->found < orth[i].found)
            x->found = orth[i].found;
        if (dn_injected(DN_INJECT_LOCAL_ZERO_GUARD) && dn_slot_size(x->slot) == 0)
            x->found = DN_ORTH_ZERO;
    }
    return dn_stream_sync(party->stream);
}

/* A planted bug: the last rank's part of the sums is lost. */
static void lose_partials(const dn_party *party, const dn_factor_batch *b)
{
    const dn_comm *all = party->mesh->all;
    for (size_t i = 0; i < b->n && dn_comm_rank(all) == dn_comm_size(all) - 1; i++) {
        const dn_factored *x = &b->matrices[i];
        party->stream->kernels->fill(party->stream, x->p, dn_range_size(x->bands.m) * x->dion.shape.r, 0);
    }
}

static dn_status find_p(dn_factors *f, dn_factor_batch *b, uint64_t step, int iteration)
{
    const dn_party *party = f->party;
    dn_comm_tick(party->mesh->all, step + 1, "dion: P");
    for (size_t i = 0; i < b->n; i++) {
        const dn_factored *x = &b->matrices[i];
        if (iteration == 0)
            dn_dion_accumulate(party->stream, &x->dion);
        b->products[i] = dn_dion_project(&x->dion, x->scale, x->p, x->basis);
    }
    multiply(party, b, b->n);
    if (dn_injected(DN_INJECT_SKIP_FACTOR_REDUCE))
        lose_partials(party, b);
    DN_TRY(dn_stream_sync(party->stream));
    DN_TRY(dn_shares_reduce(&b->p, DN_SUM, DN_TRAFFIC_FACTORS));
    dn_comm_tick(party->mesh->all, step + 1, "dion: orthonormalize");
    uint64_t turn = step * (uint64_t)party->config->power_iters + (uint64_t)iteration;
    DN_TRY(orthonormalize(f, b, b->orth_p, STREAM_SKETCH_P, turn));
    return dn_shares_gather(&b->p, DN_TRAFFIC_BASIS);
}

/* ---- R = B^T P ---- */

/* A matrix that is zero keeps its basis: it has no R. Each band of it is then one rank's term of a sum. */
static void keep_own_term(const dn_party *party, const dn_factored *x)
{
    const dn_range n = x->bands.n, band = x->bands.r;
    size_t r = x->dion.shape.r;
    party->stream->kernels->fill(party->stream, x->basis, (band.first - n.first) * r, 0);
    party->stream->kernels->fill(party->stream, dn_at(x->basis, (band.end - n.first) * r),
                                 (n.end - band.end) * r, 0);
}

/* The place of R is the basis's, which nobody reads any more: all have met in orthonormalizing P. */
static void reflect(const dn_party *party, dn_factor_batch *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        const dn_factored *x = &b->matrices[i];
        if (x->found == DN_ORTH_ZERO)
            keep_own_term(party, x);
        else
            b->products[n++] = dn_dion_reflect(&x->dion, x->scale, x->basis, x->p);
    }
    multiply(party, b, n);
}

/* Squared norms of whole columns, the same bits on all ranks. After it all have read whatever was gathered.
 */
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
    if (dn_injected(DN_INJECT_LOCAL_COLUMN_NORMS))
        return dn_comm_barrier(party->mesh->all);
    DN_TRY(dn_comm_all_reduce(party->mesh->all, b->squares, b->n_squares, DN_F64, DN_SUM, DN_TRAFFIC_BASIS));
    for (size_t i = 0; i < b->n; i++)
        for (size_t j = 0; j < b->matrices[i].dion.shape.r; j++)
            if (!isfinite(b->matrices[i].squares[j]))
                return dn_slot_broken(b->matrices[i].slot);
    return DN_OK;
}

static dn_status find_r(const dn_party *party, dn_factor_batch *b, uint64_t step)
{
    dn_comm_tick(party->mesh->all, step + 1, "dion: R");
    reflect(party, b);
    DN_TRY(dn_stream_sync(party->stream));
    DN_TRY(dn_shares_reduce(&b->r, DN_SUM, DN_TRAFFIC_FACTORS));
    DN_TRY(dn_shares_gather(&b->r, DN_TRAFFIC_BASIS));
    return sum_squares(party, b);
}

/* ---- M, X, Q ---- */

static dn_dion_step rule_of(const dn_party *party, const dn_factored *x, double lr)
{
    return (dn_dion_step){.lr = lr * x->slot->group.lr_scale,
                          .weight_decay = x->slot->group.weight_decay,
                          .mu = party->config->mu,
                          .eps = party->config->eps};
}

/* M. */
static void feed_back(const dn_party *party, dn_factor_batch *b, double lr)
{
    for (size_t i = 0; i < b->n; i++) {
        const dn_factored *x = &b->matrices[i];
        const dn_dion_step rule = rule_of(party, x, lr);
        b->products[i] = dn_dion_feed_back(&x->dion, x->p, x->basis, &rule);
    }
    multiply(party, b, b->n);
}

/* X, from the new Q, of which the own band is kept. */
static void apply(const dn_party *party, dn_factor_batch *b, double lr)
{
    for (size_t i = 0; i < b->n; i++) {
        const dn_factored *x = &b->matrices[i];
        const dn_dion_step rule = rule_of(party, x, lr);
        b->products[i] = dn_dion_apply(&x->dion, x->p, x->basis, &rule);
    }
    multiply(party, b, b->n);
    for (size_t i = 0; i < b->n; i++)
        keep_band(party, &b->matrices[i]);
}

static void update(const dn_party *party, dn_factor_batch *b, uint64_t step, double lr)
{
    dn_comm_tick(party->mesh->all, step + 1, "dion: update");
    feed_back(party, b, lr);
    for (size_t i = 0; i < b->n; i++) {
        const dn_factored *x = &b->matrices[i];
        const dn_dion_step rule = rule_of(party, x, lr);
        dn_dion_normalize(party->stream, &x->dion, x->basis, x->squares, &rule);
    }
    apply(party, b, lr);
}

/* Orth-Dion's, around an orthonormalization of R in its place. */
static dn_status update_orthonormally(dn_factors *f, dn_factor_batch *b, uint64_t step, double lr)
{
    const dn_party *party = f->party;
    feed_back(party, b, lr);
    DN_TRY(dn_stream_sync(party->stream));
    dn_comm_tick(party->mesh->all, step + 1, "dion: orthonormalize R");
    DN_TRY(orthonormalize(f, b, b->orth_r, STREAM_SKETCH_R, step));
    DN_TRY(dn_shares_gather(&b->r, DN_TRAFFIC_BASIS));
    dn_comm_tick(party->mesh->all, step + 1, "dion: update");
    apply(party, b, lr);
    return dn_comm_barrier(party->mesh->all); /* all have gathered: the next batch may take the place */
}

/* ---- one step ---- */

/* Weights are touched only when all ranks know that P and R of the whole batch are numbers. */
static dn_status step_batch(dn_factors *f, dn_factor_batch *b, uint64_t step, double lr,
                            dn_step_report *report)
{
    for (size_t i = 0; i < b->n; i++) {
        b->matrices[i].found = DN_ORTH_FINE;
        dn_slot_open(f->party->stream, b->matrices[i].slot);
    }
    DN_TRY(recall_basis(f->party, b));
    for (int i = 0; i < f->party->config->power_iters; i++) {
        DN_TRY(find_p(f, b, step, i));
        DN_TRY(find_r(f->party, b, step));
    }
    if (f->party->config->orth_dion)
        DN_TRY(update_orthonormally(f, b, step, lr));
    else
        update(f->party, b, step, lr);
    for (size_t i = 0; i < b->n; i++) {
        report->n_zero += b->matrices[i].found == DN_ORTH_ZERO;
        report->n_fallback += b->matrices[i].found == DN_ORTH_FELL_BACK;
    }
    if (f->party->config->adaptive_rank)
        DN_TRY(dn_factors_adapt(f, b, step));
    for (size_t i = 0; i < b->n; i++)
        dn_slot_close(f->party->stream, b->matrices[i].slot);
    return dn_stream_sync(f->party->stream);
}

static dn_status step_all(dn_party *party, uint64_t step, double lr, dn_step_report *report)
{
    dn_factors *f = party->work;
    DN_TRY(dn_factors_fit(f));
    f->rounds = (dn_formula){0};
    for (size_t i = 0; i < f->n_batches; i++)
        DN_TRY(step_batch(f, &f->batches[i], step, lr, report));
    return DN_OK;
}

/* ---- what it costs ---- */

/* Ranks of the step to come. */
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

static void formula(const dn_party *party, dn_formula *out)
{
    const dn_factors *f = fitted(party);
    uint64_t turns = (uint64_t)party->config->power_iters;
    unsigned all = dn_axes_of(party->mesh->size, DN_ALL_AXES);
    for (size_t i = 0; i < f->n_batches; i++) {
        const dn_factor_batch *b = &f->batches[i];
        dn_shares_count_gather(&b->q, DN_TRAFFIC_BASIS, 1, out);
        dn_shares_count_reduce(&b->p, DN_TRAFFIC_FACTORS, turns, out);
        dn_shares_count_gather(&b->p, DN_TRAFFIC_BASIS, turns, out);
        dn_shares_count_reduce(&b->r, DN_TRAFFIC_FACTORS, turns, out);
        dn_shares_count_gather(&b->r, DN_TRAFFIC_BASIS, turns + party->config->orth_dion, out);
        if (all)
            dn_formula_add(out, all, DN_ALL_REDUCE, DN_TRAFFIC_BASIS,
                           turns * b->n_squares * sizeof *b->squares);
    }
}

static void rounds(const dn_party *party, dn_formula *out)
{
    const dn_factors *f = party->work;
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++) {
        out->payload[axes][DN_TRAFFIC_ORTH] += f->rounds.payload[axes][DN_TRAFFIC_ORTH];
        for (int as = 0; as < DN_N_COLLECTIVES; as++)
            out->by_collective[axes][as] += f->rounds.by_collective[axes][as];
    }
}

const dn_executor dn_executor_low_rank = {
    .describe = describe,
    .heap_bytes = dn_factors_heap_bytes,
    .open = dn_factors_open,
    .close = dn_factors_close,
    .step = step_all,
    .flops = flops,
    .formula = formula,
    .rounds = rounds,
};
