/*
 * Relations between the rules of the family, and their phases on parts of a matrix. Bounds: a Newton-Schulz
 * carries up to 1e3 times its rounding (see linalg_newton_schulz.c): where two ways around it are compared,
 * BOUND; where nothing but sums of some 30 terms is, TIGHT.
 */
#include "linalg/select.h"
#include "optim/adadion.h"
#include "optim/adjust.h"
#include "support/close.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/family_rig.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TIGHT (1000 * DN_REAL_EPS)
#define BOUND (1e4 * DN_REAL_EPS)

typedef struct shape {
    size_t rows, cols;
} shape;

static const shape shapes[] = {{12, 7}, {7, 12}, {9, 9}};
enum { N_SHAPES = 3 };

/* Weight after `steps` steps at learning rate 1 from 0, with gradients drawn from (t) and multiplied by
 * `size`. Owned by the caller. */
static double *walk(const family_options *o, int steps, double size)
{
    size_t n = o->rows * o->cols;
    family_rig rig = family_create(o, "ref", 1);
    if (rig.rank > 0) {
        double *q = dense_random(rig.sizes[1] / rig.rank, rig.rank, 50);
        family_set(&rig, rig.states[1], q, rig.sizes[1]);
        free(q);
    }
    for (int t = 0; t < steps; t++) {
        double *grad = dense_random(o->rows, o->cols, (uint64_t)t);
        for (size_t i = 0; i < n; i++)
            grad[i] *= size;
        family_step(&rig, grad, 1);
        free(grad);
    }
    double *weight = family_get(&rig, rig.weight, n);
    family_destroy(&rig);
    return weight;
}

static void same(const family_options *a, const family_options *b, int steps, double bound)
{
    double *x = walk(a, steps, 1), *y = walk(b, steps, 1);
    assert_above(dense_norm(x, a->rows * a->cols), 0.1);
    assert_at_most(dense_distance(x, y, a->rows * a->cols), bound);
    free(x), free(y);
}

static void dion2_at_fraction_1_is_muon(void **state)
{
    for (size_t i = 0; i < N_SHAPES; i++) {
        family_options muon = family_defaults("muon", shapes[i].rows, shapes[i].cols);
        family_options dion2 = family_defaults("dion2", shapes[i].rows, shapes[i].cols);
        muon.weight_decay = dion2.weight_decay = 0.2;
        same(&muon, &dion2, 5, 5 * BOUND);
    }
}

static void dion3_at_fraction_1_is_normuon(void **state)
{
    for (size_t i = 0; i < N_SHAPES; i++) {
        family_options normuon = family_defaults("normuon", shapes[i].rows, shapes[i].cols);
        family_options dion3 = family_defaults("dion3", shapes[i].rows, shapes[i].cols);
        dion3.ns.gram = true;
        same(&normuon, &dion3, 5, 50 * BOUND);
    }
}

static void selection_below_fraction_1_matters(void **state)
{
    family_options muon = family_defaults("muon", 12, 7), dion2 = family_defaults("dion2", 12, 7);
    dion2.fraction = 0.5;
    double *x = walk(&muon, 1, 1), *y = walk(&dion2, 1, 1);
    assert_above(dense_distance(x, y, 84), 0.1);
    size_t untouched = 0;
    for (size_t j = 0; j < 7; j++) {
        double sum = 0;
        for (size_t i = 0; i < 12; i++)
            sum += fabs(y[i * 7 + j]);
        untouched += sum == 0;
    }
    assert_int_equal(untouched, 3); /* of the 7 columns of the short side, 4 were taken */
    free(x), free(y);
}

