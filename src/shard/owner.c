#include "shard/owner.h"

#include "base/fail.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "shard/param_address.h"
#include "shard/selection.h"
#include "shard/gram.h"

#include <math.h>
#include <string.h>

/* ---- parts ---- */

dn_block dn_owned_matrix_block(const dn_owned_matrix *x, const int at[DN_N_AXES])
{
    const dn_selection *z = &x->ps->selection;
    dn_block part = dn_layout_block(&x->ps->layout, at);
    if (z->k == z->size)
        return part;
    size_t here = z->by_rows ? part.row0 : part.col0, behind = here + (z->by_rows ? part.rows : part.cols);
    size_t first = 0, end;
    while (first < z->k && (size_t)x->ids[first] < here)
        first++;
    for (end = first; end < z->k && (size_t)x->ids[end] < behind;)
        end++;
    if (z->by_rows)
        return (dn_block){first, end - first, part.col0, part.cols};
    return (dn_block){part.row0, part.rows, first, end - first};
}

/* [rows, cols] between matrices whose rows are to_cols and from_cols long. */
static void copy_part(dn_stream *s, size_t rows, size_t cols, dn_buf *to, size_t to_cols, const dn_buf *from,
                      size_t from_cols)
{
    size_t at_once = cols == to_cols && cols == from_cols ? rows : 1;
    for (size_t row = 0; row < rows && cols > 0; row += at_once)
        s->kernels->copy(s, dn_at(to, row * to_cols), dn_at(from, row * from_cols), at_once * cols);
}

/* ---- to the owner and back ---- */

/* Whether this rank has the whole matrix. */
static bool is_own(const dn_owner_work *w, const dn_owned_matrix *x)
{
    return !x->ps->distributed && x->ps->owner == dn_comm_rank(w->group->mesh->all);
}

/* x->dense [rows, cols], at its owner: from the parts that all ranks have left in the gradient's memory. */
static void gather_parts(const dn_owner_work *w, const dn_owned_matrix *x)
{
    const dn_mesh *mesh = w->group->mesh;
    const dn_param_state *ps = x->ps;
    int at[DN_N_AXES];
    for (int rank = 0; rank < dn_comm_size(mesh->all); rank++) {
        dn_mesh_at(mesh->size, rank, at);
        dn_block block = dn_param_block(ps->param, ps->layout.size, at);
        size_t row0 = dn_layout_block(&ps->layout, at).row0;
        const dn_buf *grad = dn_param_address(mesh->size, ps->param - ps->index, ps->index, true, at);
        dn_block part = dn_owned_matrix_block(x, at);
        const dn_comm_chunk dense = dn_comm_chunk_of(dn_at(grad, (row0 - block.row0) * block.cols),
                                                     part.rows * part.cols * sizeof(dn_real));
        copy_part(w->group->stream, part.rows, part.cols, dn_at(x->dense, part.row0 * x->cols + part.col0),
                  x->cols, dn_comm_view(mesh->all, dense, rank, DN_TRAFFIC_BASIS), part.cols);
    }
}

/* This rank's part of x->dense, read at its owner, into the gradient's memory. */
static void fetch_part(const dn_owner_work *w, const dn_owned_matrix *x)
{
    const dn_mesh *mesh = w->group->mesh;
    dn_block part = dn_owned_matrix_block(x, mesh->at);
    size_t n = part.rows * part.cols, span = n > 0 ? (part.rows - 1) * x->cols + part.cols : 0;
    const dn_comm_chunk rows = {dn_at(x->dense, part.row0 * x->cols + part.col0), span * sizeof(dn_real),
                                n * sizeof(dn_real)};
    copy_part(w->group->stream, part.rows, part.cols, x->ps->grad, part.cols,
              dn_comm_view(mesh->all, rows, x->ps->owner, DN_TRAFFIC_BASIS), x->cols);
}

/* ---- at the owner ---- */

static bool is_like(const dn_owner_work *w, const dn_owned_matrix *x, const dn_owned_matrix *first)
{
    return is_own(w, x) && x->rows == first->rows && x->cols == first->cols;
}

