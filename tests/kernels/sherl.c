/* SHERL's mixture against its formulas and what must be true of it, its derivatives, and every backend. */
#include "support.h"
#include "support/close.h"

#include <math.h>
#include <string.h>

/* arrays: z u v a | agg f | dagg dh dv da */
enum { Z, U, V, A, AGG, F, DAGG, DH, DV, DA, N_ARRAYS };

typedef struct sizes {
    size_t M, N, r;
} sizes;

static void run_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const sizes *x = context;
    s->kernels->sherl_forward(s, b[AGG], b[F], b[Z], b[U], b[V], b[A], x->M, x->N, x->r);
}

static void run_both(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const sizes *x = context;
    run_forward(s, b, host, context);
    s->kernels->sherl_backward(s, b[DH], b[DV], b[DA], b[DAGG], b[F], b[Z], b[U], b[V], b[A], x->M, x->N, x->r);
}

static trial make_trial(const sizes *x)
{
    size_t n = x->M * x->N * x->r;
    trial t = {.arrays = {random_array(n, 1, 1), random_array(n, 2, 1), random_array(n, 3, 1), random_array(x->r, 4, 1),
                          nan_array(x->N * x->r), nan_array(n), random_array(x->N * x->r, 5, 1), nan_array(n), nan_array(n),
                          random_array(x->r, 6, 1)},
               .n_arrays = N_ARRAYS,
               .same_bits = true};
    /* Of many rows there are some whose importances cancel, and weights, which are quotients of these, amplify any rounding: not where
     * all terms are positive. The other cases have what is negative. */
    for (size_t i = 0; i < n && x->N > 100; i++)
        t.arrays[Z].start[i] += 6;
    for (size_t c = 0; c < x->r && x->N > 100; c++)
        t.arrays[A].start[c] += 4;
    t.arrays[DA].scale = 1 + sqrt((double)(x->M * x->N)); /* of so many terms, in another order */
    return t;
}

static const sizes cases[] = {{4, 3, 5}, {1, 2, 3}, {2, 1, 1}, {3, 0, 4}, {12, 33, 8}, {6, 500, 6}};

static void every_backend_agrees_with_the_reference(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        trial t = make_trial(&cases[i]);
        compare_columns(&t, run_both, &cases[i]);
    }
}

/* da is a sum over all rows, of which many threads have some each. */
static void threads_do_not_change_a_bit(void **state)
{
    const sizes *x = &cases[sizeof cases / sizeof *cases - 1];
    trial t = make_trial(x);
    compare_threads(&t, run_both, x);
    free_trial(&t);
}

/* agg [r] of vectors f [M,r], from the paper's formulas, every sum written out. */
static void textbook(size_t M, size_t r, const double *f, const double *a, double *agg)
{
    double s[16], sum = 1e-6;
    for (size_t l = 0; l + 1 < M; l++) {
        double redundancy = 0, importance = 0;
        for (size_t m = 0; m + 1 < M; m++) {
            double both = 0, ll = 0, mm = 0;
            for (size_t c = 0; c < r; c++) {
                both += f[l * r + c] * f[m * r + c];
                ll += f[l * r + c] * f[l * r + c];
                mm += f[m * r + c] * f[m * r + c];
            }
            redundancy += fmax(both / sqrt(ll) / sqrt(mm), 0);
        }
        for (size_t c = 0; c < r; c++)
            importance += a[c] * f[l * r + c] * f[(M - 1) * r + c];
        s[l] = fmax(importance, 0) / redundancy;
        sum += s[l];
    }
    for (size_t c = 0; c < r; c++) {
        agg[c] = f[(M - 1) * r + c];
        for (size_t l = 0; l + 1 < M; l++)
            agg[c] += s[l] / sum * f[l * r + c];
    }
}

static void the_mixture_is_the_paper_s(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sizes *x = &cases[i];
        trial t = make_trial(x);
        dn_real *results[MAX_ARRAYS];
        double host[MAX_HOST], f[16 * 16], a[16], agg[16];
        run_backend("ref", 1, &t, run_forward, x, results, host);
        for (size_t row = 0; row < x->N; row++) {
            for (size_t l = 0; l < x->M; l++)
                for (size_t c = 0; c < x->r; c++) {
                    size_t at = (l * x->N + row) * x->r + c;
                    double h = (double)t.arrays[Z].start[at] + (double)t.arrays[U].start[at];
                    double gate = 1 / (1 + exp(-(double)t.arrays[V].start[at]));
                    assert_close((double)results[F][at], h * gate, 8 * DN_REAL_EPS);
                    f[l * x->r + c] = (double)results[F][at];
                }
            for (size_t c = 0; c < x->r; c++)
                a[c] = (double)t.arrays[A].start[c];
            textbook(x->M, x->r, f, a, agg);
            for (size_t c = 0; c < x->r; c++)
                assert_close((double)results[AGG][row * x->r + c], agg[c], 16 * DN_REAL_EPS * (1 + fabs(agg[c])));
        }
        free_results(&t, results);
        free_trial(&t);
    }
}

