/* A group in its world, for rooms and tests that hold the world themselves. Programs use dn_comm_join. */
#ifndef COMM_WORLD_H
#define COMM_WORLD_H

#include "device/stream.h"
#include "dionode/comm.h"
#include "shm/world.h"

/** The group of all ranks of a world, as seen by `rank`. Borrows world. Not collective. One at a time a
 * world: the heap and the barrier are the world's. */
dn_status dn_comm_create(dn_world *world, int rank, dn_comm **out) DN_MUST_USE;

/** NULL for a group of one. */
dn_world *dn_comm_world(const dn_comm *comm);

/** Number of a member's NUMA domain within the group: domains are counted in the order of their first
 * members.
 */
int dn_comm_domain(const dn_comm *comm, int member);

/** The copy of the symmetric address p that lies with the first member of this rank's NUMA domain: one buffer
 * a domain, which its members share, to read and to write. */
void *dn_comm_domain_copy(const dn_comm *comm, const void *p);

/** As dn_comm_alloc, memory of the device. */
dn_status dn_comm_alloc_device(dn_comm *comm, size_t bytes, void **out) DN_MUST_USE;

/** As dn_comm_fetch, queued on a stream: on a device `to` holds the chunk when the stream comes so far. */
void dn_comm_fetch_on(const dn_comm *comm, dn_stream *stream, void *to, dn_comm_chunk chunk, int rank);

/** Offset of a buffer in this rank's arena; DN_PLACE_PRIVATE (shm/barrier.h) if it does not lie in there as a
 * whole. */
uint64_t dn_comm_place(const dn_comm *comm, const void *buffer, size_t bytes);

#endif
