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
 * in parts instead, which moves less: spread.h. Matrices go through a step in buckets; those of a bucket are
 * shared out to owners by flops.
 *
 * The owner of a matrix counts an all-to-all of what it gathers and of what is fetched from it, its own part
 * included, so that payload does not depend on which rows were selected. Only what is read from others counts
 * as moved.
 */
#ifndef SYNC_WHOLE_H
#define SYNC_WHOLE_H

#include "linalg/newton_schulz.h"
#include "sync/executor.h"

/* One matrix. */
typedef struct dn_whole {
    const dn_slot *slot;
    size_t rows, cols; /* of U: all of the matrix, or what is selected */
    int32_t *ids;      /* [selection.k] rising: the selected rows or columns */
    int32_t *ids_here; /* those of them that are in this rank's part, relative to it */
    double *scores;    /* [selection.size] L1 norms, if there is a choice; else NULL */
    double *facts;     /* rules with row_scale: two squared norms, then a factor for each row */
    size_t n_facts;    /* 2 + rows, or 0 */
    dn_buf *dense;     /* at the owner: U, then O [rows, cols]; on others the address is that of their own */
    dn_buf *gram, *k;  /* spread: [a,a], a the short side; symmetric; at the owner the sum, and K */
    dn_ns_found found; /* of U; equal on all ranks after the all-reduce */
} dn_whole;

/* A bucket: matrices that go through a step together. */
typedef struct dn_whole_batch {
    dn_whole *matrices;
    size_t n;
    /* What is exchanged: scores of all matrices with a choice; found, then facts, of all; of those that are
     * spread, squared norms and Gram matrices. */
    double *scores, *findings, *squares;
    dn_owned *grams;
    size_t n_scores, n_findings, n_spread;
    size_t owned; /* elements of the matrices that this rank gathers */
} dn_whole_batch;

typedef struct dn_wholes {
    const dn_party *party; /* borrowed */
    dn_ns_method method;
    dn_whole_batch *batches;
    size_t n_batches;
    void *workspace; /* for Newton-Schulz, or the rule's transform */
    size_t workspace_bytes;
    double *scratch; /* [longest side] */
    /* The arrays that buckets are parts of. */
    dn_whole *matrices;
    int32_t *ids;
    double *scores, *findings, *squares;
    dn_owned *grams;
    /* Arguments of one dn_newton_schulz: matrices of one shape and owner. */
    dn_buf **together;
    dn_ns_found *found;
} dn_wholes;

/* ---- one step ---- */

/** The part of U [rows, cols] of the rank at at[]. */
dn_block dn_whole_part(const dn_whole *x, const int at[DN_N_AXES]);

/** This rank's part of one matrix, as its rule sees it. */
dn_matrix_part dn_whole_matrix_part(const dn_wholes *w, const dn_whole *x);

/* ---- the plan (whole_plan.c): hooks of the executor ---- */

void dn_whole_describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot);
void dn_whole_deal(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slots, size_t n);
size_t dn_whole_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                           size_t n);
dn_status dn_whole_open(dn_party *party, void *workspace) DN_MUST_USE;
void dn_whole_close(dn_party *party);
double dn_whole_flops(const dn_party *party);
void dn_whole_tell(const dn_party *party, size_t i, dn_matrix_choice *choice);

#endif
