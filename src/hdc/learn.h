/*
 * Learning from hypervectors, as FSL-HDC does (arXiv:2408.14416), without gradients: a class is the sum of its hypervectors, and an
 * input is of the class whose sum it is closest to.
 *
 *     C_y += H(x);   predict argmax_y cos(C_y, H(x));   retrain: for each miss  C_true += H, C_pred -= H
 *
 * Sums are integers: those of parts of the data, added up in any order, are those of the whole, bit for bit.
 * Retraining collects the changes of a round and then adds a part of them, 1/r in round r, rounded on the sum: added whole they
 * swing. This division is this project's choice.
 */
#ifndef HDC_LEARN_H
#define HDC_LEARN_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

enum { DN_HDC_SUM_MAX = 1 << 25 }; /* magnitude of a sum that predictions take: the dot product adds 64 of them in 32 bits */

typedef struct dn_hdc_classes {
    size_t D, n;
    int32_t *sums;  /* [n, D] */
    double *lengths; /* [n]: |C_y|, as of the last dn_hdc_settle */
} dn_hdc_classes;

/** Sums of n classes, which are 0. To be closed also after an error. Errors: DN_ERR_MEMORY. */
dn_status dn_hdc_classes_open(size_t D, size_t n, dn_hdc_classes *out) DN_MUST_USE;
void dn_hdc_classes_close(dn_hdc_classes *classes);

/** sums of class y += a H, H as in encode.h. */
void dn_hdc_add(dn_hdc_classes *classes, size_t y, int32_t a, const uint64_t *h);

/** sums += those of others / divisor, rounded to the nearest, ties away from 0. */
void dn_hdc_merge(dn_hdc_classes *classes, const dn_hdc_classes *others, int32_t divisor);

/** To be called between changes of sums and predictions. */
void dn_hdc_settle(dn_hdc_classes *classes);

/** The class of H by cosine; of equal ones the first. A class without a sum is 0 close. */
size_t dn_hdc_predict(const dn_hdc_classes *classes, const uint64_t *h);

/** predicted [n] of hypervectors h [n, words], by all threads. */
void dn_hdc_predict_all(const dn_hdc_classes *classes, const uint64_t *h, size_t n, int32_t *predicted);

#endif
