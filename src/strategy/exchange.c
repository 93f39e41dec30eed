/* Exchanges: messages are made and moved, and what has arrived is taken up. */
#include "base/clock.h"
#include "base/fail.h"
#include "comm/link.h"
#include "base/random.h"
#include "comm/world.h"
#include "device/device.h"
#include "strategy/run.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>


dn_strategy_context dn_strategy_context_of(const dn_strategy_run *r, const dn_exchange_run *e, uint64_t step)
{
    const dn_mesh *mesh = e ? e->mesh : r->parts.mesh;
    return (dn_strategy_context){.config = &r->config,
                                 .stream = r->parts.stream,
                                 .step = step,
                                 .replica = mesh->at[DN_DP],
                                 .n_replicas = mesh->size[DN_DP],
                                 .n_layers = r->n_layers,
                                 .n_elements = r->n_elements,
                                 .probe = e ? e->probe : NULL,
                                 .loss = r->loss,
                                 .numbers = r->numbers,
                                 .scratch = r->scratch};
}

static dn_comm *replicas_of(const dn_exchange_run *e)
{
    return dn_mesh_comm(e->mesh, DN_AXIS(DN_DP));
}

/* ---- probes ---- */

/* Along axes that cut neither rows nor columns all ranks have the same block: one of them tells of it. */
static bool tells(const dn_strategy_run *r, const dn_param *p)
{
    for (dn_axis axis = DN_DP + 1; axis < DN_N_AXES; axis++)
        if (r->parts.mesh->at[axis] > 0 && !(dn_tensor_axes(&p->tensor) & DN_AXIS(axis)))
            return false;
    return true;
}

static dn_status take_probe(dn_strategy_run *r, dn_exchange_run *e, uint64_t step)
{
    const dn_strategy_context c = dn_strategy_context_of(r, e, step);
    memset(e->probe, 0, e->n_probe * sizeof *e->probe);
    for (size_t i = 0; i < r->n_params; i++)
        if (tells(r, &r->parts.params[i]))
            DN_TRY(e->row->probe(&c, &r->blocks[i], e->probe));
    DN_TRY(dn_comm_all_reduce(r->parts.mesh->all, e->probe, e->n_probe, DN_F64, DN_SUM, DN_TRAFFIC_PROBE));
    for (size_t k = 0; k < e->n_probe; k++)
        e->probe[k] /= c.n_replicas;
    return DN_OK;
}

/* ---- messages ---- */

dn_message dn_strategy_message(const dn_strategy_run *r, const dn_exchange_run *e, const dn_window_message *m, size_t param)
{
    const dn_strategy_param *x = &r->blocks[param];
    dn_message message = m->message;
    message.n = e->row->length ? e->row->length(&r->config, x->param->kind, x->rows, x->cols) : x->n;
    message.from = e->mesh->at[DN_DP];
    if (e->row->of != DN_OF_MESSAGE)
        message.numbers = e->row->of == DN_OF_GRAD ? x->grad : x->weight;
    return message;
}

dn_window_message *dn_strategy_window(const dn_exchange_run *e, size_t param, uint64_t step)
{
    for (size_t k = param * e->depth; k < (param + 1) * e->depth; k++)
        if (e->messages[k].begun == step + 1)
            return &e->messages[k];
    return NULL;
}

/* Takes a window for each parameter whose message begins in this step; whether there are any. */
static bool find_due(dn_strategy_run *r, dn_exchange_run *e, uint64_t step)
{
    const dn_strategy_context c = dn_strategy_context_of(r, e, step);
    bool any = false;
    for (size_t i = 0; i < r->n_params; i++) {
        if (e->row->due && !e->row->due(&c, &r->blocks[i]))
            continue;
        dn_window_message *m = dn_strategy_window(e, i, UINT64_MAX);
        assert(m);
        m->begun = step + 1;
        any = true;
    }
    return any;
}

/* Of all windows, those in use or not: one message. */
static dn_status tell_lengths(const dn_strategy_run *r, const dn_exchange_run *e)
{
    uint64_t ticket;
    const dn_comm_chunk lengths = dn_comm_chunk_of(e->messages->length, r->n_params * e->depth * sizeof *e->messages->length);
    DN_TRY(dn_comm_send_ahead(replicas_of(e), lengths, NULL, e->row->kind, &ticket));
    return dn_comm_await_ahead(replicas_of(e), ticket, e->row->kind);
}

/* What all read: to other nodes as soon as it is there. Whoever asked for it, message by message, would wait for each until its owner
 * waits, too. */
