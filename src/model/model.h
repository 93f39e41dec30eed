/*
 * The model interface that training, verification, evaluation and generation use, for all architectures.
 *
 * A model is a list of layers (nn/layer.h). Each architecture is one file of this room, NAME.c, that defines
 * one row, dn_architecture_NAME: which lists there are. The list of names in meson.build compiles the file
 * and registers the row; there is no other list.
 *
 * Every model has a vocabulary of V tokens, reads sequences of T, and predicts the token after each position.
 * Its parameters form units (shard/weights.h) of one or more layers. The forward pass unshards the units in
 * ascending order, the backward pass in descending order; the last unit (the head) runs forward and backward
 * at once. A head that is the embedding runs with the first unit once more.
 *
 * The activations of a micro-batch are kept in a slot from its forward to its backward pass. A model with
 * several slots can have as many micro-batches in flight, as a pipeline stage must.
 *
 * A stage of a pipeline is a model of some of the layers (dn_spec.stage): whole units, one run of them. Its first layer finds
 * the residual stream, and backward its last layer the stream's gradient, in the slot (dn_model_stream), where whoever runs the
 * pipeline puts it. A tied head whose stage does not begin with the embedding borrows it: a copy of the embedding's parameters
 * stands before the stage's own, with gradients that belong to the stage that trains them.
 *
 * Over fs weights are sharded, and unsharded for use. Over tp every rank computes with its own blocks of the
 * parameters; all ranks of tp see the same tokens.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "model/gguf_family.h"
#include "model/hf_family.h"
#include "nn/layer.h"

/* What a model is created from; all borrowed. */
typedef struct dn_model_parts {
    size_t B;               /* largest micro-batch, in sequences, of each slot; equal on all ranks */
    size_t n_slots;         /* at least 1 */
    size_t n_sequences;     /* not 0: the model has a cache of so many and only generates; B, n_slots are not read */
    bool cache_bf16;        /* keys and values in the cache are bfloat16 */
    const dn_param *params; /* dn_model_layout */
    dn_weights *weights;    /* over params */
    dn_comm *tp;            /* ranks of the axis tp */
    void *exchange; /* dn_model_heap_bytes, or dn_model_cache_heap_bytes, of symmetric memory of tp and of the stages' ranks;
                       NULL: 0 */
    dn_stream *stream;
} dn_model_parts;

/* ---- the row of an architecture ---- */

typedef struct dn_architecture {
    const char *name; /* value of the key `architecture` */
    bool attention;   /* has attention: keys about heads apply */
    const dn_hf_family *hf; /* NULL: Hugging Face knows none such */
    const dn_gguf_family *gguf; /* NULL: nor does GGUF */

    /** Fills in what a spec leaves open (see dn_model_complete); the given sizes are at least 1 and do not
     * overflow. Errors: DN_ERR_CONFIG naming the key of a size that does not fit the others. */
    dn_status (*complete)(dn_spec *spec);

    /** Number of layers; and each: dn_embedding first, dn_head last, both alone in their units. */
    size_t (*n_layers)(const dn_spec *spec);
    dn_layer_place (*layer)(const dn_spec *spec, size_t i);

    /** Standard deviation of a parameter's initial values. NULL: 1 for an embedding that is no head too,
     * otherwise 0.02; min(1, sqrt(out/in)) / sqrt(in) for matrices. */
    double (*first_std)(const dn_spec *spec, const dn_param *param);
} dn_architecture;

/** The index-th architecture, from 0; NULL beyond the last. Static. */
const dn_architecture *dn_architecture_at(size_t index);

/** The architecture with that name; NULL if there is none (or name is NULL). Static. */
const dn_architecture *dn_architecture_find(const char *name);

/* ---- layout and sizes, before a model is created ---- */

/** Completes a spec by its architecture. Given are architecture, V, T, C, L, attention.NH and split_heads;
 * attention.NKV, hd, theta, rotary, window, scaling and biases, mlp.F, act and bias, norm.eps, tied, parallel and
 * max_positions are filled in where they are 0. Errors: DN_ERR_CONFIG naming the key, if there is no model of these sizes. */
dn_status dn_model_complete(dn_spec *spec) DN_MUST_USE;

/* From here on, spec is a complete one: of a model, or with spec->stage set of a part of it, whose units and parameters count
 * from 0. */

/** Whether these are not all layers; whether the head is one of them; whether it is and borrows the embedding, which is not. */
bool dn_model_is_stage(const dn_spec *spec);
bool dn_model_has_head(const dn_spec *spec);
bool dn_model_borrows_head(const dn_spec *spec);

