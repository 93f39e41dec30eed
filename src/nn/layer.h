/*
 * Layers, of which a model is a list. Each is one file, with its parameters and their sharding, forward and
 * backward pass, memory and flops; model/model.c runs the list.
 *
 * Letters: B sequences of a micro-batch, T positions, N = B*T, C model width, V vocabulary, NH heads of size
 * hd.
 *
 * The residual stream x [N,C] is one buffer that layers update in place; in the backward pass it holds the
 * gradient of the residual stream. Inputs are not kept: a layer keeps what its own backward pass needs.
 *
 * Over tp a rank computes with its blocks of the parameters: its heads, its columns of the MLP, its
 * vocabulary shard. Blocks may be uneven and empty. x is bitwise equal on all ranks of tp.
 */
#ifndef NN_LAYER_H
#define NN_LAYER_H

#include "base/arena.h"
#include "compute/kernels.h"
#include "nn/spec.h"
#include "shard/weights.h"

/* Called during a pass. together: after a unit, equally often on all ranks of the mesh, so that a collective
 * may be called here; otherwise after a chunk of the head, of which ranks with fewer rows have fewer. The
 * pass ends with the first status that is not DN_OK, as on an error of its own. */
typedef dn_status dn_progress_fn(void *context, bool together);

/* What a pass computes: the loss; the loss and its gradients; the logits of each sequence's last position, or of classes. */
typedef enum dn_goal { DN_GOAL_LOSS, DN_GOAL_TRAIN, DN_GOAL_NEXT } dn_goal;

/* A micro-batch that passes through the layers of a rank. Several may be in flight, each in a slot
 * (model/model.h); of the memory below they share all but tokens, targets and x. */
typedef struct dn_pass {
    const dn_spec *spec; /* borrowed, as weights, tp and stream */
    size_t room;         /* positions that the buffers can hold */
    int tp_size, tp_rank;
    dn_vocab_shard vocab; /* this rank's */
    dn_weights *weights;
    dn_comm *tp;
    dn_stream *stream;
    size_t n_sequences;       /* of the cache; 0: there is none, and positions count from 0 in each sequence */
    bool cache_bf16;          /* keys and values in the cache are bfloat16 */
    bool narrow;              /* what products read is of bfloat16, as far as dn_layer_is_narrow says so */
    dn_buf *angle_table;      /* [T,rot]: of rotary positions (dn_rotary_fill); NULL without attention */
    dn_progress_fn *progress; /* or NULL; see dn_model_on_progress */
    void *progress_context;

    /* of the current micro-batch: */
    dn_goal goal;
    size_t B, T;
    double scale;             /* of the gradients */
    double loss;              /* filled by kernels, read after sync */
    dn_ids *tokens, *targets; /* [N]; of classes: [n_labels] */
    const int32_t *labelled;  /* [n_labels] host: of classes, the rows that have a target, one a sequence at most */
    size_t n_labels;
    dn_cache_row *rows;       /* [N] host: where tokens belong in the cache; NULL without one. One sequence, or T
                                 is 1. Layers fill the cache there, and see what it holds before */
    dn_ids *positions;        /* [N]: the same on the device; NULL without a cache */
    dn_buf *angles;           /* the table, or with a cache [N,rot]: its rows at these positions */
    size_t rows_of[DN_MAX_RANKS]; /* by rank of tp: positions whose tokens are in its vocabulary shard */
    dn_buf *x;    /* [N,C]: residual stream forward, its gradient backward. Symmetric over tp: after the
                     embedding others read it, until the next barrier of tp */
    dn_buf *dy;   /* [N,C]: gradient of a layer's normalized input; forward, over tp, this rank's term of
                     what a layer adds to x. Symmetric over tp */
    dn_buf *wide; /* [N, the widest layer's width]: temporary of a layer within one forward or backward */
    dn_buf *before; /* [N,C]: x, or its gradient, before a block whose layers stand side by side changed it */
    dn_buf *y;    /* [N,C]: a normalized input times its gain, activations; this, gain and dgain only with gains */
    dn_buf *gain, *dgain; /* [dn_layer_gain_size] */
    dn_buf *outputs;      /* [L,room,C]: of the embedding and of all blocks but the last; only for SHERL, or where the spec says so */
    dn_buf *rounded;      /* [N, the widest that dn_layer_rounded is asked for]; NULL unless narrow */
    dn_buf *low;          /* [2,room,rank]: between an adapter's matrices; only with adapters */
} dn_pass;

typedef struct dn_layer_ops dn_layer_ops;

