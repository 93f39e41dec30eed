/* Learning rate and weight decay over a run. Pure functions of the step: nothing to save for a resume. */
#ifndef OPTIM_SCHEDULE_H
#define OPTIM_SCHEDULE_H

#include <stdint.h>

/* All but the first rise linearly over the first warmup_ratio of the steps ((step+1)/n_warmup). */
typedef enum dn_schedule_shape {
    DN_SCHEDULE_CONSTANT,  /* 1 */
    DN_SCHEDULE_LINEAR,    /* then fall linearly to the end ((n_steps-step)/n_left) */
    DN_SCHEDULE_COSINE,    /* then fall to the end as the first half of a cosine */
    DN_SCHEDULE_TRAPEZOID, /* then stay, and fall linearly over the last warmdown_ratio: microsoft/dion's;
                              where both rise and fall, the smaller */
} dn_schedule_shape;

#define DN_SCHEDULE_NAMES                                                                                    \
    "constant|linear|cosine|trapezoid" /* of configurations, in the order of dn_schedule_shape */

typedef struct dn_schedule_rule {
    dn_schedule_shape shape;
    double warmup_ratio, warmdown_ratio;
} dn_schedule_rule;

/**
 * Factor on a base value for step 0 <= step < n_steps; never 0. Counts of steps are rounded to the nearest, halves to even,
 * as by Python.
 * For the weight decay a rule of its own: decay enters as lr * weight_decay, so that a constant one already
 * fades with the learning rate, and one shaped as the learning rate's fades as its square.
 */
double dn_schedule_factor(const dn_schedule_rule *rule, uint64_t step, uint64_t n_steps);

#endif
