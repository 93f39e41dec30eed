/* How fast products are here, and how fast they could be at all. */
#include "base/clock.h"
#include "compute/kernels.h"

#include <math.h>

/* Of a square product; numbers of a thread, whole groups of any vectors (cpu/multiply_add.c); so many rounds of them
 * take some milliseconds, against which waking the threads is little. */
enum { EDGE = 1024, NUMBERS = 192, ROUNDS = 1 << 20 };

dn_flop_limits dn_flop_limits_measure(dn_stream *stream, double budget_s)
{
    const size_t square = (size_t)EDGE * EDGE, n = (size_t)NUMBERS * (size_t)stream->n_threads;
    const size_t bytes = (3 * square + n) * sizeof(dn_real);
    void *memory;
    if (dn_device_alloc(stream, bytes, &memory) != DN_OK)
        return (dn_flop_limits){0};
    const dn_kernels *k = stream->kernels;
    dn_buf *a = memory, *b = dn_at(a, square), *c = dn_at(b, square), *x = dn_at(c, square);
    k->fill(stream, a, 2 * square, 0.5);
    double gemm_s = INFINITY, fma_s = INFINITY, start_s = dn_clock_s();
    do {
        double begin_s = dn_clock_s();
        k->gemm(stream, DN_N, DN_N, EDGE, EDGE, EDGE, 1, a, EDGE, b, EDGE, 0, c, EDGE);
        if (dn_stream_sync(stream) != DN_OK)
            break;
        double between_s = dn_clock_s();
        k->multiply_add(stream, x, 0.5, 0.5, ROUNDS, n);
        if (dn_stream_sync(stream) != DN_OK)
            break;
        gemm_s = fmin(gemm_s, between_s - begin_s);
        fma_s = fmin(fma_s, dn_clock_s() - between_s);
    } while (dn_clock_s() - start_s < budget_s);
    dn_device_free(stream, memory, bytes);
    dn_flop_limits limits = {2.0 * (double)square * EDGE / gemm_s, 2.0 * (double)n * ROUNDS / fma_s};
    dn_flop_shares(&limits, 0);
    return limits;
}

dn_flop_limits dn_flop_shares(dn_flop_limits *limits, double flops)
{
    limits->gemm = fmax(limits->gemm, flops);
    limits->fma = fmax(limits->fma, limits->gemm);
    return (dn_flop_limits){flops / limits->gemm, flops / limits->fma};
}
