#include "verify/traffic_model.h"

#include "base/size.h"
#include "linalg/newton_schulz.h"
#include "optim/named_group.h"
#include "shard/layout.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void dn_traffic_add(dn_traffic_model *model, unsigned axes, int as, dn_traffic kind, uint64_t bytes)
{
    model->payload[axes][kind] += bytes;
    if (as < DN_N_COLLECTIVES)
        model->by_collective[axes][as] += bytes;
}

void dn_traffic_add_hops(dn_traffic_model *model, const int size[DN_N_AXES], unsigned axes, int as, dn_traffic kind,
                         uint64_t n)
{
    uint64_t others = (uint64_t)dn_axes_size(size, axes) - 1;
    model->hops[axes][kind] += n * (as == DN_N_COLLECTIVES ? 1 : as == DN_ALL_REDUCE ? 2 * others : others);
}

bool dn_traffic_plans_hops(const dn_strategy *strategy, unsigned set, dn_traffic kind)
{
    const unsigned divided =
        1u << DN_TRAFFIC_FACTORS | 1u << DN_TRAFFIC_BASIS | 1u << DN_TRAFFIC_ORTH | 1u << DN_TRAFFIC_ACTIVATIONS;
    bool of_strategy = strategy->family != DN_ON_WHOLE_MESH && (set > DN_ALL_AXES || (set & DN_AXIS(DN_DP)));
    return kind != DN_TRAFFIC_CONTROL && (of_strategy || !(divided >> kind & 1));
}

/* What was added since the last call travels as one batch: an exchange for each collective, kind and set of axes. */
static void end_batch(dn_traffic_model *model, const dn_mesh *mesh)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++) {
            for (int as = 0; as <= DN_N_COLLECTIVES; as++)
                if (model->present[axes][kind] >> as & 1)
                    dn_traffic_add_hops(model, mesh->size, axes, as, (dn_traffic)kind, 1);
            model->present[axes][kind] = 0;
        }
}

/* ---- who holds what ---- */

/* A matrix that is stepped by itself (a parameter, or one of those that it is split into), and this rank's
 * block. */
typedef struct matrix {
    size_t rows, cols;
    dn_range row, col;                 /* of the block */
    unsigned row_axes, col_axes, rest; /* axes that cut its rows, its columns, neither */
    dn_dim_sharding row_sharding, col_sharding;
} matrix;

static dn_range cut_range(const dn_mesh *mesh, dn_dim_sharding cut, size_t n)
{
    return cut.unit == 0 ? (dn_range){0, n}
                         : dn_shard_range(n, cut.unit, mesh->size[cut.axis], mesh->at[cut.axis]);
}

/* Of n_split matrices, one below the other, number k. */
static matrix matrix_of(const dn_param *p, size_t n_split, size_t k, const dn_mesh *mesh)
{
    const dn_range split = dn_param_split(p, n_split, k);
    matrix x = {.rows = dn_range_size(split),
                .cols = p->tensor.cols,
                .row_sharding = p->tensor.row_sharding,
                .col_sharding = p->tensor.col_sharding};
    dn_range rows = cut_range(mesh, p->tensor.row_sharding, p->tensor.rows);
    size_t top = split.first, bottom = split.end;
    x.row.first = dn_min(dn_max(rows.first, top), bottom) - top;
    x.row.end = dn_min(dn_max(rows.end, top), bottom) - top;
    x.col = cut_range(mesh, p->tensor.col_sharding, p->tensor.cols);
    x.row_axes = dn_axes_of(mesh->size, dn_sharding_axes(p->tensor.row_sharding));
    x.col_axes = dn_axes_of(mesh->size, dn_sharding_axes(p->tensor.col_sharding));
    x.rest = dn_axes_without(mesh->size, x.row_axes | x.col_axes);
    return x;
}

/* Where a rule takes matrices only, each of a split parameter is one by itself. */
static size_t n_split_of(const dn_rule *of_matrices, const dn_param *p)
{
    return of_matrices->info.matrices_only && p->n_views > 1 ? p->n_views : 1;
}

/* The share of a range that a rank has of those along some axes. */
static dn_range share_of(const dn_mesh *mesh, unsigned axes, dn_range range)
{
    dn_range part = dn_shard_range(dn_range_size(range), 1, dn_axes_size(mesh->size, axes),
                                   dn_axes_rank(mesh->size, axes, mesh->at));
    return (dn_range){range.first + part.first, range.first + part.end};
}

