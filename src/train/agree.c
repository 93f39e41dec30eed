/*
 * What the ranks agree on while a pass goes on: to stop, to save and go on, or that one of them cannot read its data.
 *
 * A micro-batch can take minutes, so the layers of a pass are where they talk, ten times a second. All ranks of the
 * mesh pass the same layers in the same order. How many of them lie between two agreements is a number that rank 0
 * chooses from the time it took last and that travels with the agreement itself: all stop at the same layer, and
 * whoever waits, waits for ranks on their way to it. Signals are heard by rank 0 alone, which makes the answer the
 * same everywhere. A rank that cannot read a row goes on with zeros until the next agreement, because the others are
 * on their way into collectives with it.
 */
#include "train/run.h"

#include "base/clock.h"
#include "base/fail.h"

#include <stdio.h>
#include <string.h>

#define AGREE_S 0.1 /* between two agreements of a pass, which take microseconds; a second where layers become ten times slower */

enum { FAILED, STOP, SAVE, BETWEEN, SUM, N_SHARED };

/* So many layers as pass in AGREE_S, as the last ones did. */
static double next_distance(const dn_run_agreement *talk)
{
    double took_s = dn_clock_s() - talk->since_s;
    double n = took_s > 0 ? AGREE_S * (double)talk->points / took_s : 1;
    return n < 1 ? 1 : n > 1e6 ? 1e6 : (double)(uint64_t)n;
}

/* *sum, of every rank, becomes the sum over the ranks. */
static dn_status agree(dn_run *run, double *sum)
{
    dn_run_agreement *talk = &run->talk;
    double shared[N_SHARED] = {[FAILED] = talk->own != DN_OK, [SUM] = *sum};
    if (run->rank == 0) {
        uint32_t saves = dn_comm_saves_requested(run->comm);
        shared[STOP] = dn_comm_stop_requested(run->comm) != 0;
        shared[SAVE] = saves != talk->saves;
        shared[BETWEEN] = talk->points > 0 ? next_distance(talk) : (double)talk->between;
        talk->saves = saves;
    }
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, shared, N_SHARED, DN_SUM));
    talk->failed = shared[FAILED] > 0;
    talk->stop = talk->stop || shared[STOP] > 0;
    talk->save = talk->save || shared[SAVE] > 0;
    talk->between = (uint64_t)shared[BETWEEN];
    talk->points = 0;
    talk->since_s = dn_clock_s();
    *sum = shared[SUM];
    return DN_OK;
}

dn_status dn_run_agree_to_begin(dn_run *run)
{
    double none = 0;
    run->talk.between = 1;
    DN_TRY(agree(run, &none));
    return run->talk.stop ? DN_RUN_DROPPED : DN_OK;
}

void dn_run_begin_pass(dn_run *run, const char *phase)
{
    dn_run_enter(run, phase);
    run->talk.points = 0;
    run->talk.since_s = dn_clock_s();
}

dn_status dn_run_row(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const dn_run_rows *rows = context;
    dn_run_agreement *talk = &rows->run->talk;
    if (talk->own == DN_OK)
        talk->own = dn_loader_row(rows->loader, row, inputs, targets);
    if (talk->own == DN_OK)
        return DN_OK;
    if (!*talk->message)
        snprintf(talk->message, sizeof talk->message, "%s", dn_error_message());
    memset(inputs, 0, rows->loader->T * sizeof *inputs);
    memset(targets, 0, rows->loader->T * sizeof *targets);
    return DN_OK;
}

dn_status dn_run_pass_on(void *context, bool together)
{
    dn_run *run = context;
    double none = 0;
    dn_run_tick(run);
    if (!together || ++run->talk.points < run->talk.between)
        return DN_OK;
    DN_TRY(agree(run, &none));
    if (run->talk.stop || run->talk.failed)
        return DN_RUN_DROPPED;
    /* To save replicas that are apart takes the gradients' room: that waits for the end of the step. */
    if (run->talk.save && !dn_strategy_apart(run->instance.strategy))
        DN_TRY(dn_run_keep(run));
    run->talk.since_s = dn_clock_s(); /* the time of a save is not that of layers */
    return DN_OK;
}

dn_status dn_run_end_pass(dn_run *run, double *sum)
{
    DN_TRY(agree(run, sum));
    return run->talk.failed ? DN_RUN_DROPPED : DN_OK;
}
