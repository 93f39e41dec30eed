/*
 * Layers: a model is a list of them. Each is one file, with its parameters, how the mesh cuts them, forward
 * and backward pass, memory and flops; model/model.c runs the list.
 *
 * Letters: B sequences of a micro-batch, T positions, N = B*T, C model width, V vocabulary, NH heads of size
 * hd.
 *
 * The residual stream x [N,C] is one buffer that layers update in place; on the way back it holds the
 * residual stream's gradient. No layer's input is kept: what its backward pass needs it keeps itself.
 *
 * Over tp a rank computes with its blocks of the parameters: its heads, its columns of the MLP, its words of
 * the vocabulary. Shares may be uneven and empty. All ranks of tp hold the same bits of x.
 */
#ifndef NN_LAYER_H
#define NN_LAYER_H

#include "base/arena.h"
#include "compute/kernels.h"
#include "nn/spec.h"
#include "shard/weights.h"

/* Called on the way through a pass. together: after a unit, which all ranks of the mesh pass equally often,
 * so that a collective has its place here; otherwise after a chunk of the head, of which ranks with fewer
 * rows have fewer. A pass ends with the first status that is not DN_OK, as on a failure of its own. */
typedef dn_status dn_progress_fn(void *context, bool together);

/* What a pass is for: the loss; the loss and its gradients; the logits of the last position. */
typedef enum dn_goal { DN_GOAL_LOSS, DN_GOAL_TRAIN, DN_GOAL_NEXT } dn_goal;

/* A micro-batch on its way through the layers of a rank. Several may be on their way at once, each in a slot
 * (model/model.h): of what stands here they share all memory but tokens, targets and x. */
typedef struct dn_pass {
    const dn_spec *spec; /* borrowed, as weights, tp and stream */
    size_t room;         /* positions there is room for */
    int tp_size, tp_rank;
    dn_vocab_shard vocab; /* this rank's of the vocabulary */
    dn_weights *weights;
    dn_comm *tp;
    dn_stream *stream;
    dn_buf *angles;           /* [T,hd]: of rotary positions (dn_rotary_fill); NULL without attention */
    dn_progress_fn *progress; /* or NULL; see dn_model_on_progress */
    void *progress_context;

    /* of the micro-batch in work: */
    dn_goal goal;
    size_t B, T;
    double scale;             /* of the gradients */
    double loss;              /* filled by kernels, read after sync */
    dn_ids *tokens, *targets; /* [N] */
    size_t rows_of[DN_MAX_RANKS]; /* by rank of tp: positions whose tokens are among its words */
    dn_buf *x;                /* [N,C]: residual stream forward, its gradient backward. Symmetric over tp: behind the
                                 embedding others read it, until all of tp have met */
    dn_buf *dy;   /* [N,C]: gradient of a layer's normalized input; forward, over tp, this rank's part of
                     what a layer adds to x. Symmetric over tp */
    dn_buf *wide; /* [N, the widest layer's]: a layer's own, while it goes one way */
    dn_buf *y;    /* [N,C]: a normalized input times its gain; this, gain and dgain only with gains */
    dn_buf *gain, *dgain; /* [C] */
} dn_pass;

typedef struct dn_layer_ops dn_layer_ops;

/* A layer's place in its model. */
typedef struct dn_layer_place {
    const dn_layer_ops *ops;
    size_t index; /* among its kind: the number in names of parameters */
    size_t unit;  /* of its parameters (shard/weights.h), ascending without gaps */
} dn_layer_place;

typedef struct dn_layer {
    dn_layer_place place;
    size_t first_param;
    void *kept; /* the layer's own, of this slot: what its forward pass leaves for its backward pass */
} dn_layer;

struct dn_layer_ops {
    /** Fills all but places and blocks of the layer's parameters, of layer number `index`; returns how many
     * there are. NULL only counts. */
    size_t (*describe)(const dn_spec *spec, size_t index, dn_param *params);
    /** Elements of pass->wide a position: activations that are not kept, gradients on the way. NULL: none. */
    size_t (*wide)(const dn_pass *pass);
    /** Fills `kept`, kept_bytes of zeros: takes memory for pass->room positions from `own`, and what other
     * ranks of tp read from `shared`; once for each slot, so that slots keep theirs apart. May only measure.
     * NULL: nothing is kept. */
    void (*lay)(const dn_pass *pass, void *kept, dn_arena *own, dn_arena *shared);
    size_t kept_bytes; /* at most DN_LAYER_KEPT_MAX */
    /** A token's, forward and backward: 6 for each element of a matrix, and attention's products. */
    double (*flops)(const dn_spec *spec);
    /* Over tp, in each pass: all-reduces of [N,C], and numbers a position that are gathered. */
    int sums_forward, sums_backward, gathered;
    /** Both with the layer's unit open. A model's last layer has no backward: where the pass trains, its
     * forward leaves the gradient of its input in x and adds those of its parameters. It keeps nothing after
     * that, so its memory, taken once, serves all slots. */
    dn_status (*forward)(dn_pass *pass, const dn_layer *layer);
    dn_status (*backward)(dn_pass *pass, const dn_layer *layer);
};

