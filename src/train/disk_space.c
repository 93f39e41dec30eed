/* Room on the disk for the checkpoints of a run: asked for before the first step, and watched from then on. */
#include "train/run.h"

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/fail.h"
#include "checkpoint/checkpoint.h"

enum { HEADER_OF_TENSOR = 256 }; /* bytes that describe a tensor in the file, at most but for the longest names */

static uint64_t checkpoint_bytes(const dn_run *run)
{
    size_t n_states = dn_instance_n_states(&run->instance);
    size_t n_replicas = (size_t)run->plan.mesh[DN_DP];
    /* of weights: replicas may be apart, and their consensus is written, too */
    size_t copies = run->plan.strategy->local && n_replicas > 1 ? n_replicas + 1 : 1;
    uint64_t bytes = HEADER_OF_TENSOR * (run->plan.n_params + n_states);
    for (size_t i = 0; i < run->plan.n_params; i++)
        bytes += run->instance.params[i].rows * run->instance.params[i].cols * sizeof(dn_real) * copies;
    for (size_t i = 0; i < n_states; i++) {
        const dn_tensor *state = dn_instance_state(&run->instance, i);
        bytes +=
            state->rows * state->cols * dn_type_bytes(state->type) * (state->per_replica ? n_replicas : 1);
    }
    return bytes;
}

/* Checkpoints that are still to be written. */
static uint64_t n_saves(const dn_run *run)
{
    const dn_config *config = &run->plan.config;
    uint64_t end = dn_run_goal(run), freq = (uint64_t)config->checkpoint_freq;
    if (run->step >= end)
        return 0;
    return freq ? end / freq - run->step / freq + (end % freq != 0) : 1;
}

/* How many files more than now there will be at once: while one is written the older ones that stay are there,
 * and the best, if it is none of them. */
static dn_status n_files_more(const dn_run *run, uint64_t *n)
{
    size_t there;
    DN_TRY(dn_checkpoint_count(run->plan.config.checkpoint_dir, &there));
    uint64_t keep = (uint64_t)run->plan.config.checkpoint_keep;
    uint64_t most = (keep > 2 ? keep : 2) + (run->plan.config.val_tokens > 0), wanted = there + n_saves(run);
    if (wanted > most)
        wanted = most;
    *n = wanted > there ? wanted - there : 0;
    return DN_OK;
}

static dn_status look(dn_run *run)
{
    uint64_t n = 0, bytes = checkpoint_bytes(run), available = 0;
    const char *dir = run->plan.config.checkpoint_dir;
    DN_TRY(dn_lock_check(dir, &run->lock));
    DN_TRY(n_files_more(run, &n));
    DN_TRY(dn_dir_space(dir, &available));
    if (available >= n * bytes)
        return DN_OK;
    return dn_fail(DN_ERR_IO,
                   "%s: the checkpoints to come need %.1f MB (%llu at once beside those that are there, %.1f MB "
                   "each), only %.1f MB are free; free some space, choose another checkpoint_dir or lower "
                   "checkpoint_keep",
                   dir, (double)(n * bytes) * 1e-6, (unsigned long long)n, (double)bytes * 1e-6,
                   (double)available * 1e-6);
}

dn_status dn_run_check_disk(dn_run *run)
{
    if (run->rank != 0)
        return DN_OK;
    DN_TRY(dn_lock_identify(run->plan.config.checkpoint_dir, &run->lock));
    return look(run);
}

void dn_run_monitor_disk(dn_run *run)
{
    double now = dn_clock_s();
    if (now - run->looked_s < 1)
        return;
    run->looked_s = now;
    bool gone = look(run) != DN_OK;
    if (gone && !run->no_room)
        dn_progress_line(&run->progress, "warning: %s", dn_error_message());
    if (!gone && run->no_room)
        dn_progress_line(&run->progress, "checkpoints can be saved again");
    run->no_room = gone;
}
