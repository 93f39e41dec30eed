/*
 * The state of one worker in a training run. Created by dn_run_open, used by the step loop in worker.c,
 * destroyed by dn_run_close.
 */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include "base/lock.h"
#include "data/loader.h"
#include "report/metrics.h"
#include "report/progress.h"
#include "report/tensorboard.h"
#include "shm/world.h"
#include "train/client_rows.h"
#include "train/instance.h"
#include "train/saving.h"

/* The results of a step; the same on all ranks, except for stats. */
typedef struct dn_step_result {
    double loss, seconds;
    size_t counted; /* targets of the batch that count; 0: the step was skipped */
    double optimizer_s; /* of these: exchange and update, including the wait for other ranks' gradients */
    double hash;        /* of the weights after the step; NaN: not computed */
    dn_step_params step_params;
    dn_step_report report;
    dn_comm_stats stats[DN_N_AXES]; /* of this rank; several axes count with the outermost */
    dn_comm_stats across;           /* of those of dp: between islands of replicas */
    double link_s;                  /* slept on emulated links */
    double wait_dp_s;               /* that exchanges over dp were awaited beside that, by the rank that came to them last */
    double tokens;                  /* trained */
    dn_client_result clients;       /* of a run with clients */
    double wait_s;                  /* that this stage of a pipeline waited for its neighbours */
    double staleness;               /* updates of the stage while a micro-batch was in flight, on average */
} dn_step_result;

/* What the ranks agree on periodically (agree.c); the same on all, except for `own` and `message`. */
typedef struct dn_run_agreement {
    bool stop;     /* a stop was requested */
    bool save;     /* a save was requested and is not done yet */
    bool failed;   /* some rank could not read its data */
    dn_status own; /* why, on that rank; DN_OK on the others */
    char message[DN_MESSAGE_MAX];
    uint32_t saves;   /* requests seen so far; rank 0 */
    uint64_t points;  /* progress points since the last agreement of this pass, */
    uint64_t between; /* and number of them between two agreements */
    double since_s;
} dn_run_agreement;

typedef struct dn_run {
    dn_plan plan;
    dn_comm *comm; /* borrowed: all workers */
    int rank;
    dn_mesh *mesh;
    dn_stream *stream;
    dn_instance instance;
    uint64_t tokenizer; /* whose ids the tokens are: its hash; 0: unknown, or bytes */
    dn_tokens *train_tokens, *val_tokens; /* val_tokens NULL: no validation files */
    dn_loader train, val;
    dn_client_rows client_rows; /* of a run with clients */
    uint64_t step;     /* steps done */
    const char *phase; /* in the state table */
    dn_flop_limits limits; /* of all workers together */
    double shown_tokens, shown_s,
        shown_bytes; /* of the n_shown steps since the last line of progress; rank 0 */
    int n_shown;
    bool reported_exchange; /* the line on the exchange per step was printed; rank 0 */
    double state_bytes;     /* of the optimizer's states, on all workers together */
    double checkpoint_bytes;
    bool learned;           /* some step so far had a target that counts */
    uint64_t n_skipped;     /* consecutive steps skipped as something was not finite; state unchanged since */
    double val_loss;        /* of the last validation; NaN: there was none */
    uint64_t val_step;      /* of the state after this step */
    double best_loss;       /* validation loss of best.safetensors; NaN: there is none; rank 0 */
    bool saved;             /* the state after saved_step is on disk, or being brought there */
    uint64_t saved_step;
    bool validation_due; /* for the state after run->step, not done yet */
    dn_step_result last; /* the last step, */
    bool reported;       /* and whether it was reported in metrics.jsonl */
    dn_run_agreement agreement;
    dn_metrics *metrics;         /* rank 0 */
    dn_tensorboard *tensorboard; /* rank 0, where the configuration asks for it; else NULL */
    double checked_s;            /* time of the last check of the folder and its disk space; rank 0 */
    bool cannot_save;            /* its result; rank 0 */
    dn_lock_id lock;             /* of checkpoint_dir, which the launcher holds; rank 0 */
    dn_saving saving;            /* the checkpoint that a thread brings to disk, if busy; rank 0 */
    dn_progress progress;        /* rank 0 */
} dn_run;

/** Collective. Allocates, initializes or restores, opens data and metrics. comm is borrowed. On failure *run
 * must still be closed. DN_RUN_DROPPED: a stop was requested before there was a state; nothing is restored.
 */
dn_status dn_run_open(dn_run *run, const dn_plan *plan, dn_comm *comm) DN_MUST_USE;
/** Collective, before the first pass. DN_RUN_DROPPED: to stop. */
dn_status dn_run_agree_to_begin(dn_run *run) DN_MUST_USE;
void dn_run_close(dn_run *run);

/** Collective. One step: micro-batches forward and backward, exchange, update; fills run->last. If
 * loss or gradient are not finite, the step is skipped: the state is unchanged (run->n_skipped counts).
 * DN_RUN_DROPPED: nothing was changed. Errors: DN_ERR_NUMERIC: weights that are not finite; those of the
 * communicators. */
dn_status dn_run_step(dn_run *run) DN_MUST_USE;

/** Learning rate and weight decay of a step, by the schedules. */
dn_step_params dn_run_step_params(const dn_run *run, uint64_t step);

/** Collective. Mean loss over val_tokens, of the consensus if replicas differ; rows are split over the ranks.
 * *loss = NaN without validation data. May return DN_RUN_DROPPED. Errors: DN_ERR_NUMERIC: a loss or weights
 * that are not finite; those of the communicators. */
