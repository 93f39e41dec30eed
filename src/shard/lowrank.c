#include "shard/lowrank.h"

#include "base/fail.h"
#include "comm/world.h"

#include <math.h>
#include <string.h>

/* Where the streams of random numbers for sketches of P, and of R, begin: above the model's and Q's. */
#define STREAM_SKETCH_P (UINT64_C(2) << 62)
#define STREAM_SKETCH_R (UINT64_C(3) << 62)

/* ---- the states of a matrix ---- */

static dn_block part_of_q(const dn_param_state *ps, const int at[DN_N_AXES])
{
    return dn_block_of(dn_layout_factor_shards(&ps->layout, ps->shape.transposed, at).q,
                       (dn_range){0, ps->shape.r});
}

static dn_block part_of_rank(const dn_param_state *ps, const int at[DN_N_AXES])
{
    (void)ps, (void)at;
    return (dn_block){0, 1, 0, 2};
}

static void describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *ps)
{
    const dn_param *param = ps->param;
    ps->shape = dn_dion_shape_of(param->tensor.rows, param->tensor.cols, config->rank_fraction,
                                 (size_t)config->rank_multiple_of);
    bool compressed = config->compress && dn_dion_compresses(&ps->shape, config->rank_fraction);
    ps->layout = dn_layout_of(param, size, compressed);
    dn_state_tensor *momentum = dn_param_state_add(ps, "dion.momentum", dn_param_state_block);
    momentum->tensor.per_replica = ps->layout.replicas != 0;
    dn_tensor *q = &dn_param_state_add(ps, "dion.q", part_of_q)->tensor;
    dn_tensor_set_whole(q, ps->shape.n, ps->shape.r);
    q->row_sharding = ps->shape.transposed ? param->tensor.row_sharding : param->tensor.col_sharding;
    if (config->adaptive_rank) {
        dn_state_tensor *rank = dn_param_state_add(ps, "dion.rank", part_of_rank);
        dn_tensor_set_whole(&rank->tensor, 1, 2);
        rank->tensor.type = DN_REAL; /* a number that counts */
        rank->everywhere = true;
    }
}

/* ---- Q between steps ---- */

/* This rank's shard of Q in the memory of the basis: as many columns as the step has. */
static dn_buf *own_shard(const dn_lowrank_matrix *x)
{
    return dn_at(x->basis, (x->shards.q.first - x->shards.n.first) * x->dion.shape.r);
}

/* The state has a column for each of the largest rank, of which the step takes the first r. */
static void load_shard(const dn_param_group *group, const dn_lowrank_matrix *x)
{
    const dn_lowrank *f = group->work;
    const dn_kernels *k = group->stream->kernels;
    size_t rows = dn_range_size(x->shards.q), r = x->dion.shape.r, most = x->ps->shape.r;
    dn_buf *q = x->ps->states[DN_STATE_Q].data;
    if (r == most)
        k->copy(group->stream, own_shard(x), q, rows * r);
    else
        k->take_columns(group->stream, own_shard(x), q, f->columns, r, rows, most, 1);
}

static void store_shard(const dn_param_group *group, const dn_lowrank_matrix *x)
{
    const dn_lowrank *f = group->work;
    const dn_kernels *k = group->stream->kernels;
    size_t rows = dn_range_size(x->shards.q), r = x->dion.shape.r, most = x->ps->shape.r;
    dn_buf *q = x->ps->states[DN_STATE_Q].data;
    if (r == most) {
        k->copy(group->stream, q, own_shard(x), rows * r);
        return;
    }
    k->fill(group->stream, q, rows * most, 0);
    k->add_columns(group->stream, q, f->columns, 1, own_shard(x), r, rows, most);
}

/* ---- one step ---- */

/*
 * The P of a batch, or its R, each where its shards are. first_stream + turn: where the random numbers of its
 * sketches begin; turn counts orthonormalizations of the same matrices over the run (there are fewer than
 * 2^20 matrices). Adds the rounds that it took, which depend on the numbers, to records.
 */
static dn_status orthonormalize(dn_lowrank *f, dn_lowrank_batch *b, bool of_r, uint64_t first_stream,
                                uint64_t turn)
{
    const dn_param_group *group = f->group;
    dn_orth_matrix *orth = of_r ? b->orth_r : b->orth_p;
    for (size_t i = 0; i < b->n; i++)
        orth[i].draw = first_stream + (turn << 20) + b->matrices[i].ps->index;
    DN_TRY(dn_orthonormalize(group->stream, f->orth_comm, group->config->orth, group->config->seed,
                             f->orth_workspace, f->orth_bytes, orth, b->n));
    for (size_t i = 0; i < b->n; i++) {
        dn_orth_record *record = &b->matrices[i].orth[of_r];
        record->r = orth[i].r;
        record->owner = orth[i].owner;
        dn_orth_rounds_add(&record->rounds, &orth[i].rounds);
    }
    for (size_t i = 0; i < b->n; i++) {
        dn_lowrank_matrix *x = &b->matrices[i];
        if (orth[i].info == DN_ORTH_NOT_FINITE)
            return dn_param_state_not_finite(x->ps);
        if (x->info < orth[i].info)
            x->info = orth[i].info;
    }
    return dn_stream_sync(group->stream);
}

