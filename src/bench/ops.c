#include "bench/ops.h"

#include "base/clock.h"
#include "base/fail.h"
#include "dionode/bench.h"

#include <assert.h>
#include <string.h>

#define KIND  DN_TRAFFIC_GRADIENT
#define PARTS call->comm, call->buffer, call->count, call->type

/* As osu_latency and osu_bw have them. */
#define P2P_MAX ((size_t)4 << 20)
#define WINDOW  64

/* Calls of advance while a rank computes, as OSU's nonblocking benchmarks call MPI_Test. */
#define ADVANCES 8

static dn_status run_barrier(dn_bench_call *call)
{
    return dn_comm_barrier(call->comm);
}

/* In private memory, as a loss or a norm is. */
static dn_status run_scalars(dn_bench_call *call)
{
    double values[DN_BENCH_SCALARS];
    size_t bytes = call->count * sizeof *values;
    assert(call->count <= DN_BENCH_SCALARS);
    memcpy(values, call->buffer, bytes);
    dn_status status = dn_comm_all_reduce_scalars(call->comm, values, call->count, call->redop);
    memcpy(call->buffer, values, bytes);
    return status;
}

static dn_status run_broadcast(dn_bench_call *call)
{
    return dn_comm_broadcast(call->comm, call->buffer, call->count * dn_type_bytes(call->type), call->root,
                             KIND);
}

static dn_status run_reduce(dn_bench_call *call)
{
    return dn_comm_reduce(PARTS, call->redop, call->root, KIND);
}

static dn_status run_reduce_scatter(dn_bench_call *call)
{
    return dn_comm_reduce_scatter(PARTS, call->redop, KIND);
}

static dn_status run_all_reduce(dn_bench_call *call)
{
    return dn_comm_all_reduce(PARTS, call->redop, KIND);
}

static dn_status run_all_reduce_shared(dn_bench_call *call)
{
    return dn_comm_all_reduce_shared(PARTS, call->redop, KIND, &call->result);
}

static dn_status run_all_gather(dn_bench_call *call)
{
    return dn_comm_all_gather(PARTS, KIND);
}

static dn_status run_all_to_all(dn_bench_call *call)
{
    call->result = call->to;
    return dn_comm_all_to_all(call->comm, call->buffer, call->to,
                              call->count / (size_t)dn_comm_size(call->comm), call->type, KIND);
}

/* ---- begin and finish ---- */

/* Arithmetic until the clock says enough. Returns the seconds it took. */
static double compute(double seconds)
{
    double begin_s = dn_clock_s(), now_s = begin_s, x = begin_s;
    while (now_s - begin_s < seconds) {
        for (int i = 0; i < 32; i++)
            x = 0.5 * x + 1;
        __asm__ volatile("" : : "r"(&x) : "memory"); /* x is used, for all the compiler knows */
        now_s = dn_clock_s();
    }
    return now_s - begin_s;
}

static dn_status compute_and_finish(dn_bench_call *call, uint64_t exchange)
{
    for (int i = 0; call->compute_s > 0 && i < ADVANCES; i++) {
        call->computed_s += compute(call->compute_s / ADVANCES);
        DN_TRY(dn_comm_advance(call->comm));
    }
    return dn_comm_finish(call->comm, exchange);
}

static dn_status run_begin_reduce_scatter(dn_bench_call *call)
{
    uint64_t exchange;
    DN_TRY(dn_comm_begin_reduce_scatter(PARTS, call->redop, KIND, &exchange));
    return compute_and_finish(call, exchange);
}

static dn_status run_begin_all_reduce(dn_bench_call *call)
{
    uint64_t exchange;
    DN_TRY(dn_comm_begin_all_reduce(PARTS, call->redop, KIND, &exchange));
    return compute_and_finish(call, exchange);
}

/* ---- messages between rank 0 and its peer; the others wait for the next barrier ---- */

static dn_status send(const dn_bench_call *call, int to)
{
    return dn_comm_send(PARTS, to, KIND);
}

static dn_status receive(const dn_bench_call *call, int from)
{
    return dn_comm_receive(call->comm, call->to, call->count, call->type, from, KIND);
}

/* There and back, as osu_latency. */
static dn_status run_ping_pong(dn_bench_call *call)
{
    int rank = dn_comm_rank(call->comm);
    call->result = call->to;
    if (rank != 0 && rank != call->peer)
        return DN_OK;
    if (rank == 0)
        DN_TRY(send(call, call->peer));
    DN_TRY(receive(call, call->peer - rank));
    return rank == 0 ? DN_OK : send(call, 0);
}

/* A window of messages and one word back, as osu_bw. */
static dn_status run_window(dn_bench_call *call)
{
    int32_t word = 0;
    int rank = dn_comm_rank(call->comm);
    call->result = call->to;
    if (rank != 0 && rank != call->peer)
        return DN_OK;
    for (int i = 0; i < WINDOW; i++)
        DN_TRY(rank == 0 ? send(call, call->peer) : receive(call, 0));
    return rank == 0 ? dn_comm_receive(call->comm, &word, 1, DN_I32, call->peer, DN_TRAFFIC_CONTROL)
                     : dn_comm_send(call->comm, &word, 1, DN_I32, 0, DN_TRAFFIC_CONTROL);
}

/* ---- the table ---- */

