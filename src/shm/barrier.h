/*
 * The barrier of a communicator, with a small payload per member, and calls in which members wait for some only.
 *
 *     member 0   writes line 0, reads all others'    latency: one cache line transfer
 *     member 1   writes line 1, reads all others'
 *     ...
 *
 * Each member owns 16 lines of shared memory, which it alone writes, in turn: a sequence number, a description of the
 * call, and up to 96 bytes of payload. A member that has seen the sequence number on the lines that it waits for
 * proceeds, and may read them until it enters its next call. A line is reused 16 calls later; among any 15 calls there is
 * one in which all wait for all, and who has left that knows that all have left those before. So nothing is cleared, and
 * writers do not wait for readers.
 *
 * The sequence counts calls and is compared with >=. All calls of a communicator share it, and each
 * line describes the call, so that members in different calls are detected at once.
 */
#ifndef SHM_BARRIER_H
#define SHM_BARRIER_H

#include "shm/world.h"

#include <stdatomic.h>

#define DN_LINE_BYTES 96
#define DN_N_LINES    16

/* The call that a barrier belongs to. */
typedef enum dn_purpose {
    DN_FOR_BARRIER,
    DN_FOR_BROADCAST,
    DN_FOR_REDUCE,
    DN_FOR_ALL_REDUCE,
    DN_FOR_SHARED_ALL_REDUCE,
    DN_FOR_REDUCE_SCATTER,
    DN_FOR_REDUCE_TO_OWNERS,
    DN_FOR_ALL_GATHER,
    DN_FOR_GATHER_FROM_OWNERS,
    DN_FOR_ALL_TO_ALL,
    DN_FOR_SPLIT,
    DN_FOR_RELEASE,
    DN_N_PURPOSES
} dn_purpose;

#define DN_PLACE_PRIVATE UINT64_MAX

/* The description of a call; members compare it, and all fields must agree. */
typedef struct dn_call {
    uint64_t count;
    uint64_t place; /* offset of the buffer in each member's arena; DN_PLACE_PRIVATE: outside of it */
    uint8_t purpose, type, op, phase;
    int32_t root;
} dn_call;

typedef struct dn_line {
    _Alignas(128) _Atomic uint64_t sequence; /* posted after the rest of the line; pairs with dn_wait_reach */
    dn_call call;
    unsigned char payload[DN_LINE_BYTES];
} dn_line;

_Static_assert(sizeof(dn_line) == 128, "one line a member, whoever compiles it");

typedef struct dn_barrier {
    dn_world *world; /* borrowed */
    int n_members;
    int me; /* index of this rank among the members */
    uint64_t sequence;
    uint64_t met;   /* the last call in which all waited for all, */
    uint64_t n_met; /* and how many there were */
    int16_t ranks[DN_MAX_RANKS];  /* member -> rank in the world */
    dn_line *lines[DN_MAX_RANKS]; /* member -> its DN_N_LINES lines, borrowed */
    /* Tells other nodes of this rank's line, which they write where theirs has it; NULL: all members are of one node. */
    void (*tell)(void *context, const dn_line *line);
    void *context;
} dn_barrier;

/** The barrier of all ranks of the world, as seen by `rank`, over lines in the control page: one at a time.
 */
void dn_barrier_init_world(dn_barrier *barrier, dn_world *world, int rank);

/** The barrier of some ranks of the world, over lines that the caller provides in the world's segment:
 * lines[i] are the DN_N_LINES lines of member i, zeroed before the first barrier. Copies both lists. me: this rank's
 * index. */
void dn_barrier_init(dn_barrier *barrier, dn_world *world, int n_members, const int16_t *ranks,
                     dn_line *const *lines, int me);

/** Collective. What any member wrote before it is visible to all after it. payload [bytes <= DN_LINE_BYTES]
 * can be read by all with dn_barrier_payload until they enter the next barrier.
 *
 * Errors: those of dn_wait_reach; DN_ERR_ARG if members are in different calls (DN_ERR_PEER on members that
 * another told of it). */
dn_status dn_barrier_wait(dn_barrier *barrier, const dn_call *call, const void *payload,
                          size_t bytes) DN_MUST_USE;

#define DN_NOBODY      (-1)
#define DN_ALL_MEMBERS (-2)

/** As dn_barrier_wait, but waits for one member, for nobody, or for all, which the others need not do: only of those
 * waited for the payload is there, and may be read until the next call. Every member enters the call; every fifteenth in
 * succession is a barrier. */
dn_status dn_barrier_pass(dn_barrier *barrier, const dn_call *call, const void *payload, size_t bytes,
                          int awaited) DN_MUST_USE;

/** The payload of a member in the last call. */
static inline const void *dn_barrier_payload(const dn_barrier *barrier, int member)
{
    return barrier->lines[member][barrier->sequence % DN_N_LINES].payload;
}

/** Fails the world because a member's call is not that of `other`. Returns DN_ERR_ARG, or DN_ERR_PEER if
 * someone else failed first. */
dn_status dn_barrier_fail_mismatch(const dn_barrier *barrier, int other, const dn_call *others, int member,
                                   const dn_call *call) DN_MUST_USE;

#endif
