/*
 * A parameter: a trainable tensor, its kind, and this rank's block of weight and gradient. Owns nothing.
 */
#ifndef OPTIM_PARAM_H
#define OPTIM_PARAM_H

#include "device/stream.h"
#include "dionode/optim.h"
#include "tensor/block.h"

#define DN_PARAM_NAME_MAX       DN_OPTIM_NAME_MAX        /* bytes of a name, with its end */
#define DN_PARAM_SPLIT_NAME_MAX (DN_PARAM_NAME_MAX - 11) /* of a parameter with views */

typedef struct dn_param {
    dn_tensor
        tensor; /* of the weight: [fan_out, fan_in] of dn_real, named as in checkpoints:
                   "transformer.h.0.attn.c_q.weight". Of a view: rows are sharded as those of view_of are */
    dn_param_kind kind;
    size_t n_views; /* its rows are n_views matrices of equal height, each optimized on its own (heads; a
                       fused QKV); 0: one */
    size_t
        split_rows[DN_OPTIM_SPLITS_MAX]; /* where they have not as many rows each: [split] how many. Else 0 */
    size_t stack;          /* so many parameters before this one lie directly in front of it, without gaps
                              (c_k: 1, c_v: 2): one product serves all of a stack. The first of a stack starts
                              at the same offset on all ranks. */
    size_t unit;           /* of a model: the backward pass ends with 0, and the gradient is complete behind its unit */
    bool frozen;           /* not trained: it has no gradient, and no optimizer knows it */
    bool apart;            /* of a stack of which a part is frozen: it lies by itself, at the same offset on all ranks */
    size_t place;          /* 1 + where it counts as standing in the list, by which its random streams are numbered;
                              0: where it stands */
    dn_block block;        /* this rank's part */
    dn_buf *weight, *grad; /* [block.rows, block.cols] dense, borrowed; on the symmetric heap in a run */
    const struct dn_param *view_of; /* of a view (dn_param_view): the parameter that holds its numbers;
                                       borrowed. Else NULL */
    size_t first_row;               /* of a view: in that parameter */
} dn_param;

/** The block of the rank at coordinates at[] of a mesh of size[]. */
dn_block dn_param_block(const dn_param *param, const int size[DN_N_AXES], const int at[DN_N_AXES]);

/** The rows of matrix k of the n that make a parameter: as split_rows says, or as many each. */
dn_range dn_param_split(const dn_param *whole, size_t n, size_t k);

/** Matrix k of the n that make a parameter (borrowed) as a parameter of its own, named
 * "<name>.<k>" if n > 1: its block is what this rank's block has of its rows, perhaps nothing, and its
 * numbers lie where they were. Larger parts do not come first. */
dn_param dn_param_view(const dn_param *whole, size_t n, size_t k);

/** Elements of a rank's block of the parameter that precede its block of the view. */
size_t dn_param_view_offset(const dn_param *view, dn_block block);

/** Elements of the largest block that a rank of the mesh holds; not for views. */
size_t dn_param_max_size(const dn_param *param, const int size[DN_N_AXES]);

/** Elements of this rank's block. */
static inline size_t dn_param_size(const dn_param *p)
{
    return dn_block_size(p->block);
}

#endif
