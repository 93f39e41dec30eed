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

/* Of the exponential below: DN_EXP2_TERMS is twice the polynomial in r, highest power first, of least relative error (9e-8 in
 * float, 3e-18 in double; by Remez's algorithm) from -1/2 to 1/2 among those that begin with 1. */
#ifdef DN_REAL_DOUBLE
typedef uint64_t dn_exp2_bits;
enum { DN_FRACTION_BITS = 52, DN_EXP2_LOWEST = -1022 };
#define DN_EXP2_TERMS                                                                                          \
    8.8695437967116890e-10, 1.41475664742868376e-8, 2.03563991354175151e-7, 2.64308705647486068e-6,            \
        3.05054669862754746e-5, 3.08070609142239237e-4, 2.66671162935492193e-3, 1.92362582151882404e-2,        \
        0.111008217329640167, 0.480453013918202625, 1.38629436111989065, 2
#else
typedef uint32_t dn_exp2_bits;
enum { DN_FRACTION_BITS = 23, DN_EXP2_LOWEST = -126 };
#define DN_EXP2_TERMS 2.65294552e-3f, 1.93430253e-2f, 0.111014675f, 0.480444842f, 1.38629396f, 2
#endif

/* 2^x for x <= 0, within 1.3 eps; 0 from about DN_EXP2_LOWEST on, before numbers lose digits; NaN stays NaN. Nothing but
 * arithmetic, so that a loop over it becomes vectors: 2^n times a polynomial in r, with n whole and x = n + r. */
static inline dn_real dn_exp2(dn_real x)
{
    static const dn_real terms[] = {DN_EXP2_TERMS};
    /* Added to a number of this size it leaves n - DN_EXP2_LOWEST, the exponent of 2^(n-1), in the lowest bits. */
    const dn_real rounder = (dn_real)1.5 * (dn_real)((dn_exp2_bits)1 << DN_FRACTION_BITS) - DN_EXP2_LOWEST;
    dn_real cut = x < DN_EXP2_LOWEST ? DN_EXP2_LOWEST : x;
    union {
        dn_real number;
        dn_exp2_bits bits;
    } power = {cut + rounder};
    dn_real r = cut - (power.number - rounder), twice = terms[0];
#pragma GCC unroll 16
    for (size_t i = 1; i < sizeof terms / sizeof *terms; i++)
        twice = twice * r + terms[i];
    power.bits <<= DN_FRACTION_BITS;
    return twice * power.number;
}

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
