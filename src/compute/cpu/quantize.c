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
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        dn_ask_for(dn_host(x) + at + DN_AHEAD, DN_QUANTUM_BLOCK);
        encode(codes + at * code_bits / 8, scales_of(to) + at / DN_QUANTUM_BLOCK, dn_host(x) + at,
               dn_min(n - at, DN_QUANTUM_BLOCK));
    }
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

#if defined(__AVX2__) && !defined(DN_REAL_DOUBLE)
#define DN_EIGHTS /* of float */
#endif

/* The thresholds of codes 2 to 7 are 2^-5 to 1 times 0.75 of the largest: between two of them the integer of the bits grows
 * by one unit of the exponent. The largest is in the last such unit, and what is below the first threshold, `least`, in none. */
typedef struct fp4_edges {
    dn_real_bits least, zero;
} fp4_edges;

static inline int32_t fp4_code(dn_real x, fp4_edges edge)
{
    dn_real_bits bits = dn_bits_of(x), magnitude = bits & DN_MAGNITUDE, c = (magnitude - edge.zero) >> DN_FRACTION;
    dn_real_bits one = magnitude >= edge.least;
    return (int32_t)((c > one ? c : one) | (bits < 0 ? 8 : 0));
}

#ifdef DN_EIGHTS
/* The same of 32 numbers, two codes a byte. */
static inline void fp4_codes(unsigned char *codes, const dn_real *x, fp4_edges edge)
{
    __m256i bits[4], code[4];
    for (int i = 0; i < 4; i++) {
        bits[i] = _mm256_loadu_si256((const __m256i *)(const void *)(x + 8 * i));
        __m256i magnitude = _mm256_and_si256(bits[i], _mm256_set1_epi32(DN_MAGNITUDE));
        __m256i c = _mm256_srai_epi32(_mm256_sub_epi32(magnitude, _mm256_set1_epi32(edge.zero)), DN_FRACTION);
        __m256i one = _mm256_srli_epi32(_mm256_sub_epi32(_mm256_set1_epi32(edge.least - 1), magnitude), 31);
        code[i] = _mm256_max_epi32(c, one);
    }
    __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(code[0], code[1]), _mm256_packs_epi32(code[2], code[3]));
    __m256i signs = _mm256_packs_epi16(_mm256_packs_epi32(bits[0], bits[1]), _mm256_packs_epi32(bits[2], bits[3]));
    bytes = _mm256_or_si256(bytes, _mm256_srli_epi16(_mm256_and_si256(signs, _mm256_set1_epi8(-128)), 4));
    bytes = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(16 << 8 | 1));
    bytes = _mm256_packus_epi16(bytes, bytes); /* of the lower halves of the four, and of the upper ones */
    _mm_storeu_si128((__m128i *)(void *)codes,
                     _mm_unpacklo_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)));
}
#endif

/* Codes are made as integers: compilers would narrow each of their terms. An odd last one has a 0 beside it. */
static void encode_fp4(unsigned char *codes, dn_real *scale, const dn_real *x, size_t n)
{
    dn_real most = largest(x, n);
    int32_t code[DN_QUANTUM_BLOCK + 1];
    size_t done = 0;
    *scale = most < DN_QUANTUM_LEAST ? 0 : most;
    if (*scale == 0 || !isfinite(most)) {
        memset(codes, 0, (n + 1) / 2);
        return;
    }
    const fp4_edges edge = {dn_bits_of(most / 128), dn_bits_of((dn_real)0.75 * most) - ((dn_real_bits)7 << DN_FRACTION)};
#ifdef DN_EIGHTS
    for (; n - done >= 32; done += 32)
        fp4_codes(codes + done / 2, x + done, edge);
#endif
    for (size_t i = done; i < n; i++)
        code[i] = fp4_code(x[i], edge);
    code[n] = 0;
    for (size_t i = done; i < n; i += 2)
        codes[i / 2] = (unsigned char)(code[i] | code[i + 1] << 4);
}

/* c > 0 is 2^(c-7): the exponent c - 7. */
static dn_real fp4_value(dn_real_bits code)
{
    dn_real_bits c = code & 7, magnitude = (c + (DN_EXPONENT_BIAS - 7)) << DN_FRACTION;
    return dn_real_of((c ? magnitude : 0) | (code & 8 ? DN_SIGN_BIT : 0));
}

