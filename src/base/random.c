#include "base/random.h"

#include <Random123/philox.h>
#include <math.h>

static philox4x32_ctr_t draw(uint64_t seed, uint64_t stream, uint64_t index)
{
    philox4x32_ctr_t counter = {
        {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    return philox4x32(counter, key);
}

static uint64_t pack(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

/* The middle of one of 2^53 equal cells: log() of it is always finite. */
static double to_uniform(uint64_t bits)
{
    return ((double)(bits >> 11) + 0.5) * 0x1p-53;
}

uint64_t dn_random_bits(uint64_t seed, uint64_t stream, uint64_t index)
{
    philox4x32_ctr_t d = draw(seed, stream, index);
    return pack(d.v[0], d.v[1]);
}

double dn_random_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    return to_uniform(dn_random_bits(seed, stream, index));
}

void dn_random_normal(uint64_t seed, uint64_t stream, uint64_t first, size_t n, double std, dn_real *out)
{
    for (size_t i = 0; i < n;) {
        uint64_t element = first + i;
        philox4x32_ctr_t d = draw(seed, stream, element / 2);
        double radius = std * sqrt(-2.0 * log(to_uniform(pack(d.v[0], d.v[1]))));
        double angle = 2.0 * 3.14159265358979323846 * to_uniform(pack(d.v[2], d.v[3]));
        if (element % 2 == 0)
            out[i++] = (dn_real)(radius * cos(angle));
        if (i < n && (first + i) % 2 == 1)
            out[i++] = (dn_real)(radius * sin(angle));
    }
}
