/*
 * Products of layers in mixed precision: A and B are rounded to bfloat16, terms are added in dn_real.
 *
 * Numbers go through the micro-kernel in pairs of two consecutive k, 32 bits that an instruction of AVX512_BF16 multiplies with
 * another pair and adds to a float: VDPBF16PS. Where the processor does not have it, `dot` says in plain vectors what it does;
 * all else, and the order of additions, is the same, so that any machine can train in mixed precision, slowly, and test this.
 *
 * Each thread has a part of C, and goes through blocks of B that stay in its second cache, and of A, which it rounds and packs
 * into pairs itself: B into panels as wide as the micro-kernel, with all of a pair's columns side by side; A with rows of
 * pairs, or, where it comes transposed, rows of columns like B. Blocks of k follow one another, and each element's terms within
 * one, whoever computes it: bits do not depend on the number of threads.
 */
#include "compute/cpu/bf16.h"
#include "compute/cpu/simd.h"

typedef DN_VECTOR(uint32_t, DN_LANES * sizeof(uint32_t)) vector_pairs;
typedef DN_VECTOR(float, DN_LANES * sizeof(float)) vector_float;

/* Rows of the micro-kernel: with two vectors of sums each they fit into the registers. */
#ifdef __AVX512BF16__
#define ROWS ((size_t)12)
#else
#define ROWS ((size_t)4)
#endif

/* Columns of a panel; of a block pairs of k, rows and columns: 384 pairs' worth of a panel with 12 rows of A lie in the first
 * cache, both blocks in the second. */
enum { WIDE = 2 * DN_LANES, DEEP = 192, TALL = 96, BROAD = 512 };

/* Below so many multiplications waking a thread takes longer than it saves. */
#define ALONE 5e5

#define INLINE static inline __attribute__((always_inline))

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

/* ---- packing ---- */

static void pair_neighbours(uint32_t *restrict out, const dn_real *restrict x, size_t pairs)
{
    for (size_t l = 0; l < pairs; l++)
        out[l] = dn_rounded_to_bf16(x[2 * l]) | dn_rounded_to_bf16(x[2 * l + 1]) << 16;
}

/* out [rows,ld] = pairs of consecutive numbers of the rows of x [rows,n]; of an odd n the last is paired with 0. */
static void pair_along(uint32_t *out, size_t ld, const dn_real *x, size_t ldx, size_t rows, size_t n)
{
    for (size_t i = 0; i < rows; i++) {
        pair_neighbours(out + i * ld, x + i * ldx, n / 2);
        if (n % 2)
            out[i * ld + n / 2] = dn_rounded_to_bf16(x[i * ldx + n - 1]);
    }
}

static void pair_two_rows(uint32_t *restrict out, const dn_real *restrict low, const dn_real *restrict high, size_t n)
{
    for (size_t j = 0; j < n; j++)
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

/* out [pairs,WIDE] = the transpose of x [columns,pairs], four by four, which compilers make shuffles of. */
static void turn(uint32_t *out, const uint32_t *x, size_t ldx, size_t columns, size_t pairs)
{
    typedef uint32_t four __attribute__((vector_size(16), aligned(4), may_alias));
    size_t whole = columns / 4 * 4, deep = pairs / 4 * 4;
    for (size_t i = 0; i < whole; i += 4)
        for (size_t l = 0; l < deep; l += 4) {
            const uint32_t *from = x + i * ldx + l;
            four a = *(const four *)from, b = *(const four *)(from + ldx), c = *(const four *)(from + 2 * ldx),
                 d = *(const four *)(from + 3 * ldx);
            four left = __builtin_shufflevector(a, c, 0, 4, 1, 5), right = __builtin_shufflevector(a, c, 2, 6, 3, 7);
            four left_too = __builtin_shufflevector(b, d, 0, 4, 1, 5), right_too = __builtin_shufflevector(b, d, 2, 6, 3, 7);
            *(four *)(out + l * WIDE + i) = __builtin_shufflevector(left, left_too, 0, 4, 1, 5);
            *(four *)(out + (l + 1) * WIDE + i) = __builtin_shufflevector(left, left_too, 2, 6, 3, 7);
            *(four *)(out + (l + 2) * WIDE + i) = __builtin_shufflevector(right, right_too, 0, 4, 1, 5);
            *(four *)(out + (l + 3) * WIDE + i) = __builtin_shufflevector(right, right_too, 2, 6, 3, 7);
        }
    for (size_t i = 0; i < columns; i++)
        for (size_t l = i < whole ? deep : 0; l < pairs; l++)
            out[l * WIDE + i] = x[i * ldx + l];
}

/* Numbers first .. first+k-1 of each column of op(B), of `columns` columns from `left` on, become a panel [k/2,WIDE]. What
 * stands in columns that are not there is multiplied, too, and not used. */
static void pack_panel(uint32_t *panel, const dn_product *x, size_t first, size_t k, size_t left, size_t columns)
{
    const dn_real *b = dn_host(x->b);
    size_t pairs = (k + 1) / 2;
    if (columns < WIDE)
        memset(panel, 0, pairs * WIDE * sizeof *panel);
    if (x->tb == DN_T) {
        uint32_t rows[WIDE * DEEP];
        pair_along(rows, DEEP, b + left * x->ldb + first, x->ldb, columns, k);
        turn(panel, rows, DEEP, columns, pairs);
    } else
        pair_across(panel, WIDE, b + first * x->ldb + left, x->ldb, k, columns);
}

/* The same of the rows of op(A): [rows,DEEP], or, where A is transposed, [k/2,TALL]. */
static void pack_rows(uint32_t *block, const dn_product *x, size_t first, size_t k, size_t top, size_t rows)
{
    const dn_real *a = dn_host(x->a);
    if (x->ta == DN_T)
        pair_across(block, TALL, a + first * x->lda + top, x->lda, k, rows);
    else
        pair_along(block, DEEP, a + top * x->lda + first, x->lda, rows, k);
}

/* ---- the micro-kernel ---- */

/* Some rows of C, in the columns of one panel. */
typedef struct part {
    size_t pairs, columns;
    const uint32_t *a, *panel;
    bool add;
    dn_real *c;
    size_t ldc;
} part;

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

/* ---- a thread's part of C ---- */

enum { B_BLOCK = DEEP * BROAD, A_BLOCK = DEEP * TALL };

static void multiply_part(const dn_product *x, uint32_t *room, size_t top, size_t bottom, size_t left, size_t right)
{
    uint32_t *b = room, *a = room + B_BLOCK;
    for (size_t j = left; j < right; j += BROAD)
        for (size_t l = 0; l < x->k; l += 2 * DEEP) {
            size_t k = dn_min(x->k - l, 2 * DEEP), pairs = (k + 1) / 2, columns = dn_min(right - j, BROAD);
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

/* ---- its limit ---- */

/* As multiply_add.c: sums enough that one is always ready; a pair is two rounds. */
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
