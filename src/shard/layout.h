/*
 * Who holds, computes and keeps what of one parameter, on any mesh.
 *
 * One axis of the mesh may cut a parameter's rows, another its columns (optim/param.h). Along all other axes
 * ranks hold copies of the same block. What is done with the copies is a choice:
 *
 *     dealt       the work on the block and the state for it are dealt over the copies, in slices of rows:
 *                 the gradient is reduced to the slices, the updated weights are gathered from them
 *     decoupled   copies along dp are replicas, each with a momentum of its own; replicas exchange something smaller than
 *                 a gradient (Dion's factors). Copies along other axes have parts of one replica's gradient, and are dealt
 *
 * Dion sees the part that a rank works on as a block of the oriented matrix B [m,n]: the axes a shard m,
 * the axes b shard n, and the ranks along all others are the replicas. Its thin factors are cut
 * twice: into the rows that a rank computes with, and those into shards, one for each rank that computes with
 * the same rows, so that sums are made, factors orthonormalized and bases stored once.
 *
 *                      n_b (of b)
 *                   +-----------+
 *     m_a (of a)    |   block   |    P_a [m_a,r]  shards over all ranks that are not cut by a
 *                   +-----------+
 *     R_b [n_b,r]: shards over all that are not cut by b;   Q_b [n_b,r]: shards over a
 *
 * The shards of P on all ranks together are P; so are those of R. Parts, slices and shards may be empty. Of a
 * view (optim/param.h) the ranks at the origin of the mesh may have less than others.
 */
#ifndef SHARD_LAYOUT_H
#define SHARD_LAYOUT_H

#include "optim/param.h"
#include "tensor/axes.h"

#include <stdbool.h>

/* Sets of axes hold only axes along which there is more than one rank. */
typedef struct dn_layout {
    const dn_param *param; /* borrowed */
    int size[DN_N_AXES];   /* of the mesh */
    unsigned row_axes;     /* cut the rows of what a rank works on, slices among them */
    unsigned col_axes;     /* cut its columns */
    unsigned slices;       /* deal the copies' work: gradients are reduced, weights gathered over these */
    unsigned replicas;     /* work on the same part, each with its own momentum; empty unless decoupled */
} dn_layout;

dn_layout dn_layout_of(const dn_param *param, const int size[DN_N_AXES], bool decoupled);

/** The part of the whole parameter that the rank at at[] works on: its block, or its slice of the block. */
dn_block dn_layout_block(const dn_layout *layout, const int at[DN_N_AXES]);

/* Rows of Dion's factors, of the whole P [m,r], Q and R [n,r]. */
typedef struct dn_factor_shards {
    dn_range m, n;    /* that a rank computes with: its block of B */
    dn_range p, q, r; /* that are its own, among those */
} dn_factor_shards;

/** transposed: B is X^T. */
dn_factor_shards dn_layout_factor_shards(const dn_layout *layout, bool transposed, const int at[DN_N_AXES]);

enum { DN_LAYOUT_LARGEST = 3 };

/** at[] = coordinates of a few ranks, one of which has the largest block, and one the largest shard of each factor;
 * how many is returned. Larger shards come first: that is rank 0, but for the rows of a view,
 * where it is the first rank whose rows reach into it, or the next. */
int dn_layout_largest(const dn_layout *layout, int at[DN_LAYOUT_LARGEST][DN_N_AXES]);

/* The most that any rank has: what symmetric memory needs room for. */
typedef struct dn_layout_most {
    size_t part; /* elements of what it works on */
    size_t m, n; /* rows of the factors that it computes with */
} dn_layout_most;

dn_layout_most dn_layout_most_of(const dn_layout *layout, bool transposed);

/** The axes that cut m, or n, of the oriented block. */
unsigned dn_layout_m_axes(const dn_layout *layout, bool transposed);
unsigned dn_layout_n_axes(const dn_layout *layout, bool transposed);

#endif
