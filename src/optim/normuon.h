/*
 * NorMuon on one matrix, as phases without communication (arXiv 2510.05491; dion.md 7): Muon whose rows are
 * divided by a running size of their own, the Frobenius norm of the whole kept.
 *
 *     accumulate   as Muon's; then O = the polar factor of the whole U
 *     squares      sum over j of O_ij^2                      + over ranks that hold other columns of the rows
 *     moments      v_i = beta2 v_i + (1-beta2) mean_j O_ij^2,  f_i = 1/(sqrt(v_i) + 1e-8),
 *                  norms = ||O||^2 and ||f O||^2 of the rows here         + over ranks that hold other rows
 *     apply        X = (1 - lr wd) X - lr s (||O|| / max(||f O||, 1e-8)) f O
 *
 * The rows here may be all of them, or a selection (dion3).
 */
#ifndef OPTIM_NORMUON_H
#define OPTIM_NORMUON_H

#include "optim/muon.h"

#include <stdint.h>

typedef struct dn_normuon {
    dn_muon muon;                /* muon.n = here_rows * here_cols */
    size_t here_rows, here_cols; /* what stands here of muon.rows x muon.cols */
    dn_buf *second;              /* v [here_rows], starts at 0 */
} dn_normuon;

/** host_squares [rows] of o [rows, cols], complete after dn_stream_sync. */
void dn_normuon_squares(dn_stream *s, const dn_buf *o, size_t rows, size_t cols, double *host_squares);

/**
 * Updates second at rows host_ids [k] (NULL: 0 .. k-1) from their sums of squares over all of the matrix's
 * cols columns. host_factor [k] = f, norms [2] = the two squared norms of these rows. host_squares is changed
 * to means. Waits for the stream; its errors.
 */
dn_status dn_normuon_moments(dn_stream *s, dn_buf *second, const int32_t *host_ids, size_t k, size_t cols,
                             double beta2, double *host_squares, double *host_factor,
                             double norms[2]) DN_MUST_USE;

/** What f is multiplied by, from the norms of the whole matrix, so that the Frobenius norm stays. */
double dn_normuon_scale(const double norms[2]);

/** o [here_rows, here_cols]; norms of the whole matrix; host_factor must stay until dn_stream_sync. */
void dn_normuon_apply(dn_stream *s, const dn_normuon *d, const dn_buf *o, const double *host_factor,
                      const double norms[2], const dn_muon_step *step);

#endif