/* n rows of `each` bytes are summed over some axes, to shares of rows; shares are brought to all. */
static void add_reduce(dn_traffic_model *model, unsigned axes, dn_traffic kind, dn_range range, size_t each)
{
    if (!axes || dn_range_size(range) * each == 0)
        return;
    dn_traffic_add(model, axes, DN_REDUCE_SCATTER, kind, dn_range_size(range) * each);
    model->present[axes][kind] |= 1u << DN_REDUCE_SCATTER;
}

static void add_gather(dn_traffic_model *model, const dn_mesh *mesh, unsigned axes, dn_traffic kind,
                       dn_range range, size_t each)
{
    if (!axes || dn_range_size(range) * each == 0)
        return;
    dn_traffic_add(model, axes, DN_ALL_GATHER, kind, dn_range_size(share_of(mesh, axes, range)) * each);
    model->present[axes][kind] |= 1u << DN_ALL_GATHER;
}

/* ---- Dion (shard/lowrank.h says who exchanges what) ---- */

/* Columns of the factors: a share of the short side, in whole multiples, not more than all of it. */
static size_t dion_rank(const dn_optim_config *c, const matrix *x)
{
    size_t n = dn_min(x->rows, x->cols);
    double wanted = ceil(c->rank_fraction * (double)n / (double)c->rank_multiple_of);
    return dn_min((size_t)wanted * c->rank_multiple_of, n);
}

/* Whether replicas exchange the factors in place of the gradient: where they are smaller. */
static bool exchanges_factors(const dn_optim_config *c, const dn_rule *rule, const matrix *x)
{
    return rule->executor == DN_LOW_RANK && c->compress && c->rank_fraction < 1 &&
           (x->rows + x->cols) * dion_rank(c, x) < x->rows * x->cols;
}

/* Along which axes copies of a block deal its rows among themselves: all but those of replicas that exchange factors. */
static unsigned dealt_axes(const dn_optim_config *c, const dn_rule *rule, const matrix *x)
{
    return exchanges_factors(c, rule, x) ? x->rest & ~DN_AXIS(DN_DP) : x->rest;
}

static matrix part_of(const dn_optim_config *c, const dn_rule *rule, matrix x, const dn_mesh *mesh)
{
    unsigned dealt = dealt_axes(c, rule, &x);
    x.row = share_of(mesh, dealt, x.row);
    x.row_axes |= dealt;
    return x;
}

/* The oriented block: P [m,r] has a row for each row of the long side, R [n,r] and Q for each of the short
 * one; along which axes ranks have the same rows. */
typedef struct factor {
    size_t length; /* of the whole */
    dn_range rows; /* here */
    unsigned axes;
} factor;

static factor factor_of(const matrix *part, const dn_mesh *mesh, bool long_side)
{
    bool by_rows = (part->rows >= part->cols) == long_side;
    return (factor){by_rows ? part->rows : part->cols, by_rows ? part->row : part->col,
                    dn_axes_without(mesh->size, by_rows ? part->row_axes : part->col_axes)};
}

static void add_dion(const dn_optim_config *c, const matrix *part, const dn_mesh *mesh, size_t r,
                     dn_traffic_model *model)
{
    const factor p = factor_of(part, mesh, true), q = factor_of(part, mesh, false);
    unsigned all = dn_axes_of(mesh->size, DN_ALL_AXES);
    size_t each = r * sizeof(dn_real);
    add_gather(model, mesh, dn_axes_without(mesh->size, p.axes), DN_TRAFFIC_BASIS, q.rows, each); /* Q */
    for (int turn = 0; turn < c->power_iters; turn++) {
        add_reduce(model, p.axes, DN_TRAFFIC_FACTORS, p.rows, each); /* P */
        add_gather(model, mesh, p.axes, DN_TRAFFIC_BASIS, p.rows, each);
        add_reduce(model, q.axes, DN_TRAFFIC_FACTORS, q.rows, each); /* R */
        add_gather(model, mesh, q.axes, DN_TRAFFIC_BASIS, q.rows, each);
        if (all) /* norms of R's columns */
            dn_traffic_add(model, all, DN_ALL_REDUCE, DN_TRAFFIC_BASIS, r * sizeof(double));
    }
    if (c->orth_dion)
        add_gather(model, mesh, q.axes, DN_TRAFFIC_BASIS, q.rows, each); /* the new Q */
}

