/*
 * Collectives over several nodes. Inside a node members share memory as ever; between nodes bytes are moved (wire.h), and all
 * sums are formed here: inside each node by members in their order, then over nodes in theirs. So all members get the same
 * bits, and so does every run of the same layout; another number of nodes differs by rounding.
 *
 *     node 0   ranks 0, 1      1. barrier of all
 *     node 1   ranks 2, 3      2. each member sums its chunk over its node's copies
 *                              3. chunks are exchanged between members of the same index ("rails": as many as members
 *                                 on the smallest node) and summed over nodes
 *                              4. each member writes its chunk to its node's copies; barrier of the node
 *
 * What is not reduced, and what is reduced to one owner, goes over the rail of the owner: to or from the member of its index
 * on each other node, whose node-mates read it there. What another node sent lies where that rank's memory would be, in this
 * node's copy of the segment (shm/world.h).
 */
#include "comm/nodes.h"

#include "base/fail.h"
#include "base/size.h"
#include "comm/internal.h"
#include "comm/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_BYTES ((size_t)64 << 10) /* chunks of up to this are exchanged whole: one message's latency instead of two */
#define COPIED_SEND ((size_t)128 << 10) /* messages of up to this do not wait for their receiver */

/* ---- who is where ---- */

static int own_node(const dn_comm *comm)
{
    return comm->span->nodes.of[comm->rank];
}

static int n_members_of(const dn_comm *comm, int node)
{
    return comm->span->nodes.first[node + 1] - comm->span->nodes.first[node];
}

static int member_of(const dn_comm *comm, int node, int index)
{
    return comm->span->nodes.members[comm->span->nodes.first[node] + index];
}

/* The member of a node that serves `member`: of the same index, or where a node has fewer, one of those. */
static int on_rail(const dn_comm *comm, int node, int member)
{
    return member_of(comm, node, comm->span->index[member] % n_members_of(comm, node));
}

static bool is_here(const dn_comm *comm, int member)
{
    return comm->span->nodes.of[member] == own_node(comm);
}

static int world_rank(const dn_comm *comm, int member)
{
    return comm->barrier.ranks[member];
}

/* This node's memory for what `member` has at p: the member's own, or a copy of it. */
static char *at(const dn_comm *comm, const void *p, int member)
{
    uintptr_t offset = (uintptr_t)p - (uintptr_t)comm->scratch[comm->rank];
    return offset < DN_STAGE_BYTES * DN_N_STAGES ? comm->scratch[member] + offset : dn_comm_peer(comm, p, member);
}

static void tell_rails(void *context, const dn_line *line)
{
    const dn_comm *comm = context;
    for (int node = 0; node < comm->span->nodes.n; node++)
        if (node != own_node(comm))
            dn_wire_tell(comm->wire, world_rank(comm, on_rail(comm, node, comm->rank)), line);
}

dn_status dn_span_open(dn_comm *comm, dn_wire *wire, int number)
{
    int16_t ranks[DN_MAX_RANKS], node_of[DN_MAX_RANKS];
    dn_line *lines[DN_MAX_RANKS];
    bool several = false;
    comm->wire = wire;
    for (int member = 0; member < comm->size; member++) {
        node_of[member] = (int16_t)dn_world_node(comm->world, world_rank(comm, member));
        several |= node_of[member] != node_of[0];
    }
    if (!several)
        return DN_OK;
    comm->span = calloc(1, sizeof *comm->span);
    if (!comm->span)
        return dn_fail(DN_ERR_MEMORY, "no memory for a communicator");
    comm->span->number = number;
    dn_domains_number(&comm->span->nodes, node_of, comm->size);
    for (int node = 0; node < comm->span->nodes.n; node++)
        for (int i = 0; i < n_members_of(comm, node); i++)
            comm->span->index[member_of(comm, node, i)] = (int16_t)i;
    comm->span->n_rails = comm->size;
    for (int node = 0; node < comm->span->nodes.n; node++)
        comm->span->n_rails = dn_min(comm->span->n_rails, n_members_of(comm, node));
    int n = n_members_of(comm, own_node(comm));
    for (int i = 0; i < n; i++) {
        int member = member_of(comm, own_node(comm), i);
        ranks[i] = comm->barrier.ranks[member];
        lines[i] = (dn_line *)(void *)(comm->scratch[member] + DN_NODE_LINES_AT);
    }
    dn_barrier_init(&comm->span->local, comm->world, n, ranks, lines, comm->span->index[comm->rank]);
    dn_moves_init(&comm->span->ahead, wire, DN_WAY_AHEAD, number);
    comm->barrier.tell = tell_rails;
    comm->barrier.context = comm;
    comm->ops = &dn_comm_ops_nodes;
    return DN_OK;
}

