#include "train/clients_internal.h"

#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "compute/draw.h"
#include "compute/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Takes all memory from an arena; k NULL: only measures. trained [plan->n_trained]. */
static void lay_out(const dn_plan *plan, const dn_param *trained, dn_arena *heap, dn_clients *k)
{
    const dn_strategy *strategy = plan->strategy;
    size_t scratch = 0;
    for (size_t i = 0; i < plan->n_trained && strategy->scratch; i++)
        scratch = dn_max(scratch, strategy->scratch(&plan->strategy_config, trained[i].kind, trained[i].tensor.rows, trained[i].tensor.cols));
    void *start = dn_arena_take(heap, plan->gradient_bytes), *room = dn_arena_take(heap, dn_size_mul(scratch, sizeof(dn_real)));
    void *paused = plan->clients.clock == DN_CLOCK_REAL ? dn_arena_take(heap, plan->gradient_bytes) : NULL;
    if (k) {
        k->start = start;
        k->scratch = room;
        k->clock.paused = paused;
    }
    dn_client_store_lay(k ? &k->store : NULL, plan, heap);
}

size_t dn_clients_heap_bytes(const dn_plan *plan, const dn_param *trained)
{
    dn_arena measure = {0};
    if (!plan->strategy->clients)
        return 0;
    lay_out(plan, trained, &measure, NULL);
    dn_arena_take(&measure, sizeof *((dn_client_clock *)0)->n_ended);
    return measure.used;
}

/* ---- opening ---- */

static size_t rows_of(const dn_clients *k, int client)
{
    return k->work.rows(k->work.context, client);
}

static uint64_t steps_of(const dn_clients *k, int client)
{
    uint64_t batch = (uint64_t)k->plan->config.batch_size, rows = rows_of(k, client);
    return k->plan->clients.local_steps ? k->plan->clients.local_steps : (rows + batch - 1) / batch;
}

static double tokens_of(const dn_clients *k, int client)
{
    return (double)steps_of(k, client) * (double)k->plan->config.batch_size * (double)k->plan->spec.T;
}

dn_client_context dn_clients_context(const dn_clients *k, uint64_t step)
{
    return (dn_client_context){.config = &k->plan->strategy_config,
                               .stream = k->instance->stream,
                               .step = step,
                               .share_out = (double)k->plan->clients.n_out / k->plan->clients.n,
                               .scratch = k->scratch};
}

dn_client_context dn_clients_context_of(const dn_clients *k, const dn_ticket *ticket)
{
    dn_client_context c = dn_clients_context(k, ticket->version);
    c.n_rows = rows_of(k, ticket->client);
    c.n_steps = steps_of(k, ticket->client);
    c.lr = k->work.rates(k->work.context, ticket->version).lr;
    return c;
}

/* Of weights as they are, and of what a client sends when it has trained that version. */
static double bytes_down(const dn_clients *k)
{
    return (double)k->plan->n_trained_elements * sizeof(dn_real);
}

static double bytes_up(const dn_clients *k, uint64_t version)
{
    const dn_client_context c = dn_clients_context(k, version);
    double bytes = 0;
    for (size_t i = 0; i < k->plan->n_trained && k->rules->upload_bytes; i++) {
        const dn_param *p = &k->instance->trained[i];
        bytes += (double)k->rules->upload_bytes(&c, p->kind, p->tensor.rows, p->tensor.cols);
    }
    return k->rules->upload_bytes ? bytes : bytes_down(k);
}

/* Of a ticket: the version comes, is trained, and goes back. */
static double seconds(void *context, int client, uint64_t version)
{
    const dn_clients *k = context;
    const dn_client_plan *p = &k->plan->clients;
    double train = tokens_of(k, client) / p->speeds[client % p->n_speeds];
    if (!p->n_links)
        return train;
    const dn_link *link = &p->links[client % p->n_links];
    return dn_link_s(link, 1, bytes_down(k)) + train + dn_link_s(link, 1, bytes_up(k, version));
}

