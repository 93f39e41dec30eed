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

/* ---- products of layers in mixed precision ---- */

/* In double, where nothing multiplies bfloat16, numbers of it stay doubles. */
#ifdef DN_REAL_DOUBLE
typedef double rounded;
static __device__ rounded round_to_bf16(dn_real x)
{
    return (double)widened(narrowed(x));
}
#else
typedef uint16_t rounded;
static __device__ rounded round_to_bf16(dn_real x)
{
    return narrowed(x);
}
#endif

/* A thread takes DN_WIDE numbers of a row, whose addresses allow it. */
__global__ void __launch_bounds__(DN_BLOCK)
    round_wide(rounded *to, size_t ld_to, const dn_real *x, size_t ld, size_t n, unsigned a_row)
{
    struct alignas(DN_WIDE * sizeof(rounded)) several {
        rounded x[DN_WIDE];
    };
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; i < n; i += step) {
        size_t row = i / a_row, column = i % a_row * DN_WIDE;
        pack<DN_WIDE> from = *(const pack<DN_WIDE> *)(x + row * ld + column);
        several own;
        for (size_t w = 0; w < DN_WIDE; w++)
            own.x[w] = round_to_bf16(from.x[w]);
        *(several *)(to + row * ld_to + column) = own;
    }
}

/* to [rows,cols], rows ld_to apart, = x [rows,cols], rows ld apart, rounded to bfloat16: gemm.c. to and
 * ld_to: whole 16 bytes. */
extern "C" void dn_cuda_round_rows(dn_stream *s, void *to, size_t ld_to, const dn_buf *x, size_t ld,
                                   size_t rows, size_t cols)
{
    rounded *out = (rounded *)to;
    const dn_real *from = numbers(x);
    size_t a_row = cols / DN_WIDE;
    if (cols % DN_WIDE == 0 && ld % DN_WIDE == 0 && is_aligned(x))
        DN_RUN(s, round_wide, blocks(rows * a_row, DN_BLOCK), DN_BLOCK, 0, out, ld_to, from, ld, rows * a_row,
               (unsigned)a_row);
    else
        for_index(s, "round_rows", rows * cols, [=] __device__(size_t i) {
            out[i / cols * ld_to + i % cols] = round_to_bf16(from[i / cols * ld + i % cols]);
        });
}

/* Rounds of such products, in registers. */
void dn_cuda_mixed_multiply_add_layer(dn_stream *s, dn_buf *x, double a, double b, size_t rounds, size_t n)
{
    dn_real *to = numbers(x), left = (dn_real)a, right = (dn_real)b;
    for_index(s, "multiply_add_layer", n, [=] __device__(size_t i) {
        dn_real l = (dn_real)widened(narrowed(left)), r = (dn_real)widened(narrowed(right)), sum = to[i];
        for (size_t k = 0; k < rounds; k++)
            sum += l * r;
        to[i] = sum;
    });
}
