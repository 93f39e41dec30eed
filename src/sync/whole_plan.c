/* The plan of matrices that an owner needs whole, made when the optimizer opens: buckets, owners, memory. */
#include "sync/spread.h"

#include "base/arena.h"
#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "shm/world.h"
#include "sync/deal.h"
#include "sync/selection.h"

#include <assert.h>
#include <stdlib.h>

/* What a bucket holds, in whole matrices: on a mesh of one rank enough of every shape for the threads to
 * share them evenly, and still few enough for the caches; else so much for each owner, beside which two
 * barriers are nothing. */
#define BATCH_BYTES_ALONE ((size_t)16 << 20)
#define BATCH_BYTES       ((size_t)64 << 20)

/* With so much workspace (or what one matrix needs, if that is more) small matrices of a shape are
 * orthonormalized together. */
#define TOGETHER_BYTES ((size_t)16 << 20)

/* ---- what is kept ---- */

void dn_whole_describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    const dn_param *param = slot->param;
    slot->layout = dn_layout_of(param, size, false);
    slot->selection = dn_selection_of(slot->rule, config, size, param);
    for (int k = 0; k < dn_rule_n_states(slot->rule); k++) {
        const dn_state_spec *state = &slot->rule->states[k];
        dn_state_shape shape = {param->rows, param->cols};
        assert(!state->at_owner || slot->selection.by_rows);
        if (state->at_owner)
            shape = state->at_owner(param->rows, param->cols);
        dn_slot_add_state(slot, state->name, shape.rows, shape.cols, state->at_owner ? NULL : dn_slot_part);
    }
}

/* ---- buckets and owners ---- */

static size_t rows_of(const dn_slot *slot)
{
    return slot->selection.by_rows ? slot->selection.k : slot->param->rows;
}

static size_t cols_of(const dn_slot *slot)
{
    return slot->selection.by_rows ? slot->param->cols : slot->selection.k;
}

static size_t bytes_of(const dn_slot *slot)
{
    return dn_size_mul(rows_of(slot) * cols_of(slot), sizeof(dn_real));
}

/* How many of n slots make the next bucket: at least one. The same on all ranks. */
static size_t batch_of(const dn_slot *slots, size_t n)
{
    size_t n_ranks = (size_t)dn_axes_size(slots[0].layout.size, DN_ALL_AXES);
    size_t limit = n_ranks > 1 ? n_ranks * BATCH_BYTES : BATCH_BYTES_ALONE;
    size_t taken = 1, bytes = bytes_of(&slots[0]);
    while (taken < n && (bytes = dn_size_add(bytes, bytes_of(&slots[taken]))) <= limit)
        taken++;
    return taken;
}

static dn_ns_method method_of(const dn_optim_config *config, const dn_rule *rule)
{
    return (dn_ns_method){
        .set = config->newton_schulz, .gram = config->gram || rule->always_gram, .eps = config->eps};
}

/* Of what the owner does. */
static double flops_of(const dn_optim_config *config, const dn_slot *slot)
{
    dn_ns_method method = method_of(config, slot->rule);
    if (slot->rule->transform)
        return slot->rule->transform_flops(rows_of(slot), cols_of(slot));
    if (slot->spread)
        return dn_ns_gram_factor_flops(dn_min(rows_of(slot), cols_of(slot)));
    return dn_ns_flops(&method, rows_of(slot), cols_of(slot));
}

typedef struct bucket {
    const dn_optim_config *config;
    dn_slot *slots;
} bucket;

static double cost(void *items, size_t i)
{
    const bucket *b = items;
    return flops_of(b->config, &b->slots[i]);
}

static int *owner(void *items, size_t i)
{
    return &((const bucket *)items)->slots[i].owner;
}

void dn_whole_deal(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slots, size_t n)
{
    dn_deal deal = {0};
    for (size_t i = 0; i < n; i++) {
        slots[i].spread = dn_spread_pays(config, &slots[i], rows_of(&slots[i]), cols_of(&slots[i]));
        slots[i].owner = -1;
    }
    for (size_t first = 0, batch; first < n; first += batch) {
        bucket b = {config, &slots[first]};
        batch = batch_of(b.slots, n - first);
        dn_deal_bucket(&deal, dn_axes_size(size, DN_ALL_AXES), &b, batch, cost, owner);
    }
}

/* ---- symmetric workspace: | Newton-Schulz, or what the rule does instead | of a bucket: room for open slots
 * | Gram matrices | an owner's matrices | ---- */