static dn_status open_clients(dn_clients *k)
{
    const dn_plan *plan = k->plan;
    const dn_client_plan *p = &plan->clients;
    dn_comm *all = k->instance->mesh->all;
    dn_arena heap = {0};
    const dn_ticket_rules rules = {.n_clients = p->n,
                                   .n_out = p->n_out,
                                   .quorum = p->quorum,
                                   .seed = (uint64_t)plan->config.seed,
                                   .seconds = seconds,
                                   .context = k};
    void *n_ended;
    size_t n = (size_t)plan->n_workers;
    k->rules = plan->strategy->clients;
    k->n_workers = plan->n_workers;
    k->rank = dn_comm_rank(all);
    k->n = plan->gradient_bytes / sizeof(dn_real);
    k->numbers = calloc(3 * n + 2, sizeof *k->numbers);
    if (!k->numbers)
        return dn_fail(DN_ERR_MEMORY, "no memory for what %d workers tell", k->n_workers);
    k->told = (dn_clients_told){k->numbers, k->numbers + n, k->numbers + 2 * n, k->numbers + 3 * n, k->numbers + 3 * n + 1};
    DN_TRY(dn_tickets_create(&rules, &k->tickets));
    DN_TRY(dn_client_store_open(&k->store, k->instance, k->tickets));
    lay_out(plan, k->instance->trained, &heap, NULL);
    heap.capacity = heap.used;
    heap.used = 0;
    DN_TRY(dn_comm_alloc_device(all, heap.capacity, (void **)&heap.base));
    lay_out(plan, k->instance->trained, &heap, k);
    DN_TRY(dn_stream_zero(k->instance->stream, (dn_buf *)heap.base, heap.capacity / sizeof(dn_real)));
    DN_TRY(dn_comm_alloc(all, sizeof *k->clock.n_ended, &n_ended));
    return dn_client_clock_open(k, n_ended);
}

dn_status dn_clients_open(dn_instance *instance, const dn_client_work *work, dn_clients **out)
{
    dn_clients *k = *out = calloc(1, sizeof *k);
    if (!k)
        return dn_fail(DN_ERR_MEMORY, "no memory for clients");
    k->plan = instance->plan;
    k->instance = instance;
    k->work = *work;
    dn_status status = open_clients(k);
    if (status != DN_OK)
        dn_clients_close(out);
    return status;
}

void dn_clients_close(dn_clients **clients)
{
    dn_clients *k = *clients;
    *clients = NULL;
    if (!k)
        return;
    dn_client_store_close(&k->store);
    dn_tickets_destroy(&k->tickets);
    dn_client_clock_close(k);
    free(k->numbers);
    free(k);
}

dn_client_store *dn_clients_store(dn_clients *clients)
{
    return &clients->store;
}

/* ---- the server ---- */

/* What a worker's client has sent, as far as this worker adds it; valid until the next barrier. */
static dn_buf *sent(const dn_clients *k, int worker)
{
    dn_range own = k->store.own;
    const dn_comm_chunk chunk = dn_comm_chunk_of(dn_at(k->instance->values, own.first), dn_range_size(own) * sizeof(dn_real));
    return (dn_buf *)(uintptr_t)dn_comm_view(k->instance->mesh->all, chunk, worker, DN_TRAFFIC_DELTA);
}

static dn_client_context context_of_ticket(const dn_clients *k, const dn_ticket *ticket)
{
    dn_client_context c = dn_clients_context_of(k, ticket);
    c.step = dn_tickets_version(k->tickets);
    c.delay = c.step - ticket->version;
    return c;
}

static double weight_of(const dn_clients *k, const dn_ticket *ticket)
{
    const dn_client_context c = context_of_ticket(k, ticket);
    return k->rules->weight ? k->rules->weight(&c) : (double)c.n_rows;
}

/* Numbers of the server: this worker's part. */
static dn_client_numbers numbers_of_server(const dn_clients *k)
{
    dn_client_numbers x = {.n = dn_range_size(k->store.own)};
    for (size_t i = 0; k->rules->states[i]; i++)
        x.states[i] = k->store.states[i];
    memcpy(x.sums, k->store.more, sizeof x.sums);
    return x;
}

/* What a version is made of while tickets come in. */
typedef struct merging {
    double all_weights; /* of all tickets */
    double kept;        /* share of such that count, */
    size_t rows;        /* their rows and steps */
    uint64_t steps;
    double loss; /* sum over targets */
} merging;