enum { DN_LAYER_KEPT_MAX = 4096 };

/* The layers there are. Every one is computed with the model's width C; x goes in and comes out. */
extern const dn_layer_ops dn_embedding; /* x = E[token]: a model's first */
extern const dn_layer_ops dn_attention; /* x += attention(norm(x)) */
extern const dn_layer_ops dn_mlp;       /* x += mlp(norm(x)) */
extern const dn_layer_ops dn_head;      /* logits = head(norm(x)) and their loss: a model's last */

/* ---- for layers ---- */

/* Which dimension tp cuts; fs cuts the other one. None: of a vector, whose rows fs cuts, and which all of tp
 * have. */
typedef enum dn_tp_sharding { DN_TP_ROWS, DN_TP_COLUMNS, DN_TP_NONE } dn_tp_sharding;

/** Names a parameter of block number `index`, or one that is in no block. */
void dn_layer_name(dn_param *param, const dn_spec *spec, size_t index, const char *name);
void dn_layer_name_alone(dn_param *param, const char *name);
/** A bias of the product with a matrix of that name. */
void dn_layer_name_bias(dn_param *param, const dn_spec *spec, size_t index, const char *name);
bool dn_layer_is_bias(const dn_param *param);

/** Fills all but name, places and blocks; tp cuts between multiples of `unit` rows or columns. */
void dn_layer_param(dn_param *param, dn_param_kind kind, size_t rows, size_t cols, dn_tp_sharding cut,
                    size_t unit);

/** The weight of a layer's parameter number `which`, or of the stack that begins with it. */
static inline const dn_weight *dn_layer_weight(const dn_pass *pass, const dn_layer *layer, size_t which)
{
    return dn_weights_of(pass->weights, layer->first_param + which);
}

/** `elements` numbers of an arena. */
dn_buf *dn_layer_take(dn_arena *arena, size_t elements);

/** The words of a rank of tp. */
dn_vocab_shard dn_layer_vocab_shard(const dn_spec *spec, int tp_size, int rank);

/** Calls the progress function, if there is one. */
static inline dn_status dn_pass_progress(const dn_pass *pass, bool together)
{
    return pass->progress ? pass->progress(pass->progress_context, together) : DN_OK;
}

/** x += the sum over tp of in w^T: a layer that ends in the residual stream. Overwrites dy. */
dn_status dn_layer_project(dn_pass *pass, const dn_buf *in, const dn_weight *w) DN_MUST_USE;

/** dy [N,C] becomes its sum over tp, the same bits on all ranks. */
dn_status dn_layer_sum_dy(dn_pass *pass) DN_MUST_USE;

/** angles [T,hd] of the model's rotary positions. Returns after sync. Errors: DN_ERR_MEMORY. */
dn_status dn_rotary_fill(dn_stream *stream, dn_buf *angles, const dn_spec *spec) DN_MUST_USE;

/* RMS norm of x, in front of a layer. */
typedef struct dn_norm {
    size_t gain;      /* number of the gain's parameter in its layer, if norms have gains */
    dn_buf *n, *rstd; /* [N,C], [N]: normalized, without gain */
} dn_norm;

/** Fills all but the name of parameter number `at` of a layer, which is its norm's gain; returns how many
 * that are: 0 or 1. params NULL only counts. */
size_t dn_norm_describe(const dn_spec *spec, dn_param *params, size_t at);
void dn_norm_lay(const dn_pass *pass, dn_norm *norm, size_t gain, dn_arena *own);
/** y [N,C] = norm(x); valid until the next norm. */
const dn_buf *dn_norm_forward(dn_pass *pass, const dn_layer *layer, const dn_norm *norm);
/** The same y once more, for the way back. */
const dn_buf *dn_norm_output(dn_pass *pass, const dn_layer *layer, const dn_norm *norm);
/** x += the gradient of the norm's input, dy being that of y; dy is lost. Behind dn_norm_output on the way
 * back. */
void dn_norm_backward(dn_pass *pass, const dn_layer *layer, const dn_norm *norm);

#endif
