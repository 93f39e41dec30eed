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
#ifdef DN_TILES
    DN_CPU(mix_attention)(plain, mixed);
#endif
}
