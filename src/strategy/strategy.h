/*
 * A strategy: what replicas exchange, and when.
 *
 * Each strategy is one file of this room, NAME.c, that defines one row, dn_strategy_NAME. The list of names
 * in meson.build compiles the file and registers the row; there is no other list. What the row says is
 * carried out by the engine (engine.h): a strategy neither communicates nor walks the model. Its hooks see one
 * parameter at a time, as this rank holds it, and queue kernels on the stream.
 *
 *     on the whole mesh   the optimizer runs on all ranks and averages gradients, or Dion's factors, in every step
 *                         (shard/optimizer.h): the engine adds nothing
 *     before the rule     replicas exchange something made of their gradients; the rule steps on what comes of it
 *     instead of it       the same, and what comes of it is the update; no rule steps
 *     after it            each replica steps alone, with any rule; then replicas exchange something made of their
 *                         weights, perhaps not in every step
 *     of clients          there are no replicas: virtual clients train versions of the weights on rows of their own, and a server
 *                         makes the next version of what they send (dn_client_rules). Workers do what clients and server do
 *                         (train/clients.h); the engine adds nothing
 *
 * Under all but the first and the last the optimizer stands on each replica's own mesh. What is exchanged, the row lists: each
 * dn_exchange is one message of each parameter from each replica, made by `encode`, moved in one of three patterns,
 * and taken up by `decode` and `apply`. Exchanges of one step follow one another, so that the second may be made
 * of what the first has brought (the rounds of PowerSGD).
 *
 * Which exchanges are due must not depend on anything that replicas know alone: on settings, the step, and averaged
 * probes, which have the same bits on all ranks. Of a probe that is NaN comparisons are false: write them so
 * that NaN counts as beyond a threshold.
 *
 * Adding one: docs/extending/strategy.md.
 */
#ifndef STRATEGY_STRATEGY_H
#define STRATEGY_STRATEGY_H

#include "compute/kernels.h"
#include "dionode/comm.h"
#include "optim/param.h"
#include "strategy/option.h"

#include <stdbool.h>
#include <stdint.h>

enum { DN_STRATEGY_STATES_MAX = 4, DN_STRATEGY_EXCHANGES_MAX = 3, DN_STRATEGY_PROBE_MAX = 2048 };

/* Streams of random numbers (base/random.h); those of a parameter: plus its index. */
#define DN_STREAM_XI       (UINT64_C(1) << 32)
#define DN_STREAM_SKETCH   (UINT64_C(2) << 32)
#define DN_STREAM_PAIRS    (UINT64_C(3) << 32)
#define DN_STREAM_ROWS     (UINT64_C(4) << 32)
#define DN_STREAM_POWERSGD (UINT64_C(5) << 32)
#define DN_STREAM_CLIENTS  (UINT64_C(6) << 32)
#define DN_STREAM_CURVATURE (UINT64_C(7) << 32)

/* When replicas exchange. */
typedef enum dn_strategy_family { DN_ON_WHOLE_MESH, DN_BEFORE_RULE, DN_INSTEAD_OF_RULE, DN_AFTER_RULE, DN_OF_CLIENTS } dn_strategy_family;

/* Settings of one run. */
typedef struct dn_strategy_config {
    uint64_t n_steps; /* of the run */
    uint64_t seed;
    dn_option_value options[DN_STRATEGY_OPTIONS_MAX]; /* in the order of the row's options */
    int placed_islands; /* that replicas form by NUMA domains or nodes (dn_strategy_place_islands); 0: not known yet, or not asked for */
} dn_strategy_config;

/* What hooks know of a step. */
typedef struct dn_strategy_context {
    const dn_strategy_config *config;
    dn_stream *stream;
    uint64_t step;           /* counts from 0; of `apply`, `decode` and `at_owner`: in which the exchange began */
    int replica, n_replicas; /* of those that exchange */
    size_t n_layers;         /* of the model, as its parameters are named */
    double n_elements;       /* of all parameters */
    const double *probe;     /* averaged over the replicas; zeros before the first probe */
    double loss;             /* training loss of the step: all ranks know the same */
    double *numbers;         /* [n_numbers] of the row: the same on all ranks, kept in checkpoints; they start at 0 */
    dn_buf *scratch;         /* as many numbers as the row says */
} dn_strategy_context;

