/* The folder of a run and disk space for its checkpoints: checked before the first step and monitored from
 * then on. */
#include "train/run.h"

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"
#include "checkpoint/checkpoint.h"

enum { HEADER_OF_TENSOR = 256 }; /* bytes of a tensor's description, except for the longest names */

double dn_run_stage_checkpoint_bytes(const dn_run *run)
{
    size_t n_states = dn_instance_n_states(&run->instance);
    size_t n_replicas = (size_t)run->plan.mesh[DN_DP];
    /* of weights: of replicas that differ each one, and their consensus; older versions that clients train */
    size_t older = (size_t)(run->plan.clients.n_out - run->plan.clients.quorum);
    size_t copies = run->plan.strategy->family == DN_AFTER_RULE && n_replicas > 1 ? n_replicas + 1 : 1 + older;
    uint64_t bytes = HEADER_OF_TENSOR * (run->plan.n_params + n_states);
    for (size_t i = 0; i < run->plan.n_params; i++)
        bytes += run->instance.params[i].tensor.rows * run->instance.params[i].tensor.cols * sizeof(dn_real) *
                 copies;
    for (size_t i = 0; i < n_states; i++) {
        const dn_tensor *state = dn_instance_state(&run->instance, i);
        bytes +=
            state->rows * state->cols * dn_type_bytes(state->type) * (state->per_replica ? n_replicas : 1);
    }
    return (double)bytes;
}

/* While a checkpoint is written, the older ones that are kept exist, too, and the best if it is none of them.
 */
static dn_status check_folder(const dn_run *run)
{
    const dn_config *config = &run->plan.config;
    uint64_t end = dn_run_goal(run), freq = (uint64_t)config->checkpoint_freq, n_saves = 0, available = 0;
    if (run->step < end)
        n_saves = freq ? end / freq - run->step / freq + (end % freq != 0) : 1;
    size_t n_files;
    DN_TRY(dn_lock_check(config->checkpoint_dir, &run->lock));
    if (run->saving.busy) /* the file that is being written takes room and does not count yet */
        return DN_OK;
    DN_TRY(dn_checkpoint_count(config->checkpoint_dir, &n_files));
    uint64_t max_files = dn_max((size_t)config->checkpoint_keep, 2) + (config->val_tokens > 0);
    uint64_t needed = dn_min(n_files + n_saves, max_files), n = needed > n_files ? needed - n_files : 0;
    uint64_t bytes = (uint64_t)run->checkpoint_bytes;
    DN_TRY(dn_dir_space(config->checkpoint_dir, &available));
    if (available >= n * bytes)
        return DN_OK;
    return dn_fail(DN_ERR_IO,
                   "%s: checkpoints will need %.1f MB (%llu at once in addition to the existing ones, %.1f "
                   "MB each), only "
                   "%.1f MB are free; free some space, use another checkpoint_dir or lower checkpoint_keep",
                   config->checkpoint_dir, (double)(n * bytes) * 1e-6, (unsigned long long)n,
                   (double)bytes * 1e-6, (double)available * 1e-6);
}

dn_status dn_run_check_disk(dn_run *run)
{
    if (run->rank != 0)
        return DN_OK;
    DN_TRY(dn_lock_identify(run->plan.config.checkpoint_dir, &run->lock));
    return check_folder(run);
}

void dn_run_monitor_disk(dn_run *run)
{
    double now = dn_clock_s();
    if (now - run->checked_s < 1)
        return;
    run->checked_s = now;
    bool fails = check_folder(run) != DN_OK;
    if (fails && !run->cannot_save)
        dn_progress_line(&run->progress, "warning: %s", dn_error_message());
    if (!fails && run->cannot_save)
        dn_progress_line(&run->progress, "checkpoints can be saved again");
    run->cannot_save = fails;
}