/* Its first update has rows of one size (all second moments come from this step), and the norm of Muon's. */
static void normuon_keeps_the_frobenius_norm_and_evens_rows_out(void **state)
{
    for (size_t i = 0; i < N_SHAPES; i++) {
        size_t rows = shapes[i].rows, cols = shapes[i].cols;
        family_options muon = family_defaults("muon", rows, cols);
        family_options normuon = family_defaults("normuon", rows, cols);
        double *x = walk(&muon, 1, 1), *y = walk(&normuon, 1, 1), norm = dense_norm(x, rows * cols);
        assert_close(norm, dense_norm(y, rows * cols), TIGHT * norm);
        for (size_t r = 0; r < rows; r++)
            assert_close(dense_norm(y + r * cols, cols), norm / sqrt((double)rows), 1e-6 * norm);
        free(x), free(y);
    }
}

/* Above eps nothing but the direction of the gradient counts. */
static void updates_do_not_depend_on_the_scale_of_all_gradients(void **state)
{
    static const char *const rules[] = {"muon", "normuon", "dion2", "dion3"};
    for (size_t i = 0; i < 4; i++) {
        family_options o = family_defaults(rules[i], 7, 12);
        o.fraction = 0.5;
        double *x = walk(&o, 3, 1), *y = walk(&o, 3, 7.3);
        assert_below(dense_distance(x, y, 84), 3 * BOUND + 1e-5); /* 1e3 times eps / norm */
        free(x), free(y);
    }
}

/* [96, 16] and the like: exactly r singular values of 1, the others 0. */
static void orth_dion_updates_are_partial_isometries(void **state)
{
    for (size_t i = 0; i < N_SHAPES; i++) {
        size_t rows = shapes[i].rows, cols = shapes[i].cols, m = rows > cols ? rows : cols,
               n = rows + cols - m;
        family_options o = family_defaults("orth_dion", rows, cols);
        o.fraction = 0.5;
        double *x = walk(&o, 1, 1), *tall = dense_zeros(m, n), *s = dense_zeros(n, 1), *v = dense_zeros(n, n);
        for (size_t row = 0; row < rows; row++)
            for (size_t col = 0; col < cols; col++)
                tall[rows >= cols ? row * n + col : col * n + row] =
                    x[row * cols + col] * sqrt((double)cols / (double)rows);
        dense_svd(tall, s, v, m, n);
        for (size_t k = 0; k < n; k++)
            assert_close(s[k], (k < (n + 1) / 2), TIGHT);
        free(x), free(tall), free(s), free(v);
    }
}

/* One step of Dion from Q = the first right singular vectors of the gradient: U_r V_r^T by definition; for
 * the full rank the polar factor, ideal Muon. Newton-Schulz only comes near it. */
static void check_polar(const char *rule, double fraction)
{
    enum { M = 12, N = 7 };
    family_options o = family_defaults(rule, M, N);
    o.fraction = fraction;
    double *grad = dense_random(M, N, 3), *u = dense_copy(grad, M * N), s[N], v[N * N], right[M * N] = {0};
    dense_svd(u, s, v, M, N);
    family_rig rig = family_create(&o, "cpu", 1);
    double q[N * N];
    for (size_t i = 0; i < N * rig.rank; i++)
        q[i] = v[i / rig.rank * N + i % rig.rank];
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++)
            for (size_t k = 0; k < rig.rank; k++)
                right[i * N + j] -= sqrt((double)M / N) * u[i * N + k] / s[k] * v[j * N + k];
    family_set(&rig, rig.states[1], q, rig.sizes[1]);
    family_step(&rig, grad, 1);
    double *weight = family_get(&rig, rig.weight, M * N);
    assert_below(dense_distance(weight, right, M * N), TIGHT + 1e-8); /* eps of the column norms */
    free(grad), free(u), free(weight);
    family_destroy(&rig);
}

static void true_singular_vectors_give_the_polar_factor(void **state)
{
    check_polar("dion", 1);
    check_polar("dion", 0.5);
    check_polar("orth_dion", 1);
    check_polar("orth_dion", 0.5);
}