static dn_status send_ahead(dn_strategy_run *r, dn_exchange_run *e, uint64_t step)
{
    if (e->row->varies)
        DN_TRY(tell_lengths(r, e));
    for (size_t i = 0; i < r->n_params; i++) {
        dn_window_message *m = dn_strategy_window(e, i, step);
        if (!m)
            continue;
        const dn_comm_chunk chunk = dn_comm_chunk_of(m->message.bytes, m->message.n);
        DN_TRY(dn_comm_send_ahead(replicas_of(e), chunk, e->row->varies ? m->length : NULL, e->row->kind, &m->ticket));
        m->ahead = true;
    }
    return DN_OK;
}

/* ---- the mean ---- */

/* "m" of "adamw.m.<parameter>", if it is one that `which` means. */
static bool is_state(const dn_tensor *state, bool (*which)(const char *))
{
    char name[DN_TENSOR_NAME_MAX];
    const char *at = strchr(state->name, '.');
    snprintf(name, sizeof name, "%.*s", at ? (int)strcspn(at + 1, ".") : 0, at ? at + 1 : "");
    return which(name);
}

/* States of the rule: twins keep them at the same places. */
static dn_status add_states(dn_strategy_run *r, const dn_exchange_run *e, dn_bucket *states)
{
    const dn_optimizer *o = r->parts.optimizer;
    int rank = dn_comm_rank(r->parts.mesh->all);
    for (size_t i = 0; i < dn_optimizer_n_states(o); i++) {
        const dn_tensor *state = dn_optimizer_state(o, i);
        const dn_shard shard = dn_optimizer_state_shard(o, i, rank);
        if (!is_state(state, e->row->takes))
            continue;
        states->type = state->type; /* of all momenta of a run alike */
        DN_TRY(dn_bucket_add(states, dn_axes_of(e->mesh->size, DN_AXIS(DN_DP)), shard.data, shard.block.rows,
                             shard.block.cols));
    }
    return DN_OK;
}

/* x = 0 where u is 0; of what is stored in bfloat16, through scratch. */
static void clear(dn_strategy_run *r, dn_type type, void *x, const void *u, size_t n)
{
    dn_stream *s = r->parts.stream;
    dn_buf *wide = r->scratch, *where = dn_at(r->scratch, n);
    if (type == DN_REAL) {
        s->kernels->clear_where_zero(s, x, u, n);
        return;
    }
    s->kernels->from_bf16(s, wide, x, n);
    s->kernels->from_bf16(s, where, u, n);
    s->kernels->clear_where_zero(s, wide, where, n);
    s->kernels->to_bf16(s, x, wide, n);
}

static void clear_states(dn_strategy_run *r, const dn_exchange *e)
{
    const dn_optimizer *o = r->parts.optimizer;
    int rank = dn_comm_rank(r->parts.mesh->all);
    for (size_t i = 0; i < dn_optimizer_n_states(o) && e->where; i++)
        for (size_t k = 0; k < dn_optimizer_n_states(o) && is_state(dn_optimizer_state(o, i), e->takes); k++) {
            const dn_shard x = dn_optimizer_state_shard(o, i, rank), u = dn_optimizer_state_shard(o, k, rank);
            const char *of_x = strchr(strchr(dn_optimizer_state(o, i)->name, '.') + 1, '.'),
                       *of_u = strchr(strchr(dn_optimizer_state(o, k)->name, '.') + 1, '.');
            bool same = strcmp(of_x, of_u) == 0 && x.block.rows == u.block.rows && x.block.cols == u.block.cols;
            if (same && is_state(dn_optimizer_state(o, k), e->where))
                clear(r, dn_optimizer_state(o, i)->type, x.data, u.data, x.block.rows * x.block.cols);
        }
}

/* Across islands goes this rank's share of the rows, of those that its island has; inside it all come together. */
static dn_status add_across(dn_strategy_run *r, const dn_exchange_run *e, const dn_strategy_param *x, const dn_message *m,
                            dn_mean_lists *lists)
{
    const dn_mesh *island = &r->scopes[DN_SCOPE_ISLAND];
    const dn_range own = dn_shard_range(x->rows, 1, island->size[DN_DP], island->at[DN_DP]);
    DN_TRY(dn_bucket_add(&lists->all, dn_axes_of(e->mesh->size, DN_AXIS(DN_DP)), dn_at(m->numbers, own.first * x->cols),
                         dn_range_size(own), x->cols));
    return dn_bucket_add(&lists->inside, dn_axes_of(island->size, DN_AXIS(DN_DP)), m->numbers, x->rows, x->cols);
}

