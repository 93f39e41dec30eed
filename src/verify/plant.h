/*
 * Sharding bugs that are planted, to check that a comparison catches them. The compared code does not know
 * them: a bug replaces an entry of the communicators' table (comm/ops.h), of the kernels' or of a strategy's row, and
 * does what faulty code would do. Four are in no table: the rows of a batch that a rank takes, or takes first, and the weights that stages keep (the operation
 * asks dn_planted), and the block of a tensor that a rank claims to hold (dn_plant_block).
 */
#ifndef VERIFY_PLANT_H
#define VERIFY_PLANT_H

#include "comm/ops.h"
#include "compute/kernels.h"
#include "dionode/mesh.h"
#include "dionode/verify.h"
#include "strategy/strategy.h"

#include <stdbool.h>

typedef enum dn_bug {
    DN_BUG_NONE,
    DN_BUG_SKIP_FACTOR_REDUCE,
    DN_BUG_SUM_FOR_AVERAGE,
    DN_BUG_WRONG_BAND_OFFSET,
    DN_BUG_STALE_Q,
    DN_BUG_LONG_Q,
    DN_BUG_LOCAL_COLUMN_NORMS,
    DN_BUG_LOCAL_FAN_OUT,
    DN_BUG_LOCAL_ZERO_GUARD,
    DN_BUG_SKIP_TP_REDUCE,
    DN_BUG_WRONG_HEAD_SPLIT,
    DN_BUG_WRONG_VOCAB_OFFSET,
    DN_BUG_WRONG_ROWS,
    DN_BUG_SKIP_FS_REDUCE,
    DN_BUG_STALE_WEIGHTS,
    DN_BUG_EVEN_PARTS,
    DN_BUG_REPLICA_DRIFT,
    DN_BUG_UNCOUNTED_BYTES,
    DN_BUG_WRONG_PAIR,
    DN_BUG_UNCOUNTED_PROBE,
    DN_BUG_SKIP_FEEDBACK,
    DN_BUG_OWN_NOT_SUBTRACTED,
    DN_BUG_MEAN_FOR_SENDERS,
    DN_BUG_STALE_ANCHOR,
    DN_BUG_LATE_APPLY,
    DN_BUG_POISON_PROBE,
    DN_BUG_SWAP_MICRO_BATCHES,
    DN_BUG_STALE_CHANNEL,
    DN_BUG_OTHER_MASK_BACKWARD,
    DN_BUG_STASH_NEWEST,
    DN_N_BUGS
} dn_bug;

/* Memory that some bugs need to know: this rank's shard of a matrix [rows, cols]. */
typedef struct dn_plant_tensor {
    const void *data;
    size_t bytes;
    size_t rows, cols;
} dn_plant_tensor;

typedef struct dn_plant_list {
    const dn_plant_tensor *tensors;
    size_t n;
} dn_plant_list;

/* weights: the parameters; bases: the states Q of Dion; of strategies, residuals: states that each replica has of its own:
 * what it has not sent; anchors: where replicas set out from. */
typedef struct dn_plant_memory {
    dn_plant_list weights, bases, residuals, anchors;
} dn_plant_memory;

typedef struct dn_plant dn_plant;

/* The table of one communicator. The communicator points to the first member, so that a replaced entry finds
 * the rest. */
typedef struct dn_planted_comm {
    dn_comm_ops ops;
    const dn_comm_ops *real;
    dn_plant *plant;
    unsigned axes; /* of the communicator */
} dn_planted_comm;

typedef struct dn_planted_kernels {
    dn_kernels table; /* the first member, as above */
    const dn_kernels *real;
    dn_plant *plant;
} dn_planted_kernels;

/* The first data fetched from an address: the weights of the previous step. */
typedef struct dn_fetched {
    struct dn_fetched *next;
    const void *from;
    size_t bytes;
    int rank;
    char data[];
} dn_fetched;

/* A bug on one rank of one mesh. */
struct dn_plant {
    dn_bug bug;
    const dn_mesh *mesh; /* borrowed, as all below */
    dn_planted_comm comms[DN_ALL_AXES + 1];
    dn_planted_kernels kernels;
    dn_stream *stream; /* NULL: no kernels replaced */
    dn_plant_memory memory;
    dn_strategy strategy;                                 /* a row, and its exchanges */
    dn_exchange exchanges[DN_STRATEGY_EXCHANGES_MAX];
    int n_skipped;       /* all-reduces of activations skipped */
    const void *posted;  /* what was posted to the next stage before */
    dn_fetched *fetched; /* owned */
};

/** The bug chosen by dn_verify_inject in this process. */
dn_bug dn_bug_chosen(void);
/** Its name, as dn_verify_inject takes it. */
const char *dn_bug_name(dn_bug bug);

/** Plants a bug (DN_BUG_NONE: none) in the communicators of a mesh, until dn_plant_end. */
void dn_plant_begin(dn_plant *plant, dn_bug bug, const dn_mesh *mesh);
void dn_plant_end(dn_plant *plant);

/** Whether the operation has to apply this bug itself. */
bool dn_planted(const dn_verify *v, dn_bug bug);

/** Plants the bug in the kernels of a stream, too, until the operation returns. The lists of memory are borrowed. */
void dn_plant_kernels(dn_verify *v, dn_stream *stream, const dn_plant_memory *memory);

/** The row of a strategy with the bug in it, where that is one of rows; else the row itself. Of the calling thread's rank; to be
 * called before the strategy is opened, which takes as much memory as without. */
const dn_strategy *dn_plant_strategy(dn_verify *v, const dn_strategy *strategy);

/** The block that an operation shows; with DN_BUG_EVEN_PARTS its place if all shards were as long as this
 * rank's. */
dn_block dn_plant_block(const dn_plant *plant, dn_block block);

/** Replace the entries of a bug: plant_comm.c, plant_kernels.c. */
void dn_plant_in_comm(dn_bug bug, dn_comm_ops *ops);
void dn_plant_in_kernels(dn_bug bug, dn_kernels *table);

#endif
