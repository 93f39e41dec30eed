#include "optim/row_moments.h"

#include "base/fail.h"
#include "compute/kernels.h"

#include <math.h>

#define EPS 1e-8 /* the paper's, under each row's root and for a matrix of zeros */

dn_status dn_row_moments(dn_stream *s, const dn_optim_config *config, const dn_owner_matrix *x)
{
    double *mean = x->scratch;
    s->kernels->row_squares(s, mean, x->o, x->rows, x->cols);
    DN_TRY(dn_stream_sync(s));
    for (size_t i = 0; i < x->rows; i++)
        mean[i] /= (double)x->cols;
    s->kernels->row_moments(s, x->states[1], x->row_factor, x->ids, mean, x->rows, config->row_beta2, EPS);
    DN_TRY(dn_stream_sync(s));
    x->norms[0] = x->norms[1] = 0;
    for (size_t i = 0; i < x->rows; i++) {
        double square = mean[i] * (double)x->cols;
        x->norms[0] += square;
        /* of an infinite v the factor is 0, and the row would stand still without a word */
        x->norms[1] += x->row_factor[i] > 0 ? square * x->row_factor[i] * x->row_factor[i] : NAN;
    }
    return DN_OK;
}

dn_state_shape dn_row_moments_shape(size_t rows, size_t cols)
{
    (void)cols;
    return (dn_state_shape){rows, 1};
}

double dn_row_moments_scale(const double norms[2])
{
    return sqrt(norms[0]) / fmax(sqrt(norms[1]), EPS);
}
