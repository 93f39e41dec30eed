/* Entries of largest magnitude: every backend against the reference bit by bit, and the reference against
 * sorting. */
#include "support.h"

#include "base/random.h"
#include "support/close.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct trial_of {
    dn_tiling tiling;
    double share;
} trial_of;

/* Edges of tiles, whole ones, tiles beyond 16 bits, those in which a bound is found first, and more of them side by side than one
 * strip has. */
static const trial_of trials[] = {
    {{1, 1, 1, 1}, 1},           {{7, 5, 4, 4}, 0.2},        {{64, 64, 64, 64}, 0.0078}, {{70, 130, 64, 64}, 0.0156},
    {{3, 200, 1, 64}, 0.125},    {{1, 1000, 1, 256}, 1e-9},  {{5, 3, 4, 2}, 1},          {{0, 5, 4, 4}, 0.125},
    {{1, 65535, 1, 65535}, 6e-4}, {{1, 65600, 1, 65536}, 1e-4}, {{70, 40, 32, 32}, 0.2},   {{64, 32, 64, 32}, 0.1},
    {{9, 300, 1, 64}, 0.01},      {{128, 320, 64, 64}, 0.0156}, {{17, 1936, 16, 64}, 0.5},
};

static size_t elements(const trial_of *t)
{
    return t->tiling.rows * t->tiling.cols;
}

static size_t places_of_tile(const trial_of *t)
{
    return dn_share_of(t->share, t->tiling.tile_rows * t->tiling.tile_cols);
}

static size_t places(const trial_of *t)
{
    return dn_tiles(&t->tiling) * places_of_tile(t);
}

/* NaN with some bits of its own, of either sign. */
static dn_real some_nan(uint64_t bits)
{
    dn_real x = (dn_real)NAN;
#ifdef DN_REAL_DOUBLE
    uint64_t own;
    memcpy(&own, &x, sizeof own);
    own |= (bits & 1) << 63 | (bits & 0xffff);
#else
    uint32_t own;
    memcpy(&own, &x, sizeof own);
    own |= (uint32_t)((bits & 1) << 31 | (bits & 0xffff));
#endif
    memcpy(&x, &own, sizeof x);
    return x;
}

enum { KINDS = 8 };

/* Normal numbers, of few values with many ties, mostly 0, of all kinds, all the same, many NaN, which are all the same,
 * denormal, or of another size in each 64, nothing in some: what one tile takes says nothing of the next. */
static dn_real *numbers(size_t n, int kind)
{
    dn_real *x = malloc((n + 1) * sizeof *x);
    dn_random_normal(5, (uint64_t)kind, 0, n, 1, x);
    static const double odd[] = {0,           -0.0,     (double)INFINITY, -(double)INFINITY,
                                 (double)NAN, 0x1p-140, -0x1p-140,        1e30};
    for (size_t i = 0; i < n; i++) {
        if (kind == 1)
            x[i] = (dn_real)round(2 * (double)x[i]);
        if (kind == 2 && fabs((double)x[i]) < 2)
            x[i] = 0;
        if (kind == 3 && i % 3 == 0)
            x[i] = (dn_real)odd[dn_random_bits(1, 2, i) % 8];
        if (kind == 4)
            x[i] = (dn_real)-0.5;
        if (kind == 5 && i % 2)
            x[i] = some_nan(dn_random_bits(1, 3, i));
        if (kind == 6)
            x[i] *= (dn_real)(sizeof(dn_real) == 4 ? 0x1p-130 : 0x1p-1030);
        if (kind == 7)
            x[i] *= (dn_real)(i / 64 % 5 ? exp2((double)(i / 64 * 7 % 5) * 8 - 16) : 0);
    }
    return x;
}

static void *new_memory(dn_stream *s, size_t bytes)
{
    void *memory;
    assert_int_equal(dn_device_alloc(s, bytes + 8, &memory), DN_OK);
    return memory;
}

/* topk, what adding it to y times -0.5, and its counts to c, leaves, and what is taken from y at its entries. */
typedef struct result {
    char *indices;
    dn_real *values, *y, *counts, *taken;
} result;

static void free_result(result *r)
{
    free(r->indices), free(r->values), free(r->y), free(r->counts), free(r->taken);
}

