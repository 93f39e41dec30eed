/*
 * Architectures that others defined: loss and every gradient against those of an independent implementation,
 * for each that has stored vectors, NAME_model.txt, written by NAME_oracle.py.
 */
#include "oracle/vectors.h"
#include "support/tests.h"

/* As the GPT's (gpt.c). */
static const double tolerance = 128 * DN_REAL_EPS;

/* The file's first line: what it is of, and the sizes of its model and micro-batch. */
static bool read_sizes(FILE *file, dn_spec *spec, size_t *B)
{
    dn_attention_spec *a = &spec->attention;
    return fscanf(file, "sizes V %zu T %zu C %zu L %zu NH %zu NKV %zu hd %zu F %zu B %zu eps %lf theta %lf ",
                  &spec->V, &spec->T, &spec->C, &spec->L, &a->NH, &a->NKV, &a->hd, &spec->mlp.F, B,
                  &spec->norm.eps, &a->theta) == 11;
}

static size_t check_all(const char *kernels)
{
    size_t n = 0;
    const dn_architecture *architecture;
    for (size_t i = 0; (architecture = dn_architecture_at(i)); i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s_model.txt", ORACLE_DIR, architecture->name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        dn_spec spec = {.architecture = architecture};
        size_t B = 0;
        if (!read_sizes(file, &spec, &B))
            fail_msg("%s does not begin with its sizes", path);
        oracle_check_gradients(kernels, spec, B, file, tolerance);
        fclose(file);
        n++;
    }
    return n;
}

static void losses_and_gradients_are_the_oracles_with_plain_kernels(void **state)
{
    (void)state;
    assert_true(check_all("ref") > 0);
}

static void losses_and_gradients_are_the_oracles_with_fast_kernels(void **state)
{
    (void)state;
    assert_true(check_all("cpu") > 0);
}

TESTS(models)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_the_oracles_with_plain_kernels),
        cmocka_unit_test(losses_and_gradients_are_the_oracles_with_fast_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
