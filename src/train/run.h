/*
 * One worker of a training run: everything it holds, from start to end. Built by dn_run_open, used by the
 * step loop in worker.c, taken down by dn_run_close.
 */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include "data/loader.h"
#include "report/metrics.h"
#include "report/progress.h"
#include "report/tensorboard.h"
#include "shm/world.h"
#include "train/instance.h"

/* What a step measured; the same on all ranks but for the statistics. */
typedef struct dn_step_result {
    double loss, seconds;
    double optimizer_s; /* of these seconds: exchange and update, waiting for the others' gradients too */
    double hash;        /* of the weights after it; NaN: not taken */
    dn_step_params step_params;
    dn_step_report report;
    dn_comm_stats stats[DN_N_AXES]; /* of this rank; groups of several axes count with the outermost */
} dn_step_result;

/* What the ranks agree on now and then (agree.c), the same on all but for `own` and `message`. */
typedef struct dn_run_agreement {
    bool stop;     /* a stop was asked for */
    bool save;     /* a save was asked for and is not made yet */
    bool failed;   /* some rank's data cannot be read */
    dn_status own; /* why, on that rank; DN_OK on the others */
    char message[DN_MESSAGE_MAX];
    uint32_t saves;   /* heard of so far; rank 0 */
    uint64_t points;  /* passed since the last agreement of this pass, */
    uint64_t between; /* of which so many lie between two */
    double since_s;
} dn_run_agreement;

typedef struct dn_run {
    dn_plan plan;
    dn_comm *comm; /* borrowed: all workers */
    int rank;
    dn_mesh *mesh;
    dn_stream *stream;
    dn_instance instance;
    dn_tokens *train_tokens, *val_tokens; /* val_tokens NULL: no validation files */
    dn_loader train, val;
    uint64_t step;      /* steps done */
    const char *phase;  /* what the state table says this rank is doing */
    double peak_flops;  /* GEMM peak of all workers together */
    double shown_tokens, shown_s, shown_bytes; /* of the n_shown steps since the last line of progress; rank 0 */
    int n_shown;
    bool told_exchange; /* the line on what a step exchanges is there; rank 0 */
    double state_bytes; /* what the optimizer keeps between steps, on all workers together; rank 0 */
    uint64_t
        n_skipped;     /* steps skipped in a row because something was not finite; the state is that before */
    double val_loss;   /* of the last validation; NaN: there was none */
    uint64_t val_step; /* of the state after this step */
    double best_loss;  /* validation loss of best.safetensors; NaN: there is none; rank 0 */
    bool saved;        /* the state after saved_step is on the disk */
    uint64_t saved_step;
    bool validation_due; /* of the state after run->step, and not made yet */
    dn_step_result last; /* the step made last, */
    bool told;           /* and whether metrics.jsonl has it */
    dn_run_agreement talk;
    dn_metrics *metrics;  /* rank 0 */
    dn_tensorboard *tensorboard; /* rank 0, where the configuration asks for it; else NULL */
    double looked_s;      /* when the disk's room was last looked at; rank 0 */
    bool no_room;         /* what was found; rank 0 */
    dn_progress progress; /* rank 0 */
} dn_run;

/* No failure: what was going on was dropped because the ranks agreed to stop, or that one of them cannot go on.
 * State and run->step are those of the last complete step. */
#define DN_RUN_DROPPED ((dn_status)1)

/** Collective. Allocates, initializes or restores, opens data and metrics. comm is borrowed. On failure *run
 * can (and must) still be closed. DN_RUN_DROPPED: a stop was asked for before there was a state; nothing is restored. */
dn_status dn_run_open(dn_run *run, const dn_plan *plan, dn_comm *comm) DN_MUST_USE;
/** Collective, once, before all other agreements. DN_RUN_DROPPED: to stop. */
dn_status dn_run_agree_to_begin(dn_run *run) DN_MUST_USE;
void dn_run_close(dn_run *run);

/** Collective. One step: micro-batches forward and backward, exchange, update; run->last is what it measured.
 * Where loss or gradient are not finite, state stays as it was (run->n_skipped counts). DN_RUN_DROPPED: nothing
 * was changed. Errors: DN_ERR_NUMERIC, weights that are not finite; those of the groups. */
