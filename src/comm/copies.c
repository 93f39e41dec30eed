/* Collectives that only copy: large symmetric buffers are read in place, everything else goes through the
 * stages. */
#include "dionode/comm.h"

#include "base/fail.h"
#include "comm/group.h"

#include <assert.h>
#include <string.h>

static bool goes_through_stages(const dn_comm *comm, const dn_job *job)
{
    return dn_job_private(job) || job->bytes <= comm->small_bytes;
}

/* Copies from a peer's arena to the own. */
static void fetch(dn_comm *comm, const dn_job *job, char *to, const char *from, int member, size_t bytes)
{
    if (bytes == 0)
        return;
    memcpy(to, from, bytes);
    dn_comm_count_moved(comm, job->kind, member, bytes);
    dn_comm_count_moved(comm, job->kind, comm->rank, bytes);
}

/* ---- broadcast ---- */

dn_status dn_comm_broadcast(dn_comm *comm, void *buffer, size_t bytes, int root, dn_traffic kind)
{
    assert(root >= 0 && root < comm->size);
    if (comm->size == 1)
        return DN_OK;
    dn_job job = {.buffer = buffer, .count = bytes, .kind = kind, .root = root, .bytes = bytes};
    job.call = (dn_call){.count = bytes,
                         .place = dn_comm_place(comm, buffer, bytes),
                         .purpose = DN_FOR_BROADCAST,
                         .root = root};
    if (comm->rank == root)
        dn_comm_count_payload(comm, kind, bytes);
    if (goes_through_stages(comm, &job))
        return dn_staged_broadcast(comm, &job);
    DN_TRY(dn_job_meet(comm, &job));
    if (comm->rank != root)
        fetch(comm, &job, buffer, dn_comm_peer(comm, buffer, root), root, bytes);
    return dn_job_meet(comm, &job);
}

/* ---- all-gather ---- */

dn_status dn_comm_all_gather(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_traffic kind)
{
    if (comm->size == 1)
        return DN_OK;
    dn_job job = dn_job_of(comm, DN_FOR_ALL_GATHER, buffer, count, type, DN_SUM, kind, -1);
    size_t first, end, size = dn_type_bytes(type);
    dn_comm_slice(comm, count, type, comm->rank, &first, &end);
    dn_comm_count_payload(comm, kind, (end - first) * size);
    if (goes_through_stages(comm, &job))
        return dn_staged_all_gather(comm, &job);
    DN_TRY(dn_job_meet(comm, &job));
    for (int i = 1; i < comm->size; i++) {
        int member = (comm->rank + i) % comm->size;
        dn_comm_slice(comm, count, type, member, &first, &end);
        char *mine = job.buffer + first * size;
        fetch(comm, &job, mine, dn_comm_peer(comm, mine, member), member, (end - first) * size);
    }
    return dn_job_meet(comm, &job);
}

/* ---- all-to-all ---- */

dn_status dn_comm_all_to_all(dn_comm *comm, const void *from, void *to, size_t count, dn_type type,
                             dn_traffic kind)
{
    size_t row = count * dn_type_bytes(type), all = row * (size_t)comm->size;
    if (comm->size == 1) {
        if (row > 0)
            memcpy(to, from, row);
        return DN_OK;
    }
    dn_job job = dn_job_of(comm, DN_FOR_ALL_TO_ALL, from, count * (size_t)comm->size, type, DN_SUM, kind, -1);
    bool one_private = dn_job_private(&job) != (dn_comm_place(comm, to, all) == DN_PLACE_PRIVATE);
    if (one_private)
        return dn_fail(DN_ERR_ARG, "all-to-all between a symmetric and a private buffer");
    dn_comm_count_payload(comm, kind, all);
    if (goes_through_stages(comm, &job))
        return dn_staged_all_to_all(comm, &job, to);
    DN_TRY(dn_job_meet(comm, &job));
    for (int i = 0; i < comm->size; i++) {
        int member = (comm->rank + i) % comm->size;
        const char *theirs = dn_comm_peer(comm, from, member);
        fetch(comm, &job, (char *)to + (size_t)member * row, theirs + (size_t)comm->rank * row, member, row);
    }
    return dn_job_meet(comm, &job);
}
