#include "bench/measure.h"

#include "base/clock.h"
#include "base/fail.h"
#include "bench/sizes.h"
#include "comm/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

double dn_bench_algbw(const dn_bench_row *row)
{
    return row->time_s.mean > 0 ? (double)row->bytes / row->time_s.mean : 0;
}

double dn_bench_busbw(const dn_bench_row *row, const dn_bench_op *op)
{
    return dn_bench_algbw(row) * dn_bench_bus_factor(op, row->n_ranks);
}

double dn_bench_membw(const dn_bench_row *row)
{
    return row->time_s.mean > 0 ? row->bytes_moved / row->time_s.mean : 0;
}

double dn_bench_overlap(double alone_s, double left_s)
{
    return left_s < alone_s ? 1 - left_s / alone_s : 0;
}

bool dn_bench_selects(const dn_bench_comm_options *options, const dn_bench_op *op, int n_ranks, int n_nodes)
{
    return n_ranks >= op->least_ranks && (n_nodes > 1 || !op->between_nodes) &&
           (strcmp(options->op, "all") == 0 || strcmp(options->op, op->name) == 0);
}

static dn_type type_of(const dn_bench_comm_options *options, const dn_bench_op *op)
{
    dn_type type = DN_REAL;
    if (!op->always_f64)
        dn_bench_type(options->type, &type);
    return op->always_f64 ? DN_F64 : type;
}

size_t dn_bench_unit(const dn_bench_comm_options *options, const dn_bench_op *op, int n_ranks)
{
    if (!dn_bench_has_buffer(op))
        return 0;
    return dn_type_bytes(type_of(options, op)) * (op->result == DN_BENCH_OF_ROWS ? (size_t)n_ranks : 1);
}

bool dn_bench_redop(const char *name, dn_op *redop)
{
    static const char *const names[] = {
        [DN_SUM] = "sum", [DN_AVG] = "avg", [DN_MIN] = "min", [DN_MAX] = "max"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *redop = (dn_op)i;
            return true;
        }
    return false;
}

/* ---- memory ---- */

size_t dn_bench_buffers_bytes(const dn_bench_comm_options *options)
{
    return dn_bench_stride((size_t)options->n_samples * sizeof(double));
}

size_t dn_bench_region_bytes(const dn_bench_comm_options *options)
{
    size_t largest = dn_bench_stride(options->max_bytes), n_buffers = 1;
    for (const dn_bench_op *op = dn_bench_ops; op->name; op++)
        if (dn_bench_selects(options, op, DN_MAX_RANKS, DN_MAX_RANKS) && dn_bench_has_two(op))
            n_buffers = 2;
    return n_buffers * (largest > DN_BENCH_BATCH_BYTES ? largest : DN_BENCH_BATCH_BYTES);
}

dn_status dn_bench_buffers_make(dn_comm *comm, const dn_bench_comm_options *options,
                                dn_bench_buffers *buffers)
{
    void *samples;
    *buffers = (dn_bench_buffers){.comm = comm};
    buffers->region_bytes =
        (dn_world_arena_bytes(dn_comm_world(comm)) - dn_bench_buffers_bytes(options)) / 128 * 128;
    DN_TRY(dn_comm_alloc(comm, dn_bench_buffers_bytes(options), &samples));
    DN_TRY(dn_comm_alloc_device(comm, buffers->region_bytes, &buffers->region));
    buffers->on_host = dn_heap_on_host(buffers->region);
    buffers->samples = samples;
    if (dn_device_is_apart() && !(buffers->staging = dn_memory_take(dn_bench_stride(options->max_bytes))))
        return dn_fail(DN_ERR_MEMORY, "no memory to look at the device's buffers");
    return dn_stream_open(&buffers->stream);
}

void dn_bench_buffers_close(dn_bench_buffers *buffers)
{
    dn_stream_destroy(&buffers->stream);
    free(buffers->staging);
}

/* To whom rank 0 sends: the first of the others, or of those on other nodes. */
static int peer_of(const dn_comm *comm, const dn_bench_op *op)
{
    int rank = 1;
    while (op->between_nodes && dn_comm_node(comm, rank) == dn_comm_node(comm, 0))
        rank++;
    return rank;
}

