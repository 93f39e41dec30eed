/* Products of a few rows with a matrix that is read once: a warp takes a row of w. */
#include "compute/cuda/bf16.cuh"

enum { WARPS = DN_BLOCK / DN_WARP };

template <class T>
__global__ void __launch_bounds__(DN_BLOCK) matvec(dn_real *y, size_t ldy, const dn_real *x, size_t ldx,
                                                   const T *w, size_t n, size_t out, size_t in, bool add)
{
    size_t row = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP, lane = threadIdx.x % DN_WARP;
    if (row >= out)
        return;
    dn_real sums[DN_MATVEC_ROWS] = {};
    for (size_t k = lane; k < in; k += DN_WARP) {
        dn_real own = value(w[row * in + k]);
        for (size_t i = 0; i < DN_MATVEC_ROWS; i++)
            if (i < n)
                sums[i] += own * x[i * ldx + k];
    }
    for (size_t i = 0; i < DN_MATVEC_ROWS; i++) {
        dn_real sum = warp_sum(sums[i]);
        if (i < n && lane == 0)
            y[i * ldy + row] = add ? y[i * ldy + row] + sum : sum;
    }
}

void dn_cuda_matvec(dn_stream *s, dn_buf *y, size_t ldy, const dn_buf *x, size_t ldx, const dn_buf *w,
                    size_t n, size_t out, size_t in, bool add)
{
    if (n * out > 0)
        DN_RUN(s, matvec<dn_real>, (unsigned)((out + WARPS - 1) / WARPS), DN_BLOCK, 0, numbers(y), ldy,
               numbers(x), ldx, numbers(w), n, out, in, add);
}

void dn_cuda_matvec_bf16(dn_stream *s, dn_buf *y, size_t ldy, const dn_buf *x, size_t ldx, const dn_bf16 *w,
                         size_t n, size_t out, size_t in, bool add)
{
    if (n * out > 0)
        DN_RUN(s, matvec<uint16_t>, (unsigned)((out + WARPS - 1) / WARPS), DN_BLOCK, 0, numbers(y), ldy,
               numbers(x), ldx, numbers(w), n, out, in, add);
}
