/*
 * Newton-Schulz against what it means: the scalar polynomials on the singular values of a Jacobi
 * decomposition, the singular vectors kept.
 *
 * Bounds. Five steps multiply an error in a small singular value by up to 990 (the product of the a's); with
 * some 10 eps of rounding a step that makes 1e4 eps, which is what BOUND is. In the Gram form errors of R,
 * relative to its largest eigenvalue, weigh more on the small ones: 10 times as much.
 */
#include "linalg/newton_schulz.h"
#include "support/close.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BOUND (1e4 * DN_REAL_EPS)

static const dn_ns_set sets[] = {DN_NS_KELLER, DN_NS_DION, DN_NS_POLAR_EXPRESS};

typedef struct shape {
    size_t rows, cols;
} shape;

static const shape shapes[] = {{1, 1}, {6, 6}, {24, 17}, {17, 24}, {1, 9}, {9, 1}, {150, 20}, {20, 150}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static double polynomials(const dn_ns_coefficients *table, double x)
{
    for (int i = 0; i < DN_NS_STEPS; i++)
        x *= table->step[i].a + table->step[i].b * x * x + table->step[i].c * x * x * x * x;
    return x;
}

/* U p(S) V^T of x [rows, cols] by definition; owned by the caller. */
static double *expected(const dn_ns_method *method, const double *x, size_t rows, size_t cols)
{
    const dn_ns_coefficients *table = dn_ns_coefficients_of(method->set);
    size_t m = rows > cols ? rows : cols, n = rows + cols - m;
    double *u = dense_zeros(m, n), *s = dense_zeros(n, 1), *v = dense_zeros(n, n), *out = dense_zeros(m, n);
    double norm = table->norm_factor * dense_norm(x, rows * cols) + method->eps;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            u[i * n + j] = rows >= cols ? x[i * n + j] : x[j * m + i];
    dense_svd(u, s, v, m, n);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            u[i * n + j] = s[j] > 0 ? u[i * n + j] / s[j] * polynomials(table, s[j] / norm) : 0;
    if (rows >= cols)
        dense_multiply(out, u, 0, v, 1, m, n, n);
    else
        dense_multiply(out, v, 0, u, 1, n, m, n);
    free(u), free(s), free(v);
    return out;
}

/* n matrices x[k] [rows, cols] in place; workspace for `together` of them. */
static dn_status run(const char *backend, const dn_ns_method *method, double *const *x, dn_ns_info *info,
                     size_t n, shape z, size_t together)
{
    dn_stream *s;
    void *memory[8], *workspace;
    size_t size = z.rows * z.cols, bytes = dn_ns_workspace_bytes(method, z.rows, z.cols, together);
    dn_buf *bufs[8];
    dn_real *host = calloc(size, sizeof *host);
    assert_int_equal(dn_stream_create(backend, 2, &s), DN_OK);
    assert_int_equal(dn_device_alloc(s, bytes, &workspace), DN_OK);
    memset(behind(workspace), 0xff, bytes); /* all NaN: nothing may be read before it is written */
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(dn_device_alloc(s, size * sizeof(dn_real), &memory[k]), DN_OK);
        dense_to_real(host, x[k], size);
        bufs[k] = memory[k];
        dn_upload(s, bufs[k], host, size);
    }
    dn_status status = dn_newton_schulz(s, method, bufs, info, n, z.rows, z.cols, workspace, bytes);
    for (size_t k = 0; k < n; k++) {
        dn_download(s, host, bufs[k], size);
        assert_int_equal(dn_stream_sync(s), DN_OK);
        for (size_t i = 0; i < size; i++)
            x[k][i] = (double)host[i];
        dn_device_free(s, memory[k], size * sizeof(dn_real));
    }
    dn_device_free(s, workspace, bytes);
    free(host);
    dn_stream_destroy(&s);
    return status;
}

