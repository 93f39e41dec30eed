/* The GPT's loss and every gradient against those of an independent implementation (gpt_oracle.py). */

#include "oracle/vectors.h"
#include "support/close.h"
#include "support/tests.h"

/* An element is the end of a chain of some forty rounded operations (two blocks of six products, forward and
 * backward), each summing up to 48 terms. In double the plain kernels come within 13 eps of the oracle, in
 * float, where they sum in double, within 3; the rest is room for other orders of summation, in float too.
 * In double this is 3e-14. */
static const double tolerance = 128 * DN_REAL_EPS;

static void check_column(const char *kernels)
{
    double loss = 0, expected;
    model m = oracle_model(kernels);
    oracle_tokens(m.tokens, 1000);
    oracle_tokens(m.targets, 2000);
    must(dn_model_train(m.model, m.tokens, m.targets, ORACLE_B, 1, &loss));

    FILE *file = oracle_open("gpt_gradients.txt", &expected, 1);
    assert_close(loss, expected, tolerance * expected);
    for (size_t p = 0; p < m.n_params; p++) {
        dn_real *gradient = host_copy(m.stream, m.params[p].grad, dn_param_size(&m.params[p]));
        assert_below(oracle_difference(file, &m.params[p], gradient), tolerance);
        free(gradient);
    }
    fclose(file);
    model_destroy(&m);
}

static void loss_and_gradients_are_the_oracle_s_with_plain_kernels(void **state)
{
    (void)state;
    check_column("ref");
}

static void loss_and_gradients_are_the_oracle_s_with_fast_kernels(void **state)
{
    (void)state;
    check_column("cpu");
}

TESTS(gpt)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradients_are_the_oracle_s_with_plain_kernels),
        cmocka_unit_test(loss_and_gradients_are_the_oracle_s_with_fast_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
