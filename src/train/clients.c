#include "train/clients.h"

#include "base/arena.h"
#include "base/fail.h"
#include "base/random.h"
#include "base/size.h"
#include "comm/world.h"
#include "compute/draw.h"
#include "compute/kernels.h"
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parts of the numbers begin at whole cache lines. */
#define LINE ((size_t)128 / sizeof(dn_real))

/* A version of the weights that some ticket trains. */
typedef struct stored {
    uint64_t number; /* NONE: the place is free */
    dn_buf *part;    /* [part of the numbers] */
} stored;
#define NONE UINT64_MAX

struct dn_clients {
    const dn_plan *plan;
    dn_instance *instance;
    const dn_client_rules *rules;
    int rank, n_workers;
    dn_partition *partition;
    dn_tickets *tickets;
    size_t n; /* numbers of all trained parameters, as they lie in memory */
    dn_range own;
    dn_buf *start; /* [n] the version that this worker's ticket trains */
    dn_buf *sum;   /* of what has come; this and all that follow: [part] */
    dn_buf *scratch;
    stored *versions; /* [n_versions] */
    size_t n_versions, n_states;
    dn_buf *states[DN_CLIENT_STATES_MAX]; /* [n_states] of the server */
    dn_tensor *tensors; /* [n_versions + n_states] what there is to save */
    double *told;       /* [2 n_workers + 1] of one ticket each: sum of losses, targets that counted; and workers that saw a stop */
};

/* ---- the plan ---- */

