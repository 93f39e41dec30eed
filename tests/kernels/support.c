#include "support.h"

#include "base/random.h"
#include "support/full.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD ((size_t)32)

static array new_array(size_t n)
{
    dn_real *start = malloc((n ? n : 1) * sizeof *start);
    assert_non_null(start);
    return (array){.n = n, .start = start, .ulps = 8, .scale = 1};
}

array random_array(size_t n, uint64_t stream, double std)
{
    array a = new_array(n);
    dn_random_normal(11, stream, 0, n, std, a.start);
    return a;
}

array constant_array(size_t n, double value)
{
    array a = new_array(n);
    for (size_t i = 0; i < n; i++)
        a.start[i] = (dn_real)value;
    return a;
}

array nan_array(size_t n)
{
    return constant_array(n, (double)NAN);
}

array nan_rows(size_t rows, size_t columns, size_t ld)
{
    array a = nan_array(rows * ld);
    a.kept = malloc(rows * ld + 1);
    assert_non_null(a.kept);
    for (size_t i = 0; i < rows * ld; i++)
        a.kept[i] = i % ld >= columns;
    return a;
}

array padded_array(size_t rows, size_t columns, size_t ld, uint64_t stream, double std)
{
    array a = nan_rows(rows, columns, ld);
    for (size_t i = 0; i < rows; i++)
        dn_random_normal(11, stream, i * columns, columns, std, a.start + i * ld);
    return a;
}

dn_stream *make_stream(const char *backend, int n_threads)
{
    dn_stream *s = NULL;
    assert_int_equal(dn_stream_create(backend, n_threads, &s), DN_OK);
    return s;
}

dn_ids *device_ids(dn_stream *s, const int32_t *ids, size_t n)
{
    void *memory;
    assert_int_equal(dn_device_alloc(s, n * sizeof *ids, &memory), DN_OK);
    dn_upload_ids(s, memory, ids, n);
    return memory;
}

void free_ids(dn_stream *s, dn_ids *ids, size_t n)
{
    dn_device_free(s, ids, n * sizeof(int32_t));
}

void round_to_bf16(array *x)
{
    dn_stream *s = make_stream("ref", 1);
    void *real, *half;
    assert_int_equal(dn_device_alloc(s, (x->n + 1) * sizeof(dn_real), &real), DN_OK);
    assert_int_equal(dn_device_alloc(s, (x->n + 1) * sizeof(uint16_t), &half), DN_OK);
    dn_upload(s, real, x->start, x->n);
    assert_int_equal(dn_stream_sync(s), DN_OK); /* what it reads is overwritten below */
    s->kernels->to_bf16(s, half, real, x->n);
    s->kernels->from_bf16(s, real, half, x->n);
    dn_download(s, x->start, real, x->n);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    dn_device_free(s, real, 0);
    dn_device_free(s, half, 0);
    dn_stream_destroy(&s);
}

bool looks_at_memory_alone(void)
{
#ifdef __SANITIZE_ADDRESS__
    return !full_run();
#else
    return false;
#endif
}

const dn_kernels *const *next_backend(const dn_kernels *const *backend)
{
    static const dn_kernels *const end = NULL;
    if (dn_kernels_are_the_devices(*backend))
        return &end;
    backend++;
    while (looks_at_memory_alone() && backend[0] && backend[1])
        backend++;
    return backend;
}

/* It knows no threads, so that a second run of it says nothing. */
static bool is_reference(const dn_kernels *backend)
{
    return strcmp(backend->name, "ref") == 0;
}

static dn_buf *upload_guarded(dn_stream *s, const array *a)
{
    size_t n = a->n + 2 * GUARD;
    void *memory;
    dn_real *host = malloc(n * sizeof *host);
    assert_non_null(host);
    for (size_t i = 0; i < n; i++)
        host[i] = (dn_real)NAN;
    if (a->n)
        memcpy(host + GUARD, a->start, a->n * sizeof *host);
    assert_int_equal(dn_device_alloc(s, n * sizeof *host, &memory), DN_OK);
    dn_upload(s, memory, host, n);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    free(host);
    return dn_at(memory, GUARD);
}

