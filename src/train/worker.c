/* The life of a worker: attach, open the run, step until the end or a stop, save, report. */
#include "dionode/train.h"

#include "base/fail.h"
#include "dionode/comm.h"
#include "train/report.h"
#include "train/run.h"

#include <math.h>

static bool due(uint64_t step, int64_t every, bool last)
{
    return last || (every > 0 && step % (uint64_t)every == 0);
}

static bool reached(const dn_run *run, int64_t step)
{
    return run->step >= (uint64_t)step;
}

static bool ended(const dn_run *run)
{
    const dn_config *config = &run->plan.config;
    return reached(run, config->num_iterations) || (config->stop_after && reached(run, config->stop_after));
}

/* One turn of the loop: a step, and what falls due after it. *done: nothing is left to do. */
static dn_status advance(dn_run *run, bool *done)
{
    const dn_config *config = &run->plan.config;
    dn_step_result result = {0};
    double val_loss = NAN, hash = NAN;
    DN_TRY(dn_run_step(run, &result));

    *done = result.stop || ended(run);
    if (due(run->step, config->val_loss_every, reached(run, config->num_iterations)))
        DN_TRY(dn_run_validate(run, &val_loss));
    if (due(run->step, config->hash_every, *done))
        DN_TRY(dn_run_check_replicas(run, &hash));
    DN_TRY(dn_report_step(run, &result, val_loss, hash));
    if (due(run->step, config->checkpoint_freq, *done))
        DN_TRY(dn_run_save(run));
    return DN_OK;
}

static dn_status run_to_end(dn_run *run)
{
    dn_report_begin(run);
    bool done = ended(run);
    while (!done)
        DN_TRY(advance(run, &done));
    dn_report_end(run);
    return DN_OK;
}

static dn_status work(const dn_config *config, dn_comm *comm)
{
    dn_plan plan;
    dn_run run;
    DN_TRY(dn_plan_make(config, dn_comm_size(comm), &plan));
    dn_status status = dn_run_open(&run, &plan, comm);
    if (status == DN_OK)
        status = run_to_end(&run);
    dn_run_close(&run);
    return status;
}

int dn_train_worker(const dn_config *config)
{
    dn_comm *comm;
    dn_status status = dn_comm_join(0, config->timeout_s, &comm); /* the launcher knows how much */
    if (status == DN_OK && dn_comm_rank(comm) != 0)
        dn_log_set(NULL, NULL); /* what all ranks notice, one tells */
    if (status == DN_OK)
        status = work(config, comm);
    return dn_comm_leave(&comm, status);
}
