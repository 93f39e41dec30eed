/*
 * Products of layers in mixed precision: A and B are rounded to bfloat16, terms are added in dn_real.
 *
 * Numbers go through the micro-kernel in pairs of two consecutive k, 32 bits, which instructions of AVX512_BF16 and of AMX multiply
 * with other pairs and add to floats. Where the processor does not have these, plain vectors, or plain tiles, do what they do; all
 * else, and the order of additions, is the same, so that any machine can train in mixed precision, slowly, and test this.
 *
 * Each thread has a part of C, and goes through blocks of B that stay in its second cache, and of A, which it rounds and packs
 * into pairs itself: B into panels as wide as the micro-kernel, with all of a pair's columns side by side; A with rows of
 * pairs, or, where it comes transposed and the micro-kernel takes that, rows of columns like B. Blocks of k follow one another,
 * and each element's terms within one, whoever computes it: bits do not depend on the number of threads.
 */
#ifdef DN_TILES
#include "compute/cpu/mixed_tiles.h"
#else
#include "compute/cpu/mixed_vectors.h"
#endif

/* Below so many multiplications waking a thread takes longer than it saves. */
#define ALONE 5e5

/* ---- packing ---- */

/* Rounds 32 numbers to 16 words, the first of `low` into the lowest half-word; below 2^-126 all are 0, as they are to what
 * multiplies them. */
#ifdef __AVX512BF16__
INLINE __m512i round_both(const float *low, const float *high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(high), _mm512_loadu_ps(low));
}
#endif

/* Pairs of consecutive numbers of a row x [n], sixteen at a time and those `step` words apart; of an odd n the last is paired
 * with 0. */
INLINE void pair_along(uint32_t *restrict out, size_t step, const dn_real *restrict x, size_t n)
{
    size_t l = 0, pairs = n / 2;
#ifdef __AVX512BF16__
    for (; l + 16 <= pairs; l += 16)
        _mm512_storeu_si512(out + l / 16 * step, round_both(x + 2 * l, x + 2 * l + 16));
#endif
    for (; l < pairs; l++)
        out[l / 16 * step + l % 16] = dn_rounded_to_bf16(x[2 * l]) | dn_rounded_to_bf16(x[2 * l + 1]) << 16;
    if (n % 2)
        out[pairs / 16 * step + pairs % 16] = dn_rounded_to_bf16(x[n - 1]);
}

static void pair_two_rows(uint32_t *restrict out, const dn_real *restrict low, const dn_real *restrict high, size_t n)
{
    size_t j = 0;
#ifdef __AVX512BF16__
    const __m512i in_turn = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
                                             19, 3, 18, 2, 17, 1, 16, 0);
    for (; j + 16 <= n; j += 16)
        _mm512_storeu_si512(out + j, _mm512_permutexvar_epi16(in_turn, round_both(low + j, high + j)));
#endif
    for (; j < n; j++)
        out[j] = dn_rounded_to_bf16(low[j]) | dn_rounded_to_bf16(high[j]) << 16;
}

static void pair_last_row(uint32_t *restrict out, const dn_real *restrict low, size_t n)
{
    for (size_t j = 0; j < n; j++)
        out[j] = dn_rounded_to_bf16(low[j]);
}

/* out [n/2,ld] = pairs of consecutive rows of x [n,columns]; of an odd n the last is paired with 0. */
static void pair_across(uint32_t *out, size_t ld, const dn_real *x, size_t ldx, size_t n, size_t columns)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        pair_two_rows(out + i / 2 * ld, x + i * ldx, x + (i + 1) * ldx, columns);
    if (n % 2)
        pair_last_row(out + n / 2 * ld, x + (n - 1) * ldx, columns);
}

#ifdef __AVX512F__
/* Rows whose numbers differ by d exchange what is on the wrong side of their diagonal. */
INLINE void exchange(__m512i rows[16], int d)
{
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __mmask16 right = _mm512_test_epi32_mask(lane, _mm512_set1_epi32(d));
    const __m512i upper = _mm512_mask_add_epi32(lane, right, lane, _mm512_set1_epi32(16 - d));
    const __m512i lower = _mm512_add_epi32(upper, _mm512_set1_epi32(d));
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        if (!(i & d)) {
            __m512i above = rows[i], below = rows[i + d];
            rows[i] = _mm512_permutex2var_epi32(above, upper, below);
            rows[i + d] = _mm512_permutex2var_epi32(above, lower, below);
        }
}

