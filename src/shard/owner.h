/*
 * The owner executor: rules that need a matrix whole, to orthonormalize it by Newton-Schulz or to transform
 * it their own way, on any mesh. Each rank has a part of a matrix (layout.h); one rank, its owner, gathers
 * the matrix, and all ranks fetch their part of the result.
 *
 *     every rank   its part of U, or of the selected rows or columns of U, in the gradient's memory
 *     -- barrier --
 *     owners       read all parts where they are; orthonormalize matrices of one shape together, or transform
 *                  each; what else a rule makes of whole matrices (NorMuon's factors of rows) is made here,
 *                  too, and its state kept
 *     -- all-reduce: what was found of each matrix, and the factors of rows --
 *     every rank   reads its part of O where the owner has it, into the gradient's memory
 *
 * This is an all-to-all in which nothing is packed. On a mesh of one rank the owner works in the gradient's
 * memory, and nothing is copied. Long matrices that are only cut along their long side may be orthonormalized
 * in parts instead, which moves less: gram.h. Matrices go through a step in batches; those of a batch are
 * shared out to owners by flops.
 *
 * The owner of a matrix counts an all-to-all of what it gathers and of what is fetched from it, its own part
 * included, so that payload does not depend on which rows were selected. Only what is read from others counts
 * as moved.
 */
#ifndef SHARD_OWNER_H
#define SHARD_OWNER_H

#include "linalg/newton_schulz.h"
#include "shard/executor.h"

/* One matrix. */
typedef struct dn_owned_matrix {
    const dn_param_state *ps;
    size_t rows, cols; /* of U: all of the matrix, or what is selected */
    int32_t *ids;      /* [selection.k] rising: the selected rows or columns */
    int32_t *ids_here; /* those of them that are in this rank's part, relative to it */
    double *scores;    /* [selection.size] L1 norms, if there is a choice; else NULL */
    double *row_info;  /* rules with row_scale: two squared norms, then a factor for each row */
    size_t n_row_info; /* 2 + rows, or 0 */
    dn_buf *dense;     /* at the owner: U, then O [rows, cols]; on others the address is that of their own */
    dn_buf *gram, *k;  /* spread: [a,a], a the short side; symmetric; at the owner the sum, and K */
    dn_ns_info info;   /* of U; equal on all ranks after the all-reduce */
} dn_owned_matrix;

/* A batch: matrices that go through a step together. */
typedef struct dn_owner_batch {
    dn_owned_matrix *matrices;
    size_t n;
    /* What is exchanged: scores of all matrices with a choice; found, then facts, of all; of those that are
     * spread, squared norms and Gram matrices. */
    double *scores, *infos, *squares;
    dn_owned *grams;
    size_t n_scores, n_infos, n_distributed;
    size_t owned; /* elements of the matrices that this rank gathers */
} dn_owner_batch;

typedef struct dn_owner_work {
    const dn_param_group *group; /* borrowed */
    dn_ns_method method;
    dn_owner_batch *batches;
    size_t n_batches;
    void *workspace; /* for Newton-Schulz, or the rule's transform */
    size_t workspace_bytes;
    double *scratch; /* [longest side] */
    /* The arrays that batches are parts of. */
    dn_owned_matrix *matrices;
    int32_t *ids;
    double *scores, *infos, *squares;
    dn_owned *grams;
    /* Arguments of one dn_newton_schulz: matrices of one shape and owner. */
    dn_buf **together;
    dn_ns_info *info;
} dn_owner_work;

/* ---- one step ---- */

/** The part of U [rows, cols] of the rank at at[]. */
dn_block dn_owned_matrix_block(const dn_owned_matrix *x, const int at[DN_N_AXES]);

/** This rank's part of one matrix, as its rule sees it. */
dn_matrix_shard dn_owned_matrix_shard(const dn_owner_work *w, const dn_owned_matrix *x);

/* ---- the plan (owner_plan.c): hooks of the executor ---- */

void dn_owner_describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *ps);
void dn_owner_deal(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *param_states,
                   size_t n);
size_t dn_owner_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES],
                           const dn_param_state *param_states, size_t n);
dn_status dn_owner_open(dn_param_group *group, void *workspace) DN_MUST_USE;
void dn_owner_close(dn_param_group *group);
double dn_owner_flops(const dn_param_group *group);
void dn_whole_tell(const dn_param_group *group, size_t i, dn_matrix_choice *choice);

#endif