void dn_span_clear_lines(const dn_comm *parent, char *memory)
{
    for (int member = 0; parent->span && member < parent->size; member++)
        if (!is_here(parent, member))
            memset(at(parent, memory, member) + DN_LINES_AT, 0, DN_N_LINES * sizeof(dn_line));
}

/* ---- parts of collectives ---- */

/* Nobody of this node reads what others wrote for it any more. */
static dn_status node_barrier(dn_comm *comm, const dn_job *job)
{
    return comm->span->local.n_members == 1 ? DN_OK : dn_barrier_wait(&comm->span->local, &job->call, NULL, 0);
}

static dn_status copy(const dn_comm *comm, void *to, const void *from, size_t bytes)
{
    return bytes > 0 ? dn_comm_copy(comm, to, from, bytes) : DN_OK;
}

static dn_status send(dn_comm *comm, dn_moves *moves, int member, const void *p, size_t bytes)
{
    return dn_moves_send(moves, world_rank(comm, member), p, bytes);
}

static dn_status receive(dn_comm *comm, dn_moves *moves, dn_traffic kind, int member, void *p, size_t bytes)
{
    comm->stats.network[kind] += bytes;
    dn_comm_count_moved(comm, kind, member, bytes);
    return dn_moves_receive(moves, world_rank(comm, member), p, bytes, true);
}

/* n elements at p, summed over this node's members, to `to`. */
static dn_status sum_in_node(dn_comm *comm, const dn_job *job, char *p, size_t n, char *to)
{
    dn_job_fold fold;
    int here = n_members_of(comm, own_node(comm));
    dn_fold_init(&fold, comm, job, n);
    if (job->op == DN_AVG)
        fold.work.op = DN_SUM; /* divided once, over nodes */
    for (int i = 0; i < here; i++)
        dn_fold_from(&fold, member_of(comm, own_node(comm), i), at(comm, p, member_of(comm, own_node(comm), i)));
    dn_fold_to(&fold, comm->rank, to);
    return here == 1 && to == p ? DN_OK : dn_fold_run(&fold);
}

/* The sums of all nodes, which lie where `p` is of the member on this rank's rail, to the own p. */
static dn_status sum_over_nodes(dn_comm *comm, const dn_job *job, char *p, size_t n)
{
    dn_job_fold fold;
    dn_fold_init(&fold, comm, job, n);
    for (int node = 0; node < comm->span->nodes.n; node++) {
        int member = node == own_node(comm) ? comm->rank : on_rail(comm, node, comm->rank);
        dn_fold_from(&fold, member, at(comm, p, member));
    }
    dn_fold_to(&fold, comm->rank, p);
    return dn_fold_run(&fold);
}

/* ---- sums over nodes: begun, gone on with until all has come, and ended ---- */

/* This rank's chunk of an all-reduce, in bytes of the buffer: [*first, *end) elements, none beyond the rails. */
static void own_chunk(const dn_comm *comm, const dn_job *job, size_t *first, size_t *end)
{
    const int index = comm->span->index[comm->rank];
    *first = *end = 0;
    if (index < comm->span->n_rails)
        dn_chunk_bounds(job->count, job->type, comm->span->n_rails, index, first, end);
}

/* Chunks of up to WHOLE_BYTES are exchanged whole; of others each node sums a piece, which it then tells. */
static bool is_whole(const dn_job *job, size_t n)
{
    return n * dn_type_bytes(job->type) <= WHOLE_BYTES;
}

static void piece_of(const dn_comm *comm, const dn_job *job, size_t n, int node, size_t *first, size_t *end)
{
    dn_chunk_bounds(n, job->type, is_whole(job, n) ? 1 : comm->span->nodes.n, is_whole(job, n) ? 0 : node, first, end);
}

static dn_status sum_chunk_in_node(dn_comm *comm, const dn_job *job)
{
    size_t first, end;
    own_chunk(comm, job, &first, &end);
    char *chunk = job->buffer + first * dn_type_bytes(job->type);
    return end > first ? sum_in_node(comm, job, chunk, end - first, chunk) : DN_OK;
}

/* Between the own chunk and the twins' on other nodes, from *node on, as long as moves have room: this node's sums of a piece to whom
 * sums it, and theirs of the own piece to where the twins' copies would be; back, pieces that are summed. */
