#include "sync/whole.h"

#include "base/fail.h"
#include "compute/kernels.h"
#include "sync/param_address.h"
#include "sync/selection.h"
#include "sync/spread.h"

#include <string.h>

/* ---- parts ---- */

dn_block dn_whole_part(const dn_whole *x, const int at[DN_N_AXES])
{
    const dn_selection *z = &x->slot->selection;
    dn_block part = dn_layout_part(&x->slot->layout, at);
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
static bool is_own(const dn_wholes *w, const dn_whole *x)
{
    return !x->slot->spread && x->slot->owner == dn_comm_rank(w->party->mesh->all);
}

/* x->dense [rows, cols], at its owner: from the parts that all ranks have left in the gradient's memory. */
static void gather_parts(const dn_wholes *w, const dn_whole *x)
{
    const dn_mesh *mesh = w->party->mesh;
    const dn_slot *slot = x->slot;
    int at[DN_N_AXES];
    for (int rank = 0; rank < dn_comm_size(mesh->all); rank++) {
        dn_mesh_at(mesh->size, rank, at);
        dn_block block = dn_param_block(slot->param, slot->layout.size, at);
        size_t row0 = dn_layout_part(&slot->layout, at).row0;
        const dn_buf *grad = dn_param_address(mesh->size, slot->param - slot->index, slot->index, true, at);
        dn_block part = dn_whole_part(x, at);
        const dn_comm_chunk dense = dn_comm_chunk_of(dn_at(grad, (row0 - block.row0) * block.cols),
                                                     part.rows * part.cols * sizeof(dn_real));
        copy_part(w->party->stream, part.rows, part.cols, dn_at(x->dense, part.row0 * x->cols + part.col0),
                  x->cols, dn_comm_view(mesh->all, dense, rank, DN_TRAFFIC_BASIS), part.cols);
    }
}

/* This rank's part of x->dense, read at its owner, into the gradient's memory. */
static void fetch_part(const dn_wholes *w, const dn_whole *x)
{
    const dn_mesh *mesh = w->party->mesh;
    dn_block part = dn_whole_part(x, mesh->at);
    size_t n = part.rows * part.cols, span = n > 0 ? (part.rows - 1) * x->cols + part.cols : 0;
    const dn_comm_chunk rows = {dn_at(x->dense, part.row0 * x->cols + part.col0), span * sizeof(dn_real),
                                n * sizeof(dn_real)};
    copy_part(w->party->stream, part.rows, part.cols, x->slot->grad, part.cols,
              dn_comm_view(mesh->all, rows, x->slot->owner, DN_TRAFFIC_BASIS), x->cols);
}

/* ---- at the owner ---- */

static bool is_like(const dn_wholes *w, const dn_whole *x, const dn_whole *first)
{
    return is_own(w, x) && x->rows == first->rows && x->cols == first->cols;
}

/* All of this rank's matrices of the bucket that have the shape of matrix `first`, in one call; nothing if
 * they were done with one before it. */
static dn_status orthonormalize_alike(const dn_wholes *w, dn_whole_batch *b, size_t first)
{
    const dn_whole *x = &b->matrices[first];
    size_t n = 0, taken = 0;
    for (size_t i = 0; i < first; i++)
        if (is_like(w, &b->matrices[i], x))
            return DN_OK;
    for (size_t i = first; i < b->n; i++)
        if (is_like(w, &b->matrices[i], x))
            w->together[n++] = b->matrices[i].dense;
    DN_TRY(dn_newton_schulz(w->party->stream, &w->method, w->together, w->found, n, x->rows, x->cols,
                            w->workspace, w->workspace_bytes));
    for (size_t i = first; i < b->n; i++)
        if (is_like(w, &b->matrices[i], x))
            b->matrices[i].found = w->found[taken++];
    return DN_OK;
}

/* A matrix as its rule sees it at the owner. */
static dn_owner_matrix owner_matrix(const dn_wholes *w, const dn_whole *x, uint64_t step)
{
    const dn_slot *slot = x->slot;
    dn_owner_matrix matrix = {.o = x->dense,
                              .rows = x->rows,
                              .cols = x->cols,
                              .ids = x->ids,
                              .step = step,
                              .row_factor = x->facts + 2,
                              .norms = x->facts,
                              .scratch = w->scratch,
                              .workspace = w->workspace};
    for (int k = 0; k < slot->n_states; k++)
        matrix.states[k] = slot->states[k].data;
    return matrix;
}

/* What the owner makes of its matrices: O = the polar factor of U, or the rule's own transform of it; then
 * what the rule makes of O's rows. */
static dn_status work_at_owner(const dn_wholes *w, dn_whole_batch *b, uint64_t step)
{
    const dn_party *party = w->party;
    const dn_rule *rule = party->rule;
    for (size_t i = 0; i < b->n; i++) {
        dn_whole *x = &b->matrices[i];
        dn_comm_tick(party->mesh->all, step + 1, rule->transform ? rule->info.name : "Newton-Schulz");
        if (!is_own(w, x))
            continue;
        if (!rule->transform) {
            DN_TRY(orthonormalize_alike(w, b, i));
            continue;
        }
        const dn_owner_matrix matrix = owner_matrix(w, x, step);
        DN_TRY(rule->transform(party->stream, party->config, &matrix, &x->found));
    }
    for (size_t i = 0; i < b->n && rule->at_owner; i++) {
        const dn_whole *x = &b->matrices[i];
        if (!is_own(w, x) || x->found == DN_NS_BROKEN)
            continue;
        const dn_owner_matrix matrix = owner_matrix(w, x, step);
        DN_TRY(rule->at_owner(party->stream, party->config, &matrix));
    }
    return DN_OK;
}

/* ---- one step ---- */

dn_matrix_part dn_whole_matrix_part(const dn_wholes *w, const dn_whole *x)
{
    const dn_slot *slot = x->slot;
    const dn_block selected = dn_whole_part(x, w->party->mesh->at);
    dn_matrix_part part = {.selection = slot->selection,
                           .rows = slot->part.rows,
                           .cols = slot->part.cols,
                           .weight = slot->weight,
                           .grad = slot->grad,
                           .ids = x->ids_here,
                           .n_ids = slot->selection.by_rows ? selected.rows : selected.cols,
                           .row_factor = x->facts + 2 + selected.row0,
                           .norms = x->facts};
    for (int k = 0; k < slot->n_states; k++)
        part.states[k] = slot->states[k].data;
    return part;
}

/*
 * One step of a bucket of matrices X [rows, cols], with the momentum M: U from the gradient G and M, O from
 * U, X from O. Each line is for all matrices of the bucket. Where G was, this rank has its part of U, then of
 * O: rows and columns of X that this rank works on, or those of them that are selected.
 *
 * No weight changes before all ranks know that every U of the bucket is finite.
 */
static dn_status step_bucket(const dn_wholes *w, dn_whole_batch *b, uint64_t step, double lr,
                             dn_step_report *report)
{
    const dn_party *party = w->party;
    const dn_rule *rule = party->rule;
    dn_comm *all = party->mesh->all;
    dn_stream *s = party->stream;
    bool alone = dn_comm_size(all) == 1; /* then x->dense is the gradient's memory */
    dn_whole *x = b->matrices;
    size_t n = b->n;

    dn_comm_tick(all, step + 1, rule->info.name);
    for (size_t i = 0; i < n; i++)
        dn_slot_open(s, x[i].slot);
    if (rule->selects != DN_SELECT_ALL)
        DN_TRY(dn_selection_choose(w, b)); /* M += G, and which rows or columns: ids [k] */
    for (size_t i = 0; i < n && rule->direction; i++) {
        const dn_matrix_part part = dn_whole_matrix_part(w, &x[i]);
        rule->direction(s, party->config, &part); /* part of U; Muon: M = mu M + G, U = M or G + mu M */
    }

    memset(b->findings, 0, b->n_findings * sizeof *b->findings);
    for (size_t i = 0; i < n; i++)
        x[i].found = DN_NS_FINE;
    DN_TRY(dn_stream_sync(s));
    if (b->n_spread)
        DN_TRY(dn_spread_orthonormalize(w, b)); /* part of O, of those that need no owner */
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
        b->findings[i] = x[i].found;
    DN_TRY(dn_comm_all_reduce(all, b->findings, b->n_findings, DN_F64, DN_MAX, DN_TRAFFIC_BASIS));
    for (size_t i = 0; i < n; i++) {
        x[i].found = (dn_ns_found)b->findings[i];
        if (x[i].found == DN_NS_BROKEN)
            return dn_slot_broken(x[i].slot);
        report->n_zero += x[i].found == DN_NS_ZERO;
        if (!alone && !x[i].slot->spread)
            fetch_part(w, &x[i]); /* part of O */
    }

    for (size_t i = 0; i < n; i++) {
        const dn_matrix_part part = dn_whole_matrix_part(w, &x[i]);
        const dn_step_params params = dn_slot_params(x[i].slot, step, lr);
        rule->apply(s, party->config, &part, &params); /* X = (1 - lr wd) X - lr scale O */
        dn_slot_close(s, x[i].slot);
    }
    return dn_stream_sync(s);
}

static dn_status step_all(dn_party *party, uint64_t step, double lr, dn_step_report *report)
{
    const dn_wholes *w = party->work;
    for (size_t k = 0; k < w->n_batches; k++)
        DN_TRY(step_bucket(w, &w->batches[k], step, lr, report));
    return DN_OK;
}

const dn_executor dn_executor_owner = {
    .describe = dn_whole_describe,
    .deal = dn_whole_deal,
    .heap_bytes = dn_whole_heap_bytes,
    .open = dn_whole_open,
    .close = dn_whole_close,
    .step = step_all,
    .flops = dn_whole_flops,
    .tell = dn_whole_tell,
};