/* A message of the block's shape is shared out by rows, as sharded states are. */
static dn_status fill(dn_strategy_run *r, const dn_exchange_run *e, uint64_t step, dn_mean_lists *lists)
{
    unsigned dp = dn_axes_of(e->mesh->size, DN_AXIS(DN_DP));
    dn_bucket_reset(&lists->all);
    dn_bucket_reset(&lists->inside);
    if (e->row->of == DN_OF_STATES)
        return add_states(r, e, &lists->all);
    for (size_t i = 0; i < r->n_params; i++) {
        const dn_window_message *m = dn_strategy_window(e, i, step);
        const dn_strategy_param *x = &r->blocks[i];
        if (m && e->row->scope == DN_SCOPE_ACROSS)
            DN_TRY(add_across(r, e, x, &m->message, lists));
        else if (m)
            DN_TRY(dn_bucket_add(&lists->all, dp, m->message.numbers, e->row->length ? m->message.n : x->rows,
                                 e->row->length ? 1 : x->cols));
    }
    return DN_OK;
}

dn_status dn_strategy_reserve(dn_strategy_run *r, dn_exchange_run *e)
{
    if (e->row->pattern != DN_MEAN)
        return DN_OK;
    for (size_t i = 0; i < r->n_params; i++) {
        dn_window_message *m = &e->messages[i * e->depth];
        m->message = dn_strategy_message(r, e, m, i);
        m->begun = 1;
    }
    DN_TRY(fill(r, e, 0, &e->now));
    if (e->delay > 0)
        DN_TRY(fill(r, e, 0, &e->early));
    for (size_t i = 0; i < r->n_params; i++)
        e->messages[i * e->depth].begun = 0;
    return DN_OK;
}

/* A mean that is taken up later, over nodes: one at a time begins to be formed as soon as its messages are there. They stay as they
 * are, as a checkpoint must see them, until they are taken up. */
static bool is_begun_ahead(const dn_exchange_run *e)
{
    return e->delay > 0 && e->row->pattern == DN_MEAN && e->moving == 0 && dn_comm_n_nodes(replicas_of(e)) > 1;
}

static dn_status begin_ahead(dn_strategy_run *r, dn_exchange_run *e, uint64_t step)
{
    DN_TRY(fill(r, e, step, &e->early));
    e->ahead = dn_overlap_of(&e->early.all);
    e->ahead.flags = DN_BEGIN_KEEP;
    dn_overlap_end_part(&e->ahead, 0);
    e->moving = step + 1;
    return dn_overlap_begin(&e->ahead, 0, DN_AVG, e->row->kind);
}

static dn_status reduce(dn_strategy_run *r, dn_exchange_run *e, uint64_t step, const dn_mean_lists **lists)
{
    const bool early = e->moving == step + 1;
    *lists = early ? &e->early : &e->now;
    if (early) {
        e->moving = 0;
        return dn_overlap_finish(&e->ahead);
    }
    DN_TRY(fill(r, e, step, &e->now));
    return dn_bucket_reduce(&e->now.all, DN_AVG, e->row->kind);
}

static dn_status average(dn_strategy_run *r, dn_exchange_run *e, uint64_t step)
{
    const dn_strategy_context c = dn_strategy_context_of(r, e, step);
    const dn_mean_lists *lists;
    DN_TRY(reduce(r, e, step, &lists));
    for (size_t i = 0; i < r->n_params && e->row->at_owner; i++) {
        const dn_window_message *m = dn_strategy_window(e, i, step);
        if (m)
            e->row->at_owner(&c, &r->shares[i], dn_at(m->message.numbers, r->share_at[i]));
    }
    DN_TRY(dn_stream_sync(r->parts.stream));
    DN_TRY(dn_bucket_gather(&lists->all, e->row->kind));
    DN_TRY(dn_comm_barrier(replicas_of(e))); /* nobody reads this rank's share any more */
    if (e->row->scope == DN_SCOPE_ACROSS) {
        DN_TRY(dn_bucket_gather(&lists->inside, e->row->kind));
        DN_TRY(dn_comm_barrier(dn_strategy_comm(r, DN_SCOPE_ISLAND)));
    }
    clear_states(r, e->row);
    for (size_t i = 0; i < r->n_params && e->row->apply; i++) {
        const dn_window_message *m = dn_strategy_window(e, i, step);
        if (m)
            e->row->apply(&c, &r->blocks[i], m->message.numbers);
    }
    return DN_OK;
}

/* ---- messages that are read where they are ---- */

