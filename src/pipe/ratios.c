#include "pipe/ratios.h"

#include "base/fail.h"
#include "base/size.h"
#include "nn/channel.h"

#include <math.h>

void dn_pipe_ratios(const double *seconds, size_t n, double saving, double overhead, double *ratio)
{
    double slowest = 0;
    for (size_t i = 0; i < n; i++)
        slowest = fmax(slowest, seconds[i]);
    for (size_t i = 0; i < n; i++)
        ratio[i] = slowest > 0 ? fmax(1, overhead * saving * seconds[i] / slowest) : 1;
}

dn_status dn_pipe_kept(dn_channel_choice choice, double quantile, double saving, const double *seconds, size_t n, size_t C,
                       size_t *kept)
{
    double ratio[DN_MAX_RANKS];
    dn_pipe_ratios(seconds, n, saving, dn_channel_overhead(C), ratio);
    for (size_t i = 0; i < n; i++) {
        if (choice == DN_CHANNEL_TOPK && ratio[i] > (double)C)
            return dn_fail(DN_ERR_CONFIG, "channel_ratio %g: of a position's %zu numbers (model_dim) nothing would be left; use no more than %g",
                           saving, C, floor((double)C / dn_channel_overhead(C)));
        size_t wanted = choice == DN_CHANNEL_TOPK ? (size_t)ceil((double)C / ratio[i]) : C - dn_min((size_t)(quantile * (double)C), C - 1);
        kept[i] = choice == DN_CHANNEL_DENSE ? 0 : dn_channel_kept(wanted, C);
    }
    return DN_OK;
}
