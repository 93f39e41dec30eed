/*
 * An instance: the model of one worker on its mesh, with its blocks of the parameters and, for training,
 * gradients and optimizer. Training (run.h), evaluation and generation (loaded_model.h), and verification
 * (verify_case.h) are built on it.
 *
 * Weights, gradients and optimizer states are in symmetric memory, where peers read them in place;
 * activations, tokens and everything else are private.
 */
#ifndef TRAIN_INSTANCE_H
#define TRAIN_INSTANCE_H

#include "dionode/mesh.h"
#include "model/model.h"
#include "pipe/pipeline.h"
#include "train/plan.h"

typedef struct dn_instance {
    const dn_plan *plan;    /* borrowed */
    dn_mesh stage;          /* of the mesh that it was opened on */
    const dn_mesh *mesh;    /* that stage's: everything but the pipeline is there */
    dn_stream *stream;      /* borrowed */
    dn_param *params;       /* [plan->n_params] */
    dn_param *trained;      /* [plan->n_trained] those that optimizer and strategy know */
    dn_buf *values, *grads; /* this rank's blocks of all parameters, and of the trained ones' gradients, NULL unless
                               training */
    dn_weights *weights;
    dn_mesh optimizer_mesh;    /* of the optimizer: all ranks, or one replica */
    dn_optimizer *optimizer;   /* NULL unless training */
    bool begins; /* dn_instance_gradient begins to average gradients over nodes (dn_optimizer_begin), as its owner may set: they are the
                    next step's alone */
    dn_strategy_run *strategy; /* NULL unless training */
    struct dn_clients *clients; /* NULL: none; the run's */
    dn_model *model;
    dn_pipeline pipeline;      /* stages NULL: there is one */
    dn_stash stash;            /* of a stage that does not wait for the end of a step */
    dn_tensor *stashed;        /* [stash.n_kept, plan->n_trained] its copies, as states */
    int32_t *inputs, *targets; /* [micro_batch * T] */
} dn_instance;

/* Reads row `row` of a token stream: inputs [T], targets [T] (-1: does not count), host memory. */
typedef dn_status dn_rows_fn(void *context, uint64_t row, int32_t *inputs, int32_t *targets);

/** Collective. plan: of this rank's stage (dn_plan_enter_stage). Allocates from mesh->all's symmetric heap: plan->arena_bytes, less what the mesh uses, if
 * training, else plan->model_bytes; values begin at the same offset on all ranks. Weights are zero. On failure *instance must still be closed. */
dn_status dn_instance_open(dn_instance *instance, const dn_plan *plan, const dn_mesh *mesh, dn_stream *stream,
                           bool training) DN_MUST_USE;
/** Collective, before a training run ends in good order, wherever it was stopped: nothing is on its way to other nodes any more. */
dn_status dn_instance_settle(dn_instance *instance) DN_MUST_USE;
void dn_instance_close(dn_instance *instance);

/** Before the first step, or a checkpoint's states: those of the strategy and the stash begin from the present weights, which must be
 * equal in all replicas. Not collective. */
dn_status dn_instance_begin(dn_instance *instance) DN_MUST_USE;

/** Bytes of this rank's weights that a token reads in generation: all but an embedding that is no head. narrow: with matrices in
 * bfloat16 (dn_weights_narrow). */
double dn_instance_read_bytes(const dn_instance *instance, bool narrow);

/** Collective over pp, fs and tp. Computes this rank's block of the gradients of the mean loss over the n rows
 * from `first` on, in which `counted` targets are not -1 (if there is none, gradients are 0); averaged over fs, while
 * averaging over dp is the optimizer's. *loss_sum = sum of the token losses of this worker's rows, on the last stage; 0 on
 * others. */
dn_status dn_instance_gradient(dn_instance *instance, dn_rows_fn *rows, void *context, uint64_t first,
                               size_t n, size_t counted, double *loss_sum) DN_MUST_USE;

/** The same of the whole rows on this rank alone, which has no others of fs and tp. Not collective. */
dn_status dn_instance_gradient_alone(dn_instance *instance, dn_rows_fn *rows, void *context, uint64_t first, size_t n,
                                     size_t counted, double *loss_sum) DN_MUST_USE;

/** Collective. The optimizer's step, and what the strategy exchanges before, instead of or after it: as
 * dn_strategy_step. To be called once after each gradient. A loss that is not finite skips the step. */
dn_status dn_instance_step(dn_instance *instance, const dn_step_params *step_params, double loss,
                           dn_step_report *report) DN_MUST_USE;

/* While replicas' weights differ (dn_strategy_apart), their mean, the consensus, is what is validated, and
 * what a checkpoint holds as weights; frozen ones are equal anyway. Overwrites the gradients, whose memory it uses.
 * Collective; ends with a barrier. */

/** Forms the consensus in the memory of the gradients, in their layout. */
dn_status dn_instance_form_consensus(dn_instance *instance) DN_MUST_USE;
/** Forms it in place of the weights, until dn_instance_leave_consensus restores them. */
dn_status dn_instance_enter_consensus(dn_instance *instance) DN_MUST_USE;
dn_status dn_instance_leave_consensus(dn_instance *instance) DN_MUST_USE;

/* All persistent states: the optimizer's, then the strategy's, then weights of before the last updates, as "stash.<age>.<param>"; or the
 * clients'. Otherwise as dn_optimizer_state etc. */
size_t dn_instance_n_states(const dn_instance *instance);
const dn_tensor *dn_instance_state(const dn_instance *instance, size_t index);
dn_shard dn_instance_state_shard(const dn_instance *instance, size_t index, int rank);

/** Collective over pp, fs and tp. As dn_instance_gradient, forward only: *loss_sum alone. */
dn_status dn_instance_loss(dn_instance *instance, dn_rows_fn *rows, void *context, uint64_t first, size_t n,
                           double *loss_sum) DN_MUST_USE;

#endif
