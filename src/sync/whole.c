#include "sync/whole.h"

#include "base/fail.h"
#include "compute/kernels.h"
#include "sync/param_peer.h"
#include "sync/selection.h"
#include "sync/spread.h"

#include <string.h>

/* ---- parts ---- */

/* Numbers first .. end-1 of the list are in the range. */
static dn_range among(const int32_t *ids, size_t k, size_t first, size_t n)
{
    dn_range found = {0, 0};
    while (found.first < k && (size_t)ids[found.first] < first)
        found.first++;
    for (found.end = found.first; found.end < k && (size_t)ids[found.end] < first + n;)
        found.end++;
    return found;
}

dn_block dn_whole_part(const dn_whole *x, const int at[DN_N_AXES])
{
    const dn_selection *z = &x->slot->selection;
    dn_block part = dn_layout_part(&x->slot->layout, at);
    if (z->k == z->size)
        return part;
    dn_range found =
        z->by_rows ? among(x->ids, z->k, part.row0, part.rows) : among(x->ids, z->k, part.col0, part.cols);
    if (z->by_rows)
        return (dn_block){found.first, dn_range_size(found), part.col0, part.cols};
    return (dn_block){part.row0, part.rows, found.first, dn_range_size(found)};
}

/* The address of this rank's part in the gradient's memory of the rank at at[]. */
static dn_buf *source(const dn_wholes *w, const dn_whole *x, const int at[DN_N_AXES])
{
    const dn_slot *slot = x->slot;
    dn_block block = dn_param_block(slot->param, slot->layout.size, at);
    dn_block part = dn_layout_part(&slot->layout, at);
    dn_buf *grad = dn_param_peer(w->party->mesh, slot->param - slot->index, slot->index, true, at);
    return dn_at(grad, (part.row0 - block.row0) * block.cols);
}

/* Between a part, dense, and its place in the whole matrix: into the matrix, or out of it. */
static void copy_part(dn_stream *s, const dn_whole *x, dn_block part, dn_buf *dense, dn_buf *whole, bool into)
{
    size_t at_once = part.cols == x->cols ? part.rows : 1;
    for (size_t row = 0; row < part.rows && part.cols > 0; row += at_once) {
        dn_buf *outside = dn_at(dense, row * part.cols);
        dn_buf *inside = dn_at(whole, (part.row0 + row) * x->cols + part.col0);
        s->kernels->copy(s, into ? inside : outside, into ? outside : inside, at_once * part.cols);
    }
}

/* ---- to the owner and back ---- */

static bool is_alone(const dn_wholes *w)
{
    return dn_comm_size(w->party->mesh->all) == 1;
}

/* Whether this rank has the whole matrix. */
static bool is_own(const dn_wholes *w, const dn_whole *x)
{
    return !x->slot->spread && x->slot->owner == dn_comm_rank(w->party->mesh->all);
}

static void bring_together(const dn_wholes *w, const dn_whole *x)
{
    const dn_mesh *mesh = w->party->mesh;
    int at[DN_N_AXES];
    for (int rank = 0; rank < dn_comm_size(mesh->all); rank++) {
        dn_mesh_at(mesh->size, rank, at);
        dn_block part = dn_whole_part(x, at);
        copy_part(w->party->stream, x, part, source(w, x, at), x->dense, true);
        dn_comm_count_read(mesh->all, rank, part.rows * part.cols * sizeof(dn_real), DN_TRAFFIC_BASIS);
    }
}

static void deal_out(const dn_wholes *w, const dn_whole *x)
{
    const dn_mesh *mesh = w->party->mesh;
    dn_block part = dn_whole_part(x, mesh->at);
    dn_buf *dense = dn_comm_peer(mesh->all, x->dense, x->slot->owner);
    copy_part(w->party->stream, x, part, x->slot->grad, dense, false);
    dn_comm_count_read(mesh->all, x->slot->owner, part.rows * part.cols * sizeof(dn_real), DN_TRAFFIC_BASIS);
}

/* ---- at the owner ---- */

static bool goes_with(const dn_wholes *w, const dn_whole *x, const dn_whole *like)
{
    return is_own(w, x) && x->rows == like->rows && x->cols == like->cols;
}

/* Whether a matrix is this rank's, and none of its shape before it in the batch is. */
static bool leads(const dn_wholes *w, const dn_whole_batch *b, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (goes_with(w, &b->matrices[k], &b->matrices[i]))
            return false;
    return is_own(w, &b->matrices[i]);
}

/* All that go with the one that leads. */
static dn_status orthonormalize_shape(const dn_wholes *w, dn_whole_batch *b, size_t first)
{
    const dn_whole *like = &b->matrices[first];
    size_t n = 0, taken = 0;
    for (size_t i = first; i < b->n; i++)
        if (goes_with(w, &b->matrices[i], like))
            w->together[n++] = b->matrices[i].dense;
    DN_TRY(dn_newton_schulz(w->party->stream, &w->method, w->together, w->found, n, like->rows, like->cols,
                            w->workspace, w->workspace_bytes));
    for (size_t i = first; i < b->n; i++)
        if (goes_with(w, &b->matrices[i], like))
            b->matrices[i].found = w->found[taken++];
    return DN_OK;
}