/* One parameter as this rank holds it: its block or, for at_owner, its share of the block's rows. The replicas' twins
 * of a rank hold the same block. */
typedef struct dn_strategy_param {
    const dn_param *param; /* name, kind, shape of the whole */
    size_t index, n_params;
    size_t rows, cols, n;                   /* rows * cols = n */
    dn_buf *weight, *grad;                  /* [n]; after the rule grad is free: scratch */
    dn_buf *states[DN_STRATEGY_STATES_MAX]; /* [n], or as their `shape` says */
    double lr, weight_decay;                /* of this step */
    double lr_scale, decay;                 /* of every step: what these are multiplied by */
} dn_strategy_param;

/* ---- states ---- */

typedef enum dn_residence {
    DN_SHARDED,     /* kept once: each replica has a share of the rows, which at_owner sees */
    DN_REPLICATED,  /* the same bits in every replica */
    DN_PER_REPLICA, /* each replica's own */
} dn_residence;

typedef struct dn_block_shape {
    size_t rows, cols;
} dn_block_shape;

typedef struct dn_state_of_strategy {
    const char *name; /* in checkpoints, before ".<parameter>" */
    dn_residence residence;
    bool weight; /* begins as the weights; else as 0 */
    /** The shape for a block of that size; NULL: the block's. Such states start anew when another mesh resumes the
     * run. Not for sharded ones. */
    dn_block_shape (*shape)(const dn_strategy_config *config, size_t rows, size_t cols);
} dn_state_of_strategy;

/* ---- exchanges ---- */

typedef enum dn_pattern {
    DN_MEAN,   /* n numbers: reduced to owners of shares, made there into something else if at_owner says so, gathered:
                  as many bytes as an all-reduce */
    DN_GATHER, /* bytes, as many as encode says: each replica decodes the messages of all, in rank order */
    DN_PAIR,   /* n numbers: of one other replica, drawn anew in each step; of an odd number one is alone */
} dn_pattern;

#define DN_ISLANDS_NUMA  (-1)
#define DN_ISLANDS_NODES (-2)

/* Which replicas exchange. Where the row has islands, consecutive replicas along dp form them. */
typedef enum dn_scope {
    DN_SCOPE_ALL,
    DN_SCOPE_ISLAND, /* those of an island */
    DN_SCOPE_ACROSS, /* islands, whose replicas have the same message: each takes its share of the rows across, and gathers the
                        others'; DN_MEAN of the block's shape, without at_owner */
    DN_N_SCOPES
} dn_scope;

/* What a message is. */
typedef enum dn_message_of {
    DN_OF_MESSAGE, /* memory of its own, which encode fills: numbers, or bytes (DN_GATHER) */
    DN_OF_WEIGHT,  /* the weights, in place; only DN_MEAN without delay */
    DN_OF_GRAD,    /* the gradient's memory, which encode may fill; only DN_MEAN without delay */
    DN_OF_STATES,  /* of the rule: those that `takes` says; only DN_MEAN without delay, and no other hook */
} dn_message_of;

/* A message of one replica. */
typedef struct dn_message {
    dn_buf *numbers; /* [n]: DN_MEAN, DN_PAIR */
    dn_bytes *bytes; /* [n]: DN_GATHER */
    size_t n;
    int from; /* replica */
} dn_message;