static void check(const char *backend, const dn_ns_method *method, double *x, shape z, double bound)
{
    dn_ns_info info;
    double *right = expected(method, x, z.rows, z.cols);
    assert_int_equal(run(backend, method, &x, &info, 1, z, 1), DN_OK);
    assert_int_equal(info, DN_NS_OK);
    double error = dense_distance(x, right, z.rows * z.cols);
    if (!(error <= bound))
        fail_msg("%s, %zu x %zu, set %d, gram %d: off by %g, allowed %g", backend, z.rows, z.cols,
                 (int)method->set, method->gram, error, bound);
    free(right);
}

static void singular_values_go_through_the_polynomials(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend++)
        for (size_t i = 0; i < N_SHAPES; i++)
            for (size_t k = 0; k < 6; k++) {
                const dn_ns_method method = {.set = sets[k % 3], .gram = k >= 3, .eps = 1e-8};
                double *x = dense_random(shapes[i].rows, shapes[i].cols, i);
                check((*backend)->name, &method, x, shapes[i], method.gram ? 10 * BOUND : BOUND);
                free(x);
            }
}

/* Parts 0 .. 2 of a matrix along its long side, one behind the other in x; the last is empty. */
static void run_in_parts(dn_stream *s, const dn_ns_method *method, dn_buf *x, double square, shape z)
{
    const bool tall = z.rows > z.cols;
    const size_t a = tall ? z.cols : z.rows, b = tall ? z.rows : z.cols, cuts[] = {0, b / 3, b, b};
    void *memory;
    const size_t bytes = (9 * a * a + a * b) * sizeof(dn_real);
    assert_int_equal(dn_device_alloc(s, bytes, &memory), DN_OK);
    dn_buf *gram = memory, *sum = dn_at(gram, a * a), *k = dn_at(sum, a * a), *workspace = dn_at(k, a * a);
    s->kernels->scale(s, x, dn_ns_scale(method, square), x, a * b);
    for (int round = 0; round < DN_NS_GRAM_ROUNDS; round++) {
        s->kernels->fill(s, sum, a * a, 0);
        for (int i = 0; i < 3; i++) {
            size_t n = cuts[i + 1] - cuts[i];
            dn_ns_gram_shard(s, gram, dn_at(x, cuts[i] * a), tall ? n : a, tall ? a : n, tall);
            s->kernels->axpby(s, sum, 1, gram, 1, a * a);
        }
        dn_ns_gram_factor(s, method, round, k, sum, a, workspace);
        for (int i = 0; i < 3; i++) {
            size_t n = cuts[i + 1] - cuts[i];
            dn_ns_gram_apply(s, dn_at(x, cuts[i] * a), k, tall ? n : a, tall ? a : n, tall, workspace);
        }
    }
    assert_int_equal(dn_stream_sync(s), DN_OK);
    dn_device_free(s, memory, bytes);
}

/* From parts to the row-major matrix, if its long side is that of columns. */
static void put_together(double *x, shape z)
{
    if (z.rows > z.cols)
        return;
    double *parts = dense_copy(x, z.rows * z.cols);
    size_t first = z.cols / 3;
    for (size_t i = 0; i < z.rows; i++)
        for (size_t j = 0; j < z.cols; j++)
            x[i * z.cols + j] =
                j < first ? parts[i * first + j] : parts[z.rows * first + i * (z.cols - first) + j - first];
    free(parts);
}

static void check_in_parts(const dn_ns_method *method, shape z)
{
    const size_t size = z.rows * z.cols;
    double *x = dense_random(z.rows, z.cols, 5);
    dn_real *host = calloc(size, sizeof *host);
    void *memory;
    dn_stream *s;
    assert_int_equal(dn_stream_create("ref", 1, &s), DN_OK);
    assert_int_equal(dn_device_alloc(s, size * sizeof(dn_real), &memory), DN_OK);
    dense_to_real(host, x, size);
    dn_upload(s, memory, host, size);
    run_in_parts(s, method, memory, dense_norm(x, size) * dense_norm(x, size), z);
    dn_download(s, host, memory, size);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    double *got = dense_from_real(host, size);
    put_together(x, z), put_together(got, z);
    double *right = expected(method, x, z.rows, z.cols);
    assert_below(dense_distance(got, right, size), 10 * BOUND);
    free(x), free(got), free(right), free(host);
    dn_device_free(s, memory, size * sizeof(dn_real));
    dn_stream_destroy(&s);
}

