/* The life of a worker: attach, open the run, step until the end or a stop, save, report. */
#include "dionode/train.h"

#include "base/fail.h"
#include "device/device.h"
#include "dionode/comm.h"
#include "train/report.h"
#include "train/run.h"

#include <math.h>
#include <stdio.h>

static bool due(uint64_t step, int64_t every, bool last)
{
    return last || (every > 0 && step % (uint64_t)every == 0);
}

static bool reached(const dn_run *run, int64_t step)
{
    return run->step >= (uint64_t)step;
}

/* Nothing is left to do, or nothing can be done: now and then a step that is skipped is survived, many in a row are
 * not. */
static bool over(const dn_run *run)
{
    enum { PATIENCE = 10 };
    return run->talk.stop || run->talk.failed || run->n_skipped >= PATIENCE || run->step >= dn_run_goal(run);
}

/* The validation that is due, unless a stop comes first: then the checkpoint says that it is due, and the run that
 * goes on from there makes it. */
static dn_status validate(dn_run *run)
{
    double loss;
    if (!run->validation_due || run->talk.stop)
        return DN_OK;
    dn_status status = dn_run_validate(run, &loss);
    if (status == DN_RUN_DROPPED)
        return DN_OK;
    DN_TRY(status);
    run->validation_due = false;
    if (run->step == 0)
        return dn_report_validation(run, loss);
    if (!run->told)
        return dn_report_step(run, loss);
    DN_TRY(dn_report_validation(run, loss));
    run->saved = false; /* with a validation that is due no more */
    return dn_run_keep(run);
}

/* One turn of the loop: a step, and what falls due after it. */
static dn_status advance(dn_run *run)
{
    const dn_config *config = &run->plan.config;
    dn_status status = dn_run_step(run);
    if (status == DN_RUN_DROPPED)
        return DN_OK;
    DN_TRY(status);

    if (due(run->step, config->hash_every, over(run)))
        DN_TRY(dn_run_check_replicas(run, &run->last.hash));
    run->validation_due =
        run->val_tokens && due(run->step, config->val_loss_every, reached(run, config->num_iterations));
    DN_TRY(validate(run));
    DN_TRY(dn_report_step(run, NAN));
    /* Not while steps are being skipped: of weights that may be spoiled there would soon be nothing else. */
    bool now = run->n_skipped == 0 && due(run->step, config->checkpoint_freq, false);
    return now || run->talk.save ? dn_run_keep(run) : DN_OK;
}

/* The rank that cannot go on says why; the others hear of it where they wait for it. */
static dn_status fail(dn_run *run)
{
    const dn_run_agreement *talk = &run->talk;
    if (talk->own == DN_OK)
        return dn_comm_barrier(run->comm);
    if (run->step == 0)
        return dn_fail(talk->own, "%s", talk->message);
    return dn_fail(talk->own, "%.*s; the state after step %llu is saved", DN_MESSAGE_MAX - 64, talk->message,
                   (unsigned long long)run->step);
}

static dn_status fail_skipped(const dn_run *run)
{
    uint64_t good = dn_run_good_step(run);
    char advice[64] = "";
    if (good > 0)
        snprintf(advice, sizeof advice, ", and go on from step %llu, which is saved", (unsigned long long)good);
    return dn_fail(DN_ERR_NUMERIC,
                   "step %llu: losses or gradients of the last %llu steps were not finite; lower lr%s",
                   (unsigned long long)run->step, (unsigned long long)run->n_skipped, advice);
}

/* Whatever the reason to end is, what was done is saved first. */
static dn_status finish(dn_run *run)
{
    DN_TRY(dn_run_keep(run));
    if (run->talk.failed)
        return fail(run);
    if (run->n_skipped == 0 || run->talk.stop) {
        dn_report_end(run);
        return DN_OK;
    }
    return fail_skipped(run);
}

static dn_status run_to_end(dn_run *run)
{
    const dn_config *config = &run->plan.config;
    uint64_t goal = dn_run_goal(run);
    const char *key = goal == (uint64_t)config->num_iterations ? "num_iterations" : "stop_after";
    if (run->step > goal)
        return dn_fail(DN_ERR_CONFIG,
                       "%s holds a run that has made %llu steps, and %s is %llu: set it above %llu to go on, or choose "
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

static dn_status work(const dn_config *config, dn_comm *comm)
{
    dn_plan plan;
    dn_run run;
    DN_TRY(dn_plan_make(config, dn_comm_size(comm), &plan));
    dn_status status = dn_run_open(&run, &plan, comm);
    if (status == DN_OK)
        status = run_to_end(&run);
    else if (status == DN_RUN_DROPPED) {
        dn_report_not_begun(&run);
        status = DN_OK;
    }
    dn_run_close(&run);
    return status;
}

int dn_train_worker(const dn_config *config)
{
    dn_comm *comm = NULL;
    dn_status status = dn_device_select(config->device);
    if (status == DN_OK)
        status = dn_comm_join(0, config->timeout_s, &comm); /* the launcher knows how much */
    if (status == DN_OK && dn_comm_rank(comm) != 0)
        dn_log_set(NULL, NULL); /* what all ranks notice, one tells */
    if (status == DN_OK)
        status = work(config, comm);
    return dn_comm_leave(&comm, status);
}
