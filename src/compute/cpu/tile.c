/*
 * The micro-kernel keeps a block of C, ROWS by VECTORS vectors, in registers while it goes through k, and
 * multiplies a row of B by one number of A after the other. Six by two is what 16 registers hold, six by four what 32 do:
 * sums enough that two fused multiplications a cycle always find one that is ready, and the wider the block, the less often
 * A is read.
 *
 * The same lines become AVX-512, AVX2 or what else there is.
 */
#include "compute/cpu/tile.h"

#define ROWS    ((size_t)6)
#define VECTORS ((size_t)DN_TILE_VECTORS)
#define LANES   ((size_t)DN_LANES)

#define INLINE static inline __attribute__((always_inline))

typedef struct product {
    size_t k;
    const dn_real *a;
    size_t lda;
    const dn_real *b;
    size_t ldb;
    bool add;
    dn_real *c;
    size_t ldc;
} product;

/* The block of C at (i, j). Where this is inlined ta, rows and vectors are constants: sum becomes registers.
 */
INLINE void multiply_block(const product *x, dn_trans ta, size_t i, size_t rows, size_t j, size_t vectors)
{
    dn_vector sum[ROWS][VECTORS], row[VECTORS];
    const dn_real *a = ta == DN_T ? x->a + i : x->a + i * x->lda, *b = x->b + j;
    dn_real *c = x->c + i * x->ldc + j;
    size_t lda = x->lda, ldb = x->ldb;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = (dn_vector){0};
    for (size_t l = 0; l < x->k; l++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            row[v] = dn_load(b + l * ldb + v * LANES);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            dn_real number = ta == DN_T ? a[l * lda + r] : a[r * lda + l];
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; v++)
                sum[r][v] += number * row[v];
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++) {
            dn_vector *to = (dn_vector *)(c + r * x->ldc + v * LANES);
            if (x->add)
                sum[r][v] += *to;
            *to = sum[r][v];
        }
}

INLINE void multiply_rows(const product *x, dn_trans ta, size_t i, size_t rows, size_t j, size_t vectors)
{
    switch (rows) {
#define ROWS_ARE(r)                                                                                          \
    case r:                                                                                                  \
        multiply_block(x, ta, i, r, j, vectors);                                                             \
        break;
        ROWS_ARE(1)
        ROWS_ARE(2)
        ROWS_ARE(3)
        ROWS_ARE(4)
        ROWS_ARE(5)
        ROWS_ARE(6)
#undef ROWS_ARE
    }
}

/* Columns of blocks, so that the part of B that all rows meet stays nearest. m is shared out evenly: blocks
 * of one or two rows would wait for their own sums. */
INLINE void multiply(const product *x, dn_trans ta, size_t m, size_t n)
{
    size_t slices = dn_blocks(m, ROWS), vectors = n / LANES;
    for (size_t v = 0, some; v < vectors; v += some) {
        some = v + VECTORS <= vectors ? VECTORS : v + 2 <= vectors ? 2 : 1;
        for (size_t s = 0; s < slices; s++) {
            size_t i = m * s / slices, rows = m * (s + 1) / slices - i;
            if (some == VECTORS)
                multiply_rows(x, ta, i, rows, v * LANES, VECTORS);
            else if (some == 2)
                multiply_rows(x, ta, i, rows, v * LANES, 2);
            else
                multiply_rows(x, ta, i, rows, v * LANES, 1);
        }
    }
}

void dn_tile_product(dn_trans ta, size_t m, size_t n, size_t k, const dn_real *a, size_t lda,
                     const dn_real *b, size_t ldb, bool add, dn_real *c, size_t ldc)
{
    const product x = {k, a, lda, b, ldb, add, c, ldc};
    if (ta == DN_T)
        multiply(&x, DN_T, m, n);
    else
        multiply(&x, DN_N, m, n);
}

/* Four by four numbers at a time, which compilers make shuffles of. */
void dn_tile_transpose(dn_real *out, size_t ld, dn_real scale, const dn_real *x, size_t ldx, size_t rows,
                       size_t columns)
{
    typedef dn_real four
        __attribute__((vector_size(4 * sizeof(dn_real)), aligned(sizeof(dn_real)), may_alias));
    size_t whole = rows / 4 * 4, wide = columns / 4 * 4;
    for (size_t i = 0; i < whole; i += 4)
        for (size_t j = 0; j < wide; j += 4) {
            const dn_real *from = x + i * ldx + j;
            four a = scale * *(const four *)from, b = scale * *(const four *)(from + ldx);
            four c = scale * *(const four *)(from + 2 * ldx), d = scale * *(const four *)(from + 3 * ldx);
            four left = __builtin_shufflevector(a, c, 0, 4, 1, 5),
                 right = __builtin_shufflevector(a, c, 2, 6, 3, 7);
            four left_too = __builtin_shufflevector(b, d, 0, 4, 1, 5),
                 right_too = __builtin_shufflevector(b, d, 2, 6, 3, 7);
            *(four *)(out + j * ld + i) = __builtin_shufflevector(left, left_too, 0, 4, 1, 5);
            *(four *)(out + (j + 1) * ld + i) = __builtin_shufflevector(left, left_too, 2, 6, 3, 7);
            *(four *)(out + (j + 2) * ld + i) = __builtin_shufflevector(right, right_too, 0, 4, 1, 5);
            *(four *)(out + (j + 3) * ld + i) = __builtin_shufflevector(right, right_too, 2, 6, 3, 7);
        }
    for (size_t j = 0; j < columns; j++)
        for (size_t i = j < wide ? whole : 0; i < ld; i++)
            out[j * ld + i] = i < rows ? scale * x[i * ldx + j] : 0;
}
