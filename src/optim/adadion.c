#include "optim/adadion.h"

#include "base/size.h"

#include <math.h>

dn_adadion_rule dn_adadion_defaults(void)
{
    return (dn_adadion_rule){
        .smoothing = 0.9, .margin = 1.5, .least = 16, .multiple = 8, .most_up = 16, .most_down = 8};
}

double dn_adadion_effective_rank(const double *column_squares, size_t r)
{
    double sum = 0, entropy = 0;
    for (size_t j = 0; j < r; j++)
        sum += sqrt(column_squares[j]);
    if (sum == 0)
        return 0;
    for (size_t j = 0; j < r; j++) {
        double share = sqrt(column_squares[j]) / sum;
        if (share > 0)
            entropy -= share * log(share);
    }
    return exp(entropy);
}

size_t dn_adadion_next_rank(const dn_adadion_rule *rule, double effective, double *smoothed, size_t r,
                            size_t cap)
{
    if (!(effective > 0))
        return r;
    *smoothed = *smoothed == 0 ? effective : rule->smoothing * *smoothed + (1 - rule->smoothing) * effective;
    double steps = round(rule->margin * *smoothed / (double)rule->multiple);
    size_t aim = dn_min(dn_max(rule->least, (size_t)steps * rule->multiple), cap);
    size_t low = r > rule->most_down ? r - rule->most_down : 0;
    return dn_min(dn_max(low, aim), r + rule->most_up);
}
