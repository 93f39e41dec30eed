/* One parameter under its rule: what this rank works on, and the state that the optimizer keeps for it. */
#ifndef SHARD_PARAM_STATE_H
#define SHARD_PARAM_STATE_H

#include "base/arena.h"
#include "dionode/types.h"
#include "optim/dion.h"
#include "optim/rule.h"
#include "shard/layout.h"
#include "shard/optimizer.h"

struct dn_param_state;

/* One tensor of state. */
typedef struct dn_state_tensor {
    const char *name;  /* "dion.momentum" */
    size_t rows, cols; /* of the whole */
    bool per_replica;  /* each replica's differs */
    bool everywhere;   /* every rank holds the whole, the same bits, as a copy of its own */
    /* The part of the whole that a rank holds; NULL: the owner holds the whole, others nothing. */
    dn_block (*part)(const struct dn_param_state *ps, const int at[DN_N_AXES]);
    dn_type type; /* of what is stored: DN_REAL or DN_BF16 */
    void *stored; /* this rank's part, dense; symmetric over all, as large as the largest part. What others
                     own may lie at the same address */
    size_t n;     /* elements of this rank's part */
    dn_buf *data; /* what a rule works with, while the parameter state is open: what is stored itself, or room
                     for it */
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
    dn_block part;         /* this rank's, of the whole */
    dn_buf *weight, *grad; /* its numbers in those of the parameter */
} dn_param_state;

/** A parameter state as its executor describes it: no numbers yet. config is valid; only the cuts of param
 * are read. */
dn_param_state dn_param_state_of(const dn_optim_config *config, const dn_param *param, uint64_t index,
                                 const int size[DN_N_AXES]);

/** Adds a state to a parameter state, for executors that describe one. */
void dn_param_state_add(dn_param_state *ps, const char *name, size_t rows, size_t cols,
                        dn_block (*part)(const dn_param_state *, const int at[DN_N_AXES]));
/** As dn_layout_block: the part of a state as large as the parameter. */
dn_block dn_param_state_block(const dn_param_state *ps, const int at[DN_N_AXES]);
/** The part of one of the parameter state's states that the rank at at[] holds. */
dn_block dn_state_tensor_block(const dn_param_state *ps, const dn_state_tensor *state,
                               const int at[DN_N_AXES]);

/** Takes the states of n parameter states, whose owners are known, from the arena: each as large as the
 * largest part of any rank, but those that are at owners at each rank only what it owns. */
void dn_param_states_take(dn_param_state *param_states, size_t n, dn_arena *heap);
/** Room to open n parameter states at the same time, likewise: none for states that are stored in dn_real. */
void dn_param_states_take_buffers(dn_param_state *param_states, size_t n, dn_arena *arena);
size_t dn_param_states_buffer_bytes(const dn_param_state *param_states, size_t n);
/** Before a rule works with the states of a parameter state, and after: rounds what it leaves in the room to
 * what is stored. Nothing where that is dn_real. */
void dn_param_state_load(dn_stream *s, const dn_param_state *ps);
void dn_param_state_store(dn_stream *s, const dn_param_state *ps);

/** Points the parameter state at the numbers of the rank at at[]. */
void dn_param_state_bind(dn_param_state *ps, const int at[DN_N_AXES]);

/** Fails: what a step has found of the parameter state's momentum is not finite. */
dn_status dn_param_state_not_finite(const dn_param_state *ps) DN_MUST_USE;

/** Elements of this rank's part. */
static inline size_t dn_param_state_size(const dn_param_state *ps)
{
    return ps->part.rows * ps->part.cols;
}

#endif
