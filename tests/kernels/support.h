/*
 * Runs one operation on every column of the kernel table and holds it against the reference.
 *
 * Arrays stand between guards, and guards, paddings and outputs that must be overwritten are filled with NaN:
 * reading one poisons a result. All columns must leave the very bits of what is declared as kept, and the
 * reference no NaN anywhere else: so an output that none of them writes is found.
 */
#ifndef TESTS_KERNELS_SUPPORT_H
#define TESTS_KERNELS_SUPPORT_H

#include "compute/kernels.h"
#include "support/tests.h"

#define MAX_ARRAYS 12

/* One array of dn_real given to an operation: in and out. A column's element may differ from the reference's
 * x by ulps * eps * (|x| + scale); ulps 0 demands the same bits. */
typedef struct array {
    size_t n;
    dn_real *start; /* [n] owned; what the operation finds */
    bool *kept;     /* [n] owned, or NULL: which elements no column may write */
    double ulps, scale;
} array;

/* n draws of N(0, std^2), stream `stream`. */
array random_array(size_t n, uint64_t stream, double std);
/* The same as rows x columns with ld > columns elements between rows, NaN in the padding, which is kept. */
array padded_array(size_t rows, size_t columns, size_t ld, uint64_t stream, double std);
array nan_array(size_t n);
/* NaN too, in rows of which the padding is kept. */
array nan_rows(size_t rows, size_t columns, size_t ld);
array constant_array(size_t n, double value);

/* An operation over arrays, and up to MAX_HOST doubles that it gives to the host. */
#define MAX_HOST 512
typedef void (*operation)(dn_stream *s, dn_buf *const *arrays, double *host, const void *context);

typedef struct trial {
    array arrays[MAX_ARRAYS];
    size_t n_arrays;
    size_t n_host;
    double host_tolerance; /* relative */
    bool same_bits;        /* 1 and 2 threads must agree bit by bit */
} trial;

/* Runs on the reference, and on all other columns (next_backend) over 1 and 2 threads; asserts. Frees the trial's arrays. */
void compare_columns(trial *t, operation run, const void *context);

/* Runs on each column but the reference, which has none, over 3 threads, in the long run over 2 and several times over 8, too: all must leave the bits that one thread
 * leaves. */
void compare_threads(const trial *t, operation run, const void *context);

/* Runs on one column; results [arrays] are what it left, for free_results. */
void run_backend(const char *backend, int n_threads, const trial *t, operation run, const void *context, dn_real **results,
                 double *host);
void free_results(const trial *t, dn_real **results);
void free_trial(trial *t);

/* Of a gradient: by which array it is derived, and from which element of which array on it stands; added: to what the array held. */
typedef struct derivative {
    size_t input, gradient, offset;
    bool added;
} derivative;

/* Holds gradients that `both` leaves on ref, of the sum of weights times output that `forward` leaves, to central differences, which
 * are good to 1e-9 or so in double, and to nothing in float: then it does nothing. Padding of inputs is left out. */
void check_slopes(trial *t, operation forward, operation both, const void *context, size_t output, size_t weights,
                  const derivative *of, size_t n);

/* Tokens in the device's memory; dn_device_free with n * 4 bytes. */
dn_ids *device_ids(dn_stream *s, const int32_t *ids, size_t n);
void free_ids(dn_stream *s, dn_ids *ids, size_t n);

/* x rounded by the reference. */
void round_to_bf16(array *x);

/* The short run under sanitizers: the plain one looks at numbers, so that one number of threads is enough here, and the fastest backend
 * and the last; those between are the same C for other instructions. */
bool looks_at_memory_alone(void);

/* Behind a backend of a list, where another is to be tried; the end behind the device's own: the host's are no others there. */
const dn_kernels *const *next_backend(const dn_kernels *const *backend);

/* A stream of that column; asserts. */
dn_stream *make_stream(const char *backend, int n_threads);

#endif
