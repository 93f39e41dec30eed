/* The rounds of orthonormalization: every backend against plain sums in double, and whole chains of rounds
 * against what an orthonormal basis must be. How they are put together: tests/unit/linalg_orth.c. */
#include "support.h"

#include "base/random.h"
#include "support/close.h"
#include "support/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a batch of tall matrices, each one band ---- */

enum { MOST = 12 };

typedef struct batch {
    size_t n;
    dn_row_block bands[MOST];
    dn_real *start[MOST]; /* p as it was */
    double *partials[MOST], *inverses[MOST];
} batch;

static const size_t shapes[][2] = {{1, 1},    {7, 1}, {50, 11},  {150, 64}, {260, 130}, {131, 65},
                                   {2100, 3}, {0, 5}, {700, 33}, {9, 0},    {1, 4},     {1100, 32}};
_Static_assert(sizeof shapes / sizeof *shapes == MOST, "one shape a matrix");

static void *room(size_t bytes)
{
    void *memory = take_reachable(bytes + 64);
    assert_non_null(memory);
    memset(memory, 0xff, bytes + 64); /* NaN, in both precisions */
    return memory;
}

static void add_matrix(batch *b, size_t m, size_t r, uint64_t stream)
{
    size_t i = b->n++, small = (dn_sketch_rows(r) + 1) * r;
    b->start[i] = room(m * r * sizeof(dn_real));
    dn_random_normal(3, stream, 0, m * r, 1, b->start[i]);
    dn_real *p = room(m * r * sizeof *p);
    memcpy(p, b->start[i], m * r * sizeof *p);
    b->partials[i] = room(small * sizeof(double));
    b->inverses[i] = room(r * r * sizeof(double));
    b->bands[i] = (dn_row_block){.m = m,
                                 .r = r,
                                 .rows = m,
                                 .p = handle_of(p),
                                 .seed = 5,
                                 .draw = stream,
                                 .partial = handle_of(b->partials[i]),
                                 .inverse = handle_of(b->inverses[i])};
}

static batch make_batch(void)
{
    batch b = {.n = 0};
    for (size_t i = 0; i < MOST; i++)
        add_matrix(&b, shapes[i][0], shapes[i][1], i);
    return b;
}

static void free_batch(batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        give_reachable_back(b->start[i]);
        give_reachable_back(behind(b->bands[i].p));
        give_reachable_back(b->partials[i]);
        give_reachable_back(b->inverses[i]);
    }
}

static dn_real *basis(const batch *b, size_t i)
{
    return behind(b->bands[i].p);
}

/* Upper triangular, 1 on the diagonal, the rest small draws. */
static void draw_inverses(batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        size_t r = b->bands[i].r;
        for (size_t row = 0; row < r; row++)
            for (size_t col = 0; col < r; col++)
                b->inverses[i][row * r + col] = row == col  ? 1
                                                : row < col ? dn_random_uniform(1, i, row * r + col) - 0.5
                                                            : 0;
    }
}

typedef void (*step)(dn_stream *s, batch *b);

static void gram(dn_stream *s, batch *b)
{
    s->kernels->gram(s, b->bands, b->n);
}

static void sketch(dn_stream *s, batch *b)
{
    s->kernels->sketch(s, b->bands, b->n);
}

static void apply(dn_stream *s, batch *b)
{
    draw_inverses(b);
    s->kernels->apply(s, b->bands, b->n);
}

static void run(const char *backend, int n_threads, batch *b, step what)
{
    dn_stream *s = make_stream(backend, n_threads);
    what(s, b);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    dn_stream_destroy(&s);
}

/* ---- bands ---- */

static double product(const dn_real *x, size_t m, size_t r, size_t i, size_t j)
{
    double sum = 0;
    for (size_t l = 0; l < m; l++)
        sum += (double)x[l * r + i] * (double)x[l * r + j];
    return sum;
}

/* Sums of m products in any order, in double. */
static void check_gram(const char *backend, const batch *b, size_t k)
{
    size_t m = b->bands[k].rows, r = b->bands[k].r;
    for (size_t i = 0; i < r; i++)
        for (size_t j = i; j < r; j++) {
            double got = b->partials[k][i * r + j], want = product(b->start[k], m, r, i, j);
            double scale = sqrt(product(b->start[k], m, r, i, i)) * sqrt(product(b->start[k], m, r, j, j));
            if (!(fabs(got - want) <= 2.3e-16 * (double)(m + 1) * scale))
                fail_msg("%s, gram of %zu x %zu: element %zu, %zu is %g, not %g", backend, m, r, i, j, got,
                         want);
        }
}

