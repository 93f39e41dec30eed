/* The collectives as a benchmark sees them: how to call one, and what each rank must hold afterwards. */
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include "comm/comm.h"

/* One call on one buffer, in place. */
typedef struct dn_bench_call {
    dn_comm *comm;
    dn_real *buffer; /* [count], symmetric */
    size_t count;
    dn_op redop;
    int root;
} dn_bench_call;

typedef struct dn_bench_op {
    const char *name;
    double share, whole;  /* busbw = algbw * (share (n-1)/n + whole), n ranks: nccl-tests, PERFORMANCE.md */
    size_t element_bytes; /* 0: no buffer at all */
    size_t max_bytes;     /* 0: no limit */
    bool reduces;
    dn_status (*run)(const dn_bench_call *call);
    /* The elements [first, end) that this rank must hold afterwards. */
    void (*result)(const dn_bench_call *call, size_t *first, size_t *end);
} dn_bench_op;

/** The table; its last entry has no name. */
extern const dn_bench_op dn_bench_ops[];

double dn_bench_bus_factor(const dn_bench_op *op, int n_ranks);

/** Name of the element type of an op's buffer. */
const char *dn_bench_type_name(const dn_bench_op *op);

/** Writes what a rank brings to a call: small whole numbers, different for each rank and round, so that sums
 * of any order are exact. */
void dn_bench_dirty(const dn_bench_call *call, uint64_t round);

/** Elements of this rank's result that differ from what the ranks brought in this round. */
size_t dn_bench_count_wrong(const dn_bench_op *op, const dn_bench_call *call, uint64_t round);

#endif
