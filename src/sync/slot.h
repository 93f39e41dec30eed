/* What the optimizer keeps for one parameter, and where it lies on the symmetric heap. */
#ifndef SYNC_SLOT_H
#define SYNC_SLOT_H

#include "base/arena.h"
#include "optim/dion.h"
#include "sync/optimizer.h"

enum {
    DN_SLOT_MOMENTUM, /* [rows, cols]: Dion M, AdamW m, Lion m          */
    DN_SLOT_SECOND,   /* Dion Q [n,r], AdamW v [rows, cols]; Lion: none */
    DN_SLOT_P,        /* Dion [m,r], made anew in each step             */
    DN_SLOT_R,        /* Dion [n,r], likewise                           */
    DN_N_SLOT_BUFFERS
};

typedef struct dn_slot {
    dn_rule rule;
    dn_dion_shape shape; /* Dion only */
    bool compressed;     /* Dion only: P and R are exchanged instead of the gradient */
    size_t count[DN_N_SLOT_BUFFERS];
    dn_buf *buffers[DN_N_SLOT_BUFFERS];
} dn_slot;

/** The slot of a parameter, its buffers still NULL. config is valid. */
dn_slot dn_slot_of(const dn_optim_config *config, const dn_param *param);

/** Takes the buffers of all parameters from the arena and, if slots is not NULL, points slots [n_params] at
 * them. Momenta come first and in the order of params, so that those of neighbours are neighbours. Then
 * n_params ints, returned: Dion's verdicts. */
int *dn_slots_take(const dn_optim_config *config, const dn_param *params, size_t n_params, dn_arena *arena,
                   dn_slot *slots);

/** The state (optimizer.h) in one of a slot's first two buffers; n_replicas of dp. count must not be 0. */
dn_state dn_slot_state(const dn_slot *slot, const dn_param *param, int buffer, int n_replicas);

#endif
