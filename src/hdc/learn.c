#include "hdc/learn.h"

#include "base/fail.h"
#include "base/size.h"
#include "hdc/encode.h"

#include <math.h>
#include <stdlib.h>

dn_status dn_hdc_classes_open(size_t D, size_t n, dn_hdc_classes *out)
{
    *out = (dn_hdc_classes){.D = D,
                            .n = n,
                            .sums = calloc(n, dn_size_mul(D, sizeof *out->sums)),
                            .lengths = calloc(n, sizeof *out->lengths)};
    return out->sums && out->lengths ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for %zu classes of %zu numbers", n, D);
}

void dn_hdc_classes_close(dn_hdc_classes *classes)
{
    free(classes->sums);
    free(classes->lengths);
    *classes = (dn_hdc_classes){0};
}

/* -1 or +1 */
static int32_t sign(const uint64_t *h, size_t d)
{
    return 1 - 2 * (int32_t)(h[d / 64] >> d % 64 & 1);
}

void dn_hdc_add(dn_hdc_classes *c, size_t y, int32_t a, const uint64_t *h)
{
    int32_t *sum = c->sums + y * c->D;
    for (size_t d = 0; d < c->D; d++)
        sum[d] += a * sign(h, d);
}

void dn_hdc_merge(dn_hdc_classes *c, const dn_hdc_classes *others, int32_t divisor)
{
    for (size_t i = 0; i < c->n * c->D; i++) {
        int32_t x = others->sums[i], half = divisor / 2;
        c->sums[i] += (x < 0 ? x - half : x + half) / divisor;
    }
}

void dn_hdc_settle(dn_hdc_classes *c)
{
    for (size_t y = 0; y < c->n; y++) {
        double squares = 0;
        for (size_t d = 0; d < c->D; d++)
            squares += (double)c->sums[y * c->D + d] * (double)c->sums[y * c->D + d];
        c->lengths[y] = sqrt(squares);
    }
}

/* Of the signs of 64 numbers, which stay in registers; sums of as many fit 32 bits while none is beyond DN_HDC_SUM_MAX. */
static int64_t dot(const int32_t *sums, const uint64_t *h, size_t D)
{
    int64_t whole = 0;
    for (size_t at = 0; at < D; at += 64) {
        const uint64_t word = h[at / 64];
        const size_t n = dn_min(D - at, 64);
        int32_t part = 0;
        for (size_t i = 0; i < n; i++) {
            int32_t mask = -(int32_t)(word >> i & 1);
            part += (sums[at + i] ^ mask) - mask;
        }
        whole += part;
    }
    return whole;
}

size_t dn_hdc_predict(const dn_hdc_classes *c, const uint64_t *h)
{
    size_t best = 0;
    double closest = -INFINITY;
    for (size_t y = 0; y < c->n; y++) {
        double cosine = c->lengths[y] > 0 ? (double)dot(c->sums + y * c->D, h, c->D) / c->lengths[y] : 0;
        if (cosine > closest) {
            closest = cosine;
            best = y;
        }
    }
    return best;
}

void dn_hdc_predict_all(const dn_hdc_classes *c, const uint64_t *h, size_t n, int32_t *predicted)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        predicted[i] = (int32_t)dn_hdc_predict(c, h + i * dn_hdc_words(c->D));
}