dn_status dn_run_step(dn_run *run) DN_MUST_USE;

/** Collective. Mean loss over val_tokens, of the consensus where replicas are apart; rows are dealt to the ranks. *loss = NaN without validation data. May
 * return DN_RUN_DROPPED. Errors: DN_ERR_NUMERIC, a loss or weights that are not finite; those of the groups. */
dn_status dn_run_validate(dn_run *run, double *loss) DN_MUST_USE;

/** Collective. Begins a pass over rows of loader, in phase `phase`: between its layers the ranks agree ten times
 * a second whether to go on (dn_run_pass_on is for dn_model_on_progress, its context the run), and a row that cannot
 * be read (dn_run_row is a dn_rows_fn, its context a dn_run_rows) fails no rank alone. dn_run_end_pass agrees once
 * more, and adds up *sum over the ranks. Both may return DN_RUN_DROPPED; at the end only a failure drops the pass,
 * a stop is left in run->talk. */
typedef struct dn_run_rows {
    dn_run *run;
    const dn_loader *loader;
} dn_run_rows;
void dn_run_begin_pass(dn_run *run, const char *phase);
dn_status dn_run_row(void *rows, uint64_t row, int32_t *inputs, int32_t *targets) DN_MUST_USE;
dn_status dn_run_pass_on(void *run, bool together) DN_MUST_USE;
dn_status dn_run_end_pass(dn_run *run, double *sum) DN_MUST_USE;

/** Whether this rank's weights are finite. Not collective. Errors: DN_ERR_NUMERIC naming step and tensor. */
dn_status dn_run_check_weights(dn_run *run) DN_MUST_USE;

/** The step after which the run ends by itself: num_iterations or stop_after. */
static inline uint64_t dn_run_goal(const dn_run *run)
{
    int64_t last = run->plan.config.num_iterations, stop = run->plan.config.stop_after;
    return (uint64_t)(stop > 0 && stop < last ? stop : last);
}

/** The step after which the state is what it is now: steps that were skipped changed nothing. */
static inline uint64_t dn_run_good_step(const dn_run *run)
{
    return run->step - run->n_skipped;
}

/** Collective. Sees to it that what is done is saved, under dn_run_good_step, if it is not: then it is written, with
 * its line of metrics before it. Before the first step there is nothing to save. In mid-pass, too. Errors:
 * DN_ERR_NUMERIC, something to be saved is not finite, and nothing is; those of dn_run_save. */
dn_status dn_run_keep(dn_run *run) DN_MUST_USE;

/** Collective. Fails with DN_ERR_NUMERIC if replicas' weights differ in any bit. *hash = 52 bits of the XXH3
 * of their parts, added; NAN, and nothing is compared, while the strategy has the replicas apart. */
dn_status dn_run_check_replicas(dn_run *run, double *hash) DN_MUST_USE;

/** Collective. Writes the run's checkpoint (rank 0, reading the others' parts in place). If validation followed
 * this very step and never was better, the checkpoint is also the best one. To save, call
 * dn_run_keep. */
dn_status dn_run_save(dn_run *run) DN_MUST_USE;
/** Collective. Goes on from the newest checkpoint in the run's folder, if there is one. */
dn_status dn_run_restore(dn_run *run) DN_MUST_USE;

/** Whether the disk has room for the checkpoints of the run, those that are there and will go deducted; rank
 * 0. Errors: DN_ERR_IO saying what is needed and what is free. */
dn_status dn_run_check_disk(dn_run *run) DN_MUST_USE;
/** The same while the run goes on, at most once a second: says so above the bar when the room is gone, and
 * again when it is back; rank 0. */
void dn_run_monitor_disk(dn_run *run);

/** Enters a phase ("forward and backward"; a string literal) of the step after run->step, for the state
 * table. */
void dn_run_enter(dn_run *run, const char *phase);

/** Progress within the phase, for peers' deadlines. run is a dn_run: the shape of a callback. */
void dn_run_tick(void *run);

#endif
