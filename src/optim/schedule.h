/* Schedules of learning rate and weight decay. Pure functions of the step: a resume needs no state. */
#ifndef OPTIM_SCHEDULE_H
#define OPTIM_SCHEDULE_H

#include <stdint.h>

/* All but constant warm up linearly over the first warmup_ratio of the steps ((step+1)/n_warmup). */
typedef enum dn_schedule_shape {
    DN_SCHEDULE_CONSTANT,  /* 1 */
    DN_SCHEDULE_LINEAR,    /* then decay linearly to the end ((n_steps-step)/n_left) */
    DN_SCHEDULE_COSINE,    /* then decay to the end as a half cosine */
    DN_SCHEDULE_TRAPEZOID, /* then 1, with a linear decay over the last warmdown_ratio, as in
                              microsoft/dion; where both overlap, the smaller factor */
} dn_schedule_shape;

#define DN_SCHEDULE_NAMES                                                                                    \
    "constant|linear|cosine|trapezoid" /* of configurations, in the order of dn_schedule_shape */

typedef struct dn_schedule_rule {
    dn_schedule_shape shape;
    double warmup_ratio, warmdown_ratio;
} dn_schedule_rule;

/**
 * Factor on the base value in step 0 <= step < n_steps; never 0. Numbers of warm-up and decay steps are
 * rounded to nearest, ties to even, as by Python. Weight decay has its own schedule: as it enters as lr *
 * weight_decay, a constant one already follows the learning rate, and one with the learning rate's shape
 * follows its square.
 */
double dn_schedule_factor(const dn_schedule_rule *rule, uint64_t step, uint64_t n_steps);

#endif
