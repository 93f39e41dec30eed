/* What is stored in bfloat16. */
#include "compute/cuda/bf16.cuh"
#include "compute/cuda/elements.cuh"
#include "compute/cuda/exact.cuh"

/* In double, where nothing multiplies bfloat16, numbers of it that are multiplied stay doubles. */
static __device__ void round_into(uint16_t *to, dn_real x)
{
    *to = narrowed(x);
}

#ifdef DN_REAL_DOUBLE
typedef double rounded;
static __device__ void round_into(double *to, dn_real x)
{
    *to = (double)widened(narrowed(x));
}
#else
typedef uint16_t rounded;
#endif

/* A thread takes 8 numbers of a row. */
enum { ROUNDED_AT_ONCE = 8 };

template <class TO, class T>
__global__ void __launch_bounds__(DN_BLOCK)
    round_wide(TO *to, size_t ld_to, const T *x, size_t ld, size_t n, size_t a_row)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; i < n; i += step) {
        size_t row = i / a_row, column = i % a_row * ROUNDED_AT_ONCE;
        pack<ROUNDED_AT_ONCE, T> from = *(const pack<ROUNDED_AT_ONCE, T> *)(x + row * ld + column);
        pack<ROUNDED_AT_ONCE, TO> own;
        for (int w = 0; w < ROUNDED_AT_ONCE; w++)
            round_into(&own.x[w], value(from.x[w]));
        *(pack<ROUNDED_AT_ONCE, TO> *)(to + row * ld_to + column) = own;
    }
}

/* to [rows,cols], rows ld_to apart, = x [rows,cols], rows ld apart. */
template <class TO, class T>
static void round_rows(dn_stream *s, const char *name, TO *to, size_t ld_to, const T *x, size_t ld,
                       size_t rows, size_t cols)
{
    size_t a_row = cols / ROUNDED_AT_ONCE;
    bool wide = (cols | ld | ld_to) % ROUNDED_AT_ONCE == 0 && is_aligned(x) && is_aligned(to);
    if (!wide) {
        for_index(s, name, rows * cols, [=] __device__(size_t i) {
            round_into(&to[i / cols * ld_to + i % cols], value(x[i / cols * ld + i % cols]));
        });
    } else if (rows * cols > 0 && dn_gpu_begin(s, name)) {
        DN_LAUNCH((round_wide<TO, T>), blocks(rows * a_row, DN_BLOCK), DN_BLOCK, 0, dn_gpu_stream(s), to,
                  ld_to, x, ld, rows * a_row, a_row);
        dn_gpu_end(s);
    }
}

void dn_cuda_to_bf16(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n)
{
    round_rows(s, "to_bf16", numbers(y), n, numbers(x), n, 1, n);
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

/* to [rows,cols], rows ld_to apart, = x [rows,cols], rows ld apart, rounded to bfloat16: gemm.c. to and
 * ld_to: whole 16 bytes. */
extern "C" void dn_cuda_round_rows(dn_stream *s, void *to, size_t ld_to, const dn_buf *x, size_t ld,
                                   size_t rows, size_t cols)
{
    with_type_of(x, [&](auto at) {
        round_rows(s, "round_rows", (rounded *)to, ld_to, at(x), ld, rows, cols);
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
