/* Collectives that only copy: large symmetric buffers are read in place, all others go through the stages. */
#include "comm/internal.h"
#include "comm/peer.h"

#include "base/fail.h"

static bool goes_through_stages(const dn_comm *comm, const dn_job *job)
{
    return dn_job_private(job) || job->bytes <= comm->small_bytes;
}

/* Copies from a peer's arena to the own. */
static dn_status fetch(dn_comm *comm, const dn_job *job, char *to, const char *from, int member, size_t bytes)
{
    if (bytes == 0)
        return DN_OK;
    DN_TRY(dn_comm_copy(comm, to, from, bytes));
    dn_comm_count_moved(comm, job->kind, member, bytes);
    dn_comm_count_moved(comm, job->kind, comm->rank, bytes);
    return DN_OK;
}

/* ---- broadcast ---- */

/* Short: the root writes it once and goes on, the others wait for the root alone. */
static dn_status broadcast_small(dn_comm *comm, const dn_job *job)
{
    char line[DN_LINE_BYTES];
    const bool is_root = comm->rank == job->root;
    const size_t in_line = job->bytes <= sizeof line && is_root ? job->bytes : 0;
    if (is_root)
        DN_TRY(dn_comm_copy(comm, job->bytes <= sizeof line ? line : dn_parcel(comm, comm->rank, 1), job->buffer,
                            job->bytes));
    DN_TRY(dn_barrier_pass(&comm->barrier, &job->call, line, in_line, is_root ? DN_NOBODY : job->root));
    if (!is_root)
        DN_TRY(dn_comm_copy(comm, job->buffer,
                            job->bytes <= sizeof line ? dn_barrier_payload(&comm->barrier, job->root)
                                                      : dn_parcel(comm, job->root, 0),
                            job->bytes));
    dn_comm_count_moved(comm, job->kind, job->root, job->bytes);
    dn_comm_count_moved(comm, job->kind, comm->rank, job->bytes);
    return DN_OK;
}

dn_status dn_shm_broadcast(dn_comm *comm, void *buffer, size_t bytes, int root, dn_traffic kind)
{
    dn_job job = {.buffer = buffer, .count = bytes, .kind = kind, .root = root, .bytes = bytes};
    job.call = (dn_call){.count = bytes,
                         .place = dn_comm_place(comm, buffer, bytes),
                         .purpose = DN_FOR_BROADCAST,
                         .root = root};
    if (bytes <= DN_PARCEL_BYTES)
        return broadcast_small(comm, &job);
    if (goes_through_stages(comm, &job))
        return dn_staged_broadcast(comm, &job);
    DN_TRY(dn_job_barrier(comm, &job));
    if (comm->rank != root)
        DN_TRY(fetch(comm, &job, buffer, dn_comm_peer(comm, buffer, root), root, bytes));
    return dn_job_barrier(comm, &job);
}

/* ---- all-gather ---- */

dn_status dn_shm_all_gather(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_traffic kind)
{
    dn_job job = dn_job_of(comm, DN_FOR_ALL_GATHER, buffer, count, type, DN_SUM, kind, -1);
    size_t first, end, size = dn_type_bytes(type);
    if (goes_through_stages(comm, &job))
        return dn_staged_all_gather(comm, &job);
    DN_TRY(dn_job_barrier(comm, &job));
    for (int i = 1; i < comm->size; i++) {
        int member = (comm->rank + i) % comm->size;
        dn_comm_chunk_bounds(comm, count, type, member, &first, &end);
        char *mine = job.buffer + first * size;
        DN_TRY(fetch(comm, &job, mine, dn_comm_peer(comm, mine, member), member, (end - first) * size));
    }
    return dn_job_barrier(comm, &job);
}

/* ---- from owners ---- */

/* Each member begins at another item, so that not all read one owner's memory at once. */
dn_status dn_shm_gather_from_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                    dn_traffic kind)
{
    dn_job job;
    DN_TRY(dn_job_of_items(comm, DN_FOR_GATHER_FROM_OWNERS, items, n_items, type, DN_SUM, kind, &job));
    DN_TRY(dn_job_barrier(comm, &job));
    size_t start = n_items * (size_t)comm->rank / (size_t)comm->size;
    for (size_t i = 0; i < n_items; i++) {
        const dn_owned *item = &items[(start + i) % n_items];
        if (item->owner != comm->rank)
            DN_TRY(fetch(comm, &job, item->buffer, dn_comm_peer(comm, item->buffer, item->owner), item->owner,
                         item->count * dn_type_bytes(type)));
    }
    return DN_OK;
}

/* ---- all-to-all ---- */

dn_status dn_shm_all_to_all(dn_comm *comm, const void *from, void *to, size_t count, dn_type type,
                            dn_traffic kind)
{
    size_t row = count * dn_type_bytes(type), all = row * (size_t)comm->size;
    dn_job job = dn_job_of(comm, DN_FOR_ALL_TO_ALL, from, count * (size_t)comm->size, type, DN_SUM, kind, -1);
    bool one_private = dn_job_private(&job) != (dn_comm_place(comm, to, all) == DN_PLACE_PRIVATE);
    if (one_private)
        return dn_fail(
            DN_ERR_ARG,
            "all-to-all between a symmetric and a private buffer: take both from dn_comm_alloc, or neither");
    if (goes_through_stages(comm, &job))
        return dn_staged_all_to_all(comm, &job, to);
    DN_TRY(dn_job_barrier(comm, &job));
    for (int i = 0; i < comm->size; i++) {
        int member = (comm->rank + i) % comm->size;
        const char *theirs = dn_comm_peer(comm, from, member);
        DN_TRY(fetch(comm, &job, (char *)to + (size_t)member * row, theirs + (size_t)comm->rank * row, member,
                     row));
    }
    return dn_job_barrier(comm, &job);
}
