#include "train/clients.h"

#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "compute/draw.h"
#include "compute/kernels.h"
#include "train/client_store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dn_clients {
    const dn_plan *plan;
    dn_instance *instance;
    const dn_client_rules *rules;
    dn_client_work work;
    int rank, n_workers;
    dn_tickets *tickets;
    dn_client_store store;
    size_t n;        /* numbers of all trained parameters, as they lie in memory */
    dn_buf *start;   /* [n] the version that this worker's ticket trains */
    dn_buf *scratch; /* of hooks */
    double *told;    /* [2 n_workers + 1] of one ticket each: sum of losses, targets that counted; and workers that saw a stop */
};

/* Takes all memory from an arena; k NULL: only measures. trained [plan->n_trained]. */
static void lay_out(const dn_plan *plan, const dn_param *trained, dn_arena *heap, dn_clients *k)
{
    const dn_strategy *strategy = plan->strategy;
    size_t scratch = 0;
    for (size_t i = 0; i < plan->n_trained && strategy->scratch; i++)
        scratch = dn_max(scratch, strategy->scratch(&plan->strategy_config, trained[i].kind, trained[i].tensor.rows, trained[i].tensor.cols));
    void *start = dn_arena_take(heap, plan->gradient_bytes), *room = dn_arena_take(heap, dn_size_mul(scratch, sizeof(dn_real)));
    if (k) {
        k->start = start;
        k->scratch = room;
    }
    dn_client_store_lay(k ? &k->store : NULL, plan, heap);
}