static void gram_matrices_are_sums_in_double(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        batch b = make_batch();
        run((*backend)->name, 2, &b, gram);
        for (size_t k = 0; k < b.n; k++) {
            check_gram((*backend)->name, &b, k);
            assert_memory_equal(basis(&b, k), b.start[k], b.bands[k].rows * b.bands[k].r * sizeof(dn_real));
        }
        free_batch(&b);
    }
}

/* Sums of m products with draws of size 1/sqrt(k), in dn_real. */
static void check_sketch(const char *backend, const batch *b, const batch *ref, size_t k)
{
    size_t m = b->bands[k].rows, r = b->bands[k].r, rows = dn_sketch_rows(r);
    double bound = DN_REAL_EPS * (double)(m + 1);
    for (size_t i = 0; i < rows * r; i++)
        if (!(fabs(b->partials[k][i] - ref->partials[k][i]) <= bound))
            fail_msg("%s, sketch of %zu x %zu: element %zu is %g, not %g", backend, m, r, i,
                     b->partials[k][i], ref->partials[k][i]);
    for (size_t j = 0; j < r; j++) {
        double got = b->partials[k][rows * r + j], want = product(b->start[k], m, r, j, j);
        assert_close(got, want, 2.3e-16 * (double)m * want);
    }
}

static void sketches_are_those_of_the_reference(void **state)
{
    batch ref = make_batch();
    run("ref", 1, &ref, sketch);
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        batch b = make_batch();
        run((*backend)->name, 2, &b, sketch);
        for (size_t k = 0; k < b.n; k++)
            check_sketch((*backend)->name, &b, &ref, k);
        free_batch(&b);
    }
    free_batch(&ref);
}

/* A matrix in bands of 0, 7, 290 and 3 rows: every member draws its columns of S, and no others. */
static void partials_of_bands_add_up_to_the_partial_of_the_whole(void **state)
{
    static const size_t edges[] = {0, 0, 7, 297, 300};
    const size_t r = 40, rows = dn_sketch_rows(r) + 1;
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (int sketched = 0; sketched < 2; sketched++) {
            batch b = {.n = 0};
            for (int i = 0; i < 5; i++)
                add_matrix(&b, 300, r, 1);
            for (size_t i = 0; i < 4; i++) {
                b.bands[i].row0 = edges[i];
                b.bands[i].rows = edges[i + 1] - edges[i];
                b.bands[i].p = dn_at(b.bands[i].p, edges[i] * r);
            }
            run((*backend)->name, 2, &b, sketched ? sketch : gram);
            for (size_t i = 0; i < (sketched ? rows * r : r * r); i++) {
                double sum = 0;
                for (int band = 0; band < 4; band++)
                    sum += b.partials[band][i];
                if (sketched || i % r >= i / r)
                    assert_close(sum, b.partials[4][i], 300 * (sketched ? DN_REAL_EPS : 2.3e-16) * 4);
            }
            for (size_t i = 0; i < 4; i++)
                b.bands[i].p = handle_of(basis(&b, i) - edges[i] * r);
            free_batch(&b);
        }
}

static void check_applied(const char *backend, const batch *b, size_t k)
{
    size_t m = b->bands[k].rows, r = b->bands[k].r;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < r; j++) {
            double want = 0, scale = 0;
            for (size_t l = 0; l <= j; l++) {
                double term = (double)b->start[k][i * r + l] * b->inverses[k][l * r + j];
                want += term;
                scale += fabs(term);
            }
            double got = (double)basis(b, k)[i * r + j];
            if (!(fabs(got - want) <= DN_REAL_EPS / 2 * fabs(want) + 2.3e-16 * (double)(r + 1) * scale))
                fail_msg("%s, %zu x %zu: element %zu, %zu is %g, not %g", backend, m, r, i, j, got, want);
        }
    dn_real beyond;
    memset(&beyond, 0xff, sizeof beyond);
    assert_memory_equal(&basis(b, k)[m * r], &beyond, sizeof beyond);
}

static void rows_are_multiplied_in_double_and_rounded_once(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        batch b = make_batch();
        run((*backend)->name, 2, &b, apply);
        for (size_t k = 0; k < b.n; k++)
            check_applied((*backend)->name, &b, k);
        free_batch(&b);
    }
}