/* A matrix whose P is zero has no R and keeps its Q: of the sum that R is elsewhere, each rank has the rows
 * of its own shard as its term, and zeros in all others. */
static void keep_basis(const dn_param_group *group, const dn_lowrank_matrix *x)
{
    const dn_range n = x->shards.n, shard = x->shards.r;
    size_t r = x->dion.shape.r;
    group->stream->kernels->fill(group->stream, x->basis, (shard.first - n.first) * r, 0);
    group->stream->kernels->fill(group->stream, dn_at(x->basis, (shard.end - n.first) * r),
                                 (n.end - shard.end) * r, 0);
}

/* Shards of P = B Q, or of R = B^T P, of a batch: each rank's terms, and their sums. Over nodes sums of one group of matrices are formed
 * while the next is multiplied. */
static dn_status sum_products(const dn_param_group *group, dn_lowrank_batch *b, bool of_r)
{
    dn_stream *s = group->stream;
    dn_overlap *sum = of_r ? &b->sum_r : &b->sum_p;
    const bool over_nodes = dn_comm_n_nodes(group->mesh->all) > 1;
    const size_t n_groups = over_nodes ? sum->n_parts : 1;
    for (size_t g = 0; g < n_groups; g++) {
        const dn_range own = dn_lowrank_group(b, n_groups, g);
        size_t n = 0;
        for (size_t i = own.first; i < own.end; i++) {
            const dn_lowrank_matrix *x = &b->matrices[i];
            if (!of_r)
                b->products[n++] = dn_dion_project(&x->dion, x->scale, x->p, x->basis);
            else if (x->info == DN_ORTH_ZERO)
                keep_basis(group, x);
            else
                b->products[n++] = dn_dion_reflect(&x->dion, x->scale, x->basis, x->p);
        }
        s->kernels->gemm_many(s, b->products, n);
        DN_TRY(dn_stream_sync(s));
        if (over_nodes)
            DN_TRY(dn_overlap_begin(sum, n_groups - 1 - g, DN_SUM, DN_TRAFFIC_FACTORS));
    }
    return over_nodes ? dn_overlap_finish(sum) : dn_bucket_reduce(of_r ? &b->r : &b->p, DN_SUM, DN_TRAFFIC_FACTORS);
}

/* squares [r] of each matrix = squared norms of the columns of the whole R, the same bits on all ranks. A
 * barrier: behind it all ranks have read what was gathered. */
static dn_status sum_squares(const dn_param_group *group, dn_lowrank_batch *b)
{
    memset(b->squares, 0, b->n_squares * sizeof *b->squares); /* an empty shard adds nothing */
    for (size_t i = 0; i < b->n; i++) {
        const dn_lowrank_matrix *x = &b->matrices[i];
        size_t r = x->dion.shape.r, at = (x->shards.r.first - x->shards.n.first) * r;
        group->stream->kernels->column_squares(group->stream, x->squares, dn_at(x->basis, at),
                                               dn_range_size(x->shards.r), r);
    }
    DN_TRY(dn_stream_sync(group->stream));
    DN_TRY(dn_comm_all_reduce(group->mesh->all, b->squares, b->n_squares, DN_F64, DN_SUM, DN_TRAFFIC_BASIS));
    for (size_t i = 0; i < b->n; i++) {
        const dn_lowrank_matrix *x = &b->matrices[i];
        double longest = 0;
        for (size_t j = 0; j < x->dion.shape.r; j++) {
            if (!isfinite(x->squares[j]))
                return dn_param_state_not_finite(x->ps);
            x->lengths[j] = sqrt(x->squares[j]);
            longest = fmax(longest, x->lengths[j]);
        }
        for (size_t j = x->dion.shape.r; j < x->ps->shape.r; j++)
            x->lengths[j] = longest;
    }
    return DN_OK;
}

static dn_dion_step params_of(const dn_param_group *group, const dn_lowrank_matrix *x, double lr)
{
    return (dn_dion_step){.lr = lr * x->ps->options.lr_scale,
                          .weight_decay = x->ps->options.weight_decay,
                          .mu = group->config->mu,
                          .eps = group->config->eps};
}