dn_orth_traffic dn_traffic_of_orth(size_t m, size_t r, const dn_orth_rounds *rounds, size_t rows,
                                   size_t owner_rows, bool owns)
{
    const size_t triangle = r * (r + 1) / 2 * sizeof(double), row = r * sizeof(dn_real);
    const size_t sketch = (dn_sketch_rows(r) + 1) * r * sizeof(double);
    const size_t told = 2 * sizeof(double); /* how it went, and how well */
    dn_orth_traffic t = {.reduced = rounds->grams * triangle + rounds->sketches * sketch};
    if (owns)
        t.gathered = (rounds->grams + rounds->sketches + rounds->wholes) * told + rounds->applied * triangle;
    t.sent = owns ? rounds->returned * (m - owner_rows) * row : rounds->wholes * rows * row;
    return t;
}

/* Rows of a factor that the rank at mesh->at has to itself. */
static size_t own_rows(const dn_optim_config *c, const dn_rule *rule, const dn_param *p, size_t n_split,
                       size_t k, const dn_mesh *mesh, bool long_side)
{
    matrix part = part_of(c, rule, matrix_of(p, n_split, k, mesh), mesh);
    factor f = factor_of(&part, mesh, long_side);
    return dn_range_size(share_of(mesh, f.axes, f.rows));
}

void dn_traffic_of_orthonormalizing(const dn_optim_config *config, const dn_param *params, size_t n_params,
                                    const dn_mesh *mesh, const dn_optimizer *optimizer,
                                    dn_traffic_model *model)
{
    unsigned all = dn_axes_of(mesh->size, DN_ALL_AXES);
    size_t index = 0;
    for (size_t i = 0; all && i < n_params; i++) {
        const dn_optim_config own = dn_param_config(config, &params[i]);
        const dn_rule *rule = dn_param_rule(&own, &params[i]);
        size_t n_split = n_split_of(rule, &params[i]);
        index = params[i].place ? params[i].place - 1 : index;
        for (size_t k = 0; k < n_split; k++, index++) {
            const dn_matrix_choice choice = dn_optimizer_choice(optimizer, index);
            for (int of_r = 0; of_r < 2; of_r++) {
                const dn_orth_record *o = &choice.orth[of_r];
                size_t rows = dn_range_size(dn_param_split(&params[i], n_split, k)),
                       cols = params[i].tensor.cols;
                dn_mesh owner = *mesh;
                dn_mesh_at(mesh->size, o->owner, owner.at);
                dn_orth_traffic t =
                    dn_traffic_of_orth(of_r ? dn_min(rows, cols) : dn_max(rows, cols), o->r, &o->rounds,
                                       own_rows(&own, rule, &params[i], n_split, k, mesh, !of_r),
                                       own_rows(&own, rule, &params[i], n_split, k, &owner, !of_r),
                                       o->owner == dn_comm_rank(mesh->all));
                dn_traffic_add(model, all, DN_REDUCE_SCATTER, DN_TRAFFIC_ORTH, t.reduced);
                dn_traffic_add(model, all, DN_ALL_GATHER, DN_TRAFFIC_ORTH, t.gathered);
                dn_traffic_add(model, all, DN_N_COLLECTIVES, DN_TRAFFIC_ORTH, t.sent);
            }
        }
    }
}

/* ---- rules that need a matrix whole, at its owner (shard/owner.h, shard/gram.h) ---- */

/* How many of the rows, or columns, a step takes: of each part that a mesh cuts them into, if parts choose.
 */
static size_t n_selected(const dn_optim_config *c, const dn_mesh *mesh, dn_dim_sharding cut, size_t n)
{
    size_t k = 0;
    int parts = c->local_selection && cut.unit ? mesh->size[cut.axis] : 1;
    for (int i = 0; i < parts; i++)
        k += (size_t)ceil(c->rank_fraction *
                          (double)dn_range_size(dn_shard_range(n, dn_max(cut.unit, 1), parts, i)));
    return k;
}

