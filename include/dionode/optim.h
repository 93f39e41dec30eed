/**
 * Optimizers: the rules there are, their settings, and an optimizer for matrices of one's own.
 *
 *     dn_optim_tensor tensors[] = {{.tensor = {.name = "w", .rows = OUT, .cols = IN}, .kind =
 * DN_PARAM_MATRIX, .weight = w, .grad = g}}; dn_optim_config config = dn_optim_defaults(); status =
 * dn_optim_create(&config, tensors, 1, NULL, 0, &optim); for each step: fill g;  status =
 * dn_optim_step(optim, step, lr, &report);
 *
 * On a mesh every rank passes its block of each tensor. Results do not depend on the mesh, up to rounding,
 * and copies of a block stay bitwise equal. Traffic is counted (dn_comm_get_stats).
 */
#ifndef DIONODE_OPTIM_H
#define DIONODE_OPTIM_H

#include "dionode/mesh.h"
#include "dionode/orth.h"
#include "dionode/status.h"
#include "dionode/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A rule: the optimizer of one kind of parameter, named as in a configuration: "dion", "adamw", ... */
typedef struct dn_rule_info {
    const char *name;   /* also the prefix of its states in checkpoints */
    const char *help;   /* one line */
    bool matrices_only; /* not for embedding, head and vectors */
    double lr;          /* base learning rate to search around */
} dn_rule_info;

/** Rule `index`, from 0; NULL beyond the last. Static. */
DN_API const dn_rule_info *dn_rule_at(size_t index);

/** The rule with that name; NULL if there is none. Static. */
DN_API const dn_rule_info *dn_rule_find(const char *name);

/** Whether the option with that key ("ortho_fraction", ...: dn_key.name) is one of the rule's. */
DN_API bool dn_rule_takes(const dn_rule_info *rule, const char *key);

/* The scale of an orthonormal update, so that one learning rate serves all shapes. */
typedef enum dn_adjust {
    DN_ADJUST_SPECTRAL_NORM, /* sqrt(rows/cols): an update of RMS-to-RMS operator norm 1 */
    DN_ADJUST_RMS_NORM,      /* 0.2 sqrt(max(rows, cols)): entries of the size AdamW's have (Moonshot) */
    DN_ADJUST_NONE,          /* 1 */
} dn_adjust;

/* How momenta, Q and second moments are stored between steps. A step computes with dn_real. */
typedef enum dn_precision {
    DN_PRECISION_FULL,     /* dn_real */
    DN_PRECISION_BFLOAT16, /* rounded to the nearest once a step: half the memory, two to three digits */
} dn_precision;

/* What replicas exchange of a matrix that a rule can take apart into low-rank factors. */
typedef enum dn_compress {
    DN_COMPRESS_NO,   /* its gradient */
    DN_COMPRESS_YES,  /* the factors */
    DN_COMPRESS_AUTO, /* `dionode train` weighs both against the step; an optimizer alone knows none: the factors */
} dn_compress;

#define DN_COMPRESS_NAMES "false|true|auto" /* of configurations, in the order of dn_compress */

/* The kind selects the rule: shape cannot tell a head from a hidden matrix. */
typedef enum dn_param_kind {
    DN_PARAM_MATRIX,    /* hidden matrix: the matrix rule                         */
    DN_PARAM_EMBEDDING, /* token embedding: element-wise, no weight decay         */
    DN_PARAM_HEAD,      /* output head: element-wise, no weight decay; lr/sqrt(in) under Lion */
    DN_PARAM_VECTOR,    /* gains, biases: element-wise                            */
    DN_PARAM_N_KINDS
} dn_param_kind;

typedef struct dn_group_options {
    double lr_scale; /* multiplies the step's learning rate */
    double weight_decay;
} dn_group_options;

#define DN_OPTIM_NAME_MAX   64 /* bytes of the name of a tensor to train, with its end */
#define DN_NAMED_GROUPS_MAX 16

/* Parameters by name: what a group says goes before what is said of their kind, and of all. */
typedef struct dn_named_group {
    char match[DN_OPTIM_NAME_MAX]; /* a glob (*, ?, [abc]) of names */
    const char *rule;              /* NULL: by the kind. Borrowed */
    double lr_scale, weight_decay, rank_fraction; /* NAN: by the kind; of all */
} dn_named_group;

