/*
 * Counter-based random numbers (Philox4x32-10 of Random123): element i of stream s under seed k is a pure
 * function of (k, s, i). A shard draws exactly its slice of the whole matrix, and there is no state to
 * checkpoint.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include "dionode/real.h"

#include <stddef.h>
#include <stdint.h>

/** 64 uniformly random bits: element `index` of stream `stream` under `seed`. */
uint64_t dn_random_bits(uint64_t seed, uint64_t stream, uint64_t index);

/** Uniform double in (0, 1), never 0 or 1. */
double dn_random_uniform(uint64_t seed, uint64_t stream, uint64_t index);

/**
 * out[i] = std * N(0,1) for elements first .. first+n-1 of the stream. Box-Muller on pairs (2j, 2j+1), so any
 * slice equals that slice of the whole; computed in double, then rounded to dn_real.
 */
void dn_random_normal(uint64_t seed, uint64_t stream, uint64_t first, size_t n, double std, dn_real *out);

#endif
