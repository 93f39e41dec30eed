/*
 * What a transport does: the table behind the calls of dionode/comm.h, one entry each. The calls (ops.c)
 * answer for a communicator of one rank, count what is exchanged, and leave the rest to the entry: a
 * transport therefore sees communicators of two ranks and more only, counts nothing but bytes moved, and
 * keeps what comm.h says of order, visibility and errors. Shared memory is one; a proof or a tracer puts a
 * table of its own in front of it, whose entries call those of the table they replace.
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
    dn_status (*advance)(dn_comm *comm);
    dn_status (*finish)(dn_comm *comm, uint64_t exchange);
    dn_status (*send)(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind);
    dn_status (*receive)(dn_comm *comm, void *buffer, size_t count, dn_type type, int from, dn_traffic kind);
    /* Another member's copy of [p, p + span), to be read until the next barrier. */
    const void *(*view)(dn_comm *comm, const void *p, size_t span, int rank);
    void (*fetch)(const dn_comm *comm, dn_stream *stream, void *to, const void *p, size_t bytes, int rank);
    void (*put)(dn_comm *comm, void *p, const void *data, size_t bytes, int rank);
    /* Adds one collective to the accounts: on `whole` bytes, of which `own` are this rank's part (what an
     * all-gather contributes; else not looked at); root: of those that have one, else -1. The same for every
     * transport, and in the table so that who stands in front of it hears of exchanges, too, that are made in
     * place. */
    void (*count)(dn_comm *comm, dn_collective as, dn_traffic kind, size_t own, size_t whole, int root);
} dn_comm_ops;

/** Shared memory: collectives by direct access. */
extern const dn_comm_ops dn_comm_ops_shm;

/** The table that this communicator uses. */
const dn_comm_ops *dn_comm_ops_of(const dn_comm *comm);

/** Has this communicator, and those split from it from now on, use another table, which is borrowed until the
 * communicator's end. Between two calls; not collective. */
void dn_comm_use_ops(dn_comm *comm, const dn_comm_ops *ops);

#endif
