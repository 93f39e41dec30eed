/*
 * Where members of a group meet: a barrier that can carry a few numbers.
 *
 *     member 1 --- arrives ---+                  +--- released --> member 1
 *     member 2 --- arrives ---+--> member 0 -----+--- released --> member 2
 *
 * Each member owns one line of shared memory and alone writes it: a sequence number, what it came for, and up
 * to 12 numbers. Member 0 waits for every line, adds the numbers up in member order, and answers on its own
 * line. A line is written again only after the answer to it was read, so nothing needs clearing.
 *
 * The sequence counts meetings and is compared with >=. As all meetings of a group share it, and each says
 * what it is, members that came for different things are told so at once.
 */
#ifndef SHM_BARRIER_H
#define SHM_BARRIER_H

#include "shm/world.h"

#include <stdatomic.h>

#define DN_LINE_VALUES 12

/* What a member came for; equal on all members of a meeting. */
typedef struct dn_call {
    char name[16]; /* for the message where members disagree; zero-padded */
    uint64_t count;
} dn_call;

typedef struct dn_line {
    _Alignas(128) _Atomic uint64_t sequence; /* posted after the rest of the line; pairs with dn_wait_reach */
    dn_call call;
    double values[DN_LINE_VALUES];
} dn_line;

_Static_assert(sizeof(dn_line) == 128, "one line a member, whoever compiles it");

typedef struct dn_barrier {
    dn_world *world; /* borrowed */
    int n_members;
    int me; /* index of this rank among the members */
    uint64_t sequence;
    int16_t ranks[DN_MAX_RANKS];  /* member -> rank in the world */
    dn_line *lines[DN_MAX_RANKS]; /* member -> its line, borrowed */
} dn_barrier;

/** The barrier of all ranks of the world, as seen by `rank`, over lines in the control page: one at a time.
 */
void dn_barrier_init_world(dn_barrier *barrier, dn_world *world, int rank);

/** Folds the n values of one more member into sum. */
typedef void dn_combine_fn(double *sum, const double *values, size_t n);

/**
 * Collective. Everything written before it by any member is visible after it to all. On return values [n <=
 * DN_LINE_VALUES] hold, on every member the same bits: those of member 0, with those of members 1, 2, ...
 * combined into them in this order. combine may be NULL if n is 0.
 *
 * Errors: those of dn_wait_reach; DN_ERR_ARG where members came for different calls (the others:
 * DN_ERR_PEER).
 */
dn_status dn_barrier_meet(dn_barrier *barrier, const dn_call *call, double *values, size_t n,
                          dn_combine_fn *combine) DN_MUST_USE;

#endif
