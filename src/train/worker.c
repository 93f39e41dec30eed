/* The training loop of a worker: join, open the run, steps until the end or a stop, save, report. */
#include "dionode/train.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/human.h"
#include "base/lock.h"
#include "base/size.h"
#include "comm/world.h"
#include "device/device.h"
#include "dionode/comm.h"
#include "dionode/launch.h"
#include "train/alike.h"
#include "train/report.h"
#include "train/run.h"
#include "train/stored_run.h"
#include "train/train.h"

#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static bool due(uint64_t step, int64_t every, bool last)
{
    return last || (every > 0 && step % (uint64_t)every == 0);
}

bool dn_run_over(const dn_run *run)
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

    if (due(run->step, config->hash_every, dn_run_over(run)))
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
    DN_TRY(dn_run_settle(run));
    DN_TRY(dn_instance_settle(&run->instance));
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
    while (!dn_run_over(run))
        DN_TRY(advance(run));
    return finish(run);
}

/* Every rank computes all of fs and tp many times a step: between nodes that would take longer than the arithmetic. */
static dn_status check_nodes(const dn_plan *plan, const dn_comm *comm)
{
    const int size = plan->mesh[DN_FS] * plan->mesh[DN_TP];
    if (plan->strategy->clients && dn_comm_n_nodes(comm) > 1)
        return dn_fail(DN_ERR_CONFIG, "strategy %s: clients are trained by workers of one node, which read each other's weights in place; "
                       "this run is on %d", plan->strategy->name, dn_comm_n_nodes(comm));
    int rank = dn_comm_torn(comm, plan->n_workers, size), first = rank / size * size;
    if (rank >= 0)
        return dn_fail(DN_ERR_CONFIG,
                       "ranks %d and %d share weights (fs_size %d, tp_size %d), but are on nodes %d and %d: with that, %.1f "
                       "MiB of weights and gradients would cross the network several times a step. Give each node a "
                       "multiple of %d ranks, or make fs_size and tp_size smaller: replicas (dp_size) may be on different "
                       "nodes",
                       first, rank, plan->mesh[DN_FS], plan->mesh[DN_TP], dn_comm_node(comm, first), dn_comm_node(comm, rank),
                       (double)plan->parameter_bytes / (1 << 20), size);
    const int replica = size * plan->mesh[DN_PP];
    rank = dn_comm_torn(comm, plan->n_workers, replica);
    first = rank / replica * replica;
    if (rank < 0)
        return DN_OK;
    char bytes[32]; /* over each boundary of stages: the stream of every token of the replica, and its gradient */
    dn_human(2.0 * (double)plan->config.batch_size / plan->mesh[DN_DP] * (double)plan->spec.T * (double)plan->spec.C * sizeof(dn_real), "B",
             bytes, sizeof bytes);
    return dn_fail(DN_ERR_CONFIG, /* messages are not posted between nodes yet */
                   "ranks %d and %d are stages of one replica (pp_size %d), but on nodes %d and %d: with that, %s of activations and their "
                   "gradients would cross the network in every step of a replica. Give each node a multiple of %d ranks, or make pp_size "
                   "smaller: stages are inside one node",
                   first, rank, plan->mesh[DN_PP], dn_comm_node(comm, first), dn_comm_node(comm, rank), bytes, replica);
}

/* What Dionode's launcher does before a worker exists is done here where another launcher started all ranks: the heap is
 * sized by the plan. One rank speaks for all. */
static dn_status plan_rank(const dn_config *config, dn_plan *plan, size_t *heap_bytes)
{
    int n;
    DN_TRY(dn_comm_world_size(config->timeout_s, &n));
    DN_TRY(dn_plan_run(config, n, plan));
    *heap_bytes = plan->arena_bytes;
    return DN_OK;
}

/* The processors that this rank was bound to, by its launcher or when it joined, are its threads'. */
static dn_status begin_rank(const dn_config *config, const dn_plan *plan, dn_comm *comm, dn_lock *lock)
{
    char threads[16];
    cpu_set_t here;
    if (sched_getaffinity(0, sizeof here, &here) == 0) {
        snprintf(threads, sizeof threads, "%d", CPU_COUNT(&here));
        setenv("OMP_NUM_THREADS", threads, false);
    }
    dn_comm_take_signals(comm);
    DN_TRY(dn_alike_settings(config, comm));
    DN_TRY(check_nodes(plan, comm));
    if (dn_comm_rank(comm) == 0)
        DN_TRY(dn_train_prepare(plan, lock));
    return dn_comm_barrier(comm); /* nobody looks into the folder before it is locked and clean */
}

int dn_train_worker(const dn_config *config)
{
    const bool launched = dn_launch_is_worker();
    dn_plan plan;
    dn_run run;
    dn_lock lock = {0};
    dn_comm *comm = NULL;
    size_t heap_bytes = 0; /* where no launcher of ours sizes the heap */
    const size_t existing = launched ? SIZE_MAX : dn_dir_existing(config->checkpoint_dir); /* the launcher cleans up */
    void *log_context;
    const dn_log_fn log = dn_log_get(&log_context);
    dn_status status = dn_device_select(config->device, config->device_debug);
    if (status == DN_OK && (!launched || dn_device_is_apart()))
        status = plan_rank(config, &plan, &heap_bytes);
    if (status == DN_OK && dn_device_is_apart())
        dn_device_expect(dn_size_add(plan.arena_bytes, plan.private_bytes));
    if (status == DN_OK)
        status = dn_comm_join(launched ? 0 : heap_bytes, config->timeout_s, &comm);
    if (status == DN_OK && dn_comm_rank(comm) != 0)
        dn_log_set(NULL, NULL); /* warnings are the same on all ranks */
    if (status == DN_OK)
        status = dn_plan_run(config, dn_comm_size(comm), &plan);
    if (status == DN_OK && !launched)
        status = begin_rank(config, &plan, comm, &lock);
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
    dn_lock_release(&lock);
    if (status != DN_OK)
        dn_dir_remove_made(config->checkpoint_dir, existing);
    if (!launched && status != DN_OK && status != DN_ERR_PEER) /* no launcher reports the cause, and rank 0 may not live */
        dn_log_set(log, log_context);
    const int stop = comm && !launched ? dn_comm_stop_requested(comm) : 0;
    const int exit_status = dn_comm_leave(&comm, status);
    return exit_status == 0 && stop ? 128 + stop : exit_status; /* as the launcher's */
}
