#include "dionode/comm.h"

#include "base/fail.h"
#include "base/human.h"
#include "base/size.h"
#include "comm/internal.h"
#include "comm/peer.h"
#include "shm/limits.h"

#include <assert.h>
#include <stdlib.h>

#define PAGE_BYTES ((size_t)2 << 20) /* of devices that map memory */
#define LINE_BYTES 64 /* chunks start at cache lines: no two owners write to one */

/* Measured, f32, through the stages (one barrier) against in place (two). Two ranks on two cores: 1 KiB 1.0
 * and 0.9 us, 4 KiB 1.8 and 1.0. Four ranks on two cores, where a barrier costs more: 16 KiB 8.5 and 9.7, 64
 * KiB 20 and 16. */
#define SMALL_BYTES         ((size_t)1 << 10)
#define SMALL_BYTES_CROWDED ((size_t)32 << 10)

/* ---- communicator ---- */

static dn_status make_comm(int rank, int size, dn_comm **out)
{
    dn_comm *comm = calloc(1, sizeof *comm);
    if (!comm)
        return dn_fail(DN_ERR_MEMORY, "no memory for a communicator");
    comm->rank = rank;
    comm->size = size;
    comm->ops = &dn_comm_ops_shm;
    dn_status status = dn_stream_open(&comm->stream);
    if (status != DN_OK) {
        free(comm);
        return status;
    }
    *out = comm;
    return DN_OK;
}

dn_status dn_comm_create(dn_world *world, int rank, dn_comm **out)
{
    dn_device_attach(world, rank);
    DN_TRY(make_comm(rank, dn_world_size(world), out));
    dn_comm *comm = *out;
    comm->world = world;
    comm->arena = dn_world_arena(world, rank);
    comm->arena_bytes = dn_world_arena_bytes(world);
    comm->heap = (dn_arena){.base = comm->arena, .capacity = comm->arena_bytes};
    comm->small_bytes = dn_world_crowded(world) ? SMALL_BYTES_CROWDED : SMALL_BYTES;
    for (int member = 0; member < comm->size; member++)
        comm->scratch[member] = dn_world_scratch(world, member);
    dn_barrier_init_world(&comm->barrier, world, rank);
    dn_domains_find(comm);
    dn_exchanges_init(comm);
    return DN_OK;
}

dn_status dn_comm_create_alone(size_t heap_bytes, dn_comm **out)
{
    const dn_device *device = dn_device_selected();
    const size_t align = device->map_heap ? PAGE_BYTES : DN_ARENA_ALIGN;
    size_t whole = dn_size_add(heap_bytes, align) / align * align; /* never 0 */
    uint64_t room = dn_limits_memory("");
    void *heap = whole > room ? NULL : device->map_heap ? aligned_alloc(align, whole) : dn_memory_take(whole);
    char need[24], have[24];
    if (!heap)
        return dn_fail(DN_ERR_MEMORY,
                       "no memory for a heap of %s, %s are available: use a smaller model or a smaller batch",
                       dn_human_size((double)heap_bytes, need, sizeof need),
                       dn_human_size((double)room, have, sizeof have));
    const dn_device_heap asked = {.first = heap, .bytes = whole, .n = 1};
    bool mapped;
    dn_status status = device->map_heap ? device->map_heap(&asked, &mapped) : DN_OK;
    if (status == DN_OK)
        status = make_comm(0, 1, out);
    if (status != DN_OK) {
        if (device->map_heap)
            device->unmap_heap(heap);
        free(heap);
        return status;
    }
    (*out)->own_heap = (*out)->arena = heap;
    (*out)->arena_bytes = whole;
    (*out)->heap = (dn_arena){.base = heap, .capacity = whole};
    return DN_OK;
}