/* The message as replica `from` has it; before it is read, its length. */
static dn_message view_of(const dn_exchange_run *e, const dn_window_message *m, int from)
{
    dn_comm *dp = replicas_of(e);
    dn_message message = m->message;
    message.from = from;
    if (e->row->varies) {
        const uint64_t *length = dn_comm_view_ahead(dp, dn_comm_chunk_of(m->length, sizeof *length), from, e->row->kind);
        message.n = (size_t)*length;
    }
    const dn_comm_chunk chunk = dn_comm_chunk_of(m->message.bytes, message.n);
    message.bytes = (dn_bytes *)(uintptr_t)(m->ahead ? dn_comm_view_ahead(dp, chunk, from, e->row->kind)
                                                     : dn_comm_view(dp, chunk, from, e->row->kind));
    return message;
}

static dn_status gather(dn_strategy_run *r, dn_exchange_run *e, uint64_t step)
{
    const dn_strategy_context c = dn_strategy_context_of(r, e, step);
    size_t own = 0, all = 0;
    for (size_t i = 0; i < r->n_params; i++) {
        const dn_window_message *m = dn_strategy_window(e, i, step);
        if (m && m->ahead)
            DN_TRY(dn_comm_await_ahead(replicas_of(e), m->ticket, e->row->kind));
    }
    DN_TRY(dn_comm_barrier(replicas_of(e)));
    for (size_t i = 0; i < r->n_params; i++) {
        const dn_window_message *m = dn_strategy_window(e, i, step);
        for (int from = 0; from < c.n_replicas && m; from++) {
            const dn_message message = view_of(e, m, from);
            size_t bytes = message.n + (e->row->varies ? sizeof(uint64_t) : 0);
            all += bytes;
            own += from == c.replica ? bytes : 0;
            e->row->decode(&c, &r->blocks[i], &message);
        }
        if (m && e->row->apply)
            e->row->apply(&c, &r->blocks[i], NULL);
    }
    dn_comm_count_in_place(replicas_of(e), DN_ALL_GATHER, own, all, e->row->kind);
    return DN_OK;
}

int dn_strategy_partner(uint64_t seed, uint64_t step, int n_replicas, int replica)
{
    int order[DN_MAX_RANKS] = {0}, place = 0;
    for (int i = 0; i < n_replicas; i++)
        order[i] = i;
    for (int i = n_replicas - 1; i > 0; i--) { /* Fisher and Yates */
        uint64_t bits = dn_random_bits(seed, DN_STREAM_PAIRS, (step << 16) + (uint64_t)i);
        int k = (int)(bits % (uint64_t)(i + 1)), other = order[k];
        order[k] = order[i];
        order[i] = other;
    }
    while (order[place] != replica)
        place++;
    int other = place ^ 1;
    return other < n_replicas ? order[other] : replica;
}

static dn_status pair(dn_strategy_run *r, dn_exchange_run *e, uint64_t step)
{
    const dn_strategy_context c = dn_strategy_context_of(r, e, step);
    int partner = dn_strategy_partner(r->config.seed, step, c.n_replicas, c.replica);
    DN_TRY(dn_comm_barrier(replicas_of(e)));
    for (size_t i = 0; i < r->n_params; i++) {
        const dn_window_message *m = dn_strategy_window(e, i, step);
        if (!m)
            continue;
        dn_comm_chunk chunk = dn_comm_chunk_of(m->message.numbers, m->message.n * sizeof(dn_real));
        dn_message message = m->message;
        if (partner != c.replica) {
            const void *theirs = dn_comm_view_sent(replicas_of(e), chunk, partner, c.replica, e->row->kind);
            (void)dn_comm_view_sent(replicas_of(e), chunk, c.replica, partner, e->row->kind);
            message.numbers = (dn_buf *)(uintptr_t)theirs;
            message.from = partner;
        }
        e->row->decode(&c, &r->blocks[i], &message);
        if (e->row->apply)
            e->row->apply(&c, &r->blocks[i], NULL);
    }
    return DN_OK;
}

/* ---- begin ---- */

static dn_status begin(dn_strategy_run *r, dn_exchange_run *e, uint64_t step)
{
    const dn_strategy_context c = dn_strategy_context_of(r, e, step);
    for (size_t i = 0; i < r->n_params; i++) {
        dn_window_message *m = dn_strategy_window(e, i, step);
        if (!m)
            continue;
        m->message = dn_strategy_message(r, e, m, i);
        m->begun_s = dn_clock_s();
        if (e->row->encode)
            DN_TRY(e->row->encode(&c, &r->blocks[i], &m->message));
        if (m->length)
            *m->length = m->message.n;
    }
    DN_TRY(dn_stream_sync(r->parts.stream));
    return e->row->pattern == DN_GATHER ? send_ahead(r, e, step) : is_begun_ahead(e) ? begin_ahead(r, e, step) : DN_OK;
}

