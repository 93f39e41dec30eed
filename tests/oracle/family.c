/*
 * One step and twenty of every rule of the family against stored vectors of an independent float64
 * implementation. In double to 1e-12 of the largest number; a Newton-Schulz multiplies rounding by up to 1e3,
 * which, times 1e-16, twenty steps and the learning rate 0.02, stays below. In float the same reckoning gives
 * 1e3 * 6e-8 * 20 * 0.02 = 2e-5 for the weights; momenta and moments are held to the same.
 */
#include "support/dense.h"
#include "support/device.h"
#include "support/family_rig.h"
#include "support/optim_rig.h"
#include "support/tests.h"

#include "optim/adadion.h"

#include <math.h>
#include <stdlib.h>

typedef struct oracle_case {
    uint32_t seed;
    family_options options;
    const double *first, *weight;        /* after one step; after the last */
    const double *states[DN_MAX_STATES]; /* after the last; of those that the rule has */
} oracle_case;

#include "oracle/family_vectors.h"
#include "support/close.h"

enum { N_CASES = sizeof cases / sizeof *cases, STEPS = 20 };

#ifdef DN_REAL_DOUBLE
static const double bound = 1e-12;
#else
static const double bound = 2e-5;
#endif

static double *draw(uint32_t *generator, size_t n)
{
    double *out = dense_zeros(n, 1);
    for (size_t i = 0; i < n; i++) {
        *generator = 1664525 * *generator + 1013904223;
        out[i] = (double)*generator / 0x1p31 - 1;
    }
    return out;
}

static void set_drawn(const family_rig *rig, dn_buf *to, uint32_t *generator, size_t n)
{
    double *x = draw(generator, n);
    family_set(rig, to, x, n);
    free(x);
}

/* Frees got. */
static void compare_numbers(const char *by, size_t i, const char *what, size_t step, double *got,
                            const double *right, size_t n)
{
    double size = 0;
    for (size_t k = 0; k < n; k++)
        size = fmax(size, fabs(right[k]));
    double error = dense_distance(got, right, n);
    if (!(error <= bound * size))
        fail_msg("%s, case %zu: %s is off by %g of %g after %zu steps", by, i, what, error, size, step);
    free(got);
}

static void compare(const family_rig *rig, const char *backend, size_t i, const char *what, const dn_buf *got,
                    const double *right, size_t n)
{
    compare_numbers(backend, i, what, rig->step, family_get(rig, got, n), right, n);
}

static const char *state_name(const family_options *o, int k)
{
    const char *const of_dion[] = {"momentum", "Q"};
    return is_rule(o->rule, "orth_dion") ? of_dion[k] : dn_rule_row(o->rule)->states[k].name;
}

static void run(size_t i, const char *backend)
{
    const oracle_case *c = &cases[i];
    size_t size = c->options.rows * c->options.cols;
    uint32_t generator = c->seed;
    family_rig rig = family_create(&c->options, backend, 1);
    set_drawn(&rig, rig.weight, &generator, size);
    if (is_rule(c->options.rule, "orth_dion"))
        set_drawn(&rig, rig.states[1], &generator, rig.sizes[1]);
    for (int t = 0; t < STEPS; t++) {
        double *grad = draw(&generator, size);
        family_step(&rig, grad, 0.02);
        free(grad);
        if (t == 0)
            compare(&rig, backend, i, "weight", rig.weight, c->first, size);
    }
    compare(&rig, backend, i, "weight", rig.weight, c->weight, size);
    for (int k = 0; k < DN_MAX_STATES && rig.sizes[k] > 0; k++)
        compare(&rig, backend, i, state_name(&c->options, k), rig.states[k], c->states[k], rig.sizes[k]);
    family_destroy(&rig);
}

static void every_rule_matches_the_oracle_on_every_backend(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend++)
        for (size_t i = 0; i < N_CASES; i++)
            run(i, (*backend)->name);
}

/* ---- the same by the optimizer of a whole model (shard/optimizer.h), on one rank ---- */

