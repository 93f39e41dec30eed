/* The collectives and messages as a benchmark sees them: how to call one, and what each rank must hold
 * afterwards. */
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include "device/device.h"
#include "dionode/comm.h"

#define DN_BENCH_SCALARS 12 /* that ride beside a barrier flag */

/* One call. Fields before result are given; run sets it. */
typedef struct dn_bench_call {
    dn_comm *comm;
    void *buffer; /* [count], symmetric */
    void *to;     /* out of place: [count], symmetric; otherwise NULL */
    size_t count;
    dn_type type;
    dn_op redop;
    int root, peer; /* peer: to whom rank 0 sends messages */
    double compute_s;   /* to be computed between begin and finish, of a call that overlaps */
    dn_stream *stream;
    void *staging;      /* the host's memory by which buffers of a device are written and looked at; NULL: the host does it in place */
    const void *result; /* where this rank finds its result, element i at place i */
    double computed_s;  /* what that took */
    size_t copied;      /* bytes copied beside what the library counts */
} dn_bench_call;

typedef enum dn_bench_place {
    DN_BENCH_IN_PLACE,
    DN_BENCH_COPIED, /* out of place, as a program does it with calls in place: its part is copied to `to`
                        first */
    DN_BENCH_TWO_BUFFERS, /* from buffer to `to` by the call itself */
} dn_bench_place;

/* Which elements a rank must hold afterwards, and whose they are. */
typedef enum dn_bench_result {
    DN_BENCH_NOTHING,
    DN_BENCH_REDUCED,       /* all elements, reduced */
    DN_BENCH_REDUCED_SLICE, /* its slice, reduced */
    DN_BENCH_REDUCED_ROOT,  /* on the root all elements, reduced */
    DN_BENCH_OF_ROOT,       /* all elements of the root */
    DN_BENCH_OF_OWNERS,     /* each slice of its owner */
    DN_BENCH_OF_ROWS,       /* row s = row `rank` of rank s, rows of count / size elements */
    DN_BENCH_OF_PEER,       /* on rank 0 and its peer all elements of the other */
    DN_BENCH_OF_FIRST,      /* on the peer all elements of rank 0 */
} dn_bench_result;

typedef struct dn_bench_op {
    const char *name;
    double share, whole; /* busbw = algbw * (share (n-1)/n + whole), n ranks: nccl-tests, PERFORMANCE.md */
    dn_bench_result result;
    size_t max_bytes; /* 0: no limit */
    bool always_f64;
    dn_bench_place place;
    dn_status (*run)(dn_bench_call *call);
    bool overlaps;   /* run computes compute_s between begin and finish */
    int n_messages;  /* that a call sends one after the other, over which its time is divided; 0: it is one */
    int least_ranks; /* 0: any number */
    bool between_nodes; /* rank 0's peer is on another node */
    bool on_host;       /* of host memory on every device */
} dn_bench_op;

/** The table; its last entry has no name. Entries of one name, which differ in place, follow each other. */
extern const dn_bench_op dn_bench_ops[];

/** One call: op->run, out of place where op says so. */
dn_status dn_bench_run(const dn_bench_op *op, dn_bench_call *call) DN_MUST_USE;

double dn_bench_bus_factor(const dn_bench_op *op, int n_ranks);

/** Whether it takes a reduction, has a buffer at all, and a second one. */
bool dn_bench_reduces(const dn_bench_op *op);
bool dn_bench_has_buffer(const dn_bench_op *op);
bool dn_bench_has_two(const dn_bench_op *op);

/** Names of types as in nccl-tests. */
const char *dn_bench_type_name(dn_type type);
bool dn_bench_type(const char *name, dn_type *type);

/** Writes what a rank brings to a call: small whole numbers, different for each rank and round, so that sums
 * in F32 and integers are exact in any order. */
dn_status dn_bench_dirty(const dn_bench_call *call, uint64_t round) DN_MUST_USE;

/** Elements of this rank's result that differ from what the ranks brought in this round, and, out of place,
 * those of its own buffer that changed. */
size_t dn_bench_count_wrong(const dn_bench_op *op, const dn_bench_call *call, uint64_t round);

#endif