/*
 * One step of a batch: the algorithm of optim/dion.h, line by line, each line for all matrices x[0..n): `iterate`, power_iters
 * times, and then what step_batch makes of P and R. On the right is what this rank then holds: of B its block [m_a, n_b], of
 * the factors either the rows that belong to that block (m_a, n_b) or its shard of those ("shard of P"). Where rows of Q and of
 * R lie is the same memory: the basis.
 *
 * Memory that others may still read is not written: between the last read of it and the next write all ranks
 * pass a barrier, in orthonormalizing P (Q of this turn is read), in sum_squares (P and R are gathered), and
 * at the end. No weight changes before all ranks know that P and R of the whole batch are finite.
 */
static dn_status iterate(dn_lowrank *f, dn_lowrank_batch *b, uint64_t step, int turn)
{
    const dn_param_group *group = f->group;
    const uint64_t turns = step * (uint64_t)group->config->power_iters + (uint64_t)turn;
    dn_comm *all = group->mesh->all;

    dn_comm_enter(all, "dion: P");
    for (size_t i = 0; i < b->n && turn == 0; i++)
        dn_dion_accumulate(group->stream, &b->matrices[i].dion); /* M += G: B [m_a, n_b] */
    DN_TRY(sum_products(group, b, false));                       /* shard of P = B Q, of terms [m_a, r] */

    dn_comm_enter(all, "dion: orthonormalize");
    DN_TRY(orthonormalize(f, b, false, STREAM_SKETCH_P, turns)); /* shard of P = orth(P) */
    DN_TRY(dn_bucket_gather(&b->p, DN_TRAFFIC_BASIS));           /* P [m_a, r] */

    dn_comm_enter(all, "dion: R");
    DN_TRY(sum_products(group, b, true));              /* shard of R = B^T P, of terms [n_b, r] */
    DN_TRY(dn_bucket_gather(&b->r, DN_TRAFFIC_BASIS)); /* R [n_b, r] */
    return sum_squares(group, b);                      /* norms of R's columns: [r] */
}

static dn_status step_batch(dn_lowrank *f, dn_lowrank_batch *b, uint64_t step, double lr,
                            dn_step_report *report)
{
    const dn_param_group *group = f->group;
    const dn_optim_config *config = group->config;
    dn_comm *all = group->mesh->all;
    dn_stream *s = group->stream;
    dn_lowrank_matrix *x = b->matrices;
    dn_product *products = b->products;

    for (size_t i = 0; i < b->n; i++) {
        x[i].info = DN_ORTH_OK;
        memset(x[i].orth, 0, sizeof x[i].orth);
        dn_param_state_load(s, x[i].ps);
        load_shard(group, &x[i]); /* shard of Q */
    }
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_bucket_gather(&b->q, DN_TRAFFIC_BASIS)); /* Q [n_b, r] */
    for (int turn = 0; turn < config->power_iters; turn++)
        DN_TRY(iterate(f, b, step, turn)); /* P [m_a, r], R [n_b, r] */

    if (!config->orth_dion)
        dn_comm_enter(all, "dion: update");
    for (size_t i = 0; i < b->n; i++) {
        const dn_dion_step params = params_of(group, &x[i], lr);
        products[i] = dn_dion_feed_back(&x[i].dion, x[i].p, x[i].basis, &params);
    }
    s->kernels->gemm_many(s, products, b->n); /* B -= (1 - mu) P R^T [m_a, n_b] */
    if (config->orth_dion) {
        DN_TRY(dn_stream_sync(s));
        dn_comm_enter(all, "dion: orthonormalize R");
        DN_TRY(orthonormalize(f, b, true, STREAM_SKETCH_R, step)); /* shard of Q = orth(R) */
        DN_TRY(dn_bucket_gather(&b->r, DN_TRAFFIC_BASIS));         /* Q [n_b, r] */
        dn_comm_enter(all, "dion: update");
    }
    for (size_t i = 0; i < b->n; i++) {
        const dn_dion_step params = params_of(group, &x[i], lr);
        if (!config->orth_dion)
            dn_dion_normalize(s, &x[i].dion, x[i].basis, x[i].squares, &params); /* Q [n_b, r] = R / norms */
        products[i] = dn_dion_apply(&x[i].dion, x[i].p, x[i].basis, &params);
    }
    s->kernels->gemm_many(s, products, b->n); /* X = (1 - lr wd) X - lr sqrt(rows/cols) P Q^T [rows, cols here] */
    for (size_t i = 0; i < b->n; i++)
        store_shard(group, &x[i]); /* shard of Q */
    if (config->orth_dion)
        DN_TRY(dn_comm_barrier(all)); /* all have gathered Q: the next batch may use its memory */

    for (size_t i = 0; i < b->n; i++) {
        report->n_zero += x[i].info == DN_ORTH_ZERO;
        report->n_fallback += x[i].info == DN_ORTH_FELL_BACK;
    }
    if (config->adaptive_rank)
        DN_TRY(dn_lowrank_adapt(f, b, step));
    for (size_t i = 0; i < b->n; i++)
        dn_param_state_store(s, x[i].ps);
    return dn_stream_sync(s);
}