typedef struct dn_exchange {
    dn_pattern pattern;
    dn_message_of of;
    dn_traffic kind;
    dn_scope scope; /* replica and n_replicas of hooks' context are those of it: of DN_SCOPE_ACROSS, islands */
    bool before;    /* of a strategy after the rule: this one before it, without delay */
    /** Whether these settings use the exchange; NULL: always. */
    bool (*used)(const dn_strategy_config *config);
    /** Numbers (bytes: DN_GATHER) of a message of a block of a parameter of that kind, at most; NULL: rows * cols numbers. */
    size_t (*length)(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols);
    bool varies; /* messages may be shorter */
    /** Steps from begin to end; NULL: 0. Messages in flight are in checkpoints as "<window>.<step>.<parameter>"; their
     * length does not vary. */
    uint64_t (*delay)(const dn_strategy_config *config);
    const char *window;
    /** Whether a message that began in c->step ends in `step`; NULL: delay steps later. With it, delay is what it is at
     * most. */
    bool (*ends)(const dn_strategy_context *c, uint64_t step);
    /** With delay: steps from one message of a parameter to the next, at least; NULL: 1. As many windows there are as
     * messages can be in flight. */
    uint64_t (*every)(const dn_strategy_config *config);
    /** Numbers that are averaged over the replicas before `due` is asked. probe adds this block's part to out [n_probe];
     * parts are summed over the replica. Waits for the stream. */
    size_t (*n_probe)(const dn_strategy_config *config);
    dn_status (*probe)(const dn_strategy_context *c, const dn_strategy_param *x, double *out);
    /** Whether the parameter is exchanged in this step. Of x->weight, grad and states nothing may be read, of the context
     * not the stream; its numbers may be NULL, when what is usual is asked. NULL: in every step. */
    bool (*due)(const dn_strategy_context *c, const dn_strategy_param *x);
    /** Fills the message; message->n is its length at most, which may be made less where messages vary (then it waits for the
     * stream). NULL: it is what its memory holds. */
    dn_status (*encode)(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message);
    /** DN_MEAN: makes the mean of its share, in place, what all are to receive. x: the share, of the block's rows. NULL: the
     * mean. */
    void (*at_owner)(const dn_strategy_context *c, const dn_strategy_param *x, dn_buf *mean);
    /** DN_GATHER: called for each replica's message, in rank order, the own among them; DN_PAIR: for the partner's, or where
     * there is none, the own. Queues kernels only: messages stay until the end of the step. */
    void (*decode)(const dn_strategy_context *c, const dn_strategy_param *x, const dn_message *message);
    /** After all of a parameter has arrived. mean: DN_MEAN's, else NULL. */
    void (*apply)(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *mean);
    /** Whether weights are equal in all replicas afterwards; after the rule only. NULL: not. */
    bool (*equalizes)(const dn_strategy_context *c);
    /** DN_OF_STATES: which, by what the rule calls them: "m" of "adamw.m". */
    bool (*takes)(const char *state);
    /** Elements of these stay 0 where the same element of that state of their parameter is 0; NULL: all are averaged. Needs
     * scratch of two blocks. */
    bool (*where)(const char *state);
} dn_exchange;

/* ---- clients ---- */

enum { DN_CLIENT_STATES_MAX = 3, DN_CLIENT_SUMS_MAX = 2 };

/* What a client does at a time: it takes a version of the weights, trains it on rows of its own, and sends what became of it. */
typedef struct dn_ticket {
    int client;
    uint64_t version; /* version v is what v steps of the run have made */
    uint64_t before;  /* how many tickets the client had earlier */
    double end_s;     /* virtual time when what it sends is there */
} dn_ticket;

/* What hooks know. */
typedef struct dn_client_context {
    const dn_strategy_config *config;
    dn_stream *stream;
    uint64_t step;     /* the server makes version step + 1; on a client: the version that it trains */
    uint64_t delay;    /* of a ticket: versions that were made since the one it trains */
    double mean_delay; /* `serve`: of all that were sent */
    size_t n_rows;     /* of the ticket: that its client has, and */
    uint64_t n_steps;  /* steps of the rule that it makes; `serve`: both of all that count */
    double lr;         /* of the ticket: of its steps */
    double share_out;  /* of the clients, that train at a time */
    dn_buf *scratch;   /* as many numbers as the row says */
} dn_client_context;