/* Output layers that start at 0 have zero gradients: nothing but decay, and no NaN in any state. */
static void zero_gradients_only_decay(void **state)
{
    for (size_t i = 0; dn_rule_at(i); i++) {
        family_options o = family_defaults(dn_rule_at(i)->name, 5, 6);
        if (is_rule(o.rule, "dion"))
            continue; /* its Q is drawn by the driver */
        o.fraction = 0.5;
        o.weight_decay = 0.25;
        family_rig rig = family_create(&o, "cpu", 1);
        double *x = dense_random(5, 6, 1), *zero = dense_zeros(5, 6);
        family_set(&rig, rig.weight, x, 30);
        for (int t = 0; t < 3; t++)
            family_step(&rig, zero, 0.5);
        double *weight = family_get(&rig, rig.weight, 30),
               *second = family_get(&rig, rig.states[1], rig.sizes[1]);
        for (size_t k = 0; k < 30; k++)
            assert_true(fabs(weight[k] - pow(0.875, 3) * x[k]) < TIGHT);
        for (size_t k = 0; k < rig.sizes[1]; k++)
            assert_true(second[k] == 0);
        free(x), free(zero), free(weight), free(second);
        family_destroy(&rig);
    }
}

static void learning_rates_are_adjusted_by_the_global_shape(void **state)
{
    assert_true(dn_adjust_factor(DN_ADJUST_NONE, 8, 2) == 1);
    assert_true(dn_adjust_factor(DN_ADJUST_SPECTRAL_NORM, 8, 2) == 2);
    assert_true(dn_adjust_factor(DN_ADJUST_SPECTRAL_NORM, 2, 8) == 0.5);
    assert_close(dn_adjust_factor(DN_ADJUST_RMS_NORM, 4, 25), 1, 1e-15);
    assert_close(dn_adjust_factor(DN_ADJUST_RMS_NORM, 25, 4), 1, 1e-15);
}

static void selection_counts_follow_the_shape(void **state)
{
    const dn_rule *short_side = dn_rule_row("dion2"), *by_rows = dn_rule_row("dion3"),
                  *all = dn_rule_row("muon");
    dn_selection z = dn_rule_selection(short_side, 30, 10, 0.25);
    assert_true(!z.by_rows && z.size == 10 && z.k == 3);
    z = dn_rule_selection(short_side, 10, 30, 0.25);
    assert_true(z.by_rows && z.size == 10 && z.k == 3);
    z = dn_rule_selection(short_side, 10, 10, 0.01);
    assert_true(z.by_rows && z.k == 1);
    z = dn_rule_selection(by_rows, 30, 10, 0.25);
    assert_true(z.by_rows && z.size == 30 && z.k == 8);
    z = dn_rule_selection(all, 30, 10, 0.25);
    assert_true(z.by_rows && z.size == 30 && z.k == 30);
}

static void adaptive_rank_keeps_to_its_limits(void **state)
{
    const dn_adadion_rule rule = dn_adadion_defaults();
    const double even[] = {4, 4, 4, 4}, one[] = {9, 0, 0, 0}, none[4] = {0};
    assert_close(dn_adadion_effective_rank(even, 4), 4, 1e-14);
    assert_true(dn_adadion_effective_rank(one, 4) == 1 && dn_adadion_effective_rank(none, 4) == 0);
    double smoothed = 0;
    assert_int_equal(dn_adadion_next_rank(&rule, 100, &smoothed, 24, 200), 40);   /* up by 16 at most */
    assert_int_equal(dn_adadion_next_rank(&rule, 100, &smoothed, 190, 200), 182); /* down by 8 */
    assert_int_equal(dn_adadion_next_rank(&rule, 100, &smoothed, 144, 200), 152); /* 150 to a multiple */
    assert_int_equal(dn_adadion_next_rank(&rule, 100, &smoothed, 90, 100), 100);  /* the cap */
    assert_int_equal(dn_adadion_next_rank(&rule, 0, &smoothed, 90, 100), 90);     /* a zero matrix */
    assert_true(smoothed == 100);
    smoothed = 1;
    assert_int_equal(dn_adadion_next_rank(&rule, 1, &smoothed, 20, 100), 16); /* the least */
    assert_int_equal(dn_adadion_next_rank(&rule, 1, &smoothed, 3, 3), 3);     /* a cap below it */
}