static void add(dn_clients *k, const dn_ticket *ticket, const dn_buf *weight, double loss, double counted, merging *m,
                dn_client_result *result)
{
    dn_stream *s = k->instance->stream;
    const dn_client_context c = context_of_ticket(k, ticket);
    const dn_buf *version = dn_client_version_part(&k->store, ticket->version);
    double share = weight_of(k, ticket) / m->all_weights;
    size_t n = dn_range_size(k->store.own);
    result->tokens += tokens_of(k, ticket->client);
    result->bytes_up += bytes_up(k, ticket->version);
    result->delay += (double)c.delay / k->plan->clients.quorum;
    if (!isfinite(loss)) {
        result->n_failed++;
        return;
    }
    s->kernels->axpby(s, k->store.sum, share, weight, 1, n);
    if (k->rules->of_changes && c.delay > 0) {
        s->kernels->axpby(s, k->store.sum, share, dn_client_version_part(&k->store, c.step), 1, n);
        s->kernels->axpby(s, k->store.sum, -share, version, 1, n);
    }
    if (k->rules->received) {
        dn_client_numbers x = numbers_of_server(k);
        x.sent = weight;
        x.version = version;
        x.client = dn_client_state_of(&k->store, ticket->client);
        k->rules->received(&c, &x);
    }
    m->kept += share;
    m->rows += c.n_rows;
    m->steps += c.n_steps;
    m->loss += loss;
    result->counted += counted;
}

/* Worker number `worker` trains ticket number `worker` of n: what comes of it is told. */
static dn_status train(dn_clients *k, const dn_ticket *tickets, int n)
{
    bool over = k->rank >= n;
    if (!over)
        DN_TRY(dn_client_training_begin(k, &tickets[k->rank]));
    while (!over)
        DN_TRY(dn_client_training_step(k, &over, &k->told.loss[k->rank]));
    if (k->rank < n)
        k->told.counted[k->rank] = k->training.counted;
    return DN_OK;
}

/* Of all workers, however it ended on this one. DN_RUN_DROPPED: some worker saw a stop. */
static dn_status tell(dn_clients *k, dn_status of_this)
{
    *k->told.dropped = of_this == DN_RUN_DROPPED;
    if (of_this != DN_RUN_DROPPED)
        DN_TRY(of_this);
    DN_TRY(dn_comm_all_reduce_scalars(k->instance->mesh->all, k->numbers, 3 * (size_t)k->n_workers + 2, DN_SUM));
    DN_TRY(k->work.agree(k->work.context));
    return *k->told.dropped > 0 ? DN_RUN_DROPPED : DN_OK;
}

static double weight_of_all(const dn_clients *k)
{
    double sum = 0;
    for (int i = 0; i < k->plan->clients.quorum; i++)
        sum += weight_of(k, &dn_tickets_out(k->tickets)[i]);
    return sum;
}

/* What has come of tickets [n], in order, of these workers (NULL: 0, 1, ...): each worker adds its part of the numbers. */
static dn_status add_all(dn_clients *k, const dn_ticket *tickets, const int *workers, int n, merging *m, dn_client_result *result)
{
    m->all_weights = weight_of_all(k);
    for (int i = 0; i < n; i++) {
        int w = workers ? workers[i] : i;
        add(k, &tickets[i], sent(k, w), k->told.loss[w], k->told.counted[w], m, result);
    }
    DN_TRY(dn_stream_sync(k->instance->stream));
    return dn_comm_barrier(k->instance->mesh->all); /* until all have read what clients sent */
}

static void tell_nothing(dn_clients *k)
{
    memset(k->numbers, 0, (3 * (size_t)k->n_workers + 2) * sizeof *k->numbers);
}

/* Tickets in the order that the list knows: each worker trains one at a time, and then all add. */
static dn_status train_in_turn(dn_clients *k, merging *m, dn_client_result *result)
{
    int quorum = k->plan->clients.quorum;
    if (k->plan->clients.clock == DN_CLOCK_REPLAY)
        DN_TRY(dn_client_clock_repeat(k));
    for (int i = 0; i < quorum; i += k->n_workers) {
        const dn_ticket *due = dn_tickets_out(k->tickets) + i;
        int n = quorum - i < k->n_workers ? quorum - i : k->n_workers;
        tell_nothing(k);
        DN_TRY(tell(k, train(k, due, n)));
        DN_TRY(add_all(k, due, NULL, n, m, result));
    }
    return DN_OK;
}