static bool same_partial(const double *x, const double *y, size_t rows, size_t r, bool upper)
{
    bool same = true;
    for (size_t i = 0; i < rows; i++) {
        size_t from = upper ? i : 0;
        same &= memcmp(x + i * r + from, y + i * r + from, (r - from) * sizeof *x) == 0;
    }
    return same;
}

/* All matrices together on several threads, and each alone on one: with more threads than parts, and so that
 * runs end inside of matrices. */
static void bits_depend_neither_on_threads_nor_on_the_batch(void **state)
{
    static const step steps[] = {gram, sketch, apply};
    static const int n_threads[] = {2, 3, 7};
    const char *backend = dn_kernels_available()[0]->name;
    for (size_t k = 0; k < 3; k++) {
        batch alone = make_batch();
        for (size_t i = 0; i < alone.n; i++) {
            batch one = {.n = 1, .bands = {alone.bands[i]}, .inverses = {alone.inverses[i]}};
            if (steps[k] == apply) /* draws by position in the batch */
                continue;
            run(backend, 1, &one, steps[k]);
        }
        if (steps[k] == apply)
            run(backend, 1, &alone, apply);
        for (size_t t = 0; t < 3; t++) {
            batch b = make_batch();
            run(backend, n_threads[t], &b, steps[k]);
            for (size_t i = 0; i < b.n; i++) {
                size_t r = b.bands[i].r, rows = steps[k] == sketch ? dn_sketch_rows(r) + 1 : r;
                if (steps[k] == apply)
                    assert_memory_equal(basis(&b, i), basis(&alone, i),
                                        b.bands[i].rows * r * sizeof(dn_real));
                else
                    assert_true(same_partial(b.partials[i], alone.partials[i], rows, r, steps[k] == gram));
            }
            free_batch(&b);
        }
        free_batch(&alone);
    }
}

/* ---- factors ---- */

static double deviation_from_orthonormal(const dn_real *p, size_t m, size_t r)
{
    double worst = 0;
    for (size_t i = 0; i < r; i++)
        for (size_t j = i; j < r; j++)
            worst = larger(worst, fabs(product(p, m, r, i, j) - (i == j)));
    return worst;
}

static void check_triangle(const double *t, size_t r)
{
    for (size_t i = 0; i < r; i++) {
        assert_true(t[i * r + i] > 0);
        for (size_t j = 0; j < i; j++)
            assert_true(t[i * r + j] == 0);
    }
}

/* A round: p = p T. Returns what the factorization said; *defect may be NULL. */
static dn_factor_info go_round(dn_stream *s, batch *b, bool sketched, double *defect)
{
    const dn_wide *partials[] = {b->bands[0].partial};
    dn_factoring f = {
        .r = b->bands[0].r, .n_partials = 1, .partials = partials, .inverse = handle_of(b->inverses[0])};
    (sketched ? s->kernels->sketch : s->kernels->gram)(s, b->bands, 1);
    (sketched ? s->kernels->factor_sketch : s->kernels->factor_gram)(s, &f, 1);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    if (f.info == DN_FACTOR_OK) {
        check_triangle(b->inverses[0], f.r);
        s->kernels->apply(s, b->bands, 1);
        assert_int_equal(dn_stream_sync(s), DN_OK);
    } else {
        double untouched;
        memset(&untouched, 0xff, sizeof untouched);
        for (size_t i = 0; i < f.r * f.r; i++)
            assert_memory_equal(&b->inverses[0][i], &untouched, sizeof untouched);
    }
    if (defect)
        *defect = f.defect;
    return f.info;
}

/* Normal draws, plus a common part that makes columns nearly parallel: condition about `parallel` * sqrt(m).
 */
static batch make_one(size_t m, size_t r, double parallel)
{
    batch b = {.n = 0};
    add_matrix(&b, m, r, 1);
    for (size_t i = 0; i < m * r; i++)
        basis(&b, 0)[i] = b.start[0][i] += (dn_real)(parallel * cos((double)(i / r)));
    return b;
}

/* What one round leaves stays below the bound that it states, and the bound is not idle: it grows as the
 * square of the condition and is within rounding where that is small. One more round, or a sketch before,
 * leaves the rounding of the result. */
