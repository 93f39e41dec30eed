/*
 * Fully sharded weights (FSDP, ZeRO-3): each rank of the axis fs holds a shard of every parameter, computes
 * with all of them, and ends with the mean gradient of its shard.
 *
 * Parameters come in units (a layer, the head). A pass unshards one unit at a time, forward in ascending
 * order, backward in descending order. One barrier over fs makes weights readable; the policy says how they
 * are read:
 *
 *     in place     where their owners hold them: nothing is copied
 *     per rank     each rank copies the others' shards to private memory, as the nodes of a cluster would
 *     per domain   the ranks of a NUMA domain together copy what other domains hold, once
 *
 * Copies are double-buffered: while one unit is computed with, a thread prefetches the next.
 *
 * Gradients of an open unit are written to a staging area on the symmetric heap, from which each owner
 * reduces its part (in rank order, dn_comm_reduce_to_owners), but none of frozen parameters:
 *
 *     staging of each rank   | unit's parts of owner 0 | of owner 1 | ... |     owner 1:  grad += mean of
 * these
 *
 * With fs 1 a unit's weights and gradients are the parameters themselves, and nobody meets.
 */
#ifndef SHARD_WEIGHTS_H
#define SHARD_WEIGHTS_H

#include "optim/param.h"

#include <stdbool.h>

typedef enum dn_weights_policy {
    DN_WEIGHTS_IN_PLACE,
    DN_WEIGHTS_PER_DOMAIN,
    DN_WEIGHTS_PER_RANK
} dn_weights_policy;

#define DN_WEIGHTS_POLICY_NAMES                                                                              \
    "in_place|per_domain|per_rank" /* of configurations, in the order of dn_weights_policy */

/* A block of a weight, and where it can be read: [rows, cols], dense. */
typedef struct dn_weight_block {
    dn_block block;
    const dn_buf *weight; /* to read */
    const dn_bf16 *narrow; /* the same numbers in bfloat16 (dn_weights_narrow, dn_weights_narrow_units); NULL: not asked for */
    dn_buf *grad;         /* in a backward pass: to add to; NULL: frozen */
} dn_weight_block;

/* What a rank computes with of a stack of parameters: its share along tp [rows, cols], the stack's parameters
 * below each other, as blocks that tile it. None is empty; an empty share has no block. fs 1 makes one block.
 * Where fs cuts columns each block is a block of columns; where it cuts rows, or the stack lies apart, of one
 * parameter.
 */
typedef struct dn_weight {
    size_t rows, cols;
    size_t n_blocks;
    const dn_weight_block *blocks;
} dn_weight;

/* Bytes of a rank that holds the largest part of everything. */
typedef struct dn_weights_memory {
    size_t weights, grads; /* of the parameters, and of the trained ones: fall as 1/fs */
    size_t staging;        /* gradients of the unit that has most; 0 with fs 1 */
    size_t copies;         /* of two units; 0 in place and with fs 1 */
} dn_weights_memory;

/** What a mesh of size[] holds of params. unit_of [n_params] is the unit of each, ascending from 0. */
dn_weights_memory dn_weights_memory_of(const dn_param *params, size_t n_params, const size_t *unit_of,
                                       const int size[DN_N_AXES], dn_weights_policy policy);

/** Symmetric heap that dn_weights_create takes of mesh->root, in bytes; exact, or more where devices do not reach their peers'. */
size_t dn_weights_heap_bytes(const dn_param *params, size_t n_params, const size_t *unit_of,
                             const int size[DN_N_AXES], dn_weights_policy policy);

typedef struct dn_weights dn_weights;

/** Sharded access to params (borrowed, as mesh and stream; weights and grads on the symmetric heap of
 * mesh->root). All ranks of mesh->all call it alike; nobody meets. unit_of as above, not kept. policy: where devices do not reach
 * their peers' memory it is DN_WEIGHTS_PER_RANK. Errors: DN_ERR_ARG: fs does not cut a parameter along one of its sides;
 * DN_ERR_MEMORY; DN_ERR_SYSTEM: no thread. Owned by the caller. */
dn_status dn_weights_create(const dn_param *params, size_t n_params, const size_t *unit_of,
                            const dn_mesh *mesh, dn_weights_policy policy, dn_stream *stream,
                            dn_weights **out) DN_MUST_USE;

/** Waits for no other rank. NULL is a no-op; sets *weights to NULL. */
void dn_weights_destroy(dn_weights **weights);

/**
 * Collective over fs. Makes a unit's weights readable, and with `backward` its blocks' gradients writable:
 * they are 0, or with fs 1 what params[].grad holds. A unit that does not follow the one opened last begins a
 * new pass: weights are then those that their owners had written before they came to this call, in it and all
 * units that follow. Owners must not write until all members have met after the pass. A pass may be left
 * early; what was copied ahead is then dropped.
 *
 * Counted as an all-gather of the unit, DN_TRAFFIC_WEIGHTS, whatever the gather: reads of peers' parts, not
 * what copying writes. Errors: of a barrier; of the stream.
 */
dn_status dn_weights_unshard(dn_weights *weights, size_t unit, bool backward) DN_MUST_USE;

/** Only with fs 1. Rounds what products of few rows read, matrices and the head (tied: the embedding), to bfloat16, and keeps it
 * in that type, too. *rounded: some of it was not of that type. Returns after sync. Errors: DN_ERR_MEMORY. */
dn_status dn_weights_narrow(dn_weights *weights, bool tied, bool *rounded) DN_MUST_USE;

/** From now on what products read of a unit, matrices and the head (tied: the embedding), has copies in bfloat16, made when it is
 * unsharded, of the weights that it then has, and valid until the next one is. They are read by products of forward and backward in
 * their place. Errors: DN_ERR_MEMORY. */
dn_status dn_weights_narrow_units(dn_weights *weights, bool tied) DN_MUST_USE;

/** Bytes of device memory that it takes. */
size_t dn_weights_narrow_bytes(const dn_param *params, size_t n_params, const size_t *unit_of, const int size[DN_N_AXES]);

/** Between passes, on all members of fs alike: passes read trained weights so many bytes behind where params have them, as they lie
 * there; 0: where params have them. Those are of the symmetric heap, too, and obey what is said of weights above. */
void dn_weights_read_behind(dn_weights *weights, ptrdiff_t bytes);

/** The weight of the stack that begins with params[first_param], whose unit is open. Borrowed; read until the
 * unit is closed. */
const dn_weight *dn_weights_of(const dn_weights *weights, size_t first_param);

/** Collective over fs if `backward`: adds the mean over fs of the unit's gradients to params[].grad, each
 * rank to its own block. Errors: of a barrier; of the stream. */
dn_status dn_weights_reshard(dn_weights *weights, size_t unit, bool backward) DN_MUST_USE;

#endif
