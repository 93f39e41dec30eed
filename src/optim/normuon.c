#include "optim/normuon.h"

#include "base/fail.h"
#include "compute/kernels.h"

#include <math.h>

#define EPS 1e-8 /* the paper's, under each row's root and for a matrix of zeros */

void dn_normuon_squares(dn_stream *s, const dn_buf *o, size_t rows, size_t cols, double *host_squares)
{
    s->kernels->row_squares(s, host_squares, o, rows, cols);
}

dn_status dn_normuon_moments(dn_stream *s, dn_buf *second, const int32_t *host_ids, size_t k, size_t cols,
                             double beta2, double *host_squares, double *host_factor, double norms[2])
{
    for (size_t i = 0; i < k; i++)
        host_squares[i] /= (double)cols;
    s->kernels->row_moments(s, second, host_factor, host_ids, host_squares, k, beta2, EPS);
    DN_TRY(dn_stream_sync(s));
    norms[0] = norms[1] = 0;
    for (size_t i = 0; i < k; i++) {
        double square = host_squares[i] * (double)cols;
        norms[0] += square;
        norms[1] += square * host_factor[i] * host_factor[i];
    }
    return DN_OK;
}

double dn_normuon_scale(const double norms[2])
{
    return sqrt(norms[0]) / fmax(sqrt(norms[1]), EPS);
}

void dn_normuon_apply(dn_stream *s, const dn_normuon *d, const dn_buf *o, const double *host_factor,
                      const double norms[2], const dn_muon_step *step)
{
    double scale = dn_adjust_factor(step->adjust, d->muon.rows, d->muon.cols) * dn_normuon_scale(norms);
    s->kernels->scale(s, d->muon.weight, 1 - step->lr * step->weight_decay, d->muon.weight, d->muon.n);
    s->kernels->add_rows(s, d->muon.weight, NULL, -step->lr * scale, host_factor, o, d->here_rows,
                         d->here_cols);
}