static void one_round_keeps_its_promise_and_two_leave_rounding(void **state)
{
    static const double parallel[] = {0, 1e2, 1e4, 1e5};
    const size_t m = 200, r = 70;
    const double eps = DN_REAL_EPS * sqrt((double)m);
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (size_t i = 0; i < 4; i++)
            for (int sketched = 0; sketched < 2; sketched++) {
                batch b = make_one(m, r, parallel[i]);
                dn_stream *s = make_stream((*backend)->name, 2);
                double defect, condition = (parallel[i] + 1) * sqrt((double)m);
                assert_int_equal(go_round(s, &b, sketched, &defect), DN_FACTOR_OK);
                if (!sketched) {
                    assert_at_most(deviation_from_orthonormal(basis(&b, 0), m, r), defect + 8 * eps);
                    assert_at_most(defect, 16 * 2.3e-16 * (double)(r * r) * condition * condition);
                    assert_true(parallel[i] > 0 || defect < 1e-11);
                }
                assert_int_equal(go_round(s, &b, false, NULL), DN_FACTOR_OK);
                assert_at_most(deviation_from_orthonormal(basis(&b, 0), m, r), 8 * eps);
                dn_stream_destroy(&s);
                free_batch(&b);
            }
}

/* Three partials, of which only their sum is a Gram matrix that can be factored. */
static void factors_are_of_the_sum_of_partials(void **state)
{
    const size_t r = 45;
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        batch b = make_one(15, r, 0), c = make_one(20, r, 0), d = make_one(60, r, 0);
        dn_stream *s = make_stream((*backend)->name, 2);
        dn_row_block bands[] = {b.bands[0], c.bands[0], d.bands[0]};
        const dn_wide *partials[] = {bands[0].partial, bands[1].partial, bands[2].partial};
        dn_factoring f = {.r = r, .n_partials = 3, .partials = partials, .inverse = handle_of(b.inverses[0])};
        s->kernels->gram(s, bands, 3);
        s->kernels->factor_gram(s, &f, 1);
        assert_int_equal(dn_stream_sync(s), DN_OK);
        assert_int_equal(f.info, DN_FACTOR_OK);
        for (size_t i = 0; i < 3; i++)
            bands[i].inverse = f.inverse;
        s->kernels->apply(s, bands, 3);
        assert_int_equal(dn_stream_sync(s), DN_OK);
        for (size_t i = 0; i < r; i++)
            for (size_t j = i; j < r; j++) {
                double sum = product(basis(&b, 0), 15, r, i, j) + product(basis(&c, 0), 20, r, i, j) +
                             product(basis(&d, 0), 60, r, i, j);
                assert_close(sum, (i == j), 64 * DN_REAL_EPS);
            }
        dn_stream_destroy(&s);
        free_batch(&b), free_batch(&c), free_batch(&d);
    }
}

/* ---- Householder, and what each says of bad matrices ---- */

static dn_factor_info householder(dn_stream *s, batch *b)
{
    dn_tall t = {.m = b->bands[0].m, .r = b->bands[0].r, .p = b->bands[0].p};
    s->kernels->householder(s, &t, 1);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    return t.info;
}

/* Largest element of x - p (p'x): what of x is outside p's span; and of p'x below its diagonal, and minus its
 * diagonal: all must be nothing. */
static double deviation_from_factor(const dn_real *p, const dn_real *x, size_t m, size_t r)
{
    double worst = 0, *rest = room(m * sizeof *rest);
    for (size_t j = 0; j < r; j++) {
        for (size_t l = 0; l < m; l++)
            rest[l] = (double)x[l * r + j];
        for (size_t i = 0; i < r; i++) {
            double sum = 0;
            for (size_t l = 0; l < m; l++)
                sum += (double)p[l * r + i] * (double)x[l * r + j];
            for (size_t l = 0; l < m; l++)
                rest[l] -= sum * (double)p[l * r + i];
            worst = larger(worst, i > j ? fabs(sum) : i == j ? -sum : 0);
        }
        for (size_t l = 0; l < m; l++)
            worst = larger(worst, fabs(rest[l]));
    }
    give_reachable_back(rest);
    return worst;
}

static void householder_gives_the_factor_of_every_matrix(void **state)
{
    static const size_t tall[][2] = {{1, 1}, {7, 1}, {50, 11}, {150, 64}, {260, 130}, {65, 65}, {2100, 3}};
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (size_t k = 0; k < sizeof tall / sizeof *tall; k++)
            for (double parallel = 0; parallel <= 1e6; parallel += 1e6) {
                size_t m = tall[k][0], r = tall[k][1];
                batch b = make_one(m, r, parallel);
                dn_stream *s = make_stream((*backend)->name, 2);
                assert_int_equal(householder(s, &b), DN_FACTOR_OK);
                double eps = DN_REAL_EPS * sqrt((double)m);
                assert_at_most(deviation_from_orthonormal(basis(&b, 0), m, r), 8 * eps);
                assert_at_most(deviation_from_factor(basis(&b, 0), b.start[0], m, r),
                               64 * eps * (1 + parallel));
                dn_stream_destroy(&s);
                free_batch(&b);
            }
}