/* Tickets that are done first, whichever they are: each has a worker. */
static dn_status train_by_the_clock(dn_clients *k, merging *m, dn_client_result *result)
{
    int workers[DN_MAX_RANKS];
    tell_nothing(k);
    DN_TRY(tell(k, dn_client_clock_train(k)));
    DN_TRY(dn_client_clock_decide(k, workers));
    return add_all(k, dn_tickets_out(k->tickets), workers, k->plan->clients.quorum, m, result);
}

static void serve(dn_clients *k, const merging *m, const dn_client_result *result)
{
    uint64_t version = dn_tickets_version(k->tickets);
    dn_client_context c = dn_clients_context(k, version);
    dn_client_numbers x = numbers_of_server(k);
    if (result->n_failed)
        c.stream->kernels->scale(c.stream, k->store.sum, 1 / m->kept, k->store.sum, x.n);
    if (!k->rules->serve)
        return;
    c.n_rows = m->rows;
    c.n_steps = m->steps;
    c.mean_delay = result->delay;
    x.weight = k->store.sum;
    x.version = dn_client_version_part(&k->store, version);
    k->rules->serve(&c, &x);
}

static dn_status step(dn_clients *k, double *loss, dn_client_result *result)
{
    const dn_client_plan *p = &k->plan->clients;
    dn_stream *s = k->instance->stream;
    bool real = p->clock == DN_CLOCK_REAL;
    size_t n = dn_range_size(k->store.own);
    merging m = {0};
    *result = (dn_client_result){.n = p->quorum, .bytes_down = p->quorum * bytes_down(k)};
    s->kernels->fill(s, k->store.sum, n, 0);
    for (size_t i = 0; i < k->rules->n_sums; i++)
        s->kernels->fill(s, k->store.more[i], n, 0);
    DN_TRY(real ? train_by_the_clock(k, &m, result) : train_in_turn(k, &m, result));
    if (result->n_failed == p->quorum)
        return dn_fail(DN_ERR_NUMERIC, "step %llu: no client's training stayed finite; lower lr, or resume from an older checkpoint",
                       (unsigned long long)dn_tickets_version(k->tickets) + 1);
    *loss = result->counted > 0 ? m.loss / result->counted : NAN;
    serve(k, &m, result);
    dn_tickets_next(k->tickets);
    result->virtual_s = dn_tickets_now(k->tickets);
    if (real)
        DN_TRY(dn_client_clock_pause(k));
    DN_TRY(dn_client_version_keep(&k->store, k->store.sum));
    return dn_client_version_take(&k->store);
}

dn_status dn_clients_step(dn_clients *k, double *loss, dn_client_result *result)
{
    dn_status status = step(k, loss, result);
    if (status == DN_RUN_DROPPED)
        DN_TRY(dn_client_version_take(&k->store));
    return status;
}

/* ---- beginning, and going on ---- */

dn_status dn_clients_begin(dn_clients *k)
{
    DN_TRY(dn_clients_expect(k, 0));
    return dn_clients_restored(k);
}

dn_status dn_clients_expect(dn_clients *k, uint64_t step)
{
    dn_tickets_rewind(k->tickets);
    dn_client_versions_forget(&k->store);
    DN_TRY(dn_client_clock_expect(k, step));
    for (uint64_t v = 0; v < step; v++) { /* of many clients and versions for longer than a worker may be silent */
        if (k->plan->clients.clock != DN_CLOCK_VIRTUAL)
            DN_TRY(dn_client_clock_repeat(k));
        dn_tickets_next(k->tickets);
        DN_TRY(dn_comm_tick(k->instance->mesh->all, step, "list of clients"));
    }
    dn_client_versions_expect(&k->store);
    return DN_OK;
}

dn_status dn_clients_restored(dn_clients *k)
{
    return dn_client_version_keep(&k->store, dn_at(k->instance->values, k->store.own.first));
}
