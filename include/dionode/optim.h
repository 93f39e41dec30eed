/**
 * Optimizers: the rules there are, their settings, and an optimizer for matrices of one's own.
 *
 *     dn_optim_tensor tensors[] = {{.name = "w", .kind = DN_PARAM_MATRIX, .shape = {OUT, IN},
 *                                   .weight = w, .grad = g}};
 *     dn_optim_config config = dn_optim_defaults();
 *     status = dn_optim_create(&config, tensors, 1, NULL, 0, &optim);
 *     for each step: fill g;  status = dn_optim_step(optim, step, lr, &report);
 *
 * With a mesh, every rank gives the block of each tensor that it holds; results do not depend on the mesh, up
 * to rounding, and copies of a block end bitwise equal. What ranks exchange is in their statistics
 * (dn_comm_get_stats).
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

/* A rule: how one kind of parameter is stepped. Rules are named as in a configuration: "dion", "adamw", ...
 */
typedef struct dn_rule_info {
    const char *name;   /* also the prefix of its states in checkpoints */
    const char *help;   /* a few words */
    bool matrices_only; /* not for embedding, head and vectors */
    double lr;          /* base learning rate to search around */
} dn_rule_info;

/** Rule number `index` of all there are, from 0; NULL beyond the last. Static. */
DN_API const dn_rule_info *dn_rule_at(size_t index);

/** The rule with that name; NULL if there is none. Static. */
DN_API const dn_rule_info *dn_rule_find(const char *name);

/** Whether the option with that key ("ortho_fraction", ...: dn_key.name) is one of the rule's. */
DN_API bool dn_rule_takes(const dn_rule_info *rule, const char *key);

/* How an orthonormal update is scaled so that one learning rate serves all shapes (dion.md 1.9, 7). */
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

/* The kind decides the optimizer; shape cannot tell a head from a matrix (dion.md 1.9). */
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

/* Ranges and defaults are those of the configuration keys: `dionode train --keys`. */
typedef struct dn_optim_config {
    const char *matrix_rule; /* name of the rule for DN_PARAM_MATRIX */
    const char *scalar_rule; /* for everything else: one that is not for matrices only. Both are borrowed */
    dn_group_options groups[DN_PARAM_N_KINDS]; /* by dn_param_kind */
    /* Momentum decay of all but AdamW, Lion and Dion2; of the rank (Dion), of rows or columns that are
     * selected (Dion2, Dion3); added to norms and roots. */
    double mu, rank_fraction, eps;
    /* Dion */
    int64_t rank_multiple_of;
    int64_t power_iters;
    dn_orth orth;
    bool orth_dion;              /* QR of R in place of column normalization (arXiv 2605.16341) */
    bool adaptive_rank;          /* AdaDion's: rank_fraction gives the largest (optim/adadion.h) */
    bool compress;               /* replicas exchange factors: replicate_mesh_grad_sync */
    int64_t momentum_sync_every; /* steps; 0 = never */
    /* Muon, NorMuon, Dion2, Dion3 */
    dn_adjust adjust;
    dn_ns_set newton_schulz;
    bool gram;            /* the Gram form of Newton-Schulz, cheaper for long matrices; always Dion3's */
    bool nesterov;        /* Muon, NorMuon, SGD */
    double row_beta2;     /* NorMuon, Dion3: decay of the second moments of rows */
    double ef_decay;      /* Dion2: what is left of the selected part of the momentum; Dion3 takes mu */
    bool local_selection; /* Dion2, Dion3: each part of a matrix that fs or tp cuts takes its own largest rows
                             (columns): the result depends on these cuts */
    /* AdamW, Lion */
    double beta1, beta2;
    bool cautious; /* AdamW: no decay of weights that the update lets grow (arXiv 2510.12402) */
    /* Gradients of a larger global norm (dn_optim_report.grad_norm) are scaled down to it; 0 = never. */
    double clip_norm;
    dn_precision state_precision;
    uint64_t seed; /* of the initial Q and of sketches */
} dn_optim_config;

/** What `dionode train` takes where a configuration says nothing: Dion at rank 1/4 for matrices, Lion for
 * everything else. */
DN_API dn_optim_config dn_optim_defaults(void);

/* ---- tensors of a program's own ---- */

#define DN_OPTIM_NAME_MAX 64 /* bytes of a name, with its end */
#define DN_OPTIM_DIMS_MAX 6

/* How one dimension is dealt to the ranks along an axis: dn_shard_range in units (1: any row; the size of a
 * head: between heads). */
typedef struct dn_dim_sharding {
    dn_axis axis;
    size_t unit; /* 0 in a dn_optim_tensor: not cut */
} dn_dim_sharding;

/*
 * A tensor to train. One of shape {d0, d1, d2, ...} is stepped as the matrix [d0, d1 d2 ...], rows = d0 being
 * the outputs: what is flattened (the filters of a convolution) lies without gaps, whole rows may lie apart.
 * A vector {n} is n rows of one.
 *
 * rows and cols may be cut along fs and tp, each along another axis; along the axes that cut neither (dp
 * always) ranks hold copies of the same block: weights that are equal, gradients that may differ and of which
 * the step takes the mean. So what each rank has a gradient of is its own part of the loss, as a mean over
 * its part of the batch.
 */
