/* The part of a comparison's page that is about strategies: what they exchange, and how long runs would have taken on
 * networks. */
#ifndef REPORT_STRATEGIES_HTML_H
#define REPORT_STRATEGIES_HTML_H

#include "report/comparison.h"
#include "report/plot.h"

typedef struct dn_strategies_page {
    const dn_comparison *comparison;
    char (*names)[DN_CONTENDER_NAME]; /* of contenders, as all arrays here; borrowed */
    const dn_plot_style *styles;
    const dn_curve *curves; /* empty where there is no best */
} dn_strategies_page;

/** Which of n points are beaten by no other one in both x and y (lower is better), by rising x: front [n]. Returns how
 * many. Points that are not finite are left out. */
size_t dn_pareto_front(const double *x, const double *y, size_t n, size_t *front);

void dn_strategies_write(const dn_strategies_page *page, FILE *out);

#endif
