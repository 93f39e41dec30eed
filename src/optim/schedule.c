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
