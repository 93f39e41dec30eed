/* The inside of a strategy in one run, for the engine's files. */
#ifndef STRATEGY_RUN_H
#define STRATEGY_RUN_H

#include "base/arena.h"
#include "shard/overlap.h"
#include "strategy/engine.h"

/* A message in a window. */
typedef struct dn_window_message {
    dn_message message; /* where, and how long at most */
    uint64_t *length; /* of what was encoded; host, symmetric */
    dn_buf *shown;    /* [most] bytes as numbers, for checkpoints; NULL where there is no need */
    uint64_t begun;   /* the step, plus 1; 0: the window is free */
    bool ahead;       /* was sent ahead to other nodes, */
    uint64_t ticket;  /* with that */
    double begun_s;   /* when; 0: before the run was resumed */
} dn_window_message;

/* Lists of what a mean is of: shared out among replicas, and what an island gathers of what came across. */
typedef struct dn_mean_lists {
    dn_bucket all, inside;
} dn_mean_lists;

/* One exchange of the row. Of each parameter `depth` messages can be in flight. */
typedef struct dn_exchange_run {
    const dn_exchange *row;
    uint64_t delay;
    size_t depth;
    dn_window_message *messages; /* [n_params][depth] */
    dn_tensor *tensors;          /* of them, for checkpoints */
    dn_strategy_sent *last;      /* [n_params] */
    const dn_mesh *mesh; /* of its scope */
    dn_mean_lists now;   /* of a mean that is formed where it is taken up */
    dn_mean_lists early; /* of one that is formed before: others may be taken up until it is */
    dn_overlap ahead;    /* that one, */
    uint64_t moving;     /* with the messages that began in this step, plus 1; 0: there is none */
    double *probe; /* [n_probe] */
    size_t n_probe;
} dn_exchange_run;

struct dn_strategy_run {
    const dn_strategy *strategy;
    dn_strategy_config config;
    dn_strategy_parts parts;
    dn_mesh scopes[DN_N_SCOPES]; /* the whole mesh, but with the replicas of the scope */
    size_t n_params; /* 0 on the whole mesh */
    int n_kinds, n_exchanges;
    dn_strategy_param *blocks, *shares; /* [n_params] */
    size_t *share_at;                   /* [n_params] elements of the block before the share */
    dn_tensor *tensors;                 /* [n_params][n_kinds] */
    dn_exchange_run exchanges[DN_STRATEGY_EXCHANGES_MAX];
    dn_bucket copies; /* gradients of parameters that are copied along fs or tp */
    double *squares;  /* [n_params] */
    bool *equal;      /* [n_params] in all replicas */
    bool apart;
    double loss, n_elements;
    size_t n_layers;
    double *numbers;         /* [n_numbers] of the row */
    dn_buf *shown;           /* [4 n_numbers] they in sixteens of bits, which a float holds, for checkpoints */
    dn_tensor numbers_state; /* which that is */
    dn_buf *scratch;
};

/** Takes states and windows from an arena; r NULL: only measures. */
void dn_strategy_lay_out(const dn_strategy *strategy, const dn_strategy_config *config, const dn_param *params,
                         size_t n_params, const int size[DN_N_AXES], dn_arena *heap, dn_strategy_run *r);

/** The share of a parameter's rows, of the whole, that a rank owns among the replicas. */
dn_block dn_strategy_share(const dn_param *p, const int size[DN_N_AXES], const int at[DN_N_AXES]);

/** Names the tensors of states. */
void dn_strategy_name_states(dn_strategy_run *r);

/** Gives the lists of an exchange room for all parameters. Errors: DN_ERR_MEMORY. */
dn_status dn_strategy_reserve(dn_strategy_run *r, dn_exchange_run *e) DN_MUST_USE;

/** Collective. Exchanges of a step, those `before` the rule or the others: ends what is due to end and begins what is due
 * to begin. */
dn_status dn_strategy_exchange(dn_strategy_run *r, uint64_t step, bool before) DN_MUST_USE;

/** Collective. Splits the replicas into islands, and back; bytes of the symmetric heap that it takes. */
dn_status dn_strategy_open_islands(dn_strategy_run *r) DN_MUST_USE;
void dn_strategy_close_islands(dn_strategy_run *r);
size_t dn_strategy_islands_bytes(const dn_strategy *strategy, const int size[DN_N_AXES]);

/** The message of a parameter, as long as it can be, and where: m's window, or in place. */
dn_message dn_strategy_message(const dn_strategy_run *r, const dn_exchange_run *e, const dn_window_message *m,
                               size_t param);

/** The context of hooks. */
dn_strategy_context dn_strategy_context_of(const dn_strategy_run *r, const dn_exchange_run *e, uint64_t step);

/** How many messages of a parameter can be in flight. */
size_t dn_strategy_depth(const dn_exchange *e, const dn_strategy_config *config);

/** The message of a parameter that began in a step (UINT64_MAX: a free window); NULL: there is none. */
dn_window_message *dn_strategy_window(const dn_exchange_run *e, size_t param, uint64_t step);

#endif
