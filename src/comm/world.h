/* Communicators over a world, for rooms and tests that own the world. Programs use dn_comm_join. */
#ifndef COMM_WORLD_H
#define COMM_WORLD_H

#include "device/stream.h"
#include "dionode/comm.h"
#include "shm/world.h"

/** The communicator of all ranks of a world, for `rank`. Borrows world. Not collective. Only one at a time
 * per world, as it uses the world's heap and barrier. The caller owns *out. */
dn_status dn_comm_create(dn_world *world, int rank, dn_comm **out) DN_MUST_USE;

/** How many ranks dn_comm_join will join, this one included; over several nodes it starts the transport, collectively, within the
 * deadline. Errors: those of dn_comm_join that the environment has. */
dn_status dn_comm_world_size(double deadline_s, int *size) DN_MUST_USE;

/** The node of a member; nodes are numbered by their first ranks. */
int dn_comm_node(const dn_comm *comm, int member);
/** Of the first n ranks of comm, in groups of `together` consecutive ones: the first rank on another node than its group begins
 * on; -1: none. */
int dn_comm_torn(const dn_comm *comm, int n, int together);
/** How many nodes its own members are on: of a replica on one node 1, however many the run is on. */
int dn_comm_n_nodes(const dn_comm *comm);

/** Where no launcher of Dionode's handles signals: from here on SIGINT, SIGTERM and SIGHUP, unless ignored or handled, ask all
 * ranks to stop, SIGUSR1 to save (dn_comm_stop_requested, dn_comm_saves_requested). */
void dn_comm_take_signals(dn_comm *comm);

/** dn_comm_split_bytes for a parent of parent_size members. */
size_t dn_split_bytes(int parent_size, size_t heap_bytes);

/** As dn_comm_tick, in the step that was ticked last: for parts of a step, which is their caller's to count. */
dn_status dn_comm_enter(dn_comm *comm, const char *phase);

/** NULL for a communicator of one without a world. */
dn_world *dn_comm_world(const dn_comm *comm);

/** Index of a member's NUMA domain within the communicator; domains are numbered by their first members. */
int dn_comm_domain(const dn_comm *comm, int member);

/** Whether device memory that members allocate by dn_comm_alloc_device is read and written by all; if not, by its owner alone, and
 * collectives and views go through the host's memory. The same on all members. */
bool dn_comm_reaches_peers(const dn_comm *comm);

/** The copy of the symmetric address p in the memory of the first member of this rank's NUMA domain: one
 * buffer per domain, which its members share for reading and writing, if they reach it. */
void *dn_comm_domain_copy(const dn_comm *comm, const void *p);

/*
 * What is read some time after it was written can be sent ahead to other nodes: while ranks compute, it is on its way. On one node
 * nothing is done, and it is read in place.
 */

/** Collective, without waiting for others, unless more than 64 moves are under way: begins to bring each member's chunk to the other
 * nodes. The memory stays as it is until all have read it. length: NULL: chunks are all as long; else the symmetric place where each
 * member has the bytes of its own, which was sent ahead, too, and awaited. *ticket: for dn_comm_await_ahead. Errors: those of the
 * communicator. */
dn_status dn_comm_send_ahead(dn_comm *comm, dn_comm_chunk chunk, const uint64_t *length, dn_traffic kind, uint64_t *ticket) DN_MUST_USE;
/** Collective: waits until what was sent ahead up to that ticket is here, and this rank's gone. Behind the next
 * barrier all can read it. */
dn_status dn_comm_await_ahead(dn_comm *comm, uint64_t ticket, dn_traffic kind) DN_MUST_USE;
/** As dn_comm_view, of what was sent ahead. */
const void *dn_comm_view_ahead(dn_comm *comm, dn_comm_chunk chunk, int rank, dn_traffic kind);

/** As dn_comm_alloc, but device memory. */
dn_status dn_comm_alloc_device(dn_comm *comm, size_t bytes, void **out) DN_MUST_USE;

/** As dn_comm_fetch, queued on a stream: on a device `to` is valid only in stream order. */
void dn_comm_fetch_on(const dn_comm *comm, dn_stream *stream, void *to, dn_comm_chunk chunk, int rank);

/** Offset of a buffer in this rank's arena; DN_PLACE_PRIVATE (shm/barrier.h) if it is not entirely inside. */
uint64_t dn_comm_place(const dn_comm *comm, const void *buffer, size_t bytes);

#endif