/* ---- samples ---- */

typedef struct series {
    dn_bench_buffers *buffers;
    const dn_bench_op *op;
    dn_bench_call calls[DN_BENCH_BATCH_MAX];
    int batch, n_parts; /* calls, and all messages of them */
    bool dirty;
} series;

static void series_init(series *s, dn_bench_buffers *buffers, const dn_bench_op *op,
                        const dn_bench_comm_options *options, size_t bytes)
{
    size_t stride = dn_bench_stride(bytes), unit = dn_bench_unit(options, op, dn_comm_size(buffers->comm));
    char *region = op->on_host ? buffers->on_host : buffers->region;
    dn_bench_call call = {.comm = buffers->comm,
                          .stream = buffers->stream,
                          .staging = op->on_host ? NULL : buffers->staging,
                          .root = options->root,
                          .peer = peer_of(buffers->comm, op),
                          .type = type_of(options, op)};
    call.count = unit ? bytes / unit * unit / dn_type_bytes(call.type) : 0;
    dn_bench_redop(options->redop, &call.redop);
    s->buffers = buffers;
    s->op = op;
    int n_messages = op->n_messages ? op->n_messages : 1;
    s->batch = dn_bench_batch(bytes, n_messages);
    s->n_parts = s->batch * n_messages;
    s->dirty = !options->clean_buffers;
    assert(stride * (size_t)s->batch * (dn_bench_has_two(op) ? 2 : 1) <= buffers->region_bytes);
    for (int i = 0; i < s->batch; i++) {
        call.buffer = region + stride * (size_t)i;
        call.to = dn_bench_has_two(op) ? region + stride * (size_t)(s->batch + i) : NULL;
        call.result = call.buffer;
        s->calls[i] = call;
    }
}

static dn_status dirty_all(const series *s, uint64_t round)
{
    for (int i = 0; i < s->batch; i++)
        DN_TRY(dn_bench_dirty(&s->calls[i], round + (uint64_t)i));
    return DN_OK;
}

/* *seconds: this rank's time for the calls of one sample, less what it computed. Buffers are rewritten only
 * after all ranks have finished. */
static dn_status take_sample(series *s, uint64_t round, bool dirty, double *seconds)
{
    dn_comm *comm = s->buffers->comm;
    dn_comm_tick(comm, round, "bench");
    if (dirty)
        DN_TRY(dirty_all(s, round));
    DN_TRY(dn_comm_barrier(comm));
    double start = dn_clock_s();
    for (int i = 0; i < s->batch; i++)
        DN_TRY(dn_bench_run(s->op, &s->calls[i]));
    *seconds = dn_clock_s() - start;
    for (int i = 0; i < s->batch; i++) {
        *seconds -= s->calls[i].computed_s;
        s->calls[i].computed_s = 0;
    }
    return dn_comm_barrier(comm);
}

dn_status dn_bench_agree_on_stop(dn_bench_buffers *buffers)
{
    double asked = dn_comm_stop_requested(buffers->comm) != 0; /* ranks see a request at different times */
    DN_TRY(dn_comm_all_reduce_scalars(buffers->comm, &asked, 1, DN_MAX));
    buffers->stopped = asked > 0;
    return DN_OK;
}

/* Asked between samples, not between rows: a sample of large buffers takes a second on a busy machine, and a row is a hundred of them. */
static dn_status take_samples(series *s, const dn_bench_comm_options *options)
{
    double ignored;
    DN_TRY(dirty_all(s, 0)); /* clean buffers need defined contents, too */
    for (int i = 0; i < options->n_warmup + options->n_samples; i++) {
        DN_TRY(dn_bench_agree_on_stop(s->buffers));
        if (s->buffers->stopped)
            return DN_OK;
        bool timed = i >= options->n_warmup;
        DN_TRY(take_sample(s, (uint64_t)i, s->dirty, timed ? &s->buffers->samples[i - options->n_warmup] : &ignored));
    }
    return DN_OK;
}