/* "a,b,c": each to `read`. */
static dn_status read_list(const char *text, const char *key, dn_status (*read)(const char *one, const char *key, dn_client_plan *plan),
                           dn_client_plan *plan)
{
    char copy[DN_KEY_TEXT_MAX];
    snprintf(copy, sizeof copy, "%s", text);
    if (*text && strspn(text, ", ") == strlen(text))
        return dn_fail(DN_ERR_CONFIG, "%s: '%.40s' names none", key, text);
    for (char *rest, *one = strtok_r(copy, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
        DN_TRY(read(one + strspn(one, " "), key, plan));
    return DN_OK;
}

static dn_status read_speed(const char *one, const char *key, dn_client_plan *plan)
{
    char *end;
    double speed = strtod(one, &end);
    if (plan->n_speeds == DN_CLIENT_KINDS_MAX || end == one || *end || !(speed >= 1e-6 && speed <= 1e15))
        return dn_fail(DN_ERR_CONFIG, "%s: '%.40s': give up to %d positive numbers of tokens a second, as 2000,500", key, one,
                       DN_CLIENT_KINDS_MAX);
    plan->speeds[plan->n_speeds++] = speed;
    return DN_OK;
}

static dn_status read_link(const char *one, const char *key, dn_client_plan *plan)
{
    if (plan->n_links == DN_CLIENT_KINDS_MAX)
        return dn_fail(DN_ERR_CONFIG, "%s: more than %d links", key, DN_CLIENT_KINDS_MAX);
    return dn_link_parse(one, key, &plan->links[plan->n_links++]);
}

dn_status dn_clients_plan(dn_plan *plan)
{
    const dn_config *c = &plan->config;
    const dn_client_rules *rules = plan->strategy->clients;
    dn_client_plan *p = &plan->clients;
    if (!rules && c->clients)
        return dn_fail(DN_ERR_CONFIG, "clients %lld: strategy %s has none; choose one of clients, as fedavg, or leave clients out",
                       (long long)c->clients, plan->strategy->name);
    if (!rules)
        return DN_OK;
    if (!c->clients)
        return dn_fail(DN_ERR_CONFIG, "strategy %s: say how many clients there are, as clients 8", plan->strategy->name);
    p->n = (int)c->clients;
    p->n_out = rules->out(&plan->strategy_config, p->n);
    p->quorum = rules->quorum ? rules->quorum(&plan->strategy_config, p->n) : p->n_out;
    if (p->quorum > p->n_out)
        return dn_fail(DN_ERR_CONFIG, "strategy %s: the server would wait for %d clients while %d train at a time: raise "
                       "client_fraction", plan->strategy->name, p->quorum, p->n_out);
    p->local_steps = (uint64_t)c->local_steps;
    DN_TRY(dn_partition_parse(c->partition, "partition", &p->partition));
    DN_TRY(read_list(*c->client_speeds ? c->client_speeds : "1000", "client_speeds", read_speed, p));
    return read_list(c->client_links, "client_links", read_link, p);
}

dn_status dn_clients_check_mesh(const dn_plan *plan)
{
    if (!plan->strategy->clients || plan->n_workers == plan->mesh[DN_DP])
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "strategy %s: each worker trains whole models: leave out fs_size and tp_size", plan->strategy->name);
}

/* Versions that there can be at a time: the newest, and one for each ticket that the server does not wait for. */
static size_t most_versions(const dn_client_plan *p)
{
    return 1 + (size_t)(p->n_out - p->quorum);
}

static dn_range part_of(const dn_plan *plan, int rank)
{
    return dn_shard_range(plan->gradient_bytes / sizeof(dn_real), LINE, plan->n_workers, rank);
}

/* Takes all memory from an arena; k NULL: only measures. trained [plan->n_trained]. */
static void lay_out(const dn_plan *plan, const dn_param *trained, dn_arena *heap, dn_clients *k)
{
    const dn_strategy *strategy = plan->strategy;
    const dn_client_rules *rules = strategy->clients;
    size_t n = plan->gradient_bytes, part = dn_range_size(part_of(plan, 0)) * sizeof(dn_real), scratch = 0;
    for (size_t i = 0; i < plan->n_trained && strategy->scratch; i++)
        scratch = dn_max(scratch, strategy->scratch(&plan->strategy_config, trained[i].kind, trained[i].tensor.rows, trained[i].tensor.cols));
    void *start = dn_arena_take(heap, n), *sum = dn_arena_take(heap, part),
         *room = dn_arena_take(heap, dn_size_mul(scratch, sizeof(dn_real)));
    if (k) {
        k->start = start;
        k->sum = sum;
        k->scratch = room;
    }
    for (size_t i = 0; i < most_versions(&plan->clients); i++) {
        void *memory = dn_arena_take(heap, part);
        if (k)
            k->versions[i].part = memory;
    }
    for (size_t i = 0; rules->states[i]; i++) {
        void *memory = dn_arena_take(heap, part);
        if (k)
            k->states[i] = memory;
    }
}

size_t dn_clients_heap_bytes(const dn_plan *plan, const dn_param *trained)
{
    dn_arena measure = {0};
    if (plan->strategy->clients)
        lay_out(plan, trained, &measure, NULL);
    return measure.used;
}

/* ---- opening ---- */

static uint64_t steps_of(const dn_clients *k, int client)
{
    uint64_t batch = (uint64_t)k->plan->config.batch_size, rows = dn_partition_rows(k->partition, client);
    return k->plan->clients.local_steps ? k->plan->clients.local_steps : (rows + batch - 1) / batch;
}

static double tokens_of(const dn_clients *k, int client)
{
    return (double)steps_of(k, client) * (double)k->plan->config.batch_size * (double)k->plan->spec.T;
}

static dn_client_context context_of(const dn_clients *k, uint64_t step)
{
    return (dn_client_context){.config = &k->plan->strategy_config, .stream = k->instance->stream, .step = step, .scratch = k->scratch};
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

static dn_status open_clients(dn_clients *k, const dn_tokens *tokens)
{
    const dn_plan *plan = k->plan;
    const dn_client_plan *p = &plan->clients;
    size_t bytes = dn_clients_heap_bytes(plan, k->instance->trained);
    void *base;
    k->rules = plan->strategy->clients;
    k->n_workers = plan->n_workers;
    k->rank = dn_comm_rank(k->instance->mesh->all);
    k->n = plan->gradient_bytes / sizeof(dn_real);
    k->own = part_of(plan, k->rank);
    k->n_versions = most_versions(p);
    while (k->rules->states[k->n_states])
        k->n_states++;
    k->versions = calloc(k->n_versions, sizeof *k->versions);
    k->tensors = calloc(k->n_versions + k->n_states, sizeof *k->tensors);
    k->told = calloc(2 * (size_t)k->n_workers + 1, sizeof *k->told);
    if (!k->versions || !k->tensors || !k->told)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %d clients", p->n);
    DN_TRY(dn_comm_alloc_device(k->instance->mesh->all, bytes, &base));
    dn_arena heap = {.base = base, .capacity = bytes};
    lay_out(plan, k->instance->trained, &heap, k);
    DN_TRY(dn_stream_zero(k->instance->stream, base, bytes / sizeof(dn_real)));
    DN_TRY(dn_partition_create(&p->partition, tokens, plan->spec.T, p->n, (uint64_t)plan->config.seed, &k->partition));
    const dn_ticket_rules rules = {.n_clients = p->n,
                                   .n_out = p->n_out,
                                   .quorum = p->quorum,
                                   .seed = (uint64_t)plan->config.seed,
                                   .seconds = seconds,
                                   .context = k};
    return dn_tickets_create(&rules, &k->tickets);
}

dn_status dn_clients_open(dn_instance *instance, const dn_tokens *tokens, dn_clients **out)
{
    dn_clients *k = *out = calloc(1, sizeof *k);
    if (!k)
        return dn_fail(DN_ERR_MEMORY, "no memory for clients");
    k->plan = instance->plan;
    k->instance = instance;
    dn_status status = open_clients(k, tokens);
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
    dn_partition_destroy(&k->partition);
    dn_tickets_destroy(&k->tickets);
    free(k->versions);
    free(k->tensors);
    free(k->told);
    free(k);
}

/* ---- versions ---- */

static dn_buf *part_of_version(const dn_clients *k, uint64_t number)
{
    for (size_t i = 0; i < k->n_versions; i++)
        if (k->versions[i].number == number)
            return k->versions[i].part;
    return NULL;
}

/* Places of versions that no ticket trains any more are free; the newest gets one. */
static dn_buf *place_of_newest(dn_clients *k)
{
    const dn_ticket *out = dn_tickets_out(k->tickets);
    uint64_t newest = dn_tickets_version(k->tickets);
    dn_buf *place = NULL;
    for (size_t i = 0; i < k->n_versions; i++) {
        bool used = false;
        for (int j = 0; j < k->plan->clients.n_out; j++)
            used = used || (out[j].version == k->versions[i].number && out[j].version != newest);
        if (!used)
            k->versions[i].number = NONE;
        if (!used && !place) {
            place = k->versions[i].part;
            k->versions[i].number = newest;
        }
    }
    return place;
}

/* to [n] becomes that version, of which each worker has a part. */
static void load(const dn_clients *k, uint64_t number, dn_buf *to)
{
    dn_stream *s = k->instance->stream;
    dn_buf *part = part_of_version(k, number);
    for (int rank = 0; rank < k->n_workers; rank++) {
        dn_range range = part_of(k->plan, rank);
        size_t n = dn_range_size(range);
        if (n > 0)
            s->kernels->copy(s, dn_at(to, range.first),
                             dn_comm_view(k->instance->mesh->all, dn_comm_chunk_of(part, n * sizeof(dn_real)), rank, DN_TRAFFIC_WEIGHTS), n);
    }
}

/* This worker's part of the weights is stored as the newest version; then all may load it. */
static dn_status store_newest(dn_clients *k, const dn_buf *part)
{
    dn_stream *s = k->instance->stream;
    s->kernels->copy(s, place_of_newest(k), part, dn_range_size(k->own));
    DN_TRY(dn_stream_sync(s));
    return dn_comm_barrier(k->instance->mesh->all);
}

static dn_status load_newest(dn_clients *k)
{
    load(k, dn_tickets_version(k->tickets), k->instance->values);
    DN_TRY(dn_stream_sync(k->instance->stream));
    return dn_comm_barrier(k->instance->mesh->all); /* until all have read */
}

static void rewind_versions(dn_clients *k)
{
    dn_tickets_rewind(k->tickets);
    for (size_t i = 0; i < k->n_versions; i++)
        k->versions[i].number = NONE;
}

dn_status dn_clients_begin(dn_clients *k)
{
    rewind_versions(k);
    return store_newest(k, dn_at(k->instance->values, k->own.first));
}

/* ---- a client ---- */

/* Trains a ticket with the weights' memory, and makes of these what the server gets. *loss: sum over the targets that count, *counted
 * of them; NAN: something was not finite. DN_RUN_DROPPED: a stop, on this worker alone. */
static dn_status train(dn_run *run, dn_clients *k, const dn_ticket *ticket, double *loss, double *counted)
{
    dn_instance *instance = k->instance;
    const dn_plan *plan = k->plan;
    dn_stream *s = instance->stream;
    uint64_t batch = (uint64_t)plan->config.batch_size;
    dn_loader loader = run->train;
    loader.partition = k->partition;
    loader.client = ticket->client;
    loader.seed = dn_random_bits((uint64_t)plan->config.seed, DN_STREAM_CLIENTS, (uint64_t)ticket->client);
    const dn_run_rows rows = {run, &loader};
    dn_client_context c = context_of(k, ticket->version);
    c.n_rows = dn_partition_rows(k->partition, ticket->client);
    c.n_steps = steps_of(k, ticket->client);
    const dn_step_params rates = dn_run_step_params(run, ticket->version);
    const dn_client_numbers all = {.n = k->n, .weight = instance->values, .version = k->start, .grad = instance->grads};
    double sum = 0;

    *loss = NAN;
    load(k, ticket->version, k->start);
    s->kernels->copy(s, instance->values, k->start, k->n);
    DN_TRY(dn_optimizer_reset(instance->optimizer));
    for (uint64_t step = 0; step < c.n_steps; step++) {
        uint64_t first = (ticket->before * c.n_steps + step) * batch;
        double of_batch;
        dn_step_report report;
        size_t n = dn_run_counted(&rows, first, batch);
        DN_TRY(dn_instance_gradient_alone(instance, dn_run_row, (void *)&rows, first, batch, n, &of_batch));
        sum += of_batch;
        *counted += (double)n;
        if (!isfinite(of_batch))
            return DN_OK;
        if (n == 0)
            continue;
        if (k->rules->local)
            k->rules->local(&c, &all);
        const dn_step_params params = {.step = step, .lr = rates.lr, .decay = rates.decay};
        dn_status status = dn_optimizer_step(instance->optimizer, &params, &report);
        if (status == DN_ERR_NUMERIC || (status == DN_OK && report.skipped))
            return DN_OK;
        DN_TRY(status);
    }
    for (size_t i = 0; i < plan->n_trained && k->rules->upload; i++) {
        const dn_param *p = &instance->trained[i];
        const dn_client_numbers one = {.param = p,
                                       .n = dn_param_size(p),
                                       .weight = p->weight,
                                       .version = dn_at(k->start, (size_t)((const char *)p->weight - (const char *)instance->values) / sizeof(dn_real)),
                                       .grad = p->grad};
        k->rules->upload(&c, &one);
    }
    double squares;
    s->kernels->sum_squares(s, &squares, instance->values, k->n);
    DN_TRY(dn_stream_sync(s));
    if (isfinite(squares))
        *loss = sum;
    return DN_OK;
}

/* ---- the server ---- */

/* What a worker's client has sent, as far as this worker adds it; valid until the next barrier. */
static dn_buf *sent(const dn_clients *k, int worker)
{
    const dn_comm_chunk chunk = dn_comm_chunk_of(dn_at(k->instance->values, k->own.first), dn_range_size(k->own) * sizeof(dn_real));
    return (dn_buf *)(uintptr_t)dn_comm_view(k->instance->mesh->all, chunk, worker, DN_TRAFFIC_DELTA);
}

static dn_client_context context_of_ticket(const dn_clients *k, const dn_ticket *ticket)
{
    dn_client_context c = context_of(k, dn_tickets_version(k->tickets));
    c.delay = c.step - ticket->version;
    c.n_rows = dn_partition_rows(k->partition, ticket->client);
    c.n_steps = steps_of(k, ticket->client);
    return c;
}

static double weight_of(const dn_clients *k, const dn_ticket *ticket)
{
    const dn_client_context c = context_of_ticket(k, ticket);
    return k->rules->weight ? k->rules->weight(&c) : (double)c.n_rows;
}

/* Trains tickets first .. first + workers - 1 of those that are due, each on one worker, and adds what they send. *kept: of
 * the weights' sum, which is 1, what has come. */
static dn_status train_and_add(dn_run *run, dn_clients *k, int first, double all_weights, double *kept, double *loss,
                               dn_client_result *result)
{
    const dn_ticket *due = dn_tickets_out(k->tickets) + first;
    dn_stream *s = k->instance->stream;
    int n = k->plan->clients.quorum - first < k->n_workers ? k->plan->clients.quorum - first : k->n_workers;
    double none = 0, *losses = k->told, *counted = losses + k->n_workers, *dropped = counted + k->n_workers;
    memset(k->told, 0, (2 * (size_t)k->n_workers + 1) * sizeof *k->told);
    if (k->rank < n) {
        dn_status status = train(run, k, &due[k->rank], &losses[k->rank], &counted[k->rank]);
        *dropped = status == DN_RUN_DROPPED;
        if (status != DN_RUN_DROPPED)
            DN_TRY(status);
    }
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, k->told, 2 * (size_t)k->n_workers + 1, DN_SUM));
    DN_TRY(dn_run_end_pass(run, &none));
    if (*dropped > 0)
        return DN_RUN_DROPPED;
    for (int i = 0; i < n; i++) {
        double share = weight_of(k, &due[i]) / all_weights;
        const dn_client_context c = context_of_ticket(k, &due[i]);
        result->tokens += tokens_of(k, due[i].client);
        result->bytes_up += bytes_up(k, due[i].version);
        result->delay += (double)c.delay / k->plan->clients.quorum;
        if (!isfinite(losses[i])) {
            result->n_failed++;
            continue;
        }
        s->kernels->axpby(s, k->sum, share, sent(k, i), 1, dn_range_size(k->own));
        if (k->rules->of_changes && c.delay > 0) {
            s->kernels->axpby(s, k->sum, share, part_of_version(k, c.step), 1, dn_range_size(k->own));
            s->kernels->axpby(s, k->sum, -share, part_of_version(k, due[i].version), 1, dn_range_size(k->own));
        }
        *kept += share;
        *loss += losses[i];
        result->counted += counted[i];
    }
    DN_TRY(dn_stream_sync(s));
    return dn_comm_barrier(run->comm); /* until all have read what clients sent */
}

