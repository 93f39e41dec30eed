/*
 * The network of one worker on its mesh: its part of the parameters, the model over them and, for training,
 * gradients and optimizer. A run (run.h), a sample and an evaluation (loaded_model.h), a verification
 * (verify.c) all stand on it.
 *
 * Where things live: weights, gradients and optimizer state on the symmetric heap (peers read them in place);
 * activations, tokens and everything else private.
 */
#ifndef TRAIN_INSTANCE_H
#define TRAIN_INSTANCE_H

#include "dionode/mesh.h"
#include "model/model.h"
#include "train/plan.h"

typedef struct dn_instance {
    const dn_plan *plan;    /* borrowed */
    const dn_mesh *mesh;    /* borrowed */
    dn_stream *stream;      /* borrowed */
    dn_param *params;       /* [plan->n_params] */
    dn_buf *values, *grads; /* room for all parts of the parameters; grads NULL unless training */
    dn_weights *weights;
    dn_mesh optimizer_mesh;    /* that the optimizer stands on */
    dn_optimizer *optimizer;   /* NULL unless training */
    dn_strategy_run *strategy; /* NULL unless training */
    dn_model *model;
    int32_t *inputs, *targets; /* [micro_batch * T] */
} dn_instance;

/* Tokens of row `row` of a stream: inputs [T], targets [T], host. */
typedef dn_status dn_rows_fn(void *context, uint64_t row, int32_t *inputs, int32_t *targets);

/** Collective. Takes memory of mesh->all's heap: all of plan->arena_bytes but the mesh's own if training,
 * else plan->model_bytes. Weights are zero. On failure *net can (and must) still be closed. */
dn_status dn_instance_open(dn_instance *instance, const dn_plan *plan, const dn_mesh *mesh, dn_stream *stream,
                           bool training) DN_MUST_USE;
void dn_instance_close(dn_instance *instance);

/** Collective over fs and tp. Gradients, each rank its block, of the mean loss over the n rows from `first`
 * on: the mean over fs is taken, that over dp is the optimizer's. *loss_sum = summed token losses of this
 * worker's rows. */
dn_status dn_instance_gradient(dn_instance *instance, dn_rows_fn *rows, void *context, uint64_t first,
                               size_t n, double *loss_sum) DN_MUST_USE;

/** Collective. The optimizer's step and, unless it was skipped, what the strategy exchanges after it. As
 * dn_optimizer_step. */
dn_status dn_instance_step(dn_instance *instance, const dn_step_params *step_params,
                           dn_step_report *report) DN_MUST_USE;

/* Of replicas that are apart (dn_strategy_apart) the consensus is the mean of their weights: what is validated,
 * and what a checkpoint holds for its readers. Gradients, whose room is used, are lost. Collective; ranks have met. */

/** The consensus comes to where gradients are: shapes and places are theirs. */
dn_status dn_instance_form_consensus(dn_instance *instance) DN_MUST_USE;
/** It comes to where the weights are, until dn_instance_leave_consensus puts them back. */
dn_status dn_instance_enter_consensus(dn_instance *instance) DN_MUST_USE;
dn_status dn_instance_leave_consensus(dn_instance *instance) DN_MUST_USE;

/* All states between steps: the optimizer's, then the strategy's. Otherwise as dn_optimizer_state and its
 * like. */
size_t dn_instance_n_states(const dn_instance *instance);
const dn_tensor *dn_instance_state(const dn_instance *instance, size_t index);
dn_shard dn_instance_state_shard(const dn_instance *instance, size_t index, int rank);

/** Collective over fs and tp. *loss_sum alone. */
dn_status dn_instance_loss(dn_instance *instance, dn_rows_fn *rows, void *context, uint64_t first, size_t n,
                           double *loss_sum) DN_MUST_USE;

#endif
