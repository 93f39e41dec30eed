/* Averaging tensors in full over the replicas: gradients that are not compressed, momenta from time to time.
 */
#ifndef SYNC_FULL_H
#define SYNC_FULL_H

#include "dionode/comm.h"
#include "compute/device.h"

/* A stretch of the symmetric heap, in elements. */
typedef struct dn_span {
    dn_buf *data;
    size_t count;
} dn_span;

/** Joins, in place, each span that starts where the one before it ends; returns how many are left. Tensors
 * that lie side by side then cost one exchange. */
size_t dn_spans_join(dn_span *spans, size_t n);

/** Collective. Each span becomes the mean over dp, the same bits on every member. */
dn_status dn_full_average(dn_comm *dp, const dn_span *spans, size_t n, dn_traffic kind) DN_MUST_USE;

#endif