static dn_real *download_guarded(dn_stream *s, dn_buf *buf, size_t n)
{
    size_t all = n + 2 * GUARD;
    char *memory = (char *)buf - GUARD * sizeof(dn_real);
    dn_real *host = malloc(all * sizeof *host);
    assert_non_null(host);
    dn_download(s, host, (dn_buf *)memory, all);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    dn_device_free(s, memory, all * sizeof *host);
    const dn_real untouched = (dn_real)NAN;
    for (size_t i = 0; i < GUARD; i++) {
        assert_memory_equal(&host[i], &untouched, sizeof untouched);
        assert_memory_equal(&host[GUARD + n + i], &untouched, sizeof untouched);
    }
    memmove(host, host + GUARD, n * sizeof *host);
    return host;
}

void run_backend(const char *backend, int n_threads, const trial *t, operation run, const void *context,
                 dn_real **results, double *host)
{
    dn_stream *s = make_stream(backend, n_threads);
    dn_buf *bufs[MAX_ARRAYS];
    for (size_t i = 0; i < t->n_arrays; i++)
        bufs[i] = upload_guarded(s, &t->arrays[i]);
    memset(host, 0, MAX_HOST * sizeof *host);
    run(s, bufs, host, context);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    for (size_t i = 0; i < t->n_arrays; i++)
        results[i] = download_guarded(s, bufs[i], t->arrays[i].n);
    dn_stream_destroy(&s);
}

static void fail_at(const char *backend, size_t array_index, size_t i, double got, double want)
{
    fail_msg("%s: array %zu, element %zu is %.17g, the reference has %.17g", backend, array_index, i, got,
             want);
}

static bool is_kept(const array *a, size_t i)
{
    return a->kept && a->kept[i];
}

/* An element that the reference does not write, or makes NaN, would be compared with nothing. */
static void expect_written(const trial *t, dn_real *const *want)
{
    for (size_t a = 0; a < t->n_arrays; a++)
        for (size_t i = 0; i < t->arrays[a].n; i++)
            if (isnan(want[a][i]) && !is_kept(&t->arrays[a], i))
                fail_msg("array %zu: the reference leaves element %zu of %zu NaN", a, i, t->arrays[a].n);
}

static void compare_array(const char *backend, size_t index, const array *a, const dn_real *got,
                          const dn_real *want)
{
    for (size_t i = 0; i < a->n; i++) {
        double x = (double)(is_kept(a, i) ? a->start[i] : want[i]);
        bool same = memcmp(&got[i], is_kept(a, i) ? &a->start[i] : &want[i], sizeof *got) == 0;
        double tolerance = a->ulps * DN_REAL_EPS * (fabs(x) + a->scale);
        bool close = a->ulps != 0 && fabs((double)got[i] - x) <= tolerance;
        if (!same && (is_kept(a, i) || !close))
            fail_at(backend, index, i, (double)got[i], x);
    }
}

static void compare_host(const char *backend, const trial *t, const double *got, const double *want)
{
    for (size_t i = 0; i < t->n_host; i++)
        if (!(fabs(got[i] - want[i]) <= t->host_tolerance * fabs(want[i])))
            fail_at(backend, 999, i, got[i], want[i]);
}

void free_results(const trial *t, dn_real **results)
{
    for (size_t i = 0; i < t->n_arrays; i++)
        free(results[i]);
}

static void compare_column(const char *backend, const trial *t, operation run, const void *context,
                           dn_real *const *want, const double *want_host)
{
    dn_real *got[2][MAX_ARRAYS];
    double host[2][MAX_HOST];
    const int first = looks_at_memory_alone() ? 2 : 1;
    for (int n_threads = first; n_threads <= 2; n_threads++) {
        run_backend(backend, n_threads, t, run, context, got[n_threads - 1], host[n_threads - 1]);
        for (size_t i = 0; i < t->n_arrays; i++)
            compare_array(backend, i, &t->arrays[i], got[n_threads - 1][i], want[i]);
        compare_host(backend, t, host[n_threads - 1], want_host);
    }
    if (t->same_bits && first == 1) {
        assert_memory_equal(host[0], host[1], sizeof host[0]);
        for (size_t i = 0; i < t->n_arrays; i++)
            assert_memory_equal(got[0][i], got[1][i], t->arrays[i].n * sizeof(dn_real));
    }
    for (int n_threads = first; n_threads <= 2; n_threads++)
        free_results(t, got[n_threads - 1]);
}

