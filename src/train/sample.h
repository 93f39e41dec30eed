/*
 * Drawing a token from logits, by steps in the order of Hugging Face's generate, so that their meanings are
 * the same: repetition penalty, temperature, top-k, top-p, min-p. What a step drops is gone from the
 * candidates.
 */
#ifndef TRAIN_SAMPLE_H
#define TRAIN_SAMPLE_H

#include "dionode/real.h"
#include "dionode/train.h"

#include <stdint.h>

/* The tokens that may still be drawn, in ascending order. */
typedef struct dn_candidates {
    size_t n;
    double *logits, *scratch; /* [n]; [2n] */
    int32_t *ids;
} dn_candidates;

/** Room for n candidates, none of them there. Errors: DN_ERR_MEMORY. Must be closed either way. */
dn_status dn_candidates_open(dn_candidates *c, size_t n) DN_MUST_USE;
void dn_candidates_close(dn_candidates *c);

/** Tokens 0 .. n-1 with their logits. */
void dn_candidates_fill(dn_candidates *c, const dn_real *logits, size_t n);

/** Logits of seen tokens (by id) / penalty where positive, else times penalty (Keskar et al.,
 * arXiv:1909.05858). */
void dn_sample_penalize(dn_candidates *c, const unsigned char *seen, double penalty);
/** Logits / temperature, which is not 0. */
void dn_sample_temper(dn_candidates *c, double temperature);
/** The k > 0 of largest logit stay, and those equal to the last of them. */
void dn_sample_top_k(dn_candidates *c, size_t k);
/** Those of largest probability stay that together reach p < 1, and those equal to the last of them; one at
 * least (Holtzman et al., arXiv:1904.09751). */
void dn_sample_top_p(dn_candidates *c, double p);
/** Those stay whose probability is at least p times the largest (Nguyen et al., arXiv:2407.01082). */
void dn_sample_min_p(dn_candidates *c, double p);
/** One candidate by their probabilities; u uniform in (0,1). */
int32_t dn_sample_draw(const dn_candidates *c, double u);
/** The candidate of largest logit, of several the first. */
int32_t dn_sample_greedy(const dn_candidates *c);

/** All of it for n logits; seen [n]. Number `position` of sequence `sequence` depends on the seed, on these
 * two and on nothing else. */
int32_t dn_sample(dn_candidates *c, const dn_real *logits, size_t n, const unsigned char *seen,
                  const dn_sampling *how, uint64_t sequence, uint64_t position);

#endif
