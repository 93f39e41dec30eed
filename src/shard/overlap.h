/*
 * A bucket that is reduced over several nodes while ranks do something else, as the network moves bytes without the processor.
 *
 * Gradients begin part by part, while the backward pass still makes others:
 *
 *     backward pass   | unit 5 | unit 4 | unit 3 | unit 2 | unit 1 | unit 0 | step
 *     network                  | part 0 .... | part 1 ......... | part 2 .... |
 *
 * Units (optim/param.h) whose backward passes follow one another form a part, of at least a sixteenth of all numbers: few large
 * messages, as many on any number of ranks. The sums are those of dn_bucket_reduce, bit for bit; parts are begun by all ranks in
 * the same order.
 */
#ifndef SHARD_OVERLAP_H
#define SHARD_OVERLAP_H

#include "shard/bucket.h"
#include "shard/param_state.h"

enum { DN_OVERLAP_PARTS_MAX = 16 };

typedef struct dn_overlap {
    const dn_bucket *bucket; /* borrowed */
    unsigned flags;          /* with which all parts begin: 0 or DN_BEGIN_KEEP */
    size_t n_parts, n_begun;
    size_t lowest[DN_OVERLAP_PARTS_MAX];               /* unit of a part */
    size_t ends[DN_OVERLAP_PARTS_MAX][DN_ALL_AXES + 1]; /* of a part, items in the bucket */
    uint64_t exchanges[DN_ALL_AXES + 1];               /* what was begun last */
    double begun_s;                                    /* when the first part was */
    double cluster_bytes; /* of those that are begun but for the last, behind which no pass goes on; as dn_comm_stats counts them */
} dn_overlap;

/** Of an empty bucket (borrowed). Tensors that are added to it from one call of dn_overlap_end_part to the next are a part, which can
 * begin when all from unit `lowest` on are complete; each has a lower one than the part before it, the last 0. */
dn_overlap dn_overlap_of(const dn_bucket *bucket);
void dn_overlap_end_part(dn_overlap *overlap, size_t lowest);
/** Fills an empty bucket (borrowed) with the gradients of param_states [n], unit by unit from the last. Errors: DN_ERR_MEMORY. */
dn_status dn_overlap_open(dn_overlap *overlap, dn_bucket *bucket, const dn_param_state *param_states, size_t n) DN_MUST_USE;

/** Collective, as the calls of dn_bucket: tensors of units from `unit` on are complete, and not to be written until all parts are
 * finished. Begins parts whose units all are, and goes on with them as far as can
 * be without waiting; queued kernels must have finished. */
dn_status dn_overlap_begin(dn_overlap *overlap, size_t unit, dn_op op, dn_traffic kind) DN_MUST_USE;
/** Goes on with what has begun. */
dn_status dn_overlap_advance(const dn_overlap *overlap) DN_MUST_USE;

/** Collective. Finishes what has begun: all, after dn_overlap_begin of unit 0. */
dn_status dn_overlap_finish(dn_overlap *overlap) DN_MUST_USE;

#endif
