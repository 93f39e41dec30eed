#include "train/client_store.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "train/clients.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Parts of the numbers begin at whole cache lines. */
#define LINE ((size_t)128 / sizeof(dn_real))

static const dn_client_rules *rules_of(const dn_plan *plan)
{
    return plan->strategy->clients;
}

/* Versions that there can be at a time: the newest, and one for each ticket that the server does not wait for. */
static size_t most_versions(const dn_plan *plan)
{
    return 1 + (size_t)(plan->clients.n_out - plan->clients.quorum);
}

static size_t states_of_server(const dn_plan *plan)
{
    size_t n = 0;
    while (rules_of(plan)->states[n])
        n++;
    return n;
}

static size_t states_of_all(const dn_plan *plan)
{
    return states_of_server(plan) + (rules_of(plan)->client_state ? (size_t)plan->clients.n : 0);
}

static dn_range part_of(const dn_plan *plan, int rank)
{
    return dn_shard_range(plan->gradient_bytes / sizeof(dn_real), LINE, plan->n_workers, rank);
}

void dn_client_store_lay(dn_client_store *x, const dn_plan *plan, dn_arena *heap)
{
    size_t part = dn_range_size(part_of(plan, 0)) * sizeof(dn_real);
    for (size_t i = 0; i < 1 + rules_of(plan)->n_sums; i++) {
        void *memory = dn_arena_take(heap, part);
        if (x)
            *(i == 0 ? &x->sum : &x->more[i - 1]) = memory;
    }
    for (size_t i = 0; i < most_versions(plan); i++) {
        void *memory = dn_arena_take(heap, part);
        if (x)
            x->versions[i].part = memory;
    }
    for (size_t i = 0; i < states_of_all(plan); i++) {
        void *memory = dn_arena_take(heap, part);
        if (x)
            x->states[i] = memory;
    }
}

dn_status dn_client_store_open(dn_client_store *x, const dn_instance *instance, const dn_tickets *tickets)
{
    const dn_plan *plan = instance->plan;
    *x = (dn_client_store){.instance = instance, .tickets = tickets, .rank = dn_comm_rank(instance->mesh->all)};
    x->own = part_of(plan, x->rank);
    x->n_versions = most_versions(plan);
    x->n_states = states_of_all(plan);
    x->versions = calloc(x->n_versions, sizeof *x->versions);
    x->states = calloc(x->n_states + 1, sizeof *x->states);
    x->tensors = calloc(x->n_versions + x->n_states, sizeof *x->tensors);
    if (x->versions && x->states && x->tensors)
        return DN_OK;
    return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %d clients", plan->clients.n);
}

void dn_client_store_close(dn_client_store *x)
{
    free(x->versions);
    free(x->states);
    free(x->tensors);
    *x = (dn_client_store){0};
}

dn_buf *dn_client_state_of(const dn_client_store *x, int client)
{
    const dn_plan *plan = x->instance->plan;
    return rules_of(plan)->client_state ? x->states[states_of_server(plan) + (size_t)client] : NULL;
}

/* ---- versions ---- */

dn_buf *dn_client_version_part(const dn_client_store *x, uint64_t number)
{
    for (size_t i = 0; i < x->n_versions; i++)
        if (x->versions[i].number == number)
            return x->versions[i].part;
    return NULL;
}

/* Places of versions that no ticket trains any more are free; the newest gets one. */
static dn_buf *place_of_newest(dn_client_store *x)
{
    const dn_ticket *out = dn_tickets_out(x->tickets);
    uint64_t newest = dn_tickets_version(x->tickets);
    dn_buf *place = NULL;
    for (size_t i = 0; i < x->n_versions; i++) {
        bool used = false;
        for (int j = 0; j < x->instance->plan->clients.n_out; j++)
            used = used || (out[j].version == x->versions[i].number && out[j].version != newest);
        if (!used)
            x->versions[i].number = DN_NO_VERSION;
        if (!used && !place) {
            place = x->versions[i].part;
            x->versions[i].number = newest;
        }
    }
    return place;
}