/* On rank 0: each sample becomes that of the slowest rank, per call or message. */
static dn_status gather_samples(const series *s, int n_samples, dn_summary *summary)
{
    dn_comm *comm = s->buffers->comm;
    double *samples = s->buffers->samples;
    DN_TRY(dn_comm_barrier(comm));
    if (dn_comm_rank(comm) == 0) {
        for (int rank = 1; rank < dn_comm_size(comm); rank++) {
            const dn_comm_chunk theirs = dn_comm_chunk_of(samples, (size_t)n_samples * sizeof *samples);
            const double *other = dn_comm_view(comm, theirs, rank, DN_TRAFFIC_CONTROL);
            for (int i = 0; i < n_samples; i++)
                samples[i] = other[i] > samples[i] ? other[i] : samples[i];
        }
        for (int i = 0; i < n_samples; i++)
            samples[i] /= s->n_parts;
        *summary = dn_summarize(samples, (size_t)n_samples);
    }
    return dn_comm_barrier(comm);
}

/* Again, while each rank computes for the median of the times alone. */
static dn_status measure_overlap(series *s, const dn_bench_comm_options *options, dn_bench_row *row)
{
    dn_comm *comm = s->buffers->comm;
    dn_summary left = {0};
    double alone_s = row->time_s.p50; /* on rank 0; 0 elsewhere */
    DN_TRY(dn_comm_all_reduce_scalars(comm, &alone_s, 1, DN_MAX));
    for (int i = 0; i < s->batch; i++)
        s->calls[i].compute_s = alone_s;
    DN_TRY(take_samples(s, options));
    if (s->buffers->stopped)
        return DN_OK;
    DN_TRY(gather_samples(s, options->n_samples, &left));
    row->overlap = dn_bench_overlap(alone_s, left.p50);
    return DN_OK;
}

/* ---- bytes and results ---- */

static double moved_bytes(dn_comm *comm)
{
    dn_comm_stats stats = dn_comm_get_stats(comm, true);
    double moved = 0;
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
        moved += (double)stats.moved[kind];
    return moved;
}

/* One more, untimed sample: bytes moved and wrong values. */
static dn_status inspect(series *s, bool check, dn_bench_row *row)
{
    enum { ROUND = 1000003 };
    dn_comm *comm = s->buffers->comm;
    double ignored, totals[2] = {0, 0};
    moved_bytes(comm);
    DN_TRY(take_sample(s, ROUND, true, &ignored));
    totals[0] = moved_bytes(comm) / s->n_parts;
    totals[0] += 2 * (double)s->calls[0].copied; /* read and written */
    for (int i = 0; check && i < s->batch; i++)
        totals[1] += (double)dn_bench_count_wrong(s->op, &s->calls[i], ROUND + (uint64_t)i);
    DN_TRY(dn_comm_all_reduce_scalars(comm, totals, 2, DN_SUM));
    row->bytes_moved = totals[0];
    row->n_wrong = check && dn_bench_has_buffer(s->op) ? totals[1] : -1;
    return DN_OK;
}

dn_status dn_bench_measure(dn_bench_buffers *buffers, const dn_bench_op *op,
                           const dn_bench_comm_options *options, size_t bytes, dn_bench_row *row)
{
    series s;
    series_init(&s, buffers, op, options, bytes);
    *row = (dn_bench_row){.op = op->name,
                          .type = dn_bench_has_buffer(op) ? dn_bench_type_name(s.calls[0].type) : "-",
                          .redop = dn_bench_reduces(op) ? options->redop : "-",
                          .n_ranks = dn_comm_size(buffers->comm),
                          .bytes = s.calls[0].count * dn_type_bytes(s.calls[0].type),
                          .count = s.calls[0].count,
                          .in_place = !dn_bench_has_two(op),
                          .batch = s.batch,
                          .overlap = -1};
    DN_TRY(take_samples(&s, options));
    if (buffers->stopped)
        return DN_OK;
    DN_TRY(gather_samples(&s, options->n_samples, &row->time_s));
    if (op->overlaps)
        DN_TRY(measure_overlap(&s, options, row));
    return buffers->stopped ? DN_OK : inspect(&s, options->check, row);
}
