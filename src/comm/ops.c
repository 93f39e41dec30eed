/* The calls of dionode/comm.h: they count and delegate to the communicator's table. A communicator of one
 * rank exchanges and counts nothing. */
#include "comm/ops.h"

#include "base/clock.h"
#include "base/fail.h"
#include "comm/internal.h"

#include <assert.h>

const dn_comm_ops dn_comm_ops_shm = {
    .name = "shm",
    .barrier = dn_shm_barrier,
    .all_reduce = dn_shm_all_reduce,
    .all_reduce_shared = dn_shm_all_reduce_shared,
    .reduce = dn_shm_reduce,
    .reduce_scatter = dn_shm_reduce_scatter,
    .reduce_to_owners = dn_shm_reduce_to_owners,
    .gather_from_owners = dn_shm_gather_from_owners,
    .all_gather = dn_shm_all_gather,
    .all_to_all = dn_shm_all_to_all,
    .broadcast = dn_shm_broadcast,
    .begin_all_reduce = dn_shm_begin_all_reduce,
    .begin_reduce_scatter = dn_shm_begin_reduce_scatter,
    .begin_reduce_to_owners = dn_shm_begin_reduce_to_owners,
    .advance = dn_shm_advance,
    .finish = dn_shm_finish,
    .send = dn_shm_send,
    .post = dn_shm_post,
    .posted = dn_shm_posted,
    .receive = dn_shm_receive,
    .view = dn_shm_view,
    .fetch = dn_shm_fetch,
    .put = dn_shm_put,
    .count = dn_comm_count_call,
};

const dn_comm_ops *dn_comm_ops_of(const dn_comm *comm)
{
    return comm->ops;
}

void dn_comm_use_ops(dn_comm *comm, const dn_comm_ops *ops)
{
    comm->ops = ops;
}

dn_status dn_comm_barrier(dn_comm *comm)
{
    return comm->size == 1 ? DN_OK : comm->ops->barrier(comm);
}

dn_status dn_comm_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                             dn_traffic kind)
{
    if (comm->size == 1)
        return DN_OK;
    comm->ops->count(comm, DN_ALL_REDUCE, kind, 0, count * dn_type_bytes(type), -1);
    return dn_link_end(comm, comm->ops->all_reduce(comm, buffer, count, type, op, kind));
}

dn_status dn_comm_all_reduce_shared(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                    dn_traffic kind, const void **result)
{
    *result = buffer;
    if (comm->size == 1)
        return DN_OK;
    comm->ops->count(comm, DN_ALL_REDUCE, kind, 0, count * dn_type_bytes(type), -1);
    return dn_link_end(comm, comm->ops->all_reduce_shared(comm, buffer, count, type, op, kind, result));
}

dn_status dn_comm_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, int root,
                         dn_traffic kind)
{
    assert(root >= 0 && root < comm->size);
    if (comm->size == 1)
        return DN_OK;
    comm->ops->count(comm, DN_REDUCE, kind, 0, count * dn_type_bytes(type), root);
    return dn_link_end(comm, comm->ops->reduce(comm, buffer, count, type, op, root, kind));
}

dn_status dn_comm_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                 dn_traffic kind)
{
    if (comm->size == 1)
        return DN_OK;
    comm->ops->count(comm, DN_REDUCE_SCATTER, kind, 0, count * dn_type_bytes(type), -1);
    return dn_link_end(comm, comm->ops->reduce_scatter(comm, buffer, count, type, op, kind));
}

/* A batch is one exchange of all its items. */
static void count_items(dn_comm *comm, dn_collective as, const dn_owned *items, size_t n_items, dn_type type,
                        dn_traffic kind)
{
    size_t own = 0, whole = 0;
    for (size_t i = 0; i < n_items; i++) {
        own += items[i].owner == comm->rank ? items[i].count : 0;
        whole += items[i].count;
    }
    comm->ops->count(comm, as, kind, own * dn_type_bytes(type), whole * dn_type_bytes(type), -1);
}

dn_status dn_comm_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                   dn_op op, dn_traffic kind)
{
    if (comm->size == 1)
        return DN_OK;
    count_items(comm, DN_REDUCE_SCATTER, items, n_items, type, kind);
    return dn_link_end(comm, comm->ops->reduce_to_owners(comm, items, n_items, type, op, kind));
}

dn_status dn_comm_gather_from_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                     dn_traffic kind)
{
    if (comm->size == 1)
        return DN_OK;
    count_items(comm, DN_ALL_GATHER, items, n_items, type, kind);
    return dn_link_end(comm, comm->ops->gather_from_owners(comm, items, n_items, type, kind));
}

