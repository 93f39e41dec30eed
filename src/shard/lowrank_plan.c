/* Dion's plan, made when the optimizer opens: batches, where their factors lie, the owners of what one rank
 * does for all, the first Q. */
#include "shard/lowrank.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/draw.h"
#include "shm/world.h"

#include <stdlib.h>
#include <string.h>

/* First stream of random numbers for Q; those from 0 on belong to the model. */
#define STREAM_Q (UINT64_C(1) << 62)

/* On a mesh of one rank a step reads a matrix five times: a batch should stay in the caches of its cores,
 * and have enough products for the threads to share them evenly (8 MB is a few per cent slower on two cores,
 * and so is 128 MB). Several ranks synchronize some ten times for each batch, which is nothing beside 64 MB
 * of work. */
#define BATCH_BYTES_ALONE ((size_t)32 << 20)
#define BATCH_BYTES       ((size_t)64 << 20)

/* The shards of P, and of R, on the ranks along these axes make it whole (layout.h): together they
 * orthonormalize it. */
#define ORTH_AXES DN_ALL_AXES

/* Sums of P, and of R, that are formed over nodes one after another: few messages, and most of them while products are computed. */
#define MOST_GROUPS ((size_t)8)

/* Householder uses one thread a matrix: a batch has some for all threads, and for all ranks. */
#define FEWEST_STEEP ((size_t)8)

/* ---- batches ---- */

static size_t work_bytes(const dn_param_state *ps)
{
    dn_layout_most most = dn_layout_most_of(&ps->layout, ps->shape.transposed);
    return dn_size_mul(dn_size_add(most.part, dn_size_mul(most.m + most.n, ps->shape.r)), sizeof(dn_real));
}

/* At full rank P = M Q spans every direction of the momentum, and Q comes from M: the condition of P is some
 * square of M's. An adaptive rank may be lower in the step. */
static bool is_steep(const dn_optim_config *config, const dn_param_state *ps)
{
    return ps->shape.r == ps->shape.n && !config->adaptive_rank;
}

size_t dn_lowrank_batch_of(const dn_optim_config *config, const dn_param_state *param_states, size_t n)
{
    size_t n_ranks = (size_t)dn_axes_size(param_states[0].layout.size, DN_ALL_AXES);
    size_t limit = n_ranks > 1 ? BATCH_BYTES : BATCH_BYTES_ALONE;
    size_t taken = 1, bytes = work_bytes(&param_states[0]);
    for (; taken < n; taken++) {
        bool too_few = is_steep(config, &param_states[taken]) && taken < dn_max(FEWEST_STEEP, n_ranks);
        bytes = dn_size_add(bytes, work_bytes(&param_states[taken]));
        if (bytes > limit && !too_few)
            break;
    }
    return taken;
}

/* ---- symmetric workspace: | orthonormalization | of a batch: room to open its parameter states, factors |
 * ---- */

static void take_factors(dn_lowrank_matrix *x, const dn_param_state *ps, dn_arena *arena)
{
    dn_layout_most most = dn_layout_most_of(&ps->layout, ps->shape.transposed);
    dn_buf *p = dn_arena_take(arena, dn_size_mul(most.m * ps->shape.r, sizeof(dn_real)));
    dn_buf *basis = dn_arena_take(arena, dn_size_mul(most.n * ps->shape.r, sizeof(dn_real)));
    if (x) {
        x->p = p;
        x->basis = basis;
    }
}

/* The largest bytes of the two over all batches: to orthonormalize all P of a batch, and for Orth-Dion then
 * all R. shapes [n]: scratch. */
