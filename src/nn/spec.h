/* The specification of a model: sizes, options of its layers, and names of its parameters; independent of
 * ranks, memory and files. */
#ifndef NN_SPEC_H
#define NN_SPEC_H

#include <stdbool.h>
#include <stddef.h>

/* RMS norm. */
typedef struct dn_norm_spec {
    double eps;
    bool gain; /* times a vector of gains, one per norm, initially 1 */
} dn_norm_spec;

typedef struct dn_attention_spec {
    size_t NH, NKV, hd;    /* heads; of keys and values, a divisor of NH; size of a head, even */
    bool qkv_bias, o_bias; /* projections have biases, initially 0 */
    bool qk_norm;          /* q and k are RMS-normalized by head, with the eps of the model */
    double theta;          /* of the rotary frequencies theta^(-2i/hd), i < hd/2 */
    int turn;         /* sense of rotation of rotary embeddings: 1, as usual: u' = u cos - w sin; or -1 */
    bool split_heads; /* each head's rows of q, k and v are a matrix of their own to the optimizer */
} dn_attention_spec;

/* relu2: max(h, 0)^2.  SwiGLU: g sigma(g) h, where g is made as h is, by a matrix of its own. */
typedef enum dn_activation { DN_RELU2, DN_SWIGLU } dn_activation;

typedef struct dn_mlp_spec {
    size_t F;    /* hidden columns */
    size_t lags; /* positions that it sees, its own and lags - 1 earlier ones, each through its own matrix; >=
                    1 */
    dn_activation act;
    bool bias; /* of all its products: gate, up (once, whatever the lags), down */
} dn_mlp_spec;

/* Names of parameters, without ".weight" or ".bias"; in a block: <block><number>.<name>. */
typedef struct dn_names {
    const char *embedding, *head, *block;
    const char *q, *k, *v, *o;
    const char *gate, *up, *down; /* up_0, up_1, ... where the MLP has several lags; gate: SwiGLU's g */
    const char *attention_norm, *mlp_norm; /* gains, in a block */
    const char *norm;                      /* of the norm before the head */
} dn_names;

typedef struct dn_spec {
    size_t V, T, C, L; /* vocabulary, positions, model width, layers */
    dn_norm_spec norm;
    dn_attention_spec attention;
    dn_mlp_spec mlp;
    const dn_names *names;
    const struct dn_architecture
        *architecture; /* a row of the registry (model/model.h); layers do not read it */
} dn_spec;

#endif