#define TWICE(...)                                                                                           \
    {__VA_ARGS__, .place = DN_BENCH_IN_PLACE},                                                               \
    {                                                                                                        \
        __VA_ARGS__, .place = DN_BENCH_COPIED                                                                \
    }

const dn_bench_op dn_bench_ops[] = {
    {"barrier", 0, 0, DN_BENCH_NOTHING, .run = run_barrier},
    {"scalars", 2, 0, DN_BENCH_REDUCED, DN_BENCH_SCALARS * sizeof(double), true, .run = run_scalars, .on_host = true},
    TWICE("broadcast", 0, 1, DN_BENCH_OF_ROOT, .run = run_broadcast),
    TWICE("reduce", 0, 1, DN_BENCH_REDUCED_ROOT, .run = run_reduce),
    TWICE("reduce-scatter", 1, 0, DN_BENCH_REDUCED_SLICE, .run = run_reduce_scatter),
    TWICE("all-reduce", 2, 0, DN_BENCH_REDUCED, .run = run_all_reduce),
    {"all-reduce-shared", 2, 0, DN_BENCH_REDUCED, .run = run_all_reduce_shared},
    TWICE("all-gather", 1, 0, DN_BENCH_OF_OWNERS, .run = run_all_gather),
    {"all-to-all", 1, 0, DN_BENCH_OF_ROWS, .place = DN_BENCH_TWO_BUFFERS, .run = run_all_to_all},
    {"begin-reduce-scatter", 1, 0, DN_BENCH_REDUCED_SLICE, .run = run_begin_reduce_scatter, .overlaps = true,
     .least_ranks = 2},
    {"begin-all-reduce", 2, 0, DN_BENCH_REDUCED, .run = run_begin_all_reduce, .overlaps = true,
     .least_ranks = 2},
    {"latency", 0, 1, DN_BENCH_OF_PEER, P2P_MAX, .place = DN_BENCH_TWO_BUFFERS, .run = run_ping_pong,
     .n_messages = 2, .least_ranks = 2},
    {"bandwidth", 0, 1, DN_BENCH_OF_FIRST, P2P_MAX, .place = DN_BENCH_TWO_BUFFERS, .run = run_window,
     .n_messages = WINDOW, .least_ranks = 2},
    {"latency-nodes", 0, 1, DN_BENCH_OF_PEER, P2P_MAX, .place = DN_BENCH_TWO_BUFFERS, .run = run_ping_pong,
     .n_messages = 2, .least_ranks = 2, .between_nodes = true},
    {"bandwidth-nodes", 0, 1, DN_BENCH_OF_FIRST, P2P_MAX, .place = DN_BENCH_TWO_BUFFERS, .run = run_window,
     .n_messages = WINDOW, .least_ranks = 2, .between_nodes = true},
    {0},
};

const char *const *dn_bench_comm_ops(void)
{
    static const char *names[sizeof dn_bench_ops / sizeof *dn_bench_ops];
    size_t n = 0;
    for (const dn_bench_op *op = dn_bench_ops; op->name; op++)
        if (n == 0 || strcmp(names[n - 1], op->name) != 0)
            names[n++] = op->name;
    return names;
}

/* What the rank brings: all of its buffer, the root's, or its own chunk. */
static size_t copy_own_part(const dn_bench_op *op, const dn_bench_call *call)
{
    size_t first = 0, end = call->count, element = dn_type_bytes(call->type);
    int rank = dn_comm_rank(call->comm);
    if (op->result == DN_BENCH_OF_ROOT && rank != call->root)
        end = 0;
    if (op->result == DN_BENCH_OF_OWNERS)
        dn_comm_chunk_bounds(call->comm, call->count, call->type, rank, &first, &end);
    dn_copy_bytes(call->stream, (char *)call->to + first * element, (const char *)call->buffer + first * element,
                  (end - first) * element);
    return (end - first) * element;
}

dn_status dn_bench_run(const dn_bench_op *op, dn_bench_call *call)
{
    if (op->place != DN_BENCH_COPIED)
        return op->run(call);
    dn_bench_call in_place = *call;
    call->copied = copy_own_part(op, call);
    DN_TRY(dn_stream_sync(call->stream));
    call->result = in_place.buffer = call->to;
    return op->run(&in_place);
}

double dn_bench_bus_factor(const dn_bench_op *op, int n_ranks)
{
    return op->share * (n_ranks - 1) / n_ranks + op->whole;
}

bool dn_bench_reduces(const dn_bench_op *op)
{
    return op->result == DN_BENCH_REDUCED || op->result == DN_BENCH_REDUCED_SLICE ||
           op->result == DN_BENCH_REDUCED_ROOT;
}

bool dn_bench_has_buffer(const dn_bench_op *op)
{
    return op->result != DN_BENCH_NOTHING;
}

bool dn_bench_has_two(const dn_bench_op *op)
{
    return op->place != DN_BENCH_IN_PLACE;
}

/* ---- types ---- */

static const char *const type_names[DN_N_TYPES] = {
    [DN_F32] = "float", [DN_F64] = "double", [DN_BF16] = "bfloat16", [DN_I32] = "int32", [DN_I64] = "int64"};

const char *dn_bench_type_name(dn_type type)
{
    return type_names[type];
}

bool dn_bench_type(const char *name, dn_type *type)
{
    for (int i = 0; i < DN_N_TYPES; i++)
        if (strcmp(name, type_names[i]) == 0) {
            *type = (dn_type)i;
            return true;
        }
    return false;
}
