/*
 * Exact invariants of one Dion matrix, through the optimizer with one
 * replica. Bounds: rounding of sums of at most 40 terms of size 1 and of an orthonormalization, some 10
 * eps each, is allowed 1000 eps; where a column norm of size 1 or more is blurred by eps = 1e-8, that is
 * added. The differences meant to be seen are above 1e-2.
 */
#include "support/close.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/optim_rig.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TIGHT (1000 * DN_REAL_EPS)

static const rig_shape tall = {DN_PARAM_MATRIX, 40, 24}, wide = {DN_PARAM_MATRIX, 24, 40},
                       square = {DN_PARAM_MATRIX, 24, 24};

/* One step of a fresh matrix of `shape` from Q = basis (NULL: as drawn): returns the factor P Q^T, [rows,
 * cols], that the update is made of. */
static double *first_update(const dn_optim_config *config, rig_shape shape, const double *grad,
                            const double *basis)
{
    optim_rig rig;
    size_t count = shape.rows * shape.cols;
    assert_int_equal(rig_create(&rig, NULL, "ref", config, &shape, 1), DN_OK);
    const dn_tensor *q = rig_state(&rig, "dion.q", 0);
    if (basis)
        dense_to_real(rig_state_data(&rig, "dion.q", 0), basis, q->rows * q->cols);
    rig_set_grad(&rig, 0, grad);
    assert_int_equal(rig_step(&rig, 1), DN_OK);
    double *update = dense_from_real(rig_weight(&rig, 0), count);
    for (size_t i = 0; i < count; i++)
        update[i] *= -sqrt((double)shape.cols / (double)shape.rows);
    rig_destroy(&rig);
    return update;
}

static void update_has_the_norm_of_root_r(void **state)
{
    (void)state;
    const rig_shape shapes[] = {tall, wide, square};
    dn_optim_config config = rig_config();
    for (size_t i = 0; i < 3; i++) {
        size_t count = shapes[i].rows * shapes[i].cols;
        double *grad = dense_random(shapes[i].rows, shapes[i].cols, i);
        double *update = first_update(&config, shapes[i], grad, NULL);
        assert_close(dense_norm(update, count), sqrt(6), 1e-8 + TIGHT);
        free(grad);
        free(update);
    }
}

/* Orth-Dion: r singular values are 1, the others 0, though R's columns are far from orthogonal. */
static void orth_dion_updates_have_r_singular_values_of_1(void **state)
{
    (void)state;
    enum { M = 40, N = 24, R = 6 };
    dn_optim_config config = rig_config();
    config.orth_dion = true;
    double *grad = dense_random(M, N, 3), *s = dense_zeros(N, 1), *v = dense_zeros(N, N);
    double *update = first_update(&config, tall, grad, NULL);
    dense_svd(update, s, v, M, N);
    for (size_t k = 0; k < N; k++)
        assert_close(s[k], (k < R), TIGHT);
    free(grad), free(s), free(v), free(update);
}

static void scale_and_sign_of_basis_columns_do_not_matter_but_their_order_does(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    size_t r = 6, count = tall.rows * tall.cols;
    double *grad = dense_random(tall.rows, tall.cols, 1), *q = dense_random(tall.cols, r, 2);
    double *scaled = dense_copy(q, tall.cols * r), *permuted = dense_copy(q, tall.cols * r);
    for (size_t i = 0; i < tall.cols; i++)
        for (size_t j = 0; j < r; j++) {
            scaled[i * r + j] *= (j % 2 ? -1 : 1) * (1.0 + (double)j);
            permuted[i * r + j] = q[i * r + (j + 1) % r];
        }
    double *update = first_update(&config, tall, grad, q);
    double *update_scaled = first_update(&config, tall, grad, scaled);
    double *update_permuted = first_update(&config, tall, grad, permuted);
    assert_below(dense_distance(update, update_scaled, count), TIGHT);
    assert_above(dense_distance(update, update_permuted, count), 1e-2);
    free(grad), free(q), free(scaled), free(permuted);
    free(update), free(update_scaled), free(update_permuted);
}

/* With Q = the first r right singular vectors (of the oriented matrix) the update is U_r V_r^T; for r = n
 * the polar factor: ideal Muon. */
