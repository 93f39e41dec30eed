/*
 * Reductions. Small ones go through the barrier's lines (up to 96 bytes), parcels or stages, and every member, or
 * the root, reduces the whole; large ones on the symmetric heap are done in place, each member its chunk:
 *
 *     rank 0   [ a0 | b0 | c0 ]      owner of chunk b:  sum = b0 + b1 + b2
 *     rank 1   [ a1 | b1 | c1 ]      reduce-scatter:    b1 = sum                 (S + S/P bytes per rank)
 *     rank 2   [ a2 | b2 | c2 ]      shared result:     b0 = sum                 (S + S/P)
 *                                    all-reduce:        b0 = b1 = b2 = sum       (2 S)
 *
 * Chunks are disjoint, and between two barriers only their owner reads or writes them, in any arena.
 */
#include "comm/internal.h"
#include "comm/peer.h"

#include "base/fail.h"

#define ALL (-1) /* as root: all members get the result */

/* ---- one call, every member, or the root alone, reduces the whole ---- */

/* The own part is read where it came from: what was just written for others is on its way from their caches. */
static const char *small_of(const dn_comm *comm, const dn_job *job, int member)
{
    if (member == comm->rank)
        return job->buffer;
    if (job->bytes <= DN_LINE_BYTES)
        return dn_barrier_payload(&comm->barrier, member);
    return job->bytes <= DN_PARCEL_BYTES ? dn_parcel(comm, member, 0) : dn_stage(comm, member, 0);
}

/* To a root: who has written its part is done, unless the whole is too long for a parcel. */
static dn_status reduce_small(dn_comm *comm, dn_job *job)
{
    dn_job_fold fold;
    char line[DN_LINE_BYTES];
    size_t in_line = job->bytes <= sizeof line ? job->bytes : 0;
    char *room = job->bytes <= DN_PARCEL_BYTES ? dn_parcel(comm, comm->rank, 1) : dn_stage(comm, comm->rank, 1);
    DN_TRY(dn_comm_copy(comm, in_line ? line : room, job->buffer, job->bytes));
    DN_TRY(job->root == ALL || job->bytes > DN_PARCEL_BYTES
               ? dn_barrier_wait(&comm->barrier, &job->call, line, in_line)
               : dn_barrier_pass(&comm->barrier, &job->call, line, in_line,
                                 job->root == comm->rank ? DN_ALL_MEMBERS : DN_NOBODY));
    dn_comm_count_moved(comm, job->kind, comm->rank, 2 * job->bytes);
    if (job->root != ALL && job->root != comm->rank)
        return DN_OK;
    dn_fold_init(&fold, comm, job, job->count);
    for (int member = 0; member < comm->size; member++)
        dn_fold_from(&fold, member, small_of(comm, job, member));
    dn_fold_to(&fold, comm->rank, job->buffer);
    return dn_fold_run(&fold);
}

/* ---- in place ---- */

/* Reduces a range of the buffer into the copy of `target`, or of all members. */
static dn_status reduce_range(dn_comm *comm, const dn_job *job, char *mine, size_t n, int target)
{
    dn_job_fold fold;
    if (n == 0)
        return DN_OK;
    dn_fold_init(&fold, comm, job, n);
    for (int member = 0; member < comm->size; member++)
        dn_fold_from(&fold, member, dn_comm_peer(comm, mine, member));
    for (int i = 0; i < comm->size; i++) {
        int member = (comm->rank + i) % comm->size;
        if (target == ALL || target == member)
            dn_fold_to(&fold, member, dn_comm_peer(comm, mine, member));
    }
    return dn_fold_run(&fold);
}

dn_status dn_reduce_chunk(dn_comm *comm, const dn_job *job, int target)
{
    size_t first, end;
    dn_comm_chunk_bounds(comm, job->count, job->type, comm->rank, &first, &end);
    return reduce_range(comm, job, job->buffer + first * dn_type_bytes(job->type), end - first, target);
}

dn_status dn_reduce_items(dn_comm *comm, const dn_job *job)
{
    for (size_t i = 0; i < job->n_items; i++)
        if (job->items[i].owner == comm->rank)
            DN_TRY(reduce_range(comm, job, job->items[i].buffer, job->items[i].count, comm->rank));
    return DN_OK;
}

static dn_status reduce_in_place(dn_comm *comm, dn_job *job, int target)
{
    DN_TRY(dn_job_barrier(comm, job));
    DN_TRY(dn_reduce_chunk(comm, job, target));
    return dn_job_barrier(comm, job);
}

/* ---- collectives ---- */

/* All-reduce, or reduce to a root: the algorithm follows from size and placement. */
static dn_status reduce_job(dn_comm *comm, dn_job *job)
{
    if (job->bytes <= DN_LINE_BYTES || job->bytes <= comm->small_bytes)
        return reduce_small(comm, job);
    if (dn_job_private(job))
        return dn_staged_all_reduce(comm, job);
    if (job->root == ALL && dn_hierarchy_pays(comm, job))
        return dn_hierarchy_all_reduce(comm, job, false);
    return reduce_in_place(comm, job, job->root);
}

dn_status dn_shm_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                            dn_traffic kind)
{
    dn_job job = dn_job_of(comm, DN_FOR_ALL_REDUCE, buffer, count, type, op, kind, ALL);
    return reduce_job(comm, &job);
}

dn_status dn_shm_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, int root,
                        dn_traffic kind)
{
    dn_job job = dn_job_of(comm, DN_FOR_REDUCE, buffer, count, type, op, kind, root);
    return reduce_job(comm, &job);
}

dn_status dn_shm_all_reduce_shared(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                   dn_traffic kind, const void **result)
{
    dn_job job = dn_job_of(comm, DN_FOR_SHARED_ALL_REDUCE, buffer, count, type, op, kind, ALL);
    if (dn_job_private(&job))
        return dn_fail(
            DN_ERR_ARG,
            "dn_comm_all_reduce_shared needs a buffer on the symmetric heap: take it from dn_comm_alloc");
    bool by_domains = dn_hierarchy_pays(comm, &job);
    *result = dn_comm_peer(comm, buffer, by_domains ? dn_hierarchy_leader(comm, comm->rank) : 0);
    return by_domains ? dn_hierarchy_all_reduce(comm, &job, true) : reduce_in_place(comm, &job, 0);
}

dn_status dn_shm_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                dn_traffic kind)
{
    dn_job job = dn_job_of(comm, DN_FOR_REDUCE_SCATTER, buffer, count, type, op, kind, ALL);
    if (dn_job_private(&job))
        return dn_staged_reduce_scatter(comm, &job);
    if (dn_hierarchy_pays(comm, &job))
        return dn_hierarchy_reduce_scatter(comm, &job);
    DN_TRY(dn_job_barrier(comm, &job));
    return dn_reduce_chunk(comm, &job, comm->rank);
}

dn_status dn_shm_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                  dn_op op, dn_traffic kind)
{
    dn_job job;
    DN_TRY(dn_job_of_items(comm, DN_FOR_REDUCE_TO_OWNERS, items, n_items, type, op, kind, &job));
    DN_TRY(dn_job_barrier(comm, &job));
    return dn_reduce_items(comm, &job);
}