static dn_status step(dn_run *run, dn_clients *k, double *loss, dn_client_result *result)
{
    const dn_client_plan *p = &k->plan->clients;
    dn_stream *s = k->instance->stream;
    uint64_t version = dn_tickets_version(k->tickets);
    size_t n = dn_range_size(k->own);
    double all_weights = 0, kept = 0;
    *loss = 0;
    *result = (dn_client_result){.n = p->quorum, .bytes_down = p->quorum * bytes_down(k)};
    for (int i = 0; i < p->quorum; i++)
        all_weights += weight_of(k, &dn_tickets_out(k->tickets)[i]);
    s->kernels->fill(s, k->sum, n, 0);
    for (int i = 0; i < p->quorum; i += k->n_workers)
        DN_TRY(train_and_add(run, k, i, all_weights, &kept, loss, result));
    if (result->n_failed == p->quorum)
        return dn_fail(DN_ERR_NUMERIC, "step %llu: no client's training stayed finite; lower lr, or resume from an older checkpoint",
                       (unsigned long long)version + 1);
    *loss = result->counted > 0 ? *loss / result->counted : NAN;
    if (result->n_failed)
        s->kernels->scale(s, k->sum, 1 / kept, k->sum, n);
    if (k->rules->serve) {
        dn_client_context c = context_of(k, version);
        dn_client_numbers x = {.n = n, .weight = k->sum, .version = part_of_version(k, version)};
        c.mean_delay = result->delay;
        memcpy(x.states, k->states, k->n_states * sizeof *x.states);
        k->rules->serve(&c, &x);
    }
    dn_tickets_next(k->tickets);
    result->virtual_s = dn_tickets_now(k->tickets);
    DN_TRY(store_newest(k, k->sum));
    return load_newest(k);
}

