/* Communicators split from communicators. */
#include "dionode/comm.h"

#include "base/fail.h"
#include "base/size.h"
#include "comm/internal.h"
#include "comm/nodes.h"
#include "comm/peer.h"

#include <stdlib.h>
#include <string.h>

/* One member's arguments, exchanged as the barrier's payload. */
typedef struct request {
    int32_t color, key;
    int32_t member;
    int32_t number; /* that the communicator may have (wire.h) */
} request;

static size_t rounded(size_t bytes)
{
    return dn_size_add(bytes, DN_ARENA_ALIGN - 1) / DN_ARENA_ALIGN * DN_ARENA_ALIGN;
}

static size_t scratch_bytes(int parent_size)
{
    return rounded(DN_SCRATCH_BYTES + (size_t)parent_size * DN_SCRATCH_BYTES_PER_PEER);
}

size_t dn_split_bytes(int parent_size, size_t heap_bytes)
{
    return dn_size_add(scratch_bytes(parent_size), rounded(heap_bytes));
}

size_t dn_comm_split_bytes(const dn_comm *parent, size_t heap_bytes)
{
    return dn_split_bytes(parent->size, heap_bytes);
}

static int next_number(const dn_comm *parent)
{
    return parent->wire ? dn_wire_next_number(parent->wire) : 0;
}

static int by_key_then_member(const void *a, const void *b)
{
    const request *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : x->member - y->member;
}

/* The members of the new communicator of mine's color, in their order there. */
static dn_status exchange_requests(dn_comm *parent, const request *mine, request *members, int *n, int *number)
{
    const dn_call call = {.purpose = DN_FOR_SPLIT};
    *n = 0;
    *number = mine->number;
    if (parent->size == 1) {
        members[(*n)++] = *mine;
        return DN_OK;
    }
    DN_TRY(dn_barrier_wait(&parent->barrier, &call, mine, sizeof *mine));
    for (int member = 0; member < parent->size; member++) {
        request theirs;
        memcpy(&theirs, dn_barrier_payload(&parent->barrier, member), sizeof theirs);
        *number = theirs.number > *number ? theirs.number : *number;
        if (theirs.color == mine->color)
            members[(*n)++] = theirs;
    }
    qsort(members, (size_t)*n, sizeof *members, by_key_then_member);
    return DN_OK;
}

/* memory: the child's scratch and heap, at the same offset on every member. */
static dn_status make_child(const dn_comm *parent, const request *members, int n, int number, char *memory,
                            size_t heap_bytes, dn_comm **out)
{
    int16_t ranks[DN_MAX_RANKS];
    dn_line *lines[DN_MAX_RANKS];
    dn_comm *child = calloc(1, sizeof *child);
    if (!child)
        return dn_fail(DN_ERR_MEMORY, "no memory for a communicator");
    child->world = parent->world;
    child->size = n;
    child->arena = parent->arena;
    child->arena_bytes = parent->arena_bytes;
    child->heap = (dn_arena){.base = memory + scratch_bytes(parent->size), .capacity = rounded(heap_bytes)};
    child->small_bytes = parent->small_bytes;
    child->ops = parent->span ? &dn_comm_ops_shm : parent->ops;
    child->proxy = parent->proxy;
    child->split = true;
    child->stream = parent->stream;
    *out = child;
    if (!parent->world)
        return DN_OK;
    for (int i = 0; i < n; i++) {
        child->scratch[i] = dn_comm_peer(parent, memory, members[i].member);
        ranks[i] = parent->barrier.ranks[members[i].member];
        lines[i] = (dn_line *)(void *)(child->scratch[i] + DN_LINES_AT);
        if (members[i].member == parent->rank)
            child->rank = i;
    }
    dn_barrier_init(&child->barrier, parent->world, n, ranks, lines, child->rank);
    dn_domains_find(child);
    if (!parent->span)
        return DN_OK;
    DN_TRY(dn_wire_use_number(parent->wire, number));
    return dn_span_open(child, parent->wire, number);
}

