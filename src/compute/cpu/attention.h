/* Steps of attention in tiles (attention.c), which attention to a prefix takes too. */
#ifndef COMPUTE_CPU_ATTENTION_H
#define COMPUTE_CPU_ATTENTION_H

#include "compute/cpu/tile.h"
#include "compute/cpu/vector_math.h"

#include <string.h>

#define BLOCK ((size_t)64) /* queries and keys of a tile */
#define STRIP ((size_t)32) /* of a tile across the diagonal, half of which nobody sees */

/* A right factor of a product, which is whole vectors wide. */
typedef struct factor {
    const dn_real *x;
    size_t ld;
} factor;

/* x [rows,hd] where it is, or its copy in `room` with zeros up to whole vectors. */
static inline factor whole_vectors(dn_real *room, const dn_real *x, size_t ld, size_t rows, size_t hd)
{
    size_t width = dn_whole_vectors(hd);
    if (width == hd)
        return (factor){x, ld};
    for (size_t i = 0; i < rows; i++) {
        memcpy(room + i * width, x + i * ld, hd * sizeof *x);
        memset(room + i * width + hd, 0, (width - hd) * sizeof *x);
    }
    return (factor){room, width};
}

/* Scores are made with this factor, since their exponentials are powers of 2. */
static inline dn_real scale_of(const dn_attention_shape *x)
{
    return (dn_real)(M_LOG2E / sqrt((double)x->hd));
}

/* A step of the softmax of STRIP queries, a column each: their scores against `keys` more keys, [keys,STRIP]
 * in rows of BLOCK, become 2^(score - max), with the maximum so far. What was made of earlier keys is to be
 * multiplied by `shrink`, as sum is. */
static inline void softmax_step(dn_real *restrict scores, size_t keys, dn_real *restrict max, dn_real *restrict sum,
                                dn_real *restrict shrink)
{
    dn_real top[STRIP], total[STRIP] = {0};
    memcpy(top, max, sizeof top);
    for (size_t j = 0; j < keys; j++)
#pragma omp simd
        for (size_t i = 0; i < STRIP; i++)
            top[i] = scores[j * BLOCK + i] > top[i] ? scores[j * BLOCK + i] : top[i];
    for (size_t j = 0; j < keys; j++)
#pragma omp simd
        for (size_t i = 0; i < STRIP; i++) {
            scores[j * BLOCK + i] = dn_exp2(scores[j * BLOCK + i] - top[i]);
            total[i] += scores[j * BLOCK + i];
        }
#pragma omp simd
    for (size_t i = 0; i < STRIP; i++) {
        shrink[i] = dn_exp2(max[i] - top[i]);
        sum[i] = sum[i] * shrink[i] + total[i];
        max[i] = top[i];
    }
}

/* Scores p become probabilities, 2^(p - lse); ds, which is dO V', becomes scale p (ds - d). */
static inline void score_gradient(dn_real *restrict p, dn_real *restrict ds, const dn_real *restrict lse,
                                  const dn_real *restrict d, dn_real scale, size_t rows, size_t lanes)
{
    for (size_t i = 0; i < rows; i++)
#pragma omp simd
        for (size_t j = 0; j < lanes; j++) {
            dn_real above = p[i * BLOCK + j] - lse[i] * (dn_real)M_LOG2E; /* 0 at most, but for rounding */
            p[i * BLOCK + j] = dn_exp2(above > 0 ? 0 : above);
            ds[i * BLOCK + j] = scale * p[i * BLOCK + j] * (ds[i * BLOCK + j] - d[i]);
        }
}

/* to [rows,hd] = from, or with `add` to + from */
static inline void put_rows(dn_real *restrict to, size_t ld, bool add, const dn_real *restrict from, size_t width,
                            size_t rows, size_t hd)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < hd; c++)
            to[i * ld + c] = add ? to[i * ld + c] + from[i * width + c] : from[i * width + c];
}

#endif