/* ---- Dion3 on a matrix cut in 2 x 2 blocks: what the executor exchanges is written out ---- */

enum { ROWS = 9, COLS = 8, K = 5, MOST = ROWS * COLS };

typedef struct block {
    size_t row0, col0;
    dn_matrix_shard part;
    double scores[ROWS], factor[ROWS];
    int32_t ids[ROWS], places[ROWS]; /* selected rows here, and where they stand among all selected */
    dn_real memory[3 * MOST];
} block;

static dn_real *real(dn_buf *x)
{
    return behind(x);
}

static void make_blocks(block b[2][2], const dn_rule *rule, const double *norms)
{
    static const size_t row_edges[] = {0, 5, ROWS}, col_edges[] = {0, 3, COLS};
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 2; j++) {
            memset(&b[i][j], 0, sizeof b[i][j]);
            dn_buf *m = handle_of(b[i][j].memory);
            b[i][j].row0 = row_edges[i], b[i][j].col0 = col_edges[j];
            b[i][j].part = (dn_matrix_shard){.selection = dn_rule_selection(rule, ROWS, COLS, 0.5),
                                             .rows = row_edges[i + 1] - row_edges[i],
                                             .cols = col_edges[j + 1] - col_edges[j],
                                             .weight = m,
                                             .grad = dn_at(m, MOST),
                                             .states = {dn_at(m, 2 * MOST)},
                                             .ids = b[i][j].ids,
                                             .row_factor = b[i][j].factor,
                                             .norms = norms};
        }
}

/* The rows that were selected of all, as they stand in this block. */
static void localize(block *b, const int32_t *ids)
{
    b->part.n_ids = 0;
    for (size_t p = 0; p < K; p++)
        if ((size_t)ids[p] >= b->row0 && (size_t)ids[p] < b->row0 + b->part.rows) {
            b->places[b->part.n_ids] = (int32_t)p;
            b->ids[b->part.n_ids++] = ids[p] - (int32_t)b->row0;
        }
}

/* The block's part of the selected rows: to the whole S, or from the whole O. */
static void move_selected(block *b, dn_real *whole, bool gather)
{
    dn_real *part = real(b->part.grad);
    for (size_t i = 0; i < b->part.n_ids; i++)
        for (size_t j = 0; j < b->part.cols; j++) {
            dn_real *there = whole + (size_t)b->places[i] * COLS + b->col0 + j;
            if (gather)
                *there = part[i * b->part.cols + j];
            else
                part[i * b->part.cols + j] = *there;
        }
}

