/* What is saved, and when: the state after the last step that counted, once, and never a number that is not
 * finite. */
#include "train/run.h"

#include "base/fail.h"
#include "train/finite.h"
#include "train/report.h"

#include <math.h>
#include <stdio.h>

dn_status dn_run_check_finite(dn_run *run)
{
    char where[64];
    snprintf(where, sizeof where, "step %llu", (unsigned long long)run->step);
    return dn_finite_check(&run->instance, where, "resume from the last checkpoint, with a lower lr",
                           dn_run_tick, run);
}

/* Rank 0. Of what is over nothing is left but an error. */
static dn_status conclude(dn_run *run, void (*tick)(void *))
{
    dn_saving *s = &run->saving;
    if (!s->busy || !dn_saving_over(s, tick, run))
        return DN_OK;
    if (s->status != DN_OK)
        return dn_fail(s->status, "%s", s->message);
    if (s->asked)
        dn_report_saved(run);
    return DN_OK;
}

dn_status dn_run_look_at_saving(dn_run *run)
{
    return conclude(run, NULL);
}

dn_status dn_run_settle(dn_run *run)
{
    dn_run_enter(run, "saving checkpoint");
    DN_TRY(conclude(run, dn_run_tick));
    return dn_comm_barrier(run->comm);
}

dn_status dn_run_keep(dn_run *run)
{
    const char *phase = run->phase;
    bool asked = run->agreement.save;
    uint64_t step = dn_run_good_step(run);
    run->agreement.save = false;
    if (step == 0 || (run->saved && run->saved_step == step))
        return DN_OK;
    DN_TRY(dn_report_step(run, NAN)); /* a checkpoint is not published before its line of metrics */
    dn_run_enter(run, "checking");
    DN_TRY(dn_run_check_finite(run));
    DN_TRY(dn_run_save(run));
    dn_run_enter(run, phase);
    run->saved = true;
    run->saved_step = step;
    run->saving.asked = asked;
    if (asked && !run->saving.busy)
        dn_report_saved(run);
    return DN_OK;
}