static void singular_vectors_as_basis_give_the_polar_factor(void **state)
{
    (void)state;
    const double fractions[] = {0.25, 1};
    for (size_t k = 0; k < 2; k++) {
        dn_optim_config config = rig_config();
        config.rank_fraction = fractions[k];
        size_t m = tall.rows, n = tall.cols, r = k ? n : 6;
        double *grad = dense_random(m, n, 3), *us = dense_copy(grad, m * n);
        double *s = dense_zeros(n, 1), *v = dense_zeros(n, n);
        dense_svd(us, s, v, m, n);
        double *basis = dense_zeros(n, r), *polar = dense_zeros(m, n);
        for (size_t i = 0; i < n; i++)
            memcpy(basis + i * r, v + i * n, r * sizeof *v);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++)
                for (size_t l = 0; l < r; l++)
                    polar[i * n + j] += us[i * n + l] / s[l] * v[j * n + l];
        double *update = first_update(&config, tall, grad, basis);
        /* Rounding turns a singular vector by eps times the ratio to the gaps of the spectrum, here below
         * 100. */
        assert_below(dense_distance(update, polar, m * n), 1e-8 + 100 * TIGHT);
        free(grad), free(us), free(s), free(v), free(basis), free(polar), free(update);
    }
}

/* G -> W G Z^T and Q -> Z Q turn the update into W (update) Z^T. */
static void update_turns_with_the_gradient(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    size_t m = tall.rows, n = tall.cols, r = 6;
    double *grad = dense_random(m, n, 4), *q = dense_random(n, r, 5);
    double *w = dense_random(m, m, 6), *z = dense_random(n, n, 7);
    dense_orthonormalize(w, m, m);
    dense_orthonormalize(z, n, n);
    double *half = dense_zeros(m, n), *turned = dense_zeros(m, n), *zq = dense_zeros(n, r);
    dense_multiply(half, w, 0, grad, 0, m, n, m);
    dense_multiply(turned, half, 0, z, 1, m, n, n);
    dense_multiply(zq, z, 0, q, 0, n, r, n);
    double *update = first_update(&config, tall, grad, q);
    double *update_turned = first_update(&config, tall, turned, zq);
    double *expected = dense_zeros(m, n);
    dense_multiply(half, w, 0, update, 0, m, n, m);
    dense_multiply(expected, half, 0, z, 1, m, n, n);
    assert_below(dense_distance(update_turned, expected, m * n), TIGHT);
    free(grad), free(q), free(w), free(z), free(half), free(turned), free(zq);
    free(update), free(update_turned), free(expected);
}

/* Orientation by shape alone: a wide matrix is a tall one lying down, update and all. */
static void transposed_gradient_gives_the_transposed_update(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    size_t m = tall.rows, n = tall.cols;
    double *grad = dense_random(m, n, 8), *lying = dense_zeros(n, m), *q = dense_random(n, 6, 9);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            lying[j * m + i] = grad[i * n + j];
    double *update = first_update(&config, tall, grad, q), *other = first_update(&config, wide, lying, q);
    double worst = 0;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            worst = larger(worst, fabs(update[i * n + j] - other[j * m + i]));
    assert_below(worst, TIGHT);
    free(grad), free(lying), free(q), free(update), free(other);
}

/* Weights [rows, cols] after n_steps of noise gradients, each multiplied by `scale`; lr 0.02, from 0. */
static double *run(const dn_optim_config *config, rig_shape shape, int n_steps, double scale)
{
    optim_rig rig;
    size_t count = shape.rows * shape.cols;
    assert_int_equal(rig_create(&rig, NULL, "ref", config, &shape, 1), DN_OK);
    for (int t = 0; t < n_steps; t++) {
        double *grad = dense_random(shape.rows, shape.cols, 100 + (uint64_t)t);
        for (size_t i = 0; i < count; i++)
            grad[i] *= scale;
        rig_set_grad(&rig, 0, grad);
        assert_int_equal(rig_step(&rig, 0.02), DN_OK);
        assert_int_equal(rig.report.n_fallback, 0);
        free(grad);
    }
    double *weight = dense_from_real(rig_weight(&rig, 0), count);
    rig_destroy(&rig);
    return weight;
}