/* ---- a step ---- */

/* When the first message of that step was begun. */
static double begun_s(const dn_strategy_run *r, const dn_exchange_run *e, uint64_t step)
{
    const dn_window_message *m = NULL;
    for (size_t i = 0; i < r->n_params && !m; i++)
        m = dn_strategy_window(e, i, step);
    return m ? m->begun_s : 0;
}

static dn_status end(dn_strategy_run *r, dn_exchange_run *e, uint64_t step)
{
    if (e->delay > 0) /* on an emulated link it has been under way since then */
        dn_comm_begun(replicas_of(e), begun_s(r, e, step));
    DN_TRY(e->row->pattern == DN_MEAN ? average(r, e, step) : e->row->pattern == DN_GATHER ? gather(r, e, step) : pair(r, e, step));
    dn_comm_begun(replicas_of(e), 0);
    const dn_strategy_context c = dn_strategy_context_of(r, e, step);
    bool equalizes = e->row->equalizes && e->row->equalizes(&c);
    for (size_t i = 0; i < r->n_params; i++) {
        dn_window_message *m = dn_strategy_window(e, i, step);
        if (!m)
            continue;
        e->last[i] = (dn_strategy_sent){true, m->message.n};
        m->begun = 0;
        m->ahead = false;
        r->equal[i] = r->equal[i] || equalizes;
    }
    return dn_stream_sync(r->parts.stream);
}

/* The oldest message that is to end by this step: when it began, plus 1; 0: none. Steps that were skipped may have left
 * several. */
static uint64_t overdue(const dn_strategy_run *r, const dn_exchange_run *e, uint64_t step)
{
    uint64_t oldest = 0;
    for (size_t k = 0; k < r->n_params * e->depth; k++) {
        uint64_t begun = e->messages[k].begun;
        const dn_strategy_context c = dn_strategy_context_of(r, e, begun - 1);
        if (begun && (e->row->ends ? e->row->ends(&c, step) : begun - 1 + e->delay <= step) && (!oldest || begun < oldest))
            oldest = begun;
    }
    return oldest;
}

/* Before a rank's first exchange of a step, as others may still read its weights, and behind the last, as they may still
 * read its messages. */
static dn_status enter(dn_strategy_run *r, bool *entered)
{
    if (*entered)
        return DN_OK;
    *entered = true;
    DN_TRY(dn_stream_sync(r->parts.stream));
    return dn_comm_barrier(r->parts.mesh->all);
}

static dn_status end_overdue(dn_strategy_run *r, dn_exchange_run *e, uint64_t step, bool *entered, bool *ended)
{
    *ended = false;
    for (uint64_t old; (old = overdue(r, e, step)) > 0; *ended = true) {
        DN_TRY(enter(r, entered));
        DN_TRY(end(r, e, old - 1));
    }
    return DN_OK;
}

static dn_status advance(dn_strategy_run *r)
{
    for (int k = 0; k < r->n_exchanges; k++)
        if (r->exchanges[k].moving)
            DN_TRY(dn_overlap_advance(&r->exchanges[k].ahead));
    return DN_OK;
}

dn_status dn_strategy_exchange(dn_strategy_run *r, uint64_t step, bool before)
{
    bool entered = false, ended;
    DN_TRY(advance(r));
    for (int k = 0; k < r->n_exchanges; k++) {
        dn_exchange_run *e = &r->exchanges[k];
        if (e->row->before != before || (e->row->used && !e->row->used(&r->config)))
            continue;
        memset(e->last, 0, r->n_params * sizeof *e->last);
        DN_TRY(end_overdue(r, e, step, &entered, &ended));
        if (e->n_probe)
            DN_TRY(take_probe(r, e, step));
        if (!find_due(r, e, step))
            continue;
        DN_TRY(enter(r, &entered));
        if (ended && e->row->pattern == DN_GATHER) /* others may still read from windows that are filled anew */
            DN_TRY(dn_comm_barrier(r->parts.mesh->all));
        DN_TRY(begin(r, e, step));
        DN_TRY(end_overdue(r, e, step, &entered, &ended));
    }
    if (!entered)
        return DN_OK;
    DN_TRY(dn_comm_barrier(r->parts.mesh->all));
    return advance(r); /* all have begun */
}
