/* Labels that are clients' own: versions of what is trained, by a strategy of clients. */
#include "base/fail.h"
#include "base/random.h"
#include "compute/draw.h"
#include "compute/kernels.h"
#include "data/loader.h"
#include "train/clients.h"
#include "train/finetune.h"

#include <math.h>
#include <stdlib.h>

typedef struct clients {
    dn_finetune_run *run;
    uint32_t *batch; /* [batch_size] */
} clients;

static size_t rows(void *context, int client)
{
    const clients *x = context;
    return dn_partition_rows(x->run->partition, client);
}

static dn_step_params rates(void *context, uint64_t version)
{
    const dn_plan *plan = &((const clients *)context)->run->model.plan;
    uint64_t n = (uint64_t)plan->config.num_iterations;
    return (dn_step_params){.step = version,
                            .lr = plan->config.lr * dn_schedule_factor(&plan->lr_schedule, version, n),
                            .decay = dn_schedule_factor(&plan->decay_schedule, version, n)};
}

/* A client's rows, in an order of its own in each epoch. */
static dn_status gradient(void *context, int client, uint64_t first, size_t n, double *loss, size_t *counted)
{
    const clients *x = context;
    dn_finetune_run *run = x->run;
    size_t n_rows = dn_partition_rows(run->partition, client);
    uint64_t seed = dn_random_bits((uint64_t)run->config.seed, DN_STREAM_CLIENTS, (uint64_t)client);
    for (size_t i = 0; i < n; i++)
        x->batch[i] = run->by_client[dn_partition_row(run->partition, client, dn_shuffled(seed, (first + i) / n_rows, n_rows, (first + i) % n_rows))];
    *counted = n;
    return dn_finetune_gradient(run, x->batch, n, loss);
}

static dn_status wait(void *context)
{
    const clients *x = context;
    return dn_comm_tick(x->run->model.comm, 0, "fine-tuning");
}

static dn_status agree(void *context)
{
    const clients *x = context;
    return dn_finetune_pass_on(x->run);
}

static dn_status make_versions(dn_finetune_run *run, dn_clients *server, uint64_t n, dn_finetuned *out)
{
    DN_TRY(dn_clients_begin(server));
    for (uint64_t version = 0; version < n; version++) {
        double loss;
        dn_client_result result;
        DN_TRY(dn_clients_step(server, &loss, &result));
        out->exchanged += result.bytes_down + result.bytes_up;
        out->n_rounds++;
        if (run->progress)
            run->progress(version + 1, n, loss, run->context);
    }
    return DN_OK;
}

dn_status dn_finetune_clients(dn_finetune_run *run, uint64_t n_versions, dn_finetuned *out)
{
    clients x = {.run = run, .batch = calloc((size_t)run->model.plan.config.batch_size, sizeof *x.batch)};
    const dn_client_work work = {.rows = rows, .rates = rates, .gradient = gradient, .wait = wait, .agree = agree, .context = &x};
    dn_clients *server = NULL;
    dn_status status = x.batch ? dn_clients_open(&run->model.instance, &work, &server) : dn_fail(DN_ERR_MEMORY, "no memory for a batch");
    if (status == DN_OK)
        status = make_versions(run, server, n_versions, out);
    dn_clients_close(&server);
    free(x.batch);
    return status;
}
