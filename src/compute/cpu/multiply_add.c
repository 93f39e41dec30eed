/*
 * Fused multiplications and additions that wait for nothing. A result is there after four cycles, or five, and two a
 * cycle can begin: twelve vectors always have one that is ready, and with a and b they fit into 16 registers.
 */
#include "compute/cpu/simd.h"

enum { VECTORS = 12, GROUP = VECTORS * DN_LANES };

static void multiply_add_group(dn_real *x, dn_real a, dn_real b, size_t rounds)
{
    dn_vector value[VECTORS];
    for (size_t v = 0; v < VECTORS; v++)
        value[v] = dn_load(x + v * DN_LANES);
    for (size_t round = 0; round < rounds; round++)
#pragma GCC unroll 12
        for (size_t v = 0; v < VECTORS; v++)
            value[v] = a * value[v] + b;
    for (size_t v = 0; v < VECTORS; v++)
        *(dn_vector *)(x + v * DN_LANES) = value[v];
}

/* A group that is not whole goes through one that is. */
void DN_CPU(multiply_add)(dn_stream *s, dn_buf *x, double a, double b, size_t rounds, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads)
    for (size_t at = 0; at < n; at += GROUP) {
        dn_real group[GROUP] = {0};
        size_t some = dn_min(n - at, GROUP);
        memcpy(group, dn_host(x) + at, some * sizeof *group);
        multiply_add_group(group, (dn_real)a, (dn_real)b, rounds);
        memcpy(dn_host(x) + at, group, some * sizeof *group);
    }
}