dn_status dn_clients_step(dn_run *run, double *loss, dn_client_result *result)
{
    dn_clients *k = run->instance.clients;
    dn_run_begin_pass(run, "clients");
    dn_model_on_progress(k->instance->model, dn_run_pass_on_alone, run);
    dn_status status = step(run, k, loss, result);
    dn_model_on_progress(k->instance->model, dn_run_pass_on, run);
    if (status == DN_RUN_DROPPED)
        DN_TRY(load_newest(k));
    return status;
}

/* ---- states ---- */

dn_status dn_clients_expect(dn_clients *k, uint64_t step)
{
    rewind_versions(k);
    while (dn_tickets_version(k->tickets) < step) { /* of many clients and versions for longer than a worker may be silent */
        dn_tickets_next(k->tickets);
        DN_TRY(dn_comm_tick(k->instance->mesh->all, step, "list of clients"));
    }
    size_t n = 0;
    const dn_ticket *out = dn_tickets_out(k->tickets);
    for (int j = 0; j < k->plan->clients.n_out; j++)
        if (!part_of_version(k, out[j].version))
            k->versions[n++].number = out[j].version;
    return DN_OK;
}

dn_status dn_clients_restored(dn_clients *k)
{
    return store_newest(k, dn_at(k->instance->values, k->own.first));
}

