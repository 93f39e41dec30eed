/* Central differences: the derivative of a loss by its definition, against which a gradient is held. */
#ifndef SUPPORT_DIFFERENCES_H
#define SUPPORT_DIFFERENCES_H

#include "support/model.h"

#include <string.h>

/* A number that depends on device memory; called again after every change. */
typedef struct loss_of {
    double (*loss)(void *context);
    void *context;
    dn_stream *stream;
} loss_of;

static inline double loss_at(const loss_of *f, dn_buf *x, const dn_real *values, size_t n)
{
    dn_upload(f->stream, x, values, n);
    return f->loss(f->context);
}

/* (f(x + h d) - f(x - h d)) / 2h; x [n] is left as it was. */
static inline double difference_along(const loss_of *f, dn_buf *x, const dn_real *at, const dn_real *d,
                                      size_t n, double h)
{
    dn_real *moved = calloc(n, sizeof *moved);
    for (size_t i = 0; i < n; i++)
        moved[i] = (dn_real)((double)at[i] + h * (double)d[i]);
    double up = loss_at(f, x, moved, n);
    for (size_t i = 0; i < n; i++)
        moved[i] = (dn_real)((double)at[i] - h * (double)d[i]);
    double down = loss_at(f, x, moved, n);
    dn_upload(f->stream, x, at, n);
    must(dn_stream_sync(f->stream));
    free(moved);
    return (up - down) / (2 * h);
}

/*
 * The largest difference between gradient [n] and differences of f by x [n], as a share of the gradient's
 * norm: along one random direction that moves every element, and along `singles` elements spread over x.
 *
 * In double with h = 1e-5 the error has three parts: the cubic term of f, h^2 f''' = 1e-10; rounding, eps f/h
 * = 1e-9 for a loss of some 50; and where an argument of relu squared is within h of 0, the jump of its
 * second derivative, at most h a element that crosses. 1e-6 leaves room for all of them; a wrong term is of
 * order 1. The first two do not become smaller where the gradient does (of a bias of k it is 0 where nothing is
 * turned): against a gradient shorter than 1e-2 they are held as against one of that length.
 */
#define DIFFERENCE_TOLERANCE 1e-6

static inline double gradient_error(const loss_of *f, dn_buf *x, const dn_real *gradient, size_t n,
                                    size_t singles)
{
    const double h = 1e-5;
    dn_real *at = host_copy(f->stream, x, n), *d = calloc(n, sizeof *d);
    double norm = 0, expected = 0, worst;

    dn_random_normal(3, 0, 0, n, 1, d);
    for (size_t i = 0; i < n; i++) {
        norm += (double)gradient[i] * (double)gradient[i];
        expected += (double)gradient[i] * (double)d[i];
    }
    worst = fabs(difference_along(f, x, at, d, n, h) - expected);

    size_t step = n > singles ? n / singles : 1;
    for (size_t i = 0; i < n; i += step) {
        memset(d, 0, n * sizeof *d);
        d[i] = 1;
        worst = larger(worst, fabs(difference_along(f, x, at, d, n, h) - (double)gradient[i]));
    }
    free(at);
    free(d);
    return worst / larger(sqrt(norm), 1e-2);
}

#endif
