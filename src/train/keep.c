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
    if (run->rank == 0)
        dn_comm_report_saved(run->comm, step);
    if (asked)
        dn_report_saved(run);
    return DN_OK;
}