/* The version, the newest left out, that is state number `index`; NULL: that state is another. */
static const stored *older(const dn_clients *k, size_t *index)
{
    for (size_t i = 0; i < k->n_versions; i++)
        if (k->versions[i].number != NONE && k->versions[i].number != dn_tickets_version(k->tickets) && (*index)-- == 0)
            return &k->versions[i];
    return NULL;
}

size_t dn_clients_n_states(const dn_clients *k)
{
    size_t n = 0;
    for (size_t i = 0; i < k->n_versions; i++)
        n += k->versions[i].number != NONE && k->versions[i].number != dn_tickets_version(k->tickets);
    return n + k->n_states;
}

bool dn_clients_state_must_be(const dn_clients *k, size_t index)
{
    return older(k, &index) != NULL;
}

const dn_tensor *dn_clients_state(const dn_clients *k, size_t index)
{
    dn_tensor *tensor = &k->tensors[index];
    const stored *v = older(k, &index);
    *tensor = (dn_tensor){.rows = 1, .cols = k->n, .type = DN_REAL};
    if (v)
        snprintf(tensor->name, sizeof tensor->name, "clients.version.%llu", (unsigned long long)v->number);
    else
        snprintf(tensor->name, sizeof tensor->name, "%s", k->rules->states[index]);
    return tensor;
}

dn_shard dn_clients_state_shard(const dn_clients *k, size_t index, int rank)
{
    const stored *v = older(k, &index);
    dn_range part = part_of(k->plan, rank);
    return (dn_shard){.block = {.rows = 1, .col0 = part.first, .cols = dn_range_size(part)},
                      .data = v ? v->part : k->states[index],
                      .rank = rank};
}