/* All of this rank's matrices of the batch that have the shape of matrix `first`, in one call; nothing if
 * they were done with one before it. */
static dn_status orthonormalize_alike(const dn_owner_work *w, dn_owner_batch *b, size_t first)
{
    const dn_owned_matrix *x = &b->matrices[first];
    size_t n = 0, taken = 0;
    for (size_t i = 0; i < first; i++)
        if (is_like(w, &b->matrices[i], x))
            return DN_OK;
    for (size_t i = first; i < b->n; i++)
        if (is_like(w, &b->matrices[i], x))
            w->together[n++] = b->matrices[i].dense;
    DN_TRY(dn_newton_schulz(w->group->stream, &w->method, w->together, w->info, n, x->rows, x->cols,
                            w->workspace, w->workspace_bytes));
    for (size_t i = first; i < b->n; i++)
        if (is_like(w, &b->matrices[i], x))
            b->matrices[i].info = w->info[taken++];
    return DN_OK;
}

/* A matrix as its rule sees it at the owner. */
static dn_owner_matrix owner_matrix(const dn_owner_work *w, const dn_owned_matrix *x, uint64_t step)
{
    const dn_param_state *ps = x->ps;
    dn_owner_matrix matrix = {.o = x->dense,
                              .rows = x->rows,
                              .cols = x->cols,
                              .ids = x->ids,
                              .step = step,
                              .row_factor = x->row_info + 2,
                              .norms = x->row_info,
                              .scratch = w->scratch,
                              .workspace = w->workspace};
    for (int k = 0; k < ps->n_states; k++)
        matrix.states[k] = ps->states[k].data;
    return matrix;
}

/* What the owner makes of its matrices: O = the polar factor of U, or the rule's own transform of it; then
 * what the rule makes of O's rows. */
static dn_status work_at_owner(const dn_owner_work *w, dn_owner_batch *b, uint64_t step)
{
    const dn_param_group *group = w->group;
    const dn_rule *rule = group->rule;
    for (size_t i = 0; i < b->n; i++) {
        dn_owned_matrix *x = &b->matrices[i];
        dn_comm_enter(group->mesh->all, rule->transform ? rule->info.name : "Newton-Schulz");
        if (!is_own(w, x))
            continue;
        if (!rule->transform) {
            DN_TRY(orthonormalize_alike(w, b, i));
            continue;
        }
        const dn_owner_matrix matrix = owner_matrix(w, x, step);
        DN_TRY(rule->transform(group->stream, group->config, &matrix, &x->info));
    }
    for (size_t i = 0; i < b->n && rule->at_owner; i++) {
        dn_owned_matrix *x = &b->matrices[i];
        if (!is_own(w, x) || x->info == DN_NS_NOT_FINITE)
            continue;
        const dn_owner_matrix matrix = owner_matrix(w, x, step);
        DN_TRY(rule->at_owner(group->stream, group->config, &matrix));
        if (!isfinite(matrix.norms[1]))
            x->info = DN_NS_NOT_FINITE;
    }
    return DN_OK;
}

/* ---- one step ---- */

dn_matrix_shard dn_owned_matrix_shard(const dn_owner_work *w, const dn_owned_matrix *x)
{
    const dn_param_state *ps = x->ps;
    const dn_block selected = dn_owned_matrix_block(x, w->group->mesh->at);
    dn_matrix_shard part = {.selection = ps->selection,
                            .rows = ps->part.rows,
                            .cols = ps->part.cols,
                            .weight = ps->weight,
                            .grad = ps->grad,
                            .ids = x->ids_here,
                            .n_ids = ps->selection.by_rows ? selected.rows : selected.cols,
                            .row_factor = x->row_info + 2 + selected.row0,
                            .norms = x->row_info};
    for (int k = 0; k < ps->n_states; k++)
        part.states[k] = ps->states[k].data;
    return part;
}

