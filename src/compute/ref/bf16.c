/* Reference: bfloat16 by its definition, sign, 8 bits of exponent, 7 of fraction. */
#include "compute/ref/ref.h"

#include <math.h>

enum { FRACTION = 7, BIAS = 127, LEAST = -126, INFINITE = 0x7f80 };

static uint16_t rounded(double x)
{
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    if (isnan(x))
        return sign | INFINITE | 0x40;
    int exponent = LEAST;
    if (x != 0 && !isinf(x) && ilogb(x) > LEAST)
        exponent = ilogb(x);
    /* In units of the last place; nearbyint rounds ties to even. Up to the next power of 2 it may go: that is
     * a carry into the exponent. */
    double units = isinf(x) ? (double)INFINITY : nearbyint(ldexp(fabs(x), FRACTION - exponent));
    double magnitude = units + (double)(exponent - LEAST) * (1 << FRACTION);
    return (uint16_t)(sign | (magnitude < INFINITE ? (uint16_t)magnitude : INFINITE));
}

void dn_ref_to_bf16(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dn_host_bf16(y)[i] = rounded((double)dn_host(x)[i]);
}

double dn_ref_bf16_value(uint16_t bits)
{
    int exponent = bits >> FRACTION & 0xff, fraction = bits & 0x7f;
    double magnitude = exponent == 0xff ? (double)(fraction ? NAN : INFINITY)
                       : exponent == 0  ? ldexp(fraction, LEAST - FRACTION)
                                        : ldexp(fraction + 128, exponent - BIAS - FRACTION);
    return copysign(magnitude, bits & 0x8000 ? -1 : 1);
}

void dn_ref_from_bf16(dn_stream *s, dn_buf *y, const dn_bf16 *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dn_host(y)[i] = (dn_real)dn_ref_bf16_value(dn_host_bf16(x)[i]);
}

void dn_ref_add_bf16(dn_stream *s, dn_buf *y, double a, const dn_bf16 *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dn_host(y)[i] += (dn_real)a * (dn_real)dn_ref_bf16_value(dn_host_bf16(x)[i]);
}

void dn_ref_cache_store_bf16(dn_stream *s, dn_bf16 *cache, size_t heads, size_t room, size_t hd, const dn_buf *x, size_t ld,
                             const dn_cache_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t h = 0; h < heads; h++)
            dn_ref_to_bf16(s, dn_bf16_at(cache, ((rows[i].sequence * heads + h) * room + rows[i].position) * hd),
                           dn_at(x, i * ld + h * hd), hd);
}
