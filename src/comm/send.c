/*
 * Point to point: through one ring per ordered pair of members, in the receiver's scratch.
 *
 * Up to 80 bytes are sent in the message itself. A larger symmetric buffer is announced and read in place; the
 * sender waits until it has been read. A private one, and a short one, for which that wait would cost more than a
 * copy, is copied through the sender's bounce buffers in turn: the sender waits only if a buffer is still being
 * read, by whichever member it was filled for. A post is that announcement without the wait.
 */
#include "comm/internal.h"

#include "base/fail.h"
#include "base/size.h"

/* Up to here a symmetric buffer is copied. On two cores of an EPYC, a message of 1 and 2 KiB, in place and copied: 0.50 and
 * 0.21 us, 0.50 and 0.36 us where 64 follow one another; there and back 0.47 and 0.62, 0.50 and 0.76 us. */
#define EAGER_BYTES ((size_t)2 << 10)

static dn_ring *ring_at(const dn_comm *comm, int owner, int from)
{
    return (dn_ring *)(void *)(comm->scratch[owner] + DN_RINGS_AT) + from;
}

static int world_rank(const dn_comm *comm, int member)
{
    return comm->barrier.ranks[member];
}

/* ---- send ---- */

static dn_message message_of(const dn_job *job, const char *at, size_t bytes)
{
    return (dn_message){
        .at = (uint64_t)(uintptr_t)at, .bytes = bytes, .total = job->bytes, .type = job->type};
}

/* Of a symmetric buffer that is read in place: of a device's memory the address that it has in the arena, which can be checked. */
static dn_message announcement_of(const dn_comm *comm, const dn_job *job, const char *buffer)
{
    dn_message m = message_of(job, buffer, job->bytes);
    m.on_device = !dn_world_owns(comm->world, world_rank(comm, comm->rank), buffer, job->bytes);
    if (m.on_device)
        m.at -= (uint64_t)comm->stream->device->heap_distance;
    return m;
}

static dn_ring_end *ring_to(dn_comm *comm, int to)
{
    dn_ring_end *ring = &comm->producers[to];
    if (!ring->world)
        *ring = dn_ring_open_producer(comm->world, ring_at(comm, to, comm->rank),
                                      world_rank(comm, comm->rank), world_rank(comm, to));
    return ring;
}

dn_status dn_shm_send(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind)
{
    dn_job job = dn_job_of(comm, DN_FOR_BARRIER, buffer, count, type, DN_SUM, kind, to);
    dn_ring_end *ring = ring_to(comm, to);
    if (job.bytes <= DN_MESSAGE_BYTES) {
        dn_message message = message_of(&job, NULL, job.bytes);
        DN_TRY(dn_comm_copy(comm, message.payload, job.buffer, job.bytes));
        return dn_ring_put(ring, message);
    }
    if (!dn_job_private(&job) && job.bytes > EAGER_BYTES) { /* read in place */
        DN_TRY(dn_ring_put(ring, announcement_of(comm, &job, buffer)));
        return dn_ring_drained(ring, ring->own);
    }
    for (size_t at = 0; at < job.bytes; at += DN_BOUNCE_BYTES) {
        size_t bytes = dn_min(job.bytes - at, DN_BOUNCE_BYTES);
        uint64_t i = comm->n_bounced++ % DN_N_BOUNCES;
        dn_bounce *bounce = &comm->bounces[i];
        char *memory = comm->scratch[comm->rank] + DN_BOUNCES_AT + i * DN_BOUNCE_BYTES;
        if (bounce->ring)
            DN_TRY(dn_ring_drained(bounce->ring, bounce->number));
        DN_TRY(dn_comm_copy(comm, memory, job.buffer + at, bytes));
        dn_comm_count_moved(comm, job.kind, comm->rank, 2 * bytes);
        DN_TRY(dn_ring_put(ring, message_of(&job, memory, bytes)));
        *bounce = (dn_bounce){.ring = ring, .number = ring->own};
    }
    return DN_OK;
}

dn_status dn_shm_post(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind)
{
    dn_job job = dn_job_of(comm, DN_FOR_BARRIER, buffer, count, type, DN_SUM, kind, to);
    if (job.bytes <= DN_MESSAGE_BYTES)
        return dn_shm_send(comm, buffer, count, type, to, kind);
    if (dn_job_private(&job))
        return dn_fail(DN_ERR_ARG, "a posted buffer of %zu bytes is private: allocate it by dn_comm_alloc", job.bytes);
    return dn_ring_put(ring_to(comm, to), announcement_of(comm, &job, buffer));
}

dn_status dn_shm_posted(dn_comm *comm, int to)
{
    dn_ring_end *ring = ring_to(comm, to);
    return dn_ring_drained(ring, ring->own);
}

/* ---- receive ---- */

/* Fails the world: the two members do not agree on what is sent. */
static dn_status fail_mismatch(dn_comm *comm, const dn_job *job, const dn_message *m)
{
    dn_failure failure = {.status = DN_ERR_ARG, .rank = world_rank(comm, job->root)};
    snprintf(
        failure.message, sizeof failure.message,
        "rank %d sent %llu bytes (type %u) but rank %d receives %zu (type %d): send and receive must agree",
        failure.rank, (unsigned long long)m->total, m->type, world_rank(comm, comm->rank), job->bytes,
        job->type);
    dn_world_abort(comm->world, &failure);
    return dn_fail(DN_ERR_ARG, "%s", failure.message);
}

dn_status dn_shm_receive(dn_comm *comm, void *buffer, size_t count, dn_type type, int from, dn_traffic kind)
{
    dn_job job = dn_job_of(comm, DN_FOR_BARRIER, buffer, count, type, DN_SUM, kind, from);
    dn_ring_end *ring = &comm->consumers[from];
    size_t at = 0;
    if (!ring->world)
        *ring = dn_ring_open_consumer(comm->world, ring_at(comm, comm->rank, from),
                                      world_rank(comm, comm->rank), world_rank(comm, from));
    do {
        dn_message m;
        DN_TRY(dn_ring_peek(ring, &m));
        if (m.total != job.bytes || m.type != (uint32_t)type || m.bytes > job.bytes - at ||
            (m.bytes == 0 && job.bytes > 0))
            return fail_mismatch(comm, &job, &m);
        if (m.bytes > 0) {
            uintptr_t away = m.on_device ? (uintptr_t)comm->stream->device->heap_distance : 0;
            const void *sent = m.at ? (const void *)((uintptr_t)m.at + away) : m.payload;
            DN_TRY(dn_comm_copy(comm, job.buffer + at, sent, m.bytes));
            dn_comm_count_moved(comm, kind, from, m.bytes);
            dn_comm_count_moved(comm, kind, comm->rank, m.bytes);
        }
        dn_ring_pop(ring);
        at += m.bytes;
    } while (at < job.bytes);
    return DN_OK;
}