static dn_status step_all(dn_param_group *group, uint64_t step, double lr, dn_step_report *report)
{
    dn_lowrank *f = group->work;
    DN_TRY(dn_lowrank_fit(f));
    for (size_t i = 0; i < f->n_batches; i++)
        DN_TRY(step_batch(f, &f->batches[i], step, lr, report));
    return DN_OK;
}

/* ---- what it costs ---- */

/* With the ranks r of the step to come. */
static const dn_lowrank *fitted(const dn_param_group *group)
{
    dn_lowrank *f = group->work;
    dn_status status = dn_lowrank_fit(f);
    (void)status; /* a stream that has failed says so in that step */
    return f;
}

/* Of one matrix, of whose block this rank has `part` elements. */
static double flops_of(const dn_optim_config *config, const dn_dion_shape *z, size_t part, const dn_factor_shards *shards)
{
    double product = 2.0 * (double)part * (double)z->r, turns = (double)config->power_iters;
    double own_p = (double)dn_range_size(shards->p) / (double)z->m,
           own_r = (double)dn_range_size(shards->r) / (double)z->n;
    return (2 * turns + 2) * product + turns * own_p * dn_dion_orth_flops(z->m, z->r) +
           (config->orth_dion ? own_r * dn_dion_orth_flops(z->n, z->r) : 0);
}

static double flops(const dn_param_group *group)
{
    const dn_lowrank *f = fitted(group);
    double all = 0;
    for (size_t i = 0; i < group->n_param_states; i++) {
        const dn_lowrank_matrix *x = &f->matrices[i];
        all += flops_of(group->config, &x->dion.shape, dn_param_state_size(x->ps), &x->shards);
    }
    return all;
}

/* The exchanges of step_batch, at the largest ranks. */
static void predict(const dn_optim_config *config, const int size[DN_N_AXES], const dn_param_state *param_states, size_t n,
                    dn_optimizer_cost *cost)
{
    const int first[DN_N_AXES] = {0};
    double turns = (double)config->power_iters, once = config->orth_dion;
    for (size_t begin = 0, batch; begin < n; begin += batch) {
        unsigned of_p = 0, of_q = 0, of_r = 0, all = dn_axes_of(size, DN_ALL_AXES);
        batch = dn_lowrank_batch_of(config, &param_states[begin], n - begin);
        for (size_t i = begin; i < begin + batch; i++) {
            const dn_layout *layout = &param_states[i].layout;
            const dn_dion_shape *z = &param_states[i].shape;
            dn_factor_shards shards = dn_layout_factor_shards(layout, z->transposed, first);
            unsigned a = dn_layout_m_axes(layout, z->transposed), b = dn_layout_n_axes(layout, z->transposed),
                     not_a = dn_axes_without(size, a), not_b = dn_axes_without(size, b);
            double row = (double)z->r * sizeof(dn_real), p = (double)dn_range_size(shards.m) * row,
                   q = (double)dn_range_size(shards.n) * row;
            dn_optimizer_cost_add(cost, size, a, 1, q);                     /* Q */
            dn_optimizer_cost_add(cost, size, not_a, 2 * turns, p);         /* P */
            dn_optimizer_cost_add(cost, size, not_b, 2 * turns + once, q);  /* R; Orth-Dion's Q */
            dn_optimizer_cost_add(cost, size, all, 2 * turns, (double)z->r * sizeof(double)); /* norms */
            cost->flops += flops_of(config, z, dn_block_size(dn_layout_block(layout, first)), &shards);
            of_q |= 1u << a;
            of_p |= 1u << not_a;
            of_r |= 1u << not_b;
        }
        dn_optimizer_cost_add_hops(cost, size, of_q, 1);
        dn_optimizer_cost_add_hops(cost, size, of_p, 2 * turns);
        dn_optimizer_cost_add_hops(cost, size, of_r, 2 * turns + once);
        dn_optimizer_cost_add_hops(cost, size, 1u << all, 2 * turns);
    }
}

static void tell(const dn_param_group *group, size_t i, dn_matrix_choice *choice)
{
    const dn_lowrank_matrix *x = &fitted(group)->matrices[i];
    choice->r = x->dion.shape.r;
    choice->lengths = x->lengths;
    memcpy(choice->orth, x->orth, sizeof x->orth);
}

const dn_executor dn_executor_low_rank = {
    .describe = describe,
    .heap_bytes = dn_lowrank_heap_bytes,
    .open = dn_lowrank_open,
    .close = dn_lowrank_close,
    .step = step_all,
    .flops = flops,
    .predict = predict,
    .tell = tell,
};
