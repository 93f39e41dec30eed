#include "optim/schedule.h"

#include <math.h>

/* Up over the first n_warmup steps, full at the last of them. */
static double rise(double step, double n_warmup)
{
    return step + 1 < n_warmup ? (step + 1) / n_warmup : 1;
}

/* Down over the last n_fall of n_steps steps: 1 at the begin of the fall, 1 of n_fall in the last step. */
static double fall(double step, double n_steps, double n_fall)
{
    return n_steps - step < n_fall ? (n_steps - step) / n_fall : 1;
}

double dn_schedule_factor(const dn_schedule_rule *rule, uint64_t step, uint64_t n_steps)
{
    double t = (double)step, n = (double)n_steps;
    double n_warmup = rint(rule->warmup_ratio * n), n_warmdown = rint(rule->warmdown_ratio * n);
    switch (rule->shape) {
    case DN_SCHEDULE_LINEAR:
        return rise(t, n_warmup) * fall(t, n, n - n_warmup);
    case DN_SCHEDULE_COSINE:
        return rise(t, n_warmup) * 0.5 * (1 - cos(M_PI * fall(t, n, n - n_warmup)));
    case DN_SCHEDULE_TRAPEZOID:
        return fmin(rise(t, n_warmup), fall(t, n, n_warmdown));
    case DN_SCHEDULE_CONSTANT:
        break;
    }
    return 1;
}