/** The borrowed parameters, which stand first: no optimizer of this stage knows them. */
size_t dn_model_n_borrowed(const dn_spec *spec);
/** Parameter p >= n_borrowed of the stage is this number + p in the whole model; a borrowed one is p. */
size_t dn_model_first_param(const dn_spec *spec);

/** Checks that micro-batches of B sequences are possible: 1 <= B, B T < 2^31. Errors: DN_ERR_CONFIG naming
 * the key. */
dn_status dn_model_check_batch(const dn_spec *spec, size_t B) DN_MUST_USE;

/** Number of parameters. */
size_t dn_model_n_params(const dn_spec *spec);

/**
 * Fills params [dn_model_n_params] for the rank at coordinates at[] of a mesh of size[]: names, kinds,
 * shapes, shardings, blocks; weights from `weights` and gradients from `grads`, equally large on all ranks. In both, a
 * stack starts where the largest blocks of all earlier ones would end: at the same offset on all ranks, and without
 * gaps on a mesh of one. Trained weights come first, at the offsets of their gradients, and frozen ones, which have
 * none, in an allocation behind them. Arenas may only be measuring. unit_of [dn_model_n_params] = the unit of each
 * parameter, for dn_weights_create.
 */
void dn_model_layout(const dn_spec *spec, const int size[DN_N_AXES], const int at[DN_N_AXES], dn_arena *weights,
                     dn_arena *grads, dn_param *params, size_t *unit_of);

/** The trained ones among params [dn_model_n_params] but for borrowed ones, in their order, to trained; returns how many. NULL
 * only counts. */
size_t dn_model_trained(const dn_spec *spec, const dn_param *params, dn_param *trained);

/** The lowest unit with a trained parameter, of a stage that is not the first its lowest: the backward pass ends there. */
size_t dn_model_lowest(const dn_spec *spec, const dn_param *params);

/** Initializes this rank's blocks: gains 1 (less norm.offset), biases and adapters' B 0, all others normally distributed. Element i of the whole
 * parameter p is draw i of random stream p under seed, the same on every mesh. Returns after sync. Errors:
 * DN_ERR_MEMORY. */
dn_status dn_model_init(const dn_spec *spec, const dn_param *params, dn_stream *stream, uint64_t seed) DN_MUST_USE;

/** For a spec and B that dn_model_check_batch accepts: bytes of activations that dn_model_create allocates on
 * the rank of tp that needs most (the first), for memory checks before workers start; and symmetric bytes per
 * rank, 0 if the ranks of tp exchange nothing. */
size_t dn_model_activation_bytes(const dn_spec *spec, size_t B, size_t n_slots, int tp_size);
size_t dn_model_heap_bytes(const dn_spec *spec, size_t B, size_t n_slots, int tp_size);

/** The same for a model with a cache of n_sequences <= DN_CACHE_SEQUENCES_MAX. */
size_t dn_model_cache_bytes(const dn_spec *spec, size_t n_sequences, bool cache_bf16, int tp_size);
size_t dn_model_cache_heap_bytes(const dn_spec *spec, size_t n_sequences, int tp_size);
enum { DN_CACHE_SEQUENCES_MAX = 512 };

/** What one micro-batch of B sequences adds to the statistics of each rank of tp: the payload in bytes by collective, all
 * of kind DN_TRAFFIC_ACTIVATIONS. lowest: the unit where the backward pass ends (dn_model_lowest); SIZE_MAX: there is
 * none, the micro-batch is only evaluated. Exact. 0 if tp_size is 1. */
void dn_model_tp_bytes(const dn_spec *spec, size_t B, int tp_size, size_t lowest, uint64_t bytes[DN_N_COLLECTIVES]);

/** Flops per token, forward and backward as far as it goes, of matrix products and attention; without recomputation
 * and element-wise work. */
double dn_model_flops_per_token(const dn_spec *spec, const dn_param *params);

/* ---- a model ---- */

typedef struct dn_model dn_model;

/** Allocates all memory of the model, but for the stream's scratch and parts->exchange. Not collective.
 * Errors: DN_ERR_CONFIG as dn_model_check_batch; DN_ERR_MEMORY naming the sizes, before a page is touched.
 * The caller owns *out. */
dn_status dn_model_create(const dn_spec *spec, const dn_model_parts *parts, dn_model **out) DN_MUST_USE;
void dn_model_destroy(dn_model **model);

/** Sets the progress callback (NULL: none; see dn_progress_fn), which shows that a long pass is not hung, and
 * can end it. context is borrowed. */
void dn_model_on_progress(dn_model *model, dn_progress_fn *progress, void *context);

/** Sets what backward passes call, on all ranks alike, when they have added all that this micro-batch adds to the gradients of `unit`
 * and the units behind it (NULL: nothing). A status that is not DN_OK ends the pass. context is borrowed. */