/* As its rule sees it. */
static dn_owner_matrix own_matrix(const dn_wholes *w, const dn_whole *x, uint64_t step)
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

static dn_status work_on_own(const dn_wholes *w, dn_whole_batch *b, uint64_t step)
{
    const dn_rule *rule = w->party->rule;
    for (size_t i = 0; i < b->n && !is_alone(w); i++)
        if (is_own(w, &b->matrices[i]))
            bring_together(w, &b->matrices[i]);
    for (size_t i = 0; i < b->n; i++) {
        dn_whole *x = &b->matrices[i];
        dn_comm_tick(w->party->mesh->all, step + 1, rule->transform ? rule->info.name : "Newton-Schulz");
        if (rule->transform && is_own(w, x)) {
            const dn_owner_matrix matrix = own_matrix(w, x, step);
            DN_TRY(rule->transform(w->party->stream, w->party->config, &matrix, &x->found));
        } else if (leads(w, b, i))
            DN_TRY(orthonormalize_shape(w, b, i));
    }
    for (size_t i = 0; i < b->n; i++)
        if (rule->at_owner && is_own(w, &b->matrices[i]) && b->matrices[i].found != DN_NS_BROKEN) {
            const dn_owner_matrix matrix = own_matrix(w, &b->matrices[i], step);
            DN_TRY(rule->at_owner(w->party->stream, w->party->config, &matrix));
        }
    dn_comm_count_in_place(w->party->mesh->all, DN_ALL_TO_ALL, 2 * b->owned * sizeof(dn_real),
                           2 * b->owned * sizeof(dn_real), DN_TRAFFIC_BASIS);
    return dn_stream_sync(w->party->stream);
}

/* ---- together ---- */

/* What owners found comes to all: where only one has anything, and nothing is below 0, it is the largest. */
static dn_status tell(const dn_wholes *w, dn_whole_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        b->findings[i] = b->matrices[i].found;
    DN_TRY(dn_comm_all_reduce(w->party->mesh->all, b->findings, b->n_findings, DN_F64, DN_MAX,
                              DN_TRAFFIC_BASIS));
    for (size_t i = 0; i < b->n; i++)
        b->matrices[i].found = (dn_ns_found)b->findings[i];
    return DN_OK;
}

/* Each matrix's part in the gradient's memory becomes that part of the polar factor, or of what its rule
 * makes of the whole, and all ranks have its facts. */
static dn_status transform(const dn_wholes *w, dn_whole_batch *b, uint64_t step, dn_step_report *report)
{
    memset(b->findings, 0, b->n_findings * sizeof *b->findings);
    for (size_t i = 0; i < b->n; i++)
        b->matrices[i].found = DN_NS_FINE;
    DN_TRY(dn_stream_sync(w->party->stream));
    if (b->n_spread)
        DN_TRY(dn_spread_orthonormalize(w, b));
    DN_TRY(dn_comm_barrier(w->party->mesh->all));
    DN_TRY(work_on_own(w, b, step));
    DN_TRY(tell(w, b));
    for (size_t i = 0; i < b->n; i++) {
        if (b->matrices[i].found == DN_NS_BROKEN)
            return dn_slot_broken(b->matrices[i].slot);
        report->n_zero += b->matrices[i].found == DN_NS_ZERO;
        if (!is_alone(w) && !b->matrices[i].slot->spread)
            deal_out(w, &b->matrices[i]);
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

static dn_status step_batch(const dn_wholes *w, dn_whole_batch *b, uint64_t step, double lr,
                            dn_step_report *report)
{
    const dn_party *party = w->party;
    const dn_rule *rule = party->rule;
    dn_comm_tick(party->mesh->all, step + 1, rule->info.name);
    for (size_t i = 0; i < b->n; i++)
        dn_slot_open(party->stream, b->matrices[i].slot);
    if (rule->selects != DN_SELECT_ALL)
        DN_TRY(dn_selection_choose(w, b));
    for (size_t i = 0; i < b->n; i++) {
        dn_matrix_part part = dn_whole_matrix_part(w, &b->matrices[i]);
        if (rule->direction)
            rule->direction(party->stream, party->config, &part);
    }
    DN_TRY(transform(w, b, step, report));
    for (size_t i = 0; i < b->n; i++) {
        dn_matrix_part part = dn_whole_matrix_part(w, &b->matrices[i]);
        const dn_step_params params = dn_slot_params(b->matrices[i].slot, step, lr);
        rule->apply(party->stream, party->config, &part, &params);
        dn_slot_close(party->stream, b->matrices[i].slot);
    }
    return dn_stream_sync(party->stream);
}

static dn_status step_all(dn_party *party, uint64_t step, double lr, dn_step_report *report)
{
    const dn_wholes *w = party->work;
    for (size_t k = 0; k < w->n_batches; k++)
        DN_TRY(step_batch(w, &w->batches[k], step, lr, report));
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
    .formula = dn_whole_formula,
};
