/*
 * Timing one collective, or one kind of message, at one size.
 *
 *     every rank:  writes its buffers | barrier | clock, a batch of calls, clock | barrier | writes ...
 *                                               |<------ one sample ----->|
 *
 * A rank's time begins when it leaves the barrier and ends when its last call returns; a sample is the time
 * of the slowest rank over the calls of the batch, and over the messages that a call sends one after the
 * other. What a rank spends writing, or waiting for others to write, is in no sample.
 *
 * Overlap is what OSU's nonblocking benchmarks define: the samples are taken again while each rank computes,
 * between begin and finish, for as long as a call takes alone. What a sample lasts beyond its computing was
 * not hidden; the overlap is 1 - (that) / (alone), of medians, and not below 0.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench/ops.h"
#include "bench/summary.h"
#include "dionode/bench.h"

/* One row of the table. */
typedef struct dn_bench_row {
    const char *op, *type, *redop; /* borrowed; "-" where there is none */
    int n_ranks;
    size_t bytes, count;
    bool in_place;
    int batch;            /* calls per sample */
    dn_summary time_s;    /* of one call, or of one message */
    double overlap;       /* share of time_s that computing hides; -1: not measured. On rank 0 only */
    double bytes_moved;   /* by all ranks together, of one call or message */
    double n_wrong;       /* elements, over all ranks; -1: not compared */
    double triad_bytes_s; /* triad bandwidth of the same ranks together */
    double mpi_s;         /* median time of MPI for the same; 0: not measured */
    double mpi_overlap;   /* where overlap is measured, and MPI's time */
} dn_bench_row;

double dn_bench_algbw(const dn_bench_row *row);                        /* bytes/s */
double dn_bench_busbw(const dn_bench_row *row, const dn_bench_op *op); /* bytes/s */
double dn_bench_membw(const dn_bench_row *row);                        /* bytes/s */

/** The share of alone_s that computing hides, where left_s was not hidden. */
double dn_bench_overlap(double alone_s, double left_s);

/* Memory of a measurement; all symmetric, allocated once. */
typedef struct dn_bench_buffers {
    dn_comm *comm;
    dn_stream *stream;
    void *region; /* buffers of a batch, one after the other, in the device's memory; on_host: the same place in the host's */
    void *on_host;
    void *staging; /* of the largest buffer, in the host's memory; NULL: the device's is the host's */
    size_t region_bytes;
    double *samples; /* [n_samples] seconds of this rank */
    bool stopped;    /* on all ranks alike: what was being measured when a stop was asked for is dropped */
} dn_bench_buffers;

/** Symmetric bytes for these options: besides the region, and of the region. */
size_t dn_bench_buffers_bytes(const dn_bench_comm_options *options);
size_t dn_bench_region_bytes(const dn_bench_comm_options *options);

/** Collective. Allocates the buffers; the region gets all of the heap that is left. */
dn_status dn_bench_buffers_make(dn_comm *comm, const dn_bench_comm_options *options,
                                dn_bench_buffers *buffers) DN_MUST_USE;

/** NULL members are no-ops. */
void dn_bench_buffers_close(dn_bench_buffers *buffers);

/** Collective. Sets buffers->stopped if a rank has seen a request to stop (dn_comm_stop_requested). */
dn_status dn_bench_agree_on_stop(dn_bench_buffers *buffers) DN_MUST_USE;

/** Collective. Fills op to n_wrong of *row: the times on rank 0 only. With buffers->stopped the row is not whole. */
dn_status dn_bench_measure(dn_bench_buffers *buffers, const dn_bench_op *op,
                           const dn_bench_comm_options *options, size_t bytes, dn_bench_row *row) DN_MUST_USE;

/** Whether the options ask for this op, and n_ranks on n_nodes can do it. */
bool dn_bench_selects(const dn_bench_comm_options *options, const dn_bench_op *op, int n_ranks, int n_nodes);

/** Granularity in bytes of an op's sizes: one element, or one per rank; 0 if it has no buffer. */
size_t dn_bench_unit(const dn_bench_comm_options *options, const dn_bench_op *op, int n_ranks);

/** The reduction that -o names; false if none has this name. */
bool dn_bench_redop(const char *name, dn_op *redop);

#endif