/* Sixteen by sixteen in registers. */
static void turn_square(uint32_t *out, size_t ld, const uint32_t *x, size_t ldx)
{
    __m512i rows[16];
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        rows[i] = _mm512_loadu_si512(x + i * ldx);
    exchange(rows, 1);
    exchange(rows, 2);
    exchange(rows, 4);
    exchange(rows, 8);
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        _mm512_storeu_si512(out + i * ld, rows[i]);
}
#endif

/* out [pairs,columns] = the transpose of x [columns,pairs], of up to 16 of both, or four by four, which compilers make shuffles
 * of. */
static void turn(uint32_t *out, size_t ld, const uint32_t *x, size_t ldx, size_t columns, size_t pairs)
{
#ifdef __AVX512F__
    if (columns == 16 && pairs == 16) {
        turn_square(out, ld, x, ldx);
        return;
    }
#endif
    typedef uint32_t four __attribute__((vector_size(16), aligned(4), may_alias));
    size_t whole = columns / 4 * 4, deep = pairs / 4 * 4;
    for (size_t i = 0; i < whole; i += 4)
        for (size_t l = 0; l < deep; l += 4) {
            const uint32_t *from = x + i * ldx + l;
            four a = *(const four *)from, b = *(const four *)(from + ldx), c = *(const four *)(from + 2 * ldx),
                 d = *(const four *)(from + 3 * ldx);
            four left = __builtin_shufflevector(a, c, 0, 4, 1, 5), right = __builtin_shufflevector(a, c, 2, 6, 3, 7);
            four left_too = __builtin_shufflevector(b, d, 0, 4, 1, 5), right_too = __builtin_shufflevector(b, d, 2, 6, 3, 7);
            *(four *)(out + l * ld + i) = __builtin_shufflevector(left, left_too, 0, 4, 1, 5);
            *(four *)(out + (l + 1) * ld + i) = __builtin_shufflevector(left, left_too, 2, 6, 3, 7);
            *(four *)(out + (l + 2) * ld + i) = __builtin_shufflevector(right, right_too, 0, 4, 1, 5);
            *(four *)(out + (l + 3) * ld + i) = __builtin_shufflevector(right, right_too, 2, 6, 3, 7);
        }
    for (size_t i = 0; i < columns; i++)
        for (size_t l = i < whole ? deep : 0; l < pairs; l++)
            out[l * ld + i] = x[i * ldx + l];
}

/* Pairs of k numbers, in whole tiles. */
static size_t pairs_of(size_t k)
{
    return dn_blocks((k + 1) / 2, TILE) * TILE;
}

/* Numbers first .. first+k-1 of each column of op(B), of `columns` columns from `left` on, become a panel [pairs_of(k),WIDE].
 * What is not there is 0. */
static void pack_panel(uint32_t *panel, const dn_product *x, size_t first, size_t k, size_t left, size_t columns)
{
    const dn_real *b = dn_host(x->b);
    size_t pairs = (k + 1) / 2;
    if (columns < WIDE || pairs < pairs_of(k))
        memset(panel, 0, pairs_of(k) * WIDE * sizeof *panel);
    for (size_t j = 0, some; j < columns && x->tb == DN_T; j += some) {
        uint32_t rows[16 * DEEP];
        some = dn_min(columns - j, 16);
        for (size_t r = 0; r < some; r++)
            pair_along(rows + r * DEEP, 16, b + (left + j + r) * x->ldb + first, k);
        for (size_t l = 0; l < pairs; l += 16)
            turn(panel + l * WIDE + j, WIDE, rows + l, DEEP, some, dn_min(pairs - l, 16));
    }
    if (x->tb == DN_N)
        pair_across(panel, WIDE, b + first * x->ldb + left, x->ldb, k, columns);
}