void dn_client_version_load(const dn_client_store *x, uint64_t number, dn_buf *to)
{
    dn_stream *s = x->instance->stream;
    dn_buf *part = dn_client_version_part(x, number);
    for (int rank = 0; rank < x->instance->plan->n_workers; rank++) {
        dn_range range = part_of(x->instance->plan, rank);
        size_t n = dn_range_size(range);
        if (n > 0)
            s->kernels->copy(s, dn_at(to, range.first),
                             dn_comm_view(x->instance->mesh->all, dn_comm_chunk_of(part, n * sizeof(dn_real)), rank, DN_TRAFFIC_WEIGHTS), n);
    }
}

dn_status dn_client_version_keep(dn_client_store *x, const dn_buf *part)
{
    dn_stream *s = x->instance->stream;
    s->kernels->copy(s, place_of_newest(x), part, dn_range_size(x->own));
    DN_TRY(dn_stream_sync(s));
    return dn_comm_barrier(x->instance->mesh->all);
}

dn_status dn_client_version_take(const dn_client_store *x)
{
    dn_client_version_load(x, dn_tickets_version(x->tickets), x->instance->values);
    DN_TRY(dn_stream_sync(x->instance->stream));
    return dn_comm_barrier(x->instance->mesh->all); /* until all have read */
}

void dn_client_versions_forget(dn_client_store *x)
{
    for (size_t i = 0; i < x->n_versions; i++)
        x->versions[i].number = DN_NO_VERSION;
}

void dn_client_versions_expect(dn_client_store *x)
{
    size_t n = 0;
    const dn_ticket *out = dn_tickets_out(x->tickets);
    for (int j = 0; j < x->instance->plan->clients.n_out; j++)
        if (!dn_client_version_part(x, out[j].version))
            x->versions[n++].number = out[j].version;
}

/* ---- what is saved ---- */

/* The version, the newest left out, that is state number *index; NULL: there are fewer,
 * and *index is less by so many: the state's number behind them. */
static const dn_client_version *older(const dn_client_store *x, size_t *index)
{
    for (size_t i = 0; i < x->n_versions; i++)
        if (x->versions[i].number != DN_NO_VERSION && x->versions[i].number != dn_tickets_version(x->tickets) && (*index)-- == 0)
            return &x->versions[i];
    return NULL;
}

size_t dn_client_store_n_saved(const dn_client_store *x)
{
    size_t past = SIZE_MAX;
    older(x, &past);
    return SIZE_MAX - past + x->n_states;
}

bool dn_client_store_must_be(const dn_client_store *x, size_t index)
{
    return older(x, &index) != NULL;
}

const dn_tensor *dn_client_store_saved(const dn_client_store *x, size_t index)
{
    const dn_plan *plan = x->instance->plan;
    dn_tensor *tensor = &x->tensors[index];
    const dn_client_version *v = older(x, &index);
    size_t of_server = states_of_server(plan);
    *tensor = (dn_tensor){.rows = 1, .cols = plan->gradient_bytes / sizeof(dn_real), .type = DN_REAL};
    if (v)
        snprintf(tensor->name, sizeof tensor->name, "clients.version.%llu", (unsigned long long)v->number);
    else if (index < of_server)
        snprintf(tensor->name, sizeof tensor->name, "%s", rules_of(plan)->states[index]);
    else
        snprintf(tensor->name, sizeof tensor->name, "%s.%zu", rules_of(plan)->client_state, index - of_server);
    return tensor;
}

dn_shard dn_client_store_shard(const dn_client_store *x, size_t index, int rank)
{
    const dn_client_version *v = older(x, &index);
    dn_range part = part_of(x->instance->plan, rank);
    return (dn_shard){.block = {.rows = 1, .col0 = part.first, .cols = dn_range_size(part)},
                      .data = v ? v->part : x->states[index],
                      .rank = rank};
}
