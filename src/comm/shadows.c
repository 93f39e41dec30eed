/*
 * Collectives on device memory that peers cannot map: `staged`. Every allocation of the symmetric heap has memory of the host at
 * the same offset (device/device.h), which all ranks share and devices read: its shadow. An owner copies what others read to
 * its shadow, the exchange is that of shared memory on the shadows, and what it has changed there is copied back. So
 * sums are formed in the order in which they are formed in place, and have the same bits. What a view needs is copied by its
 * owner's proxy, when it is asked for.
 *
 * A shadow is written in a call's beginning, before its barrier, when others may still read it in the call before. As long as it
 * holds what the device does that changes no byte. Where it does not, the call before ends with a barrier.
 */
#include "comm/internal.h"
#include "comm/peer.h"

#include "base/fail.h"

#include <stdlib.h>

/* Of memory of the host, and what is private, itself. */
static char *shadow_of(const dn_comm *comm, const void *p, size_t bytes)
{
    const uint64_t offset = dn_comm_place(comm, p, bytes);
    return offset == DN_PLACE_PRIVATE ? (char *)(uintptr_t)p : comm->arena + offset;
}

static dn_status copy(const dn_comm *comm, void *to, const void *from, size_t bytes)
{
    return to == from || bytes == 0 ? DN_OK : dn_comm_copy(comm, to, from, bytes);
}

static dn_status into_shadow(const dn_comm *comm, const void *buffer, size_t bytes, char **shadow)
{
    *shadow = shadow_of(comm, buffer, bytes);
    return copy(comm, *shadow, buffer, bytes);
}

/* ---- reductions ---- */

static dn_status all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, dn_traffic kind)
{
    const size_t bytes = count * dn_type_bytes(type);
    char *shadow;
    DN_TRY(into_shadow(comm, buffer, bytes, &shadow));
    DN_TRY(dn_shm_all_reduce(comm, shadow, count, type, op, kind));
    return copy(comm, buffer, shadow, bytes);
}

/* The leader, in whose shadow the result is, may be the first to go on. */
static dn_status all_reduce_shared(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, dn_traffic kind,
                                   const void **result)
{
    const size_t bytes = count * dn_type_bytes(type);
    char *shadow;
    DN_TRY(into_shadow(comm, buffer, bytes, &shadow));
    DN_TRY(dn_shm_all_reduce_shared(comm, shadow, count, type, op, kind, result));
    if (shadow == buffer)
        return DN_OK;
    DN_TRY(copy(comm, buffer, *result, bytes));
    *result = buffer;
    return dn_shm_barrier(comm);
}

static dn_status reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, int root, dn_traffic kind)
{
    const size_t bytes = count * dn_type_bytes(type);
    char *shadow;
    DN_TRY(into_shadow(comm, buffer, bytes, &shadow));
    DN_TRY(dn_shm_reduce(comm, shadow, count, type, op, root, kind));
    return comm->rank == root ? copy(comm, buffer, shadow, bytes) : DN_OK;
}

/* Sums of a domain stay in shadows, where other domains read them. */
static dn_status reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, dn_traffic kind)
{
    size_t first, end, size = dn_type_bytes(type);
    char *shadow;
    dn_comm_chunk_bounds(comm, count, type, comm->rank, &first, &end);
    DN_TRY(into_shadow(comm, buffer, count * size, &shadow));
    DN_TRY(dn_shm_reduce_scatter(comm, shadow, count, type, op, kind));
    DN_TRY(copy(comm, (char *)buffer + first * size, shadow + first * size, (end - first) * size));
    return shadow == buffer ? DN_OK : dn_shm_barrier(comm);
}

/* ---- items ---- */

/* The items' shadows, in memory that stays. */
static dn_status shadows_of(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type)
{
    if (n_items > comm->n_shadows) {
        dn_owned *more = realloc(comm->shadows, n_items * sizeof *more);
        if (!more)
            return dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu buffers", n_items);
        comm->shadows = more;
        comm->n_shadows = n_items;
    }
    for (size_t i = 0; i < n_items; i++) {
        comm->shadows[i] = items[i];
        comm->shadows[i].buffer = shadow_of(comm, items[i].buffer, items[i].count * dn_type_bytes(type));
    }
    return DN_OK;
}

/* Queued: the items that are this rank's, or those that are not. */
static void copy_items(const dn_comm *comm, const dn_owned *to, const dn_owned *from, size_t n_items, dn_type type, bool own)
{
    for (size_t i = 0; i < n_items; i++)
        if (to[i].buffer != from[i].buffer && (to[i].owner == comm->rank) == own)
            dn_copy_bytes(comm->stream, to[i].buffer, from[i].buffer, to[i].count * dn_type_bytes(type));
}

static dn_status reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type, dn_op op,
                                  dn_traffic kind)
{
    DN_TRY(shadows_of(comm, items, n_items, type));
    copy_items(comm, comm->shadows, items, n_items, type, true);
    copy_items(comm, comm->shadows, items, n_items, type, false);
    DN_TRY(dn_stream_sync(comm->stream));
    DN_TRY(dn_shm_reduce_to_owners(comm, comm->shadows, n_items, type, op, kind));
    copy_items(comm, items, comm->shadows, n_items, type, true);
    return dn_stream_sync(comm->stream);
}

static dn_status gather_from_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type, dn_traffic kind)
{
    DN_TRY(shadows_of(comm, items, n_items, type));
    copy_items(comm, comm->shadows, items, n_items, type, true);
    DN_TRY(dn_stream_sync(comm->stream));
    DN_TRY(dn_shm_gather_from_owners(comm, comm->shadows, n_items, type, kind));
    copy_items(comm, items, comm->shadows, n_items, type, false);
    return dn_stream_sync(comm->stream);
}

