/* What a configuration means in numbers: sizes of everything, checked, before any worker or memory exists. */
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include "dionode/config.h"
#include "model/model.h"
#include "optim/schedule.h"
#include "strategy/engine.h"

typedef struct dn_plan {
    dn_config config;
    dn_spec spec;
    dn_optim_config optim;
    const dn_strategy *strategy;
    dn_strategy_config strategy_config;
    dn_schedule_rule lr_schedule, decay_schedule;
    dn_weights_policy gather;
    int n_workers;             /* product of the mesh                                      */
    int mesh[DN_N_AXES];       /* dp, fs, tp                                               */
    int optim_mesh[DN_N_AXES]; /* that the optimizer stands on: the whole, or each replica's own */
    int n_dealt;               /* dp * fs: the batch's rows are dealt to so many           */
    size_t n_params;           /* tensors,                                                 */
    size_t n_elements;         /* numbers in them,                                         */
    size_t n_units;            /* and units that they come in (model/model.h)              */
    size_t micro_batch;        /* sequences at a time                                      */
    size_t parameter_bytes;    /* a worker's room for weights, and as much for gradients   */
    size_t model_bytes;        /* symmetric heap of a model that is not trained            */
    size_t arena_bytes;        /* shared memory of a worker in training                    */
    size_t private_bytes;      /* other memory a worker: activations                       */
} dn_plan;

/** Number of workers a configuration asks for: the product of the mesh sizes given; 0 = it leaves it open.
 * Errors: DN_ERR_CONFIG (dn_config_check, or more workers than there can be). */
dn_status dn_plan_mesh(const dn_config *config, int *n_workers) DN_MUST_USE;

/** The strategy that the keys name, or mean where they name none. Errors: DN_ERR_CONFIG keys that contradict each
 * other. */
dn_status dn_plan_strategy(const dn_config *config, const dn_strategy **out) DN_MUST_USE;

/** The part of n rows that falls to the worker at coordinates at[]: rows are dealt over dp and fs, and seen
 * by all of tp. */
dn_range dn_plan_rows(const dn_plan *plan, size_t n, const int at[DN_N_AXES]);

/** Micro-batches in which the worker with most of n rows goes through them; all workers make as many. */
size_t dn_plan_rounds(const dn_plan *plan, size_t n);

/** Fills *plan for n_workers >= 1. Errors: DN_ERR_CONFIG naming the keys that are out of range or do not fit
 * together; DN_ERR_MEMORY where the sizes are more than can be counted. */
dn_status dn_plan_make(const dn_config *config, int n_workers, dn_plan *plan) DN_MUST_USE;

/** The glob of training (or validation) files: the key itself, or by name in data_dir, whose own characters
 * stand for themselves. */
#define DN_PATTERN_MAX (2 * DN_PATH_MAX + 16)
void dn_plan_files(const dn_config *config, bool validation, char pattern[DN_PATTERN_MAX]);

#endif