static dn_status move_pieces(dn_comm *comm, const dn_job *job, bool back, dn_moves *moves, int *node)
{
    size_t begin, end, first, last, size = dn_type_bytes(job->type);
    own_chunk(comm, job, &begin, &end);
    char *chunk = job->buffer + begin * size;
    const size_t n = end - begin;
    for (; *node < comm->span->nodes.n && n > 0 && !(back && is_whole(job, n)); ++*node) {
        if (*node == own_node(comm))
            continue;
        if (!dn_moves_have_room(moves, 2, n * size))
            return DN_OK;
        const int twin = on_rail(comm, *node, comm->rank);
        piece_of(comm, job, n, own_node(comm), &first, &last);
        char *own = chunk + first * size;
        const size_t own_bytes = (last - first) * size;
        piece_of(comm, job, n, *node, &first, &last);
        char *theirs = chunk + first * size;
        const size_t their_bytes = (last - first) * size;
        DN_TRY(receive(comm, moves, job->kind, twin, back ? theirs : at(comm, own, twin), back ? their_bytes : own_bytes));
        DN_TRY(send(comm, moves, twin, back ? own : theirs, back ? own_bytes : their_bytes));
    }
    *node = comm->span->nodes.n;
    return DN_OK;
}

/* All sums of the own piece are here. */
static dn_status sum_piece(dn_comm *comm, const dn_job *job)
{
    size_t begin, end, first, last;
    own_chunk(comm, job, &begin, &end);
    piece_of(comm, job, end - begin, own_node(comm), &first, &last);
    char *piece = job->buffer + (begin + first) * dn_type_bytes(job->type);
    return last > first ? sum_over_nodes(comm, job, piece, last - first) : DN_OK;
}

/* The own chunk is complete: its node has it, too. */
static dn_status spread_chunk(dn_comm *comm, const dn_job *job)
{
    size_t begin, end, size = dn_type_bytes(job->type);
    own_chunk(comm, job, &begin, &end);
    char *chunk = job->buffer + begin * size;
    for (int i = 0; i < n_members_of(comm, own_node(comm)) && end > begin; i++) {
        int member = member_of(comm, own_node(comm), i);
        if (member == comm->rank)
            continue;
        DN_TRY(copy(comm, at(comm, chunk, member), chunk, (end - begin) * size));
        dn_comm_count_moved(comm, job->kind, member, (end - begin) * size);
    }
    return DN_OK;
}

/* Of a buffer at the same place on all members. */
static dn_status all_reduce(dn_comm *comm, dn_job *job)
{
    dn_moves moves;
    DN_TRY(dn_job_barrier(comm, job));
    dn_moves_init(&moves, comm->wire, DN_WAY_CALLS, comm->span->number);
    DN_TRY(sum_chunk_in_node(comm, job));
    DN_TRY(move_pieces(comm, job, false, &moves, &(int){0}));
    DN_TRY(dn_moves_finish(&moves));
    DN_TRY(sum_piece(comm, job));
    DN_TRY(move_pieces(comm, job, true, &moves, &(int){0}));
    DN_TRY(dn_moves_finish(&moves));
    DN_TRY(spread_chunk(comm, job));
    return node_barrier(comm, job);
}

/* This node's sums of items from *next on go to their owners, as long as moves have room; the owner receives from node *node on.
 * No rank's copy changes: the sum of an owner's item over another node lies where the copies of the owner, and of who sent it, would
 * be. */
static dn_status move_items(dn_comm *comm, const dn_job *job, const dn_owned *items, size_t n_items, dn_moves *moves, size_t *next,
                            int *node)
{
    for (; *next < n_items; ++*next, *node = 0) {
        const dn_owned *item = &items[*next];
        const size_t bytes = item->count * dn_type_bytes(job->type);
        const bool own = item->owner == comm->rank;
        if (bytes == 0 || on_rail(comm, own_node(comm), item->owner) != comm->rank)
            continue;
        for (; *node < (own ? comm->span->nodes.n : 1); ++*node) {
            const int member = on_rail(comm, *node, comm->rank);
            if (own && *node == own_node(comm))
                continue;
            if (!dn_moves_have_room(moves, 1, bytes))
                return DN_OK;
            if (own) {
                DN_TRY(receive(comm, moves, job->kind, member, at(comm, item->buffer, member), bytes));
                continue;
            }
            char *sum = n_members_of(comm, own_node(comm)) == 1 ? item->buffer : at(comm, item->buffer, item->owner);
            DN_TRY(sum_in_node(comm, job, item->buffer, item->count, sum));
            DN_TRY(send(comm, moves, item->owner, sum, bytes));
        }
    }
    return DN_OK;
}

