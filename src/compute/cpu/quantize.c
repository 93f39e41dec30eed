/* Few bits a number (ops.h): one pass over memory each, two for the codecs that first take a mean. */
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

#ifdef DN_REAL_DOUBLE
typedef uint64_t bits;
typedef int64_t whole;
enum { FRACTION = 52, BIAS = 1023 };
#else
typedef uint32_t bits;
typedef int32_t whole;
enum { FRACTION = 23, BIAS = 127 };
#endif

#define SIGN_BIT ((bits)1 << (8 * sizeof(bits) - 1))

static bits bits_of(dn_real x)
{
    bits b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static dn_real real_of(bits b)
{
    dn_real x;
    memcpy(&x, &b, sizeof x);
    return x;
}

/* Compared as integers, which puts NaN before infinity. */
static dn_real largest(const dn_real *x, size_t n)
{
    bits most = 0;
    for (size_t i = 0; i < n; i++) {
        bits magnitude = bits_of(x[i]) & ~SIGN_BIT;
        most = magnitude > most ? magnitude : most;
    }
    return real_of(most);
}

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

/* Numbers stand in pairs of a byte: an odd last one has a 0 beside it. */
static void encode_fp4(unsigned char *codes, dn_real *scale, const dn_real *x, size_t n)
{
    dn_real padded[DN_QUANTUM_BLOCK], most = largest(x, n);
    unsigned char code[DN_QUANTUM_BLOCK];
    *scale = most < DN_QUANTUM_LEAST ? 0 : most;
    if (*scale == 0 || !isfinite(most)) {
        memset(codes, 0, (n + 1) / 2);
        return;
    }
    memset(padded + n / 2 * 2, 0, (n < DN_QUANTUM_BLOCK ? 2 : 0) * sizeof *padded);
    memcpy(padded, x, n * sizeof *x);
    dn_real least[7] = {most / 128};
    for (int i = 1; i < 7; i++)
        least[i] = (dn_real)0.75 * most / (dn_real)(1 << (6 - i));
    for (size_t i = 0; i < DN_QUANTUM_BLOCK; i++) {
        dn_real magnitude = real_of(bits_of(padded[i]) & ~SIGN_BIT);
        bits c = bits_of(padded[i]) >> (8 * sizeof(bits) - 1) << 3;
        for (int level = 0; level < 7; level++)
            c += magnitude >= least[level];
        code[i] = (unsigned char)c;
    }
    for (size_t i = 0; i < (n + 1) / 2; i++)
        codes[i] = (unsigned char)(code[2 * i] | code[2 * i + 1] << 4);
}

/* c > 0 is 2^(c-7): the exponent c - 7. */
static dn_real fp4_value(unsigned code)
{
    bits c = code & 7, magnitude = (c + (BIAS - 7)) << FRACTION;
    return real_of((c ? magnitude : 0) | (bits)(code >> 3) << (8 * sizeof(bits) - 1));
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
        dn_real half = x[i] < 0 ? (dn_real)-0.5 : (dn_real)0.5;
        codes[i] = (unsigned char)(whole)(x[i] * inverse + half);
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

/* ---- sums over all numbers, added block by block ---- */

enum { BINS = 4 };

typedef struct sums {
    double sum[BINS], count[BINS];
} sums;

/* Memory for the sums of each block, and for one more, so that no numbers need some, too; NULL if there is none. */
static sums *sums_of_blocks(dn_stream *s, size_t n)
{
    return dn_scratch(s, (dn_blocks(n, DN_CPU_BLOCK) + 1) * sizeof(sums));
}

static sums total(const sums *blocks, size_t n)
{
    sums all = {0};
    for (size_t b = 0; b < dn_blocks(n, DN_CPU_BLOCK); b++)
        for (int i = 0; i < BINS; i++) {
            all.sum[i] += blocks[b].sum[i];
            all.count[i] += blocks[b].count[i];
        }
    return all;
}

static sums magnitudes_of(const dn_real *x, size_t n)
{
    double sum = 0;
    bits count = 0;
#pragma omp simd reduction(+ : sum, count)
    for (size_t i = 0; i < n; i++) {
        sum += (double)real_of(bits_of(x[i]) & ~SIGN_BIT);
        count += x[i] != 0;
    }
    return (sums){{sum}, {(double)count}};
}

static sums values_of(const dn_real *x, size_t n)
{
    double sum = 0;
    bits count = 0;
#pragma omp simd reduction(+ : sum, count)
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        count += x[i] != 0;
    }
    return (sums){{sum}, {(double)count}};
}

static sums squares_of(const dn_real *x, size_t n, double mean)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        double away = x[i] != 0 ? (double)x[i] - mean : 0;
        sum += away * away;
    }
    return (sums){{sum}, {0}};
}

