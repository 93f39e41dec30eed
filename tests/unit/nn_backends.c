/* Every column of kernels that this processor can run gives the loss, gradients and logits of the plain one.
 */
#include "support/close.h"
#include "support/tests.h"

#include <string.h>

#include "support/model.h"

/* No size is a multiple of a vector's or a block's in any column. */
static const dn_spec shape = {.V = 131, .T = 77, .C = 66, .L = 2, .attention.NH = 3};
enum { B = 2 };

typedef struct result {
    double loss;
    dn_real *gradients, *logits; /* [elements], [V]; owned */
} result;

static result result_of(const char *kernels)
{
    result r = {.logits = calloc(shape.V, sizeof(dn_real))};
    model m = model_create(kernels, 2, shape, B);
    must(dn_model_train(m.model, m.tokens, m.targets, B, 0.5, &r.loss));
    r.gradients = host_copy(m.stream, m.params[0].grad, m.n_elements);
    model_destroy(&m);
    m = model_create_cached(kernels, 2, shape, B);
    must(dn_model_prefill(m.model, 0, 0, m.tokens, 50, r.logits));
    model_destroy(&m);
    return r;
}

static void result_free(result *r)
{
    free(r->gradients);
    free(r->logits);
}

/* Both columns end the same chain of some forty rounded operations; seen are 10 eps, in float and in double.
 * A row or column left out at an edge is an error of order 1. */
static const double tolerance = 64 * DN_REAL_EPS;

static void compare(const result *fast, const result *plain, const dn_param *params, size_t n_params)
{
    assert_close(fast->loss, plain->loss, tolerance * plain->loss);
    assert_below(difference(fast->logits, plain->logits, shape.V), tolerance);
    for (size_t p = 0, at = 0; p < n_params; p++) {
        size_t n = dn_param_size(&params[p]);
        assert_below(difference(fast->gradients + at, plain->gradients + at, n), tolerance);
        at += n;
    }
}

static void every_backend_gives_the_reference_results(void **state)
{
    (void)state;
    dn_param params[14];
    dn_arena nowhere = {0}, nowhere_else = {0};
    model_layout(shape, model_mesh_size, model_mesh_at, &nowhere, &nowhere_else, params);
    result plain = result_of("ref");
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend++) {
        result fast = result_of((*backend)->name);
        compare(&fast, &plain, params, 14);
        result_free(&fast);
    }
    result_free(&plain);
}

TESTS(nn_backends)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_backend_gives_the_reference_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
