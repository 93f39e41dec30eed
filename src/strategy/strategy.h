/*
 * A strategy: what replicas exchange, and when.
 *
 * Each strategy is one file of this room, NAME.c, that defines one row, dn_strategy_NAME. The list of names
 * in meson.build compiles the file and registers the row; there is no other list. What the row says is
 * carried out by the engine (engine.h): a strategy neither communicates nor walks the model; it sees one
 * shard of a parameter at a time.
 *
 *     average, factors   the optimizer runs on the whole mesh and averages gradients, or Dion's factors, in
 *                        every step (shard/optimizer.h): the engine adds nothing
 *     local              the optimizer runs on each replica's own mesh; after some steps the replicas'
 *                        weights are averaged: each owner forms the mean of its shard of the rows, `apply`
 *                        computes the new weights from it, and these are gathered to all replicas
 *
 * Adding one: docs/extending/strategy.md.
 */
#ifndef STRATEGY_STRATEGY_H
#define STRATEGY_STRATEGY_H

#include "device/stream.h"

#include <stdbool.h>
#include <stdint.h>

enum { DN_STRATEGY_STATES_MAX = 2 };

typedef struct dn_strategy_config {
    uint64_t n_steps;                /* of the run */
    uint64_t sync_every;             /* steps between two exchanges, >= 1 */
    double outer_lr, outer_momentum; /* NAN: the strategy's default */
} dn_strategy_config;

/* The shard of one parameter that this rank owns among the replicas. */
typedef struct dn_strategy_shard {
    size_t n;
    dn_buf *weight;                         /* [n] */
    dn_buf *states[DN_STRATEGY_STATES_MAX]; /* [n] each; they start at 0 */
} dn_strategy_shard;

typedef struct dn_strategy {
    const char *name, *help;
    bool factors; /* the rule exchanges its low-rank factors where it has them, else gradients */
    bool local;   /* each replica steps alone; the fields below apply to these strategies only */
    /* Settings, "key=value key=value ...", under which replicas train exactly as one rank does, for
     * verification. */
    const char *lossless;
    const char *states[DN_STRATEGY_STATES_MAX]; /* names in checkpoints, before ".<parameter>" */
    /** Whether weights are exchanged after the step (counted from 0). Depends on the arguments alone, so that
     * all ranks agree. */
    bool (*due)(const dn_strategy_config *config, uint64_t step);
    /** Initializes the states from the initial weights, which are equal in all replicas. NULL: they stay 0.
     */
    void (*begin)(dn_stream *s, const dn_strategy_shard *x);
    /** In place: x->weight, the mean over the replicas, becomes the new weight of all. NULL: the mean itself.
     */
    void (*apply)(dn_stream *s, const dn_strategy_config *config, const dn_strategy_shard *x);
} dn_strategy;

/** The row with that name; NULL if no strategy has it. */
const dn_strategy *dn_strategy_find(const char *name);

/** A `due`: after every sync_every-th step. */
bool dn_strategy_every(const dn_strategy_config *config, uint64_t step);

#endif
