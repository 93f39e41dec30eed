/* The STREAM triad: memory bandwidth of all ranks together, to compare collectives with. */
#ifndef BENCH_TRIAD_H
#define BENCH_TRIAD_H

#include <stdbool.h>
#include <stddef.h>

/** a = b + scale c, arrays [n] of double. streaming: with stores that go past the caches, where the processor
 * has them (dn_triad_can_stream); a must then be aligned to 16 bytes. All of a is visible to others after
 * the next release. Source: STREAM (McCalpin). */
void dn_triad(double *a, const double *b, const double *c, double scale, size_t n, bool streaming);
bool dn_triad_can_stream(void);

#endif
