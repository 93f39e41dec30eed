/* One training step and one validation, as every rank goes through them. */
#include "train/run.h"

#include "base/clock.h"
#include "base/fail.h"
#include "compute/kernels.h"

#include <math.h>

static dn_status read_row(void *loader, uint64_t row, int32_t *inputs, int32_t *targets)
{
    return dn_loader_row(loader, row, inputs, targets);
}

/* A gradient that is not finite now and then is survived (the step is skipped on all replicas); a run of them
 * is not. */
static dn_status judge_gradient(dn_run *run, const dn_step_report *report)
{
    enum { PATIENCE = 10 };
    run->n_skipped = report->skipped ? run->n_skipped + 1 : 0;
    if (run->n_skipped < PATIENCE)
        return DN_OK;
    return dn_fail(DN_ERR_NUMERIC,
                   "step %llu: gradients were not finite for %d steps in a row; lower lr, or resume "
                   "from an older checkpoint",
                   (unsigned long long)run->step, run->n_skipped);
}

static void add_ledger(dn_ledger *sum, dn_ledger more)
{
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++) {
        sum->payload[kind] += more.payload[kind];
        sum->moved[kind] += more.moved[kind];
    }
}

/* A group's bytes count with the outermost of its axes: what crosses between replicas is dp's. */
static void collect_ledgers(const dn_run *run, dn_ledger ledger[DN_N_AXES])
{
    for (unsigned axes = 1; axes <= DN_ALL_AXES; axes++)
        if (run->mesh->groups[axes]) {
            dn_axis outermost = axes & DN_AXIS(DN_DP) ? DN_DP : axes & DN_AXIS(DN_FS) ? DN_FS : DN_TP;
            add_ledger(&ledger[outermost], dn_comm_ledger(run->mesh->groups[axes], true));
        }
}

static dn_pace pace_of(const dn_run *run)
{
    const dn_plan *plan = &run->plan;
    uint64_t n_steps = (uint64_t)plan->config.num_iterations;
    return (dn_pace){.step = run->step,
                     .lr = plan->config.lr * dn_schedule_factor(&plan->lr_schedule, run->step, n_steps),
                     .decay = dn_schedule_factor(&plan->decay_schedule, run->step, n_steps)};
}

dn_status dn_run_step(dn_run *run, dn_step_result *result)
{
    const dn_config *config = &run->plan.config;
    uint64_t batch = (uint64_t)config->batch_size;
    dn_ledger before[DN_N_AXES] = {0};
    collect_ledgers(run, before); /* not this step's */
    double started = dn_clock_s(), loss_sum;
    dn_run_enter(run, "forward and backward");
    DN_TRY(dn_net_gradient(&run->net, read_row, &run->train, run->step * batch, batch, &loss_sum));
    result->pace = pace_of(run);
    double optimizing = dn_clock_s();
    DN_TRY(dn_optimizer_step(run->net.optimizer, &result->pace, &result->report));
    result->optimizer_s = dn_clock_s() - optimizing;

    /* Ranks of tp know the same loss: one of them tells it. */
    double shared[2] = {run->mesh->at[DN_TP] == 0 ? loss_sum : 0.0,
                        dn_comm_stop_requested(run->comm) ? 1.0 : 0.0};
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, shared, 2, DN_SUM));
    result->loss = shared[0] / (double)(batch * run->plan.shape.T);
    result->stop = (int)shared[1];
    collect_ledgers(run, result->ledger);
    result->seconds = dn_clock_s() - started;
    run->step++;
    return judge_gradient(run, &result->report);
}

dn_status dn_run_validate(dn_run *run, double *loss)
{
    *loss = NAN;
    if (!run->val_tokens)
        return DN_OK;
    size_t T = run->plan.shape.T, rows = dn_loader_rows(&run->val);
    size_t wanted = ((size_t)run->plan.config.val_tokens + T - 1) / T;
    if (rows > wanted)
        rows = wanted;
    double sum;
    dn_run_enter(run, "validation");
    DN_TRY(dn_net_loss(&run->net, read_row, &run->val, 0, rows, &sum));
    DN_TRY(dn_comm_all_reduce_scalars(dn_mesh_group(run->mesh, DN_AXIS(DN_DP) | DN_AXIS(DN_FS)), &sum, 1,
                                      DN_SUM));
    *loss = sum / (double)(rows * T);
    run->val_loss = *loss;
    run->val_step = run->step;
    return DN_OK;
}