/* agg of one row, of f given: gates wide open. */
static void mixed(size_t M, const double *f, double *agg)
{
    enum { R = 4 };
    const sizes x = {M, 1, R};
    trial t = make_trial(&x);
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST];
    for (size_t i = 0; i < M * R; i++) {
        t.arrays[Z].start[i] = (dn_real)f[i];
        t.arrays[U].start[i] = 0;
        t.arrays[V].start[i] = 100; /* its sigmoid is 1, in either precision */
    }
    for (size_t c = 0; c < R; c++)
        t.arrays[A].start[c] = 1;
    run_backend("ref", 1, &t, run_forward, &x, results, host);
    for (size_t c = 0; c < R; c++)
        agg[c] = (double)results[AGG][c];
    free_results(&t, results);
    free_trial(&t);
}

/* Shallow layers in directions of their own: three copies of one have together the weight of one; weights are not negative, and
 * 1 at most together; a layer that points away from the deepest, and one that is 0, have none. */
static void copies_have_together_the_weight_of_one(void **state)
{
    const double one[] = {3, 0, 0, 0, 0, 2, 0, 0, 1, 1, 1, 1};
    const double copies[] = {3, 0, 0, 0, 0, 2, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 1, 1, 1, 1};
    const double others[] = {3, 0, 0, 0, 0, 2, 0, 0, 0, 0, -5, 0, 0, 0, 0, 0, 1, 1, 1, 1};
    double alone[4], together[4], with_others[4];
    mixed(3, one, alone);
    mixed(5, copies, together);
    mixed(5, others, with_others);
    double p[] = {(alone[0] - 1) / 3, (alone[1] - 1) / 2};
    assert_close(p[0], 3.0 / 5, 1e-6); /* importance 3 and 2; 1e-6 keeps the sum from 0 */
    assert_close(p[1], 2.0 / 5, 1e-6);
    assert_true(p[0] + p[1] <= 1);
    for (size_t c = 0; c < 4; c++) {
        assert_close(together[c], alone[c], 1e-6);
        assert_close(with_others[c], alone[c], 1e-6);
    }
}

static void its_backward_pass_is_the_derivative(void **state)
{
    static const derivative of[] = {{Z, DH, 0, false}, {U, DH, 0, false}, {V, DV, 0, false}, {A, DA, 0, true}};
    for (size_t i = 0; i < 3; i++) {
        trial t = make_trial(&cases[i]);
        check_slopes(&t, run_forward, run_both, &cases[i], AGG, DAGG, of, sizeof of / sizeof *of);
        free_trial(&t);
    }
}

/* arrays: x | y gamma dy dgamma */
static void run_gated(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const size_t *n = context;
    s->kernels->relu(s, b[0], *n);
    s->kernels->add_gated(s, b[1], b[2], b[0], *n);
    s->kernels->add_gated_backward(s, b[4], b[2], b[3], b[0], *n);
}

static void the_gate_adds_a_share_of_what_is_positive(void **state)
{
    static const size_t lengths[] = {37, 40000}; /* within a block, and of several */
    for (size_t k = 0; k < 2; k++) {
        const size_t n = lengths[k];
        trial t = {.arrays = {random_array(n, 1, 1), random_array(n, 2, 1), constant_array(1, 0.05), random_array(n, 3, 1),
                              constant_array(1, 2)},
                   .n_arrays = 5,
                   .same_bits = true};
        dn_real *results[MAX_ARRAYS];
        double host[MAX_HOST], slope = 2;
        run_backend("ref", 1, &t, run_gated, &n, results, host);
        for (size_t i = 0; i < n; i++) {
            double x = fmax((double)t.arrays[0].start[i], 0);
            assert_true((double)results[0][i] == x);
            assert_close((double)results[1][i], (double)t.arrays[1].start[i] + tanh(0.5) * x, 8 * DN_REAL_EPS * (1 + x));
            slope += 10 * (1 - tanh(0.5) * tanh(0.5)) * (double)t.arrays[3].start[i] * x;
        }
        assert_close((double)results[4][0], slope, 64 * DN_REAL_EPS * (1 + fabs(slope)));
        t.arrays[4].scale = (double)n; /* the reference adds term to term, of the size of 1, and rounds each time */
        free_results(&t, results);
        compare_columns(&t, run_gated, &n);
    }
}

TESTS(sherl)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mixture_is_the_paper_s),
        cmocka_unit_test(copies_have_together_the_weight_of_one),
        cmocka_unit_test(every_backend_agrees_with_the_reference),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(its_backward_pass_is_the_derivative),
        cmocka_unit_test(the_gate_adds_a_share_of_what_is_positive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
