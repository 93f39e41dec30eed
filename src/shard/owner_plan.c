/* The plan of matrices that an owner needs whole, made when the optimizer opens: batches, owners, memory. */
#include "shard/gram.h"

#include "base/arena.h"
#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "shm/world.h"
#include "shard/deal.h"
#include "shard/selection.h"

#include <assert.h>
#include <stdlib.h>

/* What a batch holds, in whole matrices: on a mesh of one rank enough of every shape for the threads to
 * share them evenly, and still few enough for the caches; else so much for each owner, beside which two
 * barriers are nothing. */
#define BATCH_BYTES_ALONE ((size_t)16 << 20)
#define BATCH_BYTES       ((size_t)64 << 20)

/* With so much workspace (or what one matrix needs, if that is more) small matrices of a shape are
 * orthonormalized together. */
#define TOGETHER_BYTES ((size_t)16 << 20)

/* ---- what is kept ---- */

void dn_owner_describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *ps)
{
    const dn_param *param = ps->param;
    ps->layout = dn_layout_of(param, size, false);
    ps->selection = dn_selection_of(ps->rule, config, size, param);
    for (int k = 0; k < dn_rule_n_states(ps->rule); k++) {
        const dn_state_spec *spec = &ps->rule->states[k];
        dn_state_tensor *state =
            dn_param_state_add(ps, spec->name, spec->at_owner ? NULL : dn_param_state_block);
        assert(!spec->at_owner || ps->selection.by_rows);
        if (!spec->at_owner)
            continue;
        dn_state_shape shape = spec->at_owner(param->tensor.rows, param->tensor.cols);
        dn_tensor_set_whole(&state->tensor, shape.rows, shape.cols);
    }
}

/* ---- batches and owners ---- */

static size_t rows_of(const dn_param_state *ps)
{
    return ps->selection.by_rows ? ps->selection.k : ps->param->tensor.rows;
}

static size_t cols_of(const dn_param_state *ps)
{
    return ps->selection.by_rows ? ps->param->tensor.cols : ps->selection.k;
}

static size_t bytes_of(const dn_param_state *ps)
{
    return dn_size_mul(rows_of(ps) * cols_of(ps), sizeof(dn_real));
}

/* How many of n parameter states make the next batch: at least one. The same on all ranks. */
static size_t batch_of(const dn_param_state *param_states, size_t n)
{
    size_t n_ranks = (size_t)dn_axes_size(param_states[0].layout.size, DN_ALL_AXES);
    size_t limit = n_ranks > 1 ? n_ranks * BATCH_BYTES : BATCH_BYTES_ALONE;
    size_t taken = 1, bytes = bytes_of(&param_states[0]);
    while (taken < n && (bytes = dn_size_add(bytes, bytes_of(&param_states[taken]))) <= limit)
        taken++;
    return taken;
}

static dn_ns_method method_of(const dn_optim_config *config, const dn_rule *rule)
{
    return (dn_ns_method){
        .set = config->newton_schulz, .gram = config->gram || rule->always_gram, .eps = config->eps};
}

/* Of what the owner does. */
static double flops_of(const dn_optim_config *config, const dn_param_state *ps)
{
    dn_ns_method method = method_of(config, ps->rule);
    if (ps->rule->transform)
        return ps->rule->transform_flops(rows_of(ps), cols_of(ps));
    if (ps->distributed)
        return dn_ns_gram_factor_flops(dn_min(rows_of(ps), cols_of(ps)));
    return dn_ns_flops(&method, rows_of(ps), cols_of(ps));
}

typedef struct bucket {
    const dn_optim_config *config;
    dn_param_state *param_states;
} bucket;

static double cost(void *items, size_t i)
{
    const bucket *b = items;
    return flops_of(b->config, &b->param_states[i]);
}

static int *owner(void *items, size_t i)
{
    return &((const bucket *)items)->param_states[i].owner;
}

void dn_owner_deal(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *param_states,
                   size_t n)
{
    dn_deal deal = {0};
    for (size_t i = 0; i < n; i++) {
        param_states[i].distributed =
            dn_gram_pays(config, &param_states[i], rows_of(&param_states[i]), cols_of(&param_states[i]));
        param_states[i].owner = -1;
    }
    for (size_t first = 0, batch; first < n; first += batch) {
        bucket b = {config, &param_states[first]};
        batch = batch_of(b.param_states, n - first);
        dn_deal_batch(&deal, dn_axes_size(size, DN_ALL_AXES), &b, batch, cost, owner);
    }
}

/* ---- symmetric workspace: | Newton-Schulz, or what the rule does instead | of a batch: room for open
 * parameter states | Gram matrices | an owner's matrices | ---- */