typedef struct dn_optim_tensor {
    const char *name; /* unique; at most 63 bytes, 52 with split; copied */
    dn_param_kind kind;
    size_t shape[DN_OPTIM_DIMS_MAX];            /* of the whole; ends with a 0, or at DN_OPTIM_DIMS_MAX */
    dn_dim_sharding row_sharding, col_sharding; /* left out: not cut */
    size_t n_views; /* its rows are so many matrices of as many rows each, every one stepped on its own
                     (heads; 3 for a fused QKV); 0: one. Rules that are not for matrices take no notice */
    dn_real *weight, *grad; /* of the block that this rank holds (dn_optim_block); borrowed */
    size_t stride;          /* elements between rows of both; 0: none between, dense */
    bool in_place; /* weight and grad are dense, in symmetric memory of mesh->all (dn_comm_alloc), at the
                      same offset on all ranks: see dn_optim_step. On one rank dense is enough, and
                      this has no meaning */
} dn_optim_tensor;

/** The block of a tensor that the rank at at[] of a mesh of size[] holds: rows and flattened columns, of the
 * whole. Empty of a tensor that dn_optim_create would refuse. */
DN_API dn_block dn_optim_block(const dn_optim_tensor *tensor, const int size[DN_N_AXES],
                               const int at[DN_N_AXES]);

typedef struct dn_optim dn_optim;

/** Symmetric heap that dn_optim_create takes of mesh->all, in bytes; exact: to join with, beside
 * dn_mesh_heap_bytes and what is taken for tensors in place. Of tensors no memory is read but names. 0 where
 * dn_optim_create refuses, and says why; SIZE_MAX where it is more than can be counted. */
DN_API size_t dn_optim_heap_bytes(const dn_optim_config *config, const dn_optim_tensor *tensors, size_t n,
                                  const int size[DN_N_AXES]);

/**
 * An optimizer of n tensors (described alike on all ranks but for their memory, which is borrowed) on a mesh
 * (borrowed; collective over it), or, with mesh NULL, of this process alone. config is copied. It computes
 * with n_threads threads, as many on all ranks, and makes that the OpenMP and BLAS threads of the calling
 * thread; 0: those of OMP_NUM_THREADS, which `dionode launch` sets, or else a rank's share of this machine's
 * cores. For full speed begin main() with dn_blas_tune.
 *
 * Errors: DN_ERR_ARG a setting out of its range; a tensor (by name) of a shape, cut, split, stride or memory
 * that cannot be, or with the name of another; DN_ERR_MEMORY; those of the group. Owned by the caller.
 */
DN_API dn_status dn_optim_create(const dn_optim_config *config, const dn_optim_tensor *tensors, size_t n,
                                 const dn_mesh *mesh, int n_threads, dn_optim **out) DN_MUST_USE;
/** Not collective; before the mesh's. NULL is a no-op; sets *optim to NULL. Tensors stay as they are. */
DN_API void dn_optim_destroy(dn_optim **optim);

/* What a step found out; the same on all ranks. */
typedef struct dn_optim_report {
    bool skipped;     /* a gradient was not finite on some rank: nothing was changed */
    double grad_norm; /* of averaged gradients; of decoupled replicas' the root mean square */
    double clip;      /* what gradients were multiplied by: 1, or less with clip_norm */
    int n_zero;       /* matrices whose momentum is zero everywhere: only decayed */
    int n_fallback;   /* matrices too rank-deficient for the chosen orthonormalization: by Householder */
} dn_optim_report;

/**
 * Collective over the mesh. One step at base learning rate lr; steps count from 0. Reads and updates weights,
 * reads gradients. Tensors in place are worked on where they are: their gradients are undefined afterwards,
 * and after the step a rank may write its weights only when it has met the others (dn_comm_barrier), who may
 * be reading them. All others are copied in, and their weights out again. Allocates nothing once every kernel
 * has met its sizes: from the second step on. Called by the thread that created the optimizer. Errors:
 * DN_ERR_NUMERIC, on all ranks, if a momentum has grown out of range: to go on takes a state that was saved;
 * those of the group.
 */
DN_API dn_status dn_optim_step(dn_optim *optim, uint64_t step, double lr,
                               dn_optim_report *report) DN_MUST_USE;

/* ---- state, to be saved and restored ---- */

/* One tensor of state, and what one rank holds of it. All tensors of state with the weights and the number of
 * steps are all there is to save. */
typedef struct dn_optim_state {
    const char *name;  /* "dion.momentum.<tensor>", "dion.q.<tensor>", ...; of one that is split for each of
                          its  matrices: "dion.q.<tensor>.<k>". Borrowed */
    size_t rows, cols; /* of the whole */
    dn_block block;    /* of the whole; may be empty */
    dn_type type;      /* of its elements */
    void *data; /* [block.rows, block.cols] dense; an address of this rank's symmetric heap: what another rank
                   holds is read there through dn_comm_view */
    int replica;       /* blocks of one replica tile the whole exactly */
    bool per_replica;  /* each replica's differs (decoupled momentum), and its own is to be restored, or for
                          all  the mean; otherwise replica 0 is enough, if there are several */
} dn_optim_state;

DN_API size_t dn_optim_n_states(const dn_optim *optim);
/** State number index < dn_optim_n_states, what rank `rank` of mesh->all (0 without a mesh) holds of it.
 * Between two steps states may be read, after the ranks have met, and each rank may write its own, before
 * they meet again. */
DN_API dn_optim_state dn_optim_state_of(const dn_optim *optim, size_t index, int rank);

#ifdef __cplusplus
}
#endif

#endif
