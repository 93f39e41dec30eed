/* The table of rotary angles. */
#include "compute/cpu/cpu.h"

#include <math.h>

void dn_cpu_rotary_angles(dn_stream *s, dn_buf *angles, const double *host_frequencies, size_t T, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads)
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < T; t++) {
            dn_host(angles)[t * 2 * n + i] = (dn_real)cos((double)t * host_frequencies[i]);
            dn_host(angles)[t * 2 * n + n + i] = (dn_real)sin((double)t * host_frequencies[i]);
        }
}