static void measure(const dn_optim_config *config, const dn_param_state *param_states, size_t n,
                    dn_orth_matrix *shapes, size_t *orth, size_t *factors)
{
    *orth = *factors = 0;
    for (size_t first = 0, batch; first < n; first += batch) {
        batch = dn_lowrank_batch_of(config, &param_states[first], n - first);
        dn_arena arena = {.used = dn_param_states_buffer_bytes(&param_states[first], batch)};
        for (size_t i = 0; i < batch; i++)
            take_factors(NULL, &param_states[first + i], &arena);
        *factors = dn_max(*factors, arena.used);
        for (int of_r = 0; of_r <= config->orth_dion; of_r++) {
            for (size_t i = 0; i < batch; i++) {
                const dn_param_state *ps = &param_states[first + i];
                shapes[i].m = of_r ? ps->shape.n : ps->shape.m;
                shapes[i].r = ps->shape.r;
                shapes[i].steep = is_steep(config, ps);
            }
            int n_ranks = dn_axes_size(param_states[0].layout.size, ORTH_AXES);
            *orth = dn_max(*orth, dn_orth_heap_bytes(config->orth, n_ranks, shapes, batch));
        }
    }
    dn_arena rounded = {0};
    dn_arena_take(&rounded, *orth);
    *orth = rounded.used;
}

size_t dn_lowrank_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES],
                             const dn_param_state *param_states, size_t n)
{
    (void)size;
    dn_orth_matrix *shapes = calloc(n + 1, sizeof *shapes);
    if (!shapes)
        return SIZE_MAX;
    size_t orth, factors;
    measure(config, param_states, n, shapes, &orth, &factors);
    free(shapes);
    return dn_size_add(orth, factors);
}

/* ---- matrices ---- */

/* P, or R, of the rank at here[]. parts [n_ranks] */
static void fill_orth(const dn_optim_config *config, const dn_lowrank_matrix *x, bool of_r,
                      const int here[DN_N_AXES], dn_orth_shard *parts, dn_orth_matrix *orth)
{
    const dn_param_state *ps = x->ps;
    const dn_dion_shape *z = &x->dion.shape;
    int n_ranks = dn_axes_size(ps->layout.size, ORTH_AXES), at[DN_N_AXES];
    memcpy(at, here, sizeof at);
    for (int rank = 0; rank < n_ranks; rank++) {
        dn_axes_at(ps->layout.size, ORTH_AXES, rank, at);
        dn_factor_shards shards = dn_layout_factor_shards(&ps->layout, ps->shape.transposed, at);
        dn_range rows = of_r ? shards.n : shards.m, shard = of_r ? shards.r : shards.p;
        parts[rank] = (dn_orth_shard){shard.first, dn_range_size(shard), (shard.first - rows.first) * z->r};
    }
    *orth = (dn_orth_matrix){.m = of_r ? z->n : z->m,
                             .r = z->r,
                             .p = of_r ? x->basis : x->p,
                             .parts = parts,
                             .owner = -1,
                             .steep = is_steep(config, ps)};
}

typedef struct bucket {
    dn_orth method;
    dn_orth_matrix *matrices;
} bucket;

static double cost(void *items, size_t i)
{
    const bucket *b = items;
    return dn_orth_owner_flops(b->method, &b->matrices[i]);
}

static int *owner(void *items, size_t i)
{
    return &((const bucket *)items)->matrices[i].owner;
}

dn_range dn_lowrank_group(const dn_lowrank_batch *b, size_t n_groups, size_t group)
{
    return (dn_range){b->n * group / n_groups, b->n * (group + 1) / n_groups};
}

