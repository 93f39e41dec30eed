/*
 * Shared by the backends that compute on the host (ref/, cpu/); nothing outside src/compute includes it. A
 * handle is then simply an address, and scratch is memory of the stream.
 */
#ifndef COMPUTE_HOST_H
#define COMPUTE_HOST_H

#include "compute/kernels.h"

#include <float.h>

/* Rounding error of an element of a Gram matrix in double, relative to the norms of its two columns; 16
 * covers a few levels of summation. A Cholesky pivot, the squared distance of a column from the span of the
 * earlier ones, is mere rounding below this fraction of the column's squared norm. */
#define DN_GRAM_ROUNDING (16 * DBL_EPSILON)
/* The same for the distance itself, in the precision of the given matrix. */
#define DN_DEPENDENT_SHARE (16 * DN_REAL_EPS)

/* A block of numbers below this has no scale: 127 divided by it would be beyond the largest number. */
#if defined DN_REAL_DOUBLE
#define DN_QUANTUM_LEAST (128 * DBL_MIN)
#elif !defined DN_REAL_EITHER
#define DN_QUANTUM_LEAST (128 * FLT_MIN)
#endif

/* Sums over the numbers of a message (ops.h): of those DN_SUM_LANES apart in a block, in order; then over the lanes of a
 * block, then over blocks. In double, with products rounded before they are added; but for what is in the bins of int2, of which
 * runs of DN_SUM_RUN are summed in the program's precision first, as twice as many fit a register. Then they have the same bits
 * on every backend. */
enum { DN_SUM_LANES = 16, DN_SUM_BLOCK = 16384, DN_SUM_RUN = 16 };

/** The elements behind a handle. Drops const; kernels must not write their inputs. */
static inline dn_real *dn_host(const dn_buf *x)
{
    return (dn_real *)x;
}

static inline int32_t *dn_host_ids(const dn_ids *x)
{
    return (int32_t *)x;
}

static inline uint16_t *dn_host_bf16(const dn_bf16 *x)
{
    return (uint16_t *)x;
}

static inline unsigned char *dn_host_bytes(const dn_bytes *x)
{
    return (unsigned char *)x;
}

static inline double *dn_host_wide(const dn_wide *x)
{
    return (double *)x;
}

/**
 * At least `bytes` bytes, 128-byte aligned, contents undefined, valid until the next call for this stream.
 * Grows and never shrinks. NULL if out of memory: the stream's status is set, and the kernel returns.
 */
void *dn_scratch(dn_stream *s, size_t bytes);

extern const dn_kernels dn_kernels_ref;

/* The kernels of a device that has none of its own: each is queued, and computed by the host. */
extern const dn_kernels dn_kernels_fallback;

#endif