/* Of the own items, over this node; then over all, once those of the other nodes are here. */
static dn_status sum_own_in_node(dn_comm *comm, const dn_job *job, const dn_owned *items, size_t n_items)
{
    for (size_t i = 0; i < n_items; i++)
        if (items[i].owner == comm->rank && items[i].count > 0)
            DN_TRY(sum_in_node(comm, job, items[i].buffer, items[i].count, items[i].buffer));
    return DN_OK;
}

static dn_status sum_items(dn_comm *comm, const dn_job *job, const dn_owned *items, size_t n_items)
{
    for (size_t i = 0; i < n_items; i++)
        if (items[i].owner == comm->rank && items[i].count > 0)
            DN_TRY(sum_over_nodes(comm, job, items[i].buffer, items[i].count));
    return DN_OK;
}

static dn_status reduce_items(dn_comm *comm, dn_job *job, const dn_owned *items, size_t n_items)
{
    dn_moves moves;
    DN_TRY(dn_job_barrier(comm, job));
    dn_moves_init(&moves, comm->wire, DN_WAY_CALLS, comm->span->number);
    DN_TRY(move_items(comm, job, items, n_items, &moves, &(size_t){0}, &(int){0}));
    DN_TRY(sum_own_in_node(comm, job, items, n_items));
    DN_TRY(dn_moves_finish(&moves));
    return sum_items(comm, job, items, n_items);
}

/* ---- from owners ---- */

/* size: bytes of an element. */
static dn_status gather_items(dn_comm *comm, dn_job *job, const dn_owned *items, size_t n_items, size_t size)
{
    dn_moves moves;
    DN_TRY(dn_job_barrier(comm, job));
    dn_moves_init(&moves, comm->wire, DN_WAY_CALLS, comm->span->number);
    for (size_t i = 0; i < n_items; i++) {
        const dn_owned *item = &items[i];
        if (item->owner != comm->rank && !is_here(comm, item->owner) &&
            on_rail(comm, own_node(comm), item->owner) == comm->rank)
            DN_TRY(receive(comm, &moves, job->kind, item->owner, item->buffer, item->count * size));
        for (int node = 0; node < comm->span->nodes.n && item->owner == comm->rank; node++)
            if (node != own_node(comm))
                DN_TRY(send(comm, &moves, on_rail(comm, node, comm->rank), item->buffer, item->count * size));
    }
    DN_TRY(dn_moves_finish(&moves));
    DN_TRY(node_barrier(comm, job));
    for (size_t i = 0; i < n_items; i++) {
        const dn_owned *item = &items[i];
        int from = is_here(comm, item->owner) ? item->owner : on_rail(comm, own_node(comm), item->owner);
        if (from == comm->rank || item->count == 0)
            continue;
        DN_TRY(copy(comm, item->buffer, at(comm, item->buffer, from), item->count * size));
        dn_comm_count_moved(comm, job->kind, from, item->count * size);
        dn_comm_count_moved(comm, job->kind, comm->rank, item->count * size);
    }
    return node_barrier(comm, job);
}

/* The chunks of a buffer as items: items [size of comm]. */
static void chunks_of(const dn_comm *comm, const dn_job *job, dn_owned *items)
{
    size_t first, end;
    for (int member = 0; member < comm->size; member++) {
        dn_comm_chunk_bounds(comm, job->count, job->type, member, &first, &end);
        items[member] = (dn_owned){job->buffer + first * dn_type_bytes(job->type), end - first, member};
    }
}

/* ---- private buffers: through the members' stages, which are at the same place ---- */

/* The part of a job that begins at byte `done` and fits into a stage of `room` bytes. */
static dn_job part_in_stage(const dn_comm *comm, const dn_job *job, size_t done, size_t room)
{
    dn_job part = *job;
    part.buffer = comm->scratch[comm->rank];
    part.bytes = dn_min(job->bytes - done, room);
    part.count = part.bytes / dn_type_bytes(job->type);
    return part;
}

static dn_status all_reduce_private(dn_comm *comm, dn_job *job)
{
    for (size_t done = 0; done < job->bytes; done += DN_STAGE_BYTES) {
        dn_job part = part_in_stage(comm, job, done, DN_STAGE_BYTES);
        DN_TRY(copy(comm, part.buffer, job->buffer + done, part.bytes));
        DN_TRY(all_reduce(comm, &part));
        DN_TRY(copy(comm, job->buffer + done, part.buffer, part.bytes));
    }
    return job->bytes ? DN_OK : dn_job_barrier(comm, job);
}