/* What depends on the ranks r of the step. */
static dn_status fit_batch(dn_lowrank *f, dn_lowrank_batch *b)
{
    int n_ranks = dn_comm_size(f->orth_comm);
    const size_t n_groups = dn_min(b->n, MOST_GROUPS);
    size_t first = (size_t)(b->matrices - f->matrices);
    dn_bucket_reset(&b->p);
    dn_bucket_reset(&b->q);
    dn_bucket_reset(&b->r);
    b->sum_p = dn_overlap_of(&b->p);
    b->sum_r = dn_overlap_of(&b->r);
    b->n_squares = 0;
    for (size_t i = 0; i < b->n; i++) {
        dn_lowrank_matrix *x = &b->matrices[i];
        const dn_layout *layout = &x->ps->layout;
        bool transposed = x->ps->shape.transposed;
        size_t m = dn_range_size(x->shards.m), n = dn_range_size(x->shards.n);
        double wanted = (double)x->rank[0]; /* 0: no step has been taken */
        size_t most = x->ps->shape.r, r = wanted >= 1 && wanted <= (double)most ? (size_t)wanted : most;
        unsigned a = dn_layout_m_axes(layout, transposed), c = dn_layout_n_axes(layout, transposed);
        x->dion.shape.r = r;
        fill_orth(f->group->config, x, false, f->group->mesh->at, &f->parts_p[(first + i) * (size_t)n_ranks],
                  &b->orth_p[i]);
        fill_orth(f->group->config, x, true, f->group->mesh->at, &f->parts_r[(first + i) * (size_t)n_ranks],
                  &b->orth_r[i]);
        x->squares = b->squares + b->n_squares;
        b->n_squares += r;
        DN_TRY(dn_bucket_add(&b->p, dn_axes_without(layout->size, a), x->p, m, r));
        DN_TRY(dn_bucket_add(&b->q, a, x->basis, n, r));
        DN_TRY(dn_bucket_add(&b->r, dn_axes_without(layout->size, c), x->basis, n, r));
        const size_t left = n_groups - b->sum_p.n_parts; /* groups that have not ended */
        if (i + 1 == dn_lowrank_group(b, n_groups, n_groups - left).end) {
            dn_overlap_end_part(&b->sum_p, left - 1);
            dn_overlap_end_part(&b->sum_r, left - 1);
        }
    }
    bucket of_p = {f->group->config->orth, b->orth_p}, of_r = {f->group->config->orth, b->orth_r};
    dn_deal_batch(&f->deal, n_ranks, &of_p, b->n, cost, owner);
    if (f->group->config->orth_dion)
        dn_deal_batch(&f->deal, n_ranks, &of_r, b->n, cost, owner);
    return DN_OK;
}

dn_status dn_lowrank_fit(dn_lowrank *f)
{
    const dn_param_group *group = f->group;
    if (!group->config->adaptive_rank)
        return DN_OK;
    for (size_t i = 0; i < group->n_param_states; i++)
        dn_download(group->stream, f->matrices[i].rank, group->param_states[i].states[DN_STATE_RANK].data, 2);
    DN_TRY(dn_stream_sync(group->stream));
    f->deal = (dn_deal){0};
    for (size_t k = 0; k < f->n_batches; k++)
        DN_TRY(fit_batch(f, &f->batches[k]));
    return DN_OK;
}

/* This rank's rows of the first Q, which has a column for each of the largest rank. */
static dn_status draw_q(const dn_param_group *group, const dn_lowrank_matrix *x)
{
    const dn_state_tensor *q = &x->ps->states[DN_STATE_Q];
    const dn_draw draw = {.seed = group->config->seed,
                          .stream = STREAM_Q + x->ps->index,
                          .std = 1,
                          .cols = q->tensor.cols,
                          .block = q->block};
    dn_param_state_load(group->stream, x->ps);
    DN_TRY(dn_draw_normal(group->stream, q->data, &draw));
    dn_param_state_store(group->stream, x->ps);
    return dn_stream_sync(group->stream);
}

/* ---- all ---- */

static dn_status allocate(dn_lowrank *f)
{
    size_t n = f->group->n_param_states + 1; /* calloc of 0 may be NULL */
    size_t n_columns = 1, most_columns = 1, most_rows = 1;
    for (size_t i = 0; i < f->group->n_param_states; i++) {
        const dn_dion_shape *z = &f->group->param_states[i].shape;
        n_columns += z->r;
        most_columns = dn_max(most_columns, z->r);
        most_rows = dn_max(most_rows, z->n);
    }
    size_t n_parts = n * (size_t)dn_comm_size(f->orth_comm);
    f->batches = calloc(n, sizeof *f->batches);
    f->matrices = calloc(n, sizeof *f->matrices);
    f->products = calloc(n, sizeof *f->products);
    f->orth_p = calloc(n, sizeof *f->orth_p);
    f->orth_r = calloc(n, sizeof *f->orth_r);
    f->parts_p = calloc(n_parts, sizeof *f->parts_p);
    f->parts_r = calloc(n_parts, sizeof *f->parts_r);
    f->squares = calloc(n_columns, sizeof *f->squares);
    f->lengths = calloc(n_columns, sizeof *f->lengths);
    f->columns = calloc(most_columns, sizeof *f->columns);
    f->draws = calloc(most_rows * dn_lowrank_max_new_columns(), sizeof *f->draws);
    if (!f->batches || !f->matrices || !f->products || !f->orth_p || !f->orth_r || !f->parts_p ||
        !f->parts_r || !f->squares || !f->lengths || !f->columns || !f->draws)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu matrices", n - 1);
    for (size_t j = 0; j < most_columns; j++)
        f->columns[j] = (int32_t)j;
    return DN_OK;
}

