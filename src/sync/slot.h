/* One parameter under its rule: what this rank works on, and the state that the optimizer keeps for it. */
#ifndef SYNC_SLOT_H
#define SYNC_SLOT_H

#include "base/arena.h"
#include "dionode/types.h"
#include "optim/dion.h"
#include "optim/rule.h"
#include "sync/layout.h"
#include "sync/optimizer.h"

struct dn_slot;

/* One tensor of state. */
typedef struct dn_slot_state {
    const char *name;  /* "dion.momentum" */
    size_t rows, cols; /* of the whole */
    bool per_replica;  /* each replica's differs */
    bool everywhere;   /* every rank holds the whole, the same bits, as a copy of its own */
    /* The part of the whole that a rank holds; NULL: the owner holds the whole, others nothing. */
    dn_block (*part)(const struct dn_slot *slot, const int at[DN_N_AXES]);
    dn_type type; /* of what is stored: DN_REAL or DN_BF16 */
    void *stored; /* this rank's part, dense; symmetric over all, as large as the largest part. What others
                     own may lie at the same address */
    size_t n;     /* elements of this rank's part */
    dn_buf *data; /* what a rule works with, while the slot is open: what is stored itself, or room for it */
} dn_slot_state;

typedef struct dn_slot {
    const dn_rule *rule;
    const dn_param *param; /* borrowed */
    uint64_t index;        /* of the parameter, or window; numbers its random streams */
    dn_group group;        /* of this step: its decay follows a schedule */
    dn_layout layout;
    dn_dion_shape shape;    /* low rank only */
    dn_selection selection; /* owner only: which of its rows or columns (k = size: all), at which rank, */
    int owner;
    bool spread;  /* or where the parts are (spread.h) */
    dn_type type; /* of its states, unless they say otherwise */
    int n_states;
    dn_slot_state states[DN_MAX_STATES];
    dn_block part;         /* this rank's, of the whole */
    dn_buf *weight, *grad; /* its numbers in those of the parameter */
} dn_slot;

/** A slot as its executor describes it: no numbers yet. config is valid; only the cuts of param are read. */
dn_slot dn_slot_of(const dn_optim_config *config, const dn_param *param, uint64_t index,
                   const int size[DN_N_AXES]);

/** Adds a state to a slot, for executors that describe one. */
void dn_slot_add_state(dn_slot *slot, const char *name, size_t rows, size_t cols,
                       dn_block (*part)(const dn_slot *, const int at[DN_N_AXES]));
/** As dn_layout_part: the part of a state as large as the parameter. */
dn_block dn_slot_part(const dn_slot *slot, const int at[DN_N_AXES]);
/** The part of one of the slot's states that the rank at at[] holds. */
dn_block dn_slot_state_part(const dn_slot *slot, const dn_slot_state *state, const int at[DN_N_AXES]);

/** Takes the states of n slots, whose owners are known, from the arena: each as large as the largest part of
 * any rank, but those that are at owners at each rank only what it owns. */
void dn_slots_take(dn_slot *slots, size_t n, dn_arena *heap);
/** Room to open n slots at the same time, likewise: none for states that are stored in dn_real. */
void dn_slots_take_room(dn_slot *slots, size_t n, dn_arena *arena);
size_t dn_slots_room_bytes(const dn_slot *slots, size_t n);
/** Before a rule works with the states of a slot, and after: rounds what it leaves in the room to what is
 * stored. Nothing where that is dn_real. */
void dn_slot_open(dn_stream *s, const dn_slot *slot);
void dn_slot_close(dn_stream *s, const dn_slot *slot);

/** Points the slot at the numbers of the rank at at[]. */
void dn_slot_point(dn_slot *slot, const int at[DN_N_AXES]);

/** Fails: what a step has found of the slot's momentum is not finite. */
dn_status dn_slot_broken(const dn_slot *slot) DN_MUST_USE;

/** Elements of this rank's part. */
static inline size_t dn_slot_size(const dn_slot *slot)
{
    return slot->part.rows * slot->part.cols;
}

#endif
