/* The table of rotary angles, kept by the stream: sines and cosines cost more than all else in that kernel.
 */
#include "compute/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>

static void fill_table(dn_real *table, size_t T, size_t hd, int n_threads)
{
    size_t half = hd / 2;
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (size_t i = 0; i < half; i++) {
        double frequency = pow(DN_ROTARY_BASE, -2.0 * (double)i / (double)hd);
        for (size_t t = 0; t < T; t++) {
            table[t * hd + i] = (dn_real)cos((double)t * frequency);
            table[t * hd + half + i] = (dn_real)sin((double)t * frequency);
        }
    }
}

const dn_real *dn_cpu_rotary_table(dn_stream *s, size_t T, size_t hd)
{
    if (s->rotary && hd == s->rotary_hd && T <= s->rotary_T)
        return s->rotary;
    free(s->rotary);
    s->rotary = malloc((T * hd + 1) * sizeof *s->rotary); /* never NULL for want of elements */
    s->rotary_T = T;
    s->rotary_hd = hd;
    if (s->rotary)
        fill_table(s->rotary, T, hd, s->n_threads);
    else
        s->status = DN_ERR_MEMORY;
    return s->rotary;
}