static result run_topk(const char *backend, int n_threads, const trial_of *t, const dn_real *x)
{
    dn_stream *s = make_stream(backend, n_threads);
    size_t n = elements(t), m = places(t), index_bytes = m * dn_index_bytes(&t->tiling), e = sizeof(dn_real);
    result r = {calloc(1, index_bytes + 1), calloc(m + 1, e), calloc(n + 1, e), calloc(n + 1, e), calloc(m + 1, e)};
    dn_buf *from = new_memory(s, n * e), *values = new_memory(s, m * e), *y = new_memory(s, n * e),
           *counts = new_memory(s, n * e);
    dn_bytes *indices = new_memory(s, index_bytes);
    dn_upload(s, from, x, n);
    s->kernels->fill(s, y, n, 0.25);
    s->kernels->topk(s, indices, values, from, &t->tiling, t->share);
    s->kernels->add_entries(s, y, -0.5, indices, values, &t->tiling, places_of_tile(t));
    s->kernels->add_entries(s, counts, 1, indices, NULL, &t->tiling, places_of_tile(t));
    dn_copy_bytes(s, r.indices, indices, index_bytes);
    dn_download(s, r.values, values, m);
    s->kernels->take_entries(s, values, y, indices, &t->tiling, places_of_tile(t));
    dn_download(s, r.taken, values, m);
    dn_download(s, r.y, y, n);
    dn_download(s, r.counts, counts, n);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    dn_device_free(s, from, n * e + 8), dn_device_free(s, values, m * e + 8), dn_device_free(s, y, n * e + 8);
    dn_device_free(s, counts, n * e + 8), dn_device_free(s, indices, index_bytes + 8);
    dn_stream_destroy(&s);
    return r;
}

static void expect_same(const char *what, const char *backend, const trial_of *t, const void *got,
                        const void *want, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (((const char *)got)[i] != ((const char *)want)[i])
            fail_msg("%s: %s of %zu x %zu differ at byte %zu: %#x, the reference has %#x", backend, what,
                     t->tiling.rows, t->tiling.cols, i, ((const unsigned char *)got)[i],
                     ((const unsigned char *)want)[i]);
}

static void every_backend_chooses_as_the_reference(void **state)
{
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++)
        for (int kind = 0; kind < KINDS; kind++) {
            const trial_of *t = &trials[i];
            dn_real *x = numbers(elements(t), kind);
            result want = run_topk("ref", 1, t, x);
            for (const dn_kernels *const *backend = dn_kernels_available(); backend[1]; backend++) /* the last is the reference */
                for (int n_threads = 1; n_threads <= 2; n_threads++) {
                    const char *name = (*backend)->name;
                    if (strcmp(name, "ref") == 0)
                        continue;
                    result got = run_topk(name, n_threads, t, x);
                    expect_same("indices", name, t, got.indices, want.indices,
                                places(t) * dn_index_bytes(&t->tiling));
                    expect_same("values", name, t, got.values, want.values, places(t) * sizeof(dn_real));
                    expect_same("counts", name, t, got.counts, want.counts, elements(t) * sizeof(dn_real));
                    for (size_t j = 0; j < places(t); j++)
                        if (got.taken[j] != want.taken[j] && !(isnan((double)want.taken[j]) && isnan((double)got.taken[j])))
                            assert_close((double)got.taken[j], (double)want.taken[j], 0);
                    for (size_t j = 0; j < elements(t); j++)
                        if (got.y[j] != want.y[j] && !(isnan((double)want.y[j]) && isnan((double)got.y[j])))
                            assert_close((double)got.y[j], (double)want.y[j], 0);
                    free_result(&got);
                }
            free_result(&want);
            free(x);
        }
}

static int by_magnitude(const void *a, const void *b)
{
    double x = fabs((double)*(const dn_real *)a), y = fabs((double)*(const dn_real *)b);
    return (x < y) - (x > y);
}

/* Of one tile without ties the magnitudes are the first of all in descending order; they are found in order
 * of index, where the index says. */
static void the_reference_chooses_what_sorting_puts_first(void **state)
{
    const trial_of t = {{30, 40, 30, 40}, 16.5 / 1200};
    const size_t k = 17;
    dn_real *x = numbers(1200, 0), *sorted = numbers(1200, 0);
    qsort(sorted, 1200, sizeof *sorted, by_magnitude);
    result r = run_topk("ref", 1, &t, x);
    int before = -1;
    for (size_t i = 0; i < k; i++) {
        uint16_t index;
        memcpy(&index, r.indices + 2 * i, sizeof index);
        assert_in_range(index, before + 1, 1199);
        assert_true(r.values[i] == x[index] && r.taken[i] == r.y[index]);
        before = index;
    }
    qsort(r.values, k, sizeof *r.values, by_magnitude);
    assert_memory_equal(r.values, sorted, k * sizeof *sorted);
    free_result(&r);
    free(x), free(sorted);
}

