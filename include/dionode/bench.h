/**
 * Measuring the machine and the library on it: the command `dionode bench`, as calls.
 */
#ifndef DIONODE_BENCH_H
#define DIONODE_BENCH_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes from "8", "32K", "1M", "2G" (powers of 1024, either case). False if the text is anything else or
 * does not fit. */
DN_API bool dn_bench_parse_size(const char *text, size_t *bytes);

/* What `dionode bench comm` measures; the letters are those of nccl-tests. */
typedef struct dn_bench_comm_options {
    const char *op;              /* a collective's name, or "all" */
    const char *type;            /* -d: of the elements: float, double, bfloat16, int32, int64 */
    const char *redop;           /* -o: sum, avg, min, max */
    size_t min_bytes, max_bytes; /* -b, -e: sizes of the largest buffer of the collective */
    size_t step_bytes;           /* -i: added from size to size; 0 = multiply by factor */
    int factor;                  /* -f: 2 or more */
    int n_samples, n_warmup;     /* -n, -w: of each size */
    int root;                    /* -r: of broadcast and reduce */
    bool check;                  /* -c: compare results with the expected ones */
    bool clean_buffers;          /* false: every buffer is written anew before each sample */
    bool versus_mpi;             /* measure an installed MPI too */
    size_t triad_bytes;          /* of each of the three arrays a rank; 0 = by the size of the caches */
    const char *json;            /* file for the rows, or NULL */
} dn_bench_comm_options;

/** The command's defaults. */
DN_API dn_bench_comm_options dn_bench_comm_defaults(void);

/** The names of all collectives that can be measured, NULL after the last. */
DN_API const char *const *dn_bench_comm_ops(void);

/**
 * Launcher's side: checks the options, measures MPI if asked to, then runs this program again with argv as
 * n_workers workers (0 = one a usable PU), of which the first prints the table to standard output. A signal
 * stops them after the current row: *signal_out is its number, or 0. Errors: DN_ERR_CONFIG for options, or
 * where MPI is asked for and missing; DN_ERR_NUMERIC for wrong results; those of dn_launch. Call as
 * dn_launch.
 */
DN_API dn_status dn_bench_comm(const dn_bench_comm_options *options, int n_workers, char *const *argv,
                               int *signal_out) DN_MUST_USE;

/** A worker's side: what a process does for which dn_launch_is_worker() holds. Of all ranks that have joined
 * only the first keeps its log; one that cannot join says so there. Returns main's exit status. */
DN_API int dn_bench_comm_worker(const dn_bench_comm_options *options);

/* What `dionode bench numa` measures. */
typedef struct dn_bench_numa_options {
    size_t buffer_bytes; /* a domain; 0 = four times its last-level caches, 64 MiB at least */
    double seconds;      /* a turn of each measurement; > 0 */
    const char *json;    /* file for all numbers, or NULL */
    const char *html;    /* file for a page with heat maps, or NULL */
} dn_bench_numa_options;

/** The command's defaults. */
DN_API dn_bench_numa_options dn_bench_numa_defaults(void);

/**
 * Measures latency and bandwidth between all pairs of NUMA domains, copy and triad of each, the latency of a
 * cache line between cores, latency under load, and where memory is really placed; prints tables to standard
 * output. Threads of this process do it, bound to one core each. Errors: DN_ERR_CONFIG where the topology is
 * not this machine's; DN_ERR_MEMORY; DN_ERR_IO; DN_ERR_SYSTEM where binding or placement is refused.
 */
DN_API dn_status dn_bench_numa(const dn_bench_numa_options *options) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
