#include "bench/ops.h"

#include "dionode/bench.h"

#include <assert.h>

/* ---- calls ---- */

static dn_status run_barrier(const dn_bench_call *call)
{
    return dn_comm_barrier(call->comm);
}

static dn_status run_broadcast(const dn_bench_call *call)
{
    return dn_comm_broadcast(call->comm, call->buffer, call->count * sizeof *call->buffer, call->root,
                             DN_TRAFFIC_GRADIENT);
}

static dn_status run_reduce(const dn_bench_call *call)
{
    const dn_reduce_item item = {call->buffer, call->count, call->root};
    return dn_comm_reduce_to_owners(call->comm, &item, 1, call->redop, DN_TRAFFIC_GRADIENT);
}

static dn_status run_all_reduce(const dn_bench_call *call)
{
    return dn_comm_all_reduce(call->comm, call->buffer, call->count, call->redop, DN_TRAFFIC_GRADIENT);
}

static dn_status run_reduce_scatter(const dn_bench_call *call)
{
    return dn_comm_reduce_scatter(call->comm, call->buffer, call->count, call->redop, DN_TRAFFIC_GRADIENT);
}

static dn_status run_scalars(const dn_bench_call *call)
{
    double values[DN_COMM_SCALARS_MAX] = {0};
    assert(call->count <= DN_COMM_SCALARS_MAX);
    for (size_t i = 0; i < call->count; i++)
        values[i] = (double)call->buffer[i];
    dn_status status = dn_comm_all_reduce_scalars(call->comm, values, call->count, call->redop);
    for (size_t i = 0; i < call->count; i++)
        call->buffer[i] = (dn_real)values[i];
    return status;
}

/* ---- results ---- */

static void everything(const dn_bench_call *call, size_t *first, size_t *end)
{
    *first = 0;
    *end = call->count;
}

static void own_slice(const dn_bench_call *call, size_t *first, size_t *end)
{
    dn_comm_slice(call->comm, call->count, dn_comm_rank(call->comm), first, end);
}

static void all_at_root(const dn_bench_call *call, size_t *first, size_t *end)
{
    *first = 0;
    *end = dn_comm_rank(call->comm) == call->root ? call->count : 0;
}

const dn_bench_op dn_bench_ops[] = {
    {"barrier", 0, 0, 0, 0, false, run_barrier, everything},
    {"scalars", 2, 0, sizeof(double), DN_COMM_SCALARS_MAX * sizeof(double), true, run_scalars, everything},
    {"broadcast", 0, 1, sizeof(dn_real), 0, false, run_broadcast, everything},
    {"reduce", 0, 1, sizeof(dn_real), 0, true, run_reduce, all_at_root},
    {"reduce-scatter", 1, 0, sizeof(dn_real), 0, true, run_reduce_scatter, own_slice},
    {"all-reduce", 2, 0, sizeof(dn_real), 0, true, run_all_reduce, everything},
    {0},
};

const char *const *dn_bench_comm_ops(void)
{
    static const char *names[sizeof dn_bench_ops / sizeof *dn_bench_ops];
    for (size_t i = 0; dn_bench_ops[i].name; i++)
        names[i] = dn_bench_ops[i].name;
    return names;
}

double dn_bench_bus_factor(const dn_bench_op *op, int n_ranks)
{
    return op->share * (n_ranks - 1) / n_ranks + op->whole;
}

const char *dn_bench_type_name(const dn_bench_op *op)
{
    return op->element_bytes == sizeof(double)  ? "double"
           : op->element_bytes == sizeof(float) ? "float"
                                                : "-";
}

/* ---- contents ---- */

static dn_real brought(int rank, uint64_t round, size_t i)
{
    return (dn_real)((5 * i + 17 * (uint64_t)rank + 29 * round) % 128 + 1);
}

void dn_bench_dirty(const dn_bench_call *call, uint64_t round)
{
    int rank = dn_comm_rank(call->comm);
    for (size_t i = 0; i < call->count; i++)
        call->buffer[i] = brought(rank, round, i);
}

static dn_real reduced(const dn_bench_call *call, uint64_t round, size_t i)
{
    int n_ranks = dn_comm_size(call->comm);
    dn_real result = brought(0, round, i);
    for (int rank = 1; rank < n_ranks; rank++) {
        dn_real x = brought(rank, round, i);
        if (call->redop == DN_MIN)
            result = x < result ? x : result;
        else if (call->redop == DN_MAX)
            result = x > result ? x : result;
        else
            result += x;
    }
    return result;
}

/* An average is a product with a rounded 1/n or a quotient (comm.h): the last bit may go either way. */
static bool differs(dn_real got, dn_real expected, dn_op redop, int n_ranks)
{
    if (redop != DN_AVG)
        return !(got == expected);
    dn_real mean = expected / (dn_real)n_ranks, slack = mean * (sizeof(dn_real) == 4 ? 2.4e-7f : 4.5e-16);
    return !(got >= mean - slack && got <= mean + slack);
}

size_t dn_bench_count_wrong(const dn_bench_op *op, const dn_bench_call *call, uint64_t round)
{
    size_t first, end, n_wrong = 0;
    int n_ranks = dn_comm_size(call->comm);
    op->result(call, &first, &end);
    for (size_t i = first; i < end; i++)
        n_wrong += op->reduces ? differs(call->buffer[i], reduced(call, round, i), call->redop, n_ranks)
                               : !(call->buffer[i] == brought(call->root, round, i));
    return n_wrong;
}
