/*
 * Hypervectors: inputs as D signs, of which like inputs have many in common (Kanerva 2009; Kleyko et al., arXiv:2111.06077).
 *
 * A hypervector is D bits in dn_hdc_words(D) words, the lowest first; a bit of 1 is -1, of 0 is +1, and those behind the last are
 * 0. To bind two is to multiply their signs: the exclusive or. To bundle several is to take the sign of their sum, where that is
 * 0 the sign of a fixed random vector. Random vectors have no table: the word w of the one named `key` is random bits of (seed, key, w).
 */
#ifndef HDC_ENCODE_H
#define HDC_ENCODE_H

#include "dionode/real.h"
#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

enum { DN_HDC_D_MAX = 1 << 20, DN_HDC_LEVELS = 17, DN_HDC_BUNDLE_MAX = 1 << 23 /* vectors at once */ };

static inline size_t dn_hdc_words(size_t D)
{
    return (D + 63) / 64;
}

/* What turns inputs into hypervectors; and memory to do so. */
typedef struct dn_hdc_encoder {
    size_t D, n_words;
    uint64_t seed;
    size_t n_bundled;
    uint64_t *counts; /* [planes, n_words]: plane p has bit p of how many of the bundled vectors have a 1 there */
    uint64_t *item;   /* [n_words] */
    uint64_t *levels; /* [DN_HDC_LEVELS, n_words] */
} dn_hdc_encoder;

/** For 1 <= D <= DN_HDC_D_MAX. The caller owns *out, which is to be closed also after an error. Errors: DN_ERR_MEMORY. */
dn_status dn_hdc_open(size_t D, uint64_t seed, dn_hdc_encoder *out) DN_MUST_USE;
void dn_hdc_close(dn_hdc_encoder *encoder);

/** Bytes that dn_hdc_open takes. */
size_t dn_hdc_encoder_bytes(size_t D);

/** h = the bundle of a random vector for each three consecutive bytes of the text, between two zero bytes: the same three, the same
 * vector, wherever they stand. Of more than DN_HDC_BUNDLE_MAX bytes the first ones. */
void dn_hdc_ngrams(dn_hdc_encoder *encoder, const char *text, size_t n, uint64_t *h);

/** h = the bundle, over places i < n, of a random vector of the place bound to one of the level of x[i]: values from low to high
 * have DN_HDC_LEVELS of them, of which neighbours differ in few signs, and the first and the last in half.
 * n <= DN_HDC_BUNDLE_MAX. */
void dn_hdc_record(dn_hdc_encoder *encoder, const double *x, size_t n, double low, double high, uint64_t *h);

/** h = the signs of p [D]: of a random projection. */
void dn_hdc_signs(const dn_hdc_encoder *encoder, const dn_real *p, uint64_t *h);

#endif