static dn_status broadcast_private(dn_comm *comm, dn_job *job)
{
    for (size_t done = 0; done < job->bytes; done += DN_STAGE_BYTES) {
        dn_job part = part_in_stage(comm, job, done, DN_STAGE_BYTES);
        const dn_owned item = {part.buffer, part.bytes, job->root};
        if (comm->rank == job->root)
            DN_TRY(copy(comm, part.buffer, job->buffer + done, part.bytes));
        DN_TRY(gather_items(comm, &part, &item, 1, 1));
        DN_TRY(copy(comm, job->buffer + done, part.buffer, part.bytes));
    }
    return job->bytes ? DN_OK : dn_job_barrier(comm, job);
}

/* ---- the table ---- */

static dn_status nodes_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, dn_traffic kind)
{
    dn_job job = dn_job_of(comm, DN_FOR_ALL_REDUCE, buffer, count, type, op, kind, -1);
    if (job.bytes <= DN_LINE_BYTES) /* in the lines of the barrier, by all members alike */
        return dn_shm_all_reduce(comm, buffer, count, type, op, kind);
    return dn_job_private(&job) ? all_reduce_private(comm, &job) : all_reduce(comm, &job);
}

static dn_status nodes_all_reduce_shared(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                         dn_traffic kind, const void **result)
{
    dn_job job = dn_job_of(comm, DN_FOR_SHARED_ALL_REDUCE, buffer, count, type, op, kind, -1);
    *result = buffer;
    if (dn_job_private(&job))
        return dn_fail(
            DN_ERR_ARG,
            "dn_comm_all_reduce_shared needs a buffer on the symmetric heap: take it from dn_comm_alloc");
    return all_reduce(comm, &job);
}

static dn_status nodes_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, int root,
                              dn_traffic kind)
{
    dn_job job = dn_job_of(comm, DN_FOR_REDUCE, buffer, count, type, op, kind, root);
    const dn_owned item = {buffer, count, root};
    return dn_job_private(&job) ? all_reduce_private(comm, &job) : reduce_items(comm, &job, &item, 1);
}

static dn_status nodes_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                      dn_traffic kind)
{
    dn_owned items[DN_MAX_RANKS];
    dn_job job = dn_job_of(comm, DN_FOR_REDUCE_SCATTER, buffer, count, type, op, kind, -1);
    if (dn_job_private(&job))
        return all_reduce_private(comm, &job);
    chunks_of(comm, &job, items);
    return reduce_items(comm, &job, items, (size_t)comm->size);
}

static dn_status nodes_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type, dn_op op,
                                        dn_traffic kind)
{
    dn_job job;
    DN_TRY(dn_job_of_items(comm, DN_FOR_REDUCE_TO_OWNERS, items, n_items, type, op, kind, &job));
    return reduce_items(comm, &job, items, n_items);
}

static dn_status nodes_gather_from_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                          dn_traffic kind)
{
    dn_job job;
    DN_TRY(dn_job_of_items(comm, DN_FOR_GATHER_FROM_OWNERS, items, n_items, type, DN_SUM, kind, &job));
    return gather_items(comm, &job, items, n_items, dn_type_bytes(type));
}

static dn_status nodes_all_gather(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_traffic kind)
{
    dn_owned items[DN_MAX_RANKS];
    dn_job job = dn_job_of(comm, DN_FOR_ALL_GATHER, buffer, count, type, DN_SUM, kind, -1);
    chunks_of(comm, &job, items);
    if (!dn_job_private(&job))
        return gather_items(comm, &job, items, (size_t)comm->size, dn_type_bytes(type));
    for (int root = 0; root < comm->size; root++) {
        dn_job part = job;
        part.buffer = items[root].buffer;
        part.bytes = items[root].count * dn_type_bytes(type);
        part.root = root;
        DN_TRY(broadcast_private(comm, &part));
    }
    return DN_OK;
}

/* A row of bytes from every member to every other. */
static dn_status exchange_rows(dn_comm *comm, dn_job *job, const char *from, char *to, size_t row)
{
    dn_moves moves;
    DN_TRY(dn_job_barrier(comm, job));
    dn_moves_init(&moves, comm->wire, DN_WAY_CALLS, comm->span->number);
    for (int i = 0; i < comm->size; i++) {
        int source = (comm->rank + comm->size - i) % comm->size, target = (comm->rank + i) % comm->size;
        if (is_here(comm, source)) {
            DN_TRY(copy(comm, to + (size_t)source * row, at(comm, from, source) + (size_t)comm->rank * row, row));
            dn_comm_count_moved(comm, job->kind, source, row);
            dn_comm_count_moved(comm, job->kind, comm->rank, row);
        } else {
            DN_TRY(receive(comm, &moves, job->kind, source, to + (size_t)source * row, row));
        }
        if (!is_here(comm, target))
            DN_TRY(send(comm, &moves, target, from + (size_t)target * row, row));
    }
    DN_TRY(dn_moves_finish(&moves));
    return node_barrier(comm, job);
}

