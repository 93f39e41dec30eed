/*
 * A trainable tensor as the optimizers see it: name, kind, shape, how the mesh cuts it, and where this rank's
 * numbers are. Owns nothing.
 */
#ifndef OPTIM_PARAM_H
#define OPTIM_PARAM_H

#include "compute/device.h"
#include "dionode/optim.h"

#define DN_PARAM_NAME_MAX 64

/* How one dimension is dealt to the ranks along an axis: dn_part in units. */
typedef struct dn_cut {
    dn_axis axis; /* DN_N_AXES: not cut */
    size_t unit;
} dn_cut;

typedef struct dn_param {
    char name[DN_PARAM_NAME_MAX]; /* as in checkpoints: "transformer.h.0.attn.c_q.weight" */
    dn_param_kind kind;
    size_t rows, cols;       /* fan_out, fan_in; of the whole tensor */
    dn_cut row_cut, col_cut; /* along different axes */
    size_t stack;            /* so many parameters before this one lie directly in front of it, without gaps
                                (c_k: 1, c_v: 2): one product serves all of a stack. The first of a stack starts
                                at the same offset on all ranks. */
    dn_block block;          /* this rank's part */
    dn_buf *weight, *grad;   /* [block.rows, block.cols] dense, borrowed; on the symmetric heap in a run */
} dn_param;

/** Makes the parameter one that no axis cuts: its block is all of it. */
void dn_param_set_whole(dn_param *param);

/** The part of the rank at coordinates at[] of a mesh of size[]. */
dn_block dn_param_block(const dn_param *param, const int size[DN_N_AXES], const int at[DN_N_AXES]);

/** Elements of the largest part that a rank of the mesh holds. */
size_t dn_param_room(const dn_param *param, const int size[DN_N_AXES]);

/** Elements of this rank's part. */
static inline size_t dn_param_size(const dn_param *p)
{
    return p->block.rows * p->block.cols;
}

#endif
