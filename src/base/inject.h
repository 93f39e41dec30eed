/*
 * Sharding bugs that can be planted, to see whether a proof catches them. One at a time and process; the code
 * that would be wrong asks where it could be:
 *
 *     if (!dn_injected(DN_INJECT_SKIP_FACTOR_REDUCE))
 *         DN_TRY(dn_comm_reduce(...));
 */
#ifndef BASE_INJECT_H
#define BASE_INJECT_H

#include "dionode/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

typedef enum dn_inject {
    DN_INJECT_NONE,
    DN_INJECT_SKIP_FACTOR_REDUCE,
    DN_INJECT_SUM_FOR_AVERAGE,
    DN_INJECT_WRONG_BAND_OFFSET,
    DN_INJECT_STALE_Q,
    DN_INJECT_LOCAL_COLUMN_NORMS,
    DN_INJECT_LOCAL_FAN_OUT,
    DN_INJECT_LOCAL_ZERO_GUARD,
    DN_INJECT_SKIP_TP_REDUCE,
    DN_INJECT_WRONG_HEAD_SPLIT,
    DN_INJECT_WRONG_VOCAB_OFFSET,
    DN_INJECT_WRONG_ROWS,
    DN_INJECT_SKIP_FS_REDUCE,
    DN_INJECT_STALE_WEIGHTS,
    DN_INJECT_EVEN_PARTS,
    DN_INJECT_REPLICA_DRIFT,
    DN_INJECT_UNCOUNTED_BYTES,
    DN_N_INJECTS
} dn_inject;

extern _Atomic int dn_inject_planted; /* a dn_inject; written while no rank of the process computes */

/** Whether this bug is planted: a load. */
static inline bool dn_injected(dn_inject kind)
{
    return atomic_load_explicit(&dn_inject_planted, memory_order_relaxed) == (int)kind;
}

/** Plants the bug of this name, instead of an earlier one; "none": none. Errors: DN_ERR_CONFIG unknown,
 * naming the nearest. */
dn_status dn_inject_plant(const char *name) DN_MUST_USE;

/** Plants a kind; returns the one before, for putting it back. */
dn_inject dn_inject_swap(dn_inject kind);

/** The name of a kind, as dn_inject_plant takes it. */
const char *dn_inject_name(dn_inject kind);

/** A line for each kind but none: its name and what it does. */
void dn_inject_list(FILE *out);

#endif
