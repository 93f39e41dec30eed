/* How fast products are here, and how fast they could be at all. */
#include "base/clock.h"
#include "compute/kernels.h"

#include <math.h>

/* The largest edge of a square product; numbers of a thread, whole groups of any vectors and tiles
 * (cpu/multiply_add.c, cpu/mixed_tiles.h). */
enum { EDGE = 1024, NUMBERS = 1536 };

/* Of a product, and of rounds of multiply_add, against which waking the threads is little. Plain loops get there with
 * smaller squares and fewer rounds. */
#define LEAST_S 0.005

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
    dn_flop_limits limits = {0};
    size_t edge = EDGE / 16, rounds = 1 << 11;
    bool larger = true, more = true;
    for (double start_s = dn_clock_s(); larger || more || dn_clock_s() - start_s < budget_s;) {
        bool in_turn = !larger && !more;
        if (larger || in_turn) {
            double begin_s = dn_clock_s();
            k->gemm_layer(stream, DN_N, DN_N, edge, edge, edge, a, edge, b, edge, false, c, edge);
            if (dn_stream_sync(stream) != DN_OK)
                break;
            double seconds = dn_clock_s() - begin_s;
            limits.gemm = fmax(limits.gemm, 2.0 * (double)(edge * edge * edge) / seconds);
            larger = seconds < LEAST_S && edge < EDGE;
            edge *= larger ? 2 : 1;
        }
        if (more || in_turn) {
            double begin_s = dn_clock_s();
            k->multiply_add_layer(stream, x, 0.5, 0.5, rounds, n);
            if (dn_stream_sync(stream) != DN_OK)
                break;
            double seconds = dn_clock_s() - begin_s;
            limits.fma = fmax(limits.fma, 2.0 * (double)(n * rounds) / seconds);
            more = seconds < LEAST_S;
            rounds *= more ? 2 : 1;
        }
    }
    dn_device_free(stream, memory, bytes);
    dn_flop_shares(&limits, 0);
    return limits;
}

dn_flop_limits dn_flop_shares(dn_flop_limits *limits, double flops)
{
    limits->gemm = fmax(limits->gemm, flops);
    limits->fma = fmax(limits->fma, limits->gemm);
    return (dn_flop_limits){flops / limits->gemm, flops / limits->fma};
}
