#include "report/linktime.h"

#include <math.h>

const dn_named_link dn_links[DN_N_LINKS] = {{"as measured", {0, 0}},
                                            {"10 Gb/s, 0.1 ms", {1e-4, 1.25e9}},
                                            {"1 Gb/s, 1 ms", {1e-3, 1.25e8}},
                                            {"100 Mb/s, 20 ms", {2e-2, 1.25e7}}};

double dn_record_link_s(const dn_record *record, uint64_t step, const dn_link *link)
{
    double seconds = 0;
    for (size_t i = 0; i < record->n && record->steps[i].step <= step; i++) {
        const dn_record_step *x = &record->steps[i];
        double compute = x->step_s - (isnan(x->link_s) ? 0 : x->link_s), delay = isnan(x->delay) ? 0 : x->delay;
        seconds += compute;
        if (link->bytes_per_s > 0) {
            double moving = dn_link_s(link, 0, x->cluster_bytes), early = isnan(x->overlap_bytes) ? 0 : x->overlap_bytes,
                   hidden = early > 0 ? fmin(x->overlap_s, dn_link_s(link, 0, early)) : 0;
            double beside = hidden + (isnan(x->wait_s) ? 0 : x->wait_s) + delay * compute;
            double left = moving + dn_link_s(link, x->hops, 0) - beside;
            seconds += left < 0 ? 0 : left; /* NaN stays */
        }
    }
    return seconds;
}

uint64_t dn_record_reaches(const dn_record *record, double target)
{
    for (size_t i = 0; i < record->n; i++)
        if (record->steps[i].val_loss <= target)
            return record->steps[i].step;
    return 0;
}