/* Ranges and defaults are those of the configuration keys: `dionode train --keys`. */
typedef struct dn_optim_config {
    const char *matrix_rule; /* name of the rule for DN_PARAM_MATRIX */
    const char *scalar_rule; /* for everything else: one that is not for matrices only. Both are borrowed */
    dn_group_options groups[DN_PARAM_N_KINDS];        /* by dn_param_kind */
    dn_named_group named_groups[DN_NAMED_GROUPS_MAX]; /* [n_named_groups] the first that matches counts */
    size_t n_named_groups;
    /* Momentum decay of all but AdamW, Lion and Dion2; of the rank (Dion), of rows or columns that are
     * selected (Dion2, Dion3); added to norms and roots. */
    double mu, rank_fraction, eps;
    /* Dion */
    int64_t rank_multiple_of;
    int64_t power_iters;
    dn_orth orth;
    bool orth_dion;              /* QR of R in place of column normalization (arXiv 2605.16341) */
    bool adaptive_rank;          /* AdaDion: the rank follows the spectrum; rank_fraction gives the largest */
    dn_compress compress;        /* replicate_mesh_grad_sync */
    int64_t momentum_sync_every; /* steps; 0 = never */
    /* Muon, NorMuon, Dion2, Dion3 */
    dn_adjust adjust;
    dn_ns_set newton_schulz;
    bool gram;            /* the Gram form of Newton-Schulz, cheaper for long matrices; always Dion3's */
    bool nesterov;        /* Muon, NorMuon, SGD */
    double row_beta2;     /* NorMuon, Dion3: decay of the second moments of rows */
    double ef_decay;      /* Dion2: decay of the selected rows of the momentum (error feedback); Dion3: mu */
    bool local_selection; /* Dion2, Dion3: each shard over fs or tp selects its own largest rows (columns):
                             the result depends on the mesh */
    /* AdamW, Lion */
    double beta1, beta2;
    bool cautious; /* AdamW, Lion, Muon, NorMuon: no decay of weights that the update lets grow (arXiv
                      2510.12402) */
    /* Gradients of a larger global norm (dn_optim_report.grad_norm) are scaled down to it; 0 = never. */
    double clip_norm;
    dn_precision state_precision;
    uint64_t seed; /* of the initial Q and of sketches */
} dn_optim_config;

/** The defaults of `dionode train`: Dion at rank 1/4 for matrices, Lion for everything else. */
DN_API dn_optim_config dn_optim_defaults(void);

/* ---- tensors of a program's own ---- */

#define DN_OPTIM_SPLITS_MAX 8

/*
 * A tensor to train: rows are the outputs. Rows may have a stride.
 *
 * Rows and columns may be sharded along fs and tp, over different axes. Along all other axes (always dp)
 * ranks hold copies of a block: equal weights, and gradients that may differ, of which the step takes the
 * mean. Each rank's gradient is therefore that of the mean loss over its own rows of the batch.
 */
typedef struct dn_optim_tensor {
    dn_tensor
        tensor; /* name: unique; at most 63 bytes, 52 with n_views. type and per_replica may be left out */
    dn_param_kind kind;
    size_t n_views; /* the rows are n_views matrices of equal height, each stepped on its own (heads; 3
                       for a fused QKV); 0: one. Element-wise rules ignore it */
    size_t split_rows[DN_OPTIM_SPLITS_MAX]; /* in place of n_views, the heights of these matrices (Q, K and V of
                                               unequal numbers of heads); ends with a 0, or at
                                               DN_OPTIM_SPLITS_MAX */
    dn_real *weight, *grad;                 /* this rank's block (dn_tensor_block); borrowed */
    size_t stride;          /* leading dimension of both, in elements; 0: dense */
    bool in_place;          /* weight and grad are dense and symmetric (dn_comm_alloc of mesh->all): the step
                               works on them without copies, see dn_optim_step. Ignored on one rank */
    size_t place; /* 1 + where it counts as standing in the list (views count each): random numbers (Dion's first Q) are
                     drawn by it. 0: where it stands */
} dn_optim_tensor;

typedef struct dn_optim dn_optim;

/** Bytes of symmetric heap that dn_optim_create takes of mesh->all; exact. Add dn_mesh_heap_bytes and the
 * tensors in place for dn_comm_join. Reads no weights. 0 where dn_optim_create refuses, with its message;
 * SIZE_MAX on overflow. */