/* Of 0.0156 of 96 x 80 each tile sends its own share, rounded up: 64 of 4096, 16 of 1024, 32 of 2048, 8 of 512. */
static void a_tile_at_an_edge_has_its_share(void **state)
{
    const trial_of t = {{96, 80, 64, 64}, 0.0156};
    const size_t right[] = {64, 16, 32, 8};
    dn_real *x = numbers(96 * 80, 0);
    result r = run_topk("ref", 1, &t, x);
    assert_int_equal(places(&t), 4 * 64);
    for (size_t tile = 0; tile < 4; tile++)
        for (size_t i = 0; i < 64; i++)
            assert_true((r.values[tile * 64 + i] != 0) == (i < right[tile]) && (r.taken[tile * 64 + i] != 0) == (i < right[tile]));
    free_result(&r);
    free(x);
}

/* What no encoder writes: nothing outside of the matrix is touched, entries within it are added. */
static void indices_outside_of_a_tile_are_skipped(void **state)
{
    enum { ROWS = 5, COLS = 7, K = 4, GUARD = 64, N = ROWS * COLS };
    const dn_tiling t = {ROWS, COLS, 4, 4}; /* of 16, 12, 4 and 3 entries */
    const uint16_t indices[4 * K] = {16, 15, 0xffff, 0, 12, 13, 11, 0x8000, 4, 3, 15, 0xfffe, 3, 2, 255, 16};
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        dn_stream *s = make_stream((*backend)->name, 1);
        dn_buf *memory = new_memory(s, (N + 2 * GUARD) * sizeof(dn_real));
        dn_bytes *message = new_memory(s, sizeof indices);
        dn_copy_bytes(s, message, indices, sizeof indices);
        s->kernels->add_entries(s, dn_at(memory, GUARD), 1, message, NULL, &t, K);
        dn_real got[N + 2 * GUARD], right[N + 2 * GUARD] = {0};
        dn_download(s, got, memory, N + 2 * GUARD);
        assert_int_equal(dn_stream_sync(s), DN_OK);
        dn_real *y = right + GUARD;
        y[3 * COLS + 3] = y[0] = y[3 * COLS + 6] = y[4 * COLS + 3] = y[4 * COLS + 6] = 1;
        assert_memory_equal(got, right, sizeof got);
        dn_device_free(s, memory, (N + 2 * GUARD) * sizeof(dn_real) + 8);
        dn_device_free(s, message, sizeof indices + 8);
        dn_stream_destroy(&s);
    }
}

/* Half of the numbers, none, and all; room for them, and for fewer, where the first are taken. */
static void entries_above_a_threshold(void **state)
{
    enum { N = 40000 };
    for (int kind = 0; kind < KINDS; kind++) {
        dn_real *x = numbers(N, kind);
        for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
            const double taus[] = {0.67, (double)INFINITY, 0};
            for (int i = 0; i < 6; i++) {
                const double tau = taus[i / 2];
                const size_t room = i % 2 ? 1000 : N;
                const dn_tiling whole = {1, N, 1, N};
                dn_stream *s = make_stream((*backend)->name, 2);
                dn_buf *from = new_memory(s, N * sizeof *x), *values = new_memory(s, room * sizeof *x);
                dn_bytes *indices = new_memory(s, room * sizeof(uint16_t));
                uint16_t *got = malloc(room * sizeof *got);
                dn_real *got_values = malloc(room * sizeof *got_values);
                uint64_t count = 0;
                size_t place = 0;
                dn_upload(s, from, x, N);
                s->kernels->take_above(s, indices, values, from, N, tau, room);
                s->kernels->count_entries(s, &count, indices, &whole, room);
                dn_copy_bytes(s, got, indices, room * sizeof *got);
                dn_download(s, got_values, values, room);
                assert_int_equal(dn_stream_sync(s), DN_OK);
                for (size_t j = 0; j < N && place < room; j++)
                    if (x[j] != 0 && !(fabs((double)x[j]) < (double)(dn_real)tau)) {
                        assert_int_equal(got[place], j);
                        assert_memory_equal(&got_values[place++], &x[j], sizeof *x);
                    }
                assert_int_equal(count, place);
                for (; place < room; place++)
                    assert_true(got[place] == UINT16_MAX && got_values[place] == 0);
                free(got), free(got_values);
                dn_device_free(s, from, N * sizeof *x + 8), dn_device_free(s, values, room * sizeof *x + 8);
                dn_device_free(s, indices, room * sizeof(uint16_t) + 8);
                dn_stream_destroy(&s);
            }
        }
        free(x);
    }
}

