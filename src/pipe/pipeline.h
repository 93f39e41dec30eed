/*
 * A stage of a pipeline: a model of some of the layers (model/model.h) and its neighbours, to which it sends the residual stream
 * forward and its gradient backward, from slot to slot.
 *
 * The slot's stream is the window: it is posted (dn_comm_post), its reader copies it into a slot of its own, and nobody waits.
 * Forward the writer changes it again only with the gradient that comes back. Backward it changes it with the micro-batch that
 * follows in the slot: whose input the reader sends before it takes the gradient, as 1F1B goes, so that the wait there is for no
 * more than that copy. Ranks talk to those at the same coordinates of dp, fs and tp. Counted as sent, DN_TRAFFIC_ACTIVATIONS:
 * 2 B T C numbers a micro-batch and boundary, or messages of a channel (nn/channel.h), for which each slot has windows of its own.
 *
 * Asynchronous (dn_pipeline_flow) the order is the same and has no end: what is in flight at the end of a step goes back in the next.
 * A micro-batch goes back through the weights with which it went forward, which the stash keeps, and its gradient changes the newest.
 * What is in flight may be dropped at any time between steps: the next one sends it forward again, with the weights of then, to the same
 * bits. So nothing of it but the stash needs to be saved, and validation may use the slots.
 */
#ifndef PIPE_PIPELINE_H
#define PIPE_PIPELINE_H

#include "model/model.h"
#include "pipe/links.h"
#include "pipe/schedule.h"
#include "pipe/stash.h"

/* On the first stage before each micro-batch goes forward, collective over its ranks: a status that is not DN_OK ends the pass
 * there, on every stage at the same micro-batch. What has been sent is not received then: there is no pass after this one. */
typedef dn_status dn_pipeline_gate_fn(void *context);

/* To a neighbour. kept 0: the stream is sent as it is. By slot: the message forward, received or sent, and the numbers that go back. */
typedef struct dn_pipe_channel {
    size_t kept;
    dn_bytes *messages, *gradients; /* [n_slots] windows in symmetric memory */
} dn_pipe_channel;

typedef struct dn_pipeline {
    dn_model *model;   /* borrowed; dn_pipe_in_flight slots of `room` sequences */
    dn_stream *stream; /* borrowed: the model's */
    dn_comm *stages;   /* borrowed: ranks by stage */
    size_t room, T, C; /* of the model */
    dn_pipe_channel channels[2]; /* to the stage before, and to the next */
    const dn_pipe_links *links; /* emulated: what is sent is there no sooner; borrowed. NULL: none */
    dn_pipeline_gate_fn *gate; /* the same on all stages; NULL: none */
    void *gate_context;
    double wait_s;     /* spent waiting for neighbours, since somebody set it to 0 */
    dn_weights *weights; /* borrowed: the model's */
    dn_stash *stash;   /* borrowed; NULL: each step ends with nothing in flight */
    bool flows;        /* micro-batches of the next steps are in flight; whoever uses the model for something else drops them: false */
    size_t first;      /* slots are counted from it */
    size_t B[DN_MAX_RANKS];             /* by slot: sequences in flight, */
    uint64_t forward_at[DN_MAX_RANKS];  /* and updates made before the weights that they went forward with */
    uint64_t staleness; /* of the micro-batches of a step together: updates between their ways forward and back */
    double free_s[2];  /* when the link to the previous and to the next stage has carried what was sent */
} dn_pipeline;

/* Micro-batch m: tokens and targets [*B * T] that stay until the next call; *B sequences, the same on all stages. tokens NULL: only *B. */
typedef dn_status dn_micro_batch_fn(void *context, size_t m, const int32_t **tokens, const int32_t **targets, size_t *B);

/** Symmetric heap of the windows of channels that keep so many numbers. */
size_t dn_pipeline_heap_bytes(const size_t kept[2], size_t room, size_t T, size_t C, size_t n_slots);
/** Lays the windows into that heap. */
void dn_pipeline_open_channels(dn_pipeline *pipeline, const size_t kept[2], size_t n_slots, void *heap);

/** Collective over fs, tp and the stages. M micro-batches through the pipeline, forward and backward as dn_model_train does each,
 * or with scale 0 forward only, as dn_model_loss. *loss_sum += the sum of token losses: on the last stage, 0 on others. Errors:
 * those of micro_batch, the model, sending; what the gate says. */
dn_status dn_pipeline_pass(dn_pipeline *pipeline, dn_micro_batch_fn *micro_batch, void *context, size_t M, double scale,
                           double *loss_sum) DN_MUST_USE;

/** Collective over fs, tp and the stages. An asynchronous step: M micro-batches go back, as many go forward, of this step or, numbered on
 * from M, of the next ones, which need not have been asked for before. The weights are to be updated once between two calls, and kept
 * before that (dn_stash_keep). *loss_sum: of the step's micro-batches. Other arguments and errors as above; there is no gate. */
dn_status dn_pipeline_flow(dn_pipeline *pipeline, dn_micro_batch_fn *micro_batch, void *context, size_t M, double scale,
                           double *loss_sum) DN_MUST_USE;

/** Between passes, collective over the stages. seconds [stages - 1]: that the numbers of B sequences take to the next stage, which sends them
 * back: half of the shortest of some round trips; known on the stage before the boundary, 0 on others. Streams of slot 0 are overwritten. */
dn_status dn_pipeline_time_links(dn_pipeline *pipeline, size_t B, double *seconds) DN_MUST_USE;

/** Between passes, collective over the stages. Gradients of the last stage's borrowed parameters (dn_model_borrows_head) are added
 * to those of the first stage, which trains them; its weights become the last stage's. params: of the whole stage, n of which are
 * borrowed or lent; other stages do nothing. */
dn_status dn_pipeline_return_gradients(const dn_pipeline *pipeline, const dn_param *params, size_t n, dn_stream *stream) DN_MUST_USE;
dn_status dn_pipeline_lend_weights(const dn_pipeline *pipeline, const dn_param *params, size_t n) DN_MUST_USE;

#endif