dn_status dn_comm_all_gather(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_traffic kind)
{
    size_t first, end, size = dn_type_bytes(type);
    if (comm->size == 1)
        return DN_OK;
    dn_comm_chunk_bounds(comm, count, type, comm->rank, &first, &end);
    comm->ops->count(comm, DN_ALL_GATHER, kind, (end - first) * size, count * size, -1);
    return dn_link_end(comm, comm->ops->all_gather(comm, buffer, count, type, kind));
}

dn_status dn_comm_all_to_all(dn_comm *comm, const void *from, void *to, size_t count, dn_type type,
                             dn_traffic kind)
{
    size_t row = count * dn_type_bytes(type);
    if (comm->size == 1)
        return dn_comm_copy(comm, to, from, row);
    comm->ops->count(comm, DN_ALL_TO_ALL, kind, 0, row * (size_t)comm->size, -1);
    return dn_link_end(comm, comm->ops->all_to_all(comm, from, to, count, type, kind));
}

dn_status dn_comm_broadcast(dn_comm *comm, void *buffer, size_t bytes, int root, dn_traffic kind)
{
    assert(root >= 0 && root < comm->size);
    if (comm->size == 1)
        return DN_OK;
    comm->ops->count(comm, DN_BROADCAST, kind, 0, bytes, root);
    return dn_link_end(comm, comm->ops->broadcast(comm, buffer, bytes, root, kind));
}

dn_status dn_comm_begin_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                   dn_traffic kind, uint64_t *exchange)
{
    *exchange = 0;
    if (comm->size == 1)
        return DN_OK;
    comm->ops->count(comm, DN_ALL_REDUCE, kind, 0, count * dn_type_bytes(type), -1);
    DN_TRY(comm->ops->begin_all_reduce(comm, buffer, count, type, op, kind, exchange));
    comm->link.done_at[*exchange % DN_IN_FLIGHT_MAX] = comm->link.done;
    return DN_OK;
}

dn_status dn_comm_begin_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                       dn_traffic kind, uint64_t *exchange)
{
    *exchange = 0;
    if (comm->size == 1)
        return DN_OK;
    comm->ops->count(comm, DN_REDUCE_SCATTER, kind, 0, count * dn_type_bytes(type), -1);
    DN_TRY(comm->ops->begin_reduce_scatter(comm, buffer, count, type, op, kind, exchange));
    comm->link.done_at[*exchange % DN_IN_FLIGHT_MAX] = comm->link.done;
    return DN_OK;
}

dn_status dn_comm_begin_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type, dn_op op,
                                         dn_traffic kind, unsigned flags, uint64_t *exchange)
{
    *exchange = 0;
    if (comm->size == 1)
        return DN_OK;
    comm->counts_part = flags & DN_BEGIN_PART;
    count_items(comm, DN_REDUCE_SCATTER, items, n_items, type, kind);
    comm->counts_part = false;
    DN_TRY(comm->ops->begin_reduce_to_owners(comm, items, n_items, type, op, kind, flags, exchange));
    comm->link.done_at[*exchange % DN_IN_FLIGHT_MAX] = comm->link.done;
    return DN_OK;
}

dn_status dn_comm_advance(dn_comm *comm)
{
    return comm->size == 1 ? DN_OK : comm->ops->advance(comm);
}

dn_status dn_comm_finish(dn_comm *comm, uint64_t exchange)
{
    if (comm->size == 1)
        return DN_OK;
    comm->link.done = exchange ? comm->link.done_at[exchange % DN_IN_FLIGHT_MAX] : 0;
    comm->link.called = dn_clock_s();
    if (comm->link.begun > 0) /* what follows counts as begun when this is done */
        comm->link.begun = comm->link.done;
    return dn_link_end(comm, comm->ops->finish(comm, exchange));
}

dn_status dn_comm_send(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind)
{
    assert(to >= 0 && to < comm->size && to != comm->rank);
    dn_comm_count_send(comm, kind, count * dn_type_bytes(type), false);
    dn_link_wait(comm); /* before it: the receiver waits, too */
    return comm->ops->send(comm, buffer, count, type, to, kind);
}

dn_status dn_comm_post(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind)
{
    assert(to >= 0 && to < comm->size && to != comm->rank);
    dn_comm_count_send(comm, kind, count * dn_type_bytes(type), false);
    dn_link_wait(comm);
    return comm->ops->post(comm, buffer, count, type, to, kind);
}

dn_status dn_comm_posted(dn_comm *comm, int to)
{
    assert(to >= 0 && to < comm->size && to != comm->rank);
    return comm->ops->posted(comm, to);
}

dn_status dn_comm_receive(dn_comm *comm, void *buffer, size_t count, dn_type type, int from, dn_traffic kind)
{
    assert(from >= 0 && from < comm->size && from != comm->rank);
    return comm->ops->receive(comm, buffer, count, type, from, kind);
}