/* Half of the numbers, none, and all, zeros among them; what is not a number is above all. */
static void what_is_above_a_threshold_leaves_the_rest(void **state)
{
    enum { N = 40000 };
    const double taus[] = {0.67, (double)INFINITY, 0};
    dn_real *q = malloc(N * sizeof *q), *rest = malloc(N * sizeof *rest);
    for (int kind = 0; kind < KINDS; kind++)
        for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
            for (int i = 0; i < 3; i++) {
                dn_real *x = numbers(N, kind);
                dn_stream *s = make_stream((*backend)->name, 2);
                dn_buf *above = new_memory(s, N * sizeof *x), *from = new_memory(s, N * sizeof *x);
                uint64_t count = 0, right = 0;
                dn_upload(s, from, x, N);
                s->kernels->split_above(s, &count, above, from, N, taus[i]);
                dn_download(s, q, above, N);
                dn_download(s, rest, from, N);
                assert_int_equal(dn_stream_sync(s), DN_OK);
                for (size_t j = 0; j < N; j++) {
                    bool is_above = !(fabs((double)x[j]) < (double)(dn_real)taus[i]);
                    right += is_above;
                    assert_memory_equal(is_above ? &q[j] : &rest[j], &x[j], sizeof *x);
                    assert_true((is_above ? rest[j] : q[j]) == 0);
                }
                assert_int_equal(count, right);
                dn_device_free(s, above, N * sizeof *x + 8), dn_device_free(s, from, N * sizeof *x + 8);
                dn_stream_destroy(&s);
                free(x);
            }
    free(q), free(rest);
}

/* Of fewer numbers by the reference, which compares all with all. */
static void magnitudes_are_ranked_as_sorting_does(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        const size_t n = strcmp((*backend)->name, "ref") == 0 ? 2000 : 20000, ranks[] = {1, 2, 200, n / 2, n};
        dn_real *x = numbers(n, 0), *sorted = numbers(n, 0);
        qsort(sorted, n, sizeof *sorted, by_magnitude);
        for (int i = 0; i < 5; i++) {
            dn_stream *s = make_stream((*backend)->name, 2);
            dn_buf *from = new_memory(s, n * sizeof *x);
            double got = 0;
            dn_upload(s, from, x, n);
            s->kernels->kth_magnitude(s, &got, from, n, ranks[i]);
            assert_int_equal(dn_stream_sync(s), DN_OK);
            assert_close(got, fabs((double)sorted[ranks[i] - 1]), 0);
            dn_device_free(s, from, n * sizeof *x + 8);
            dn_stream_destroy(&s);
        }
        free(x), free(sorted);
    }
}

static void run_divide(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->divide_counts(s, b[0], b[1], *(const size_t *)context);
}

static void sums_are_divided_by_counts_above_1(void **state)
{
    const size_t sizes[] = {0, 1, 20001};
    for (size_t i = 0; i < 3; i++) {
        trial t = {.arrays = {random_array(sizes[i], 1, 1), constant_array(sizes[i], 0)},
                   .n_arrays = 2,
                   .same_bits = true};
        for (size_t j = 0; j < sizes[i]; j++)
            t.arrays[1].start[j] = (dn_real)(j % 5);
        t.arrays[0].ulps = 1, t.arrays[0].scale = 0;
        compare_columns(&t, run_divide, &sizes[i]);
    }
}

TESTS(entries)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_backend_chooses_as_the_reference),
        cmocka_unit_test(the_reference_chooses_what_sorting_puts_first),
        cmocka_unit_test(a_tile_at_an_edge_has_its_share),
        cmocka_unit_test(indices_outside_of_a_tile_are_skipped),
        cmocka_unit_test(what_is_above_a_threshold_leaves_the_rest),
        cmocka_unit_test(entries_above_a_threshold),
        cmocka_unit_test(magnitudes_are_ranked_as_sorting_does),
        cmocka_unit_test(sums_are_divided_by_counts_above_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
