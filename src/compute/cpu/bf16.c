/* bfloat16 as the upper half of a float's bits: the lower half is rounded into it. */
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

/* x as a float from which rounding to bfloat16 gives what rounding x itself would: for a double, cut off, and
 * the last bit set where something was (no tie is then mistaken for one). */
static uint32_t bits_to_round(dn_real x)
{
    uint32_t bits;
    float f = (float)x;
    memcpy(&bits, &f, sizeof bits);
#ifdef DN_REAL_DOUBLE
    bits -= fabs((double)f) > fabs(x); /* rounded away from 0: one back; from infinity to the largest */
    memcpy(&f, &bits, sizeof f);
    bits |= (double)f != x && !isnan(x);
#endif
    return bits;
}

static void round_block(uint16_t *restrict y, const dn_real *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bits_to_round(x[i]);
        uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        uint32_t not_a_number = (bits >> 31 << 15) | 0x7fc0;
        y[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? not_a_number : nearest);
    }
}

void DN_CPU(to_bf16)(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        round_block(dn_host_bf16(y) + at, dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK));
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
            round_block(dn_host_bf16(cache) + ((rows[i].sequence * heads + h) * room + rows[i].position) * hd,
                        dn_host(x) + i * ld + h * hd, hd);
}