static size_t workspace_bytes(const dn_optim_config *config, const dn_slot *slots, size_t n)
{
    const dn_rule *rule = slots[0].rule;
    dn_ns_method method = method_of(config, rule);
    size_t largest = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        size_t rows = rows_of(&slots[i]), cols = cols_of(&slots[i]);
        size_t one = rule->transform ? dn_size_mul(rule->transform_room(rows, cols), sizeof(dn_real))
                                     : dn_ns_workspace_bytes(&method, rows, cols, 1);
        largest = dn_max(largest, one);
        all = dn_size_add(all, one);
    }
    dn_arena rounded = {0};
    dn_arena_take(&rounded, rule->transform ? largest : dn_max(largest, dn_min(all, TOGETHER_BYTES)));
    return rounded.used;
}

static size_t gram_size(const dn_slot *slot)
{
    size_t a = dn_min(rows_of(slot), cols_of(slot));
    return a * a;
}

static void take_grams(const dn_slot *slots, size_t n, dn_arena *arena, dn_whole *matrices)
{
    for (size_t i = 0; i < n; i++) {
        if (!slots[i].spread)
            continue;
        dn_buf *gram = dn_arena_take(arena, dn_size_mul(gram_size(&slots[i]), sizeof(dn_real)));
        dn_buf *k = dn_arena_take(arena, dn_size_mul(gram_size(&slots[i]), sizeof(dn_real)));
        if (matrices) {
            matrices[i].gram = gram;
            matrices[i].k = k;
        }
    }
}

/* Places the matrices of a bucket in memory of all ranks, and of their owners: `arena` is this rank's, and is
 * copied for each rank. matrices may be NULL. Returns the bytes of the fullest one. */
static size_t lay_out(const dn_slot *slots, size_t n, dn_arena arena, dn_whole *matrices)
{
    dn_arena of[DN_MAX_RANKS];
    int n_ranks = dn_axes_size(slots[0].layout.size, DN_ALL_AXES);
    take_grams(slots, n, &arena, matrices);
    size_t most = arena.used;
    for (int rank = 0; rank < n_ranks; rank++)
        of[rank] = arena;
    for (size_t i = 0; i < n && n_ranks > 1; i++) {
        if (slots[i].spread)
            continue;
        dn_arena *owner = &of[slots[i].owner];
        dn_buf *dense = dn_arena_take(owner, bytes_of(&slots[i]));
        most = dn_max(most, owner->used);
        if (matrices)
            matrices[i].dense = dense;
    }
    return most;
}

static size_t batch_bytes(const dn_slot *slots, size_t n)
{
    size_t most = 0;
    for (size_t first = 0, batch; first < n; first += batch) {
        batch = batch_of(&slots[first], n - first);
        dn_arena arena = {.used = dn_slots_room_bytes(&slots[first], batch)};
        most = dn_max(most, lay_out(&slots[first], batch, arena, NULL));
    }
    return most;
}

size_t dn_whole_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                           size_t n)
{
    (void)size;
    return dn_size_add(workspace_bytes(config, slots, n), batch_bytes(slots, n));
}

/* ---- tables ---- */

/* Two norms, and the factors of rows. */
static size_t facts_of(const dn_slot *slot)
{
    return slot->rule->row_scale ? 2 + rows_of(slot) : 0;
}

static size_t scores_of(const dn_slot *slot)
{
    return slot->selection.k < slot->selection.size ? slot->selection.size : 0;
}

static dn_status allocate(dn_wholes *w)
{
    size_t n = w->party->n_slots, ids = 1, scores = 1, findings = 1,
           longest = 1; /* calloc of 0 may be NULL */
    for (size_t i = 0; i < n; i++) {
        const dn_slot *slot = &w->party->slots[i];
        ids += 2 * slot->selection.k;
        scores += scores_of(slot);
        findings += 1 + facts_of(slot);
        longest = dn_max(longest, dn_max(slot->param->rows, slot->param->cols));
    }
    w->batches = calloc(n + 1, sizeof *w->batches);
    w->matrices = calloc(n + 1, sizeof *w->matrices);
    w->together = calloc(n + 1, sizeof *w->together);
    w->found = calloc(n + 1, sizeof *w->found);
    w->squares = calloc(n + 1, sizeof *w->squares);
    w->grams = calloc(n + 1, sizeof *w->grams);
    w->ids = calloc(ids, sizeof *w->ids);
    w->scores = calloc(scores, sizeof *w->scores);
    w->findings = calloc(findings, sizeof *w->findings);
    w->scratch = calloc(longest, sizeof *w->scratch);
    if (!w->batches || !w->matrices || !w->together || !w->found || !w->ids || !w->scores || !w->findings ||
        !w->scratch || !w->squares || !w->grams)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu matrices", n);
    return DN_OK;
}

