/* The GPT from inside: what a micro-batch leaves in memory, and the passes over it. For src/nn/gpt*.c and
 * their tests. */
#ifndef NN_GPT_PARTS_H
#define NN_GPT_PARTS_H

#include "compute/kernels.h"
#include "nn/gpt.h"

/* Parameters of one block, in the order of gpt.h. */
enum { DN_BLOCK_Q, DN_BLOCK_K, DN_BLOCK_V, DN_BLOCK_PROJ, DN_BLOCK_FC, DN_BLOCK_MLP_PROJ, DN_BLOCK_N_PARAMS };

/* One block: its parameters, and what its forward pass keeps for its backward pass. N = B*T rows; W, heads,
 * hidden: the rank's share. */
typedef struct dn_gpt_block {
    size_t first_param;      /* its parameters are first_param + DN_BLOCK_Q ... */
    dn_buf *y1, *rstd1;      /* [N,C], [N]: normalized input of attention */
    dn_buf *qkv;             /* [N,3W]: q | k | v of a position; q and k normalized and rotated */
    dn_buf *q_rstd, *k_rstd; /* [N,heads] */
    dn_buf *o, *lse;         /* [N,W], [B,heads,T]: attention before its projection */
    dn_buf *y2, *rstd2;      /* [N,C], [N]: normalized input of the MLP */
    dn_buf *a;               /* [N,hidden]: relu squared */
} dn_gpt_block;

/* What a rank of tp computes: so many heads (W = heads * hd columns of q, k, v and o), so many columns of the
 * MLP, and these words. */
typedef struct dn_gpt_share {
    size_t heads, W, hidden;
    dn_words words;
} dn_gpt_share;

struct dn_gpt {
    dn_spec spec;
    dn_gpt_share share;
    size_t B;            /* sequences there is room for */
    dn_weights *weights; /* borrowed */
    dn_comm *tp;         /* borrowed */
    dn_stream *stream;   /* borrowed */
    void *memory;        /* all buffers below, one allocation; but for exchange */
    size_t memory_bytes;
    void *exchange;                  /* borrowed, symmetric over tp; NULL: tp is a group of one */
    dn_progress_fn *progress; /* NULL or borrowed: see dn_gpt_on_progress */
    void *progress_context;
    double loss;     /* of the micro-batch in work; filled by kernels, read after sync */
    size_t own_rows; /* positions of that micro-batch whose tokens are among the rank's words */

    dn_ids *tokens, *targets; /* [N] */
    dn_buf *x;                /* [N,C]: residual stream forward, its gradient backward; in exchange */
    dn_buf *y, *rstd;         /* [N,C], [N]: normalized input of the head */
    dn_buf *dy;               /* [N,C]: gradient of a normalized input or of o; in exchange, where forward it
                                 also is this rank's part of what a projection adds to x */
    dn_buf *wide;             /* [N, max(hidden,3W)]: gradient of a or of qkv */
    dn_buf *logits;           /* [logits_rows, words.n] */
    dn_buf *parts[2];         /* [logits_rows,3]: of the cross-entropy, in turn; in exchange */
    const dn_buf **all_parts; /* [size of tp] one of them on each rank, while the loss is joined; owned */
    size_t logits_rows;       /* the head works on so many positions at a time */
    dn_gpt_block blocks[];    /* [L] */
};

/** Calls the progress function, if there is one. */
static inline dn_status dn_gpt_progress(const dn_gpt *gpt, bool together)
{
    return gpt->progress ? gpt->progress(gpt->progress_context, together) : DN_OK;
}

/** Layer l: x += attention(norm(x)); x += mlp(norm(x)), for B sequences of T positions. */
dn_status dn_gpt_block_forward(dn_gpt *gpt, size_t l, size_t B, size_t T) DN_MUST_USE;

/** x holds the gradient of the layer's output; leaves that of its input, adds to the parameters' gradients.
 * After dn_gpt_block_forward with the same B and T. */
dn_status dn_gpt_block_backward(dn_gpt *gpt, size_t l, size_t B, size_t T) DN_MUST_USE;

/** Rows of logits to hold at a time for N positions, equal on all ranks of tp: as many as the budget allows,
 * N in chunks of equal size. */
size_t dn_gpt_head_rows(const dn_spec *spec, int tp_size, size_t N);

/** gpt->loss += sum over the N rows of y of -log p(target). */
dn_status dn_gpt_head_loss(dn_gpt *gpt, size_t N) DN_MUST_USE;

/** The same, and dy = scale * its gradient for y; adds to the head's gradient. */
dn_status dn_gpt_head_train(dn_gpt *gpt, size_t N, double scale) DN_MUST_USE;

/** First row of logits = the head of row n-1 of y. */
dn_status dn_gpt_head_row(dn_gpt *gpt, size_t n) DN_MUST_USE;

/* ---- exchanges over tp (gpt_tp.c); no-ops for a group of one ---- */

static inline bool dn_gpt_cut(const dn_gpt *gpt)
{
    return gpt->exchange != NULL;
}

/** dy [N,C] becomes its sum over tp, the same bits on all ranks. */
dn_status dn_gpt_sum_dy(dn_gpt *gpt, size_t N) DN_MUST_USE;

/** x [N,C]: each rank has filled the rows of its words' tokens; the others' are copied from where they lie.
 */
dn_status dn_gpt_share_rows(dn_gpt *gpt, size_t N) DN_MUST_USE;

/** Cross-entropy of the n logits rows of positions first .., chunk number `chunk` of a pass; tp of several.
 */
dn_status dn_gpt_join_loss(dn_gpt *gpt, size_t chunk, size_t first, size_t n, double scale) DN_MUST_USE;

/** The words of a rank of tp. */
dn_words dn_gpt_words(const dn_spec *spec, int tp_size, int rank);

#endif
