#include "train/sample.h"

#include "base/fail.h"
#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

dn_status dn_candidates_open(dn_candidates *c, size_t n)
{
    *c = (dn_candidates){.logits = calloc(n, sizeof *c->logits),
                         .scratch = calloc(n, 2 * sizeof *c->scratch),
                         .ids = calloc(n, sizeof *c->ids)};
    if (c->logits && c->scratch && c->ids)
        return DN_OK;
    return dn_fail(DN_ERR_MEMORY, "no memory for %zu tokens to choose from", n);
}

void dn_candidates_close(dn_candidates *c)
{
    free(c->logits);
    free(c->scratch);
    free(c->ids);
    *c = (dn_candidates){0};
}

void dn_candidates_fill(dn_candidates *c, const dn_real *logits, size_t n)
{
    c->n = n;
    for (size_t i = 0; i < n; i++) {
        c->logits[i] = (double)logits[i];
        c->ids[i] = (int32_t)i;
    }
}

/* ---- thresholds ---- */

static void swap(double *x, size_t i, size_t j)
{
    double kept = x[i];
    x[i] = x[j];
    x[j] = kept;
}

static double middle(double a, double b, double c)
{
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

/* The smallest value at which the weights of all values up to it exceed `weight`; the largest, if rounding
 * lets none exceed it. Parts of both arrays [n] are exchanged: Hoare's selection, by weight instead of rank.
 */
static double threshold(double *values, double *weights, size_t n, double weight)
{
    size_t begin = 0, end = n;
    for (;;) {
        double pivot = middle(values[begin], values[begin + (end - begin) / 2], values[end - 1]);
        double below = 0, equal = 0;
        size_t less = begin, more = end;
        for (size_t i = begin; i < more;) {
            if (values[i] < pivot) {
                below += weights[i];
                swap(values, i, less);
                swap(weights, i++, less++);
            } else if (values[i] > pivot) {
                swap(values, i, --more);
                swap(weights, i, more);
            } else {
                equal += weights[i++];
            }
        }
        if (less > begin && below > weight) {
            end = less;
        } else if (more == end || below + equal > weight) {
            return pivot;
        } else {
            weight -= below + equal;
            begin = more;
        }
    }
}

static void keep_from(dn_candidates *c, double lowest)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->logits[i] >= lowest) {
            c->logits[kept] = c->logits[i];
            c->ids[kept++] = c->ids[i];
        }
    c->n = kept;
}

static double largest(const dn_candidates *c)
{
    double most = -INFINITY;
    for (size_t i = 0; i < c->n; i++)
        most = fmax(most, c->logits[i]);
    return most;
}

/* ---- steps ---- */

void dn_sample_penalize(dn_candidates *c, const unsigned char *seen, double penalty)
{
    for (size_t i = 0; i < c->n; i++)
        if (seen[c->ids[i]])
            c->logits[i] = c->logits[i] > 0 ? c->logits[i] / penalty : c->logits[i] * penalty;
}

void dn_sample_temper(dn_candidates *c, double temperature)
{
    for (size_t i = 0; i < c->n; i++)
        c->logits[i] /= temperature;
}

void dn_sample_top_k(dn_candidates *c, size_t k)
{
    if (k >= c->n)
        return;
    memcpy(c->scratch, c->logits, c->n * sizeof *c->logits);
    for (size_t i = 0; i < c->n; i++)
        c->scratch[c->n + i] = 1;
    keep_from(c, threshold(c->scratch, c->scratch + c->n, c->n, (double)(c->n - k)));
}

void dn_sample_top_p(dn_candidates *c, double p)
{
    double most = largest(c), sum = 0, *weights = c->scratch + c->n;
    memcpy(c->scratch, c->logits, c->n * sizeof *c->logits);
    for (size_t i = 0; i < c->n; i++)
        sum += weights[i] = exp(c->logits[i] - most);
    keep_from(c, threshold(c->scratch, weights, c->n, (1 - p) * sum));
}

void dn_sample_min_p(dn_candidates *c, double p)
{
    keep_from(c, largest(c) + log(p));
}

int32_t dn_sample_draw(const dn_candidates *c, double u)
{
    double most = largest(c), left = 0;
    for (size_t i = 0; i < c->n; i++)
        left += exp(c->logits[i] - most);
    left *= u;
    for (size_t i = 0; i < c->n; i++) {
        left -= exp(c->logits[i] - most);
        if (left < 0)
            return c->ids[i];
    }
    return dn_sample_greedy(c); /* u so near to 1 that rounding left nothing */
}

int32_t dn_sample_greedy(const dn_candidates *c)
{
    size_t best = 0;
    for (size_t i = 1; i < c->n; i++)
        if (c->logits[i] > c->logits[best])
            best = i;
    return c->ids[best];
}

int32_t dn_sample(dn_candidates *c, const dn_real *logits, size_t n, const unsigned char *seen,
                  const dn_sampling *how, uint64_t sequence, uint64_t position)
{
    dn_candidates_fill(c, logits, n);
    if (how->repetition_penalty != 1)
        dn_sample_penalize(c, seen, how->repetition_penalty);
    if (how->temperature == 0)
        return dn_sample_greedy(c);
    dn_sample_temper(c, how->temperature);
    if (how->top_k > 0)
        dn_sample_top_k(c, (size_t)how->top_k);
    if (how->top_p < 1)
        dn_sample_top_p(c, how->top_p);
    if (how->min_p > 0)
        dn_sample_min_p(c, how->min_p);
    return dn_sample_draw(c, dn_random_uniform(how->seed, sequence, position));
}
