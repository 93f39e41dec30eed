/* Few bits a number (ops.h): one pass over memory each, and one before it where codes depend on all numbers. */
#include "compute/cpu/simd.h"

#include <math.h>

static dn_real *scales_of(const dn_bytes *x)
{
    return (dn_real *)(void *)dn_host_bytes(x);
}

/* ---- a scale a block ---- */

typedef void (*block_coder)(unsigned char *codes, dn_real *scale, const dn_real *x, size_t n);
typedef void (*block_adder)(dn_real *y, dn_real a, const unsigned char *codes, dn_real scale, size_t n);

/* code_bits: of a number */
static void encode_blocks(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n, size_t code_bits,
                          block_coder encode)
{
    unsigned char *codes = dn_host_bytes(to) + dn_scale_bytes(n);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK)
        encode(codes + at * code_bits / 8, scales_of(to) + at / DN_QUANTUM_BLOCK, dn_host(x) + at,
               dn_min(n - at, DN_QUANTUM_BLOCK));
}

static void add_blocks(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n, size_t code_bits,
                       block_adder add)
{
    const unsigned char *codes = dn_host_bytes(from) + dn_scale_bytes(n);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        dn_real scale = scales_of(from)[at / DN_QUANTUM_BLOCK];
        add(dn_host(y) + at, (dn_real)a, codes + at * code_bits / 8, isfinite(scale) ? scale : (dn_real)NAN,
            dn_min(n - at, DN_QUANTUM_BLOCK));
    }
}

/* Compared as integers, which puts NaN before infinity. */
static dn_real largest(const dn_real *x, size_t n)
{
    dn_real_bits most = 0;
    for (size_t i = 0; i < n; i++) {
        dn_real_bits magnitude = dn_bits_of(x[i]) & DN_MAGNITUDE;
        most = magnitude > most ? magnitude : most;
    }
    return dn_real_of(most);
}

/* The thresholds of codes 2 to 7 are 2^-5 to 1 times 0.75 of the largest: between two of them the integer of the bits grows
 * by one unit of the exponent. Numbers stand in pairs of a byte: an odd last one has a 0 beside it. */
static void encode_fp4(unsigned char *codes, dn_real *scale, const dn_real *x, size_t n)
{
    dn_real most = largest(x, n);
    unsigned char code[DN_QUANTUM_BLOCK + 1];
    *scale = most < DN_QUANTUM_LEAST ? 0 : most;
    if (*scale == 0 || !isfinite(most)) {
        memset(codes, 0, (n + 1) / 2);
        return;
    }
    const dn_real_bits least = dn_bits_of(most / 128), last = dn_bits_of((dn_real)0.75 * most);
    const dn_real_bits zero = last - ((dn_real_bits)7 << DN_FRACTION);
    for (size_t i = 0; i < n; i++) {
        dn_real_bits magnitude = dn_bits_of(x[i]) & DN_MAGNITUDE, c = (magnitude - zero) >> DN_FRACTION;
        c = c > 7 ? 7 : c;
        c = c > 1 ? c : magnitude >= least;
        code[i] = (unsigned char)(c | (dn_bits_of(x[i]) < 0 ? 8 : 0));
    }
    code[n] = 0;
    for (size_t i = 0; i < (n + 1) / 2; i++)
        codes[i] = (unsigned char)(code[2 * i] | code[2 * i + 1] << 4);
}

/* c > 0 is 2^(c-7): the exponent c - 7. */
static dn_real fp4_value(dn_real_bits code)
{
    dn_real_bits c = code & 7, magnitude = (c + (DN_EXPONENT_BIAS - 7)) << DN_FRACTION;
    return dn_real_of((c ? magnitude : 0) | (code & 8 ? DN_SIGN_BIT : 0));
}

static void add_fp4(dn_real *y, dn_real a, const unsigned char *codes, dn_real scale, size_t n)
{
    unsigned char code[DN_QUANTUM_BLOCK + 1];
    for (size_t i = 0; i < (n + 1) / 2; i++) {
        code[2 * i] = codes[i] & 15;
        code[2 * i + 1] = codes[i] >> 4;
    }
    dn_real factor = a * scale;
    for (size_t i = 0; i < n; i++)
        y[i] += factor * fp4_value(code[i]);
}

static void encode_int8(unsigned char *codes, dn_real *scale, const dn_real *x, size_t n)
{
    dn_real most = largest(x, n);
    *scale = most < DN_QUANTUM_LEAST ? 0 : most / 127;
    if (*scale == 0 || !isfinite(most)) {
        memset(codes, 0, n);
        return;
    }
    dn_real inverse = 127 / most;
    for (size_t i = 0; i < n; i++) {
        dn_real multiple = x[i] * inverse, rest = multiple - (dn_real)(int32_t)multiple; /* exact */
        codes[i] = (unsigned char)((int32_t)multiple + (rest >= (dn_real)0.5) - (rest <= (dn_real)-0.5));
    }
}