static size_t workspace_bytes(const dn_optim_config *config, const dn_param_state *param_states, size_t n)
{
    const dn_rule *rule = param_states[0].rule;
    dn_ns_method method = method_of(config, rule);
    size_t largest = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        size_t rows = rows_of(&param_states[i]), cols = cols_of(&param_states[i]);
        size_t one = rule->transform ? dn_size_mul(rule->transform_room(rows, cols), sizeof(dn_real))
                                     : dn_ns_workspace_bytes(&method, rows, cols, 1);
        largest = dn_max(largest, one);
        all = dn_size_add(all, one);
    }
    dn_arena rounded = {0};
    dn_arena_take(&rounded, rule->transform ? largest : dn_max(largest, dn_min(all, TOGETHER_BYTES)));
    return rounded.used;
}

static size_t gram_size(const dn_param_state *ps)
{
    size_t a = dn_min(rows_of(ps), cols_of(ps));
    return a * a;
}

/* Places the matrices of a batch in memory of all ranks, and of their owners: `arena` is this rank's, and is
 * copied for each rank. matrices may be NULL. Returns the bytes of the fullest one. */
static size_t lay_out(const dn_param_state *param_states, size_t n, dn_arena arena, dn_owned_matrix *matrices)
{
    dn_arena of[DN_MAX_RANKS];
    int n_ranks = dn_axes_size(param_states[0].layout.size, DN_ALL_AXES);
    for (size_t i = 0; i < n; i++) {
        if (!param_states[i].distributed)
            continue;
        dn_buf *gram = dn_arena_take(&arena, dn_size_mul(gram_size(&param_states[i]), sizeof(dn_real)));
        dn_buf *k = dn_arena_take(&arena, dn_size_mul(gram_size(&param_states[i]), sizeof(dn_real)));
        if (matrices) {
            matrices[i].gram = gram;
            matrices[i].k = k;
        }
    }
    size_t most = arena.used;
    for (int rank = 0; rank < n_ranks; rank++)
        of[rank] = arena;
    for (size_t i = 0; i < n && n_ranks > 1; i++) {
        if (param_states[i].distributed)
            continue;
        dn_arena *owner = &of[param_states[i].owner];
        dn_buf *dense = dn_arena_take(owner, bytes_of(&param_states[i]));
        most = dn_max(most, owner->used);
        if (matrices)
            matrices[i].dense = dense;
    }
    return most;
}

static size_t batch_bytes(const dn_param_state *param_states, size_t n)
{
    size_t most = 0;
    for (size_t first = 0, batch; first < n; first += batch) {
        batch = batch_of(&param_states[first], n - first);
        dn_arena arena = {.used = dn_param_states_buffer_bytes(&param_states[first], batch)};
        most = dn_max(most, lay_out(&param_states[first], batch, arena, NULL));
    }
    return most;
}

size_t dn_owner_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES],
                           const dn_param_state *param_states, size_t n)
{
    (void)size;
    return dn_size_add(workspace_bytes(config, param_states, n), batch_bytes(param_states, n));
}

/* ---- tables ---- */

/* Two norms, and the factors of rows. */
static size_t row_info_of(const dn_param_state *ps)
{
    return ps->rule->row_scale ? 2 + rows_of(ps) : 0;
}

static size_t scores_of(const dn_param_state *ps)
{
    return ps->selection.k < ps->selection.size ? ps->selection.size : 0;
}

static dn_status allocate(dn_owner_work *w)
{
    size_t n = w->group->n_param_states, ids = 1, scores = 1, infos = 1,
           longest = 1; /* calloc of 0 may be NULL */
    for (size_t i = 0; i < n; i++) {
        const dn_param_state *ps = &w->group->param_states[i];
        ids += 2 * ps->selection.k;
        scores += scores_of(ps);
        infos += 1 + row_info_of(ps);
        longest = dn_max(longest, dn_max(ps->param->tensor.rows, ps->param->tensor.cols));
    }
    w->batches = calloc(n + 1, sizeof *w->batches);
    w->matrices = calloc(n + 1, sizeof *w->matrices);
    w->together = calloc(n + 1, sizeof *w->together);
    w->info = calloc(n + 1, sizeof *w->info);
    w->squares = calloc(n + 1, sizeof *w->squares);
    w->grams = calloc(n + 1, sizeof *w->grams);
    w->ids = calloc(ids, sizeof *w->ids);
    w->scores = calloc(scores, sizeof *w->scores);
    w->infos = calloc(infos, sizeof *w->infos);
    w->scratch = calloc(longest, sizeof *w->scratch);
    if (!w->batches || !w->matrices || !w->together || !w->info || !w->ids || !w->scores || !w->infos ||
        !w->scratch || !w->squares || !w->grams)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu matrices", n);
    return DN_OK;
}