/*
 * One step of a batch of matrices X [rows, cols], with the momentum M: U from the gradient G and M, O from
 * U, X from O. Each line is for all matrices of the batch. Where G was, this rank has its part of U, then of
 * O: rows and columns of X that this rank works on, or those of them that are selected.
 *
 * No weight changes before all ranks know that every U of the batch is finite.
 */
static dn_status step_batch(const dn_owner_work *w, dn_owner_batch *b, uint64_t step, double lr,
                            dn_step_report *report)
{
    const dn_param_group *group = w->group;
    const dn_rule *rule = group->rule;
    dn_comm *all = group->mesh->all;
    dn_stream *s = group->stream;
    bool alone = dn_comm_size(all) == 1; /* then x->dense is the gradient's memory */
    dn_owned_matrix *x = b->matrices;
    size_t n = b->n;

    dn_comm_enter(all, rule->info.name);
    for (size_t i = 0; i < n; i++)
        dn_param_state_load(s, x[i].ps);
    if (rule->selects != DN_SELECT_ALL)
        DN_TRY(dn_selection_choose(w, b)); /* M += G, and which rows or columns: ids [k] */
    for (size_t i = 0; i < n && rule->direction; i++) {
        const dn_matrix_shard part = dn_owned_matrix_shard(w, &x[i]);
        rule->direction(s, group->config, &part); /* part of U; Muon: M = mu M + G, U = M or G + mu M */
    }

    memset(b->infos, 0, b->n_infos * sizeof *b->infos);
    for (size_t i = 0; i < n; i++)
        x[i].info = DN_NS_OK;
    DN_TRY(dn_stream_sync(s));
    if (b->n_distributed)
        DN_TRY(dn_gram_orthonormalize(w, b)); /* part of O, of those that need no owner */
    DN_TRY(dn_comm_barrier(all));
    for (size_t i = 0; i < n && !alone; i++)
        if (is_own(w, &x[i]))
            gather_parts(w, &x[i]);    /* at the owner: U [rows, cols] */
    DN_TRY(work_at_owner(w, b, step)); /* at the owner: O [rows, cols] */
    dn_comm_count_in_place(all, DN_ALL_TO_ALL, 2 * b->owned * sizeof(dn_real), 2 * b->owned * sizeof(dn_real),
                           DN_TRAFFIC_BASIS);
    DN_TRY(dn_stream_sync(s));

    /* found of each matrix, and facts: where only one rank has set them, what it set is the largest. */
    for (size_t i = 0; i < n; i++)
        b->infos[i] = x[i].info;
    DN_TRY(dn_comm_all_reduce(all, b->infos, b->n_infos, DN_F64, DN_MAX, DN_TRAFFIC_BASIS));
    for (size_t i = 0; i < n; i++) {
        x[i].info = (dn_ns_info)b->infos[i];
        if (x[i].info == DN_NS_NOT_FINITE)
            return dn_param_state_not_finite(x[i].ps);
        report->n_zero += x[i].info == DN_NS_ZERO;
        if (!alone && !x[i].ps->distributed)
            fetch_part(w, &x[i]); /* part of O */
    }

    for (size_t i = 0; i < n; i++) {
        const dn_matrix_shard part = dn_owned_matrix_shard(w, &x[i]);
        const dn_update_params params = dn_param_state_update_params(x[i].ps, step, lr);
        rule->apply(s, group->config, &part, &params); /* X = (1 - lr wd) X - lr scale O */
        dn_param_state_store(s, x[i].ps);
    }
    return dn_stream_sync(s);
}

static dn_status step_all(dn_param_group *group, uint64_t step, double lr, dn_step_report *report)
{
    const dn_owner_work *w = group->work;
    for (size_t k = 0; k < w->n_batches; k++)
        DN_TRY(step_batch(w, &w->batches[k], step, lr, report));
    return DN_OK;
}

const dn_executor dn_executor_owner = {
    .describe = dn_owner_describe,
    .deal = dn_owner_deal,
    .heap_bytes = dn_owner_heap_bytes,
    .open = dn_owner_open,
    .close = dn_owner_close,
    .step = step_all,
    .flops = dn_owner_flops,
    .tell = dn_whole_tell,
};
