/** Optimizers: the rules there are, and their settings. */
#ifndef DIONODE_OPTIM_H
#define DIONODE_OPTIM_H

#include "dionode/mesh.h"
#include "dionode/orth.h"
#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum dn_rule {
    DN_RULE_DION, /* matrices only */
    DN_RULE_ADAMW,
    DN_RULE_LION,
    DN_RULE_MUON,    /* matrices only */
    DN_RULE_NORMUON, /* matrices only */
    DN_RULE_DION2,   /* matrices only */
    DN_RULE_DION3,   /* matrices only */
    DN_RULE_SGD,
} dn_rule;

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

typedef struct dn_group {
    double lr_scale; /* multiplies the step's learning rate */
    double weight_decay;
} dn_group;

typedef struct dn_optim_config {
    dn_rule matrix_rule;               /* for DN_PARAM_MATRIX */
    dn_rule scalar_rule;               /* for everything else: AdamW, Lion or SGD */
    dn_group groups[DN_PARAM_N_KINDS]; /* by dn_param_kind */
    /* Momentum decay of all but AdamW, Lion and Dion2; of the rank (Dion), of rows or columns that are
     * selected (Dion2, Dion3); added to norms and roots. */
    double mu, rank_fraction, eps;
    /* Dion */
    size_t rank_multiple_of;
    int power_iters;
    dn_orth orth;
    bool orth_dion;          /* QR of R in place of column normalization (arXiv 2605.16341) */
    bool adaptive_rank;      /* AdaDion's: rank_fraction gives the largest (optim/adadion.h) */
    bool compress;           /* replicas exchange factors: replicate_mesh_grad_sync */
    int momentum_sync_every; /* steps; 0 = never */
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
    /* Gradients of a larger global norm than this are scaled down to it; 0 = never. dn_step_report.clip. */
    double clip_norm;
    dn_precision state_precision;
    uint64_t seed; /* of the initial Q and of sketches */
} dn_optim_config;

#endif
