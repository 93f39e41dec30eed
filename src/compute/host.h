/*
 * Shared by the columns that compute on the host (ref/, cpu/); nothing outside src/compute includes it. A
 * handle is then simply an address, and scratch is memory of the stream.
 */
#ifndef COMPUTE_HOST_H
#define COMPUTE_HOST_H

#include "compute/kernels.h"

#include <float.h>

#define DN_NORM_EPS    ((double)FLT_EPSILON) /* of every RMS norm, in both precisions */
#define DN_ROTARY_BASE 10000.0

/** The elements behind a handle. Kernels keep to the const of their arguments themselves. */
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

/**
 * At least `bytes` bytes, 128-byte aligned, contents undefined, valid until the next call for this stream.
 * Grows and never shrinks. NULL if there is no memory: the stream's status then says so, and the kernel
 * returns.
 */
void *dn_scratch(dn_stream *s, size_t bytes);

/** Rows of orth_sketched's sketch: 1.25 r, rounded up to a multiple of 128 (dion.md 1.3). */
static inline size_t dn_sketch_rows(size_t r)
{
    return (5 * r + 511) / 512 * 128;
}

extern const dn_kernels dn_kernels_ref;

#endif
