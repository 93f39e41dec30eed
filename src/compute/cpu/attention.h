/* Steps of attention in tiles (attention.c), which attention to a prefix, and in mixed precision, takes too. */
#ifndef COMPUTE_CPU_ATTENTION_H
#define COMPUTE_CPU_ATTENTION_H

#include "base/pause.h"
#include "compute/cpu/tile.h"
#include "compute/cpu/vector_math.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define BLOCK ((size_t)64) /* queries and keys of a tile */
#define STRIP ((size_t)32) /* of a tile across the diagonal, half of which nobody sees */

/* One head of one sequence: where its elements start in q, in k and v, in o, in lse, and how far apart its
 * rows are. */
typedef struct one_head {
    size_t at, at_kv, at_o, at_lse, ld, ld_kv, ldo;
} one_head;

static inline one_head head_of(const dn_attention_shape *x, size_t b, size_t h)
{
    size_t row = b * x->T * x->ld, kv = h / (x->NH / x->NKV);
    return (one_head){.at = row + h * x->hd,
                  .at_kv = x->room ? (2 * b * x->NKV + kv) * x->room * x->hd : row + kv * x->hd,
                  .at_o = (b * x->T * x->NH + h) * x->hd,
                  .at_lse = (b * x->NH + h) * x->T,
                  .ld = x->ld,
                  .ld_kv = x->room ? x->hd : x->ld,
                  .ldo = x->NH * x->hd};
}

/* The first key that the query at this position sees. */
static inline size_t first_key(const dn_attention_shape *x, size_t position)
{
    return x->window > 0 && position >= x->window ? position + 1 - x->window : 0;
}

/* Asks memory for a tile: rows of a head are shorter and further apart than what processors read ahead. */
static inline void ask_for(const dn_real *x, size_t ld, size_t rows, size_t hd)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < hd; c += 64 / sizeof *x)
            __builtin_prefetch(x + i * ld + c, 0, 2);
}

/* The next task, if any is left. */
static inline bool take(atomic_size_t *taken, size_t heads, size_t parts, size_t n_threads, dn_cpu_task *out)
{
    size_t number = atomic_fetch_add(taken, 1);
    if (number < heads * parts)
        *out = dn_cpu_task_of(number, heads, parts, n_threads);
    return number < heads * parts;
}

/* The scores from number `from` to `end` - 1 of a row are not wanted. */
static inline void mask(dn_real *scores, size_t from, size_t end)
{
    for (size_t i = from; i < end; i++)
        scores[i] = -(dn_real)INFINITY;
}

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
 * in rows of BLOCK, become 2^(unit (score - max)), with the maximum so far. What was made of earlier keys is to be
 * multiplied by `shrink`, as sum is. */
static inline __attribute__((always_inline)) void softmax_step(dn_real *restrict scores, size_t keys, dn_real unit,
                                                               dn_real *restrict max, dn_real *restrict sum, dn_real *restrict shrink)
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
            scores[j * BLOCK + i] = dn_exp2(unit * (scores[j * BLOCK + i] - top[i]));
            total[i] += scores[j * BLOCK + i];
        }
#pragma omp simd
    for (size_t i = 0; i < STRIP; i++) {
        shrink[i] = dn_exp2(unit * (max[i] - top[i]));
        sum[i] = sum[i] * shrink[i] + total[i];
        max[i] = top[i];
    }
}

/* Scores p become probabilities, 2^(unit p) / e^lse; ds, which is dO V', becomes scale p (ds - d). */
static inline __attribute__((always_inline)) void score_gradient(dn_real *restrict p, dn_real *restrict ds, dn_real unit,
                                                                 const dn_real *restrict lse, const dn_real *restrict d, dn_real scale,
                                                                 size_t rows, size_t lanes)
{
    for (size_t i = 0; i < rows; i++)
#pragma omp simd
        for (size_t j = 0; j < lanes; j++) {
            dn_real above = unit * p[i * BLOCK + j] - lse[i] * (dn_real)M_LOG2E; /* 0 at most, but for rounding */
            p[i * BLOCK + j] = dn_exp2(above > 0 ? 0 : above);
            ds[i * BLOCK + j] = scale * p[i * BLOCK + j] * (ds[i * BLOCK + j] - d[i]);
        }
}

/* For the task of the block of keys before, which adds to the same rows first: a tile away, as a rule. If not, its thread may need this
 * core: a sleep gives it away and, unlike sched_yield, does not leave it to a stranger for a time slice. */
static inline void await_turn(const atomic_uint *added, unsigned before)
{
    enum { PAUSES = 1000, NAP_NS = 50000 }; /* some tens of microseconds each */
    for (int i = 0; atomic_load_explicit(added, memory_order_acquire) != before; i++)
        if (i < PAUSES)
            dn_pause();
        else
            nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
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