void free_trial(trial *t)
{
    for (size_t i = 0; i < t->n_arrays; i++)
        free(t->arrays[i].start), free(t->arrays[i].kept);
    t->n_arrays = 0;
}

void compare_columns(trial *t, operation run, const void *context)
{
    dn_real *want[MAX_ARRAYS];
    double want_host[MAX_HOST];
    run_backend("ref", 1, t, run, context, want, want_host);
    expect_written(t, want);
    for (size_t i = 0; i < t->n_arrays; i++)
        compare_array("ref", i, &t->arrays[i], want[i], want[i]); /* what it must keep */
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        if (!is_reference(*backend))
            compare_column((*backend)->name, t, run, context, want, want_host);
    free_results(t, want);
    free_trial(t);
}

static void compare_with_one_thread(const char *backend, int n_threads, const trial *t, operation run, const void *context,
                                    dn_real *const *alone)
{
    dn_real *got[MAX_ARRAYS];
    double host[MAX_HOST];
    run_backend(backend, n_threads, t, run, context, got, host);
    for (size_t a = 0; a < t->n_arrays; a++)
        for (size_t i = 0; i < t->arrays[a].n; i++)
            if (memcmp(&got[a][i], &alone[a][i], sizeof(dn_real)) != 0)
                fail_msg("%s: array %zu, element %zu is %.17g with %d threads, %.17g with one", backend, a, i, (double)got[a][i],
                         n_threads, (double)alone[a][i]);
    free_results(t, got);
}

void compare_threads(const trial *t, operation run, const void *context)
{
    const int n_threads[] = {3, 2, 8, 8, 8};
    const size_t n_runs = full_run() ? sizeof n_threads / sizeof *n_threads : 1;
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        dn_real *alone[MAX_ARRAYS];
        double host[MAX_HOST];
        if (is_reference(*backend))
            continue;
        run_backend((*backend)->name, 1, t, run, context, alone, host);
        for (size_t n = 0; n < n_runs; n++)
            compare_with_one_thread((*backend)->name, n_threads[n], t, run, context, alone);
        free_results(t, alone);
    }
}

static double weighted(const trial *t, operation forward, const void *context, size_t output, size_t weights)
{
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST], sum = 0;
    run_backend("ref", 1, t, forward, context, results, host);
    for (size_t i = 0; i < t->arrays[output].n; i++)
        sum += (double)t->arrays[weights].start[i] * (double)results[output][i];
    free_results(t, results);
    return sum;
}

#define STEP 1e-5

void check_slopes(trial *t, operation forward, operation both, const void *context, size_t output, size_t weights,
                  const derivative *of, size_t n)
{
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST];
    if (sizeof(dn_real) != sizeof(double))
        return;
    run_backend("ref", 1, t, both, context, results, host);
    for (const derivative *d = of; d < of + n; d++)
        for (size_t i = 0; i < t->arrays[d->input].n; i++) {
            dn_real *at = &t->arrays[d->input].start[i], was = *at;
            if (isnan((double)was))
                continue;
            *at = was + (dn_real)STEP;
            double above = weighted(t, forward, context, output, weights);
            *at = was - (dn_real)STEP;
            double slope = (above - weighted(t, forward, context, output, weights)) / (2 * STEP);
            *at = was;
            double got = (double)results[d->gradient][d->offset + i] -
                         (d->added ? (double)t->arrays[d->gradient].start[d->offset + i] : 0);
            if (!(fabs(slope - got) <= 1e-7 * (1 + fabs(slope))))
                fail_msg("input %zu, element %zu: slope %.12g, gradient %.12g", d->input, i, slope, got);
        }
    free_results(t, results);
}