static dn_optim_config config_of(const family_options *o)
{
    dn_optim_config c = rig_config();
    c.matrix_rule = o->rule;
    c.groups[DN_PARAM_MATRIX].weight_decay = o->weight_decay;
    c.mu = c.ef_decay = o->mu;
    c.rank_fraction = o->fraction;
    c.adjust = o->adjust;
    c.newton_schulz = o->ns.set;
    c.gram = o->ns.gram;
    c.eps = o->ns.eps;
    c.nesterov = o->nesterov;
    c.row_beta2 = o->beta2;
    c.cautious = o->cautious;
    return c;
}

static void compare_rig(const optim_rig *rig, size_t i, const char *what, const dn_real *got,
                        const double *right, size_t n)
{
    compare_numbers("optimizer", i, what, rig->step, dense_from_real(got, n), right, n);
}

static void run_optimizer(size_t i)
{
    const oracle_case *c = &cases[i];
    const rig_shape shape = {DN_PARAM_MATRIX, c->options.rows, c->options.cols};
    const dn_optim_config config = config_of(&c->options);
    size_t size = c->options.rows * c->options.cols;
    uint32_t generator = c->seed;
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shape, 1), DN_OK);
    double *x = draw(&generator, size);
    dense_to_real(rig_weight(&rig, 0), x, size);
    free(x);
    for (int t = 0; t < STEPS; t++) {
        double *grad = draw(&generator, size);
        rig_set_grad(&rig, 0, grad);
        free(grad);
        assert_int_equal(rig_step(&rig, 0.02), DN_OK);
        if (t == 0)
            compare_rig(&rig, i, "weight", rig_weight(&rig, 0), c->first, size);
    }
    compare_rig(&rig, i, "weight", rig_weight(&rig, 0), c->weight, size);
    for (size_t k = 0; k < dn_optimizer_n_states(rig.optimizer); k++) {
        dn_shard s = rig_shard(&rig, k);
        compare_rig(&rig, i, dn_optimizer_state(rig.optimizer, k)->name, behind(s.data),
                    c->states[k], s.block.rows * s.block.cols);
    }
    rig_destroy(&rig);
}

static void the_optimizer_of_a_model_matches_the_oracle(void **state)
{
    (void)state;
    size_t n_run = 0;
    for (size_t i = 0; i < N_CASES; i++)
        if (!is_rule(cases[i].options.rule, "orth_dion")) { /* its vectors begin with a Q of their own */
            run_optimizer(i);
            n_run++;
        }
    assert_true(n_run > 20);
}

/* A new rule brings its vectors. Dion's are in dion_vectors.h. */
static void every_rule_of_the_registry_has_vectors(void **state)
{
    (void)state;
    for (size_t k = 0; dn_rule_at(k); k++) {
        bool found = is_rule(dn_rule_at(k)->name, "dion");
        for (size_t i = 0; i < N_CASES; i++)
            found = found || is_rule(cases[i].options.rule, dn_rule_at(k)->name);
        if (!found)
            fail_msg("%s has no case in family_oracle.py", dn_rule_at(k)->name);
    }
}

/* The oracle's spectra: norms exp(-j/width), wide for nine steps, then narrow; rank 24 to start with. */
static void adaptive_ranks_match_the_oracle(void **state)
{
    const dn_adadion_rule rule = dn_adadion_defaults();
    double smoothed = 0, squares[64];
    size_t r = 24;
    for (size_t t = 0; t < sizeof ranks / sizeof *ranks; t++) {
        for (size_t j = 0; j < r; j++)
            squares[j] = exp(-2 * (double)j / (t < 9 ? 40 : 3));
        double effective = dn_adadion_effective_rank(squares, r);
        assert_close(effective, ranks[t].effective, 1e-12 * effective);
        r = dn_adadion_next_rank(&rule, effective, &smoothed, r, 64);
        assert_int_equal(r, ranks[t].rank);
    }
}

TESTS(family)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_matches_the_oracle_on_every_backend),
        cmocka_unit_test(the_optimizer_of_a_model_matches_the_oracle),
        cmocka_unit_test(every_rule_of_the_registry_has_vectors),
        cmocka_unit_test(adaptive_ranks_match_the_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
