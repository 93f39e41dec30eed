#include "bench/ops.h"

#include "dionode/bench.h"

#include <assert.h>
#include <string.h>

#define KIND  DN_TRAFFIC_GRADIENT
#define PARTS call->comm, call->buffer, call->count, call->type

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

const dn_bench_op dn_bench_ops[] = {
    {"barrier", 0, 0, DN_BENCH_NOTHING, 0, false, run_barrier},
    {"scalars", 2, 0, DN_BENCH_REDUCED, DN_BENCH_SCALARS * sizeof(double), true, run_scalars},
    {"broadcast", 0, 1, DN_BENCH_OF_ROOT, 0, false, run_broadcast},
    {"reduce", 0, 1, DN_BENCH_REDUCED_ROOT, 0, false, run_reduce},
    {"reduce-scatter", 1, 0, DN_BENCH_REDUCED_SLICE, 0, false, run_reduce_scatter},
    {"all-reduce", 2, 0, DN_BENCH_REDUCED, 0, false, run_all_reduce},
    {"all-reduce-shared", 2, 0, DN_BENCH_REDUCED, 0, false, run_all_reduce_shared},
    {"all-gather", 1, 0, DN_BENCH_OF_OWNERS, 0, false, run_all_gather},
    {"all-to-all", 1, 0, DN_BENCH_OF_ROWS, 0, false, run_all_to_all},
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
    return op->result == DN_BENCH_OF_ROWS;
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
