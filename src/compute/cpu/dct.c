/*
 * Cosine transforms: two small products a tile, Y = L (X R), in registers. OpenBLAS, which packs its
 * operands, is slow on matrices of this size. Runs along rows (tiles of one row) are taken together, some
 * rows at a time, and need only the product with R.
 */
#include "compute/cpu/simd.h"

#include <math.h>

/* A block of C is ROWS x WIDTH: half of the registers that the instruction set has. */
#ifdef __AVX512F__
enum { ROWS = 8, VECTORS = 2 };
#else
enum { ROWS = 4, VECTORS = 2 };
#endif
#define WIDTH ((size_t)(VECTORS * DN_LANES))
#define PANEL ((size_t)64) /* rows of runs that are taken together */

typedef struct matrix {
    dn_real *at;
    size_t ld;
} matrix;

static inline void block_product(matrix c, matrix a, matrix b, size_t k)
{
    dn_vector sum[ROWS][VECTORS];
    memset(sum, 0, sizeof sum);
    for (size_t l = 0; l < k; l++) {
        const dn_vector *row = (const dn_vector *)(b.at + l * b.ld);
        for (size_t i = 0; i < ROWS; i++)
            for (size_t v = 0; v < VECTORS; v++)
                sum[i][v] += a.at[i * a.ld + l] * row[v];
    }
    for (size_t i = 0; i < ROWS; i++)
        memcpy(c.at + i * c.ld, sum[i], sizeof sum[i]);
}

/* The same at the edges. */
static void rest_product(matrix c, matrix a, matrix b, size_t m, size_t n, size_t k)
{
    for (size_t i = 0; i < m; i++) {
        dn_real sum[WIDTH] = {0};
        for (size_t l = 0; l < k; l++)
            for (size_t j = 0; j < n; j++)
                sum[j] += a.at[i * a.ld + l] * b.at[l * b.ld + j];
        memcpy(c.at + i * c.ld, sum, n * sizeof *sum);
    }
}

/* C [m,n] = A [m,k] B [k,n]; C is neither of them. */
static void product(matrix c, matrix a, matrix b, size_t m, size_t n, size_t k)
{
    for (size_t j = 0; j < n; j += WIDTH)
        for (size_t i = 0; i < m; i += ROWS) {
            matrix cc = {c.at + i * c.ld + j, c.ld}, aa = {a.at + i * a.ld, a.ld}, bb = {b.at + j, b.ld};
            if (m - i >= ROWS && n - j >= WIDTH)
                block_product(cc, aa, bb, k);
            else
                rest_product(cc, aa, bb, dn_min(m - i, ROWS), dn_min(n - j, WIDTH), k);
        }
}

/* The orthonormal DCT-II of n numbers, F [n,n], or its transpose. Behind it: room for 4 n doubles. */
static void write_basis(dn_real *to, size_t n, bool transposed)
{
    const double pi = 3.14159265358979323846;
    double *cosine = (double *)(to + n * n + n % 2);
    for (size_t i = 0; i <= n; i++) /* the other quadrants mirror the first, whose arguments are the smallest */
        cosine[i] = cos(pi * (double)i / (2 * (double)n));
    for (size_t i = n + 1; i <= 2 * n; i++)
        cosine[i] = -cosine[2 * n - i];
    for (size_t i = 2 * n + 1; i < 4 * n; i++)
        cosine[i] = cosine[4 * n - i];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            to[transposed ? j * n + i : i * n + j] =
                (dn_real)(sqrt((i > 0 ? 2.0 : 1.0) / (double)n) * cosine[i * (2 * j + 1) % (4 * n)]);
}

static size_t basis_elements(size_t n)
{
    return dn_blocks(n * n + 1 + 4 * n * (sizeof(double) / sizeof(dn_real)), 16) * 16;
}

/* What tiles of one tiling are multiplied with. */
typedef struct transform {
    dn_tiling tiling;  /* with whole panels of runs for tiles */
    size_t whole_cols; /* of the side whose tiles are whole */
    bool inverse, left; /* has a product from the left */
    dn_real *left_of, *right_of, *rooms;
} transform;

static bool prepare(dn_stream *s, const dn_tiling *tiling, bool inverse, transform *out)
{
    *out = (transform){.tiling = *tiling, .whole_cols = dn_whole_tiles(tiling).cols, .inverse = inverse,
                       .left = tiling->tile_rows > 1};
    dn_tiling *t = &out->tiling;
    if (!out->left)
        t->tile_rows = dn_max(dn_min(t->rows, PANEL), 1);
    size_t left = out->left ? t->tile_rows : 1, right = t->tile_cols, room = t->tile_rows * t->tile_cols;
    size_t bases = basis_elements(left) + basis_elements(right);
    dn_real *at = dn_scratch(s, (bases + (size_t)s->n_threads * room) * sizeof *at);
    if (!at)
        return false;
    out->left_of = at;
    out->right_of = at + basis_elements(left);
    out->rooms = at + bases;
    write_basis(out->left_of, left, inverse);
    write_basis(out->right_of, right, !inverse);
    return true;
}

/* Of what a tile lacks nothing is read, and nothing is written: so many rows and columns of the bases do. */
static void transform_tile(const transform *f, dn_real *to, const dn_real *from, size_t number, dn_real *room)
{
    const dn_tiling *t = &f->tiling;
    dn_block of_x = dn_tile(t, number), of_y = of_x;
    of_y.rows = f->left ? t->tile_rows : of_x.rows;
    of_y.cols = t->tile_cols;
    dn_block in = f->inverse ? of_y : of_x, out = f->inverse ? of_x : of_y;
    size_t in_ld = f->inverse ? f->whole_cols : t->cols, out_ld = f->inverse ? t->cols : f->whole_cols;
    matrix a = {(dn_real *)from + in.row0 * in_ld + in.col0, in_ld}, half = {room, out.cols},
           c = {to + out.row0 * out_ld + out.col0, out_ld};
    product(half, a, (matrix){f->right_of, t->tile_cols}, in.rows, out.cols, in.cols);
    if (f->left) {
        product(c, (matrix){f->left_of, t->tile_rows}, half, out.rows, out.cols, in.rows);
        return;
    }
    for (size_t i = 0; i < out.rows; i++)
        memcpy(c.at + i * c.ld, half.at + i * half.ld, out.cols * sizeof *to);
}

static void transform_all(dn_stream *s, dn_buf *to, const dn_buf *from, const dn_tiling *tiling, bool inverse)
{
    transform f;
    if (dn_tiles(tiling) == 0 || !prepare(s, tiling, inverse, &f))
        return;
    size_t n_tiles = dn_tiles(&f.tiling), parts = (size_t)s->n_threads;
    size_t room = f.tiling.tile_rows * f.tiling.tile_cols;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n_tiles * room > DN_CPU_BLOCK)
    for (size_t part = 0; part < parts; part++)
        for (size_t i = n_tiles * part / parts; i < n_tiles * (part + 1) / parts; i++)
            transform_tile(&f, dn_host(to), dn_host(from), i, f.rooms + part * room);
}

void DN_CPU(dct_forward)(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_tiling *tiling)
{
    transform_all(s, y, x, tiling, false);
}

void DN_CPU(dct_inverse)(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_tiling *tiling)
{
    transform_all(s, x, y, tiling, true);
}