static void add_owner(const dn_optim_config *c, const dn_rule *rule, const matrix *x, const dn_mesh *mesh,
                      int owner, dn_traffic_model *model)
{
    unsigned all = dn_axes_of(mesh->size, DN_ALL_AXES);
    size_t n_ranks = (size_t)dn_axes_size(mesh->size, DN_ALL_AXES), rows = x->rows, cols = x->cols,
           scores = 0;
    bool by_rows = rule->selects == DN_SELECT_ROWS || rows <= cols, owns = owner == dn_comm_rank(mesh->all);
    if (rule->selects != DN_SELECT_ALL) {
        size_t *side = by_rows ? &rows : &cols;
        size_t k = n_selected(c, mesh, by_rows ? x->row_sharding : x->col_sharding, *side);
        scores = k < *side ? *side : 0;
        *side = k;
    }
    size_t short_side = dn_min(rows, cols), long_side = dn_max(rows, cols);
    unsigned short_axes = rows > cols ? x->col_axes : x->row_axes;
    bool in_parts = c->gram && !rule->row_scale && !rule->transform && !short_axes &&
                    long_side > 2 * n_ranks * short_side;
    size_t found = 1 + (rule->row_scale ? 2 + rows : 0);
    dn_traffic_add(model, all, DN_ALL_REDUCE, DN_TRAFFIC_BASIS, (scores + found) * sizeof(double));
    if (in_parts) {
        uint64_t grams = DN_NS_GRAM_ROUNDS * short_side * short_side * sizeof(dn_real);
        dn_traffic_add(model, all, DN_ALL_REDUCE, DN_TRAFFIC_BASIS, sizeof(double)); /* the norm */
        dn_traffic_add(model, all, DN_REDUCE_SCATTER, DN_TRAFFIC_BASIS, grams);
        dn_traffic_add(model, all, DN_ALL_GATHER, DN_TRAFFIC_BASIS, owns ? grams : 0);
    } else if (owns) {
        dn_traffic_add(model, all, DN_ALL_TO_ALL, DN_TRAFFIC_BASIS, 2 * rows * cols * sizeof(dn_real));
    }
}

/* ---- a step ---- */

static void add_matrix(const dn_optim_config *c, const dn_rule *rule, const matrix x, const dn_mesh *mesh,
                       const dn_matrix_choice *choice, uint64_t step, dn_traffic_model *model)
{
    unsigned dealt = dealt_axes(c, rule, &x), replicas = x.rest & ~dealt;
    const matrix part = part_of(c, rule, x, mesh);
    size_t cols = dn_range_size(x.col), row = cols * sizeof(dn_real);
    add_reduce(model, dealt, DN_TRAFFIC_GRADIENT, x.row, row);
    add_gather(model, mesh, dealt, DN_TRAFFIC_WEIGHTS, x.row, row);
    if (c->momentum_sync_every > 0 && (step + 1) % (uint64_t)c->momentum_sync_every == 0) {
        size_t stored = cols * dn_type_bytes(c->state_precision == DN_PRECISION_BFLOAT16 ? DN_BF16 : DN_REAL);
        add_reduce(model, replicas, DN_TRAFFIC_MOMENTUM, part.row, stored);
        add_gather(model, mesh, replicas, DN_TRAFFIC_MOMENTUM, part.row, stored);
    }
    if (rule->executor == DN_LOW_RANK)
        add_dion(c, &part, mesh, c->adaptive_rank ? choice->r : dion_rank(c, &x), model);
    if (rule->executor == DN_OWNER && dn_comm_size(mesh->all) > 1)
        add_owner(c, rule, &part, mesh, choice->owner, model);
}

