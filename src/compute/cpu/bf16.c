/* bfloat16 as the upper half of a float's bits: the lower half is rounded into it. */
#include "compute/cpu/bf16.h"

void DN_CPU(to_bf16)(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        dn_round_to_bf16(dn_host_bf16(y) + at, dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK));
}

static void widen_block(dn_real *restrict y, const uint16_t *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = dn_widened(x[i]);
}

void DN_CPU(from_bf16)(dn_stream *s, dn_buf *y, const dn_bf16 *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        widen_block(dn_host(y) + at, dn_host_bf16(x) + at, dn_min(n - at, DN_CPU_BLOCK));
}

static void add_block(dn_real *restrict y, dn_real a, const uint16_t *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * dn_widened(x[i]);
}

void DN_CPU(add_bf16)(dn_stream *s, dn_buf *y, double a, const dn_bf16 *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        add_block(dn_host(y) + at, (dn_real)a, dn_host_bf16(x) + at, dn_min(n - at, DN_CPU_BLOCK));
}

void DN_CPU(cache_store_bf16)(dn_stream *s, dn_bf16 *cache, size_t heads, size_t room, size_t hd, const dn_buf *x, size_t ld,
                              const dn_cache_row *rows, size_t n)
{
#pragma omp parallel for collapse(2) schedule(static) num_threads(s->n_threads) if (n * heads * hd > DN_CPU_BLOCK)
    for (size_t i = 0; i < n; i++)
        for (size_t h = 0; h < heads; h++)
            dn_round_to_bf16(dn_host_bf16(cache) + ((rows[i].sequence * heads + h) * room + rows[i].position) * hd,
                        dn_host(x) + i * ld + h * hd, hd);
}