#ifdef DN_EIGHTS
static void add_fp4(dn_real *y, dn_real a, const unsigned char *codes, dn_real scale, size_t n)
{
    dn_real values[8], factor = a * scale;
    for (int c = 0; c < 8; c++)
        values[c] = factor * fp4_value(c);
    const __m256 table = _mm256_loadu_ps(values), sign = _mm256_set1_ps(-0.0f);
    const __m256i to_low = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28), to_high = _mm256_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0);
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        int32_t word;
        memcpy(&word, codes + i / 2, sizeof word);
        __m256i all = _mm256_set1_epi32(word);
        __m256 value = _mm256_permutevar8x32_ps(table, _mm256_srlv_epi32(all, to_low));
        value = _mm256_xor_ps(value, _mm256_and_ps((__m256)_mm256_sllv_epi32(all, to_high), sign));
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), value));
    }
    for (; i < n; i++)
        y[i] += factor * fp4_value(codes[i / 2] >> i % 2 * 4);
}
#else
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
#endif

static void encode_int8(unsigned char *codes, dn_real *scale, const dn_real *x, size_t n)
{
    dn_real most = largest(x, n);
    *scale = most < DN_QUANTUM_LEAST ? 0 : most / 127;
    if (*scale == 0 || !isfinite(most)) {
        memset(codes, 0, n);
        return;
    }
    dn_real inverse = 127 / most;
    int32_t code[DN_QUANTUM_BLOCK]; /* as of fp4: narrowed when they are whole */
    for (size_t i = 0; i < n; i++) {
        dn_real multiple = x[i] * inverse, rest = multiple - (dn_real)(int32_t)multiple; /* exact */
        code[i] = (int32_t)multiple + (rest >= (dn_real)0.5) - (rest <= (dn_real)-0.5);
    }
    for (size_t i = 0; i < n; i++)
        codes[i] = (unsigned char)code[i];
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

/* `next`: memory is asked for n / 2 numbers there. */
static sums values_of(const dn_real *x, size_t n, const dn_real *next)
{
    wide sum[WIDES] = {0};
    dn_vector_bits there = {0}; /* in each lane -1 times how many */
    dn_real_bits count = 0;
    dn_real room[DN_GROUP];
    for (size_t at = 0; at < n; at += DN_GROUP) {
        const dn_real *group = dn_group(x + at, n - at, room);
        dn_ask_for(next + at / 2, DN_GROUP / 2);
        for (int i = 0; i < DN_GROUP; i += DN_LANES)
            there += dn_load(group + i) != 0;
        for (int row = 0; row < DN_GROUP; row += DN_SUM_LANES)
            for (int i = 0; i < WIDES; i++)
                sum[i] += widened(group + row + i * WIDE);
    }
    for (int lane = 0; lane < DN_LANES; lane++)
        count -= there[lane];
    return (sums){{sum_of_lanes(sum)}, {(double)count}};
}

/* Of the numbers that are not 0; `zeros` says whether there are others. */
static inline double squares_of(const dn_real *x, size_t n, const dn_real *next, double mean, bool zeros)
{
    wide sum[WIDES] = {0};
    dn_real room[DN_GROUP];
    for (size_t at = 0; at < n; at += DN_GROUP) {
        const dn_real *group = dn_group(x + at, n - at, room);
        dn_ask_for(next + at / 2, DN_GROUP / 2);
        for (int row = 0; row < DN_GROUP; row += DN_SUM_LANES)
            for (int i = 0; i < WIDES; i++) {
                wide value = widened(group + row + i * WIDE), away = value - mean;
                away = zeros ? only(away, value != 0) : away;
                sum[i] += away * away;
            }
    }
    return sum_of_lanes(sum);
}

/* Sum and number of what is not 0, and, as sum[1], of the squared distances from the block's mean. The second pass finds the block
 * in a cache: memory brings half of the next block in each. */
static sums moments_of(const dn_real *x, size_t n)
{
    const dn_real *next = x + n, *middle = next + n / 2;
    sums of = values_of(x, n, next);
    double mean = of.count[0] > 0 ? of.sum[0] / of.count[0] : 0;
    bool full = of.count[0] == (double)n && n % DN_GROUP == 0;
    of.sum[1] = full ? squares_of(x, n, middle, mean, false) : squares_of(x, n, middle, mean, true);
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

enum { RUN = DN_SUM_RUN * DN_SUM_LANES, VECTORS = DN_SUM_LANES / DN_LANES };

#ifdef __AVX512F__
#ifdef DN_REAL_DOUBLE
#define DN_ADD_WHERE(sum, lanes, x) ((dn_vector)_mm512_mask_add_pd((__m512d)(sum), lanes, (__m512d)(sum), (__m512d)(x)))
#else
#define DN_ADD_WHERE(sum, lanes, x) ((dn_vector)_mm512_mask_add_ps((__m512)(sum), lanes, (__m512)(sum), (__m512)(x)))
#endif
#else
#define DN_ADD_WHERE(sum, lanes, x) ((sum) + (dn_vector)((dn_vector_bits)(x) & (lanes)))
#endif

/* Adds numbers to a run's sums; a bin is how many edges a number reaches. */
static inline void sum_bins(dn_vector run[BINS][VECTORS], int i, dn_vector value, const dn_lanes reach[BINS - 1])
{
    run[0][i] = DN_ADD_WHERE(run[0][i], (dn_lanes)~reach[0], value);
    run[1][i] = DN_ADD_WHERE(run[1][i], (dn_lanes)(reach[0] & ~reach[1]), value);
    run[2][i] = DN_ADD_WHERE(run[2][i], (dn_lanes)(reach[1] & ~reach[2]), value);
    run[3][i] = DN_ADD_WHERE(run[3][i], reach[2], value);
}

/* A group: adds it to a run's sums; words: its bins. */
#if defined(__AVX2__) && !defined(__AVX512F__) && !defined(DN_REAL_DOUBLE)
/* Of 32 numbers, four bins a byte: those of the lower halves of four vectors, then those of the upper ones,
 * -1 times. */
static inline __m256i code_half(dn_vector run[BINS][VECTORS], const dn_real *x, const dn_real edge[BINS - 1])
{
    __m256i bin[4];
    for (int i = 0; i < 4; i++) {
        dn_vector value = dn_load(x + i * DN_LANES);
        const dn_lanes reach[] = {DN_LANES_THAT(value, AT_LEAST, edge[0]), DN_LANES_THAT(value, AT_LEAST, edge[1]),
                                  DN_LANES_THAT(value, AT_LEAST, edge[2])};
        sum_bins(run, i % VECTORS, value, reach);
        bin[i] = (__m256i)(reach[0] + reach[1] + reach[2]);
    }
    __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(bin[0], bin[1]), _mm256_packs_epi32(bin[2], bin[3]));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi16(4 << 8 | 1), bytes),
                             _mm256_set1_epi32((int)0xfff0ffff));
}