static void long_matrices_in_parts_come_to_the_same(void **state)
{
    const shape long_ones[] = {{24, 17}, {17, 24}, {150, 20}, {20, 150}, {9, 1}};
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 3; k++)
            check_in_parts(&(dn_ns_method){.set = sets[k], .gram = true, .eps = 1e-8}, long_ones[i]);
}

/* x [m,n] = U diag(s) V^T with random U, V; m >= n. */
static double *with_singular_values(size_t m, size_t n, const double *s)
{
    double *u = dense_random(m, n, 71), *v = dense_random(n, n, 72), *x = dense_zeros(m, n);
    dense_orthonormalize(u, m, n);
    dense_orthonormalize(v, n, n);
    for (size_t i = 0; i < m * n; i++)
        u[i] *= s[i % n];
    dense_multiply(x, u, 0, v, 1, m, n, n);
    free(u), free(v);
    return x;
}

static void singular_values_lie_in_the_documented_bands(void **state)
{
    static const double low[] = {0.68, 0.85, 0.84}, high[] = {1.21, 1.15, 1.15}, from[] = {2e-3, 2e-3, 1e-3};
    const shape z = {40, 24};
    for (size_t k = 0; k < 6; k++) {
        const dn_ns_method method = {.set = sets[k % 3], .gram = k >= 3, .eps = 1e-8};
        double s[24], v[24 * 24];
        dn_ns_info info;
        for (size_t i = 0; i < 24; i++) /* evenly on a logarithmic scale, the last one still in the band */
            s[i] = pow(2.5 * from[k % 3], (double)i / 23);
        assert_true(s[23] > from[k % 3] * dense_norm(s, 24) && s[23] < 2 * from[k % 3] * dense_norm(s, 24));
        double *x = with_singular_values(40, 24, s);
        assert_int_equal(run("cpu", &method, &x, &info, 1, z, 1), DN_OK);
        dense_svd(x, s, v, 40, 24);
        assert_true(s[0] < high[k % 3] && s[23] > low[k % 3]);
        free(x);
    }
}

static void ill_conditioned_matrices_are_orthonormalized_where_they_have_weight(void **state)
{
    const shape z = {30, 20};
    for (size_t k = 0; k < 6; k++) {
        const dn_ns_method method = {.set = sets[k % 3], .gram = k >= 3, .eps = 1e-8};
        double s[20];
        for (size_t i = 0; i < 20; i++)
            s[i] = pow(10, -0.5 * (double)i);
        double *x = with_singular_values(30, 20, s);
        check("cpu", &method, x, z, method.gram ? 10 * BOUND : BOUND);
        free(x);
    }
}

static void rank_1_stays_rank_1(void **state)
{
    const shape z = {12, 30};
    for (size_t k = 0; k < 6; k++) {
        const dn_ns_method method = {.set = sets[k % 3], .gram = k >= 3, .eps = 1e-8};
        double *left = dense_random(12, 1, 1), *right = dense_random(30, 1, 2), *x = dense_zeros(12, 30);
        dense_multiply(x, left, 0, right, 1, 12, 30, 1);
        check("cpu", &method, x, z, method.gram ? 10 * BOUND : BOUND);
        free(left), free(right), free(x);
    }
}