void dn_comm_destroy(dn_comm **comm)
{
    if (!*comm)
        return;
    const dn_device *device = dn_device_selected();
    if (!(*comm)->split) {
        dn_proxy_stop(&(*comm)->proxy);
        dn_stream_destroy(&(*comm)->stream); /* what is queued may be of the heap */
        if (device->map_heap)
            device->unmap_heap((*comm)->world ? dn_world_arena((*comm)->world, 0) : (*comm)->own_heap);
        dn_device_attach(NULL, 0);
    }
    free((*comm)->own_heap);
    free((*comm)->shadows);
    if ((*comm)->n_reduced == (*comm)->n_begun) /* else, as the run has failed, calls of twins may still come there */
        free((*comm)->span);
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

int dn_comm_node(const dn_comm *comm, int member)
{
    return comm->world ? dn_world_node(comm->world, comm->barrier.ranks[member]) : 0;
}

int dn_comm_torn(const dn_comm *comm, int n, int together)
{
    for (int rank = 0; rank < n; rank++)
        if (dn_comm_node(comm, rank) != dn_comm_node(comm, rank / together * together))
            return rank;
    return -1;
}

int dn_comm_n_nodes(const dn_comm *comm)
{
    return comm->span ? comm->span->nodes.n : 1;
}

void dn_comm_publish(dn_world *world, int rank, dn_status status)
{
    dn_failure failure = {.status = status, .rank = rank, .step = dn_world_step(world, rank)};
    /* The precision shows the compiler that the message fits. */
    snprintf(failure.message, sizeof failure.message, "worker %d: %.*s", rank, DN_MESSAGE_MAX - 32,
             dn_error_message());
    dn_world_abort(world, &failure);
}

dn_world *dn_comm_world(const dn_comm *comm)
{
    return comm->world;
}

dn_status dn_comm_tick(dn_comm *comm, uint64_t step, const char *phase)
{
    if (!comm->world)
        return DN_OK;
    dn_world_tick(comm->world, comm->barrier.ranks[comm->rank], step, phase);
    return dn_world_check(comm->world);
}

dn_status dn_comm_enter(dn_comm *comm, const char *phase)
{
    if (!comm->world)
        return DN_OK;
    dn_world_enter(comm->world, comm->barrier.ranks[comm->rank], phase);
    return dn_world_check(comm->world);
}

/* ---- symmetric heap ---- */

dn_status dn_comm_alloc(dn_comm *comm, size_t bytes, void **out)
{
    /* Takes keep `used` a multiple of the alignment, and so is the capacity: what fits unrounded fits
     * rounded. */
    size_t left = comm->heap.capacity - comm->heap.used;
    if (bytes > left)
        return dn_fail(DN_ERR_MEMORY,
                       "the symmetric heap of rank %d has %zu of %zu bytes left, %zu are needed: join with a "
                       "larger heap_bytes",
                       comm->rank, left, comm->heap.capacity, bytes);
    *out = dn_arena_take(&comm->heap, bytes);
    return DN_OK;
}

dn_status dn_comm_alloc_device(dn_comm *comm, size_t bytes, void **out)
{
    DN_TRY(dn_comm_alloc(comm, bytes, out));
    *out = (char *)*out + comm->stream->device->heap_distance;
    return DN_OK;
}

size_t dn_comm_heap_mark(const dn_comm *comm)
{
    return comm->heap.used;
}

/* One barrier suffices: a member uses the memory, and communicators in it, only before the barrier. What an
 * earlier communicator left there does no harm: dn_comm_split zeroes its lines, exchanges and rings before
 * they are used. */
dn_status dn_comm_heap_release(dn_comm *comm, size_t mark)
{
    const dn_call call = {.purpose = DN_FOR_RELEASE, .count = mark, .place = comm->heap.used};
    if (mark > comm->heap.used || mark % DN_ARENA_ALIGN != 0)
        return dn_fail(DN_ERR_ARG,
                       "the symmetric heap of rank %d cannot be released to %zu of %zu bytes: pass what "
                       "dn_comm_heap_mark "
                       "returned",
                       comm->rank, mark, comm->heap.used);
    if (comm->size > 1)
        DN_TRY(dn_barrier_wait(&comm->barrier, &call, NULL, 0));
    comm->heap.used = mark;
    return DN_OK;
}

uint64_t dn_comm_place(const dn_comm *comm, const void *buffer, size_t bytes)
{
    uintptr_t at = (uintptr_t)buffer, base = (uintptr_t)comm->arena;
    uintptr_t on_device = base + (uintptr_t)comm->stream->device->heap_distance;
    /* A device's heap may lie on either side of the host's. */
    uintptr_t offset = at - base <= comm->arena_bytes ? at - base : at - on_device;
    bool inside = offset <= comm->arena_bytes && bytes <= comm->arena_bytes - offset;
    return inside ? offset : DN_PLACE_PRIVATE;
}

void dn_chunk_bounds(size_t count, dn_type type, int n_chunks, int index, size_t *first, size_t *end)
{
    size_t line = LINE_BYTES / dn_type_bytes(type), size = (size_t)n_chunks, at = (size_t)index;
    size_t lines = count / line + (count % line != 0);
    size_t each = lines / size, more = lines % size; /* the first `more` chunks are a line longer */
    *first = (each * at + (at < more ? at : more)) * line;
    *end = *first + (each + (at < more)) * line;
    *first = *first < count ? *first : count;
    *end = *end < count ? *end : count;
}

void dn_comm_chunk_bounds(const dn_comm *comm, size_t count, dn_type type, int rank, size_t *first,
                          size_t *end)
{
    dn_chunk_bounds(count, type, comm->size, rank, first, end);
}

/* ---- barrier ---- */

dn_job dn_job_of(const dn_comm *comm, dn_purpose purpose, const void *buffer, size_t count, dn_type type,
                 dn_op op, dn_traffic kind, int root)
{
    size_t bytes = count * dn_type_bytes(type);
    assert((uintptr_t)buffer % dn_type_bytes(type) == 0);
    return (dn_job){.buffer = (char *)(uintptr_t)buffer,
                    .count = count,
                    .type = type,
                    .op = op,
                    .kind = kind,
                    .root = root,
                    .bytes = bytes,
                    .call = {.count = count,
                             .place = dn_comm_place(comm, buffer, bytes),
                             .purpose = (uint8_t)purpose,
                             .type = (uint8_t)type,
                             .op = (uint8_t)op,
                             .root = root}};
}

dn_status dn_job_of_items(const dn_comm *comm, dn_purpose purpose, const dn_owned *items, size_t n_items,
                          dn_type type, dn_op op, dn_traffic kind, dn_job *job)
{
    size_t total = 0;
    for (size_t i = 0; i < n_items; i++) {
        assert(items[i].owner >= 0 && items[i].owner < comm->size);
        size_t bytes = items[i].count * dn_type_bytes(type);
        if (bytes > 0 && dn_comm_place(comm, items[i].buffer, bytes) == DN_PLACE_PRIVATE)
            return dn_fail(DN_ERR_ARG,
                           "buffer of item %zu is not on the symmetric heap: take it from dn_comm_alloc", i);
        total += items[i].count;
    }
    *job = dn_job_of(comm, purpose, NULL, total, type, op, kind, -1);
    job->items = items;
    job->n_items = n_items;
    job->call.place = 0; /* items need not be neighbours */
    return DN_OK;
}

dn_status dn_job_barrier(dn_comm *comm, dn_job *job)
{
    dn_status status = dn_barrier_wait(&comm->barrier, &job->call, NULL, 0);
    job->call.phase++;
    return status;
}

dn_status dn_shm_barrier(dn_comm *comm)
{
    const dn_call call = {.purpose = DN_FOR_BARRIER};
    return dn_barrier_wait(&comm->barrier, &call, NULL, 0);
}

/* ---- domains ---- */

void dn_domains_find(dn_comm *comm)
{
    int16_t of[DN_MAX_RANKS];
    for (int i = 0; i < comm->size; i++)
        of[i] = (int16_t)dn_world_domain(comm->world, comm->barrier.ranks[i]);
    dn_domains_number(&comm->domains, of, comm->size);
}

void dn_domains_number(dn_domains *d, const int16_t *of, int n)
{
    int n_placed = 0;
    for (int i = 0; i < n; i++)
        d->of[i] = -1;
    for (int i = 0; i < n; i++) {
        if (d->of[i] >= 0)
            continue;
        d->first[d->n] = (int16_t)n_placed;
        for (int j = i; j < n; j++)
            if (of[j] == of[i]) {
                d->of[j] = (int16_t)d->n;
                d->members[n_placed++] = (int16_t)j;
            }
        d->first[++d->n] = (int16_t)n_placed;
    }
}

int dn_comm_domain(const dn_comm *comm, int member)
{
    return comm->domains.of[member];
}

bool dn_comm_reaches_peers(const dn_comm *comm)
{
    return !comm->proxy;
}

void *dn_comm_domain_copy(const dn_comm *comm, const void *p)
{
    const dn_domains *d = &comm->domains;
    return dn_comm_peer(comm, p, d->members[d->first[d->of[comm->rank]]]);
}
