/* How fast memory can be read, by the threads that kernels run on. */
#include "base/clock.h"
#include "compute/kernels.h"
#include "device/device.h"

#include <math.h>
#include <stdlib.h>

/* Beyond the last-level cache; each thread reads what it has written first. */
#define WORDS ((size_t)1 << 24)

/* Words further on that are asked for: processors themselves look less far ahead. */
#define AHEAD ((size_t)1024)

/* Eight sums, so that none waits for another. */
static uint64_t read_part(const uint64_t *restrict x, size_t n)
{
    uint64_t sums[8] = {0}, all = 0;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        __builtin_prefetch(x + i + AHEAD);
        for (size_t k = 0; k < 8; k++)
            sums[k] += x[i + k];
    }
    for (size_t k = 0; k < 8; k++)
        all += sums[k];
    return all;
}

double dn_read_peak(dn_stream *stream, double budget_s)
{
    size_t n_threads = (size_t)stream->n_threads, part = WORDS / n_threads;
    uint64_t *words = dn_memory_take(WORDS * sizeof *words), sum = 0;
    if (!words)
        return 0;
#pragma omp parallel for schedule(static, 1) num_threads(stream->n_threads)
    for (size_t t = 0; t < n_threads; t++)
        for (size_t i = t * part; i < (t + 1) * part; i++)
            words[i] = i;
    double best_s = INFINITY, start_s = dn_clock_s();
    do {
        double begin_s = dn_clock_s();
#pragma omp parallel for schedule(static, 1) num_threads(stream->n_threads) reduction(+ : sum)
        for (size_t t = 0; t < n_threads; t++)
            sum += read_part(words + t * part, part);
        best_s = fmin(best_s, dn_clock_s() - begin_s);
    } while (dn_clock_s() - start_s < budget_s);
    volatile uint64_t needed = sum; /* or nothing would be read */
    (void)needed;
    double bytes = (double)(part * n_threads * sizeof *words);
    free(words);
    return bytes / best_s;
}
