/*
 * What ranks of several nodes tell each other over a transport. Each node has a segment of its own, and all have one layout
 * (shm/world.h): a rank of another node has its slot, scratch and arena here, too, as a copy of what was told or fetched.
 *
 *     told      lines of barriers (shm/barrier.h), rows of the state table, the first failure: short messages, written where
 *               this node's segment has them, by one rank of each node
 *     asked     bytes of another rank's memory, which it sends, or writes, when it next waits or ticks: there is no thread
 *               for it. Whoever asks answers others meanwhile
 *     moved     bytes between two ranks in a collective that both are in: dn_wire_send and dn_wire_receive
 *
 * In a communicator over nodes all calls in the barrier's sequence are barriers (none is dn_barrier_pass): so no line is still
 * under way when its communicator's memory is another's.
 *
 * Everything is done while this process waits, ticks or moves (dn_world_on_wait). Any thread may call.
 */
#ifndef COMM_WIRE_H
#define COMM_WIRE_H

#include "dionode/status.h"
#include "shm/barrier.h"
#include "shm/world.h"

typedef struct dn_wire dn_wire;

/** Collective over all processes that were started together. Opens the transport `name` and numbers the nodes by their
 * first ranks: pretended ones where DIONODE_NODE is set (an integer >= 0; on all ranks or on none). Once in a process.
 * deadline_s: of what the transport itself waits for, here, in dn_wire_gather and in dn_wire_close, after which this process ends
 * (guard.h). Errors: DN_ERR_SYSTEM; DN_ERR_CONFIG: DIONODE_NODE, or more ranks than DN_MAX_RANKS. */
dn_status dn_wire_open(const char *name, double deadline_s, dn_wire **out) DN_MUST_USE;

int dn_wire_rank(const dn_wire *wire);
int dn_wire_size(const dn_wire *wire);
int dn_wire_node(const dn_wire *wire, int rank);
/** Ranks of a node before `rank`, and all of this rank's. */
int dn_wire_local_rank(const dn_wire *wire, int rank);
int dn_wire_local_size(const dn_wire *wire);
/** Ranks on this machine: more than on the node where nodes are pretended. */
int dn_wire_machine_size(const dn_wire *wire);

/** Collective, before there is a world: a number of every rank, numbers [dn_wire_size]. */
dn_status dn_wire_gather(dn_wire *wire, int64_t number, int64_t *numbers) DN_MUST_USE;

/** From here on this rank answers the other nodes whenever it waits in `world`, which outlives the wire; NULL: no longer. */
void dn_wire_attach(dn_wire *wire, dn_world *world);

/** Tells another rank of a line that this one has written. */
void dn_wire_tell(dn_wire *wire, int rank, const dn_line *line);

/** Copies `bytes` that `rank` has at this segment's offset `from` to `to`. Returns when they are here. Errors: those of
 * dn_wait_reach. */
dn_status dn_wire_fetch(dn_wire *wire, int rank, uint64_t from, void *to, size_t bytes) DN_MUST_USE;
/** Copies `bytes` to that offset of `rank`, and returns when they are there: 512 at a time, for short ones. Errors as above. */
dn_status dn_wire_put(dn_wire *wire, int rank, uint64_t to, const void *data, size_t bytes) DN_MUST_USE;

/*
 * Moves of one collective. Both sides begin them in the same order with the same tag; where more are pending than fit, the
 * oldest is awaited first, so all ranks go through a list of moves in the same order.
 */
#define DN_MOVES_MAX 64
typedef struct dn_moves {
    dn_wire *wire;
    int tag;
    bool waits;        /* for room: all ranks are in the call */
    uint64_t first, n; /* pending: [first, n) of the ring */
    struct {
        int request, rank;
        size_t received; /* bytes that count; 0: none, or it sends */
    } pending[DN_MOVES_MAX];
} dn_moves;

/* What is moved one way is not mistaken for what is moved another way by the same communicator. */
typedef enum dn_way {
    DN_WAY_CALLS,    /* collectives */
    DN_WAY_MESSAGES, /* between two members */
    DN_WAY_BEGUN,    /* sums that were begun, */
    DN_WAY_BACK,     /* and results of these */
    DN_WAY_AHEAD,    /* what is read later */
    DN_N_WAYS
} dn_way;

/** Moves of a communicator; 0 <= number < DN_WIRE_NUMBERS. */
#define DN_WIRE_NUMBERS 6000
void dn_moves_init(dn_moves *moves, dn_wire *wire, dn_way way, int number);
/** Sends a copy as one of the messages of `number`: does not wait for the receiver. Errors: DN_ERR_MEMORY. */
dn_status dn_wire_send_copy(dn_wire *wire, int rank, int number, const void *data, size_t bytes) DN_MUST_USE;
dn_status dn_moves_send(dn_moves *moves, int rank, const void *data, size_t bytes) DN_MUST_USE;
/** counts: among bytes that were here early. */
dn_status dn_moves_receive(dn_moves *moves, int rank, void *data, size_t bytes, bool counts) DN_MUST_USE;
/** Whether n moves of `bytes` each may begin now. Of what was begun they may not if they had to wait for others before them. */
bool dn_moves_have_room(const dn_moves *moves, int n, size_t bytes);
/** Waits for the oldest, or for all that have begun. */
dn_status dn_moves_finish_one(dn_moves *moves) DN_MUST_USE;
dn_status dn_moves_finish(dn_moves *moves) DN_MUST_USE;
/** The same without waiting: whether all have ended. *early grows by the bytes that are here. */
dn_status dn_moves_poll(dn_moves *moves, bool *ended, uint64_t *early) DN_MUST_USE;
/** Waits for the first n since dn_moves_init, of moves that are waited for in no other way. *early grows by the bytes that were here
 * without waiting. */
dn_status dn_moves_reach(dn_moves *moves, uint64_t n, uint64_t *early) DN_MUST_USE;

/** The number of the next communicator that this rank is in, as far as it knows; those that make one agree on the largest of
 * their members', and say here that it is used. Errors: DN_ERR_MEMORY: there are no more. */
int dn_wire_next_number(const dn_wire *wire);
dn_status dn_wire_use_number(dn_wire *wire, int number) DN_MUST_USE;

/** Leaves in good order: awaits that all ranks of other nodes leave, too, then ends the transport. On failure, theirs or this
 * rank's (status is not DN_OK): spreads it and ends the processes of all nodes with the exit status of `status`; does not
 * wait for ranks that do not answer. Returns status, or the failure of another. Sets *wire to NULL. */
dn_status dn_wire_close(dn_wire **wire, dn_status status);

#endif
