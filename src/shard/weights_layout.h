/*
 * Where the blocks of sharded weights are: in their owners' heaps, in copies of a unit, in the staging area.
 * Staging and copies share one arrangement, an area as large as the largest unit, but staging has no frozen params:
 *
 *     | blocks of owner 0, in the order of params, dense, without gaps | of owner 1 | ... |
 */
#ifndef SHARD_WEIGHTS_LAYOUT_H
#define SHARD_WEIGHTS_LAYOUT_H

#include "shard/prefetch.h"
#include "shard/weights.h"

/* Elements of weights, and of their gradients. */
typedef struct dn_area {
    size_t weights, grads;
} dn_area;

/* Consecutive parameters, and what belongs to them in the arrays of a layout. */
typedef struct dn_unit {
    size_t first, end; /* params */
    dn_area whole;     /* of this rank's share along tp */
    size_t own;        /* weights of it that this rank holds */
    bool all_frozen;
    size_t first_piece, n_blocks;
    size_t first_copy, n_copies;
} dn_unit;

/* Where a block is with its owner. */
typedef struct dn_home {
    dn_comm_chunk chunk;
    int member;  /* of fs */
    bool copied; /* the block is read from a copy */
    bool frozen; /* it is not trained */
} dn_home;

/* The ranks of fs that share one copy of what the others own. */
typedef struct dn_copy_group {
    bool everybody; /* nothing is copied */
    int n, index;   /* members, and which of them this rank is */
    dn_comm *fs;    /* borrowed */
    dn_weights_policy policy;
} dn_copy_group;

typedef struct dn_weights_layout {
    int n_fs;
    size_t n_units;
    dn_unit *units;          /* [n_units] */
    dn_owned *owned;         /* [n_units, n_fs]: each owner's part of the staging area */
    dn_weight *weights;      /* [n_params]: at the first parameter of a stack, of all of it */
    dn_weight_block *blocks; /* of all weights; `weight` of those that are read with another member is set
                         when their unit is opened */
    dn_home *homes;          /* [n_pieces] */
    dn_copy *copies;         /* this rank's, of all units */
    size_t n_blocks, n_copies;
} dn_weights_layout;

/* Memory that blocks may point into: the staging area and, for units of even and odd number, the copies; the
 * latter NULL where nothing is copied. */
typedef struct dn_weight_buffers {
    dn_buf *staging;
    dn_buf *copies[2];
} dn_weight_buffers;

/** Elements of areas on a mesh of size[]: of the unit with most weights, and of the one with most gradients. */
dn_area dn_weights_area(const dn_param *params, size_t n_params, const size_t *unit_of, const int size[DN_N_AXES]);

/** Whom this rank of the group fs shares copies with. */
dn_copy_group dn_copy_group_of(dn_comm *fs, dn_weights_policy policy);

/** Fills *layout; on failure too it must be freed. Errors: DN_ERR_MEMORY. */
dn_status dn_weights_layout_make(const dn_param *params, size_t n_params, const size_t *unit_of,
                                 const dn_mesh *mesh, const dn_copy_group *copy_group,
                                 const dn_weight_buffers *buffers, dn_weights_layout *layout) DN_MUST_USE;
void dn_weights_layout_free(dn_weights_layout *layout);

#endif