static dn_status fill(dn_lowrank *f, char *workspace)
{
    const dn_param_group *group = f->group;
    size_t n = group->n_param_states, factor_bytes, columns = 0;
    measure(group->config, group->param_states, n, f->orth_p, &f->orth_bytes, &factor_bytes);
    f->orth_workspace = workspace;
    double *lengths = f->lengths;
    for (size_t first = 0; first < n;) {
        dn_lowrank_batch *b = &f->batches[f->n_batches++];
        b->matrices = &f->matrices[first];
        b->products = &f->products[first];
        b->orth_p = &f->orth_p[first];
        b->orth_r = &f->orth_r[first];
        b->squares = &f->squares[columns];
        b->n = dn_lowrank_batch_of(group->config, &group->param_states[first], n - first);
        b->p = b->q = b->r = dn_bucket_of(group->mesh, DN_REAL);
        dn_arena arena = {workspace + f->orth_bytes, factor_bytes, 0};
        dn_param_states_take_buffers(&group->param_states[first], b->n, &arena);
        for (size_t i = 0; i < b->n; i++) {
            const dn_param_state *ps = &group->param_states[first + i];
            dn_lowrank_matrix *x = &b->matrices[i];
            x->ps = ps;
            x->dion = (dn_dion){.shape = ps->shape,
                                .rows = ps->part.rows,
                                .cols = ps->part.cols,
                                .weight = ps->weight,
                                .grad = ps->grad,
                                .momentum = ps->states[DN_STATE_MOMENTUM].data};
            x->shards = dn_layout_factor_shards(&ps->layout, ps->shape.transposed, group->mesh->at);
            x->scale = 1.0 / dn_axes_size(ps->layout.size, ps->layout.replicas);
            x->lengths = lengths;
            lengths += ps->shape.r;
            take_factors(x, ps, &arena);
        }
        DN_TRY(fit_batch(f, b));
        columns += b->n_squares;
        first += b->n;
    }
    for (size_t i = 0; i < n; i++)
        DN_TRY(draw_q(group, &f->matrices[i]));
    return DN_OK;
}

dn_status dn_lowrank_open(dn_param_group *group, void *workspace)
{
    dn_lowrank *f = group->work = calloc(1, sizeof *f);
    if (!f)
        return dn_fail(DN_ERR_MEMORY, "no memory for Dion's tables");
    f->group = group;
    f->orth_comm = dn_mesh_comm(group->mesh, ORTH_AXES);
    DN_TRY(allocate(f));
    return fill(f, workspace);
}

void dn_lowrank_close(dn_param_group *group)
{
    dn_lowrank *f = group->work;
    group->work = NULL;
    if (!f)
        return;
    for (size_t i = 0; i < f->n_batches; i++) {
        dn_bucket_clear(&f->batches[i].p);
        dn_bucket_clear(&f->batches[i].q);
        dn_bucket_clear(&f->batches[i].r);
    }
    free(f->batches);
    free(f->matrices);
    free(f->products);
    free(f->orth_p);
    free(f->orth_r);
    free(f->parts_p);
    free(f->parts_r);
    free(f->squares);
    free(f->lengths);
    free(f->columns);
    free(f->draws);
    free(f);
}
