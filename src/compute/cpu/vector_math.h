/*
 * Vector exponentials and the maximum of a row. The compiler calls glibc's vector library (libmvec, error
 * within 4 ulp) for loops over exp once its prototype says there are vector variants; elsewhere the same
 * loops are scalar.
 */
#ifndef COMPUTE_CPU_VECTOR_MATH_H
#define COMPUTE_CPU_VECTOR_MATH_H

#include "compute/cpu/cpu.h"

#include <math.h>

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
__attribute__((__simd__("notinbranch"))) float expf(float);
__attribute__((__simd__("notinbranch"))) double exp(double);
#endif

#ifdef DN_REAL_DOUBLE
#define DN_EXP exp
#else
#define DN_EXP expf
#endif

/* Arguments at or below this count as -infinity: e^x is no normal number there, and the vector library leaves
 * its fast path. */
#ifdef DN_REAL_DOUBLE
#define DN_EXP_LOWEST ((dn_real)-708)
#else
#define DN_EXP_LOWEST ((dn_real)-87)
#endif

static inline dn_real dn_row_max(const dn_real *x, size_t n)
{
    dn_real max = -(dn_real)INFINITY;
#pragma omp simd reduction(max : max)
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

/* y = x - shift, cut at DN_EXP_LOWEST. A loop of its own: fused with the next one, the compiler would move
 * the cut behind the call and lose its purpose. */
static inline void dn_shift_row(dn_real *y, const dn_real *x, dn_real shift, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        dn_real difference = x[i] - shift;
        y[i] = difference < DN_EXP_LOWEST ? DN_EXP_LOWEST : difference;
    }
}

/* y = e^y for what dn_shift_row left. */
static inline void dn_exp_row(dn_real *y, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        dn_real e = DN_EXP(y[i]);
        y[i] = y[i] <= DN_EXP_LOWEST ? 0 : e;
    }
}

static inline dn_real dn_row_sum(const dn_real *x, size_t n)
{
    dn_real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static inline dn_real dn_row_dot(const dn_real *x, const dn_real *y, size_t n)
{
    dn_real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

#endif