/* The batches and their matrices, one after the other in the tables and all in the same memory. */
static void fill(dn_owner_work *w, char *memory)
{
    const dn_param_group *group = w->group;
    size_t scores = 0, infos = 0, bytes = batch_bytes(group->param_states, group->n_param_states);
    int32_t *ids = w->ids;
    for (size_t first = 0; first < group->n_param_states;) {
        dn_owner_batch *b = &w->batches[w->n_batches++];
        dn_param_state *param_states = &group->param_states[first];
        dn_arena arena = {memory + w->workspace_bytes, bytes, 0};
        b->n = b->n_infos = batch_of(param_states, group->n_param_states - first);
        b->matrices = &w->matrices[first];
        b->squares = w->squares + first;
        b->grams = w->grams + first;
        b->scores = w->scores + scores;
        b->infos = w->infos + infos;
        dn_param_states_take_buffers(param_states, b->n, &arena);
        lay_out(param_states, b->n, arena, b->matrices);
        for (size_t i = 0; i < b->n; i++) {
            const dn_param_state *ps = &param_states[i];
            dn_owned_matrix *x = &b->matrices[i];
            size_t k = ps->selection.k;
            x->ps = ps;
            x->rows = rows_of(ps);
            x->cols = cols_of(ps);
            x->ids = ids;
            x->ids_here = ids + k;
            ids += 2 * k;
            for (size_t j = 0; j < k; j++)
                x->ids[j] = (int32_t)j; /* for good where there is no choice */
            if (scores_of(ps))
                x->scores = b->scores + b->n_scores;
            b->n_scores += scores_of(ps);
            x->n_row_info = row_info_of(ps);
            x->row_info = b->infos + b->n_infos;
            b->n_infos += x->n_row_info;
            if (!x->dense)
                x->dense = ps->grad; /* on a mesh of one rank */
            if (ps->distributed)
                b->grams[b->n_distributed++] = (dn_owned){x->gram, gram_size(ps), ps->owner};
            else if (ps->owner == dn_comm_rank(group->mesh->all))
                b->owned += x->rows * x->cols;
        }
        scores += b->n_scores;
        infos += b->n_infos;
        first += b->n;
    }
}

/* States that start as the identity, at their owners. */
static dn_status start_states(const dn_param_group *group)
{
    for (size_t i = 0; i < group->n_param_states; i++) {
        const dn_param_state *ps = &group->param_states[i];
        for (int k = 0; k < ps->n_states; k++) {
            const dn_state_tensor *state = &ps->states[k];
            size_t n = dn_block_size(state->block);
            if (!ps->rule->states[k].identity || n == 0)
                continue;
            dn_real *unit = calloc(n, sizeof *unit);
            if (!unit)
                return dn_fail(DN_ERR_MEMORY, "no memory to start %s", state->tensor.name);
            for (size_t j = 0; j < n; j += state->tensor.cols + 1)
                unit[j] = 1;
            dn_upload(group->stream, state->data, unit, n);
            if (state->tensor.type != DN_REAL)
                group->stream->kernels->to_bf16(group->stream, state->stored, state->data, n);
            dn_status status = dn_stream_sync(group->stream);
            free(unit);
            DN_TRY(status);
        }
    }
    return DN_OK;
}

dn_status dn_owner_open(dn_param_group *group, void *workspace)
{
    dn_owner_work *w = group->work = calloc(1, sizeof *w);
    if (!w)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of whole matrices");
    w->group = group;
    w->method = method_of(group->config, group->rule);
    w->workspace = workspace;
    w->workspace_bytes = workspace_bytes(group->config, group->param_states, group->n_param_states);
    DN_TRY(allocate(w));
    fill(w, workspace);
    size_t n_distributed = 0, n = group->n_param_states;
    for (size_t i = 0; i < n; i++)
        n_distributed += group->param_states[i].distributed;
    if (n_distributed && dn_comm_rank(group->mesh->all) == 0)
        dn_log(DN_LOG_INFO,
               "orthonormalized in parts, which moves fewer bytes: %zu long matrices; whole, by owners: %zu",
               n_distributed, n - n_distributed);
    return start_states(group);
}

void dn_owner_close(dn_param_group *group)
{
    dn_owner_work *w = group->work;
    group->work = NULL;
    if (!w)
        return;
    free(w->batches);
    free(w->matrices);
    free(w->together);
    free(w->info);
    free(w->ids);
    free(w->scores);
    free(w->infos);
    free(w->scratch);
    free(w->squares);
    free(w->grams);
    free(w);
}

/* ---- what it costs ---- */

double dn_owner_flops(const dn_param_group *group)
{
    double flops = 0;
    const dn_owner_work *w = group->work;
    for (size_t i = 0; i < group->n_param_states; i++) {
        const dn_owned_matrix *x = &w->matrices[i];
        if (x->ps->owner == dn_comm_rank(group->mesh->all))
            flops += flops_of(group->config, x->ps);
        if (x->ps->distributed)
            flops += dn_gram_block_flops(x, group->mesh);
    }
    return flops;
}

void dn_whole_tell(const dn_param_group *group, size_t i, dn_matrix_choice *choice)
{
    choice->owner = group->param_states[i].owner;
}
