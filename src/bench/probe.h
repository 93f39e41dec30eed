/*
 * Single measurements of memory and caches by bound threads of this process, in the manner of Intel's Memory
 * Latency Checker. Each gives the best or the median of several turns, as said: a machine is never entirely
 * idle.
 */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include "dionode/topo.h"

/* A set of processors that measure together. */
typedef struct dn_probe_cpus {
    const dn_topo *topo;
    const int *pus; /* [n], n >= 1; borrowed */
    int n;
    double seconds; /* of one turn */
} dn_probe_cpus;

/** Links memory [bytes] (all of it; a multiple of 128) into one ring of pointers, 128 bytes apart and in
 * random order: within windows of 2 MiB, which also come in random order, so that prefetchers find nothing
 * to follow while a small table of pages suffices. Returns the number of pointers in the ring. */
size_t dn_probe_link(void *memory, size_t bytes);

/** Median nanoseconds from pointer to pointer, by the first processor of the set alone. *ring is a place in
 * a ring, and moves on: the next turn finds nothing of what this one left in the caches. */
dn_status dn_probe_latency(const dn_probe_cpus *cpus, void **ring, double *ns) DN_MUST_USE;

typedef enum dn_probe_kind {
    DN_PROBE_READ,
    DN_PROBE_READ_3_WRITE_1, /* a += b + c */
    DN_PROBE_READ_2_WRITE_1, /* a += b */
    DN_PROBE_READ_1_WRITE_1, /* a += 1 */
    DN_PROBE_STREAM,         /* a = b + 3 c, a past the caches */
    DN_PROBE_COPY,
    DN_PROBE_TRIAD,
} dn_probe_kind;

/** Bytes a second that all processors of the set reach together, each on its part of memory [bytes]; the
 * best of three turns. Each byte that a kernel reads or writes counts once: no line is fetched that it does
 * not read, but for copy (memcpy) and triad with plain stores. Triad takes the better of plain stores and
 * stores past the caches; stream is the latter, or plain where there is none. All but reading overwrite the
 * memory. */
dn_status dn_probe_bandwidth(const dn_probe_cpus *cpus, dn_probe_kind kind, void *memory, size_t bytes,
                             double *bytes_s) DN_MUST_USE;

/** The first processor chases the ring while the others read memory [bytes], each pausing delay_ns after
 * every KiB. Gives the latency it sees (median) and the bandwidth of the others. */
dn_status dn_probe_loaded(const dn_probe_cpus *cpus, void **ring, const void *memory, size_t bytes,
                          double delay_ns, double *ns, double *bytes_s) DN_MUST_USE;

/** Nanoseconds that a cache line takes from one processor to another: half a round trip, the best of many
 * turns. */
dn_status dn_probe_line(const dn_topo *topo, int pu_a, int pu_b, double *ns) DN_MUST_USE;

#endif
