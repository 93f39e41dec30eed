/* One training step and one validation, as every rank goes through them. */
#include "train/run.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"
#include "comm/link.h"
#include "compute/kernels.h"

#include <math.h>

/* A loss or gradient that is not finite now and then is survived: the step is skipped on all replicas.
 * Weights and states that are not finite are not, for no step mends them. */
static dn_status judge(dn_run *run)
{
    bool harmless = run->last.counted == 0 && run->n_skipped == 0; /* the state is good after this step, too */
    run->n_skipped = run->last.report.skipped && !harmless ? run->n_skipped + 1 : 0;
    return run->n_skipped > 0 ? dn_run_check_finite(run) : DN_OK;
}

static void add_stats(dn_comm_stats *sum, dn_comm_stats more)
{
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++) {
        sum->payload[kind] += more.payload[kind];
        sum->moved[kind] += more.moved[kind];
        sum->network[kind] += more.network[kind];
        sum->early[kind] += more.early[kind];
        sum->cluster[kind] += more.cluster[kind];
        sum->hops[kind] += more.hops[kind];
    }
}

/* Bytes of a communicator count for its outermost axis: what crosses between replicas is dp's, and so is what crosses between
 * their islands, which counts apart, too. */
static void collect_stats(const dn_run *run, dn_step_result *result)
{
    for (unsigned axes = 1; axes <= DN_ALL_AXES; axes++)
        if (run->mesh->comms[axes]) {
            dn_axis outermost = axes & DN_AXIS(DN_DP)   ? DN_DP
                                : axes & DN_AXIS(DN_PP) ? DN_PP
                                : axes & DN_AXIS(DN_FS) ? DN_FS
                                                        : DN_TP;
            add_stats(&result->stats[outermost], dn_comm_get_stats(run->mesh->comms[axes], true));
            result->link_s += dn_comm_take_link_s(run->mesh->comms[axes]);
        }
    for (dn_scope scope = DN_SCOPE_ISLAND; scope < DN_N_SCOPES; scope++) {
        dn_comm *comm = dn_strategy_comm(run->instance.strategy, scope);
        if (!comm)
            continue;
        dn_comm_stats stats = dn_comm_get_stats(comm, true);
        add_stats(&result->stats[DN_DP], stats);
        if (scope == DN_SCOPE_ACROSS)
            add_stats(&result->across, stats);
        result->link_s += dn_comm_take_link_s(comm);
    }
}

/* By this rank; of another that came to an exchange later, less. */
static double take_wait_dp_s(const dn_run *run)
{
    double seconds = 0;
    for (unsigned axes = 1; axes <= DN_ALL_AXES; axes++)
        if (axes & DN_AXIS(DN_DP) && run->mesh->comms[axes])
            seconds += dn_comm_take_awaited_s(run->mesh->comms[axes]);
    for (dn_scope scope = DN_SCOPE_ISLAND; scope < DN_N_SCOPES; scope++)
        if (dn_strategy_comm(run->instance.strategy, scope))
            seconds += dn_comm_take_awaited_s(dn_strategy_comm(run->instance.strategy, scope));
    return seconds;
}

dn_step_params dn_run_step_params(const dn_run *run, uint64_t step)
{
    const dn_plan *plan = &run->plan;
    uint64_t n_steps = (uint64_t)plan->config.num_iterations;
    return (dn_step_params){.step = step,
                            .lr = plan->config.lr * dn_schedule_factor(&plan->lr_schedule, step, n_steps),
                            .decay = dn_schedule_factor(&plan->decay_schedule, step, n_steps)};
}

/* Ranks of tp have the same loss: only one contributes it. */
static double own_part(const dn_run *run, double loss_sum)
{
    return run->mesh->at[DN_TP] == 0 ? loss_sum : 0.0;
}