static inline void code_group(uint64_t words[2], dn_vector run[BINS][VECTORS], const dn_real *x, const dn_real edge[BINS - 1])
{
    __m256i first = code_half(run, x, edge), both = _mm256_packs_epi32(first, code_half(run, x + DN_GROUP / 2, edge));
    both = _mm256_packus_epi16(both, both);
    _mm_storeu_si128((__m128i *)(void *)words,
                     _mm_unpacklo_epi8(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1)));
}
#else
/* Bit i of the lower half becomes bit 2 i. */
static inline uint64_t spread(uint64_t x)
{
#ifdef __AVX512F__
    return _pdep_u64(x, 0x5555555555555555);
#else
    x &= UINT32_MAX;
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
    x = (x | x << 2) & 0x3333333333333333;
    return (x | x << 1) & 0x5555555555555555;
#endif
}

static inline void code_group(uint64_t words[2], dn_vector run[BINS][VECTORS], const dn_real *x, const dn_real edge[BINS - 1])
{
    dn_lanes reach[BINS - 1][DN_VECTORS];
    for (int i = 0; i < DN_VECTORS; i++) {
        dn_vector value = dn_load(x + i * DN_LANES);
        dn_lanes own[BINS - 1];
        for (int e = 0; e < BINS - 1; e++)
            reach[e][i] = own[e] = DN_LANES_THAT(value, AT_LEAST, edge[e]);
        sum_bins(run, i % VECTORS, value, own);
    }
    uint64_t first = dn_word_of(reach[0]), second = dn_word_of(reach[1]), third = dn_word_of(reach[2]);
    uint64_t low = first ^ second ^ third, high = (first & second) | ((first | second) & third);
    words[0] = spread(low) | spread(high) << 1;
    words[1] = spread(low >> 32) | spread(high >> 32) << 1;
}
#endif

