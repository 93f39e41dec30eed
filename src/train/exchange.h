/*
 * What replicas exchange of matrices under a rule with low-rank factors, where the configuration leaves it open
 * (replicate_mesh_grad_sync: auto): the factors, unless a step with them takes more than 1 % longer than one with whole
 * gradients.
 *
 * A step is predicted as
 *
 *     flops / rate + bytes / bandwidth + hops * latency
 *
 * Factors are fewer bytes, but every replica multiplies its own momentum by them; of whole gradients replicas deal the matrices'
 * rows among themselves. Flops are those of forward and backward passes and of Dion's products, shared out evenly; bytes and
 * hops those of dn_optimizer_predict. What a link's bandwidth is worth is said once, in flops that a worker could do while a
 * byte moves (exchange.c). Nothing is measured, so that the same configuration has the same bits on every machine; nor does
 * the choice depend on how many threads a worker has.
 */
#ifndef TRAIN_EXCHANGE_H
#define TRAIN_EXCHANGE_H

#include "comm/link.h"
#include "dionode/status.h"
#include "shard/optimizer.h"

#include <stdbool.h>

typedef struct dn_exchange_choice {
    double factors_s, gradients_s; /* a step, predicted; 0: nothing to choose (one replica, no factors, another strategy) */
    bool asked; /* the configuration leaves it open */
    bool kept;  /* a checkpoint has chosen (train/save.c) */
} dn_exchange_choice;

/* The worker that is predicted, flops a second in float: two cores of docs/measured/speed.md. */
#define DN_EXCHANGE_FLOPS 345e9

/** Seconds of an exchange of so many hops and bytes on that link, or, bytes_per_s 0, in shared memory, as that worker has it. */
double dn_exchange_link_s(const dn_link *link, double hops, double bytes);

/** Whether factors are what auto means by these times. */
bool dn_exchange_takes_factors(const dn_exchange_choice *choice);

/** Both times, of the trained parameters on a mesh of size[] whose workers each do pass_flops in a step's passes. link:
 * between replicas; bytes_per_s 0: shared memory. Errors: DN_ERR_MEMORY. */
dn_status dn_exchange_predict(const dn_optim_config *config, const dn_param *trained, size_t n_trained,
                              const int size[DN_N_AXES], double pass_flops, const dn_link *link,
                              dn_exchange_choice *out) DN_MUST_USE;

#endif
