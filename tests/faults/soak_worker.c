/*
 * A worker that can end at any point of the protocol.
 *
 *     soak_worker PIPE RANK SIGNAL POINT
 *
 * Joins, meets the others N_BARRIERS times and leaves; as RANK it sends itself SIGNAL at the POINT-th point.
 * Points lie before and after every call of what moves the protocol (linked with --wrap, below), and where it
 * begins and ends. Without the signal it tells how many points there were.
 */
#include "soak.h"

#include "comm/world.h"
#include "shm/wait.h"
#include "support/delay.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT 3000

static struct {
    int pipe, rank, victim, signal, n_barriers;
    int64_t n_points, last_point;
} me;

static void tell(record_kind kind, int status)
{
    record r = {kind, me.rank, status, me.n_barriers, me.n_points, now_ns(), delay_s(0)};
    if (write(me.pipe, &r, sizeof r) != (ssize_t)sizeof r)
        _exit(99);
}

static void point(void)
{
    if (++me.n_points != me.last_point || me.rank != me.victim || !me.signal)
        return;
    tell(DYING, 0);
    raise(me.signal);
}

/* ---- points inside the library ---- */

#define WRAP(type, name, parameters, arguments)                                                              \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        point();                                                                                             \
        type result = __real_##name arguments;                                                               \
        point();                                                                                             \
        return result;                                                                                       \
    }

#define WRAP_VOID(name, parameters, arguments)                                                               \
    void __real_##name parameters;                                                                           \
    void __wrap_##name parameters;                                                                           \
    void __wrap_##name parameters                                                                            \
    {                                                                                                        \
        point();                                                                                             \
        __real_##name arguments;                                                                             \
        point();                                                                                             \
    }

WRAP(dn_status, dn_world_attach, (int rank, dn_world **out), (rank, out))
WRAP(dn_status, dn_world_populate, (dn_world * world, int rank, size_t arena_bytes),
     (world, rank, arena_bytes))
WRAP(dn_status, dn_wait_reach,
     (dn_world * world, int rank, int awaited, const _Atomic uint64_t *word, uint64_t want),
     (world, rank, awaited, word, want))
WRAP_VOID(dn_wait_post, (dn_world * world, int rank, _Atomic uint64_t *word, uint64_t value),
          (world, rank, word, value))
WRAP_VOID(dn_world_tick, (dn_world * world, int rank, uint64_t step, const char *phase),
          (world, rank, step, phase))

/* ---- a life ---- */

static void fill(dn_comm *comm, dn_real *array, int step)
{
    for (int i = 0; i < COUNT; i++)
        array[i] = (dn_real)(dn_comm_rank(comm) + step);
}

/* A finished sum must be the sum. */
static dn_status check_sum(dn_comm *comm, const dn_real *array, int step, dn_status status)
{
    int size = dn_comm_size(comm);
    for (int i = 0; i < COUNT && status == DN_OK; i++)
        if (array[i] != (dn_real)(size * step + size * (size - 1) / 2))
            return (dn_status)WRONG_RESULT;
    return status;
}

static dn_status sum_up(dn_comm *comm, dn_real *array, int step)
{
    fill(comm, array, step);
    dn_status status = dn_comm_all_reduce(comm, array, COUNT, DN_REAL, DN_SUM, DN_TRAFFIC_CONTROL);
    return check_sum(comm, array, step, status);
}

static dn_status sum_up_in_halves(dn_comm *comm, dn_real *array, int step)
{
    uint64_t exchange;
    fill(comm, array, step);
    dn_status status =
        dn_comm_begin_all_reduce(comm, array, COUNT, DN_REAL, DN_SUM, DN_TRAFFIC_CONTROL, &exchange);
    if (status == DN_OK)
        status = dn_comm_advance(comm);
    if (status == DN_OK)
        status = dn_comm_finish(comm, exchange);
    return check_sum(comm, array, step, status);
}

static dn_status pass_on(dn_comm *comm, int step)
{
    int rank = dn_comm_rank(comm), size = dn_comm_size(comm), before = (rank + size - 1) % size;
    int64_t out[3] = {rank, step, 7}, in[3];
    dn_status status = dn_comm_send(comm, out, 3, DN_I64, (rank + 1) % size, DN_TRAFFIC_CONTROL);
    if (status == DN_OK)
        status = dn_comm_receive(comm, in, 3, DN_I64, before, DN_TRAFFIC_CONTROL);
    if (status == DN_OK && (in[0] != before || in[1] != step || in[2] != 7))
        return (dn_status)WRONG_RESULT;
    return status;
}

static dn_status add_up(dn_comm *comm, int step)
{
    double values[2] = {step, dn_comm_rank(comm)};
    int size = dn_comm_size(comm);
    dn_status status = dn_comm_all_reduce_scalars(comm, values, 2, DN_SUM);
    if (status == DN_OK && (values[0] != size * step || values[1] != size * (size - 1) / 2))
        return (dn_status)WRONG_RESULT;
    return status;
}

static dn_status meet(dn_comm *comm, dn_real *array, int step)
{
    me.n_barriers++;
    dn_comm_tick(comm, (uint64_t)step, "meeting");
    switch (step % 5) {
    case 1:
        return sum_up(comm, array, step);
    case 2:
        return add_up(comm, step);
    case 3:
        return pass_on(comm, step);
    case 4:
        return sum_up_in_halves(comm, array, step);
    default: /* the last one too: who begins it has done what the others need */
        return dn_comm_barrier(comm);
    }
}

static dn_status live(dn_comm *comm)
{
    void *array;
    dn_status status = dn_comm_alloc(comm, COUNT * sizeof(dn_real), &array);
    for (int step = 1; step <= N_BARRIERS && status == DN_OK; step++)
        status = meet(comm, array, step);
    return status;
}

int main(int argc, char **argv)
{
    const char *rank = getenv("RANK");
    if (argc != 5 || !rank)
        return 97;
    me.pipe = atoi(argv[1]);
    me.rank = atoi(rank);
    me.victim = atoi(argv[2]);
    me.signal = atoi(argv[3]);
    me.last_point = atoll(argv[4]);
    signal(SIGSEGV, SIG_DFL); /* sanitizers catch it otherwise */
    dn_comm *comm;
    point();
    dn_status status = dn_comm_join(COUNT * sizeof(dn_real), 1, &comm);
    if (status == DN_OK)
        status = live(comm);
    int code = dn_comm_leave(&comm, status);
    point();
    tell(OUT, status);
    return code;
}
