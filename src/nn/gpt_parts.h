/* The GPT from inside: what a micro-batch leaves in memory, and the passes over it. For src/nn/gpt*.c and
 * their tests. */
#ifndef NN_GPT_PARTS_H
#define NN_GPT_PARTS_H

#include "nn/gpt.h"

/* Parameters of one block, in the order of gpt.h. */
enum { DN_BLOCK_Q, DN_BLOCK_K, DN_BLOCK_V, DN_BLOCK_PROJ, DN_BLOCK_FC, DN_BLOCK_MLP_PROJ, DN_BLOCK_N_PARAMS };

/* One block: its parameters, and what its forward pass keeps for its backward pass. N = B*T rows. */
typedef struct dn_gpt_block {
    const dn_param *params;  /* [DN_BLOCK_N_PARAMS], borrowed */
    dn_buf *y1, *rstd1;      /* [N,C], [N]: normalized input of attention */
    dn_buf *qkv;             /* [N,3C]: q | k | v of a position; q and k normalized and rotated */
    dn_buf *q_rstd, *k_rstd; /* [N,NH] */
    dn_buf *o, *lse;         /* [N,C], [B,NH,T]: attention before its projection */
    dn_buf *y2, *rstd2;      /* [N,C], [N]: normalized input of the MLP */
    dn_buf *a;               /* [N,4C]: relu squared */
} dn_gpt_block;

struct dn_gpt {
    dn_gpt_shape shape;
    size_t B;               /* sequences there is room for */
    const dn_param *params; /* borrowed */
    dn_stream *stream;      /* borrowed */
    void *memory;           /* all buffers below, one allocation */
    size_t memory_bytes;
    void (*progress)(void *context); /* NULL or borrowed: see dn_gpt_on_progress */
    void *progress_context;
    double loss; /* of the micro-batch in work; filled by kernels, read after sync */

    dn_ids *tokens, *targets; /* [N] */
    dn_buf *x;                /* [N,C]: residual stream forward, its gradient backward */
    dn_buf *y, *rstd;         /* [N,C], [N]: normalized input of the head */
    dn_buf *dy;               /* [N,C]: gradient of a normalized input or of o */
    dn_buf *wide;             /* [N,4C]: gradient of a or of qkv */
    dn_buf *logits;           /* [logits_rows,V] */
    size_t logits_rows;       /* the head works on so many positions at a time */
    dn_gpt_block blocks[];    /* [L] */
};

/** Calls the progress function, if there is one. */
static inline void dn_gpt_progress(const dn_gpt *gpt)
{
    if (gpt->progress)
        gpt->progress(gpt->progress_context);
}

/** x += attention(norm(x)); x += mlp(norm(x)), for B sequences of T positions. */
void dn_gpt_block_forward(dn_gpt *gpt, const dn_gpt_block *block, size_t B, size_t T);

/** x holds the gradient of the block's output; leaves that of its input, adds to the parameters' gradients.
 * After dn_gpt_block_forward with the same B and T. */
void dn_gpt_block_backward(dn_gpt *gpt, const dn_gpt_block *block, size_t B, size_t T);

/** Rows of logits to hold at a time for N positions: as many as the budget allows, N in chunks of equal size.
 */
size_t dn_gpt_head_rows(const dn_gpt_shape *shape, size_t N);

/** gpt->loss += sum over the N rows of y of -log p(target). */
void dn_gpt_head_loss(dn_gpt *gpt, size_t N);

/** The same, and dy = scale * its gradient for y; adds to the head's gradient. */
void dn_gpt_head_train(dn_gpt *gpt, size_t N, double scale);

/** First row of logits = the head of row n-1 of y. */
void dn_gpt_head_row(dn_gpt *gpt, size_t n);

#endif