void dn_traffic_of_optimizer(const dn_optim_config *config, const dn_param *params, size_t n_params,
                             const dn_mesh *mesh, const dn_optimizer *optimizer, uint64_t step,
                             dn_traffic_model *model)
{
    unsigned all = dn_axes_of(mesh->size, DN_ALL_AXES);
    size_t index = 0;
    for (size_t i = 0; i < n_params; i++) {
        const dn_param *p = &params[i];
        const dn_optim_config own = dn_param_config(config, p);
        const dn_rule *rule = dn_param_rule(&own, p);
        size_t n_split = n_split_of(rule, p);
        index = params[i].place ? params[i].place - 1 : index;
        for (size_t k = 0; k < n_split; k++, index++) {
            dn_matrix_choice choice = dn_optimizer_choice(optimizer, index);
            add_matrix(&own, rule, matrix_of(p, n_split, k, mesh), mesh, &choice, step, model);
        }
    }
    end_batch(model, mesh);
    /* The norm of all gradients; where replicas step alone, also whether all of theirs are finite. */
    if (all)
        dn_traffic_add(model, all, DN_ALL_REDUCE, DN_TRAFFIC_CONTROL, sizeof(double));
    if (mesh->stages)
        dn_traffic_add(model, DN_AXIS(DN_PP), DN_ALL_REDUCE, DN_TRAFFIC_CONTROL, sizeof(double));
    if (dn_mesh_n_alone(mesh) > 1)
        dn_traffic_add(model, all | DN_AXIS(DN_DP), DN_ALL_REDUCE, DN_TRAFFIC_CONTROL, sizeof(double));
}

/* ---- strategies ---- */

/* A mean over replicas of x [rows, cols]. */
static void add_mean(dn_traffic_model *model, const dn_mesh *mesh, dn_traffic kind, size_t rows, size_t row_bytes)
{
    const dn_range all = {0, rows};
    add_reduce(model, DN_AXIS(DN_DP), kind, all, row_bytes);
    add_gather(model, mesh, DN_AXIS(DN_DP), kind, all, row_bytes);
}

/* The states of the rule that an exchange takes. */
static void add_rule_states(const dn_exchange *e, const dn_mesh *mesh, const dn_optimizer *optimizer, dn_traffic_model *model)
{
    for (size_t i = 0; i < dn_optimizer_n_states(optimizer); i++) {
        const dn_tensor *state = dn_optimizer_state(optimizer, i);
        const dn_block own = dn_optimizer_state_shard(optimizer, i, dn_comm_rank(mesh->all)).block;
        char name[DN_TENSOR_NAME_MAX];
        const char *at = strchr(state->name, '.') + 1; /* "m" of "adamw.m.<parameter>" */
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "."), at);
        if (e->takes(name))
            add_mean(model, mesh, e->kind, own.rows, own.cols * dn_type_bytes(state->type));
    }
    end_batch(model, mesh);
}

/* One message of a block [rows, cols] of this rank: n numbers, or bytes. */
static void add_message(const dn_exchange *e, const dn_mesh *mesh, size_t n, size_t rows, size_t cols, bool alone,
                        dn_traffic_model *model)
{
    switch (e->pattern) {
    case DN_MEAN:
        add_mean(model, mesh, e->kind, e->length ? n : rows, (e->length ? 1 : cols) * sizeof(dn_real));
        break;
    case DN_GATHER: /* with its length, where that may be less */
        dn_traffic_add(model, DN_AXIS(DN_DP), DN_ALL_GATHER, e->kind, n + (e->varies ? sizeof(uint64_t) : 0));
        model->present[DN_AXIS(DN_DP)][e->kind] |= 1u << DN_ALL_GATHER;
        break;
    case DN_PAIR:
        dn_traffic_add(model, DN_AXIS(DN_DP), DN_N_COLLECTIVES, e->kind, alone ? 0 : n * sizeof(dn_real));
        model->present[DN_AXIS(DN_DP)][e->kind] |= alone ? 0 : 1u << DN_N_COLLECTIVES;
        break;
    }
}

/* The mesh with the replicas of a scope alone; of it only sizes and places are looked at. */
static dn_mesh mesh_of_scope(const dn_strategy_case *s, const dn_mesh *mesh, dn_scope scope)
{
    dn_mesh of_scope = *mesh;
    dn_strategy_scope_at(s->strategy, s->config, scope, of_scope.size, of_scope.at);
    return of_scope;
}

/* What was modelled along dp of a scope's mesh. */
static void move_to_set(const dn_traffic_model *part, int set, dn_traffic_model *model)
{
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++) {
        model->payload[set][kind] += part->payload[DN_AXIS(DN_DP)][kind];
        model->hops[set][kind] += part->hops[DN_AXIS(DN_DP)][kind];
    }
    for (int as = 0; as < DN_N_COLLECTIVES; as++)
        model->by_collective[set][as] += part->by_collective[DN_AXIS(DN_DP)][as];
}

