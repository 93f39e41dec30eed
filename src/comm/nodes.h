/* Communicators whose members are on several nodes. */
#ifndef COMM_NODES_H
#define COMM_NODES_H

#include "comm/internal.h"
#include "comm/wire.h"

/** Makes `comm`, whose barrier and scratch are set, one over the nodes of its members; no change if they are of one node.
 * wire: borrowed. number: the same on all members, and no other communicator's that shares two of them. */
dn_status dn_span_open(dn_comm *comm, dn_wire *wire, int number) DN_MUST_USE;

/** Zeroes this node's copies of the lines of parent's members on other nodes in a child's scratch at `memory`. */
void dn_span_clear_lines(const dn_comm *parent, char *memory);

#endif