static dn_status nodes_all_to_all(dn_comm *comm, const void *from, void *to, size_t count, dn_type type, dn_traffic kind)
{
    const size_t row = count * dn_type_bytes(type), size = (size_t)comm->size;
    const size_t room = DN_STAGE_BYTES / size / 64 * 64;
    dn_job job = dn_job_of(comm, DN_FOR_ALL_TO_ALL, from, count * size, type, DN_SUM, kind, -1);
    if (dn_job_private(&job) != (dn_comm_place(comm, to, row * size) == DN_PLACE_PRIVATE))
        return dn_fail(
            DN_ERR_ARG,
            "all-to-all between a symmetric and a private buffer: take both from dn_comm_alloc, or neither");
    if (!dn_job_private(&job))
        return exchange_rows(comm, &job, from, to, row);
    char *sent = comm->scratch[comm->rank], *received = sent + DN_STAGE_BYTES;
    for (size_t done = 0; done == 0 || done < row; done += room) {
        size_t bytes = dn_min(room, row - done);
        for (size_t member = 0; member < size; member++)
            DN_TRY(copy(comm, sent + member * bytes, (const char *)from + member * row + done, bytes));
        DN_TRY(exchange_rows(comm, &job, sent, received, bytes));
        for (size_t member = 0; member < size; member++)
            DN_TRY(copy(comm, (char *)to + member * row + done, received + member * bytes, bytes));
    }
    return DN_OK;
}

static dn_status nodes_broadcast(dn_comm *comm, void *buffer, size_t bytes, int root, dn_traffic kind)
{
    dn_job job = {.buffer = buffer, .count = bytes, .kind = kind, .root = root, .bytes = bytes};
    job.call = (dn_call){.count = bytes, .place = dn_comm_place(comm, buffer, bytes), .purpose = DN_FOR_BROADCAST, .root = root};
    const dn_owned item = {buffer, bytes, root};
    return dn_job_private(&job) ? broadcast_private(comm, &job) : gather_items(comm, &job, &item, 1, 1);
}

/* ---- begun (exchange.c) ---- */

static dn_span_sum *begun(dn_comm *comm, uint64_t number)
{
    return &comm->span->begun[number % DN_MOVING_MAX];
}

static bool is_all_reduce(const dn_job *job)
{
    return job->call.purpose == DN_FOR_ALL_REDUCE;
}

/* What is reduced to owners: the items of a batch, or the chunks of a buffer, in room for them [size of comm]. */
static const dn_owned *items_of(const dn_comm *comm, const dn_job *job, dn_owned *chunks, size_t *n)
{
    *n = job->items ? job->n_items : (size_t)comm->size;
    if (!job->items)
        chunks_of(comm, job, chunks);
    return job->items ? job->items : chunks;
}

/* Members of a node have compared their calls; twins send each other theirs. There was no barrier of all. */
static dn_status move_calls(dn_comm *comm, const dn_job *job, dn_span_sum *sum)
{
    for (; sum->n_called < comm->span->nodes.n && comm->span->index[comm->rank] < comm->span->n_rails; sum->n_called++) {
        const int node = sum->n_called, twin = world_rank(comm, on_rail(comm, node, comm->rank));
        if (node == own_node(comm))
            continue;
        if (!dn_moves_have_room(&sum->moves, 2, sizeof(dn_call)))
            return DN_OK;
        DN_TRY(dn_moves_receive(&sum->moves, twin, &sum->calls[node], sizeof(dn_call), false));
        DN_TRY(dn_moves_send(&sum->moves, twin, &job->call, sizeof(dn_call)));
    }
    sum->n_called = comm->span->nodes.n;
    return DN_OK;
}

dn_status dn_span_begin_rest(dn_comm *comm, const dn_job *job, uint64_t number, bool *all)
{
    size_t n_items;
    dn_owned chunks[DN_MAX_RANKS];
    dn_span_sum *sum = begun(comm, number);
    DN_TRY(move_calls(comm, job, sum));
    *all = false;
    if (sum->n_called < comm->span->nodes.n)
        return DN_OK;
    if (is_all_reduce(job)) {
        DN_TRY(move_pieces(comm, job, sum->back, &sum->moves, &sum->node));
        *all = sum->node == comm->span->nodes.n;
        return DN_OK;
    }
    const dn_owned *items = items_of(comm, job, chunks, &n_items);
    DN_TRY(move_items(comm, job, items, n_items, &sum->moves, &sum->n_moved, &sum->node));
    *all = sum->n_moved == n_items;
    return DN_OK;
}

