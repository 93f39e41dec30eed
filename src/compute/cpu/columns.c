/* Column norms of tall row-major matrices: whole rows at a time, so memory is read in order. */
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define ROWS ((size_t)64) /* of a block; its partial sums are one row of doubles */

static void add_squares(double *restrict sums, const dn_real *restrict x, size_t rows, size_t r)
{
    memset(sums, 0, r * sizeof *sums);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < r; j++)
            sums[j] += (double)x[i * r + j] * (double)x[i * r + j];
}

/* sums [r] = squared column norms of x; partial [blocks, r] is workspace. */
static void sum_columns(dn_stream *s, double *sums, double *partial, const dn_real *x, size_t n, size_t r)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n * r > DN_CPU_BLOCK)
    for (size_t b = 0; b < dn_blocks(n, ROWS); b++)
        add_squares(partial + b * r, x + b * ROWS * r, dn_min(n - b * ROWS, ROWS), r);
    memset(sums, 0, r * sizeof *sums);
    for (size_t b = 0; b < dn_blocks(n, ROWS); b++)
        for (size_t j = 0; j < r; j++)
            sums[j] += partial[b * r + j];
}

void DN_CPU(column_squares)(dn_stream *s, double *host, const dn_buf *x, size_t n, size_t r)
{
    double *partial = dn_scratch(s, dn_blocks(n, ROWS) * r * sizeof *partial);
    if (partial)
        sum_columns(s, host, partial, dn_host(x), n, r);
}

/* q may be x. */
static void divide_rows(dn_real *q, const dn_real *x, const dn_real *restrict norms, size_t rows, size_t r)
{
    for (size_t i = 0; i < rows; i++)
#pragma omp simd
        for (size_t j = 0; j < r; j++)
            q[i * r + j] = x[i * r + j] / norms[j];
}

void DN_CPU(normalize_columns)(dn_stream *s, dn_buf *q, const dn_buf *x, size_t n, size_t r, double eps,
                               const double *column_squares)
{
    double *squares = dn_scratch(s, ((dn_blocks(n, ROWS) + 1) * sizeof(double) + sizeof(dn_real)) * r);
    if (!squares)
        return;
    double *partial = squares + r;
    dn_real *norms = (dn_real *)(partial + dn_blocks(n, ROWS) * r);
    if (column_squares)
        memcpy(squares, column_squares, r * sizeof *squares);
    else
        sum_columns(s, squares, partial, dn_host(x), n, r);
    for (size_t j = 0; j < r; j++)
        norms[j] = (dn_real)(sqrt(squares[j]) + eps);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n * r > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += ROWS)
        divide_rows(dn_host(q) + at * r, dn_host(x) + at * r, norms, dn_min(n - at, ROWS), r);
}