dn_status dn_comm_split(dn_comm *parent, int color, int key, size_t heap_bytes, dn_comm **out)
{
    request members[DN_MAX_RANKS];
    const request mine = {.color = color, .key = key, .member = parent->rank, .number = next_number(parent)};
    dn_status status = DN_OK;
    void *memory;
    int n, number;
    *out = NULL;
    DN_TRY(exchange_requests(parent, &mine, members, &n, &number));
    DN_TRY(dn_comm_alloc(parent, dn_comm_split_bytes(parent, heap_bytes), &memory));
    memset((char *)memory + DN_LINES_AT, 0,
           scratch_bytes(parent->size) - DN_LINES_AT); /* the stages hold nothing yet */
    dn_span_clear_lines(parent, memory);
    if (color >= 0)
        status = make_child(parent, members, n, number, memory, heap_bytes, out);
    dn_status synchronized =
        dn_comm_barrier(parent); /* the lines of all members are zero before any is used */
    return status != DN_OK ? status : synchronized;
}

/* ---- a group that its members make without the others ---- */

/* The smallest value of all members, by way of the first; whoever returns knows that all have come. */
static dn_status agree_on_smallest(dn_comm *parent, const request *members, int n, int64_t *value)
{
    int64_t theirs;
    const int first = members[0].member;
    if (parent->rank != first) {
        DN_TRY(dn_comm_send(parent, value, 1, DN_I64, first, DN_TRAFFIC_CONTROL));
        return dn_comm_receive(parent, value, 1, DN_I64, first, DN_TRAFFIC_CONTROL);
    }
    for (int i = 1; i < n; i++) {
        DN_TRY(dn_comm_receive(parent, &theirs, 1, DN_I64, members[i].member, DN_TRAFFIC_CONTROL));
        *value = dn_min(*value, theirs);
    }
    for (int i = 1; i < n; i++)
        DN_TRY(dn_comm_send(parent, value, 1, DN_I64, members[i].member, DN_TRAFFIC_CONTROL));
    return DN_OK;
}

static dn_status check_members(const dn_comm *parent, const int *ranks, int n, request *members)
{
    bool taken[DN_MAX_RANKS] = {false};
    for (int i = 0; i < n; i++) {
        if (ranks[i] < 0 || ranks[i] >= parent->size || taken[ranks[i]])
            return dn_fail(DN_ERR_ARG, "a group with rank %d%s, of a communicator of %d", ranks[i],
                           ranks[i] < 0 || ranks[i] >= parent->size ? "" : " twice", parent->size);
        taken[ranks[i]] = true;
        members[i] = (request){.member = ranks[i]};
    }
    return taken[parent->rank] ? DN_OK
                               : dn_fail(DN_ERR_ARG, "rank %d creates a group without itself", parent->rank);
}

/* Heaps are filled alike at their beginning only: the group takes what is free at the end on all its members.
 */
dn_status dn_comm_create_group(dn_comm *parent, const int *ranks, int n, size_t heap_bytes, dn_comm **out)
{
    request members[DN_MAX_RANKS];
    *out = NULL;
    DN_TRY(check_members(parent, ranks, n, members));
    const size_t bytes = dn_comm_split_bytes(parent, heap_bytes);
    int64_t end = (int64_t)parent->heap.capacity;
    DN_TRY(agree_on_smallest(parent, members, n, &end));
    int64_t left = end - (int64_t)parent->heap.used;
    DN_TRY(agree_on_smallest(parent, members, n, &left));
    if (left < 0 || bytes > (size_t)left)
        return dn_fail(
            DN_ERR_MEMORY,
            "the symmetric heap has %lld bytes left for a group of %d ranks, %zu are needed: join with a "
            "larger heap (dionode launch: --arena)",
            (long long)(left < 0 ? 0 : left), n, bytes);
    char *taken = (char *)parent->heap.base + end - bytes;
    parent->heap.capacity = (size_t)end - bytes;
    int64_t number = -next_number(parent); /* the largest */
    if (parent->span)
        DN_TRY(agree_on_smallest(parent, members, n, &number));
    memset(taken + DN_LINES_AT, 0, scratch_bytes(parent->size) - DN_LINES_AT);
    dn_span_clear_lines(parent, taken);
    dn_status status = make_child(parent, members, n, (int)-number, taken, heap_bytes, out);
    int64_t made = status;
    DN_TRY(agree_on_smallest(parent, members, n,
                             &made)); /* nobody meets in the group before all lines are zero */
    if (status == DN_OK && made != DN_OK) {
        dn_comm_destroy(out);
        return dn_fail((dn_status)made, "another rank could not create the group");
    }
    return status;
}
