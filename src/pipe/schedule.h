/*
 * One forward, one backward (1F1B; Narayanan et al., "PipeDream", 2019; synchronous as in Megatron-LM): in which order a stage of
 * a pipeline computes the micro-batches of a step.
 *
 * Stage s of S first goes forward with as many micro-batches as there are stages behind it, then alternates, then goes back with
 * what is left, so that the last stage turns each round at once. With equal stages, tf and tb a micro-batch, M micro-batches take
 * (M + S - 1) (tf + tb): of that the share (S - 1) / (M + S - 1) is idle. min(M, S - s) micro-batches are in flight.
 *
 * Asynchronous (Ravnest: Menon et al., arXiv 2401.01728; the same order without an end): a step begins with the micro-batches in
 * flight that the one before has left, goes back with M, forward with as many of those to come, and leaves S - 1 - s in flight, whose
 * forward pass saw older weights than those that their gradient will change.
 */
#ifndef PIPE_SCHEDULE_H
#define PIPE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#define DN_PIPELINE_NAMES "1f1b|async"

typedef struct dn_pipe_op {
    bool backward;
    size_t micro_batch;
} dn_pipe_op;

/** Operation i < 2 M of stage s of S. */
dn_pipe_op dn_pipe_schedule(size_t n_stages, size_t stage, size_t n_micro_batches, size_t i);

/** The most micro-batches that have gone forward on the stage and not back: the slots that it needs. Micro-batch m is in slot
 * m modulo this number. */
size_t dn_pipe_in_flight(size_t n_stages, size_t stage, size_t n_micro_batches);

/** Asynchronous: how many updates lie between forward and backward pass of micro-batch i < M of a step, once a run has made as
 * many: ceil((S - 1 - s - i) / M), or 0. With one micro-batch a step S - 1 - s. */
size_t dn_pipe_staleness(size_t n_stages, size_t stage, size_t n_micro_batches, size_t i);

#endif
