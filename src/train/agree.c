/*
 * What ranks agree on during a pass: to stop, to save and continue, or that one of them cannot read its data.
 *
 * A micro-batch can take minutes, so ranks agree between layers, about ten times a second. All ranks of the
 * mesh pass the same layers in the same order. The number of layers between two agreements is chosen by rank
 * 0 from their last duration and is part of the agreement: all stop at the same layer, and a rank that waits,
 * waits for ranks on their way to it. Stages of a pipeline are never at the same layer: the ranks of the first agree before each
 * micro-batch, and tell the others with it. Only rank 0 reads requests, so that all see the same. A rank that
 * cannot read a row continues with zeros until the next agreement, as the others are about to enter
 * collectives with it.
 */
#include "train/run.h"

#include "base/clock.h"
#include "base/fail.h"

#include <stdio.h>
#include <string.h>

#define AGREE_S 0.1 /* between two agreements of a pass, which take microseconds */

enum { FAILED, STOP, SAVE, BETWEEN, NUMBER, N_SHARED }; /* but for NUMBER none is below 0 */

/* *number, of every rank, becomes the sum over the ranks, or the largest. */
static dn_status agree(dn_run *run, dn_op op, double *number)
{
    dn_run_agreement *a = &run->agreement;
    double shared[N_SHARED] = {[FAILED] = a->own != DN_OK, [NUMBER] = *number};
    if (run->rank == 0) {
        DN_TRY(dn_run_look_at_saving(run));
        uint32_t saves = dn_comm_saves_requested(run->comm);
        double interval = (double)a->between;
        if (a->points > 0) { /* the layers that fit into AGREE_S at the speed of the last ones */
            double elapsed_s = dn_clock_s() - a->since_s;
            double n = elapsed_s > 0 ? AGREE_S * (double)a->points / elapsed_s : 1;
            interval = n < 1 ? 1 : n > 1e6 ? 1e6 : (double)(uint64_t)n;
        }
        shared[STOP] = dn_comm_stop_requested(run->comm) != 0;
        shared[SAVE] = saves != a->saves;
        shared[BETWEEN] = interval;
        a->saves = saves;
    }
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, shared, N_SHARED, op));
    a->failed = shared[FAILED] > 0;
    a->stop = a->stop || shared[STOP] > 0;
    a->save = a->save || shared[SAVE] > 0;
    a->between = (uint64_t)shared[BETWEEN];
    a->points = 0;
    a->since_s = dn_clock_s();
    *number = shared[NUMBER];
    return DN_OK;
}

dn_status dn_run_agree_to_begin(dn_run *run)
{
    double none = 0;
    run->agreement.between = 1;
    DN_TRY(agree(run, DN_SUM, &none));
    return run->agreement.stop ? DN_RUN_DROPPED : DN_OK;
}

void dn_run_begin_pass(dn_run *run, const char *phase)
{
    dn_run_enter(run, phase);
    run->agreement.points = 0;
    run->agreement.since_s = dn_clock_s();
}

/* The first failure of this rank. */
static void note_failure(dn_run_agreement *agreement, dn_status status)
{
    agreement->own = status;
    if (status != DN_OK)
        snprintf(agreement->message, sizeof agreement->message, "%s", dn_error_message());
}

size_t dn_run_counted(const dn_run_rows *rows, uint64_t first, size_t n)
{
    size_t counted = 1;
    if (rows->run->agreement.own == DN_OK)
        note_failure(&rows->run->agreement, dn_loader_counted(rows->loader, first, n, &counted));
    return counted;
}

dn_status dn_run_row(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const dn_run_rows *rows = context;
    dn_run_agreement *agreement = &rows->run->agreement;
    if (agreement->own == DN_OK)
        note_failure(agreement, dn_loader_row(rows->loader, row, inputs, targets));
    if (agreement->own == DN_OK)
        return DN_OK;
    memset(inputs, 0, rows->loader->T * sizeof *inputs);
    memset(targets, 0, rows->loader->T * sizeof *targets);
    return DN_OK;
}

dn_status dn_run_pass_on(void *context, bool together)
{
    dn_run *run = context;
    double none = 0;
    dn_run_tick(run);
    bool staged = run->mesh->size[DN_PP] > 1; /* dn_run_gate */
    if (staged || !together || ++run->agreement.points < run->agreement.between)
        return DN_OK;
    DN_TRY(agree(run, DN_SUM, &none));
    if (run->agreement.stop || run->agreement.failed)
        return DN_RUN_DROPPED;
    /* Saving replicas that differ overwrites the gradients: it waits for the end of the step. */
    if (run->agreement.save && !dn_strategy_apart(run->instance.strategy))
        DN_TRY(dn_run_keep(run));
    run->agreement.since_s = dn_clock_s(); /* without the time of the save */
    return DN_OK;
}

dn_status dn_run_pass_on_alone(void *context, bool together)
{
    dn_run *run = context;
    (void)together;
    DN_TRY(dn_comm_tick(run->comm, run->step + 1, run->phase));
    return dn_comm_stop_requested(run->comm) ? DN_RUN_DROPPED : DN_OK;
}

dn_status dn_run_gate(void *context)
{
    dn_run *run = context;
    double ends[2] = {run->rank == 0 && dn_comm_stop_requested(run->comm), run->agreement.own != DN_OK};
    DN_TRY(dn_comm_all_reduce_scalars(run->instance.mesh->all, ends, 2, DN_SUM));
    return ends[0] > 0 || ends[1] > 0 ? DN_RUN_DROPPED : DN_OK;
}

dn_status dn_run_after_gate(dn_run *run, dn_status status)
{
    double none = 0;
    if (status == DN_RUN_DROPPED && run->instance.pipeline.gate)
        DN_TRY(agree(run, DN_SUM, &none));
    return status;
}

dn_status dn_run_end_pass(dn_run *run, double *sum)
{
    DN_TRY(agree(run, DN_SUM, sum));
    return run->agreement.failed ? DN_RUN_DROPPED : DN_OK;
}

dn_status dn_run_end_step(dn_run *run, double *least)
{
    double most = -*least;
    DN_TRY(agree(run, DN_MAX, &most));
    *least = -most;
    return run->agreement.failed ? DN_RUN_DROPPED : DN_OK;
}
