/* Comparisons of numbers that print them where they fail. NaN fails each. */
#ifndef SUPPORT_CLOSE_H
#define SUPPORT_CLOSE_H

#include <math.h>

/** The larger one, where NaN is larger than all numbers: fmax would drop it, and the error with it. */
static inline double larger(double a, double b)
{
    return b > a || isnan(b) ? b : a;
}

/** |got - want| <= bound. */
#define assert_close(got, want, bound) close_assert(got, want, bound, #got, #want, __FILE__, __LINE__)
/** got < bound, and so on. */
#define assert_below(got, bound)    close_order(got, "<", bound, #got, #bound, __FILE__, __LINE__)
#define assert_at_most(got, bound)  close_order(got, "<=", bound, #got, #bound, __FILE__, __LINE__)
#define assert_above(got, bound)    close_order(got, ">", bound, #got, #bound, __FILE__, __LINE__)
#define assert_at_least(got, bound) close_order(got, ">=", bound, #got, #bound, __FILE__, __LINE__)

void close_assert(double got, double want, double bound, const char *got_text, const char *want_text,
                  const char *file, int line);
void close_order(double got, const char *order, double bound, const char *got_text, const char *bound_text,
                 const char *file, int line);

#endif