/* Numbers: of all trained parameters, as they lie in memory, or of one of them; at the server a part of them, each worker its own. */
typedef struct dn_client_numbers {
    const dn_param *param; /* `upload`: which; else NULL */
    size_t n;
    dn_buf *weight;        /* what is trained; `serve`: the weighted mean of what was sent, to become the next version */
    const dn_buf *version; /* what it is trained from; `serve`: the version before */
    dn_buf *grad;          /* `local`: to be changed; `upload`: scratch */
    const dn_buf *sent;    /* `received`: what has come of a client that has trained `version`, */
    dn_buf *client;        /* and its state */
    dn_buf *states[DN_CLIENT_STATES_MAX]; /* `serve`, `received` */
    dn_buf *sums[DN_CLIENT_SUMS_MAX];     /* the same */
} dn_client_numbers;

/* What clients and server do. Hooks queue kernels, element by element at the server; they do not depend on which worker calls them
 * for which part. */
typedef struct dn_client_rules {
    /** Tickets that are out at a time, of n clients: 1 to n. */
    int (*out)(const dn_strategy_config *config, int n_clients);
    /** How many of them, those that end first, the server waits for to make a version: 1 to all. NULL: all. */
    int (*quorum)(const dn_strategy_config *config, int n_clients);
    /** Weight of what a client has sent, in the mean; NULL: its rows. */
    double (*weight)(const dn_client_context *c);
    /** What is averaged is by how much clients changed the versions they trained, counted from the newest: of a stale client that is
     * not the mean of what was sent. */
    bool of_changes;
    /** On a client, after each gradient: changes it. NULL: nothing. */
    void (*local)(const dn_client_context *c, const dn_client_numbers *x);
    /** Bytes that a client sends of a block, */
    size_t (*upload_bytes)(const dn_client_context *c, dn_param_kind kind, size_t rows, size_t cols);
    /** and, on a client, of each parameter: weights become what the server will read out of the message. Both NULL: they are sent as
     * they are. */
    void (*upload)(const dn_client_context *c, const dn_client_numbers *x);
    /** At the server, of each client that counts, in order: changes its state, and adds to sums. NULL: nothing. */
    void (*received)(const dn_client_context *c, const dn_client_numbers *x);
    /** At the server: makes the next version of the mean. NULL: it is the mean. */
    void (*serve)(const dn_client_context *c, const dn_client_numbers *x);
    /** States of the server, which begin as 0; they end with NULL. */
    const char *states[DN_CLIENT_STATES_MAX + 1];
    /** One of each client, which the server keeps, too; NULL: none. */
    const char *client_state;
    /** Sums that begin each version as 0. */
    size_t n_sums;
} dn_client_rules;

/** Tickets that a version is made of, of n clients. */
static inline int dn_client_quorum(const dn_client_rules *rules, const dn_strategy_config *config, int n_clients)
{
    return rules->quorum ? rules->quorum(config, n_clients) : rules->out(config, n_clients);
}

/* ---- the row ---- */

