#include "hdc/encode.h"

#include "base/fail.h"
#include "base/random.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bits of a count of bundled vectors. */
enum { PLANES = 24 };
_Static_assert(DN_HDC_BUNDLE_MAX < 1 << PLANES, "a count has room");

/* Keys of random vectors: three bytes, or a place; then what stands above them. */
#define PLACES (UINT64_C(1) << 32)
#define LEVEL  (UINT64_C(2) << 32)
#define FLIPS  (UINT64_C(3) << 32)
#define TIES   (UINT64_C(4) << 32)

static void draw(const dn_hdc_encoder *e, uint64_t key, uint64_t *to)
{
    for (size_t w = 0; w < e->n_words; w++)
        to[w] = dn_random_bits(e->seed, key, w);
    if (e->D % 64)
        to[e->n_words - 1] &= (UINT64_C(1) << e->D % 64) - 1;
}

size_t dn_hdc_encoder_bytes(size_t D)
{
    return (PLANES + 1 + DN_HDC_LEVELS) * dn_hdc_words(D) * sizeof(uint64_t);
}

/* Level l is the first one with a sign turned where a random number in [0, 1) is below l / (2 (levels - 1)). */
static void draw_levels(dn_hdc_encoder *e)
{
    draw(e, LEVEL, e->levels);
    for (size_t l = 1; l < DN_HDC_LEVELS; l++) {
        uint64_t *level = e->levels + l * e->n_words;
        memcpy(level, e->levels, e->n_words * sizeof *level);
        for (size_t d = 0; d < e->D; d++)
            if (dn_random_uniform(e->seed, FLIPS, d) < (double)l / (2 * (DN_HDC_LEVELS - 1)))
                level[d / 64] ^= UINT64_C(1) << d % 64;
    }
}

dn_status dn_hdc_open(size_t D, uint64_t seed, dn_hdc_encoder *out)
{
    size_t n = dn_hdc_words(D);
    *out = (dn_hdc_encoder){.D = D, .n_words = n, .seed = seed, .counts = calloc(1, dn_hdc_encoder_bytes(D))};
    if (!out->counts)
        return dn_fail(DN_ERR_MEMORY, "no memory to encode hypervectors of %zu signs", D);
    out->item = out->counts + PLANES * n;
    out->levels = out->item + n;
    draw_levels(out);
    return DN_OK;
}

void dn_hdc_close(dn_hdc_encoder *encoder)
{
    free(encoder->counts);
    *encoder = (dn_hdc_encoder){0};
}

/* ---- bundling: 64 counters at a time, a plane for each of their bits ---- */

static void begin(dn_hdc_encoder *e)
{
    memset(e->counts, 0, PLANES * e->n_words * sizeof *e->counts);
    e->n_bundled = 0;
}

/* The item is added to the counts, its carry from plane to plane. */
static void add_item(dn_hdc_encoder *e)
{
    for (size_t w = 0; w < e->n_words; w++) {
        uint64_t carry = e->item[w];
        for (uint64_t *count = e->counts + w; carry; count += e->n_words) {
            uint64_t sum = *count ^ carry;
            carry &= *count;
            *count = sum;
        }
    }
    e->n_bundled++;
}

/* A bit is 1 where more than half of what was bundled had a 1; where it was a half, that of the fixed vector. */
static void end(dn_hdc_encoder *e, uint64_t *h)
{
    size_t half = e->n_bundled / 2;
    draw(e, TIES, e->item);
    for (size_t w = 0; w < e->n_words; w++) {
        uint64_t more = 0, equal = UINT64_MAX;
        for (size_t p = PLANES; p-- > 0;) {
            uint64_t count = e->counts[p * e->n_words + w], bit = half >> p & 1 ? UINT64_MAX : 0;
            more |= equal & count & ~bit;
            equal &= ~(count ^ bit);
        }
        h[w] = more | (e->n_bundled % 2 == 0 ? equal & e->item[w] : 0);
    }
}

/* ---- encoders ---- */

void dn_hdc_ngrams(dn_hdc_encoder *e, const char *text, size_t n, uint64_t *h)
{
    uint64_t key = n > 0 ? (unsigned char)text[0] : 0; /* behind the first zero */
    n = dn_min(n, DN_HDC_BUNDLE_MAX);
    begin(e);
    for (size_t i = 1; i <= n; i++) {
        key = (key << 8 | (i < n ? (unsigned char)text[i] : 0)) & 0xffffff;
        draw(e, key, e->item);
        add_item(e);
    }
    end(e, h);
}

void dn_hdc_record(dn_hdc_encoder *e, const double *x, size_t n, double low, double high, uint64_t *h)
{
    begin(e);
    for (size_t i = 0; i < n; i++) {
        double share = high > low ? (x[i] / 2 - low / 2) / (high / 2 - low / 2) : 0; /* the range may be more than a double holds */
        const uint64_t *level = e->levels + (size_t)lrint(fmin(fmax(share, 0), 1) * (DN_HDC_LEVELS - 1)) * e->n_words;
        draw(e, PLACES + i, e->item);
        for (size_t w = 0; w < e->n_words; w++)
            e->item[w] ^= level[w];
        add_item(e);
    }
    end(e, h);
}

void dn_hdc_signs(const dn_hdc_encoder *e, const dn_real *p, uint64_t *h)
{
    memset(h, 0, e->n_words * sizeof *h);
    for (size_t d = 0; d < e->D; d++)
        h[d / 64] |= (uint64_t)(p[d] < 0) << d % 64;
}