/* Each replica of an island averages its share of the rows with its twins in other islands, then gathers. */
static void add_across(const dn_strategy_case *s, const dn_exchange *e, const dn_mesh *mesh, size_t rows, size_t row_bytes,
                       dn_traffic_model *across, dn_traffic_model *inside)
{
    const dn_mesh island = mesh_of_scope(s, mesh, DN_SCOPE_ISLAND), islands = mesh_of_scope(s, mesh, DN_SCOPE_ACROSS);
    const unsigned dp = dn_axes_of(island.size, DN_AXIS(DN_DP));
    const dn_range all = {0, rows};
    if (islands.size[DN_DP] > 1)
        add_mean(across, &islands, e->kind, dn_range_size(share_of(&island, dp, all)), row_bytes);
    if (islands.size[DN_DP] > 1 && dp)
        add_gather(inside, &island, dp, e->kind, all, row_bytes);
}

static void add_exchange(const dn_strategy_case *s, const dn_param *params, size_t n_params, const dn_mesh *mesh, int index,
                         uint64_t step, dn_traffic_model *model)
{
    static const double none[DN_STRATEGY_PROBE_MAX];
    const dn_exchange *e = s->strategy->exchanges[index];
    const dn_mesh own_mesh = mesh_of_scope(s, mesh, e->scope);
    uint64_t delay = e->delay && !e->ends ? e->delay(s->config) : 0, begun = step - delay;
    dn_strategy_context c = {.config = s->config, .step = begun, .replica = own_mesh.at[DN_DP],
                             .n_replicas = own_mesh.size[DN_DP], .probe = none};
    dn_strategy_measure_model(params, n_params, &c.n_layers, &c.n_elements);
    bool alone = dn_strategy_partner(s->config->seed, begun, c.n_replicas, c.replica) == c.replica, any = false;
    unsigned all = dn_axes_of(mesh->size, DN_ALL_AXES);
    dn_traffic_model part = {0}, inside = {0};
    dn_traffic_model *to = e->scope == DN_SCOPE_ALL ? model : &part;
    if (e->n_probe && all) {
        dn_traffic_add(model, all, DN_ALL_REDUCE, DN_TRAFFIC_PROBE, e->n_probe(s->config) * sizeof(double));
        model->present[all][DN_TRAFFIC_PROBE] |= 1u << DN_ALL_REDUCE;
    }
    for (size_t i = 0; i < n_params && c.n_replicas > 1 && step >= delay; i++) {
        const matrix own = matrix_of(&params[i], 1, 0, mesh);
        size_t rows = dn_range_size(own.row), cols = dn_range_size(own.col);
        const dn_strategy_param x = {.param = &params[i], .index = i, .n_params = n_params, .rows = rows, .cols = cols,
                                     .n = rows * cols};
        dn_strategy_sent last = {.sent = !e->due || e->due(&c, &x), .n = e->length ? e->length(s->config, params[i].kind, rows, cols) : x.n};
        if (s->run && (e->n_probe || e->varies || e->ends))
            last = dn_strategy_last(s->run, index, i);
        if (last.sent && e->scope == DN_SCOPE_ACROSS)
            add_across(s, e, mesh, rows, cols * sizeof(dn_real), &part, &inside);
        else if (last.sent && e->of != DN_OF_STATES)
            add_message(e, &own_mesh, last.n, rows, cols, alone, to);
        any = any || last.sent;
    }
    if (any && e->of == DN_OF_STATES)
        add_rule_states(e, mesh, s->optimizer, model);
    end_batch(to, &own_mesh);
    if (e->scope == DN_SCOPE_ALL)
        return;
    const dn_mesh island = mesh_of_scope(s, mesh, DN_SCOPE_ISLAND);
    end_batch(&inside, &island);
    move_to_set(&part, e->scope == DN_SCOPE_ISLAND ? DN_SET_ISLAND : DN_SET_ACROSS, model);
    move_to_set(&inside, DN_SET_ISLAND, model);
}

