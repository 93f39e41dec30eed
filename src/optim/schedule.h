/* Learning rate over a run: linear warm-up, flat, linear decay to 0 (dion.md 1.8). A pure function of the
 * step. */
#ifndef OPTIM_SCHEDULE_H
#define OPTIM_SCHEDULE_H

#include <stdint.h>

/**
 * Factor on the base learning rate for step 0 <= step < n_steps. The first warmup_ratio * n_steps steps rise
 * linearly
 * ((step+1)/n_warmup), the last warmdown_ratio * n_steps fall linearly ((n_steps-step)/n_warmdown), so
 * neither end is ever 0. Counts are rounded to the nearest step.
 */
double dn_schedule(uint64_t step, uint64_t n_steps, double warmup_ratio, double warmdown_ratio);

#endif
