/* Orth-Dion through the optimizer, twenty steps against the family's stored vectors of an independent float64
 * implementation. Bound: as in family.c, but no Newton-Schulz multiplies rounding here. */
#include "support/family_rig.h"
#include "support/optim_rig.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>

typedef struct oracle_case {
    uint32_t seed;
    family_options options;
    const double *first, *weight;        /* after one step; after the last */
    const double *states[DN_MAX_STATES]; /* after the last: momentum and Q */
} oracle_case;

#include "oracle/family_vectors.h"
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

static void compare(const dn_real *x, const double *right, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_close((double)x[i], right[i], bound);
}

static void run(const oracle_case *c, const char *kernels, dn_orth orth)
{
    dn_optim_config config = rig_config();
    config.orth_dion = true;
    config.orth = orth;
    config.rank_fraction = c->options.fraction;
    config.mu = c->options.mu;
    config.groups[DN_PARAM_MATRIX].weight_decay = c->options.weight_decay;
    const rig_shape shape = {DN_PARAM_MATRIX, c->options.rows, c->options.cols};
    optim_rig rig;
    uint32_t generator = c->seed;
    size_t size = shape.rows * shape.cols;
    assert_int_equal(rig_create(&rig, NULL, kernels, &config, &shape, 1), DN_OK);
    const dn_tensor *q = rig_state(&rig, "dion.q", 0);
    draw(&generator, rig_weight(&rig, 0), size);
    draw(&generator, rig_state_data(&rig, "dion.q", 0), q->rows * q->cols);
    for (int t = 0; t < STEPS; t++) {
        draw(&generator, rig_grad(&rig, 0), size);
        assert_int_equal(rig_step(&rig, 0.02), DN_OK);
        if (t == 0)
            compare(rig_weight(&rig, 0), c->first, size);
    }
    compare(rig_weight(&rig, 0), c->weight, size);
    compare(rig_state_data(&rig, "dion.momentum", 0), c->states[0], size);
    compare(rig_state_data(&rig, "dion.q", 0), c->states[1], q->rows * q->cols);
    rig_destroy(&rig);
}

static void twenty_steps_match_the_oracle_by_every_orthonormalization(void **state)
{
    (void)state;
    int found = 0;
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend++)
        for (size_t i = 0; i < N_CASES; i++)
            for (dn_orth orth = DN_ORTH_CQR2; orth <= DN_ORTH_RCQR; orth++)
                if (is_rule(cases[i].options.rule, "orth_dion")) {
                    run(&cases[i], (*backend)->name, orth);
                    found++;
                }
    assert_true(found >= 3 * 4);
}

TESTS(orth_dion)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_steps_match_the_oracle_by_every_orthonormalization),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