/* ---- copies ---- */

static dn_status all_gather(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_traffic kind)
{
    size_t first, end, size = dn_type_bytes(type);
    char *shadow = shadow_of(comm, buffer, count * size);
    dn_comm_chunk_bounds(comm, count, type, comm->rank, &first, &end);
    DN_TRY(copy(comm, shadow + first * size, (char *)buffer + first * size, (end - first) * size));
    DN_TRY(dn_shm_all_gather(comm, shadow, count, type, kind));
    return copy(comm, buffer, shadow, count * size);
}

static dn_status all_to_all(dn_comm *comm, const void *from, void *to, size_t count, dn_type type, dn_traffic kind)
{
    const size_t bytes = count * dn_type_bytes(type) * (size_t)comm->size;
    char *sent, *received = shadow_of(comm, to, bytes);
    DN_TRY(into_shadow(comm, from, bytes, &sent));
    DN_TRY(dn_shm_all_to_all(comm, sent, received, count, type, kind));
    return copy(comm, to, received, bytes);
}

static dn_status broadcast(dn_comm *comm, void *buffer, size_t bytes, int root, dn_traffic kind)
{
    char *shadow = shadow_of(comm, buffer, bytes);
    if (comm->rank == root)
        DN_TRY(copy(comm, shadow, buffer, bytes));
    DN_TRY(dn_shm_broadcast(comm, shadow, bytes, root, kind));
    return comm->rank == root ? DN_OK : copy(comm, buffer, shadow, bytes);
}

/* ---- begun ---- */

typedef dn_status begin_in_place(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, dn_traffic kind,
                                 uint64_t *exchange);

static dn_status begin(begin_in_place *in_place, dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                       dn_traffic kind, uint64_t *exchange)
{
    char *shadow;
    DN_TRY(into_shadow(comm, buffer, count * dn_type_bytes(type), &shadow));
    DN_TRY(in_place(comm, shadow, count, type, op, kind, exchange));
    comm->begun[*exchange % DN_IN_FLIGHT_MAX] = buffer;
    return DN_OK;
}

static dn_status begin_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, dn_traffic kind,
                                  uint64_t *exchange)
{
    return begin(dn_shm_begin_all_reduce, comm, buffer, count, type, op, kind, exchange);
}

static dn_status begin_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, dn_traffic kind,
                                      uint64_t *exchange)
{
    return begin(dn_shm_begin_reduce_scatter, comm, buffer, count, type, op, kind, exchange);
}

static dn_status begin_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type, dn_op op,
                                        dn_traffic kind, unsigned flags, uint64_t *exchange)
{
    (void)comm, (void)items, (void)n_items, (void)type, (void)op, (void)kind, (void)flags, (void)exchange;
    return dn_fail(DN_ERR_ARG, "a batch in memory of a device that its peers do not reach cannot be begun: use "
                               "dn_comm_reduce_to_owners");
}

static dn_status finish(dn_comm *comm, uint64_t exchange)
{
    const size_t i = exchange % DN_IN_FLIGHT_MAX;
    DN_TRY(dn_shm_finish(comm, exchange));
    return exchange == 0 ? DN_OK : copy(comm, comm->begun[i], comm->in_flight[i].buffer, comm->in_flight[i].bytes);
}

/* ---- messages: received from the sender's shadow ---- */

static dn_status send(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind)
{
    char *shadow;
    DN_TRY(into_shadow(comm, buffer, count * dn_type_bytes(type), &shadow));
    return dn_shm_send(comm, shadow, count, type, to, kind);
}

static dn_status post(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind)
{
    char *shadow;
    DN_TRY(into_shadow(comm, buffer, count * dn_type_bytes(type), &shadow));
    return dn_shm_post(comm, shadow, count, type, to, kind);
}

/* ---- views ---- */

/* Errors are those of the world, which has failed: the reader's next call that waits says so. */
static const void *brought(const dn_comm *comm, const void *p, size_t bytes, int rank)
{
    char *shadow = shadow_of(comm, p, bytes);
    if (shadow != p)
        (void)!dn_proxy_ask(comm->proxy, comm->barrier.ranks[rank], (uint64_t)(shadow - comm->arena), bytes);
    return dn_comm_peer(comm, shadow, rank);
}

static const void *view(dn_comm *comm, const void *p, size_t span, int rank)
{
    return brought(comm, p, span, rank);
}

static void fetch(const dn_comm *comm, dn_stream *stream, void *to, const void *p, size_t bytes, int rank)
{
    dn_copy_bytes(stream, to, brought(comm, p, bytes, rank), bytes);
}

const dn_comm_ops dn_comm_ops_staged = {
    .name = "staged",
    .barrier = dn_shm_barrier,
    .all_reduce = all_reduce,
    .all_reduce_shared = all_reduce_shared,
    .reduce = reduce,
    .reduce_scatter = reduce_scatter,
    .reduce_to_owners = reduce_to_owners,
    .gather_from_owners = gather_from_owners,
    .all_gather = all_gather,
    .all_to_all = all_to_all,
    .broadcast = broadcast,
    .begin_all_reduce = begin_all_reduce,
    .begin_reduce_scatter = begin_reduce_scatter,
    .begin_reduce_to_owners = begin_reduce_to_owners,
    .advance = dn_shm_advance,
    .finish = finish,
    .send = send,
    .post = post,
    .posted = dn_shm_posted,
    .receive = dn_shm_receive,
    .view = view,
    .fetch = fetch,
    .put = dn_shm_put, /* to the host's memory, where the own is written, too */
    .count = dn_comm_count_call,
};
