/* Rows and columns that are taken out of a matrix and added back. */
#include "compute/cuda/kernel.cuh"

/* f(i, j) for i < rows, j < cols. */
template <class F> __global__ void __launch_bounds__(DN_BLOCK) each_of_matrix(size_t rows, size_t cols, F f)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < rows * cols; at += step)
        f(at / cols, at % cols);
}

template <class F> static void for_matrix(dn_stream *s, const char *name, size_t rows, size_t cols, F f)
{
    if (rows * cols == 0 || !dn_gpu_begin(s, name))
        return;
    DN_LAUNCH(each_of_matrix, blocks(rows * cols, DN_BLOCK), DN_BLOCK, 0, dn_gpu_stream(s), rows, cols, f);
    dn_gpu_end(s);
}

/* Ids and factors on the device: ids NULL are 0, 1, ..., factors NULL 1. */
struct selection {
    const int32_t *ids;
    const double *factors;

    __device__ size_t at(size_t i) const
    {
        return ids ? (size_t)ids[i] : i;
    }
    __device__ double factor(size_t i) const
    {
        return factors ? factors[i] : 1;
    }
};

/* False if there is no scratch, or nothing to do. */
static bool select(dn_stream *s, selection *out, const int32_t *ids, const double *factors, size_t k)
{
    *out = selection{NULL, NULL};
    double *room = k > 0 ? (double *)dn_gpu_scratch(s, k * (sizeof *factors + sizeof *ids)) : NULL;
    if (!room)
        return false;
    if (factors)
        out->factors = (const double *)dn_gpu_table(s, room, factors, k * sizeof *factors);
    if (ids)
        out->ids = (const int32_t *)dn_gpu_table(s, room + k, ids, k * sizeof *ids);
    return true;
}

void dn_cuda_take_rows(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t cols,
                       double keep)
{
    dn_real *to = numbers(out), *from = numbers(x), kept = (dn_real)keep;
    selection rows;
    if (!select(s, &rows, host_ids, NULL, k))
        return;
    for_matrix(s, "take_rows", k, cols, [=] __device__(size_t i, size_t j) {
        dn_real *own = &from[rows.at(i) * cols + j];
        to[i * cols + j] = *own;
        *own = kept * *own;
    });
}

void dn_cuda_take_columns(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k,
                          size_t rows, size_t cols, double keep)
{
    dn_real *to = numbers(out), *from = numbers(x), kept = (dn_real)keep;
    selection columns;
    if (!select(s, &columns, host_ids, NULL, k))
        return;
    for_matrix(s, "take_columns", rows, k, [=] __device__(size_t i, size_t j) {
        dn_real *own = &from[i * cols + columns.at(j)];
        to[i * k + j] = *own;
        *own = kept * *own;
    });
}

void dn_cuda_add_rows(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const double *host_factor,
                      const dn_buf *y, size_t k, size_t cols)
{
    dn_real *to = numbers(x);
    const dn_real *from = numbers(y);
    selection rows;
    if (!select(s, &rows, host_ids, host_factor, k))
        return;
    for_matrix(s, "add_rows", k, cols, [=] __device__(size_t i, size_t j) {
        to[rows.at(i) * cols + j] += (dn_real)(a * rows.factor(i)) * from[i * cols + j];
    });
}

void dn_cuda_add_columns(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const dn_buf *y,
                         size_t k, size_t rows, size_t cols)
{
    dn_real *to = numbers(x), factor = (dn_real)a;
    const dn_real *from = numbers(y);
    selection columns;
    if (!select(s, &columns, host_ids, NULL, k))
        return;
    for_matrix(s, "add_columns", rows, k, [=] __device__(size_t i, size_t j) {
        to[i * cols + columns.at(j)] += factor * from[i * k + j];
    });
}

void dn_cuda_row_moments(dn_stream *s, dn_buf *v, double *host_factor, const int32_t *host_ids,
                         const double *host_mean, size_t k, double beta2, double eps)
{
    dn_real *moments = numbers(v);
    selection rows;
    if (!select(s, &rows, host_ids, host_mean, k))
        return;
    double *factor = (double *)dn_gpu_result(s, host_factor, k * sizeof *factor);
    for_matrix(s, "row_moments", k, 1, [=] __device__(size_t i, size_t) {
        dn_real *own = &moments[rows.at(i)];
        *own = (dn_real)(beta2 * (double)*own + (1 - beta2) * rows.factor(i));
        factor[i] = 1 / (sqrt((double)*own) + eps);
    });
}