/* Twenty steps let a first difference grow, and a single Cholesky QR squares the condition number (some
 * 10): 10 * TIGHT for weights of size 0.1. */
static void weights_do_not_depend_on_the_orthonormalization_nor_its_sketch(void **state)
{
    (void)state;
    const rig_shape shapes[] = {tall, wide, square};
    for (size_t i = 0; i < 3; i++) {
        size_t count = shapes[i].rows * shapes[i].cols;
        dn_optim_config config = rig_config();
        double *expected = run(&config, shapes[i], 20, 1);
        for (dn_orth orth = DN_ORTH_QR; orth <= DN_ORTH_RCQR; orth++) {
            config.orth = orth;
            double *weight = run(&config, shapes[i], 20, 1);
            assert_below(dense_distance(weight, expected, count), 10 * TIGHT);
            free(weight);
        }
        free(expected);
    }
}

/* The columns of R are of size 1 here and larger: eps = 1e-8 is felt as 1e-8 of each of 20 updates of
 * 0.02. */
static void updates_do_not_depend_on_the_scale_of_all_gradients(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    size_t count = tall.rows * tall.cols;
    double *weight = run(&config, tall, 20, 1), *scaled = run(&config, tall, 20, 7.3);
    assert_below(dense_distance(weight, scaled, count), 20 * 0.02 * 1e-8 + 10 * TIGHT);
    free(weight), free(scaled);
}

static void full_rank_makes_error_feedback_plain_heavy_ball(void **state)
{
    (void)state;
    const rig_shape shapes[] = {tall, wide, square};
    dn_optim_config config = rig_config();
    config.rank_fraction = 1;
    for (size_t i = 0; i < 3; i++) {
        optim_rig rig;
        size_t count = shapes[i].rows * shapes[i].cols;
        assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shapes[i], 1), DN_OK);
        double *expected = dense_zeros(count, 1);
        for (uint64_t t = 0; t < 5; t++) {
            double *grad = dense_random(shapes[i].rows, shapes[i].cols, t);
            rig_set_grad(&rig, 0, grad);
            assert_int_equal(rig_step(&rig, 0.02), DN_OK);
            for (size_t k = 0; k < count; k++)
                expected[k] = 0.95 * (expected[k] + grad[k]);
            free(grad);
        }
        double *momentum = dense_from_real(rig_state_data(&rig, "dion.momentum", 0), count);
        assert_below(dense_distance(momentum, expected, count), TIGHT);
        free(momentum), free(expected);
        rig_destroy(&rig);
    }
}

/* With X = 0, lr 1, no decay: M_new = B - (1-mu) P P^T B. So from G = B and M_new, P P^T B = (B - M_new)
 * / (1-mu), a projection of B: what is left is orthogonal to it, and the norms are those of a right triangle.
 */
static void error_feedback_takes_a_fraction_of_an_orthogonal_projection(void **state)
{
    (void)state;
    const rig_shape shapes[] = {tall, wide, square};
    dn_optim_config config = rig_config();
    for (size_t i = 0; i < 3; i++) {
        optim_rig rig;
        size_t count = shapes[i].rows * shapes[i].cols;
        assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shapes[i], 1), DN_OK);
        double *b = dense_random(shapes[i].rows, shapes[i].cols, 50);
        rig_set_grad(&rig, 0, b);
        assert_int_equal(rig_step(&rig, 1), DN_OK);
        double *momentum = dense_from_real(rig_state_data(&rig, "dion.momentum", 0), count);
        double captured = 0, rest = 0, dot = 0;
        for (size_t k = 0; k < count; k++) {
            double in = (b[k] - momentum[k]) / (1 - config.mu), out = b[k] - in;
            captured += in * in;
            rest += out * out;
            dot += in * out;
        }
        double b2 = dense_norm(b, count) * dense_norm(b, count);
        double m2 = dense_norm(momentum, count) * dense_norm(momentum, count);
        /* The difference of b and M_new, divided by 0.05, carries 20 times their rounding. */
        assert_close(dot, 0, 20 * TIGHT * b2);
        assert_close(captured + rest, b2, 20 * TIGHT * b2);
        assert_close(m2 - rest, 0.95 * 0.95 * captured, 20 * TIGHT * b2);
        assert_true(captured > 0.3 * b2 && captured < 0.9 * b2);
        free(b), free(momentum);
        rig_destroy(&rig);
    }
}