/* Several at once, on more threads than there are. */
static void householder_takes_batches(void **state)
{
    batch together = make_batch(), alone = make_batch();
    dn_stream *s = make_stream("cpu", 3), *one = make_stream("cpu", 1);
    dn_tall items[4];
    for (size_t i = 0; i < 4; i++) {
        items[i] = (dn_tall){.m = shapes[2 + i][0], .r = shapes[2 + i][1], .p = together.bands[2 + i].p};
        dn_tall t = items[i];
        t.p = alone.bands[2 + i].p;
        one->kernels->householder(one, &t, 1);
        assert_int_equal(dn_stream_sync(one), DN_OK);
    }
    s->kernels->householder(s, items, 4);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    for (size_t i = 2; i < 6; i++)
        assert_memory_equal(basis(&together, i), basis(&alone, i),
                            shapes[i][0] * shapes[i][1] * sizeof(dn_real));
    dn_stream_destroy(&s), dn_stream_destroy(&one);
    free_batch(&together), free_batch(&alone);
}

/* All three ways must say the same; Householder takes what is only dependent. p stays but for that. */
static void check_verdict(const batch *like, dn_factor_info expected)
{
    size_t m = like->bands[0].m, r = like->bands[0].r;
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        dn_stream *s = make_stream((*backend)->name, 2);
        for (int way = 0; way < 3; way++) {
            batch b = {.n = 0};
            add_matrix(&b, m, r, 1);
            memcpy(basis(&b, 0), basis(like, 0), m * r * sizeof(dn_real));
            bool taken = way == 2 && expected == DN_FACTOR_RANK_DEFICIENT;
            dn_factor_info said = way == 2 ? householder(s, &b) : go_round(s, &b, way == 1, NULL);
            if (said != (taken ? DN_FACTOR_OK : expected))
                fail_msg("%s, way %d said %d, not %d", (*backend)->name, way, (int)said, (int)expected);
            if (taken)
                assert_at_most(deviation_from_orthonormal(basis(&b, 0), m, r),
                               8 * DN_REAL_EPS * sqrt((double)m));
            else
                assert_memory_equal(basis(&b, 0), basis(like, 0), m * r * sizeof(dn_real));
            free_batch(&b);
        }
        dn_stream_destroy(&s);
    }
}

static void dependent_columns_are_noticed(void **state)
{
    const size_t m = 150, r = 70;
    for (int zero = 0; zero < 2; zero++) {
        batch b = make_one(m, r, 0);
        for (size_t i = 0; i < m; i++)
            basis(&b, 0)[i * r + 66] = zero ? 0 : basis(&b, 0)[i * r + 2] / 4;
        check_verdict(&b, DN_FACTOR_RANK_DEFICIENT);
        free_batch(&b);
    }
}

static void nothing_but_zeros_is_noticed(void **state)
{
    batch b = make_one(40, 5, 0);
    for (size_t i = 0; i < 200; i++)
        basis(&b, 0)[i] = 0;
    check_verdict(&b, DN_FACTOR_ZERO);
    free_batch(&b);
}

static void nan_and_infinity_are_noticed(void **state)
{
    const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < 3; i++) {
        batch b = make_one(90, 70, 0);
        basis(&b, 0)[90 * 70 - 2] = (dn_real)bad[i];
        check_verdict(&b, DN_FACTOR_NOT_FINITE);
        free_batch(&b);
    }
}

TESTS(orth)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gram_matrices_are_sums_in_double),
        cmocka_unit_test(sketches_are_those_of_the_reference),
        cmocka_unit_test(partials_of_bands_add_up_to_the_partial_of_the_whole),
        cmocka_unit_test(rows_are_multiplied_in_double_and_rounded_once),
        cmocka_unit_test(bits_depend_neither_on_threads_nor_on_the_batch),
        cmocka_unit_test(one_round_keeps_its_promise_and_two_leave_rounding),
        cmocka_unit_test(factors_are_of_the_sum_of_partials),
        cmocka_unit_test(householder_gives_the_factor_of_every_matrix),
        cmocka_unit_test(householder_takes_batches),
        cmocka_unit_test(dependent_columns_are_noticed),
        cmocka_unit_test(nothing_but_zeros_is_noticed),
        cmocka_unit_test(nan_and_infinity_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
