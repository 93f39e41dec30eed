/*
 * The micro-kernel in vectors: as many rows as registers hold with two vectors of sums each. A pair is multiplied by VDPBF16PS
 * where the processor has it; elsewhere `dot` says in plain vectors what that does.
 */
#ifndef COMPUTE_CPU_MIXED_VECTORS_H
#define COMPUTE_CPU_MIXED_VECTORS_H

#include "compute/cpu/mixed.h"

typedef DN_VECTOR(uint32_t, DN_LANES * sizeof(uint32_t)) vector_pairs;
typedef DN_VECTOR(float, DN_LANES * sizeof(float)) vector_float;

#ifdef __AVX512BF16__
#define ROWS ((size_t)12)
#else
#define ROWS ((size_t)4)
#endif

enum { WIDE = 2 * DN_LANES, HIGH = 1, TILE = 1, ACROSS = 1, GROUPS_APART = 16 };

/* Where row i of A is. */
INLINE size_t row_of(size_t i)
{
    return i * DEEP;
}

/* The two products of pairs, the second first. */
INLINE dn_vector dot(dn_vector sum, vector_pairs a, vector_pairs b)
{
#ifdef __AVX512BF16__
    return (dn_vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    sum += __builtin_convertvector((vector_float)(a & 0xffff0000u), dn_vector) *
           __builtin_convertvector((vector_float)(b & 0xffff0000u), dn_vector);
    sum += __builtin_convertvector((vector_float)(a << 16), dn_vector) *
           __builtin_convertvector((vector_float)(b << 16), dn_vector);
    return sum;
#endif
}

static void put_row(dn_real *restrict c, const dn_real *restrict sum, bool add, size_t n)
{
    for (size_t j = 0; j < n; j++)
        c[j] = add ? sum[j] + c[j] : sum[j];
}

/* Where this is inlined ta and rows are constants: sum becomes registers. */
INLINE void multiply_block(const part *x, dn_trans ta, size_t i, size_t rows)
{
    dn_vector sum[ROWS][2];
    const uint32_t *a = ta == DN_T ? x->a + i : x->a + i * DEEP, *panel = x->panel;
    dn_real *c = x->c + i * x->ldc;
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = (dn_vector){0};
    for (size_t l = 0; l < x->pairs; l++) {
        vector_pairs left = *(const vector_pairs *)(panel + l * WIDE), right = *(const vector_pairs *)(panel + l * WIDE + DN_LANES);
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++) {
            vector_pairs pair = (vector_pairs){0} + (ta == DN_T ? a[l * TALL + r] : a[r * DEEP + l]);
            sum[r][0] = dot(sum[r][0], pair, left);
            sum[r][1] = dot(sum[r][1], pair, right);
        }
    }
    if (x->columns == WIDE) {
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < 2; v++) {
                dn_vector *to = (dn_vector *)(c + r * x->ldc + v * DN_LANES);
                if (x->add)
                    sum[r][v] += *to;
                *to = sum[r][v];
            }
    } else {
        dn_real whole[WIDE];
        for (size_t r = 0; r < rows; r++) {
            memcpy(whole, sum[r], sizeof whole);
            put_row(c + r * x->ldc, whole, x->add, x->columns);
        }
    }
}

INLINE void multiply_rows(const part *x, dn_trans ta, size_t i, size_t rows)
{
    switch (rows) {
#define ROWS_ARE(r)                                                                                                            \
    case r:                                                                                                                    \
        multiply_block(x, ta, i, r);                                                                                           \
        break;
        ROWS_ARE(1)
        ROWS_ARE(2)
        ROWS_ARE(3)
        ROWS_ARE(4)
#ifdef __AVX512BF16__
        ROWS_ARE(5)
        ROWS_ARE(6)
        ROWS_ARE(7)
        ROWS_ARE(8)
        ROWS_ARE(9)
        ROWS_ARE(10)
        ROWS_ARE(11)
        ROWS_ARE(12)
#endif
#undef ROWS_ARE
    }
}

/* Rows are shared out evenly: blocks of one or two would wait for their own sums. */
static void multiply_panel(const part *x, dn_trans ta, size_t rows)
{
    size_t slices = dn_blocks(rows, ROWS);
    for (size_t s = 0; s < slices; s++) {
        size_t i = rows * s / slices, some = rows * (s + 1) / slices - i;
        if (ta == DN_T)
            multiply_rows(x, DN_T, i, some);
        else
            multiply_rows(x, DN_N, i, some);
    }
}

/* Nothing is to be made ready for a thread. */
static inline void begin_tiles(void)
{
}

static inline void end_tiles(void)
{
}

/* ---- its limit: as multiply_add.c, sums enough that one is always ready; a pair is two rounds ---- */

enum { VECTORS = 12, GROUP = VECTORS * DN_LANES };

static void add_group(dn_real *x, uint32_t a, uint32_t b, size_t rounds)
{
    dn_vector sum[VECTORS];
    vector_pairs left = (vector_pairs){0} + (a | a << 16), right = (vector_pairs){0} + (b | b << 16),
                 last = (vector_pairs){0} + b;
    for (size_t v = 0; v < VECTORS; v++)
        sum[v] = dn_load(x + v * DN_LANES);
    for (size_t round = 0; round + 1 < rounds; round += 2)
#pragma GCC unroll 12
        for (size_t v = 0; v < VECTORS; v++)
            sum[v] = dot(sum[v], left, right);
    for (size_t v = 0; v < VECTORS; v++)
        *(dn_vector *)(x + v * DN_LANES) = rounds % 2 ? dot(sum[v], left, last) : sum[v];
}

#endif