typedef dn_status dn_complete_fn(void *context, size_t unit);
void dn_model_on_complete(dn_model *model, dn_complete_fn *complete, void *context);

/**
 * Collective over fs and tp. One micro-batch, forward and backward. tokens, targets: host int32 [B*T], 0 <= B
 * <= created B, each from 0 to V-1; the same on all ranks of tp. A rank of fs without rows takes part with B
 * = 0. The parameters' grads += scale * d(sum of token losses)/d(weight), averaged over fs, scale not 0;
 * *loss_sum += the sum over B*T tokens of -log p, in nats, the same bits on all ranks of tp. Clears no
 * gradients. Returns after sync. Errors: DN_ERR_ARG B or scale, DN_ERR_DATA a token outside the vocabulary;
 * DN_ERR_MEMORY from a kernel, or those of a barrier: gradients are half written then.
 */
dn_status dn_model_train(dn_model *model, const int32_t *tokens, const int32_t *targets, size_t B, double scale,
                         double *loss_sum) DN_MUST_USE;

/**
 * Collective over fs and tp. dn_model_train in two calls, between which other slots may run forward and
 * backward in any order that is the same on all ranks of fs and tp; dn_model_train is both calls on slot 0.
 * slot < parts->n_slots; forward replaces the micro-batch in the slot, backward empties it. Forward adds the
 * head's gradients, backward all others: a micro-batch contributes the same values in any order, added in the
 * order of the calls. *loss_sum and errors as above; DN_ERR_ARG also: no such slot, or an empty one.
 */
dn_status dn_model_forward(dn_model *model, size_t slot, const int32_t *tokens, const int32_t *targets, size_t B,
                           double scale, double *loss_sum) DN_MUST_USE;
dn_status dn_model_backward(dn_model *model, size_t slot) DN_MUST_USE;

/** The residual stream [B T, C] of a slot. After dn_model_forward of a stage before the head, what the next stage begins with;
 * after dn_model_backward of a stage behind the embedding, what the one before it does. To be put there before these calls on
 * a stage that is not first, or not last. */
dn_buf *dn_model_stream(dn_model *model, size_t slot);

/** Collective over fs and tp. Forward only, in slot 0, whose micro-batch is dropped; *loss_sum and errors as
 * above. */
dn_status dn_model_loss(dn_model *model, const int32_t *tokens, const int32_t *targets, size_t B,
                        double *loss_sum) DN_MUST_USE;

/** Sequences of the micro-batches to come have T positions, 1 <= T <= spec.T, in all calls above and below. Not with a
 * cache. At first spec.T. */
void dn_model_set_length(dn_model *model, size_t T);

/** A model of classes (spec.classes). Targets are classes from 0 on, and -1 at all positions but one, at most, of a sequence, in all
 * calls above. Collective over fs and tp. Forward only, in slot 0: scores [n,classes] (host) of the n positions that have
 * a target, in order, the value of which is not read; *outputs (or NULL) [n,C] on the device, what they were made of, until
 * the next call. Errors as above, DN_ERR_DATA also of a class. */
dn_status dn_model_classify(dn_model *model, const int32_t *tokens, const int32_t *targets, size_t B, dn_real *scores,
                            const dn_buf **outputs) DN_MUST_USE;

/** What the embedding (l = 0) or block l - 1 made of the last micro-batch, of all but the last block: [B*T,C] on the device, until the
 * next call. Of a model that keeps it: spec.outputs, spec.sherl. */
const dn_buf *dn_model_output(const dn_model *model, size_t l);

/*
 * Generation, by a model with a cache: what its layers computed for earlier positions of a sequence, so that a
 * token costs one position. All collective over tp, whose ranks pass the same; errors as above, and DN_ERR_ARG
 * for a sequence or a position that the cache does not have. Positions are filled in ascending order; to fill
 * some anew drops what the sequence holds behind them.
 */

/** n > 0 tokens of a sequence, from position `first` on, a few hundred at a time. logits [V] (host, or NULL) of
 * the token after them. */
dn_status dn_model_prefill(dn_model *model, size_t sequence, size_t first, const int32_t *tokens, size_t n,
                           dn_real *logits) DN_MUST_USE;
/** One token of each of B different sequences, at rows [B]. logits [B,V] (host) of the tokens after them. */
dn_status dn_model_decode(dn_model *model, const dn_cache_row *rows, const int32_t *tokens, size_t B,
                          dn_real *logits) DN_MUST_USE;
/** Bytes that this rank's cache holds of a position. */
size_t dn_model_cached_bytes(const dn_model *model);
/** Sequence `to` becomes a copy of `from`. */
dn_status dn_model_fork(dn_model *model, size_t from, size_t to) DN_MUST_USE;

#endif
