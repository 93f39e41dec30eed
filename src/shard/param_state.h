/* A parameter under its rule: the block that this rank updates, and the optimizer's states for it. */
#ifndef SHARD_PARAM_STATE_H
#define SHARD_PARAM_STATE_H

#include "base/arena.h"
#include "dionode/types.h"
#include "optim/dion.h"
#include "optim/rule.h"
#include "shard/layout.h"
#include "shard/optimizer.h"

struct dn_param_state;

/* One state: momentum, Q, a second moment, ... */
typedef struct dn_state_tensor {
    dn_tensor tensor; /* as it is stored, in DN_REAL or DN_BF16: "dion.momentum.<param>" */
    bool everywhere;  /* replicated: every rank holds all of it, bitwise equal */
    /* The block that a rank holds; NULL: the owner holds all, others nothing. */
    dn_block (*part)(const struct dn_param_state *ps, const int at[DN_N_AXES]);
    dn_block block; /* this rank's */
    void *stored;   /* it, dense; symmetric, with room for the largest block. What other ranks own may lie at
                       the   same address */
    dn_buf
        *data; /* what a rule reads and writes once it is loaded: `stored` itself, or a buffer of dn_real */
} dn_state_tensor;

typedef struct dn_param_state {
    const dn_rule *rule;
    const dn_param *param;        /* borrowed */
    uint64_t index;               /* of the parameter, or view; numbers its random streams */
    dn_group_options base, options; /* as configured; of this step: its decay follows a schedule */
    double fraction;              /* rank_fraction, its own */
    dn_layout layout;
    dn_dion_shape shape;    /* low rank only */
    dn_selection selection; /* owner only: which of its rows or columns (k = size: all), at which rank, */
    int owner;
    bool distributed; /* or where the parts are (gram.h) */
    dn_type type;     /* of its states, unless they say otherwise */
    int n_states;
    dn_state_tensor states[DN_MAX_STATES];
    dn_block part;         /* the block that this rank updates */
    dn_buf *weight, *grad; /* of that block, within the parameter's */
} dn_param_state;

/** As the rule's executor describes it, without memory. config is valid; of param only shape and sharding are
 * read. */
dn_param_state dn_param_state_of(const dn_optim_config *config, const dn_param *param, uint64_t index,
                                 const int size[DN_N_AXES]);

/** Adds a state "<name>.<param>" of the parameter's shape and sharding, which the caller may change; for
 * executors. */
dn_state_tensor *dn_param_state_add(dn_param_state *ps, const char *name,
                                    dn_block (*part)(const dn_param_state *, const int at[DN_N_AXES]));
/** As dn_layout_block: the block of a state of the parameter's shape. */
dn_block dn_param_state_block(const dn_param_state *ps, const int at[DN_N_AXES]);
/** The block of a state that the rank at at[] holds. */
dn_block dn_state_tensor_block(const dn_param_state *ps, const dn_state_tensor *state,
                               const int at[DN_N_AXES]);

/** Allocates the states of n parameters, whose owners are known, from the arena: each of the size of the
 * largest block of any rank, but states at owners only on their owners. */
void dn_param_states_take(dn_param_state *param_states, size_t n, dn_arena *heap);
/** Allocates buffers to load the states of n parameters at the same time; none for states stored in dn_real.
 */
void dn_param_states_take_buffers(dn_param_state *param_states, size_t n, dn_arena *arena);
size_t dn_param_states_buffer_bytes(const dn_param_state *param_states, size_t n);
/** Before and after a rule: converts states to dn_real, and rounds them back to what is stored. No-ops for
 * states stored in dn_real. */
void dn_param_state_load(dn_stream *s, const dn_param_state *ps);
void dn_param_state_store(dn_stream *s, const dn_param_state *ps);

/** Sets block, weight and grad to those of the rank at at[]. */
void dn_param_state_bind(dn_param_state *ps, const int at[DN_N_AXES]);

/** Fails with DN_ERR_NUMERIC: the momentum or another state is not finite. */
dn_status dn_param_state_not_finite(const dn_param_state *ps) DN_MUST_USE;

/** Elements of this rank's block. */
static inline size_t dn_param_state_size(const dn_param_state *ps)
{
    return dn_block_size(ps->part);
}

#endif
