/**
 * Benchmarks of the machine and of the collectives: the command `dionode bench` as functions.
 */
#ifndef DIONODE_BENCH_H
#define DIONODE_BENCH_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Parses a size in bytes: "8", "32K", "1M", "2G" (powers of 1024, either case). False if the text is not one
 * or exceeds size_t. */
DN_API bool dn_bench_parse_size(const char *text, size_t *bytes);

/* Options of `dionode bench comm`; the letters are those of nccl-tests. */
typedef struct dn_bench_comm_options {
    const char *op;              /* one of dn_bench_comm_ops, or "all" */
    const char *type;            /* -d: element type: float, double, bfloat16, int32, int64 */
    const char *redop;           /* -o: reduction: sum, avg, min, max */
    const char *device;          /* whose memory the buffers are, as the key `device` of a run */
    size_t min_bytes, max_bytes; /* -b, -e: sizes of the largest buffer of the collective */
    size_t step_bytes;           /* -i: increment between sizes; 0: multiply by factor */
    int factor;                  /* -f: 2 or more */
    int n_samples, n_warmup;     /* -n, -w: per size */
    int root;                    /* -r: of broadcast and reduce */
    bool check;                  /* -c: compare results with the expected ones */
    bool clean_buffers;          /* false: every buffer is rewritten before each sample */
    bool versus_mpi;             /* also measure the installed MPI, on this machine */
    int nodes[2];                /* pretended nodes, and ranks of each, of this machine; 0: one node */
    size_t triad_bytes;          /* of each of a rank's three triad arrays; 0: chosen by cache size */
    const char *json;            /* file for the rows, or NULL */
} dn_bench_comm_options;

/** The command's defaults. */
DN_API dn_bench_comm_options dn_bench_comm_defaults(void);

/** Names of the collectives and kinds of messages that can be measured; NULL-terminated; static. */
DN_API const char *const *dn_bench_comm_ops(void);

/**
 * Launcher's side: checks the options, measures MPI if asked to, then executes this program again with argv
 * as n_workers workers (0: one per usable PU); rank 0 prints the table to standard output. A signal stops
 * them after the current row; *signal_out is its number, or 0. With options->nodes they are ranks of pretended nodes under mpirun
 * (n_workers is their number, or 0). Errors: DN_ERR_CONFIG: invalid options, or
 * versus_mpi without an MPI; DN_ERR_NUMERIC: wrong results; those of dn_launch. Call as dn_launch.
 */
DN_API dn_status dn_bench_comm(const dn_bench_comm_options *options, int n_workers, char *const *argv,
                               int *signal_out) DN_MUST_USE;

/** Worker's side: to be called where dn_launch_is_worker() or dn_launch_is_rank() holds. Of the ranks that have joined, only rank 0
 * keeps its log; a rank that cannot join logs why. Returns the process's exit status. */
DN_API int dn_bench_comm_worker(const dn_bench_comm_options *options);

/** To be called by all ranks where dn_launch_is_rank() holds: joins them; rank 0 prints nodes, ranks, hosts, and latency and bandwidth of
 * messages between each two nodes and inside each. Returns the process's exit status; a rank that fails logs why. */
DN_API int dn_bench_nodes(void);

/* Options of `dionode bench numa`. */
typedef struct dn_bench_numa_options {
    size_t buffer_bytes; /* per NUMA domain; 0: four times its last-level caches, at least 64 MiB */
    double seconds;      /* of each turn of a measurement; > 0 */
    const char *json;    /* file for all results, or NULL */
    const char *html;    /* file for an HTML page with heat maps, or NULL */
} dn_bench_numa_options;

/** The command's defaults. */
DN_API dn_bench_numa_options dn_bench_numa_defaults(void);

/**
 * Measures latency and bandwidth between all pairs of NUMA domains, mixes of reads and writes, copy and triad bandwidth
 * within each, working sets of one core from its first cache to memory, core-to-core cache line latency, latency under load, and where pages are really placed; prints tables to
 * standard output. Runs in threads of this process, each bound to one core. Errors: DN_ERR_CONFIG if the
 * topology is not this system's; DN_ERR_MEMORY; DN_ERR_IO; DN_ERR_SYSTEM if binding or placement is refused.
 */
DN_API dn_status dn_bench_numa(const dn_bench_numa_options *options) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