/* Codes of n numbers, four a byte, and what is in each bin, counted without zeros. */
static sums encode_bins(unsigned char *codes, const dn_real *x, size_t n, const dn_real edge[BINS - 1])
{
    sums of = {{0}, {0}};
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        size_t size = dn_min(n - at, DN_QUANTUM_BLOCK);
        bits code[DN_QUANTUM_BLOCK + 3] = {0};
        for (size_t i = 0; i < size; i++)
            code[i] = (bits)(x[at + i] >= edge[0]) + (x[at + i] >= edge[1]) + (x[at + i] >= edge[2]);
        for (bits bin = 0; bin < BINS; bin++) {
            double sum = 0;
            bits count = 0;
#pragma omp simd reduction(+ : sum, count)
            for (size_t i = 0; i < size; i++) {
                sum += (double)(code[i] == bin ? x[at + i] : 0);
                count += (bits)(code[i] == bin) & (bits)(x[at + i] != 0);
            }
            of.sum[bin] += sum;
            of.count[bin] += (double)count;
        }
        for (size_t i = 0; i < dn_blocks(size, 4); i++) {
            const bits *c = code + 4 * i;
            codes[at / 4 + i] = (unsigned char)(c[0] | c[1] << 2 | c[2] << 4 | c[3] << 6);
        }
    }
    return of;
}

void DN_CPU(encode_int2)(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    unsigned char *codes = dn_host_bytes(to) + BINS * sizeof(dn_real);
    sums *blocks = sums_of_blocks(s, n);
    if (!blocks)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        blocks[at / DN_CPU_BLOCK] = values_of(dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK));
    sums all = total(blocks, n);
    double count = all.count[0] > 0 ? all.count[0] : 1, mean = all.sum[0] / count;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        blocks[at / DN_CPU_BLOCK] = squares_of(dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK), mean);
    double deviation = sqrt(total(blocks, n).sum[0] / count);
    const dn_real edge[] = {(dn_real)(mean - 1.5 * deviation), (dn_real)mean,
                            (dn_real)(mean + 1.5 * deviation)};
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        blocks[at / DN_CPU_BLOCK] =
            encode_bins(codes + at / 4, dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK), edge);
    all = total(blocks, n);
    bool sound = isfinite(mean) && isfinite(deviation);
    for (int bin = 0; bin < BINS; bin++)
        scales_of(to)[bin] = (dn_real)(!sound               ? (double)NAN
                                       : all.count[bin] > 0 ? all.sum[bin] / all.count[bin]
                                                            : 0);
}

/* Codes become bytes first: only then do loops over numbers vectorize. */
static void add_bins(dn_real *restrict y, const unsigned char *restrict codes, const dn_real *restrict table,
                     size_t n)
{
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        size_t size = dn_min(n - at, DN_QUANTUM_BLOCK);
        unsigned char code[DN_QUANTUM_BLOCK + 3];
        for (size_t i = 0; i < dn_blocks(size, 4); i++)
            for (size_t j = 0; j < 4; j++)
                code[4 * i + j] = codes[at / 4 + i] >> 2 * j & 3;
        for (size_t i = 0; i < size; i++)
            y[at + i] += table[code[i]];
    }
}

void DN_CPU(add_int2)(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    const unsigned char *codes = dn_host_bytes(from) + BINS * sizeof(dn_real);
    dn_real table[BINS];
    for (int bin = 0; bin < BINS; bin++)
        table[bin] = (dn_real)a * scales_of(from)[bin];
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        add_bins(dn_host(y) + at, codes + at / 4, table, dn_min(n - at, DN_CPU_BLOCK));
}

enum { SIGN_CODES = 8 }; /* where they begin */

static void encode_signs(unsigned char *restrict codes, const dn_real *restrict x, size_t n)
{
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        size_t size = dn_min(n - at, DN_QUANTUM_BLOCK);
        bits negative[DN_QUANTUM_BLOCK + 7] = {0};
        for (size_t i = 0; i < size; i++)
            negative[i] = x[at + i] < 0;
        for (size_t i = 0; i < dn_blocks(size, 8); i++) {
            bits byte = 0;
            for (size_t j = 0; j < 8; j++)
                byte |= negative[8 * i + j] << j;
            codes[at / 8 + i] = (unsigned char)byte;
        }
    }
}

void DN_CPU(encode_sign)(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    unsigned char *codes = dn_host_bytes(to) + SIGN_CODES;
    sums *blocks = sums_of_blocks(s, n);
    if (!blocks)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK) {
        size_t size = dn_min(n - at, DN_CPU_BLOCK);
        blocks[at / DN_CPU_BLOCK] = magnitudes_of(dn_host(x) + at, size);
        encode_signs(codes + at / 8, dn_host(x) + at, size);
    }
    sums all = total(blocks, n);
    double mean = all.count[0] > 0 ? all.sum[0] / all.count[0] : 0;
    memset(dn_host_bytes(to), 0, SIGN_CODES);
    scales_of(to)[0] = (dn_real)(isfinite(mean) ? mean : (double)NAN);
}

static void add_signs(dn_real *restrict y, dn_real step, const unsigned char *restrict codes, size_t n)
{
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        size_t size = dn_min(n - at, DN_QUANTUM_BLOCK);
        unsigned char negative[DN_QUANTUM_BLOCK + 7];
        for (size_t i = 0; i < dn_blocks(size, 8); i++)
            for (size_t j = 0; j < 8; j++)
                negative[8 * i + j] = codes[at / 8 + i] >> j & 1;
        for (size_t i = 0; i < size; i++)
            y[at + i] += negative[i] ? -step : step;
    }
}

void DN_CPU(add_sign)(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    const unsigned char *codes = dn_host_bytes(from) + SIGN_CODES;
    dn_real step = (dn_real)a * scales_of(from)[0];
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        add_signs(dn_host(y) + at, step, codes + at / 8, dn_min(n - at, DN_CPU_BLOCK));
}
