/*
 * Asynchronous reductions: begin announces that the buffer is ready, finish waits for the others and reduces.
 * There is no progress thread: what overlaps with computation is the wait for slower members and, where the
 * caller advances in between, the reduction itself.
 *
 * Each member counts, in shared memory, the exchanges it has begun and those whose chunk it has reduced. Both
 * counters only grow; exchanges are reduced in the order in which they were begun:
 *
 *     exchange i:   begun >= i on all members  ->  own chunk may be reduced
 *                   done  >= i on all members  ->  an all-reduce is complete
 *
 * Over several nodes the members are those of one node. Its sums are on their way to the other nodes, some exchanges at a time,
 * between starting and reducing (nodes.c): while this rank computes, that is the network's work.
 */
#include "comm/internal.h"

#include "base/fail.h"
#include "shm/wait.h"

#include <assert.h>
#include <string.h>

/* One member's counters and the calls it has begun, as they lie in shared memory. */
typedef struct counters {
    _Alignas(128) _Atomic uint64_t begun;
    dn_call
        calls[DN_IN_FLIGHT_MAX]; /* of exchange i at i % DN_IN_FLIGHT_MAX; written before begun is posted */
    _Alignas(128) _Atomic uint64_t done;
} counters;

_Static_assert(DN_EXCHANGES_AT + sizeof(counters) <= DN_PROXY_AT, "the scratch has room");

static counters *counters_of(const dn_comm *comm, int member)
{
    return (counters *)(void *)(comm->scratch[member] + DN_EXCHANGES_AT);
}

static dn_job *job_of(dn_comm *comm, uint64_t exchange)
{
    return &comm->in_flight[exchange % DN_IN_FLIGHT_MAX];
}

/* Over several nodes: those of this one. */
static bool is_here(const dn_comm *comm, int member)
{
    return !comm->span || comm->span->nodes.of[member] == comm->span->nodes.of[comm->rank];
}

/* ---- waiting for all ---- */

typedef enum { BEGUN, DONE } counter;

static const _Atomic uint64_t *word_of(const dn_comm *comm, int member, counter which)
{
    counters *c = counters_of(comm, member);
    return which == BEGUN ? &c->begun : &c->done;
}

static dn_status await_all(dn_comm *comm, counter which, uint64_t exchange)
{
    const dn_barrier *b = &comm->barrier;
    for (int i = 1; i < comm->size; i++) {
        int member = (comm->rank + i) % comm->size;
        if (!is_here(comm, member))
            continue;
        DN_TRY(dn_wait_reach(comm->world, b->ranks[comm->rank], b->ranks[member],
                             word_of(comm, member, which), exchange));
    }
    return DN_OK;
}

/* ---- the parts ---- */

/* The call of an exchange; the own one as it was before it was written for the others. */
static const dn_call *call_of(dn_comm *comm, int member, uint64_t exchange)
{
    return member == comm->rank ? &job_of(comm, exchange)->call : &counters_of(comm, member)->calls[exchange % DN_IN_FLIGHT_MAX];
}

/* The next exchange that is not started, which all members have begun. */
static dn_status start_next(dn_comm *comm)
{
    uint64_t exchange = comm->n_started + 1;
    const dn_job *job = job_of(comm, exchange);
    int first = 0;
    while (!is_here(comm, first))
        first++;
    const dn_call *firsts = call_of(comm, first, exchange);
    for (int member = first + 1; member < comm->size; member++) {
        const dn_call *call = call_of(comm, member, exchange);
        if (is_here(comm, member) && memcmp(call, firsts, sizeof *call) != 0)
            return dn_barrier_fail_mismatch(&comm->barrier, first, firsts, member, call);
    }
    if (comm->span)
        DN_TRY(dn_span_start(comm, job, exchange));
    else if (job->items)
        DN_TRY(dn_reduce_items(comm, job));
    else
        DN_TRY(dn_reduce_chunk(comm, job, job->call.purpose == DN_FOR_ALL_REDUCE ? -1 : comm->rank));
    comm->n_started = exchange;
    return DN_OK;
}

/* Starts all that can be. */
static dn_status start_ready(dn_comm *comm)
{
    while (comm->n_started < comm->n_begun && comm->n_started - comm->n_reduced < DN_MOVING_MAX) {
        bool all = true; /* what is moved between two ranks keeps its order */
        if (comm->span && comm->n_started > comm->n_reduced)
            DN_TRY(dn_span_begin_rest(comm, job_of(comm, comm->n_started), comm->n_started, &all));
        if (!all || (!comm->span && job_of(comm, comm->n_started + 1)->keeps)) /* in one node the start is all of it */
            return DN_OK;
        for (int member = 0; member < comm->size; member++)
            if (is_here(comm, member) && !dn_wait_reached(word_of(comm, member, BEGUN), comm->n_started + 1))
                return DN_OK;
        DN_TRY(start_next(comm));
    }
    return DN_OK;
}

