/* A version of clients as a case to verify. */
#include "train/verify_trial.h"

#include "base/fail.h"
#include "train/clients.h"

/* As many for each; where nothing is compared but numbers of workers, uneven. */
static size_t client_rows(void *context, int client)
{
    const dn_verify_trial *t = context;
    return (size_t)t->plan.config.batch_size * (t->vcase->by_replicas ? 1 + (size_t)client % 3 : 1);
}

static dn_step_params client_rates(void *context, uint64_t version)
{
    return (dn_step_params){version, ((const dn_verify_trial *)context)->plan.config.lr, 1};
}

/* The rows that a client's batches are of: of each step of all clients, one after another, its own. */
typedef struct own_rows {
    dn_verify_trial *trial;
    uint64_t client;
} own_rows;

static dn_status draw_row_of_client(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const own_rows *x = context;
    const dn_plan *plan = &x->trial->plan;
    uint64_t batch = (uint64_t)plan->config.batch_size, clients = (uint64_t)plan->clients.n;
    return dn_verify_trial_row(x->trial, (row / batch * clients + x->client) * batch + row % batch, inputs, targets);
}

static dn_status client_gradient(void *context, int client, uint64_t first, size_t n, double *loss, size_t *counted)
{
    dn_verify_trial *t = context;
    own_rows rows = {t, dn_planted(t->v, DN_BUG_WRONG_ROWS) ? 0 : (uint64_t)client};
    *counted = n * t->plan.spec.T;
    if (dn_comm_stop_requested(t->mesh->all))
        return DN_RUN_DROPPED;
    return dn_instance_gradient_alone(&t->instance, draw_row_of_client, &rows, first, n, *counted, loss);
}

static dn_status client_wait(void *context)
{
    return dn_comm_tick(((const dn_verify_trial *)context)->mesh->all, 0, "verify");
}

static dn_status client_agree(void *context)
{
    (void)context; /* there is nothing to read */
    return DN_OK;
}

/* Of the server, and versions that are trained: each worker has a part of the numbers. */
static dn_status show_states_of_clients(dn_verify_trial *t, uint64_t step)
{
    char line[DN_VERIFY_LINE_MAX];
    for (size_t i = 0; i < dn_instance_n_states(&t->instance); i++) {
        dn_shard own = dn_instance_state_shard(&t->instance, i, dn_comm_rank(t->instance.mesh->all));
        dn_verify_tensor whole = {dn_verify_trial_line("other state", step, line), *dn_instance_state(&t->instance, i), 0, NULL};
        DN_TRY(dn_verify_trial_show(t, &whole, 0, own.block, DN_REAL, own.data));
    }
    return DN_OK;
}

dn_status dn_verify_trial_version(dn_verify_trial *t, uint64_t version)
{
    double loss;
    dn_client_result result;
    dn_status status = dn_clients_step(t->instance.clients, &loss, &result);
    if (status == DN_RUN_DROPPED)
        return dn_fail(DN_ERR_PEER, "stopped by a signal");
    DN_TRY(status);
    DN_TRY(dn_verify_scalar(t->v, "loss", loss));
    bool shown = version == 0 || version + 1 == (uint64_t)t->vcase->n_steps;
    if (!shown)
        return DN_OK;
    DN_TRY(dn_verify_trial_show_params(t, "weights", false, version + 1));
    return t->vcase->by_replicas ? show_states_of_clients(t, version + 1) : DN_OK;
}

dn_status dn_verify_trial_open_clients(dn_verify_trial *t)
{
    const dn_client_work work = {client_rows, client_rates, client_gradient, client_wait, client_agree, t};
    DN_TRY(dn_clients_open(&t->instance, &work, &t->instance.clients));
    return dn_clients_begin(t->instance.clients);
}
