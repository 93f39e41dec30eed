/*
 * Rules that need a matrix whole, to orthonormalize it by Newton-Schulz or to transform it their own way, on
 * any mesh: ranks hold parts of it (dealt, layout.h), its owner brings them together, and what it makes of
 * them is dealt out again.
 *
 *     every rank   its part of U, or of the selected rows or columns of U, in the gradient's memory
 *     -- meet --
 *     owners       read all parts where they are, orthonormalize matrices of one shape together, or
 *                  transform each; what else a rule makes of whole matrices (NorMuon's rows) is made here,
 *                  too, once, and its state kept
 *     -- meet --   and tell all what was found of each matrix, and its facts
 *     every rank   reads its part of O where the owner has it, into the gradient's memory
 *
 * An all-to-all in which nothing is packed. A rank alone works where the gradient is, and copies nothing.
 * Long matrices that are only cut along their long side may go another way, which moves less: spread.h.
 * Matrices are taken in batches, whose work is dealt to owners by its flops.
 *
 * Accounts: the owner of a matrix counts an all-to-all of what comes to it and what it deals out again, own
 * parts included, so that payload does not depend on which rows were selected. Moved is what is read of
 * others.
 */
#ifndef SYNC_WHOLE_H
#define SYNC_WHOLE_H

#include "linalg/newton_schulz.h"
#include "sync/executor.h"

/* One matrix of a batch. */
typedef struct dn_whole {
    const dn_slot *slot;
    size_t rows, cols; /* of what is orthonormalized */
    int32_t *ids;      /* [selection.k] rising: the selected rows or columns */
    int32_t *ids_here; /* those of them that are in this rank's part, counted there */
    double *scores;    /* [selection.size] L1 norms, if there is a choice; else NULL */
    double *facts;     /* rules with row_scale: two norms, then a factor for each of the rows */
    size_t n_facts;    /* 2 + rows, or 0 */
    dn_buf *dense;     /* at the owner [rows, cols]; on others the same address, of nothing */
    dn_buf *gram, *k;  /* spread [a,a], a the short side: symmetric, the owner's are of the whole */
    dn_ns_found found; /* after the exchange on all ranks */
} dn_whole;

typedef struct dn_whole_batch {
    dn_whole *matrices;
    size_t n;
    /* What is exchanged: norms of all matrices with a choice; found, then facts, of all; of those that are
     * spread, squared norms and Gram matrices. */
    double *scores, *findings, *squares;
    dn_owned *grams;
    size_t n_scores, n_findings, n_spread;
    size_t owned; /* elements of the whole matrices of this rank */
} dn_whole_batch;

typedef struct dn_wholes {
    const dn_party *party; /* borrowed */
    dn_ns_method method;
    dn_whole_batch *batches;
    size_t n_batches;
    void *workspace; /* of Newton-Schulz, or of the rule's transform */
    size_t workspace_bytes;
    double *scratch; /* [longest side] */
    /* Of all batches together. */
    dn_whole *matrices;
    int32_t *ids;
    double *scores, *findings, *squares;
    dn_owned *grams;
    /* Of the matrices of one shape and owner. */
    dn_buf **together;
    dn_ns_found *found;
} dn_wholes;

/* ---- one step ---- */

/** This rank's part of what is orthonormalized, in coordinates of [rows, cols]. */
dn_block dn_whole_part(const dn_whole *x, const int at[DN_N_AXES]);

/** One matrix as its rule sees this rank's part. */
dn_matrix_part dn_whole_matrix_part(const dn_wholes *w, const dn_whole *x);

/* ---- the plan (whole_plan.c): hooks of the executor ---- */

void dn_whole_describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot);
void dn_whole_deal(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slots, size_t n);
size_t dn_whole_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                           size_t n);
dn_status dn_whole_open(dn_party *party, void *workspace) DN_MUST_USE;
void dn_whole_close(dn_party *party);
double dn_whole_flops(const dn_party *party);
void dn_whole_formula(const dn_party *party, dn_formula *formula);

#endif