/* This rank's part of the next exchange, which is started; *reduced false: not without waiting, or not before it is finished. */
static dn_status reduce_next(dn_comm *comm, bool waits, bool *reduced)
{
    uint64_t exchange = comm->n_reduced + 1;
    *reduced = true;
    if (comm->span)
        DN_TRY(dn_span_go_on(comm, job_of(comm, exchange), exchange, waits, reduced));
    *reduced = *reduced && (waits || !job_of(comm, exchange)->keeps);
    if (!*reduced)
        return DN_OK;
    if (comm->span)
        DN_TRY(dn_span_end(comm, job_of(comm, exchange)));
    comm->n_reduced = exchange;
    dn_wait_post(comm->world, comm->barrier.ranks[comm->rank], &counters_of(comm, comm->rank)->done, exchange);
    return DN_OK;
}

dn_status dn_job_check_begun(const dn_job *job)
{
    return dn_job_private(job) ? dn_fail(DN_ERR_ARG,
                                         "a reduction that is begun and finished needs a buffer on the symmetric heap: take it "
                                         "from dn_comm_alloc")
                               : DN_OK;
}

static dn_status begin(dn_comm *comm, dn_job job, uint64_t *exchange)
{
    DN_TRY(dn_job_check_begun(&job));
    uint64_t number = comm->n_begun + 1;
    counters *own = counters_of(comm, comm->rank);
    if (number > DN_IN_FLIGHT_MAX) {
        uint64_t oldest = number - DN_IN_FLIGHT_MAX;
        if (comm->n_reduced < oldest)
            return dn_fail(DN_ERR_ARG,
                           "more than %d reductions begun and not finished: call dn_comm_finish first",
                           DN_IN_FLIGHT_MAX);
        DN_TRY(await_all(comm, DONE, oldest)); /* the others have read the entry that is reused */
    }
    *job_of(comm, number) = job;
    own->calls[number % DN_IN_FLIGHT_MAX] = job.call;
    comm->n_begun = *exchange = number;
    dn_wait_post(comm->world, comm->barrier.ranks[comm->rank], &own->begun, number);
    return DN_OK;
}

dn_status dn_shm_begin_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                  dn_traffic kind, uint64_t *exchange)
{
    return begin(comm, dn_job_of(comm, DN_FOR_ALL_REDUCE, buffer, count, type, op, kind, -1), exchange);
}

dn_status dn_shm_begin_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                      dn_traffic kind, uint64_t *exchange)
{
    return begin(comm, dn_job_of(comm, DN_FOR_REDUCE_SCATTER, buffer, count, type, op, kind, -1), exchange);
}

dn_status dn_shm_begin_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                        dn_op op, dn_traffic kind, unsigned flags, uint64_t *exchange)
{
    dn_job job;
    DN_TRY(dn_job_of_items(comm, DN_FOR_REDUCE_TO_OWNERS, items, n_items, type, op, kind, &job));
    job.keeps = flags & DN_BEGIN_KEEP;
    return begin(comm, job, exchange);
}

dn_status dn_shm_advance(dn_comm *comm)
{
    for (bool reduced = true; reduced && comm->n_reduced < comm->n_begun;) {
        DN_TRY(start_ready(comm));
        if (comm->n_started == comm->n_reduced)
            return DN_OK;
        DN_TRY(reduce_next(comm, false, &reduced));
    }
    return dn_world_check(comm->world);
}

dn_status dn_shm_finish(dn_comm *comm, uint64_t exchange)
{
    bool reduced;
    assert(exchange <= comm->n_begun);
    while (comm->n_reduced < exchange) {
        DN_TRY(start_ready(comm));
        if (comm->n_started == comm->n_reduced) {
            DN_TRY(await_all(comm, BEGUN, comm->n_started + 1));
            DN_TRY(start_next(comm));
        }
        DN_TRY(reduce_next(comm, true, &reduced));
    }
    if (exchange == 0 || job_of(comm, exchange)->call.purpose != DN_FOR_ALL_REDUCE)
        return DN_OK;
    return await_all(comm, DONE, exchange);
}

void dn_exchanges_init(dn_comm *comm)
{
    const counters *own = counters_of(comm, comm->rank);
    comm->n_begun = atomic_load_explicit(&own->begun, memory_order_relaxed);
    comm->n_started = comm->n_reduced = atomic_load_explicit(&own->done, memory_order_relaxed);
}
