/*
 * One worker of a training run: everything it holds, from start to end. Built by dn_run_open, used by the
 * step loop in worker.c, taken down by dn_run_close.
 */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include "data/loader.h"
#include "report/metrics.h"
#include "report/progress.h"
#include "train/net.h"

typedef struct dn_run {
    dn_plan plan;
    dn_comm *comm; /* borrowed: all workers */
    int rank;
    dn_mesh *mesh;
    dn_stream *stream;
    dn_net net;
    dn_tokens *train_tokens, *val_tokens; /* val_tokens NULL: no validation files */
    dn_loader train, val;
    uint64_t step;        /* steps done */
    const char *phase;    /* what the state table says this rank is doing */
    double peak_flops;    /* GEMM peak of all workers together */
    double state_bytes;   /* what the optimizer keeps between steps, on all workers together; rank 0 */
    int n_skipped;        /* steps skipped in a row for gradients that were not finite */
    double val_loss;      /* of the last validation; NaN: there was none */
    uint64_t val_step;    /* after which it was */
    double best_loss;     /* validation loss of best.safetensors; NaN: there is none; rank 0 */
    dn_metrics *metrics;  /* rank 0 */
    double looked_s;      /* when the disk's room was last looked at; rank 0 */
    bool no_room;         /* what was found; rank 0 */
    dn_progress progress; /* rank 0 */
} dn_run;

/* What a step measured; the same on all ranks but for the ledgers. */
typedef struct dn_step_result {
    double loss, seconds;
    double optimizer_s; /* of these seconds: exchange and update, waiting for the others' gradients too */
    dn_pace pace;
    int stop; /* ranks that were asked to stop */
    dn_step_report report;
    dn_ledger ledger[DN_N_AXES]; /* of this rank; groups of several axes count with the outermost */
} dn_step_result;

/** Collective. Allocates, initializes or restores, opens data and metrics. comm is borrowed. On failure *run
 * can (and must) still be closed. */
dn_status dn_run_open(dn_run *run, const dn_plan *plan, dn_comm *comm) DN_MUST_USE;
void dn_run_close(dn_run *run);

/** Collective. One step: micro-batches forward and backward, exchange, update. */
dn_status dn_run_step(dn_run *run, dn_step_result *result) DN_MUST_USE;

/** Collective. Mean loss over val_tokens; rows are dealt to the ranks. *loss = NaN without validation data.
 */
dn_status dn_run_validate(dn_run *run, double *loss) DN_MUST_USE;

/** Collective. Fails with DN_ERR_NUMERIC if replicas' weights differ in any bit. *hash = 52 bits of the XXH3
 * of their parts, added. */
dn_status dn_run_check_replicas(dn_run *run, double *hash) DN_MUST_USE;

/** Collective. Writes the run's checkpoint (rank 0, reading the others' parts in place). If validation followed
 * this very step and never was better, the checkpoint is also the best one. */
dn_status dn_run_save(dn_run *run) DN_MUST_USE;
/** Collective. Goes on from the newest checkpoint in the run's folder, if there is one. */
dn_status dn_run_restore(dn_run *run) DN_MUST_USE;

/** Whether the disk has room for the checkpoints of the run, those that are there and will go deducted; rank 0.
 * Errors: DN_ERR_IO saying what is needed and what is free. */
dn_status dn_run_check_room(dn_run *run) DN_MUST_USE;
/** The same while the run goes on, at most once a second: says so above the bar when the room is gone, and again
 * when it is back; rank 0. */
void dn_run_watch_room(dn_run *run);

/** Enters a phase ("forward and backward"; a string literal) of the step after run->step, for the state
 * table. */
void dn_run_enter(dn_run *run, const char *phase);

/** Progress within the phase, for peers' deadlines. run is a dn_run: the shape of a callback. */
void dn_run_tick(void *run);

#endif