size_t dn_clients_heap_bytes(const dn_plan *plan, const dn_param *trained)
{
    dn_arena measure = {0};
    if (plan->strategy->clients)
        lay_out(plan, trained, &measure, NULL);
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

static dn_client_context context_of(const dn_clients *k, uint64_t step)
{
    return (dn_client_context){.config = &k->plan->strategy_config,
                               .stream = k->instance->stream,
                               .step = step,
                               .share_out = (double)k->plan->clients.n_out / k->plan->clients.n,
                               .scratch = k->scratch};
}

/* Of weights as they are, and of what a client sends when it has trained that version. */
static double bytes_down(const dn_clients *k)
{
    return (double)k->plan->n_trained_elements * sizeof(dn_real);
}

static double bytes_up(const dn_clients *k, uint64_t version)
{
    const dn_client_context c = context_of(k, version);
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
    size_t bytes = dn_clients_heap_bytes(plan, k->instance->trained);
    const dn_ticket_rules rules = {.n_clients = p->n,
                                   .n_out = p->n_out,
                                   .quorum = p->quorum,
                                   .seed = (uint64_t)plan->config.seed,
                                   .seconds = seconds,
                                   .context = k};
    void *base;
    k->rules = plan->strategy->clients;
    k->n_workers = plan->n_workers;
    k->rank = dn_comm_rank(k->instance->mesh->all);
    k->n = plan->gradient_bytes / sizeof(dn_real);
    k->told = calloc(2 * (size_t)k->n_workers + 1, sizeof *k->told);
    if (!k->told)
        return dn_fail(DN_ERR_MEMORY, "no memory for what %d workers tell", k->n_workers);
    DN_TRY(dn_tickets_create(&rules, &k->tickets));
    DN_TRY(dn_client_store_open(&k->store, k->instance, k->tickets));
    DN_TRY(dn_comm_alloc_device(k->instance->mesh->all, bytes, &base));
    dn_arena heap = {.base = base, .capacity = bytes};
    lay_out(plan, k->instance->trained, &heap, k);
    return dn_stream_zero(k->instance->stream, base, bytes / sizeof(dn_real));
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
    free(k->told);
    free(k);
}

dn_client_store *dn_clients_store(dn_clients *clients)
{
    return &clients->store;
}

/* ---- a client ---- */

static dn_client_context context_of_client(const dn_clients *k, const dn_ticket *ticket)
{
    dn_client_context c = context_of(k, ticket->version);
    c.n_rows = rows_of(k, ticket->client);
    c.n_steps = steps_of(k, ticket->client);
    c.lr = k->work.rates(k->work.context, ticket->version).lr;
    return c;
}

/* *finite false: a loss or its gradient was not. */
static dn_status train_step(dn_clients *k, const dn_ticket *ticket, const dn_client_context *c, uint64_t step, double *loss,
                            double *counted, bool *finite)
{
    const dn_client_numbers all = {.n = k->n, .weight = k->instance->values, .version = k->start, .grad = k->instance->grads};
    const dn_step_params rates = k->work.rates(k->work.context, ticket->version),
                         params = {.step = step, .lr = rates.lr, .decay = rates.decay};
    uint64_t batch = (uint64_t)k->plan->config.batch_size, first = (ticket->before * c->n_steps + step) * batch;
    double of_batch;
    size_t n;
    dn_step_report report;
    DN_TRY(k->work.gradient(k->work.context, ticket->client, first, batch, &of_batch, &n));
    *loss += of_batch;
    *counted += (double)n;
    *finite = isfinite(of_batch);
    if (!*finite || n == 0)
        return DN_OK;
    if (k->rules->local)
        k->rules->local(c, &all);
    dn_status status = dn_optimizer_step(k->instance->optimizer, &params, &report);
    *finite = status == DN_OK && !report.skipped;
    return status == DN_ERR_NUMERIC ? DN_OK : status;
}

/* What the server gets is made of the weights. */
static void upload(dn_clients *k, const dn_client_context *c)
{
    for (size_t i = 0; i < k->plan->n_trained && k->rules->upload; i++) {
        const dn_param *p = &k->instance->trained[i];
        size_t at = (size_t)((const char *)p->weight - (const char *)k->instance->values) / sizeof(dn_real);
        const dn_client_numbers one = {
            .param = p, .n = dn_param_size(p), .weight = p->weight, .version = dn_at(k->start, at), .grad = p->grad};
        k->rules->upload(c, &one);
    }
}

/* Trains a ticket with the weights' memory, and makes of these what the server gets. *loss: sum over the targets that count, *counted
 * of them; NAN: something was not finite. DN_RUN_DROPPED: a stop, on this worker alone. */
static dn_status train(dn_clients *k, const dn_ticket *ticket, double *loss, double *counted)
{
    dn_stream *s = k->instance->stream;
    const dn_client_context c = context_of_client(k, ticket);
    double sum = 0, squares;
    bool finite = true;

    *loss = NAN;
    dn_client_version_load(&k->store, ticket->version, k->start);
    s->kernels->copy(s, k->instance->values, k->start, k->n);
    DN_TRY(dn_optimizer_reset(k->instance->optimizer));
    for (uint64_t step = 0; step < c.n_steps && finite; step++)
        DN_TRY(train_step(k, ticket, &c, step, &sum, counted, &finite));
    if (!finite)
        return DN_OK;
    upload(k, &c);
    s->kernels->sum_squares(s, &squares, k->instance->values, k->n);
    DN_TRY(dn_stream_sync(s));
    if (isfinite(squares))
        *loss = sum;
    return DN_OK;
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
    dn_client_context c = context_of_client(k, ticket);
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

/* Tickets first .. first + n_workers - 1 that make the version, as far as there are so many: each worker trains one, then all add them,
 * each its part of the numbers. */
static dn_status train_and_add(dn_clients *k, int first, merging *m, dn_client_result *result)
{
    const dn_ticket *due = dn_tickets_out(k->tickets) + first;
    dn_comm *all = k->instance->mesh->all;
    int n = k->plan->clients.quorum - first < k->n_workers ? k->plan->clients.quorum - first : k->n_workers;
    double *losses = k->told, *counted = losses + k->n_workers, *dropped = counted + k->n_workers;
    memset(k->told, 0, (2 * (size_t)k->n_workers + 1) * sizeof *k->told);
    if (k->rank < n) {
        dn_status status = train(k, &due[k->rank], &losses[k->rank], &counted[k->rank]);
        *dropped = status == DN_RUN_DROPPED;
        if (status != DN_RUN_DROPPED)
            DN_TRY(status);
    }
    DN_TRY(dn_comm_all_reduce_scalars(all, k->told, 2 * (size_t)k->n_workers + 1, DN_SUM));
    DN_TRY(k->work.agree(k->work.context));
    if (*dropped > 0)
        return DN_RUN_DROPPED;
    for (int i = 0; i < n; i++)
        add(k, &due[i], sent(k, i), losses[i], counted[i], m, result);
    DN_TRY(dn_stream_sync(k->instance->stream));
    return dn_comm_barrier(all); /* until all have read what clients sent */
}

static void serve(dn_clients *k, const merging *m, const dn_client_result *result)
{
    uint64_t version = dn_tickets_version(k->tickets);
    dn_client_context c = context_of(k, version);
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
    uint64_t version = dn_tickets_version(k->tickets);
    size_t n = dn_range_size(k->store.own);
    merging m = {0};
    *result = (dn_client_result){.n = p->quorum, .bytes_down = p->quorum * bytes_down(k)};
    for (int i = 0; i < p->quorum; i++)
        m.all_weights += weight_of(k, &dn_tickets_out(k->tickets)[i]);
    s->kernels->fill(s, k->store.sum, n, 0);
    for (size_t i = 0; i < k->rules->n_sums; i++)
        s->kernels->fill(s, k->store.more[i], n, 0);
    for (int i = 0; i < p->quorum; i += k->n_workers)
        DN_TRY(train_and_add(k, i, &m, result));
    if (result->n_failed == p->quorum)
        return dn_fail(DN_ERR_NUMERIC, "step %llu: no client's training stayed finite; lower lr, or resume from an older checkpoint",
                       (unsigned long long)version + 1);
    *loss = result->counted > 0 ? m.loss / result->counted : NAN;
    serve(k, &m, result);
    dn_tickets_next(k->tickets);
    result->virtual_s = dn_tickets_now(k->tickets);
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
    dn_tickets_rewind(k->tickets);
    dn_client_versions_forget(&k->store);
    return dn_clients_restored(k);
}

dn_status dn_clients_expect(dn_clients *k, uint64_t step)
{
    dn_tickets_rewind(k->tickets);
    dn_client_versions_forget(&k->store);
    while (dn_tickets_version(k->tickets) < step) { /* of many clients and versions for longer than a worker may be silent */
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
