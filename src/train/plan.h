/* What a configuration means in numbers: sizes of everything, checked, before any worker or memory exists. */
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include "dionode/config.h"
#include "nn/gpt.h"
#include "sync/optimizer.h"

typedef struct dn_plan {
    dn_config config;
    dn_gpt_shape shape;
    dn_optim_config optim;
    int n_workers;          /* dp_size: replicas                                    */
    int mesh[DN_N_AXES];    /* sizes; only dp is more than 1                        */
    size_t n_params;        /* tensors                                              */
    size_t rank_batch;      /* sequences a step on one worker                       */
    size_t micro_batch;     /* sequences at a time; rank_batch is a multiple of it  */
    size_t parameter_bytes; /* weights, and as much again for gradients             */
    size_t arena_bytes;     /* shared memory a worker: both, and optimizer state    */
    size_t private_bytes;   /* other memory a worker: activations                   */
} dn_plan;

/** Number of workers a configuration asks for: the product of the mesh sizes given; 0 = it leaves it open. */
int dn_plan_mesh(const dn_config *config);

/** Fills *plan for n_workers >= 1. Errors: DN_ERR_CONFIG naming the keys whose sizes do not fit together. */
dn_status dn_plan_make(const dn_config *config, int n_workers, dn_plan *plan) DN_MUST_USE;

/** The glob of training (or validation) files: the key itself, or by name in data_dir. */
void dn_plan_files(const dn_config *config, bool validation, char *pattern, size_t bytes);

#endif
