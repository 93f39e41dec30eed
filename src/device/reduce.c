/*
 * Reduction of one chunk from several sources; compiled once for each instruction set (DN_ISA). All sets give
 * the same bits: elements are combined in the order of the sources, each on its own.
 *
 * Two sources are taken a pass: the chunk of sums stays in the first-level cache, and the fewer passes over
 * it, the closer the loop comes to the speed of memory.
 */
#include "device/reduce.h"

#include <stdint.h>
#include <string.h>

#define PASTE(name, isa)  name##_##isa
#define EXPAND(name, isa) PASTE(name, isa)
#define TEXT_OF(x)        #x
#define TEXT(x)           TEXT_OF(x)

/* ---- bfloat16: the upper half of a float ---- */

static inline float widened(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

/* To nearest even. A NaN keeps a bit that makes it one. */
static inline uint16_t narrowed(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

/* ---- reducing into a chunk of accumulators ---- */

#define AS_IS(x)   (x)
#define PLUS(a, b) ((a) + (b))
/* The second comparison lets NaN through: a NaN in b is taken, one in a is never less than anything. */
#define LESS(a, b) ((((b) < (a)) | ((b) != (b))) ? (b) : (a))
#define MORE(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a))

/* NAME(acc, sources, n_sources, n): accumulators of type ACC from sources of type IN. */
#define DEFINE_REDUCE(NAME, IN, ACC, LOAD, OP)                                                               \
    static void NAME##_two(ACC *restrict acc, const IN *restrict a, const IN *restrict b, size_t n)          \
    {                                                                                                        \
        for (size_t i = 0; i < n; i++) {                                                                     \
            ACC x = LOAD(a[i]), y = LOAD(b[i]);                                                              \
            acc[i] = OP(x, y);                                                                               \
        }                                                                                                    \
    }                                                                                                        \
    static void NAME##_more(ACC *restrict acc, const IN *restrict a, size_t n)                               \
    {                                                                                                        \
        for (size_t i = 0; i < n; i++) {                                                                     \
            ACC x = acc[i], y = LOAD(a[i]);                                                                  \
            acc[i] = OP(x, y);                                                                               \
        }                                                                                                    \
    }                                                                                                        \
    static void NAME##_two_more(ACC *restrict acc, const IN *restrict a, const IN *restrict b, size_t n)     \
    {                                                                                                        \
        for (size_t i = 0; i < n; i++) {                                                                     \
            ACC x = acc[i], y = LOAD(a[i]), z = LOAD(b[i]);                                                  \
            x = OP(x, y);                                                                                    \
            acc[i] = OP(x, z);                                                                               \
        }                                                                                                    \
    }                                                                                                        \
    static void NAME(ACC *acc, const void *const *sources, int n_sources, size_t n)                          \
    {                                                                                                        \
        int k = 2;                                                                                           \
        if (n_sources == 1)                                                                                  \
            for (size_t i = 0; i < n; i++)                                                                   \
                acc[i] = LOAD(((const IN *)sources[0])[i]);                                                  \
        else                                                                                                 \
            NAME##_two(acc, sources[0], sources[1], n);                                                      \
        for (; k + 1 < n_sources; k += 2)                                                                    \
            NAME##_two_more(acc, sources[k], sources[k + 1], n);                                             \
        if (k < n_sources)                                                                                   \
            NAME##_more(acc, sources[k], n);                                                                 \
    }

/* ---- the three float types and the two of integers ---- */

/* A fold that needs no last touch. */
#define DEFINE_PLAIN(NAME, FOLD)                                                                             \
    static void NAME(void *out, const void *const *sources, int n_sources, size_t n, int n_averaged)         \
    {                                                                                                        \
        (void)n_averaged;                                                                                    \
        FOLD(out, sources, n_sources, n);                                                                    \
    }

/* Averages are multiplied, not divided: the baseline's divider would take a quarter of the whole call. */
#define DEFINE_FLOAT(T, NAME)                                                                                \
    DEFINE_REDUCE(add_##NAME, T, T, AS_IS, PLUS)                                                             \
    DEFINE_REDUCE(least_##NAME, T, T, AS_IS, LESS)                                                           \
    DEFINE_REDUCE(most_##NAME, T, T, AS_IS, MORE)                                                            \
    DEFINE_PLAIN(NAME##_sum, add_##NAME)                                                                     \
    DEFINE_PLAIN(NAME##_min, least_##NAME)                                                                   \
    DEFINE_PLAIN(NAME##_max, most_##NAME)                                                                    \
    static void NAME##_avg(void *out, const void *const *sources, int n_sources, size_t n, int n_averaged)   \
    {                                                                                                        \
        T *restrict x = out, factor = 1 / (T)n_averaged;                                                     \
        add_##NAME(out, sources, n_sources, n);                                                              \
        for (size_t i = 0; i < n; i++)                                                                       \
            x[i] *= factor;                                                                                  \
    }

DEFINE_FLOAT(float, f32)
DEFINE_FLOAT(double, f64)

/* Added as unsigned, where wrapping around is defined. */
#define DEFINE_INTEGER(T, UNSIGNED, NAME)                                                                    \
    DEFINE_REDUCE(add_##NAME, UNSIGNED, UNSIGNED, AS_IS, PLUS)                                               \
    DEFINE_REDUCE(least_##NAME, T, T, AS_IS, LESS)                                                           \
    DEFINE_REDUCE(most_##NAME, T, T, AS_IS, MORE)                                                            \
    DEFINE_PLAIN(NAME##_sum, add_##NAME)                                                                     \
    DEFINE_PLAIN(NAME##_min, least_##NAME)                                                                   \
    DEFINE_PLAIN(NAME##_max, most_##NAME)                                                                    \
    static void NAME##_avg(void *out, const void *const *sources, int n_sources, size_t n, int n_averaged)   \
    {                                                                                                        \
        T *restrict x = out;                                                                                 \
        add_##NAME(out, sources, n_sources, n);                                                              \
        for (size_t i = 0; i < n; i++)                                                                       \
            x[i] /= n_averaged;                                                                              \
    }

DEFINE_INTEGER(int32_t, uint32_t, i32)
DEFINE_INTEGER(int64_t, uint64_t, i64)

DEFINE_REDUCE(add_bf16, uint16_t, float, widened, PLUS)
DEFINE_REDUCE(least_bf16, uint16_t, float, widened, LESS)
DEFINE_REDUCE(most_bf16, uint16_t, float, widened, MORE)

static void narrow(uint16_t *restrict out, const float *restrict x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = narrowed(x[i] * factor);
}

#define DEFINE_BF16(OP, REDUCE, FACTOR)                                                                      \
    static void bf16_##OP(void *out, const void *const *sources, int n_sources, size_t n, int n_averaged)    \
    {                                                                                                        \
        float wide[DN_CHUNK];                                                                                \
        (void)n_averaged;                                                                                    \
        REDUCE(wide, sources, n_sources, n);                                                                 \
        narrow(out, wide, FACTOR, n);                                                                        \
    }

DEFINE_BF16(sum, add_bf16, 1)
DEFINE_BF16(avg, add_bf16, 1 / (float)n_averaged)
DEFINE_BF16(min, least_bf16, 1)
DEFINE_BF16(max, most_bf16, 1)

/* ---- the table ---- */

#define ROW(NAME)                                                                                            \
    {                                                                                                        \
        [DN_SUM] = NAME##_sum, [DN_AVG] = NAME##_avg, [DN_MIN] = NAME##_min, [DN_MAX] = NAME##_max           \
    }

extern const dn_reducers EXPAND(dn_reducers, DN_ISA);

const dn_reducers EXPAND(dn_reducers, DN_ISA) = {
    .name = TEXT(DN_ISA),
    .reduce = {[DN_F32] = ROW(f32),
               [DN_F64] = ROW(f64),
               [DN_BF16] = ROW(bf16),
               [DN_I32] = ROW(i32),
               [DN_I64] = ROW(i64)},
};
