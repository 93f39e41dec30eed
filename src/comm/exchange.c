/* Collectives without arithmetic on arrays: a root's bytes to all, and a few numbers that ride in the
 * barrier. */
#include "dionode/comm.h"

#include "base/fail.h"
#include "comm/group.h"

#include <assert.h>
#include <string.h>

dn_status dn_comm_broadcast(dn_comm *comm, void *buffer, size_t bytes, int root, dn_traffic kind)
{
    if (comm->size == 1)
        return DN_OK;
    DN_TRY(dn_comm_meet(comm, "broadcast", bytes));
    if (comm->rank == root) {
        dn_comm_count(comm, kind, bytes, 0);
    } else {
        memcpy(buffer, dn_comm_peer(comm, buffer, root), bytes);
        dn_comm_count(comm, kind, 0, 2 * bytes);
    }
    return dn_comm_meet(comm, "broadcast's end", bytes);
}

/* ---- scalars ---- */

static void combine_sum(double *acc, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        acc[i] += x[i];
}

/* As in reduce.c: the second comparison lets NaN through. */
static void combine_min(double *acc, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        acc[i] = x[i] < acc[i] || x[i] != x[i] ? x[i] : acc[i];
}

static void combine_max(double *acc, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        acc[i] = x[i] > acc[i] || x[i] != x[i] ? x[i] : acc[i];
}

dn_status dn_comm_all_reduce_scalars(dn_comm *comm, double *values, size_t n, dn_op op)
{
    _Static_assert(DN_COMM_SCALARS_MAX == DN_LINE_VALUES, "scalars ride in the barrier's line");
    static dn_combine_fn *const combine[] = {
        [DN_SUM] = combine_sum, [DN_AVG] = combine_sum, [DN_MIN] = combine_min, [DN_MAX] = combine_max};
    assert(n <= DN_COMM_SCALARS_MAX);
    if (comm->size == 1)
        return DN_OK;
    const dn_call call = {.name = "scalars", .count = n};
    DN_TRY(dn_barrier_meet(&comm->barrier, &call, values, n, combine[op]));
    if (op == DN_AVG)
        for (size_t i = 0; i < n; i++)
            values[i] /= comm->size;
    /* One line written; the first member reads all other lines, the others its answer. */
    size_t bytes = n * sizeof *values;
    size_t n_lines_read = comm->rank == 0 ? (size_t)comm->size - 1 : 1;
    dn_comm_count(comm, DN_TRAFFIC_CONTROL, bytes, (1 + n_lines_read) * bytes);
    return DN_OK;
}