DN_API size_t dn_optim_heap_bytes(const dn_optim_config *config, const dn_optim_tensor *tensors, size_t n,
                                  const int size[DN_N_AXES]);

/**
 * An optimizer of n tensors on a mesh (borrowed; collective over it), or of this process alone (mesh NULL).
 * All ranks describe the same tensors; weights and gradients are borrowed, config is copied. n_threads:
 * OpenMP and BLAS threads of the calling thread from now on, equal on all ranks; 0: OMP_NUM_THREADS, which
 * `dionode launch` sets, or else this rank's share of the cores. Call dn_blas_tune first in main() for full
 * speed. Owned by the caller.
 *
 * Errors: DN_ERR_ARG a setting out of range, or a tensor (named) with an invalid shape, sharding, n_views,
 * stride or memory, or a repeated name; DN_ERR_MEMORY; those of the communicator.
 */
DN_API dn_status dn_optim_create(const dn_optim_config *config, const dn_optim_tensor *tensors, size_t n,
                                 const dn_mesh *mesh, int n_threads, dn_optim **out) DN_MUST_USE;
/** Before dn_mesh_destroy. NULL is a no-op; sets *optim to NULL. Tensors stay as they are. Not collective, but where a strategy has
 * something on its way to other nodes it waits for it, and so for those ranks. */
DN_API void dn_optim_destroy(dn_optim **optim);

/* The result of a step; equal on all ranks. */
typedef struct dn_optim_report {
    bool skipped; /* some gradient was not finite: nothing was changed */
    double grad_norm; /* of the mean gradient; of decoupled replicas the root mean square of their norms */
    double clip;   /* factor on gradients: 1, or less with clip_norm */
    int n_zero;    /* matrices whose momentum is zero: only decayed */
    int n_fallback; /* rank-deficient matrices that were orthonormalized by Householder QR instead */
} dn_optim_report;

/**
 * Collective over the mesh. One step at base learning rate lr; steps count from 0. Updates weights. Gradients
 * of tensors in place are undefined afterwards, and their weights may be written only after the next barrier
 * (dn_comm_barrier): other ranks may still be reading them. All other tensors are copied in, and their
 * weights out again. Allocates nothing from the second step on. Call from the thread that created the
 * optimizer. Errors: DN_ERR_ARG, before anything is exchanged, if lr is not 0 to 1e6; DN_ERR_NUMERIC, on all ranks, if a
 * momentum overflowed: the state is lost, restore a saved one; those of the communicator.
 */
DN_API dn_status dn_optim_step(dn_optim *optim, uint64_t step, double lr,
                               dn_optim_report *report) DN_MUST_USE;

/** From the next step on tensors whose name matches (a glob) decay so; a schedule's next value, say. Called alike on all
 * ranks; not collective. Errors: DN_ERR_ARG no name matches, or weight_decay is not 0 to 1e6. */
DN_API dn_status dn_optim_set_weight_decay(dn_optim *optim, const char *match, double weight_decay) DN_MUST_USE;

/** Tensor number `tensor` has no gradient in the steps from the next one on, or has one again: weights and states then stay
 * as they are, bit for bit, and what lies in grad is not read (in place: is overwritten). Called alike on all ranks; not
 * collective. Allocates room for what is to stay. Errors: DN_ERR_ARG there is no such tensor; DN_ERR_MEMORY. */
DN_API dn_status dn_optim_set_frozen(dn_optim *optim, size_t tensor, bool frozen) DN_MUST_USE;

/* ---- state: for checkpoints ---- */

/* All tensors of state, the weights and the number of steps make a complete checkpoint. */

DN_API size_t dn_optim_n_states(const dn_optim *optim);
/** State `index` < dn_optim_n_states: "dion.momentum.<tensor>", "dion.q.<tensor>", ...; with n_views one for
 * each view: "dion.q.<tensor>.<k>". One that is per_replica must be restored to each replica as it was, or
 * the mean to all; of others saving replica 0 is enough. Borrowed; valid as long as the optimizer. */
DN_API const dn_tensor *dn_optim_state(const dn_optim *optim, size_t index);
/** What rank `rank` of mesh->all (0 without a mesh) holds of it: a shard of the block that the sharding
 * leaves it, or nothing. Between steps states may be read after a barrier; a rank may write its own before
 * the next barrier. */
DN_API dn_shard dn_optim_state_shard(const dn_optim *optim, size_t index, int rank);

#ifdef __cplusplus
}
#endif

#endif