/* A layer's place in its model. */
typedef struct dn_layer_place {
    const dn_layer_ops *ops;
    size_t index; /* among layers of its kind; in names of parameters */
    size_t unit;  /* of its parameters (shard/weights.h), ascending without gaps */
} dn_layer_place;

typedef struct dn_layer {
    dn_layer_place place;
    size_t first_param;
    dn_buf *cache; /* [n_sequences][T * cached]; the layer lays it out within a sequence; dn_bf16 if it narrows */
    void *kept;    /* private to the layer and slot: what its forward pass keeps for its backward pass */
} dn_layer;

struct dn_layer_ops {
    /** Fills all but places and blocks of the layer's parameters, of layer number `index`; returns how many
     * there are, at most DN_LAYER_PARAMS_MAX. NULL only counts. */
    size_t (*describe)(const dn_spec *spec, size_t index, dn_param *params);
    /** Elements of pass->wide per position: activations that are not kept, intermediate gradients. NULL:
     * none. */
    size_t (*wide)(const dn_pass *pass);
    /** Fills `kept`, kept_bytes of zeros: takes memory for pass->room positions from `own`, and memory that
     * other ranks of tp read from `shared`; called once per slot. The arenas may only be measuring. NULL:
     * nothing is kept. */
    void (*lay)(const dn_pass *pass, void *kept, dn_arena *own, dn_arena *shared);
    size_t kept_bytes; /* at most DN_LAYER_KEPT_MAX */
    /** Elements per position that later positions of the same sequence read: the cache. NULL: none. */
    size_t (*cached)(const dn_pass *pass);
    bool cache_narrows; /* it is of bfloat16 with pass->cache_bf16, else of dn_real; then `cached` is even */
    /** Per token, forward and backward: 6 for each element of a matrix, plus attention's products. */
    double (*flops)(const dn_spec *spec);
    /* Over tp, in each pass: all-reduces of [N,C], and elements gathered per position. */
    int sums_forward, sums_backward, gathered;
    /** Both with the layer's unit unsharded. The last layer of a model has no backward: in a training pass
     * its forward leaves the gradient of its input in x and adds those of its parameters. It keeps nothing
     * afterwards, so all slots share its memory. */
    dn_status (*forward)(dn_pass *pass, const dn_layer *layer);
    dn_status (*backward)(dn_pass *pass, const dn_layer *layer);
};

enum { DN_LAYER_KEPT_MAX = 4096, DN_LAYER_PARAMS_MAX = 40 };

/* All layers. Each reads and writes x, of the model's width C. */
extern const dn_layer_ops dn_embedding; /* x = E[token]: a model's first; holds what a tied head needs */
extern const dn_layer_ops dn_attention; /* x += attention(norm(x)) */
extern const dn_layer_ops dn_mlp;       /* x += mlp(norm(x)) */
extern const dn_layer_ops dn_sherl;     /* x = what is learned of pass->outputs; where the backward pass ends */
extern const dn_layer_ops dn_head;      /* logits = head(norm(x)) and their loss: a model's last */
extern const dn_layer_ops dn_classifier; /* the same of classes, at labelled positions: last in the head's place */

/* ---- for layers ---- */

/* Which dimension is sharded over tp; the other one is sharded over fs. None: a vector, sharded over fs and
 * replicated over tp. */
typedef enum dn_tp_sharding { DN_TP_ROWS, DN_TP_COLUMNS, DN_TP_NONE } dn_tp_sharding;

/** Names a parameter of decoder block `index`, or, with DN_NO_BLOCK, one outside the blocks; `what` is "weight" or "bias".
 */
#define DN_NO_BLOCK SIZE_MAX
void dn_layer_name(dn_param *param, const dn_spec *spec, size_t index, const char *name, const char *what);
bool dn_layer_is_bias(const dn_param *param);

/** Whether it is one that fine-tuning adds to a trained model: of an adapter, a prefix, a side module, or a head of classes. Such ones are
 * trained, whatever is frozen. */
bool dn_layer_is_added(const dn_param *param);
#define DN_PREFIX_NAME "prefix_" /* prefix_k, prefix_v */
bool dn_layer_is_prefix(const dn_param *param);

/** Fills all but name, addresses and blocks; tp shards in multiples of `unit` rows or columns. */
void dn_layer_param(dn_param *param, dn_param_kind kind, size_t rows, size_t cols, dn_tp_sharding cut,
                    size_t unit);

/** The weight of a layer's parameter number `which`, or of the stack that begins with it. */
static inline const dn_weight *dn_layer_weight(const dn_pass *pass, const dn_layer *layer, size_t which)
{
    return dn_weights_of(pass->weights, layer->first_param + which);
}

