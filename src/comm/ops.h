/*
 * The table of a transport: one entry for each call of dionode/comm.h. The calls (ops.c) handle communicators
 * of one rank, count payload, and delegate the rest to the entry: a transport sees communicators of at least
 * two ranks only, counts only bytes moved, and has the order, visibility and errors that comm.h promises.
 * Shared memory is one transport; verification or a tracer interposes a table of its own, whose entries call
 * those that they replace.
 */
#ifndef COMM_OPS_H
#define COMM_OPS_H

#include "device/stream.h"
#include "dionode/comm.h"

typedef struct dn_comm_ops {
    const char *name;
    dn_status (*barrier)(dn_comm *comm);
    dn_status (*all_reduce)(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                            dn_traffic kind);
    dn_status (*all_reduce_shared)(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                   dn_traffic kind, const void **result);
    dn_status (*reduce)(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, int root,
                        dn_traffic kind);
    dn_status (*reduce_scatter)(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                dn_traffic kind);
    dn_status (*reduce_to_owners)(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                  dn_op op, dn_traffic kind);
    dn_status (*gather_from_owners)(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                    dn_traffic kind);
    dn_status (*all_gather)(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_traffic kind);
    dn_status (*all_to_all)(dn_comm *comm, const void *from, void *to, size_t count, dn_type type,
                            dn_traffic kind);
    dn_status (*broadcast)(dn_comm *comm, void *buffer, size_t bytes, int root, dn_traffic kind);
    dn_status (*begin_all_reduce)(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                  dn_traffic kind, uint64_t *exchange);
    dn_status (*begin_reduce_scatter)(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                      dn_traffic kind, uint64_t *exchange);
    dn_status (*begin_reduce_to_owners)(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                        dn_op op, dn_traffic kind, unsigned flags, uint64_t *exchange);
    dn_status (*advance)(dn_comm *comm);
    dn_status (*finish)(dn_comm *comm, uint64_t exchange);
    dn_status (*send)(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind);
    dn_status (*post)(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind);
    dn_status (*posted)(dn_comm *comm, int to);
    dn_status (*receive)(dn_comm *comm, void *buffer, size_t count, dn_type type, int from, dn_traffic kind);
    /* Another member's copy of [p, p + span); valid until the next barrier. */
    const void *(*view)(dn_comm *comm, const void *p, size_t span, int rank);
    void (*fetch)(const dn_comm *comm, dn_stream *stream, void *to, const void *p, size_t bytes, int rank);
    void (*put)(dn_comm *comm, void *p, const void *data, size_t bytes, int rank);
    /* Adds one collective to the statistics: on `whole` bytes, to which this rank contributes `own` (used for
     * all-gather only); root: -1 if there is none. The same for every transport; it is in the table so that
     * interposers see exchanges in place, too. */
    void (*count)(dn_comm *comm, dn_collective as, dn_traffic kind, size_t own, size_t whole, int root);
} dn_comm_ops;

/** Shared memory: collectives by direct access. */
extern const dn_comm_ops dn_comm_ops_shm;

/** Device memory that peers do not reach, by way of the host's (shadows.c). */
extern const dn_comm_ops dn_comm_ops_staged;

/** Several nodes: shared memory in each, moved bytes between them (nodes.c). */
extern const dn_comm_ops dn_comm_ops_nodes;

/** The table that this communicator uses. */
const dn_comm_ops *dn_comm_ops_of(const dn_comm *comm);

/** Replaces the table of this communicator and of those split from it later; ops is borrowed until the
 * communicator is destroyed. To be called between collectives; not collective. */
void dn_comm_use_ops(dn_comm *comm, const dn_comm_ops *ops);

#endif
