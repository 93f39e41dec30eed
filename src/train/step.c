/* One training step and one validation, as every rank goes through them. */
#include "train/run.h"

#include "base/clock.h"
#include "base/fail.h"
#include "compute/kernels.h"
#include "optim/schedule.h"

#include <math.h>

/* Rows first .. first+n-1 of the run into the token buffers. */
static dn_status load_rows(dn_run *run, const dn_loader *loader, uint64_t first, size_t n)
{
    for (size_t row = 0; row < n; row++)
        DN_TRY(dn_loader_row(loader, first + row, run->inputs + row * loader->T,
                             run->targets + row * loader->T));
    return DN_OK;
}

/* This rank's share of the global batch: rows that depend on the step and the batch size only. */
static dn_status accumulate_gradient(dn_run *run, double *loss_sum)
{
    const dn_plan *plan = &run->plan;
    const dn_kernels *k = run->stream->kernels;
    double scale = 1.0 / (double)(plan->rank_batch * plan->shape.T);
    uint64_t first = run->step * (uint64_t)plan->config.batch_size + (uint64_t)run->rank * plan->rank_batch;
    k->fill(run->stream, (dn_buf *)run->grads, run->n_elements, 0.0);
    for (size_t done = 0; done < plan->rank_batch; done += plan->micro_batch) {
        dn_run_enter(run, "forward and backward");
        DN_TRY(load_rows(run, &run->train, first + done, plan->micro_batch));
        DN_TRY(dn_gpt_train(run->gpt, run->inputs, run->targets, plan->micro_batch, scale, loss_sum));
    }
    return DN_OK;
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

dn_status dn_run_step(dn_run *run, dn_step_result *result)
{
    const dn_config *config = &run->plan.config;
    double started = dn_clock_s(), loss_sum = 0.0;
    dn_comm_ledger(run->comm, true);
    DN_TRY(accumulate_gradient(run, &loss_sum));
    result->lr = config->lr * dn_schedule(run->step, (uint64_t)config->num_iterations, config->warmup_ratio,
                                          config->warmdown_ratio);
    DN_TRY(dn_optimizer_step(run->optimizer, run->step, result->lr, &result->report));

    double shared[2] = {loss_sum, dn_comm_stop_requested(run->comm) ? 1.0 : 0.0};
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, shared, 2, DN_SUM));
    result->loss = shared[0] / (double)((uint64_t)config->batch_size * run->plan.shape.T);
    result->stop = (int)shared[1];
    result->ledger = dn_comm_ledger(run->comm, true);
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
    size_t n_ranks = (size_t)run->plan.n_workers, rank = (size_t)run->rank;
    size_t end = rows * (rank + 1) / n_ranks;
    double sum = 0.0;
    for (size_t row = rows * rank / n_ranks, n; row < end; row += n) {
        n = end - row < run->plan.micro_batch ? end - row : run->plan.micro_batch;
        dn_run_enter(run, "validation");
        DN_TRY(load_rows(run, &run->val, row, n));
        DN_TRY(dn_gpt_loss(run->gpt, run->inputs, run->targets, n, &sum));
    }
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, &sum, 1, DN_SUM));
    *loss = sum / (double)(rows * T);
    return DN_OK;
}