static dn_status step_of_clients(dn_run *run)
{
    dn_step_result before = {0}, result = {.hash = NAN,
                                           .step_params = dn_run_step_params(run, run->step),
                                           .report = {.grad_norm = NAN, .clip = 1}};
    collect_stats(run, &before); /* not this step's */
    double started = dn_clock_s();
    dn_run_begin_pass(run, "clients");
    dn_model_on_progress(run->instance.model, dn_run_pass_on_alone, run);
    dn_status status = dn_clients_step(run->instance.clients, &result.loss, &result.clients);
    dn_model_on_progress(run->instance.model, dn_run_pass_on, run);
    DN_TRY(status);
    collect_stats(run, &result);
    result.tokens = result.clients.tokens;
    result.counted = (size_t)result.clients.counted;
    run->learned = run->learned || result.counted > 0;
    result.seconds = dn_clock_s() - started;
    run->step++;
    run->last = result;
    run->reported = false;
    return DN_OK;
}

dn_status dn_run_step(dn_run *run)
{
    if (run->instance.clients)
        return step_of_clients(run);
    uint64_t batch = (uint64_t)run->plan.config.batch_size;
    dn_run_rows rows = {run, &run->train};
    dn_step_result before = {0};
    collect_stats(run, &before); /* not this step's */
    (void)take_wait_dp_s(run);
    double started = dn_clock_s(), sum;
    dn_run_begin_pass(run, "forward and backward");
    run->instance.pipeline.wait_s = 0;
    size_t counted = dn_run_counted(&rows, run->step * batch, batch);
    DN_TRY(dn_run_after_gate(
        run, dn_instance_gradient(&run->instance, dn_run_row, &rows, run->step * batch, batch, counted, &sum)));
    sum = own_part(run, sum);
    DN_TRY(dn_run_end_pass(run, &sum));

    dn_step_result result = {.loss = counted ? sum / (double)counted : NAN,
                             .counted = counted,
                             .tokens = (double)(batch * run->plan.spec.T),
                             .hash = NAN,
                             .step_params = dn_run_step_params(run, run->step)};
    result.wait_s = run->instance.pipeline.wait_s;
    result.staleness = (double)run->instance.pipeline.staleness / (double)dn_plan_rounds(&run->plan, (size_t)batch);
    double optimizing = dn_clock_s();
    DN_TRY(dn_instance_step(&run->instance, &result.step_params, result.loss, &result.report));
    result.optimizer_s = dn_clock_s() - optimizing;
    result.wait_dp_s = take_wait_dp_s(run);
    DN_TRY(dn_run_end_step(run, &result.wait_dp_s)); /* until all have finished reading what this rank will overwrite */
    collect_stats(run, &result);
    result.seconds = dn_clock_s() - started;
    run->step++;
    run->learned = run->learned || counted > 0;
    run->last = result;
    run->reported = false;
    return judge(run);
}

size_t dn_run_val_rows(const dn_run *run)
{
    size_t T = run->plan.spec.T, wanted = ((size_t)run->plan.config.val_tokens + T - 1) / T;
    return dn_min(dn_loader_rows(&run->val), wanted);
}

dn_status dn_run_validate(dn_run *run, double *loss)
{
    *loss = NAN;
    if (!run->val_tokens)
        return DN_OK;
    size_t rows = dn_run_val_rows(run);
    double sum;
    dn_run_rows context = {run, &run->val};
    dn_run_begin_pass(run, "validation");
    size_t counted = dn_run_counted(&context, 0, rows);
    DN_TRY(dn_run_check_finite(run));
    bool apart = dn_strategy_apart(run->instance.strategy);
    if (apart)
        DN_TRY(dn_instance_enter_consensus(&run->instance));
    dn_status status = dn_run_after_gate(run, dn_instance_loss(&run->instance, dn_run_row, &context, 0, rows, &sum));
    sum = own_part(run, sum);
    if (status == DN_OK)
        status = dn_run_end_pass(run, &sum);
    if (apart && (status == DN_OK || status == DN_RUN_DROPPED))
        DN_TRY(dn_instance_leave_consensus(&run->instance));
    DN_TRY(status);
    *loss = sum / (double)counted;
    run->val_loss = *loss;
    run->val_step = dn_run_good_step(run);
    if (isfinite(*loss))
        return DN_OK;
    return dn_fail(
        DN_ERR_NUMERIC,
        "step %llu: the validation loss is not finite; lower lr, or resume from an older checkpoint",
        (unsigned long long)run->step);
}
