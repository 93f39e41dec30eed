/* The element-wise rules against textbook code, and the counting rules of Dion. */
#include "optim/dion.h"
#include "support/close.h"
#include "support/dense.h"
#include "support/optim_rig.h"
#include "support/tests.h"
#include "support/rules.h"

#include <math.h>
#include <stdlib.h>

enum { STEPS = 10, N = 30 };

static const rig_shape shapes[] = {
    {DN_PARAM_MATRIX, 5, 6}, {DN_PARAM_EMBEDDING, 5, 6}, {DN_PARAM_HEAD, 5, 6}, {DN_PARAM_VECTOR, 1, 30}};
static const double lr = 0.01, lr_scales[] = {1, 2, 0.5, 3}, decays[] = {0.1, 0, 0.2, 0.05};

static dn_optim_config elementwise(const char *rule)
{
    dn_optim_config config = rig_config();
    config.matrix_rule = config.scalar_rule = rule;
    config.beta1 = 0.8;
    config.beta2 = 0.97;
    for (size_t k = 0; k < 4; k++)
        config.groups[k] = (dn_group_options){lr_scales[k], decays[k]};
    return config;
}

/* Loshchilov and Hutter, in double. Cautious: no decay of what the update lets grow. */
static void adamw(double *x, double *m, double *v, const double *g, int t, double rate, double decay,
                  bool cautious)
{
    for (size_t i = 0; i < N; i++) {
        m[i] += (1 - 0.8) * (g[i] - m[i]);
        x[i] -= cautious && m[i] * x[i] < 0 ? 0 : rate * decay * x[i];
        v[i] += (1 - 0.97) * (g[i] * g[i] - v[i]);
        double mean = m[i] / (1 - pow(0.8, t)), square = v[i] / (1 - pow(0.97, t));
        x[i] -= rate * mean / (sqrt(square) + 1e-8);
    }
}

/* Chen et al., in double. */
static void lion(double *x, double *m, const double *g, double rate, double decay, double scale)
{
    for (size_t i = 0; i < N; i++) {
        double blend = 0.8 * m[i] + 0.2 * g[i];
        x[i] -= rate * decay * x[i];
        x[i] -= rate * scale * (blend > 0 ? 1 : blend < 0 ? -1 : 0);
        m[i] = 0.97 * m[i] + 0.03 * g[i];
    }
}

/* Ten steps of all four kinds; weights of size 1 carry ten roundings, the double code next to none. */
static void matches_textbook(const char *rule, bool cautious)
{
    dn_optim_config config = elementwise(rule);
    config.cautious = cautious;
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, shapes, 4), DN_OK);
    double *x[4], *m[4], *v[4];
    for (size_t k = 0; k < 4; k++) {
        x[k] = dense_random(N, 1, k), m[k] = dense_zeros(N, 1), v[k] = dense_zeros(N, 1);
        dense_to_real(rig_weight(&rig, k), x[k], N);
    }
    for (int t = 1; t <= STEPS; t++) {
        for (size_t k = 0; k < 4; k++) {
            double *g = dense_random(N, 1, 10 * (uint64_t)t + k), rate = lr * lr_scales[k];
            rig_set_grad(&rig, k, g);
            if (is_rule(rule, "adamw"))
                adamw(x[k], m[k], v[k], g, t, rate, decays[k], cautious);
            else
                lion(x[k], m[k], g, rate, decays[k], shapes[k].kind == DN_PARAM_HEAD ? 1 / sqrt(6) : 1);
            free(g);
        }
        assert_int_equal(rig_step(&rig, lr), DN_OK);
    }
    for (size_t k = 0; k < 4; k++) {
        double *weight = dense_from_real(rig_weight(&rig, k), N);
        assert_below(dense_distance(weight, x[k], N), 4 * STEPS * DN_REAL_EPS);
        free(weight), free(x[k]), free(m[k]), free(v[k]);
    }
    rig_destroy(&rig);
}

static void adamw_matches_the_textbook(void **state)
{
    (void)state;
    matches_textbook("adamw", false);
    matches_textbook("adamw", true);
}

static void lion_matches_the_textbook_and_scales_only_the_head(void **state)
{
    (void)state;
    matches_textbook("lion", false);
}

static size_t rank_of(size_t rows, size_t cols, double fraction, size_t multiple)
{
    return dn_dion_shape_of(rows, cols, fraction, multiple).r;
}

static void rank_is_a_fraction_of_the_short_side_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(rank_of(768, 3072, 0.25, 1), 192);
    assert_int_equal(rank_of(3072, 768, 0.25, 1), 192);
    assert_int_equal(rank_of(10, 30, 0.25, 1), 3);
    assert_int_equal(rank_of(10, 30, 0.25, 4), 4);
    assert_int_equal(rank_of(10, 30, 1, 4), 10); /* at most the short side */
    assert_int_equal(rank_of(100, 100, 1.0 / 16, 8), 8);
    assert_int_equal(rank_of(5, 7, 0.001, 1), 1);
    assert_int_equal(rank_of(1, 30, 1, 1), 1);
}

static void compression_needs_a_fraction_below_1_and_fewer_numbers(void **state)
{
    (void)state;
    dn_dion_shape square = dn_dion_shape_of(768, 768, 0.5, 1), long_one = dn_dion_shape_of(3072, 768, 0.5, 1);
    assert_false(dn_dion_compresses(&square, 0.5)); /* equality does not */
    assert_true(dn_dion_compresses(&long_one, 0.5));
    square = dn_dion_shape_of(768, 768, 0.25, 1);
    assert_true(dn_dion_compresses(&square, 0.25));
    long_one = dn_dion_shape_of(3072, 4, 1, 1);
    assert_false(dn_dion_compresses(&long_one, 1));
}

static void orientation_puts_p_on_the_long_side(void **state)
{
    (void)state;
    dn_dion_shape z = dn_dion_shape_of(30, 10, 0.5, 1);
    assert_true(z.m == 30 && z.n == 10 && !z.transposed);
    z = dn_dion_shape_of(10, 30, 0.5, 1);
    assert_true(z.m == 30 && z.n == 10 && z.transposed);
    z = dn_dion_shape_of(10, 10, 0.5, 1);
    assert_false(z.transposed);
}

TESTS(optim_elements)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_matches_the_textbook),
        cmocka_unit_test(lion_matches_the_textbook_and_scales_only_the_head),
        cmocka_unit_test(rank_is_a_fraction_of_the_short_side_rounded_up),
        cmocka_unit_test(compression_needs_a_fraction_below_1_and_fewer_numbers),
        cmocka_unit_test(orientation_puts_p_on_the_long_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
