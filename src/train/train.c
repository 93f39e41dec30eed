/* The launcher's side of a run. No arithmetic here: nothing may start OpenMP or BLAS before the workers
 * exist. */
#include "train/train.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/lock.h"
#include "checkpoint/checkpoint.h"
#include "data/tokens.h"
#include "dionode/launch.h"
#include "shm/limits.h"
#include "train/plan.h"

#include <unistd.h>

/* Opens and closes the data, so that a missing or broken file is one plain line before any worker starts. */
static dn_status check_files(const dn_config *config, bool validation)
{
    dn_tokens *tokens;
    DN_TRY(dn_plan_tokens(config, validation, &tokens));
    dn_tokens_close(&tokens);
    return DN_OK;
}

/* The arenas' room is checked where they are made; here everything together, with what could be made smaller.
 */
static dn_status check_memory(const dn_plan *plan)
{
    double need = (double)plan->n_workers * ((double)plan->arena_bytes + (double)plan->private_bytes);
    double have = (double)dn_limits_memory("");
    if (need <= have)
        return DN_OK;
    return dn_fail(DN_ERR_MEMORY,
                   "%d workers need %.1f GB each (%.1f GB shared, %.1f GB for activations) and %.1f GB in "
                   "all, but %.1f GB "
                   "are available; use fewer workers, a smaller device_batch_size or a smaller model",
                   plan->n_workers, need / plan->n_workers * 1e-9, (double)plan->arena_bytes * 1e-9,
                   (double)plan->private_bytes * 1e-9, need * 1e-9, have * 1e-9);
}

static dn_status check(const dn_plan *plan)
{
    DN_TRY(check_files(&plan->config, false));
    if (plan->config.val_tokens > 0)
        DN_TRY(check_files(&plan->config, true));
    return check_memory(plan);
}

/* The launcher holds the folder, over all restarts: of workers it is known that they die with it. */
static dn_status take_folder(const dn_config *config, dn_lock *lock)
{
    char newest[DN_PATH_MAX + 64], best[DN_PATH_MAX + 64];
    bool found;
    DN_TRY(dn_dir_make(config->checkpoint_dir));
    DN_TRY(dn_lock_take(config->checkpoint_dir, lock));
    dn_checkpoint_clean(config->checkpoint_dir);
    DN_TRY(dn_checkpoint_latest(config->checkpoint_dir, newest, sizeof newest, &found));
    DN_TRY(dn_checkpoint_best(config->checkpoint_dir, best, sizeof best));
    if (found || access(best, F_OK) != 0)
        return DN_OK;
    return dn_fail(DN_ERR_CHECKPOINT,
                   "%s is of an earlier run, and a new one would replace it: move it away, or choose another "
                   "checkpoint_dir",
                   best);
}

dn_status dn_train(const dn_config *config, int n_workers, int max_restarts, char *const *argv,
                   int *signal_out)
{
    return dn_train_observed(config, n_workers, max_restarts, argv, &(dn_train_observer){0}, signal_out);
}

dn_status dn_train_observed(const dn_config *config, int n_workers, int max_restarts, char *const *argv,
                            const dn_train_observer *watch, int *signal_out)
{
    int asked = n_workers;
    dn_topo *topo;
    if (!asked)
        DN_TRY(dn_plan_mesh(config, &asked));
    DN_TRY(dn_topo_create(asked, &topo));
    dn_plan plan;
    dn_lock lock = {0};
    dn_status status = dn_plan_make(config, dn_topo_n_workers(topo), &plan);
    if (status == DN_OK)
        status = check(&plan);
    if (status == DN_OK)
        status = take_folder(config, &lock);
    if (status == DN_OK) {
        dn_topo_warn(topo);
        dn_launch_spec spec = {.topo = topo,
                               .argv = argv,
                               .arena_bytes = plan.arena_bytes,
                               .deadline_s = config->timeout_s,
                               .max_restarts = max_restarts,
                               .error_output = watch->error_output,
                               .progress = watch->progress,
                               .progress_context = watch->context};
        status = dn_launch(&spec, signal_out);
    }
    dn_lock_release(&lock);
    dn_topo_destroy(&topo);
    return status;
}