static void step_blocks(dn_stream *s, const dn_rule *rule, const dn_optim_config *config, block b[2][2],
                        dn_buf *second, double *norms, const dn_update_params *params, const dn_ns_method *ns)
{
    double scores[ROWS] = {0}, work[ROWS], factor[K];
    int32_t ids[ROWS];
    dn_real whole[K * COLS], workspace[4 * MOST + 4 * K * K];
    for (size_t i = 0; i < 4; i++) {
        block *at = &b[i / 2][i % 2];
        rule->accumulate(s, &at->part, at->scores);
        assert_int_equal(dn_stream_sync(s), DN_OK);
        for (size_t row = 0; row < at->part.rows; row++)
            scores[at->row0 + row] += at->scores[row]; /* over the ranks along a row */
    }
    dn_select_largest(scores, ROWS, K, work, ids);
    for (size_t i = 0; i < 4; i++) {
        block *at = &b[i / 2][i % 2];
        localize(at, ids);
        rule->direction(s, config, &at->part);
        assert_int_equal(dn_stream_sync(s), DN_OK);
        move_selected(at, whole, true);
    }
    dn_ns_info found;
    dn_buf *x = handle_of(whole);
    assert_int_equal(dn_newton_schulz(s, ns, &x, &found, 1, K, COLS, handle_of(workspace), sizeof workspace), DN_OK);
    const dn_owner_matrix at_owner = {.o = x,
                                      .rows = K,
                                      .cols = COLS,
                                      .ids = ids,
                                      .states = {NULL, second},
                                      .row_factor = factor,
                                      .norms = norms,
                                      .scratch = work};
    assert_int_equal(rule->at_owner(s, config, &at_owner), DN_OK);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    for (size_t i = 0; i < 4; i++) {
        block *at = &b[i / 2][i % 2];
        move_selected(at, whole, false);
        for (size_t k = 0; k < at->part.n_ids; k++)
            at->factor[k] = factor[at->places[k]];
        rule->apply(s, config, &at->part, params);
    }
    assert_int_equal(dn_stream_sync(s), DN_OK);
}

static void copy_block(block *b, const double *whole)
{
    for (size_t i = 0; i < b->part.rows; i++)
        for (size_t j = 0; j < b->part.cols; j++)
            real(b->part.grad)[i * b->part.cols + j] = (dn_real)whole[(b->row0 + i) * COLS + b->col0 + j];
}

static void blocks_take_the_step_of_the_whole(void **state)
{
    static block b[2][2];
    const dn_rule *rule = dn_rule_row("dion3");
    dn_real second[ROWS] = {0};
    double norms[2];
    family_options o = family_defaults("dion3", ROWS, COLS);
    o.fraction = 0.5;
    o.weight_decay = 0.1;
    const dn_optim_config config = {.mu = o.mu, .row_beta2 = o.beta2, .adjust = o.adjust};
    const dn_update_params params = {.lr = 0.1, .weight_decay = 0.1};
    family_rig rig = family_create(&o, "ref", 1);
    make_blocks(b, rule, norms);
    for (uint64_t t = 0; t < 6; t++) {
        double *grad = dense_random(ROWS, COLS, t);
        for (size_t i = 0; i < 4; i++)
            copy_block(&b[i / 2][i % 2], grad);
        step_blocks(rig.stream, rule, &config, b, handle_of(second), norms, &params, &o.ns);
        family_step(&rig, grad, 0.1);
        free(grad);
    }
    double *weight = family_get(&rig, rig.weight, ROWS * COLS);
    for (size_t i = 0; i < 4; i++) {
        block *at = &b[i / 2][i % 2];
        for (size_t row = 0; row < at->part.rows; row++)
            for (size_t col = 0; col < at->part.cols; col++)
                assert_close((double)real(at->part.weight)[row * at->part.cols + col],
                             weight[(at->row0 + row) * COLS + at->col0 + col], BOUND);
    }
    free(weight);
    family_destroy(&rig);
}

TESTS(optim_family)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dion2_at_fraction_1_is_muon),
        cmocka_unit_test(dion3_at_fraction_1_is_normuon),
        cmocka_unit_test(selection_below_fraction_1_matters),
        cmocka_unit_test(normuon_keeps_the_frobenius_norm_and_evens_rows_out),
        cmocka_unit_test(updates_do_not_depend_on_the_scale_of_all_gradients),
        cmocka_unit_test(orth_dion_updates_are_partial_isometries),
        cmocka_unit_test(true_singular_vectors_give_the_polar_factor),
        cmocka_unit_test(zero_gradients_only_decay),
        cmocka_unit_test(learning_rates_are_adjusted_by_the_global_shape),
        cmocka_unit_test(selection_counts_follow_the_shape),
        cmocka_unit_test(adaptive_rank_keeps_to_its_limits),
        cmocka_unit_test(blocks_take_the_step_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