/* Codes of n numbers, and what is in each bin, counted without the zeros, which share one. */
static sums encode_bins(unsigned char *codes, const dn_real *x, size_t n, double zeros,
                        const dn_real edge[BINS - 1])
{
    const uint64_t odd_bits = 0x5555555555555555;
    wide sum[BINS][WIDES] = {0};
    sums of = {0};
    uint64_t count[BINS] = {n};
    dn_real room[DN_GROUP];
    for (size_t begin = 0; begin < n; begin += RUN) {
        dn_vector run[BINS][VECTORS] = {0};
        for (size_t at = begin, end = dn_min(n, begin + RUN); at < end; at += DN_GROUP) {
            uint64_t words[2];
            dn_ask_for(x + at + DN_AHEAD, DN_GROUP);
            code_group(words, run, dn_group(x + at, n - at, room), edge);
            if (n - at < DN_GROUP)
                for (size_t i = 0; i < 2; i++)
                    words[i] &= n - at >= 32 * (i + 1) ? UINT64_MAX
                                : n - at > 32 * i      ? ((uint64_t)1 << 2 * (n - at - 32 * i)) - 1
                                                       : 0;
            for (int i = 0; i < 2; i++) {
                count[1] += (uint64_t)__builtin_popcountll(words[i] & odd_bits);
                count[2] += (uint64_t)__builtin_popcountll(words[i] >> 1 & odd_bits);
                count[3] += (uint64_t)__builtin_popcountll(words[i] >> 1 & words[i] & odd_bits);
            }
            memcpy(codes + at / 4, words, dn_min(sizeof words, dn_blocks(n - at, 4)));
        }
        for (int bin = 0; bin < BINS; bin++)
            for (int i = 0; i < WIDES; i++)
                sum[bin][i] += widened((const dn_real *)run[bin] + i * WIDE);
    }
    count[1] -= count[3], count[2] -= count[3];
    count[0] -= count[1] + count[2] + count[3];
    for (int bin = 0; bin < BINS; bin++) {
        of.sum[bin] = sum_of_lanes(sum[bin]);
        of.count[bin] = (double)count[bin];
    }
    of.count[(0 >= edge[0]) + (0 >= edge[1]) + (0 >= edge[2])] -= zeros;
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
    for (size_t at = 0; at < n; at += DN_SUM_BLOCK) {
        size_t size = dn_min(n - at, DN_SUM_BLOCK);
        sums *block = &blocks[at / DN_SUM_BLOCK];
        *block = encode_bins(codes + at / 4, dn_host(x) + at, size, (double)size - block->count[0], edge);
    }
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

#ifdef DN_EIGHTS
/* Codes choose among the four values that each half of a register has. */
static inline void add_group_of_bins(dn_real *y, const unsigned char *codes, const dn_real_bits table[BINS])
{
    const __m256 values = (__m256)_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
    const __m256i places = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    for (int i = 0; i < DN_GROUP; i += 8) {
        uint16_t eight;
        memcpy(&eight, codes + i / 4, sizeof eight);
        __m256 value = _mm256_permutevar_ps(values, _mm256_srlv_epi32(_mm256_set1_epi32(eight), places));
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), value));
    }
}
#else
static inline void add_group_of_bins(dn_real *y, const unsigned char *codes, const dn_real_bits table[BINS])
{
    uint64_t words[2];
    memcpy(words, codes, sizeof words);
    for (int i = 0; i < DN_GROUP; i += DN_LANES) {
        uint64_t own = words[i / 32] >> 2 * (i % 32);
        dn_vector_bits odd = lanes_with((dn_real_bits)own, 2), upper = lanes_with((dn_real_bits)(own >> 1), 2);
        dn_vector_bits first = table[0] ^ (odd & (table[0] ^ table[1])), second = table[2] ^ (odd & (table[2] ^ table[3]));
        add_to(y + i, (first & ~upper) | (second & upper));
    }
}
#endif

static void add_bins(dn_real *y, const unsigned char *codes, size_t n, const dn_real_bits table[BINS])
{
    unsigned char last[DN_GROUP / 4] = {0};
    dn_real room[DN_GROUP] = {0};
    size_t at = 0;
    for (; n - at >= DN_GROUP; at += DN_GROUP)
        add_group_of_bins(y + at, codes + at / 4, table);
    memcpy(last, codes + at / 4, dn_blocks(n - at, 4));
    memcpy(room, y + at, (n - at) * sizeof *y);
    add_group_of_bins(room, last, table);
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
