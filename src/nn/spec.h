/* The specification of a model: sizes, options of its layers, and names of its parameters; independent of
 * ranks, memory and files. */
#ifndef NN_SPEC_H
#define NN_SPEC_H

#include "compute/activation.h"
#include "dionode/types.h"
#include "optim/named_group.h"

#include <stdbool.h>
#include <stddef.h>

/* y = n (offset + gain) + bias, n = x / sqrt(mean(x^2) + eps): RMS norm; center: of x less its mean: LayerNorm. */
typedef struct dn_norm_spec {
    bool center;
    double eps, offset;
    bool gain, bias; /* vectors [C] of each norm, initially 1 - offset and 0; without a gain offset is nothing, y is n; a
                        bias stands with a gain only */
} dn_norm_spec;

/* What an architecture decides where nothing else is said: completed specs say yes or no. */
typedef enum dn_choice { DN_UNSET, DN_NO, DN_YES } dn_choice;

/* Of rotary frequencies f = theta^(-2i/rot). Linear: f / factor. llama3, with turns = original_T f / (2 pi): f where turns
 * are above high, f / factor below low, between them a mixture, linear in turns. */
typedef enum dn_rope_scaling { DN_ROPE_PLAIN, DN_ROPE_LINEAR, DN_ROPE_LLAMA3 } dn_rope_scaling;

typedef struct dn_attention_spec {
    size_t NH, NKV, hd;    /* heads; of keys and values, a divisor of NH; size of a head, even */
    bool qkv_bias, o_bias; /* projections have biases, initially 0 */
    size_t window;         /* positions that one sees, its own and earlier ones; 0: all */
    bool qk_norm;          /* q and k are RMS-normalized by head, with the eps of the model */
    bool qk_gain;          /* then multiplied by gains [hd], one vector for all heads of q, one for those of k */
    double rotary;         /* part of a head that rotary embeddings turn; given: 0 is all */
    size_t rot;            /* that is, numbers of a head, its first; even: rounded down; 0: none */
    double theta;          /* of their frequencies theta^(-2i/rot), i < rot/2 */
    dn_rope_scaling scaling;
    double factor, low, high; /* of scaling, with original_T */
    size_t original_T;
    int turn;         /* sense of rotation of rotary embeddings: 1, as usual: u' = u cos - w sin; or -1 */
    bool split_heads; /* each head's rows of q, k and v are a matrix of their own to the optimizer */
} dn_attention_spec;

typedef struct dn_mlp_spec {
    size_t F;    /* hidden columns */
    size_t lags; /* positions that it sees, its own and lags - 1 earlier ones, each through its own matrix; >=
                    1 */
    dn_activation act;
    bool gated; /* act(g) h in the place of act(h), g made as h is, by a matrix of its own: SwiGLU with SiLU, GeGLU */
    bool bias; /* of all its products: gate, up (once, whatever the lags), down */
} dn_mlp_spec;

/* The matrices of a block, in the order of their layers' parameters. */
typedef enum dn_role { DN_ROLE_Q, DN_ROLE_K, DN_ROLE_V, DN_ROLE_O, DN_ROLE_GATE, DN_ROLE_UP, DN_ROLE_DOWN, DN_N_ROLES } dn_role;

/* Low-rank adapters (nn/adapter.h): y += scale (x A^T) B^T beside matrices, which are frozen then. */
typedef struct dn_lora_spec {
    size_t rank; /* 0: there are none */
    double scale;
    unsigned roles; /* bits of dn_role: which matrices have one */
} dn_lora_spec;

/* Names of parameters, without ".weight" or ".bias"; in a block: <block><number>.<name>. */
typedef struct dn_names {
    const char *embedding, *head, *block;
    const char *q, *k, *v, *o;
    const char *positions;        /* learned */
    const char *q_norm, *k_norm;  /* gains of heads, in a block */
    const char *gate, *up, *down; /* up_0, up_1, ... where the MLP has several lags; gate: a GLU's g */
    const char *attention_norm, *mlp_norm; /* in a block */
    const char *norm;                      /* before the head */
} dn_names;

/* A run of a model's layers (model/model.h): what a stage of a pipeline holds. */
typedef struct dn_layer_range {
    size_t first, end; /* end 0: all layers */
} dn_layer_range;

/* Behind a unit of a whole model, what would cross to the next stage of a pipeline (nn/channel.h). */
typedef struct dn_channel {
    unsigned unit, kept;
} dn_channel;

typedef struct dn_spec {
    size_t V, T, C, L; /* vocabulary, positions, model width, layers */
    dn_layer_range stage; /* the layers of the model that are meant; whoever completes a spec leaves it 0 */
    size_t n_channels;
    dn_channel channels[DN_MAX_RANKS];
    dn_norm_spec norm;
    dn_attention_spec attention;
    dn_mlp_spec mlp;
    bool positions;     /* learned ones are added to the embedding: max_positions rows */
    double embed_scale; /* of the embedding */
    dn_choice parallel; /* x += attention(norm(x)) + mlp(norm'(x)), both of the same x */
    dn_choice tied;     /* the head is the embedding */
    size_t max_positions; /* that the model is for, at least T; given: 0 is T */
    const dn_names *names;
    bool narrow;    /* activations that products read may be of bfloat16, as the precision and the device have it (dn_precision_narrows) */
    size_t classes; /* that the head tells sequences into (nn/classifier.c); 0: it predicts tokens */
    size_t prompt;  /* keys and values that each attention has before all positions, trained: a prefix; not with a cache */
    uint64_t unprompted; /* blocks whose attention has none, one bit each; from 64 on all have */
    bool outputs;   /* what blocks put out is kept, as for a side module (nn/layer.h) */
    size_t sherl;   /* the reduction of a side module in front of the last block (nn/sherl.c); 0: there is none; not with a cache */
    dn_lora_spec lora;
    dn_globs trained; /* the parameters that are trained, beside what is added to a model, which always is; all others are frozen.
                         None: all are trained, or with adapters none */
    const struct dn_architecture
        *architecture; /* a row of the registry (model/model.h); layers do not read it */
} dn_spec;

/** Whether the head is the embedding; a head of classes never is. */
static inline bool dn_spec_is_tied(const dn_spec *spec)
{
    return spec->tied == DN_YES && spec->classes == 0;
}

#endif
