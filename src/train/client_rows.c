#include "train/client_rows.h"

#include "base/fail.h"
#include "base/random.h"
#include "compute/draw.h"
#include "train/run.h"

static size_t rows(void *context, int client)
{
    const dn_client_rows *x = context;
    return dn_partition_rows(x->partition, client);
}

static dn_step_params rates(void *context, uint64_t version)
{
    const dn_client_rows *x = context;
    return dn_run_step_params(x->run, version);
}

static dn_status gradient(void *context, int client, uint64_t first, size_t n, double *loss, size_t *counted)
{
    const dn_client_rows *x = context;
    dn_loader loader = x->run->train;
    loader.partition = x->partition;
    loader.client = client;
    loader.seed = dn_random_bits((uint64_t)x->run->plan.config.seed, DN_STREAM_CLIENTS, (uint64_t)client);
    const dn_run_rows of_client = {x->run, &loader};
    *counted = dn_run_counted(&of_client, first, n);
    return dn_instance_gradient_alone(&x->run->instance, dn_run_row, (void *)&of_client, first, n, *counted, loss);
}

static dn_status wait(void *context)
{
    const dn_client_rows *x = context;
    return dn_run_pass_on_alone(x->run, false);
}

static dn_status agree(void *context)
{
    const dn_client_rows *x = context;
    double none = 0;
    return dn_run_end_pass(x->run, &none);
}

dn_status dn_client_rows_open(dn_run *run)
{
    const dn_plan *plan = &run->plan;
    dn_client_rows *x = &run->client_rows;
    const dn_client_work work = {.rows = rows, .rates = rates, .gradient = gradient, .wait = wait, .agree = agree, .context = x};
    x->run = run;
    DN_TRY(dn_partition_create(&plan->clients.partition, run->train_tokens, plan->spec.T, plan->clients.n, (uint64_t)plan->config.seed,
                               &x->partition));
    return dn_clients_open(&run->instance, &work, &run->instance.clients);
}

void dn_client_rows_close(dn_run *run)
{
    dn_clients_close(&run->instance.clients);
    dn_partition_destroy(&run->client_rows.partition);
}