static void add_int8(dn_real *y, dn_real a, const unsigned char *codes, dn_real scale, size_t n)
{
    dn_real factor = a * scale;
    for (size_t i = 0; i < n; i++)
        y[i] += factor * (dn_real)(int8_t)codes[i];
}

void DN_CPU(encode_fp4)(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    encode_blocks(s, to, x, n, 4, encode_fp4);
}

void DN_CPU(add_fp4)(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    add_blocks(s, y, a, from, n, 4, add_fp4);
}

void DN_CPU(encode_int8)(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    encode_blocks(s, to, x, n, 8, encode_int8);
}

void DN_CPU(add_int8)(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    add_blocks(s, y, a, from, n, 8, add_int8);
}

/* ---- sums over all numbers, in lanes and blocks ---- */

enum { BINS = 4, WIDE = DN_VECTOR_BYTES / sizeof(double), WIDES = DN_SUM_LANES / WIDE };
typedef DN_VECTOR(double, DN_VECTOR_BYTES) wide;
typedef DN_VECTOR(int64_t, DN_VECTOR_BYTES) wide_bits;
typedef DN_VECTOR(dn_real, WIDE * sizeof(dn_real)) narrow;

typedef struct sums {
    double sum[BINS], count[BINS];
} sums;

/* Memory for the sums of each block, and for one more, so that no numbers need some, too; NULL if there is none. */
static sums *sums_of_blocks(dn_stream *s, size_t n)
{
    return dn_scratch(s, (dn_blocks(n, DN_SUM_BLOCK) + 1) * sizeof(sums));
}

static sums total(const sums *blocks, size_t n)
{
    sums all = {0};
    for (size_t b = 0; b < dn_blocks(n, DN_SUM_BLOCK); b++)
        for (int i = 0; i < BINS; i++) {
            all.sum[i] += blocks[b].sum[i];
            all.count[i] += blocks[b].count[i];
        }
    return all;
}

/* The compiler would halve the vector first. */
static inline wide widened(const dn_real *x)
{
#if defined(__AVX512F__) && !defined(DN_REAL_DOUBLE)
    return (wide)_mm512_cvtps_pd(_mm256_loadu_ps(x));
#elif defined(__AVX2__) && !defined(DN_REAL_DOUBLE)
    return (wide)_mm256_cvtps_pd(_mm_loadu_ps(x));
#else
    return __builtin_convertvector(*(const narrow *)x, wide);
#endif
}

static inline wide only(wide x, wide_bits which)
{
    return (wide)((wide_bits)x & which);
}

static inline double sum_of_lanes(const wide lanes[WIDES])
{
    double sum = 0;
    for (int i = 0; i < DN_SUM_LANES; i++)
        sum += lanes[i / WIDE][i % WIDE];
    return sum;
}

static sums values_of(const dn_real *x, size_t n)
{
    wide sum[WIDES] = {0};
    uint64_t count = 0;
    dn_real room[DN_GROUP];
    for (size_t at = 0; at < n; at += DN_GROUP) {
        const dn_real *group = dn_group(x + at, n - at, room);
        count += (uint64_t)__builtin_popcountll(dn_not_zero(group));
        for (int row = 0; row < DN_GROUP; row += DN_SUM_LANES)
            for (int i = 0; i < WIDES; i++)
                sum[i] += widened(group + row + i * WIDE);
    }
    return (sums){{sum_of_lanes(sum)}, {(double)count}};
}

static double squares_of(const dn_real *x, size_t n, double mean)
{
    wide sum[WIDES] = {0};
    dn_real room[DN_GROUP];
    for (size_t at = 0; at < n; at += DN_GROUP) {
        const dn_real *group = dn_group(x + at, n - at, room);
        for (int row = 0; row < DN_GROUP; row += DN_SUM_LANES)
            for (int i = 0; i < WIDES; i++) {
                wide value = widened(group + row + i * WIDE), away = only(value - mean, value != 0);
                sum[i] += away * away;
            }
    }
    return sum_of_lanes(sum);
}

/* Sum and number of what is not 0, and, as sum[1], of the squared distances from the block's mean. */
static sums moments_of(const dn_real *x, size_t n)
{
    sums of = values_of(x, n);
    of.sum[1] = squares_of(x, n, of.count[0] > 0 ? of.sum[0] / of.count[0] : 0);
    return of;
}

