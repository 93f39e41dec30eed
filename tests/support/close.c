#include "support/close.h"

#include "support/tests.h"

#include <string.h>

void close_assert(double got, double want, double bound, const char *got_text, const char *want_text,
                  const char *file, int line)
{
    if (fabs(got - want) <= bound)
        return;
    print_error("%s is %.17g, not %s, %.17g: off by %.3g, bound %.3g\n", got_text, got, want_text, want,
                fabs(got - want), bound);
    _fail(file, line);
}

void close_order(double got, const char *order, double bound, const char *got_text, const char *bound_text,
                 const char *file, int line)
{
    bool or_equal = strlen(order) > 1;
    double below = *order == '<' ? got : bound, above = *order == '<' ? bound : got;
    if (below < above || (or_equal && below == above))
        return;
    print_error("%s is %.17g, not %s %s, %.17g\n", got_text, got, order, bound_text, bound);
    _fail(file, line);
}
