/* Reference: cross-entropy, whole and by parts of the vocabulary. */
#include "compute/ref/ref.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* NaN is passed over. In dn_real: gcc 12 for arm64 breaks down at fmax of floats that become doubles. */
static double largest(const dn_real *x, size_t n)
{
    dn_real max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return (double)max;
}

void dn_ref_cross_entropy(dn_stream *s, double *host_loss, dn_buf *logits, const dn_ids *targets, size_t N,
                          size_t V, double scale)
{
    for (size_t i = 0; i < N; i++) {
        dn_real *row = dn_host(logits) + i * V;
        size_t target = (size_t)dn_host_ids(targets)[i];
        if (dn_host_ids(targets)[i] < 0) {
            memset(row, 0, V * sizeof *row);
            continue;
        }
        assert(target < V);
        double max = largest(row, V), sum = 0;
        for (size_t v = 0; v < V; v++)
            sum += exp((double)row[v] - max);
        *host_loss += log(sum) - ((double)row[target] - max);
        for (size_t v = 0; v < V; v++)
            row[v] = (dn_real)(scale * (exp((double)row[v] - max) / sum - (v == target)));
    }
}

void dn_ref_cross_entropy_part(dn_stream *s, dn_buf *part, dn_buf *logits, const dn_ids *targets,
                               const dn_vocab_shard *vocab, size_t N)
{
    for (size_t i = 0; i < N; i++) {
        dn_real *row = dn_host(logits) + i * vocab->n, *out = dn_host(part) + 3 * i;
        size_t target = (size_t)dn_host_ids(targets)[i];
        bool mine = target >= vocab->first && target < vocab->first + vocab->n;
        double max = largest(row, vocab->n), sum = 0;
        out[0] = (dn_real)max;
        out[2] = mine ? row[target - vocab->first] : 0;
        for (size_t v = 0; v < vocab->n; v++) {
            double e = exp((double)row[v] - (max == -INFINITY ? 0 : max)); /* NaN stays NaN */
            sum += e;
            row[v] = (dn_real)e;
        }
        out[1] = (dn_real)sum;
    }
}

void dn_ref_cross_entropy_join(dn_stream *s, double *host_loss, dn_buf *logits,
                               const dn_buf *const *host_parts, size_t n_parts, size_t own,
                               const dn_ids *targets, const dn_vocab_shard *vocab, size_t N, double scale)
{
    for (size_t i = 0; i < N; i++) {
        double max = -INFINITY, sum = 0, target = 0;
        if (dn_host_ids(targets)[i] < 0) {
            memset(dn_host(logits) + i * vocab->n, 0, vocab->n * sizeof(dn_real));
            continue;
        }
        for (size_t k = 0; k < n_parts; k++)
            max = fmax(max, (double)dn_host(host_parts[k])[3 * i]);
        for (size_t k = 0; k < n_parts; k++) {
            const dn_real *part = dn_host(host_parts[k]) + 3 * i;
            sum += isinf(part[0]) && part[0] < 0 ? (double)part[1]
                                                 : exp((double)part[0] - max) * (double)part[1];
            target += (double)part[2];
        }
        *host_loss += log(sum) - (target - max);
        double own_max = (double)dn_host(host_parts[own])[3 * i];
        for (size_t v = 0; v < vocab->n && scale != 0; v++) {
            dn_real *x = &dn_host(logits)[i * vocab->n + v];
            double shift = own_max == -INFINITY ? 0 : own_max - max;
            bool hit = (size_t)dn_host_ids(targets)[i] == vocab->first + v;
            *x = (dn_real)(scale * ((double)*x * exp(shift) / sum - hit));
        }
    }
}
