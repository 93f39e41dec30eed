/* The message sizes of a benchmark, and the number of calls per sample. */
#ifndef BENCH_SIZES_H
#define BENCH_SIZES_H

#include "dionode/bench.h"

/** The first size of a collective on elements of element_bytes (0: it has no buffer, and one size, 0) that
 * takes at most limit bytes (0: no limit), and the one after *bytes. False if there is none. */
bool dn_bench_first_size(const dn_bench_comm_options *options, size_t element_bytes, size_t limit,
                         size_t *bytes);
bool dn_bench_next_size(const dn_bench_comm_options *options, size_t element_bytes, size_t limit,
                        size_t *bytes);

#define DN_BENCH_BATCH_MAX   64
#define DN_BENCH_BATCH_BYTES ((size_t)32 << 10)

/** Bytes from one buffer of a batch to the next: whole pairs of cache lines. */
size_t dn_bench_stride(size_t bytes);

/** Calls of one sample, of n_messages each: a clock cannot tell single small calls, so a sample is that many, back to
 * back, each on a buffer of its own that was written before the clock started. */
int dn_bench_batch(size_t bytes, int n_messages);

#endif