static void fill_batch(const dn_wholes *w, dn_whole_batch *b, const dn_slot *slots, int32_t **ids)
{
    b->n_findings = b->n;
    for (size_t i = 0; i < b->n; i++) {
        const dn_slot *slot = &slots[i];
        dn_whole *x = &b->matrices[i];
        size_t k = slot->selection.k;
        x->slot = slot;
        x->rows = rows_of(slot);
        x->cols = cols_of(slot);
        x->ids = *ids;
        x->ids_here = *ids + k;
        *ids += 2 * k;
        for (size_t j = 0; j < k; j++)
            x->ids[j] = (int32_t)j; /* for good where there is no choice */
        if (scores_of(slot))
            x->scores = b->scores + b->n_scores;
        b->n_scores += scores_of(slot);
        x->n_facts = facts_of(slot);
        x->facts = b->findings + b->n_findings;
        b->n_findings += x->n_facts;
        if (!x->dense)
            x->dense = slot->grad; /* on a mesh of one rank */
        if (slot->spread)
            b->grams[b->n_spread++] = (dn_owned){x->gram, gram_size(slot), slot->owner};
        else if (slot->owner == dn_comm_rank(w->party->mesh->all))
            b->owned += x->rows * x->cols;
    }
}

static void fill(dn_wholes *w, char *memory)
{
    const dn_party *party = w->party;
    size_t scores = 0, findings = 0;
    int32_t *ids = w->ids;
    size_t bytes = batch_bytes(party->slots, party->n_slots);
    for (size_t first = 0; first < party->n_slots;) {
        dn_whole_batch *b = &w->batches[w->n_batches++];
        dn_slot *slots = &party->slots[first];
        dn_arena arena = {memory + w->workspace_bytes, bytes, 0};
        b->matrices = &w->matrices[first];
        b->n = batch_of(slots, party->n_slots - first);
        b->scores = w->scores + scores;
        b->findings = w->findings + findings;
        b->squares = w->squares + first;
        b->grams = w->grams + first;
        dn_slots_take_room(slots, b->n, &arena);
        lay_out(slots, b->n, arena, b->matrices);
        fill_batch(w, b, slots, &ids);
        scores += b->n_scores;
        findings += b->n_findings;
        first += b->n;
    }
}

/* States that start as the identity, at their owners. */
static dn_status start_states(const dn_party *party)
{
    for (size_t i = 0; i < party->n_slots; i++) {
        const dn_slot *slot = &party->slots[i];
        for (int k = 0; k < slot->n_states; k++) {
            const dn_slot_state *state = &slot->states[k];
            if (!slot->rule->states[k].identity || state->n == 0)
                continue;
            dn_real *unit = calloc(state->n, sizeof *unit);
            if (!unit)
                return dn_fail(DN_ERR_MEMORY, "no memory to start %s of %s", state->name, slot->param->name);
            for (size_t j = 0; j < state->n; j += state->cols + 1)
                unit[j] = 1;
            dn_upload(party->stream, state->data, unit, state->n);
            if (state->type != DN_REAL)
                party->stream->kernels->to_bf16(party->stream, state->stored, state->data, state->n);
            dn_status status = dn_stream_sync(party->stream);
            free(unit);
            DN_TRY(status);
        }
    }
    return DN_OK;
}

static void say_which_way(const dn_wholes *w)
{
    size_t n_spread = 0, n = w->party->n_slots;
    for (size_t i = 0; i < n; i++)
        n_spread += w->party->slots[i].spread;
    if (n_spread && dn_comm_rank(w->party->mesh->all) == 0)
        dn_log(DN_LOG_INFO,
               "orthonormalized in parts, which moves fewer bytes: %zu long matrices; whole, by owners: %zu",
               n_spread, n - n_spread);
}

dn_status dn_whole_open(dn_party *party, void *workspace)
{
    dn_wholes *w = party->work = calloc(1, sizeof *w);
    if (!w)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of whole matrices");
    w->party = party;
    w->method = method_of(party->config, party->rule);
    w->workspace = workspace;
    w->workspace_bytes = workspace_bytes(party->config, party->slots, party->n_slots);
    DN_TRY(allocate(w));
    fill(w, workspace);
    say_which_way(w);
    return start_states(party);
}

void dn_whole_close(dn_party *party)
{
    dn_wholes *w = party->work;
    party->work = NULL;
    if (!w)
        return;
    free(w->batches);
    free(w->matrices);
    free(w->together);
    free(w->found);
    free(w->ids);
    free(w->scores);
    free(w->findings);
    free(w->scratch);
    free(w->squares);
    free(w->grams);
    free(w);
}

/* ---- what it costs ---- */

double dn_whole_flops(const dn_party *party)
{
    double flops = 0;
    const dn_wholes *w = party->work;
    for (size_t i = 0; i < party->n_slots; i++) {
        const dn_whole *x = &w->matrices[i];
        if (x->slot->owner == dn_comm_rank(party->mesh->all))
            flops += flops_of(party->config, x->slot);
        if (x->slot->spread)
            flops += dn_spread_part_flops(x, party->mesh);
    }
    return flops;
}

void dn_whole_tell(const dn_party *party, size_t i, dn_matrix_choice *choice)
{
    choice->owner = party->slots[i].owner;
}
