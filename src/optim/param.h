/* A trainable tensor as the optimizers see it: name, kind, shape, and where its numbers are. Owns nothing. */
#ifndef OPTIM_PARAM_H
#define OPTIM_PARAM_H

#include "compute/device.h"

/* The kind decides the optimizer; shape cannot tell a head from a matrix (dion.md 1.9). */
typedef enum dn_param_kind {
    DN_PARAM_MATRIX,    /* hidden matrix: Dion                                    */
    DN_PARAM_EMBEDDING, /* token embedding: element-wise, no weight decay         */
    DN_PARAM_HEAD,      /* output head: element-wise, no weight decay; lr/sqrt(in) under Lion */
    DN_PARAM_VECTOR,    /* gains, biases: element-wise                            */
} dn_param_kind;

#define DN_PARAM_NAME_MAX 64

typedef struct dn_param {
    char name[DN_PARAM_NAME_MAX]; /* as in checkpoints: "transformer.h.0.attn.c_q.weight" */
    dn_param_kind kind;
    size_t rows, cols; /* fan_out, fan_in; global shape; row-major, dense */
    dn_buf *weight;    /* [rows, cols] borrowed; on the symmetric heap in a run */
    dn_buf *grad;      /* [rows, cols] borrowed; likewise */
} dn_param;

static inline size_t dn_param_size(const dn_param *p)
{
    return p->rows * p->cols;
}

#endif