/* From the means of blocks to that of all (Chan, Golub and LeVeque, 1983). */
static double deviation_of(const sums *blocks, size_t n, double mean, double count)
{
    double squares = 0;
    for (size_t b = 0; b < dn_blocks(n, DN_SUM_BLOCK); b++)
        if (blocks[b].count[0] > 0) {
            double away = blocks[b].sum[0] / blocks[b].count[0] - mean;
            squares += blocks[b].sum[1] + blocks[b].count[0] * (away * away);
        }
    return sqrt(squares / count);
}

/* Bit i becomes bit 2 i. */
static uint64_t spread(uint64_t x)
{
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
    x = (x | x << 2) & 0x3333333333333333;
    return (x | x << 1) & 0x5555555555555555;
}

/* Codes of n numbers, and what is in each bin, counted without zeros. */
static sums encode_bins(unsigned char *codes, const dn_real *x, size_t n, const dn_real edge[BINS - 1])
{
    wide sum[BINS][WIDES] = {0};
    sums of = {0};
    dn_real room[DN_GROUP];
    for (size_t at = 0; at < n; at += DN_GROUP) {
        const dn_real *group = dn_group(x + at, n - at, room);
        uint64_t there = n - at < DN_GROUP ? ((uint64_t)1 << (n - at)) - 1 : UINT64_MAX, all = dn_not_zero(group);
        uint64_t from[BINS + 1] = {there}; /* which numbers are in a bin or beyond it */
        for (int bin = 1; bin < BINS; bin++)
            from[bin] = dn_at_least(group, edge[bin - 1]) & there;
        for (int bin = 0; bin < BINS; bin++)
            of.count[bin] += (double)__builtin_popcountll(from[bin] & ~from[bin + 1] & all);
        for (int row = 0; row < DN_GROUP; row += DN_SUM_LANES)
            for (int i = 0; i < WIDES; i++) {
                wide value = widened(group + row + i * WIDE);
                wide_bits above[] = {value >= (double)edge[0], value >= (double)edge[1], value >= (double)edge[2]};
                sum[0][i] += only(value, ~above[0]);
                sum[1][i] += only(value, above[0] & ~above[1]);
                sum[2][i] += only(value, above[1] & ~above[2]);
                sum[3][i] += only(value, above[2]);
            }
        uint64_t low = from[1] ^ from[2] ^ from[3], high = (from[1] & from[2]) | ((from[1] | from[2]) & from[3]);
        uint64_t words[] = {spread(low & UINT32_MAX) | spread(high & UINT32_MAX) << 1, spread(low >> 32) | spread(high >> 32) << 1};
        memcpy(codes + at / 4, words, dn_min(sizeof words, dn_blocks(n - at, 4)));
    }
    for (int bin = 0; bin < BINS; bin++)
        of.sum[bin] = sum_of_lanes(sum[bin]);
    return of;
}

void DN_CPU(encode_int2)(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    unsigned char *codes = dn_host_bytes(to) + BINS * sizeof(dn_real);
    sums *blocks = sums_of_blocks(s, n);
    if (!blocks)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_SUM_BLOCK)
    for (size_t at = 0; at < n; at += DN_SUM_BLOCK)
        blocks[at / DN_SUM_BLOCK] = moments_of(dn_host(x) + at, dn_min(n - at, DN_SUM_BLOCK));
    sums all = total(blocks, n);
    double count = all.count[0] > 0 ? all.count[0] : 1, mean = all.sum[0] / count;
    double deviation = deviation_of(blocks, n, mean, count);
    const dn_real edge[] = {(dn_real)(mean - 1.5 * deviation), (dn_real)mean,
                            (dn_real)(mean + 1.5 * deviation)};
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_SUM_BLOCK)
    for (size_t at = 0; at < n; at += DN_SUM_BLOCK)
        blocks[at / DN_SUM_BLOCK] =
            encode_bins(codes + at / 4, dn_host(x) + at, dn_min(n - at, DN_SUM_BLOCK), edge);
    all = total(blocks, n);
    bool sound = isfinite(mean) && isfinite(deviation);
    for (int bin = 0; bin < BINS; bin++)
        scales_of(to)[bin] = (dn_real)(!sound               ? (double)NAN
                                       : all.count[bin] > 0 ? all.sum[bin] / all.count[bin]
                                                            : 0);
}

/* Which lanes have bit `stride` times their number of the word. */
static inline dn_vector_bits lanes_with(dn_real_bits word, int stride)
{
    dn_vector_bits bit;
    for (int i = 0; i < DN_LANES; i++)
        bit[i] = (dn_real_bits)((uint64_t)1 << stride * i);
    return (bit & word) != 0;
}

static inline void add_to(dn_real *y, dn_vector_bits x)
{
    *(dn_vector *)y += (dn_vector)x;
}

