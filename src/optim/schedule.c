#include "optim/schedule.h"

#include <math.h>

double dn_schedule(uint64_t step, uint64_t n_steps, double warmup_ratio, double warmdown_ratio)
{
    double n_warmup = round(warmup_ratio * (double)n_steps);
    double n_warmdown = round(warmdown_ratio * (double)n_steps);
    double factor = 1;
    if ((double)(step + 1) < n_warmup)
        factor = (double)(step + 1) / n_warmup;
    if ((double)(n_steps - step) < n_warmdown)
        factor = fmin(factor, (double)(n_steps - step) / n_warmdown);
    return factor;
}

/* What is left of the fall after the warm-up: 1 at its begin, 1 of n_left in the last step. */
static double left_of_fall(double step, double n_steps, double n_warmup)
{
    double n_left = n_steps - n_warmup;
    return step < n_warmup ? 1 : (n_steps - step) / n_left;
}

double dn_schedule_factor(const dn_schedule_rule *rule, uint64_t step, uint64_t n_steps)
{
    double rise = dn_schedule(step, n_steps, rule->warmup_ratio, 0);
    double left = left_of_fall((double)step, (double)n_steps, round(rule->warmup_ratio * (double)n_steps));
    switch (rule->shape) {
    case DN_SCHEDULE_LINEAR:
        return rise * left;
    case DN_SCHEDULE_COSINE:
        return rise * 0.5 * (1 - cos(M_PI * left));
    case DN_SCHEDULE_TRAPEZOID:
        return dn_schedule(step, n_steps, rule->warmup_ratio, rule->warmdown_ratio);
    case DN_SCHEDULE_CONSTANT:
        break;
    }
    return 1;
}
