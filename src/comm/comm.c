#include "dionode/comm.h"

#include "base/fail.h"
#include "comm/group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINE_ELEMENTS (64 / sizeof(dn_real)) /* slices start at cache lines: no two owners write one */

/* ---- group ---- */

static dn_status make_group(dn_world *world, int rank, int size, void *heap, size_t heap_bytes, dn_comm **out)
{
    dn_comm *comm = calloc(1, sizeof *comm);
    if (!comm)
        return dn_fail(DN_ERR_MEMORY, "no memory for a group of ranks");
    comm->world = world;
    comm->rank = rank;
    comm->size = size;
    comm->heap = (dn_arena){.base = heap, .capacity = heap_bytes};
    *out = comm;
    return DN_OK;
}

dn_status dn_comm_create(dn_world *world, int rank, dn_comm **out)
{
    DN_TRY(make_group(world, rank, dn_world_size(world), dn_world_arena(world, rank),
                      dn_world_arena_bytes(world), out));
    dn_barrier_init_world(&(*out)->barrier, world, rank);
    return DN_OK;
}

dn_status dn_comm_create_alone(size_t heap_bytes, dn_comm **out)
{
    size_t whole = (heap_bytes / DN_ARENA_ALIGN + 1) * DN_ARENA_ALIGN; /* never 0 */
    void *heap = aligned_alloc(DN_ARENA_ALIGN, whole);
    if (!heap)
        return dn_fail(DN_ERR_MEMORY,
                       "no memory for a heap of %zu MiB: take a smaller model or a smaller batch",
                       heap_bytes >> 20);
    dn_status status = make_group(NULL, 0, 1, heap, whole, out);
    if (status == DN_OK)
        (*out)->own_heap = heap;
    else
        free(heap);
    return status;
}

void dn_comm_destroy(dn_comm **comm)
{
    if (!*comm)
        return;
    free((*comm)->own_heap);
    free(*comm);
    *comm = NULL;
}

int dn_comm_rank(const dn_comm *comm)
{
    return comm->rank;
}

int dn_comm_size(const dn_comm *comm)
{
    return comm->size;
}

dn_world *dn_comm_world(const dn_comm *comm)
{
    return comm->world;
}

void dn_comm_tick(dn_comm *comm, uint64_t step, const char *phase)
{
    if (comm->world)
        dn_world_tick(comm->world, comm->rank, step, phase);
}

/* ---- symmetric heap ---- */

dn_status dn_comm_alloc(dn_comm *comm, size_t bytes, void **out)
{
    /* Takes keep `used` a multiple of the alignment, and so is the capacity: what fits unrounded fits
     * rounded. */
    size_t left = comm->heap.capacity - comm->heap.used;
    if (bytes > left)
        return dn_fail(DN_ERR_MEMORY,
                       "the symmetric heap of rank %d has %zu bytes left of %zu, %zu are asked for",
                       comm->rank, left, comm->heap.capacity, bytes);
    *out = dn_arena_take(&comm->heap, bytes);
    return DN_OK;
}

void *dn_comm_peer(const dn_comm *comm, const void *p, int rank)
{
    assert(rank >= 0 && rank < comm->size);
    ptrdiff_t distance = (ptrdiff_t)(rank - comm->rank);
    return (char *)(uintptr_t)p + distance * (ptrdiff_t)comm->heap.capacity;
}

void dn_comm_slice(const dn_comm *comm, size_t count, int rank, size_t *first, size_t *end)
{
    size_t lines = (count + LINE_ELEMENTS - 1) / LINE_ELEMENTS;
    size_t size = (size_t)comm->size;
    *first = lines * (size_t)rank / size * LINE_ELEMENTS;
    *end = lines * ((size_t)rank + 1) / size * LINE_ELEMENTS;
    *first = *first < count ? *first : count;
    *end = *end < count ? *end : count;
}

/* ---- meeting ---- */

dn_status dn_comm_meet(dn_comm *comm, const char *name, size_t count)
{
    if (comm->size == 1)
        return DN_OK;
    dn_call call = {.count = count};
    memcpy(call.name, name, strnlen(name, sizeof call.name));
    return dn_barrier_meet(&comm->barrier, &call, NULL, 0, NULL);
}

dn_status dn_comm_barrier(dn_comm *comm)
{
    return dn_comm_meet(comm, "barrier", 0);
}

/* ---- ledger ---- */

void dn_comm_count(dn_comm *comm, dn_traffic kind, size_t payload, size_t moved)
{
    comm->ledger.payload[kind] += payload;
    comm->ledger.moved[kind] += moved;
}

dn_ledger dn_comm_ledger(dn_comm *comm, bool reset)
{
    dn_ledger ledger = comm->ledger;
    if (reset)
        comm->ledger = (dn_ledger){0};
    return ledger;
}