dn_status dn_run_validate(dn_run *run, double *loss) DN_MUST_USE;

/** Collective. Begins a pass over rows of a loader, in phase `phase`. Between layers the ranks agree ten
 * times a second whether to continue (dn_run_pass_on, for dn_model_on_progress; its context is the run). A
 * row that cannot be read (dn_run_row, a dn_rows_fn; its context is a dn_run_rows) fails on all ranks
 * together. dn_run_end_pass agrees once more, and sums *sum over the ranks; dn_run_end_step does so behind a step, and *least becomes
 * the least of all ranks'. All may return DN_RUN_DROPPED;
 * at the end only a failure abandons the pass, while a stop is only recorded in run->agreement. */
typedef struct dn_run_rows {
    dn_run *run;
    const dn_loader *loader;
} dn_run_rows;
void dn_run_begin_pass(dn_run *run, const char *phase);
dn_status dn_run_row(void *rows, uint64_t row, int32_t *inputs, int32_t *targets) DN_MUST_USE;
/* The targets that count in n rows: where they cannot be read, an error as of a row. */
size_t dn_run_counted(const dn_run_rows *rows, uint64_t first, size_t n);
dn_status dn_run_pass_on(void *run, bool together) DN_MUST_USE;
/* The same of a pass that this rank makes alone: it sees a stop by itself. */
dn_status dn_run_pass_on_alone(void *run, bool together) DN_MUST_USE;
/* The same for stages of a pipeline, which agree before each micro-batch: a dn_pipeline_gate_fn, whose context is the run, and
 * what the pass then returns, after all stages have agreed why. */
dn_status dn_run_gate(void *run) DN_MUST_USE;
dn_status dn_run_after_gate(dn_run *run, dn_status status) DN_MUST_USE;
dn_status dn_run_end_pass(dn_run *run, double *sum) DN_MUST_USE;
dn_status dn_run_end_step(dn_run *run, double *least) DN_MUST_USE;

/** Whether this rank's weights and states are finite. Not collective. Errors: DN_ERR_NUMERIC naming step and
 * tensor. */
dn_status dn_run_check_finite(dn_run *run) DN_MUST_USE;

/** The last step of the run: num_iterations or stop_after. */
static inline uint64_t dn_run_goal(const dn_run *run)
{
    int64_t last = run->plan.config.num_iterations, stop = run->plan.config.stop_after;
    return (uint64_t)(stop > 0 && stop < last ? stop : last);
}

/** Complete, stopped or failed. Single skipped steps are tolerated, many in a row are a failure. */
bool dn_run_over(const dn_run *run);

/** Rows of a validation: val_tokens, or all. */
size_t dn_run_val_rows(const dn_run *run);

/** The last step that changed the state: skipped steps do not. */
static inline uint64_t dn_run_good_step(const dn_run *run)
{
    return run->step - run->n_skipped;
}

/** Collective. Saves the current state as dn_run_good_step, unless it is saved already; its line of
 * metrics.jsonl is written first. Before the first step there is nothing to save. May be called during a
 * pass. Errors: DN_ERR_NUMERIC: something is not finite, and nothing was saved; those of dn_run_save. */
dn_status dn_run_keep(dn_run *run) DN_MUST_USE;

/** Rank 0: what became of the checkpoint that a thread brings to disk, if that is over. Errors: those of
 * dn_checkpoint_write. */
dn_status dn_run_look_at_saving(dn_run *run) DN_MUST_USE;
/** Collective. Waits until it is over. */
dn_status dn_run_settle(dn_run *run) DN_MUST_USE;

/** Collective. Checks that replicas' weights are bitwise equal, else DN_ERR_NUMERIC. *hash = 52 bits of the
 * summed XXH3 of their blocks; NAN, without a comparison, while the strategy lets replicas differ. */
dn_status dn_run_check_replicas(dn_run *run, double *hash) DN_MUST_USE;

/** Collective. Writes the run's checkpoint, if its folder is still the run's (dn_lock_check). If this step was validated
 * with the lowest loss so far, it also becomes the best checkpoint. While the run goes on, that is done by a thread, where
 * memory allows a copy: its errors are those of dn_run_look_at_saving and dn_run_settle, and it settles an earlier one
 * first. Call dn_run_keep to save. */
dn_status dn_run_save(dn_run *run) DN_MUST_USE;
/** Collective. Restores the newest checkpoint in the run directory, if there is one. DN_RUN_DROPPED: a stop was
 * requested meanwhile; the state is good for nothing. */
dn_status dn_run_restore(dn_run *run) DN_MUST_USE;

/** Bytes of this stage's tensors in a checkpoint. */
double dn_run_stage_checkpoint_bytes(const dn_run *run);

/** Checks that the disk has space for the run's checkpoints, counting as free those that will be removed, and
 * notes whose the run's folder is; rank 0. Errors: DN_ERR_IO naming what is needed and what is free. */
dn_status dn_run_check_disk(dn_run *run) DN_MUST_USE;
/** The same during the run, at most once a second, and that the folder is still the run's: prints a line above the
 * bar when a checkpoint could not be saved, and when it can be again; rank 0. */
void dn_run_monitor_disk(dn_run *run);

/** Enters a phase ("forward and backward"; a string literal) of the step after run->step, for the state
 * table. */
void dn_run_enter(dn_run *run, const char *phase);

/** Progress within the phase, for peers' deadlines. run is a dn_run, as this is a callback. */
void dn_run_tick(void *run);

#endif
