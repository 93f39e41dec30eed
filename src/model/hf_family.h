/* What Hugging Face's files call an architecture and its parts (formats/hf.h reads and writes them): a field of its row. */
#ifndef MODEL_HF_FAMILY_H
#define MODEL_HF_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

/* Which layers have a window of `sliding_window` positions: none; all; all where `use_sliding_window` says so. */
typedef enum dn_hf_window { DN_HF_NO_WINDOW, DN_HF_WINDOW, DN_HF_WINDOW_IF_USED } dn_hf_window;

/* Where tensors are, if not under the names that parameters have. */
typedef struct dn_hf_tensors {
    const char *block;             /* in front of a block's number */
    const char *const (*names)[2]; /* [n]: ours and theirs, without block and .weight or .bias */
    size_t n;
    const char *qkv; /* holds q, k and v: one behind the other, or head by head */
    bool by_head;
    bool transposed; /* matrices as [in,out] */
} dn_hf_tensors;

typedef struct dn_hf_family {
    const char *class_name;
    /* keys of config.json */
    const char *dim, *layers, *heads, *hidden, *positions, *eps, *activation;
    const char *default_activation;
    double default_eps;
    bool hidden_is_4C;    /* if it is not given */
    bool gelu_means_tanh; /* and a key hidden_activation comes first */
    bool grouped;         /* has num_key_value_heads and head_dim */
    bool tied;            /* where tie_word_embeddings is absent */
    bool attention_bias, mlp_bias, parallel; /* has the keys attention_bias, mlp_bias, use_parallel_residual */
    bool biased;                             /* attention_bias is true, always */
    dn_hf_window window;
    double rotary; /* part of a head that is turned, if no key says so; 0: positions are learned */
    const dn_hf_tensors *tensors; /* NULL: as parameters are named */
} dn_hf_family;

/* The keys of most. */
#define DN_HF_SIZES                                                                                              \
    .dim = "hidden_size", .layers = "num_hidden_layers", .heads = "num_attention_heads",                         \
    .hidden = "intermediate_size", .positions = "max_position_embeddings", .activation = "hidden_act"
#define DN_HF_LIKE_LLAMA                                                                                         \
    DN_HF_SIZES, .eps = "rms_norm_eps", .default_activation = "silu", .default_eps = 1e-6, .grouped = true, .rotary = 1

#endif
