/* Cross-entropy, whole or by parts of the vocabulary: threads share out rows, a row is computed by one. */
#include "compute/cpu/vector_math.h"

#include <string.h>

#define LOSS_BLOCK ((size_t)1024)

/* Sum of e^(x - max); x becomes the exponentials if `keep`. */
static double exp_row(dn_real *x, size_t n, dn_real max, bool keep)
{
    double sum = 0;
    dn_real block[LOSS_BLOCK];
    for (size_t at = 0; at < n; at += LOSS_BLOCK) {
        size_t count = dn_min(n - at, LOSS_BLOCK);
        dn_real *e = keep ? x + at : block;
        dn_shift_row(e, x + at, max, count);
        dn_exp_row(e, count);
        sum += (double)dn_row_sum(e, count);
    }
    return sum;
}

/* A row without a target: its gradient, and its loss. */
static double uncounted_row(dn_real *x, size_t n)
{
    memset(x, 0, n * sizeof *x);
    return 0;
}

/* A row stays in the cache over its passes: memory is read once and written once. */
static double cross_entropy_row(dn_real *x, size_t V, size_t target, double scale)
{
    dn_real max = dn_row_max(x, V);
    double shifted = (double)x[target] - (double)max, sum = exp_row(x, V, max, scale != 0);
    if (scale != 0) {
        dn_real factor = (dn_real)(scale / sum);
        for (size_t v = 0; v < V; v++)
            x[v] *= factor;
        x[target] -= (dn_real)scale;
    }
    return log(sum) - shifted;
}

void DN_CPU(cross_entropy)(dn_stream *s, double *host_loss, dn_buf *logits, const dn_ids *targets, size_t N,
                           size_t V, double scale)
{
    double *losses = dn_scratch(s, N * sizeof *losses);
    if (!losses)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * V > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        losses[i] = dn_host_ids(targets)[i] < 0 ? uncounted_row(dn_host(logits) + i * V, V)
                                                : cross_entropy_row(dn_host(logits) + i * V, V,
                                                                    (size_t)dn_host_ids(targets)[i], scale);
    for (size_t i = 0; i < N; i++)
        *host_loss += losses[i];
}

/* One row of a part [3]: maximum, sum of exponentials, target's logit. Without a number above -infinity
 * nothing is taken off: -infinity less itself would be NaN. */
static void part_row(dn_real *part, dn_real *x, size_t n, size_t target)
{
    dn_real max = dn_row_max(x, n), unshifted = 0;
    part[0] = max;
    part[2] = target < n ? x[target] : 0;
    part[1] = (dn_real)exp_row(x, n, max == -(dn_real)INFINITY ? unshifted : max, true);
}

/* Where the target of row i is among the words; n or more if it is not. */
static size_t target_of(const dn_ids *targets, const dn_vocab_shard *vocab, size_t i)
{
    return (size_t)dn_host_ids(targets)[i] - vocab->first; /* wraps around below first */
}

void DN_CPU(cross_entropy_part)(dn_stream *s, dn_buf *part, dn_buf *logits, const dn_ids *targets,
                                const dn_vocab_shard *vocab, size_t N)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * vocab->n > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        part_row(dn_host(part) + 3 * i, dn_host(logits) + i * vocab->n, vocab->n,
                 target_of(targets, vocab, i));
}

/* What takes exponentials of a part to the common maximum. */
static double to_common(dn_real max_of_part, double max)
{
    return max_of_part == -(dn_real)INFINITY ? 1 : exp((double)max_of_part - max);
}

/* Row i of all parts: the loss, and *factor = what takes exponentials of part `own` to probabilities. */
static double join_row(const dn_buf *const *parts, size_t n_parts, size_t own, size_t i, double *factor)
{
    double max = -INFINITY, sum = 0, target = 0;
    for (size_t k = 0; k < n_parts; k++)
        max = fmax(max, (double)dn_host(parts[k])[3 * i]);
    for (size_t k = 0; k < n_parts; k++) {
        const dn_real *part = dn_host(parts[k]) + 3 * i;
        sum += to_common(part[0], max) * (double)part[1];
        target += (double)part[2];
    }
    *factor = to_common(dn_host(parts[own])[3 * i], max) / sum;
    return log(sum) - (target - max);
}

static void gradient_row(dn_real *x, size_t n, size_t target, double factor, double scale)
{
    for (size_t v = 0; v < n; v++)
        x[v] *= (dn_real)factor;
    if (target < n)
        x[target] -= (dn_real)scale;
}

void DN_CPU(cross_entropy_join)(dn_stream *s, double *host_loss, dn_buf *logits,
                                const dn_buf *const *host_parts, size_t n_parts, size_t own,
                                const dn_ids *targets, const dn_vocab_shard *vocab, size_t N, double scale)
{
    double *losses = dn_scratch(s, N * sizeof *losses);
    if (!losses)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * vocab->n > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++) {
        double factor;
        if (dn_host_ids(targets)[i] < 0) {
            losses[i] = uncounted_row(dn_host(logits) + i * vocab->n, vocab->n);
            continue;
        }
        losses[i] = join_row(host_parts, n_parts, own, i, &factor);
        if (scale != 0)
            gradient_row(dn_host(logits) + i * vocab->n, vocab->n, target_of(targets, vocab, i),
                         scale * factor, scale);
    }
    for (size_t i = 0; i < N; i++)
        *host_loss += losses[i];
}