dn_status dn_span_start(dn_comm *comm, const dn_job *job, uint64_t number)
{
    bool all;
    dn_span_sum *sum = begun(comm, number);
    dn_moves_init(&sum->moves, comm->wire, DN_WAY_BEGUN, comm->span->number);
    sum->n_called = sum->node = 0;
    sum->n_moved = 0;
    sum->back = false;
    if (is_all_reduce(job))
        DN_TRY(sum_chunk_in_node(comm, job));
    return dn_span_begin_rest(comm, job, number, &all);
}

static dn_status compare_calls(dn_comm *comm, const dn_job *job, const dn_span_sum *sum)
{
    for (int node = 0; node < comm->span->nodes.n && comm->span->index[comm->rank] < comm->span->n_rails; node++) {
        const int twin = on_rail(comm, node, comm->rank);
        const dn_call *theirs = &sum->calls[node];
        if (node != own_node(comm) && memcmp(theirs, &job->call, sizeof *theirs) != 0)
            return twin < comm->rank ? dn_barrier_fail_mismatch(&comm->barrier, twin, theirs, comm->rank, &job->call)
                                     : dn_barrier_fail_mismatch(&comm->barrier, comm->rank, &job->call, twin, theirs);
    }
    return DN_OK;
}

dn_status dn_span_go_on(dn_comm *comm, const dn_job *job, uint64_t number, bool waits, bool *here)
{
    dn_span_sum *sum = begun(comm, number);
    uint64_t waited_for = 0, *early = &comm->stats.early[job->kind];
    for (bool all;;) {
        DN_TRY(dn_span_begin_rest(comm, job, number, &all));
        DN_TRY(dn_moves_poll(&sum->moves, here, early));
        if (*here && !all)
            continue;
        if (*here && sum->back)
            return DN_OK;
        if (*here) {
            DN_TRY(compare_calls(comm, job, sum));
            dn_moves_init(&sum->moves, comm->wire, DN_WAY_BACK, comm->span->number);
            sum->back = true;
            sum->node = 0;
            if (is_all_reduce(job))
                DN_TRY(sum_piece(comm, job));
        } else if (waits) {
            early = &waited_for;
            DN_TRY(dn_moves_finish_one(&sum->moves));
        } else {
            return DN_OK;
        }
    }
}

dn_status dn_span_end(dn_comm *comm, const dn_job *job)
{
    size_t n_items;
    dn_owned chunks[DN_MAX_RANKS];
    if (is_all_reduce(job))
        return spread_chunk(comm, job);
    const dn_owned *items = items_of(comm, job, chunks, &n_items);
    DN_TRY(sum_own_in_node(comm, job, items, n_items));
    return sum_items(comm, job, items, n_items);
}

/* ---- sent ahead ---- */

/* Over the rail of the member, so that its bytes cross once to each node; they lie where its memory would be. Node by node: who waits
 * for room has sent what those before it wait for. */
dn_status dn_comm_send_ahead(dn_comm *comm, dn_comm_chunk chunk, const uint64_t *length, dn_traffic kind, uint64_t *ticket)
{
    *ticket = 0;
    if (!comm->span)
        return DN_OK;
    dn_moves *moves = &comm->span->ahead;
    for (int node = 0; node < comm->span->nodes.n; node++) {
        if (node == own_node(comm))
            continue;
        for (int i = 0; i < n_members_of(comm, node); i++) {
            const int member = member_of(comm, node, i);
            if (on_rail(comm, own_node(comm), member) != comm->rank)
                continue;
            const size_t bytes = length ? *(const uint64_t *)(void *)at(comm, length, member) : chunk.span;
            DN_TRY(receive(comm, moves, kind, member, at(comm, chunk.p, member), bytes));
        }
        DN_TRY(send(comm, moves, on_rail(comm, node, comm->rank), chunk.p, chunk.span));
    }
    *ticket = moves->n;
    return DN_OK;
}

dn_status dn_comm_await_ahead(dn_comm *comm, uint64_t ticket, dn_traffic kind)
{
    return comm->span ? dn_moves_reach(&comm->span->ahead, ticket, &comm->stats.early[kind]) : DN_OK;
}

/* ---- messages: a header that says what follows, then that ---- */

typedef struct header {
    uint64_t bytes;
    uint32_t type, unused;
} header;

