/* Twenty Dion steps against stored vectors of an independent float64 implementation (dion_oracle.py). Noise
 * gradients of size 1 make momenta of size 5; twenty steps of rounding in another order, in double, stay near
 * 1e-14. */
#include "support/optim_rig.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>

typedef struct oracle_case {
    uint32_t seed;
    size_t rows, cols;
    double fraction;
    size_t multiple;
    double decay;
    int power_iters;
    size_t rank;
    const double *weight, *momentum, *q; /* after the last step */
} oracle_case;

#include "oracle/dion_vectors.h"
#include "support/close.h"

enum { N_CASES = sizeof cases / sizeof *cases, STEPS = 20 };
static const double bound = 1e-13;

static void draw(uint32_t *generator, dn_real *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        *generator = 1664525 * *generator + 1013904223;
        out[i] = (dn_real)((double)*generator / 0x1p31 - 1);
    }
}

static double distance(const dn_real *x, const double *expected, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = larger(worst, fabs((double)x[i] - expected[i]));
    return worst;
}

static void run(const oracle_case *c, const char *kernels, dn_orth orth)
{
    dn_optim_config config = rig_config();
    config.rank_fraction = c->fraction;
    config.rank_multiple_of = c->multiple;
    config.power_iters = c->power_iters;
    config.orth = orth;
    config.groups[DN_PARAM_MATRIX].weight_decay = c->decay;
    rig_shape shape = {DN_PARAM_MATRIX, c->rows, c->cols};
    optim_rig rig;
    uint32_t generator = c->seed;
    size_t size = c->rows * c->cols;
    assert_int_equal(rig_create(&rig, NULL, kernels, &config, &shape, 1), DN_OK);
    const dn_tensor *q = rig_state(&rig, "dion.q", 0);
    assert_int_equal(q->cols, c->rank);
    draw(&generator, rig_weight(&rig, 0), size);
    draw(&generator, rig_state_data(&rig, "dion.q", 0), q->rows * q->cols);
    for (int t = 0; t < STEPS; t++) {
        draw(&generator, rig_grad(&rig, 0), size);
        assert_int_equal(rig_step(&rig, 0.02), DN_OK);
    }
    assert_below(distance(rig_weight(&rig, 0), c->weight, size), bound);
    assert_below(distance(rig_state_data(&rig, "dion.momentum", 0), c->momentum, size), bound);
    assert_below(distance(rig_state_data(&rig, "dion.q", 0), c->q, q->rows * q->cols), bound);
    rig_destroy(&rig);
}

static void twenty_steps_match_the_oracle_on_every_backend(void **state)
{
    (void)state;
    for (size_t k = 0; dn_kernels_available()[k]; k++)
        for (size_t i = 0; i < N_CASES; i++)
            run(&cases[i], dn_kernels_available()[k]->name, DN_ORTH_CQR2);
}

static void twenty_steps_match_the_oracle_with_householder(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++)
        run(&cases[i], "ref", DN_ORTH_QR);
}

TESTS(dion)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_steps_match_the_oracle_on_every_backend),
        cmocka_unit_test(twenty_steps_match_the_oracle_with_householder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