static void zero_gradient_only_decays_and_keeps_a_normalized_basis(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    config.groups[DN_PARAM_MATRIX] = (dn_group_options){.lr_scale = 0.5, .weight_decay = 0.1};
    optim_rig rig;
    size_t count = wide.rows * wide.cols;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, &wide, 1), DN_OK);
    double *x = dense_random(wide.rows, wide.cols, 1), *q = dense_random(wide.rows, 6, 2);
    dense_to_real(rig_weight(&rig, 0), x, count);
    dense_to_real(rig_state_data(&rig, "dion.q", 0), q, wide.rows * 6);
    for (int t = 0; t < 3; t++) {
        assert_int_equal(rig_step(&rig, 0.2), DN_OK);
        assert_int_equal(rig.report.n_zero, 1);
        assert_int_equal(rig.report.n_fallback, 0);
    }
    for (size_t i = 0; i < count; i++) {
        assert_close((double)rig_weight(&rig, 0)[i], pow(1 - 0.2 * 0.5 * 0.1, 3) * x[i], TIGHT);
        assert_true(rig_state_data(&rig, "dion.momentum", 0)[i] == 0);
    }
    for (size_t j = 0; j < 6; j++) {
        double norm2 = 0;
        for (size_t i = 0; i < wide.rows; i++)
            norm2 += q[i * 6 + j] * q[i * 6 + j];
        for (size_t i = 0; i < wide.rows; i++)
            assert_close((double)rig_state_data(&rig, "dion.q", 0)[i * 6 + j], q[i * 6 + j] / sqrt(norm2),
                         1e-7 + TIGHT);
    }
    free(x), free(q);
    rig_destroy(&rig);
}

/* Decay comes first and by the plain learning rate; the update by lr sqrt(fan_out/fan_in) of the stored
 * shape. */
static void decay_takes_the_plain_rate_and_the_update_that_of_the_stored_shape(void **state)
{
    (void)state;
    const rig_shape shapes[] = {tall, wide};
    dn_optim_config config = rig_config();
    config.groups[DN_PARAM_MATRIX] = (dn_group_options){.lr_scale = 2, .weight_decay = 0.3};
    for (size_t k = 0; k < 2; k++) {
        optim_rig rig;
        size_t count = shapes[k].rows * shapes[k].cols;
        double *x = dense_random(shapes[k].rows, shapes[k].cols, 1);
        double *grad = dense_random(shapes[k].rows, shapes[k].cols, 2);
        dn_optim_config plain = rig_config();
        double *update = first_update(&plain, shapes[k], grad, NULL);
        assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shapes[k], 1), DN_OK);
        dense_to_real(rig_weight(&rig, 0), x, count);
        rig_set_grad(&rig, 0, grad);
        assert_int_equal(rig_step(&rig, 0.1), DN_OK);
        double scale = 0.2 * sqrt((double)shapes[k].rows / (double)shapes[k].cols);
        for (size_t i = 0; i < count; i++)
            assert_close((double)rig_weight(&rig, 0)[i], ((1 - 0.2 * 0.3) * x[i] - scale * update[i]), TIGHT);
        free(x), free(grad), free(update);
        rig_destroy(&rig);
    }
}

/* What Householder's method, the last resort of all, made of P [40,6]. */
static double last_p[40 * 6];
static const dn_kernels *below;

static void householder(dn_stream *s, dn_tall *items, size_t n)
{
    below->householder(s, items, n);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    assert_int_equal(n, 1);
    assert_int_equal(items[0].m * items[0].r, sizeof last_p / sizeof *last_p);
    double *p = dense_from_real(behind(items[0].p), 40 * 6);
    memcpy(last_p, p, sizeof last_p);
    free(p);
}

static dn_status step_and_see_p(optim_rig *rig)
{
    below = rig->stream->kernels;
    dn_kernels seeing = *below;
    seeing.householder = householder;
    memset(last_p, 0, sizeof last_p);
    rig->stream->kernels = &seeing;
    dn_status status = rig_step(rig, 1);
    rig->stream->kernels = below;
    return status;
}