static dn_status nodes_send(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind)
{
    const header h = {.bytes = count * dn_type_bytes(type), .type = type};
    if (is_here(comm, to))
        return dn_shm_send(comm, buffer, count, type, to, kind);
    if (h.bytes <= COPIED_SEND) {
        DN_TRY(dn_wire_send_copy(comm->wire, world_rank(comm, to), comm->span->number, &h, sizeof h));
        return dn_wire_send_copy(comm->wire, world_rank(comm, to), comm->span->number, buffer, h.bytes);
    }
    dn_moves moves;
    dn_moves_init(&moves, comm->wire, DN_WAY_MESSAGES, comm->span->number);
    DN_TRY(send(comm, &moves, to, &h, sizeof h));
    DN_TRY(send(comm, &moves, to, buffer, h.bytes));
    return dn_moves_finish(&moves);
}

static dn_status nodes_receive(dn_comm *comm, void *buffer, size_t count, dn_type type, int from, dn_traffic kind)
{
    header h;
    dn_moves moves;
    const uint64_t bytes = count * dn_type_bytes(type);
    if (is_here(comm, from))
        return dn_shm_receive(comm, buffer, count, type, from, kind);
    dn_moves_init(&moves, comm->wire, DN_WAY_MESSAGES, comm->span->number);
    DN_TRY(dn_moves_receive(&moves, world_rank(comm, from), &h, sizeof h, false));
    DN_TRY(dn_moves_finish(&moves));
    if (h.bytes == bytes && h.type == (uint32_t)type) {
        DN_TRY(receive(comm, &moves, kind, from, buffer, bytes));
        return dn_moves_finish(&moves);
    }
    dn_failure failure = {.status = DN_ERR_ARG, .rank = world_rank(comm, from)};
    snprintf(failure.message, sizeof failure.message,
             "rank %d sent %llu bytes (type %u) but rank %d receives %llu (type %d): send and receive must agree",
             failure.rank, (unsigned long long)h.bytes, h.type, world_rank(comm, comm->rank), (unsigned long long)bytes,
             (int)type);
    dn_world_abort(comm->world, &failure);
    return dn_fail(DN_ERR_ARG, "%s", failure.message);
}

/* ---- views ---- */

/* Errors are those of the world, which has failed: the reader's next call that waits says so. */
static void bring(const dn_comm *comm, void *to, const void *p, size_t bytes, int rank)
{
    (void)!dn_wire_fetch(comm->wire, world_rank(comm, rank), dn_world_offset(comm->world, at(comm, p, rank)), to, bytes);
}

static const void *nodes_view(dn_comm *comm, const void *p, size_t span, int rank)
{
    char *here = at(comm, p, rank);
    if (!is_here(comm, rank))
        bring(comm, here, p, span, rank);
    return here;
}

static void nodes_fetch(const dn_comm *comm, dn_stream *stream, void *to, const void *p, size_t bytes, int rank)
{
    if (is_here(comm, rank))
        dn_shm_fetch(comm, stream, to, p, bytes, rank);
    else
        bring(comm, to, p, bytes, rank);
}

static void nodes_put(dn_comm *comm, void *p, const void *data, size_t bytes, int rank)
{
    if (is_here(comm, rank))
        dn_shm_put(comm, p, data, bytes, rank);
    else
        (void)!dn_wire_put(comm->wire, world_rank(comm, rank), dn_world_offset(comm->world, at(comm, p, rank)), data, bytes);
}

const dn_comm_ops dn_comm_ops_nodes = {
    .name = "nodes",
    .barrier = dn_shm_barrier, /* whose lines are told to the other nodes */
    .all_reduce = nodes_all_reduce,
    .all_reduce_shared = nodes_all_reduce_shared,
    .reduce = nodes_reduce,
    .reduce_scatter = nodes_reduce_scatter,
    .reduce_to_owners = nodes_reduce_to_owners,
    .gather_from_owners = nodes_gather_from_owners,
    .all_gather = nodes_all_gather,
    .all_to_all = nodes_all_to_all,
    .broadcast = nodes_broadcast,
    .begin_all_reduce = dn_shm_begin_all_reduce,
    .begin_reduce_scatter = dn_shm_begin_reduce_scatter,
    .begin_reduce_to_owners = dn_shm_begin_reduce_to_owners,
    .advance = dn_shm_advance,
    .finish = dn_shm_finish,
    .send = nodes_send,
    .receive = nodes_receive,
    .view = nodes_view,
    .fetch = nodes_fetch,
    .put = nodes_put,
    .count = dn_comm_count_call,
};