/* Of a batch: one zero, one with a NaN, one with an infinity, two plain ones that must not notice. */
static void zero_and_not_finite_matrices_are_reported_and_touch_no_others(void **state)
{
    const shape z = {10, 14};
    for (int gram = 0; gram < 2; gram++) {
        const dn_ns_method method = {.set = DN_NS_POLAR_EXPRESS, .gram = gram, .eps = 1e-8};
        double *x[5], *before[5];
        dn_ns_info info[5];
        for (uint64_t k = 0; k < 5; k++)
            x[k] = dense_random(10, 14, k);
        memset(x[1], 0, 140 * sizeof(double));
        x[2][77] = (double)NAN;
        x[3][3] = -(double)INFINITY;
        for (size_t k = 0; k < 5; k++)
            before[k] = dense_copy(x[k], 140);
        double *first = expected(&method, x[0], 10, 14), *last = expected(&method, x[4], 10, 14);
        assert_int_equal(run("cpu", &method, x, info, 5, z, 5), DN_OK);
        const dn_ns_info right[] = {DN_NS_OK, DN_NS_ZERO, DN_NS_NOT_FINITE, DN_NS_NOT_FINITE, DN_NS_OK};
        assert_memory_equal(info, right, sizeof right);
        assert_below(dense_distance(x[0], first, 140), 10 * BOUND);
        assert_below(dense_distance(x[4], last, 140), 10 * BOUND);
        assert_memory_equal(x[1], before[1], 140 * sizeof(double));
        for (size_t k = 2; k < 4; k++)
            for (size_t i = 0; i < 140; i++)
                assert_true(x[k][i] == (double)(dn_real)before[k][i] || isnan(before[k][i]));
        assert_true(isnan(x[2][77]));
        for (size_t k = 0; k < 5; k++)
            free(x[k]), free(before[k]);
        free(first), free(last);
    }
}

/* eps is added to the norm: 1e-8 against 1e-8 halves all singular values before the first step. */
static void a_gradient_as_small_as_eps_is_damped(void **state)
{
    const dn_ns_method method = {.set = DN_NS_DION, .eps = 1e-8};
    const shape z = {6, 6};
    double *x = dense_random(6, 6, 1), norm = dense_norm(x, 36);
    for (size_t i = 0; i < 36; i++)
        x[i] *= 1e-8 / norm;
    check("cpu", &method, x, z, BOUND);
    free(x);
}

static void a_smaller_workspace_gives_the_same_bits(void **state)
{
    const dn_ns_method method = {.set = DN_NS_KELLER, .gram = true, .eps = 1e-8};
    const shape z = {9, 5};
    double *together[5], *alone[5];
    dn_ns_info info[5];
    for (uint64_t k = 0; k < 5; k++) {
        together[k] = dense_random(9, 5, k);
        alone[k] = dense_random(9, 5, k);
    }
    assert_int_equal(run("ref", &method, together, info, 5, z, 5), DN_OK);
    assert_int_equal(run("ref", &method, alone, info, 5, z, 2), DN_OK);
    for (size_t k = 0; k < 5; k++) {
        assert_memory_equal(together[k], alone[k], 45 * sizeof(double));
        free(together[k]), free(alone[k]);
    }
    assert_int_equal(run("ref", &method, together, info, 0, z, 0), DN_ERR_ARG);
}

/* By hand for 2 x 4: A 4*4, A^2 2*4, B X 2*8*2, five times; Gram: see the header. */
static void flops_are_counted_by_halves(void **state)
{
    dn_ns_method method = {.set = DN_NS_DION};
    assert_true(dn_ns_flops(&method, 2, 4) == 5 * (16 + 8 + 32));
    method.gram = true;
    assert_true(dn_ns_flops(&method, 4, 2) == 2 * (16 + 32) + (5 + 3 + 6) * 8);
}

TESTS(linalg_newton_schulz)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(singular_values_go_through_the_polynomials),
        cmocka_unit_test(long_matrices_in_parts_come_to_the_same),
        cmocka_unit_test(singular_values_lie_in_the_documented_bands),
        cmocka_unit_test(ill_conditioned_matrices_are_orthonormalized_where_they_have_weight),
        cmocka_unit_test(rank_1_stays_rank_1),
        cmocka_unit_test(zero_and_not_finite_matrices_are_reported_and_touch_no_others),
        cmocka_unit_test(a_gradient_as_small_as_eps_is_damped),
        cmocka_unit_test(a_smaller_workspace_gives_the_same_bits),
        cmocka_unit_test(flops_are_counted_by_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