/* A gradient of rank 2 under rank 6, most rows 0: four columns of P are noise, but P must be orthonormal, or
 * the projection would not be one; the step must be P Q^T all the same; and it must be said. */
static void rank_deficient_gradient_is_reported_and_still_projected(void **state)
{
    (void)state;
    const dn_orth methods[] = {DN_ORTH_CQR2, DN_ORTH_CQR, DN_ORTH_RCQR, DN_ORTH_QR};
    for (size_t k = 0; k < 4; k++) {
        dn_optim_config config = rig_config();
        config.orth = methods[k];
        optim_rig rig;
        size_t count = tall.rows * tall.cols;
        assert_int_equal(rig_create(&rig, NULL, "ref", &config, &tall, 1), DN_OK);
        double *grad = dense_random(tall.rows, tall.cols, 11);
        memset(grad + 2 * tall.cols, 0, (tall.rows - 2) * tall.cols * sizeof *grad);
        rig_set_grad(&rig, 0, grad);
        assert_int_equal(step_and_see_p(&rig), DN_OK);
        assert_int_equal(rig.report.n_fallback, methods[k] == DN_ORTH_QR ? 0 : 1);
        assert_below(dense_orthogonality(last_p, 40, 6), TIGHT);
        /* rank 2 < r: B lies in the span of P, so M_new = mu B. */
        for (size_t i = 0; i < count; i++)
            assert_close((double)rig_state_data(&rig, "dion.momentum", 0)[i], 0.95 * grad[i], TIGHT);
        double *q = dense_from_real(rig_state_data(&rig, "dion.q", 0), 24 * 6), *update = dense_zeros(40, 24);
        dense_multiply(update, last_p, 0, q, 1, 40, 24, 6);
        for (size_t i = 0; i < count; i++)
            assert_close((double)rig_weight(&rig, 0)[i], -sqrt(40.0 / 24) * update[i], TIGHT);
        free(grad), free(q), free(update);
        rig_destroy(&rig);
    }
}

/* More iterations from the same basis, on one matrix, approach the truncated SVD: the captured energy grows.
 */
static void power_iterations_capture_more_of_the_momentum(void **state)
{
    (void)state;
    double rest[2];
    for (int k = 0; k < 2; k++) {
        dn_optim_config config = rig_config();
        config.power_iters = k ? 4 : 1;
        config.mu = 0; /* M_new = B - P P^T B */
        optim_rig rig;
        assert_int_equal(rig_create(&rig, NULL, "ref", &config, &tall, 1), DN_OK);
        double *grad = dense_random(tall.rows, tall.cols, 12);
        rig_set_grad(&rig, 0, grad);
        assert_int_equal(rig_step(&rig, 1), DN_OK);
        double *momentum = dense_from_real(rig_state_data(&rig, "dion.momentum", 0), tall.rows * tall.cols);
        rest[k] = dense_norm(momentum, tall.rows * tall.cols);
        free(grad), free(momentum);
        rig_destroy(&rig);
    }
    assert_below(rest[1], 0.95 * rest[0]);
}

TESTS(optim_dion)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(update_has_the_norm_of_root_r),
        cmocka_unit_test(orth_dion_updates_have_r_singular_values_of_1),
        cmocka_unit_test(scale_and_sign_of_basis_columns_do_not_matter_but_their_order_does),
        cmocka_unit_test(singular_vectors_as_basis_give_the_polar_factor),
        cmocka_unit_test(update_turns_with_the_gradient),
        cmocka_unit_test(transposed_gradient_gives_the_transposed_update),
        cmocka_unit_test(weights_do_not_depend_on_the_orthonormalization_nor_its_sketch),
        cmocka_unit_test(updates_do_not_depend_on_the_scale_of_all_gradients),
        cmocka_unit_test(full_rank_makes_error_feedback_plain_heavy_ball),
        cmocka_unit_test(error_feedback_takes_a_fraction_of_an_orthogonal_projection),
        cmocka_unit_test(zero_gradient_only_decays_and_keeps_a_normalized_basis),
        cmocka_unit_test(decay_takes_the_plain_rate_and_the_update_that_of_the_stored_shape),
        cmocka_unit_test(rank_deficient_gradient_is_reported_and_still_projected),
        cmocka_unit_test(power_iterations_capture_more_of_the_momentum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