typedef struct dn_strategy {
    const char *name, *help;
    dn_strategy_family family;
    bool of_whole_model; /* what it does to a parameter depends on others, too, as on how many layers there are, or on where it
                            stands: then a model is not cut into stages of a pipeline, which know their own parameters only */
    double lr;    /* instead of the rule: the rate to begin with; compare tries those around it */
    bool factors; /* on the whole mesh: the rule exchanges its low-rank factors where it has them, else gradients */
    /* Settings, "key=value key=value ...", under which replicas train exactly as one rank does, and clients as those of fedavg do, or,
     * of fedavg itself, as one rank on the rows of all: for verification. */
    const char *lossless;
    int lossless_replicas; /* at most; 0: any number */
    dn_strategy_option options[DN_STRATEGY_OPTIONS_MAX]; /* ends with no key */
    dn_state_of_strategy states[DN_STRATEGY_STATES_MAX];    /* ends with no name */
    const dn_exchange *exchanges[DN_STRATEGY_EXCHANGES_MAX]; /* ends with NULL */
    const dn_client_rules *clients; /* of clients: what they do; it has no states, exchanges or probes then, but perhaps scratch */
    /** What does not go together, beyond the ranges of single options; NULL: everything does. Errors: DN_ERR_CONFIG,
     * naming the keys. */
    dn_status (*check)(const dn_strategy_config *config);
    /** Numbers of scratch that hooks need for a block; NULL: none. */
    size_t (*scratch)(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols);
    size_t n_numbers; /* of the context */
    /** Updates them, once in each step after the rule, before its exchanges. NULL: nothing. */
    void (*observe)(const dn_strategy_context *c);
    /** Number of islands, which divides that of the replicas; 0: each is one; DN_ISLANDS_...: as these have replicas. NULL: there are none. */
    int (*islands)(const dn_strategy_config *config);
    /** Why replicas whose ranks hold other blocks, by fs and tp, train otherwise under these settings; NULL: they do not. NULL: never. */
    const char *(*cut_dependent)(const dn_strategy_config *config);
    /** Initializes states whose beginning is neither 0 nor the weights; those that are sharded hold this rank's share. */
    dn_status (*begin)(const dn_strategy_context *c, const dn_strategy_param *x);
} dn_strategy;

/** Whether the engine adds something to a rule's step. */
static inline bool dn_strategy_has_engine(const dn_strategy *strategy)
{
    return strategy->family != DN_ON_WHOLE_MESH && strategy->family != DN_OF_CLIENTS;
}

/** The row with that name; NULL if no strategy has it. */
const dn_strategy *dn_strategy_find(const char *name);
/** The index-th row, from 0; NULL beyond the last. */
const dn_strategy *dn_strategy_at(size_t index);

/** Errors: DN_ERR_CONFIG: the strategy exchanges low-rank factors, and that rule of matrices has none. A name that is no rule's is
 * dn_optimizer_check's to refuse. */
dn_status dn_strategy_check_rule(const dn_strategy *strategy, const char *matrix_rule) DN_MUST_USE;

/** Number of states, and of exchanges. */
int dn_strategy_n_kinds(const dn_strategy *strategy);
int dn_strategy_n_exchanges(const dn_strategy *strategy);

/** Steps that each of its exchanges, at least, may go on beside others. */
uint64_t dn_strategy_delay(const dn_strategy *strategy, const dn_strategy_config *config);

/** The settings of a strategy: the defaults of its options, then `settings`, "key=value key=value ..." (NULL: none).
 * Errors: DN_ERR_CONFIG: a key that the strategy does not take, or a value out of range, or what does not go together.
 */
dn_status dn_strategy_configure(const dn_strategy *strategy, const char *settings, uint64_t n_steps, uint64_t seed,
                                dn_strategy_config *config) DN_MUST_USE;

/** The replica that exchanges with this one in a step's pairs: itself, if it is alone. */
int dn_strategy_partner(uint64_t seed, uint64_t step, int n_replicas, int replica);

/* ---- hooks that several share ---- */

/** A `due`: after every sync_every-th step; sync_every is the first option. */
bool dn_strategy_every(const dn_strategy_context *c, const dn_strategy_param *x);

/** The layer that a parameter is of, by its name ("transformer.h.3.attn..."); -1: of none. */
int dn_strategy_layer(const dn_param *param);

/** What the context says of a model. */
void dn_strategy_measure_model(const dn_param *params, size_t n_params, size_t *n_layers, double *n_elements);

/** An `equalizes`. */
bool dn_strategy_always(const dn_strategy_context *c);

/** out = a - b, [n] each. */
void dn_strategy_difference(dn_stream *s, dn_buf *out, const dn_buf *a, const dn_buf *b, size_t n);

/** A `decode` of coded numbers of the block: after all messages, of which replica 0's is the first, their mean is in the
 * gradient's memory. The codec works in the scratch. */
void dn_strategy_average_coded(const dn_strategy_context *c, const dn_strategy_param *x, const dn_message *message,
                               const dn_codec *codec, const dn_codec_config *config);

#endif
