/* The training loop of a worker: join, open the run, steps until the end or a stop, save, report. */
#include "dionode/train.h"

#include "base/fail.h"
#include "device/device.h"
#include "dionode/comm.h"
#include "train/report.h"
#include "train/run.h"
#include "train/stored_run.h"

#include <math.h>
#include <stdio.h>

static bool due(uint64_t step, int64_t every, bool last)
{
    return last || (every > 0 && step % (uint64_t)every == 0);
}

/* Complete, stopped or failed. Single skipped steps are tolerated, many in a row are a failure. */
static bool over(const dn_run *run)
{
    enum { MAX_SKIPPED = 10 };
    return run->agreement.stop || run->agreement.failed || run->n_skipped >= MAX_SKIPPED ||
           run->step >= dn_run_goal(run);
}

/* The validation that is due, unless a stop comes first: then the checkpoint records that it is due, and the
 * resumed run makes it. */
static dn_status validate(dn_run *run)
{
    double loss;
    if (!run->validation_due || run->agreement.stop)
        return DN_OK;
    dn_status status = dn_run_validate(run, &loss);
    if (status == DN_RUN_DROPPED)
        return DN_OK;
    DN_TRY(status);
    run->validation_due = false;
    if (run->step == 0)
        return dn_report_validation(run, loss);
    if (!run->reported)
        return dn_report_step(run, loss);
    DN_TRY(dn_report_validation(run, loss));
    run->saved = false; /* the checkpoint says that validation is due */
    return dn_run_keep(run);
}

/* One step, and what is due after it. */
static dn_status advance(dn_run *run)
{
    const dn_config *config = &run->plan.config;
    dn_status status = dn_run_step(run);
    if (status == DN_RUN_DROPPED)
        return DN_OK;
    DN_TRY(status);

    if (due(run->step, config->hash_every, over(run)))
        DN_TRY(dn_run_check_replicas(run, &run->last.hash));
    run->validation_due = run->val_tokens && due(run->step, config->val_loss_every,
                                                 run->step >= (uint64_t)config->num_iterations);
    DN_TRY(validate(run));
    DN_TRY(dn_report_step(run, NAN));
    /* Not while steps are skipped: good checkpoints would be rotated away. */
    bool now = run->n_skipped == 0 && due(run->step, config->checkpoint_freq, false);
    return now || run->agreement.save ? dn_run_keep(run) : DN_OK;
}

/* Saves, whatever the reason to end. The rank that has failed reports why; the others learn of it in the
 * barrier. */
static dn_status finish(dn_run *run)
{
    const dn_run_agreement *a = &run->agreement;
    const dn_config *config = &run->plan.config;
    unsigned long long step = run->step, good = dn_run_good_step(run);
    DN_TRY(dn_run_keep(run));
    if (a->failed && a->own == DN_OK)
        return dn_comm_barrier(run->comm);
    if (a->failed && run->step == 0)
        return dn_fail(a->own, "%s", a->message);
    if (a->failed)
        return dn_fail(a->own, "%.*s; the state after step %llu is saved", DN_MESSAGE_MAX - 64, a->message,
                       step);
    if (!run->learned && step >= (unsigned long long)config->num_iterations)
        return dn_fail(DN_ERR_DATA,
                       "none of %llu batches has a target that counts: nothing was learned; use a longer sequence_length or a "
                       "larger batch_size, or shuffle",
                       step);
    if (run->n_skipped == 0 || a->stop) {
        dn_report_end(run);
        return DN_OK;
    }
    char advice[64] = "";
    if (good > 0)
        snprintf(advice, sizeof advice, ", and resume from step %llu, which is saved", good);
    return dn_fail(DN_ERR_NUMERIC,
                   "step %llu: losses or gradients of the last %llu steps were not finite; lower lr%s", step,
                   (unsigned long long)run->n_skipped, advice);
}

static dn_status run_to_end(dn_run *run)
{
    const dn_config *config = &run->plan.config;
    uint64_t goal = dn_run_goal(run);
    const char *key = goal == (uint64_t)config->num_iterations ? "num_iterations" : "stop_after";
    if (run->step > goal)
        return dn_fail(DN_ERR_CONFIG,
                       "%s holds a run of %llu steps, but %s is %llu: set it above %llu to resume, or use "
                       "another checkpoint_dir",
                       config->checkpoint_dir, (unsigned long long)run->step, key, (unsigned long long)goal,
                       (unsigned long long)run->step);
    if (run->step == goal && !run->validation_due) {
        dn_report_complete(run, key);
        return DN_OK;
    }
    if (run->step == 0)
        run->validation_due = run->val_tokens && config->val_loss_every > 0;
    dn_report_begin(run);
    DN_TRY(validate(run));
    while (!over(run))
        DN_TRY(advance(run));
    return finish(run);
}

int dn_train_worker(const dn_config *config)
{
    dn_plan plan;
    dn_run run;
    dn_comm *comm = NULL;
    dn_status status = dn_device_select(config->device);
    if (status == DN_OK)
        status = dn_comm_join(0, config->timeout_s, &comm); /* the launcher sizes the heap */
    if (status == DN_OK && dn_comm_rank(comm) != 0)
        dn_log_set(NULL, NULL); /* warnings are the same on all ranks */
    if (status == DN_OK)
        status = dn_plan_run(config, dn_comm_size(comm), &plan);
    if (status == DN_OK) {
        status = dn_run_open(&run, &plan, comm);
        if (status == DN_OK)
            status = run_to_end(&run);
        else if (status == DN_RUN_DROPPED) {
            dn_report_not_begun(&run);
            status = DN_OK;
        }
        dn_run_close(&run);
    }
    return dn_comm_leave(&comm, status);
}
