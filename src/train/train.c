/* The launcher's side of a run. No arithmetic here: nothing may start OpenMP or BLAS before the workers
 * exist. */
#include "train/train.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/human.h"
#include "base/lock.h"
#include "base/printable.h"
#include "checkpoint/checkpoint.h"
#include "data/tokens.h"
#include "device/place.h"
#include "dionode/launch.h"
#include "shm/limits.h"
#include "train/init.h"
#include "train/stored_run.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dn_status check_files(const dn_config *config, bool validation, uint64_t tokenizer)
{
    dn_tokens *tokens;
    DN_TRY(dn_plan_tokens(config, validation, &tokens));
    dn_status status = dn_plan_same_tokenizer(tokenizer, dn_tokens_origin_of(tokens).tokenizer,
                                              validation ? "validation files" : "training files");
    dn_tokens_close(&tokens);
    return status;
}

/* Arenas are checked where they are created; here everything together, with what to reduce. */
static dn_status check_memory(const dn_plan *plan)
{
    double need = (double)plan->n_workers * ((double)plan->arena_bytes + (double)plan->private_bytes);
    double have = (double)dn_limits_memory("");
    char each[24], shared[24], private[24], all[24], available[24];
    if (need <= have)
        return DN_OK;
    return dn_fail(
        DN_ERR_MEMORY,
        "%d worker%s of %s each (%s shared, %s for activations) need %s in all, but %s are available; "
        "use fewer workers, a smaller device_batch_size or a smaller model",
        plan->n_workers, dn_plural(plan->n_workers), dn_human_size(need / plan->n_workers, each, sizeof each),
        dn_human_size((double)plan->arena_bytes, shared, sizeof shared),
        dn_human_size((double)plan->private_bytes, private, sizeof private),
        dn_human_size(need, all, sizeof all), dn_human_size(have, available, sizeof available));
}

/* The launcher holds the lock over all restarts; workers die with it. */
static dn_status lock_folder(const dn_config *config, dn_lock *lock)
{
    char newest[DN_PATH_MAX + 64], best[DN_PATH_MAX + 64];
    bool found;
    struct stat dir, root;
    if (stat("/", &root) == 0 && stat(config->checkpoint_dir, &dir) == 0 && dir.st_dev == root.st_dev &&
        dir.st_ino == root.st_ino) /* $UNSET/ */
        return dn_fail(DN_ERR_CONFIG, "checkpoint_dir: %s is the root of the file system; name a folder for this run's files",
                       config->checkpoint_dir);
    DN_TRY(dn_dir_make(config->checkpoint_dir));
    DN_TRY(dn_lock_take(config->checkpoint_dir, lock));
    dn_checkpoint_clean(config->checkpoint_dir);
    DN_TRY(dn_checkpoint_latest(config->checkpoint_dir, newest, sizeof newest, &found));
    DN_TRY(dn_checkpoint_best(config->checkpoint_dir, best, sizeof best));
    if (found || access(best, F_OK) != 0)
        return DN_OK;
    return dn_fail(DN_ERR_CHECKPOINT,
                   "%s is of an earlier run and would be replaced: move it away, or use another "
                   "checkpoint_dir",
                   best);
}

dn_status dn_train_prepare(const dn_plan *plan, dn_lock *lock)
{
    const dn_config *config = &plan->config;
    uint64_t tokenizer = 0;
    if (*config->init_from)
        DN_TRY(dn_init_tokenizer(config, &tokenizer));
    DN_TRY(check_files(config, false, tokenizer));
    if (config->val_tokens > 0)
        DN_TRY(check_files(config, true, tokenizer));
    return lock_folder(config, lock);
}

dn_status dn_train(const dn_config *config, int n_workers, int max_restarts, char *const *argv,
                   int *signal_out)
{
    return dn_train_observed(config, n_workers, max_restarts, argv, &(dn_train_observer){0}, signal_out);
}

/* Before there are workers. */
static dn_status check_islands(const dn_plan *plan, const dn_topo *topo)
{
    dn_strategy_config config = plan->strategy_config;
    int domains[DN_MAX_RANKS], nodes[DN_MAX_RANKS] = {0}; /* one */
    for (int rank = 0; rank < plan->n_workers; rank++)
        domains[rank] = dn_topo_place(topo, rank)->numa;
    return dn_strategy_place_islands(plan->strategy, &config, plan->mesh, domains, nodes);
}

void dn_train_warn(const dn_topo *topo)
{
    static atomic_int told;
    const int n = dn_topo_n_workers(topo);
    if (atomic_exchange(&told, n) != n)
        dn_topo_warn(topo);
}

dn_status dn_train_observed(const dn_config *config, int n_workers, int max_restarts, char *const *argv,
                            const dn_train_observer *observer, int *signal_out)
{
    int n = n_workers;
    dn_topo *topo;
    if (!n)
        DN_TRY(dn_plan_mesh(config, &n));
    DN_TRY(dn_topo_create(n, &topo));
    dn_device_place(config->device, topo);
    dn_plan plan;
    dn_lock lock = {0};
    size_t existing = dn_dir_existing(config->checkpoint_dir);
    dn_status status = dn_plan_run(config, dn_topo_n_workers(topo), &plan);
    if (status == DN_OK)
        status = check_islands(&plan, topo);
    if (status == DN_OK)
        status = check_memory(&plan);
    if (status == DN_OK)
        status = dn_train_prepare(&plan, &lock);
    if (status == DN_OK) {
        dn_train_warn(topo);
        dn_launch_spec spec = {.topo = topo,
                               .argv = argv,
                               .arena_bytes = plan.arena_bytes,
                               .deadline_s = config->timeout_s,
                               .max_restarts = max_restarts,
                               .error_output = observer->error_output,
                               .progress = observer->progress,
                               .progress_context = observer->context};
        status = dn_launch(&spec, signal_out);
    }
    dn_lock_release(&lock);
    dn_topo_destroy(&topo);
    if (status != DN_OK)
        dn_dir_remove_made(config->checkpoint_dir, existing);
    return status;
}