static inline void add_group_of_bins(dn_real *y, const uint64_t words[2], const dn_real_bits table[BINS])
{
    for (int i = 0; i < DN_GROUP; i += DN_LANES) {
        uint64_t codes = words[i / 32] >> 2 * (i % 32);
        dn_vector_bits odd = lanes_with((dn_real_bits)codes, 2), upper = lanes_with((dn_real_bits)(codes >> 1), 2);
        dn_vector_bits first = table[0] ^ (odd & (table[0] ^ table[1])), second = table[2] ^ (odd & (table[2] ^ table[3]));
        add_to(y + i, (first & ~upper) | (second & upper));
    }
}

static void add_bins(dn_real *y, const unsigned char *codes, size_t n, const dn_real_bits table[BINS])
{
    uint64_t words[2] = {0};
    dn_real room[DN_GROUP];
    size_t at = 0;
    for (; n - at >= DN_GROUP; at += DN_GROUP) {
        memcpy(words, codes + at / 4, sizeof words);
        add_group_of_bins(y + at, words, table);
    }
    memcpy(words, codes + at / 4, dn_blocks(n - at, 4));
    memcpy(room, y + at, (n - at) * sizeof *y);
    add_group_of_bins(room, words, table);
    memcpy(y + at, room, (n - at) * sizeof *y);
}

void DN_CPU(add_int2)(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    const unsigned char *codes = dn_host_bytes(from) + BINS * sizeof(dn_real);
    dn_real_bits table[BINS];
    for (int bin = 0; bin < BINS; bin++)
        table[bin] = dn_bits_of((dn_real)a * scales_of(from)[bin]);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        add_bins(dn_host(y) + at, codes + at / 4, dn_min(n - at, DN_CPU_BLOCK), table);
}

enum { SIGN_CODES = 8 }; /* where they begin */

/* Signs of n numbers; returns the sum of their magnitudes and how many are not 0. */
static sums encode_signs(unsigned char *codes, const dn_real *x, size_t n)
{
    wide sum[WIDES] = {0};
    uint64_t count = 0;
    dn_real room[DN_GROUP];
    for (size_t at = 0; at < n; at += DN_GROUP) {
        const dn_real *group = dn_group(x + at, n - at, room);
        uint64_t negative = dn_negative(group);
        count += (uint64_t)__builtin_popcountll(dn_not_zero(group));
        for (int row = 0; row < DN_GROUP; row += DN_SUM_LANES)
            for (int i = 0; i < WIDES; i++)
                sum[i] += only(widened(group + row + i * WIDE), (wide_bits){0} + INT64_MAX);
        memcpy(codes + at / 8, &negative, dn_min(sizeof negative, dn_blocks(n - at, 8)));
    }
    return (sums){{sum_of_lanes(sum)}, {(double)count}};
}

void DN_CPU(encode_sign)(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    unsigned char *codes = dn_host_bytes(to) + SIGN_CODES;
    sums *blocks = sums_of_blocks(s, n);
    if (!blocks)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_SUM_BLOCK)
    for (size_t at = 0; at < n; at += DN_SUM_BLOCK)
        blocks[at / DN_SUM_BLOCK] = encode_signs(codes + at / 8, dn_host(x) + at, dn_min(n - at, DN_SUM_BLOCK));
    sums all = total(blocks, n);
    double mean = all.count[0] > 0 ? all.sum[0] / all.count[0] : 0;
    memset(dn_host_bytes(to), 0, SIGN_CODES);
    scales_of(to)[0] = (dn_real)(isfinite(mean) ? mean : (double)NAN);
}

static inline void add_group_of_signs(dn_real *y, uint64_t negative, dn_real_bits step)
{
    for (int i = 0; i < DN_GROUP; i += DN_LANES)
        add_to(y + i, step ^ (lanes_with((dn_real_bits)(negative >> i), 1) & DN_SIGN_BIT));
}

static void add_signs(dn_real *y, const unsigned char *codes, size_t n, dn_real_bits step)
{
    uint64_t negative = 0;
    dn_real room[DN_GROUP];
    size_t at = 0;
    for (; n - at >= DN_GROUP; at += DN_GROUP) {
        memcpy(&negative, codes + at / 8, sizeof negative);
        add_group_of_signs(y + at, negative, step);
    }
    memcpy(&negative, codes + at / 8, dn_blocks(n - at, 8));
    memcpy(room, y + at, (n - at) * sizeof *y);
    add_group_of_signs(room, negative, step);
    memcpy(y + at, room, (n - at) * sizeof *y);
}

void DN_CPU(add_sign)(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    const unsigned char *codes = dn_host_bytes(from) + SIGN_CODES;
    dn_real_bits step = dn_bits_of((dn_real)a * scales_of(from)[0]);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        add_signs(dn_host(y) + at, codes + at / 8, dn_min(n - at, DN_CPU_BLOCK), step);
}