/** Takes `elements` elements from an arena; the other one, of bfloat16 by a narrow handle. */
dn_buf *dn_layer_take(dn_arena *arena, size_t elements);
dn_buf *dn_layer_take_narrow(dn_arena *arena, size_t elements);

/** Whether activations in rows of `cols`, which only products and the kernels between them read, are of bfloat16: rows then begin at
 * whole 16 bytes, as products want them. */
static inline bool dn_layer_is_narrow(const dn_pass *pass, size_t cols)
{
    return pass->narrow && cols % 8 == 0;
}

/** Takes such activations [rows, cols]. */
static inline dn_buf *dn_layer_take_activations(const dn_pass *pass, dn_arena *arena, size_t rows, size_t cols)
{
    return dn_layer_is_narrow(pass, cols) ? dn_layer_take_narrow(arena, rows * cols) : dn_layer_take(arena, rows * cols);
}

/** x [N,cols] as several products are to read it: if the pass is narrow, and x is not, a copy of bfloat16, made once for all of
 * them, valid until the next call. */
const dn_buf *dn_layer_rounded(dn_pass *pass, const dn_buf *x, size_t cols);

/** The vocabulary shard of a rank of tp. */
dn_vocab_shard dn_layer_vocab_shard(const dn_spec *spec, int tp_size, int rank);

/** Calls the progress function, if there is one. */
static inline dn_status dn_pass_progress(const dn_pass *pass, bool together)
{
    return pass->progress ? pass->progress(pass->progress_context, together) : DN_OK;
}

/* Where a layer's adapters are among its parameters, and the role of the first of its matrices. */
typedef struct dn_adapters {
    size_t at;
    dn_role first;
} dn_adapters;

/** x += the sum over tp of in w^T, w parameter number `which` of the layer, and of what its adapter adds: a layer that ends in
 * the residual stream. Overwrites dy. */
dn_status dn_layer_project(dn_pass *pass, const dn_layer *layer, const dn_buf *in, size_t which, const dn_adapters *adapters,
                           dn_role role) DN_MUST_USE;

/** dy [N,C] becomes its sum over tp, the same bits on all ranks. */
dn_status dn_layer_sum_dy(dn_pass *pass) DN_MUST_USE;

/** The frequency of pair i < rot/2 of a head's numbers: the angle from one position to the next. */
double dn_rotary_frequency(const dn_attention_spec *a, size_t i);

/** angles [T,rot] of the model's rotary positions. Returns after sync. Errors: DN_ERR_MEMORY. */
dn_status dn_rotary_fill(dn_stream *stream, dn_buf *angles, const dn_spec *spec) DN_MUST_USE;

/** With a cache: fills pass->angles for pass->positions. */
void dn_rotary_select(dn_pass *pass);

/** What a layer of a block reads on its way, forward the stream and back the gradient of its output: x; where attention and
 * MLP stand side by side, a copy of x that the first of both makes. */
dn_buf *dn_layer_input(const dn_pass *pass, bool first);

/** Elements of pass->gain and dgain: of the widest row that is multiplied by gains, and one head's more. */
size_t dn_layer_gain_size(const dn_spec *spec);

/** to [rows] = a vector, which over fs comes in blocks; and its gradient, unless it is frozen, += a from [rows]. */
void dn_layer_gather(dn_stream *s, dn_buf *to, const dn_weight *vector);
void dn_layer_scatter(dn_stream *s, const dn_weight *vector, double a, const dn_buf *from);

/* The norm in front of a layer. */
typedef struct dn_norm {
    size_t gain;      /* index of the gain among its layer's parameters, if norms have gains; a bias follows */
    dn_buf *n, *rstd; /* [N,C], [N]: normalized, without gain, activations; their factors */
} dn_norm;

/** Describes the parameters number `at` and on of a layer, which are its norm's, in block `index` by that name; returns how
 * many that are: 0 to 2. params NULL only counts. */
size_t dn_norm_describe(const dn_spec *spec, dn_param *params, size_t at, size_t index, const char *name);
void dn_norm_lay(const dn_pass *pass, dn_norm *norm, size_t gain, dn_arena *own);
/** y [N,C] = norm(x [N,C]); valid until the next norm. */
const dn_buf *dn_norm_forward(dn_pass *pass, const dn_layer *layer, const dn_norm *norm, const dn_buf *x);
/** Recomputes the same y, for the backward pass. */
const dn_buf *dn_norm_output(dn_pass *pass, const dn_layer *layer, const dn_norm *norm);
/** x += the gradient of the norm's input, from dy, the gradient of y, which is overwritten. To be called
 * after dn_norm_output. */
void dn_norm_backward(dn_pass *pass, const dn_layer *layer, const dn_norm *norm);

#endif