/* The same of the rows of op(A), each where row_of has it, or, where A is transposed and ACROSS, [pairs,TALL]. */
static void pack_rows(uint32_t *block, const dn_product *x, size_t first, size_t k, size_t top, size_t rows)
{
    const dn_real *a = dn_host(x->a) + (x->ta == DN_N ? top * x->lda + first : first * x->lda + top);
    if ((k + 1) / 2 < pairs_of(k) || rows % HIGH > 0)
        memset(block, 0, TALL * DEEP * sizeof *block);
    for (size_t i = 0; i < rows && x->ta == DN_N; i++)
        pair_along(block + row_of(i), GROUPS_APART, a + i * x->lda, k);
    if (x->ta == DN_T && ACROSS)
        pair_across(block, TALL, a, x->lda, k, rows);
    for (size_t l = 0, some; l < k && x->ta == DN_T && !ACROSS; l += some) {
        uint32_t across[16 * TALL];
        some = dn_min(k - l, 32);
        pair_across(across, TALL, a + l * x->lda, x->lda, some, rows);
        for (size_t i = 0; i < rows; i += 16)
            turn(block + row_of(i) + l / 32 * GROUPS_APART, row_of(1), across + i, TALL, (some + 1) / 2, dn_min(rows - i, 16));
    }
}

/* ---- a thread's part of C ---- */

enum { B_BLOCK = DEEP * BROAD, A_BLOCK = DEEP * TALL };

static void multiply_part(const dn_product *x, uint32_t *room, size_t top, size_t bottom, size_t left, size_t right)
{
    uint32_t *b = room, *a = room + B_BLOCK;
    begin_tiles();
    for (size_t j = left; j < right; j += BROAD)
        for (size_t l = 0; l < x->k; l += 2 * DEEP) {
            size_t k = dn_min(x->k - l, 2 * DEEP), pairs = pairs_of(k), columns = dn_min(right - j, BROAD);
            for (size_t p = 0; p < columns; p += WIDE)
                pack_panel(b + p * pairs, x, l, k, j + p, dn_min(columns - p, WIDE));
            for (size_t i = top; i < bottom; i += TALL) {
                size_t rows = dn_min(bottom - i, TALL);
                pack_rows(a, x, l, k, i, rows);
                for (size_t p = 0; p < columns; p += WIDE) {
                    const part some = {pairs, dn_min(columns - p, WIDE), a, b + p * pairs, x->beta != 0 || l > 0,
                                       dn_host(x->c) + i * x->ldc + j + p, x->ldc};
                    multiply_panel(&some, x->ta, rows);
                }
            }
        }
    end_tiles();
}

void DN_CPU(gemm_layer)(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, const dn_buf *a, size_t lda,
                        const dn_buf *b, size_t ldb, bool add, dn_buf *c, size_t ldc)
{
    const dn_product x = {ta, tb, m, n, k, 1, a, lda, b, ldb, add, c, ldc};
    const dn_grid grid = (double)m * (double)n * (double)k < ALONE ? (dn_grid){1, 1}
                                                                   : dn_cpu_choose_grid(m, n, (size_t)s->n_threads);
    size_t parts = grid.rows * grid.cols, panels = dn_blocks(n, WIDE);
    uint32_t *rooms = dn_scratch(s, parts * (B_BLOCK + A_BLOCK) * sizeof *rooms);
    if (!rooms)
        return;
    for (size_t i = 0; i < m && k == 0 && !add; i++)
        memset(dn_host(c) + i * ldc, 0, n * sizeof(dn_real));
#pragma omp parallel for num_threads(s->n_threads) schedule(static, 1) if (parts > 1)
    for (size_t i = 0; i < parts; i++) {
        size_t row = i / grid.cols, col = i % grid.cols;
        multiply_part(&x, rooms + i * (B_BLOCK + A_BLOCK), m * row / grid.rows, m * (row + 1) / grid.rows,
                      panels * col / grid.cols * WIDE, dn_min(n, panels * (col + 1) / grid.cols * WIDE));
    }
}

void DN_CPU(multiply_add_layer)(dn_stream *s, dn_buf *x, double a, double b, size_t rounds, size_t n)
{
    uint32_t left = dn_rounded_to_bf16((dn_real)a), right = dn_rounded_to_bf16((dn_real)b);
#pragma omp parallel for schedule(static) num_threads(s->n_threads)
    for (size_t at = 0; at < n; at += GROUP) {
        dn_real group[GROUP] = {0};
        size_t some = dn_min(n - at, GROUP);
        memcpy(group, dn_host(x) + at, some * sizeof *group);
        add_group(group, left, right, rounds);
        memcpy(dn_host(x) + at, group, some * sizeof *group);
    }
}

void DN_CPU(mix)(const char *name, const dn_kernels *plain, dn_kernels *mixed)
{
    *mixed = *plain;
    mixed->name = name;
    mixed->gemm_layer = DN_CPU(gemm_layer);
    mixed->multiply_add_layer = DN_CPU(multiply_add_layer);
}
