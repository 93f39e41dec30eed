/* The GPT's loss and every gradient against those of an independent implementation (gpt_oracle.py). */

#include "oracle/vectors.h"
#include "support/tests.h"

/* An element is the end of a chain of some forty rounded operations (two blocks of six products, forward and
 * backward), each summing up to 48 terms. In double the plain kernels come within 13 eps of the oracle, in
 * float, where they sum in double, within 3; the rest is room for other orders of summation, in float too.
 * In double this is 3e-14. */
static const double tolerance = 128 * DN_REAL_EPS;

static void check_column(const char *kernels)
{
    FILE *file = oracle_open("gpt_gradients.txt");
    oracle_check_gradients(kernels, oracle_shape, ORACLE_B, file, tolerance);
    fclose(file);
    dn_spec with_channels = oracle_shape;
    with_channels.n_channels = 2;
    with_channels.channels[0] = (dn_channel){0, 5};
    with_channels.channels[1] = (dn_channel){1, 7};
    file = oracle_open("gpt_channels.txt");
    oracle_check_gradients(kernels, with_channels, ORACLE_B, file, tolerance);
    fclose(file);
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
