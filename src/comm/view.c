/* Views and their statistics; on shared memory a view is an address in another member's arena. */
#include "comm/internal.h"
#include "comm/peer.h"
#include "shm/barrier.h"

#include <assert.h>
#include <string.h>

/* ---- shared memory ---- */

void *dn_comm_peer(const dn_comm *comm, const void *p, int rank)
{
    assert(rank >= 0 && rank < comm->size);
    ptrdiff_t distance = (ptrdiff_t)(comm->barrier.ranks[rank] - comm->barrier.ranks[comm->rank]);
    return (char *)(uintptr_t)p + distance * (ptrdiff_t)comm->arena_bytes;
}

const void *dn_shm_view(dn_comm *comm, const void *p, size_t span, int rank)
{
    return dn_comm_peer(comm, p, rank);
}

void dn_shm_fetch(const dn_comm *comm, dn_stream *stream, void *to, const void *p, size_t bytes, int rank)
{
    dn_copy_bytes(stream, to, dn_comm_peer(comm, p, rank), bytes);
}

void dn_shm_put(dn_comm *comm, void *p, const void *data, size_t bytes, int rank)
{
    (void)!dn_comm_copy(comm, dn_comm_peer(comm, p, rank), data, bytes); /* a failure stays with the stream */
}

/* ---- the calls ---- */

static void check_symmetric(const dn_comm *comm, const void *p, size_t bytes)
{
    assert(bytes == 0 || dn_comm_place(comm, p, bytes) != DN_PLACE_PRIVATE);
}

/* What is read of another node's memory comes here first. */
static void count_network(dn_comm *comm, dn_traffic kind, int rank, size_t bytes)
{
    if (dn_comm_node(comm, rank) != dn_comm_node(comm, comm->rank))
        comm->stats.network[kind] += bytes;
}

const void *dn_comm_view(dn_comm *comm, dn_comm_chunk chunk, int rank, dn_traffic kind)
{
    assert(chunk.bytes <= chunk.span);
    if (rank == comm->rank)
        return chunk.p;
    check_symmetric(comm, chunk.p, chunk.span);
    dn_comm_count_moved(comm, kind, rank, chunk.bytes);
    count_network(comm, kind, rank, chunk.span);
    return comm->ops->view(comm, chunk.p, chunk.span, rank);
}

const void *dn_comm_view_ahead(dn_comm *comm, dn_comm_chunk chunk, int rank, dn_traffic kind)
{
    if (rank == comm->rank)
        return chunk.p;
    dn_comm_count_moved(comm, kind, rank, chunk.bytes);
    return comm->span ? dn_comm_peer(comm, chunk.p, rank) : comm->ops->view(comm, chunk.p, chunk.span, rank);
}

void dn_comm_view_to_owner(dn_comm *comm, dn_comm_chunk chunk, int owner, dn_traffic kind, const void **views)
{
    dn_comm_count_viewed(comm, DN_REDUCE_SCATTER, 0, chunk.bytes, kind);
    for (int rank = 0; owner == comm->rank && rank < comm->size; rank++)
        views[rank] = dn_comm_view(comm, chunk, rank, kind);
}

const void *dn_comm_view_from_owner(dn_comm *comm, dn_comm_chunk chunk, int owner, dn_traffic kind)
{
    dn_comm_count_viewed(comm, DN_ALL_GATHER, owner == comm->rank ? chunk.bytes : 0, chunk.bytes, kind);
    return dn_comm_view(comm, chunk, owner, kind);
}

const void *dn_comm_view_sent(dn_comm *comm, dn_comm_chunk chunk, int from, int to, dn_traffic kind)
{
    if (from == comm->rank && from != to) {
        dn_comm_count_send(comm, kind, chunk.bytes, true);
        dn_link_wait(comm);
    }
    return to == comm->rank ? dn_comm_view(comm, chunk, from, kind) : NULL;
}

void dn_comm_fetch_on(const dn_comm *comm, dn_stream *stream, void *to, dn_comm_chunk chunk, int rank)
{
    if (rank == comm->rank) {
        dn_copy_bytes(stream, to, chunk.p, chunk.span);
        return;
    }
    check_symmetric(comm, chunk.p, chunk.span);
    comm->ops->fetch(comm, stream, to, chunk.p, chunk.span, rank);
}

void dn_comm_fetch(const dn_comm *comm, void *to, dn_comm_chunk chunk, int rank)
{
    dn_comm_fetch_on(comm, comm->stream, to, chunk, rank);
    (void)!dn_stream_sync(comm->stream); /* a failure stays with the stream */
}

void dn_comm_count_fetched(dn_comm *comm, size_t bytes, int rank, dn_traffic kind)
{
    if (rank == comm->rank)
        return;
    dn_comm_count_moved(comm, kind, rank, bytes);
    count_network(comm, kind, rank, bytes);
}

void dn_comm_put(dn_comm *comm, void *p, const void *data, size_t bytes, int rank, dn_traffic kind)
{
    check_symmetric(comm, p, bytes);
    if (rank == comm->rank) {
        memcpy(p, data, bytes);
        return;
    }
    dn_comm_count_moved(comm, kind, rank, bytes);
    comm->ops->put(comm, p, data, bytes, rank);
}
