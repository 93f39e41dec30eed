/* Norms, selection and scaling of rows and columns: threads share out blocks of whole rows. */
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define ROWS ((size_t)64) /* of a block of column sums; its partial sums are one row of doubles */

static size_t selected(const int32_t *ids, size_t i)
{
    return ids ? (size_t)ids[i] : i;
}

static void scale_block(dn_real *y, dn_real a, const dn_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

void DN_CPU(scale)(dn_stream *s, dn_buf *y, double a, const dn_buf *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        scale_block(dn_host(y) + at, (dn_real)a, dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK));
}

static double row_square(const dn_real *x, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static double add_row_norm1(dn_real *restrict x, const dn_real *restrict y, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        x[i] += y[i];
        sum += fabs((double)x[i]);
    }
    return sum;
}

void DN_CPU(row_squares)(dn_stream *s, double *host, const dn_buf *x, size_t rows, size_t cols)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (rows * cols > DN_CPU_BLOCK)
    for (size_t i = 0; i < rows; i++)
        host[i] = row_square(dn_host(x) + i * cols, cols);
}

void DN_CPU(add_row_norms1)(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows, size_t cols)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (rows * cols > DN_CPU_BLOCK)
    for (size_t i = 0; i < rows; i++)
        host[i] = add_row_norm1(dn_host(x) + i * cols, dn_host(y) + i * cols, cols);
}

static void add_magnitudes(double *restrict sums, dn_real *restrict x, const dn_real *restrict y, size_t rows,
                           size_t cols)
{
    memset(sums, 0, cols * sizeof *sums);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            x[i * cols + j] += y[i * cols + j];
            sums[j] += fabs((double)x[i * cols + j]);
        }
}

void DN_CPU(add_column_norms1)(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows,
                               size_t cols)
{
    size_t n_blocks = dn_blocks(rows, ROWS);
    double *partial = dn_scratch(s, n_blocks * cols * sizeof *partial);
    if (!partial)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (rows * cols > DN_CPU_BLOCK)
    for (size_t b = 0; b < n_blocks; b++)
        add_magnitudes(partial + b * cols, dn_host(x) + b * ROWS * cols, dn_host(y) + b * ROWS * cols,
                       dn_min(rows - b * ROWS, ROWS), cols);
    memset(host, 0, cols * sizeof *host);
    for (size_t b = 0; b < n_blocks; b++)
        for (size_t j = 0; j < cols; j++)
            host[j] += partial[b * cols + j];
}

void DN_CPU(take_rows)(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t cols,
                       double keep)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (k * cols > DN_CPU_BLOCK)
    for (size_t i = 0; i < k; i++) {
        dn_real *row = dn_host(x) + selected(host_ids, i) * cols;
        memcpy(dn_host(out) + i * cols, row, cols * sizeof *row);
        scale_block(row, (dn_real)keep, row, cols);
    }
}

void DN_CPU(take_columns)(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k,
                          size_t rows, size_t cols, double keep)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (rows * k > DN_CPU_BLOCK)
    for (size_t i = 0; i < rows; i++) {
        dn_real *to = dn_host(out) + i * k, *row = dn_host(x) + i * cols;
        for (size_t j = 0; j < k; j++) {
            to[j] = row[selected(host_ids, j)];
            row[selected(host_ids, j)] = (dn_real)keep * to[j];
        }
    }
}

static void add_row(dn_real *restrict x, dn_real a, const dn_real *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += a * y[i];
}

void DN_CPU(add_rows)(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const double *host_factor,
                      const dn_buf *y, size_t k, size_t cols)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (k * cols > DN_CPU_BLOCK)
    for (size_t i = 0; i < k; i++)
        add_row(dn_host(x) + selected(host_ids, i) * cols, (dn_real)(host_factor ? a * host_factor[i] : a),
                dn_host(y) + i * cols, cols);
}

void DN_CPU(add_columns)(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const dn_buf *y,
                         size_t k, size_t rows, size_t cols)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (rows * k > DN_CPU_BLOCK)
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < k; j++)
            dn_host(x)[i * cols + selected(host_ids, j)] += (dn_real)a * dn_host(y)[i * k + j];
}

void DN_CPU(row_moments)(dn_stream *s, dn_buf *v, double *host_factor, const int32_t *host_ids,
                         const double *host_mean, size_t k, double beta2, double eps)
{
    for (size_t i = 0; i < k; i++) {
        dn_real *moment = dn_host(v) + selected(host_ids, i);
        *moment = (dn_real)(beta2 * (double)*moment + (1 - beta2) * host_mean[i]);
        host_factor[i] = 1 / (sqrt((double)*moment) + eps);
    }
}
