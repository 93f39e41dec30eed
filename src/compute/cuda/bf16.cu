/* What is stored in bfloat16. */
#include "compute/cuda/bf16.cuh"
#include "compute/cuda/elements.cuh"
#include "compute/cuda/exact.cuh"

void dn_cuda_to_bf16(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n)
{
    uint16_t *to = numbers(y);
    const dn_real *from = numbers(x);
    for_index(s, "to_bf16", n, [=] __device__(size_t i) { to[i] = narrowed(from[i]); });
}

void dn_cuda_from_bf16(dn_stream *s, dn_buf *y, const dn_bf16 *x, size_t n)
{
    dn_real *to = numbers(y);
    const uint16_t *from = numbers(x);
    for_index(s, "from_bf16", n, [=] __device__(size_t i) { to[i] = (dn_real)widened(from[i]); });
}

void dn_cuda_add_bf16(dn_stream *s, dn_buf *y, double a, const dn_bf16 *x, size_t n)
{
    dn_real *to = numbers(y), factor = (dn_real)a;
    const uint16_t *from = numbers(x);
    for_index(s, "add_bf16", n,
              [=] __device__(size_t i) { to[i] = to[i] + product(factor, (dn_real)widened(from[i])); });
}