void dn_traffic_of_strategy(const dn_strategy_case *s, const dn_param *params, size_t n_params, const dn_mesh *mesh,
                            uint64_t step, dn_traffic_model *model)
{
    const unsigned replica = dn_axes_of(mesh->size, DN_ALL_AXES & ~DN_AXIS(DN_DP));
    const dn_strategy *strategy = s->strategy;
    if (strategy->family == DN_ON_WHOLE_MESH)
        return;
    for (size_t i = 0; i < n_params && strategy->family != DN_AFTER_RULE; i++) { /* copies of gradients in a replica */
        const matrix x = matrix_of(&params[i], 1, 0, mesh);
        unsigned copies = x.rest & replica;
        add_reduce(model, copies, DN_TRAFFIC_GRADIENT, x.row, dn_range_size(x.col) * sizeof(dn_real));
        add_gather(model, mesh, copies, DN_TRAFFIC_GRADIENT, x.row, dn_range_size(x.col) * sizeof(dn_real));
    }
    end_batch(model, mesh);
    if (strategy->family == DN_BEFORE_RULE) { /* whether all gradients are finite, before anything is made of them */
        if (mesh->stages)
            dn_traffic_add(model, DN_AXIS(DN_PP), DN_ALL_REDUCE, DN_TRAFFIC_CONTROL, sizeof(double));
        if (replica)
            dn_traffic_add(model, replica, DN_ALL_REDUCE, DN_TRAFFIC_CONTROL, sizeof(double));
        if (mesh->size[DN_DP] > 1)
            dn_traffic_add(model, replica | DN_AXIS(DN_DP), DN_ALL_REDUCE, DN_TRAFFIC_CONTROL, sizeof(double));
    }
    for (int k = 0; k < dn_strategy_n_exchanges(strategy); k++)
        if (!strategy->exchanges[k]->used || strategy->exchanges[k]->used(s->config))
            add_exchange(s, params, n_params, mesh, k, step, model);
}

/* Each unit's weights are read on the way forward and again on the way back, as far as there is something trained, but
 * the head's once for both: those of a first unit that is the head too in its place once more, of one that is nothing else only
 * there. Of what is frozen no gradients are reduced. */
void dn_traffic_of_pass(const dn_param *params, size_t n_params, const size_t *unit_of, size_t lowest_unit, dn_head_unit at_head,
                        const dn_mesh *mesh, dn_traffic_model *model)
{
    const unsigned fs = DN_AXIS(DN_FS);
    dn_mesh unsharded = *mesh; /* what all ranks of fs have together */
    unsharded.size[DN_FS] = 1;
    unsharded.at[DN_FS] = 0;
    for (size_t i = 0; mesh->size[DN_FS] > 1 && i < n_params; i++) {
        matrix own = matrix_of(&params[i], 1, 0, mesh), whole = matrix_of(&params[i], 1, 0, &unsharded);
        bool first = unit_of[i] == 0, last = unit_of[i] == unit_of[n_params - 1], trained = false;
        bool head = (at_head == DN_HEAD_LAST && last) || (at_head >= DN_HEAD_TIED && first);
        size_t there_and_back = 1 + (unit_of[i] >= lowest_unit), times = !head                     ? there_and_back
                                                                         : at_head == DN_HEAD_TIED ? there_and_back + 1
                                                                                                   : 1;
        for (size_t k = 0; k < n_params; k++)
            trained = trained || (unit_of[k] == unit_of[i] && !params[k].frozen);
        size_t gradients = !trained ? 0 : head && at_head == DN_HEAD_TIED ? 2 : 1;
        dn_traffic_add(model, fs, DN_ALL_GATHER, DN_TRAFFIC_WEIGHTS,
                       times * dn_range_size(own.row) * dn_range_size(own.col) * sizeof(dn_real));
        dn_traffic_add(model, fs, DN_REDUCE_SCATTER, DN_TRAFFIC_GRADIENT,
                       (params[i].frozen ? 0 : gradients) * dn_range_size(whole.row) * dn_range_size(whole.col) * sizeof(dn_real));
        if (i > 0 && unit_of[i] == unit_of[i - 1])
            continue;
        dn_traffic_add_hops(model, mesh->size, fs, DN_ALL_GATHER, DN_TRAFFIC_WEIGHTS, times);
        dn_traffic_add_hops(model, mesh->size, fs, DN_REDUCE_SCATTER, DN_TRAFFIC_GRADIENT, gradients);
    }
}
