/* The GPT's parameters: names, places, first values, and which shapes are refused. */
#include "support/close.h"
#include "support/model.h"
#include "support/tests.h"

#include <math.h>
#include <string.h>

static const dn_spec small = {.V = 11, .T = 7, .C = 12, .L = 2, .attention.NH = 3};

static void parameters_have_the_documented_names_shapes_and_kinds_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        dn_param_kind kind;
        size_t rows, cols;
    } expected[] = {
        {"transformer.wte.weight", DN_PARAM_EMBEDDING, 11, 12},
        {"transformer.h.0.attn.c_q.weight", DN_PARAM_MATRIX, 12, 12},
        {"transformer.h.0.attn.c_k.weight", DN_PARAM_MATRIX, 12, 12},
        {"transformer.h.0.attn.c_v.weight", DN_PARAM_MATRIX, 12, 12},
        {"transformer.h.0.attn.c_proj.weight", DN_PARAM_MATRIX, 12, 12},
        {"transformer.h.0.mlp.c_fc.weight", DN_PARAM_MATRIX, 48, 12},
        {"transformer.h.0.mlp.c_proj.weight", DN_PARAM_MATRIX, 12, 48},
        {"transformer.h.1.attn.c_q.weight", DN_PARAM_MATRIX, 12, 12},
        {"transformer.h.1.attn.c_k.weight", DN_PARAM_MATRIX, 12, 12},
        {"transformer.h.1.attn.c_v.weight", DN_PARAM_MATRIX, 12, 12},
        {"transformer.h.1.attn.c_proj.weight", DN_PARAM_MATRIX, 12, 12},
        {"transformer.h.1.mlp.c_fc.weight", DN_PARAM_MATRIX, 48, 12},
        {"transformer.h.1.mlp.c_proj.weight", DN_PARAM_MATRIX, 12, 48},
        {"lm_head.weight", DN_PARAM_HEAD, 11, 12},
    };
    dn_param params[14];
    dn_arena weights = {0}, grads = {0};
    const dn_spec spec = whole_spec(small);
    assert_int_equal(dn_model_n_params(&spec), 14);
    model_layout(small, model_mesh_size, model_mesh_at, &weights, &grads, params);
    for (size_t p = 0; p < 14; p++) {
        assert_string_equal(params[p].tensor.name, expected[p].name);
        assert_int_equal(params[p].kind, expected[p].kind);
        assert_int_equal(params[p].tensor.rows, expected[p].rows);
        assert_int_equal(params[p].tensor.cols, expected[p].cols);
    }
}

static void split_heads_are_the_rows_of_q_k_and_v(void **state)
{
    (void)state;
    dn_param params[14];
    dn_arena weights = {0}, grads = {0};
    model_layout(small, model_mesh_size, model_mesh_at, &weights, &grads, params);
    for (size_t p = 0; p < 14; p++)
        assert_int_equal(params[p].n_views, 1);
    dn_spec split = small;
    split.attention.split_heads = true;
    model_layout(split, model_mesh_size, model_mesh_at, &weights, &grads, params);
    for (size_t p = 0; p < 14; p++) {
        bool has_heads = strstr(params[p].tensor.name, "c_q") || strstr(params[p].tensor.name, "c_k") ||
                         strstr(params[p].tensor.name, "c_v");
        assert_int_equal(params[p].n_views, has_heads ? small.attention.NH : 1);
    }
}

static void weights_and_gradients_lie_without_gaps_and_measuring_says_how_long(void **state)
{
    (void)state;
    dn_param params[14];
    dn_arena measured = {0}, measured_too = {0};
    model_layout(small, model_mesh_size, model_mesh_at, &measured, &measured_too, params);
    assert_null(params[13].weight);
    assert_null(params[13].grad);
    assert_true(measured.used >= elements_of(params, 14) * sizeof(dn_real));

    model m = model_create("ref", 1, small, 1);
    assert_int_equal(m.weights.capacity, measured.used);
    assert_int_equal(m.grads.capacity, measured_too.used);
    size_t at = 0;
    for (size_t p = 0; p < m.n_params; p++) {
        assert_ptr_equal(m.params[p].weight, dn_at(m.params[0].weight, at));
        assert_ptr_equal(m.params[p].grad, dn_at(m.params[0].grad, at));
        at += dn_param_size(&m.params[p]);
    }
    assert_int_equal(at, m.n_elements);
    model_destroy(&m);
}

/* n draws of deviation s have a mean within 5 s/sqrt(n) of 0 and a variance within 5 s^2 sqrt(2/n) of s^2. */
static void assert_normal(const dn_real *x, size_t n, double s)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    assert_close(sum / (double)n, 0, 5 * s / sqrt((double)n));
    assert_close(squares / (double)n, s * s, 5 * s * s * sqrt(2 / (double)n));
}

static void initial_weights_have_the_documented_spread(void **state)
{
    (void)state;
    model m = model_create("ref", 1, (dn_spec){.V = 40, .T = 2, .C = 64, .L = 1, .attention.NH = 2}, 1);
    /* min(1, sqrt(out/in)) / sqrt(in) by hand for in = 64: 1/8; the MLP's projection shrinks 256 to 64:
     * 1/16 * 1/2; the head shrinks 64 to 40. */
    const double spread[8] = {1, 0.125, 0.125, 0.125, 0.125, 0.125, 0.03125, 0.125 * sqrt(40.0 / 64)};
    for (size_t p = 0; p < m.n_params; p++) {
        dn_real *x = host_copy(m.stream, m.params[p].weight, dn_param_size(&m.params[p]));
        assert_normal(x, dn_param_size(&m.params[p]), spread[p]);
        free(x);
    }
    model_destroy(&m);
}

/* Large enough that a parameter is drawn in several pieces. */
static void a_tensor_s_first_values_do_not_depend_on_the_other_tensors(void **state)
{
    (void)state;
    model wide = model_create("ref", 1, (dn_spec){.V = 3, .T = 1, .C = 132, .L = 1, .attention.NH = 1}, 1);
    model deep = model_create("ref", 1, (dn_spec){.V = 9, .T = 5, .C = 132, .L = 2, .attention.NH = 3}, 2);
    for (size_t p = 1; p <= 6; p++) {
        size_t n = dn_param_size(&wide.params[p]);
        dn_real *x = host_copy(wide.stream, wide.params[p].weight, n);
        dn_real *y = host_copy(deep.stream, deep.params[p].weight, n);
        dn_real *drawn = calloc(n, sizeof *drawn);
        dn_random_normal(1, p, 0, n, p == 6 ? 0.5 / sqrt(4 * 132.0) : 1 / sqrt(132.0), drawn);
        assert_memory_equal(x, y, n * sizeof *x);
        assert_memory_equal(x, drawn, n * sizeof *x);
        free(x);
        free(y);
        free(drawn);
    }
    model_destroy(&wide);
    model_destroy(&deep);
}

static void bad_shapes_are_configuration_errors_that_name_the_key(void **state)
{
    (void)state;
    static const struct {
        dn_spec shape;
        const char *key;
    } bad[] = {
        {{.V = 0, .T = 7, .C = 12, .L = 2, .attention.NH = 3}, "vocab_size"},
        {{.V = 11, .T = 0, .C = 12, .L = 2, .attention.NH = 3}, "sequence_length"},
        {{.V = 11, .T = 7, .C = 0, .L = 2, .attention.NH = 3}, "model_dim"},
        {{.V = 11, .T = 7, .C = 12, .L = 0, .attention.NH = 3}, "n_layer"},
        {{.V = 11, .T = 7, .C = 12, .L = 2, .attention.NH = 0}, "n_head"},
        {{.V = 11, .T = 7, .C = 12, .L = 2, .attention.NH = 5}, "n_head 5 does not divide"},
        {{.V = 11, .T = 7, .C = 12, .L = 2, .attention.NH = 4}, "odd size 3"},
        {{.V = 11, .T = 7, .C = 12, .L = 2, .attention = {.NH = 3, .NKV = 2}}, "n_kv_head 2 does not divide n_head 3"},
        {{.V = (size_t)1 << 31, .T = 7, .C = 12, .L = 2, .attention.NH = 3}, "vocab_size"},
        {{.V = 11, .T = (size_t)-1, .C = 12, .L = 2, .attention.NH = 3}, "sequence_length"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dn_spec spec = bad[i].shape;
        spec.architecture = &dn_architecture_gpt;
        assert_int_equal(dn_model_complete(&spec), DN_ERR_CONFIG);
        assert_non_null(strstr(dn_error_message(), bad[i].key));
    }
    dn_spec no_heads = small;
    no_heads.architecture = dn_architecture_find("mlp");
    assert_int_equal(dn_model_complete(&no_heads), DN_OK);
    no_heads.attention.theta = 1e4;
    assert_int_equal(dn_model_complete(&no_heads), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "leave out rope_theta"));

    dn_spec good = whole_spec(small);
    assert_int_equal(dn_model_complete(&good), DN_OK); /* once more changes nothing */
}

static double flops_of(dn_spec spec)
{
    model m = model_create("ref", 1, spec, 1);
    double flops = dn_model_flops_per_token(&m.spec, m.params);
    model_destroy(&m);
    return flops;
}

/* By hand for V=11, T=7, C=12, L=2: 6 flops for each of 2*12*144 matrix and 132 head elements; attention
 * forward is 2 products of 2*12 flops with on average 7/2 keys a layer, backward twice that. */
static void flops_per_token_count_products_and_half_the_attention_square(void **state)
{
    (void)state;
    const double attention = 3 * (2 * 2 * 12 * 3.5);
    assert_true(flops_of(small) == 6 * (2 * 12 * 144 + 132) + 2 * attention);
}

/* A frozen matrix saves the third that is its gradient; a block below everything trained, all but the way forward. */
static void what_is_frozen_costs_fewer_flops(void **state)
{
    (void)state;
    const double attention = 3 * (2 * 2 * 12 * 3.5), block = 12 * 144, head = 132;
    dn_spec spec = small;
    spec.trained = (dn_globs){1, {"*.1.mlp.*"}};
    assert_true(flops_of(spec) == 2 * block + attention / 3 + 6 * block - 2 * 4 * 144 + attention + 4 * head);
    spec.trained = (dn_globs){1, {"transformer.wte.weight"}};
    assert_true(flops_of(spec) == 4 * (2 * block + head) + 2 * attention);
    spec.tied = DN_YES;
    assert_true(flops_of(spec) == 4 * 2 * block + 6 * head + 2 * attention);
    spec.trained = (dn_globs){1, {"*.1.mlp.c_proj.weight"}};
    assert_true(flops_of(spec) == 2 * block + attention / 3 + 4 * block + 2 * 4 * 144 + attention + 4 * head);
}

/* Of q, k and v two are trained: they lie with the trained ones, and none in a row. */
static void trained_parameters_lie_in_front_as_their_gradients_do(void **state)
{
    (void)state;
    dn_spec spec = small;
    spec.trained = (dn_globs){3, {"*.c_q.*", "*.1.attn.c_v.weight", "*head*"}};
    model m = model_create("ref", 1, spec, 1);
    dn_param trained[8];
    size_t n = dn_model_trained(&m.spec, m.params, trained), at = 0;
    assert_int_equal(n, 4);
    assert_in_range(m.grads.used, (3 * 144 + 132) * sizeof(dn_real),
                    (3 * 144 + 132) * sizeof(dn_real) + DN_ARENA_ALIGN - 1);
    for (size_t p = 0; p < n; p++) {
        assert_false(trained[p].frozen);
        assert_ptr_equal(trained[p].weight, dn_at((dn_buf *)(void *)m.weights.base, at));
        assert_ptr_equal(trained[p].grad, dn_at((dn_buf *)(void *)m.grads.base, at));
        assert_int_equal(trained[p].apart, p < 3);
        at += dn_param_size(&trained[p]);
    }
    for (size_t p = 0; p < m.n_params; p++) {
        assert_int_equal(m.params[p].frozen, m.params[p].grad == NULL);
        assert_true(!m.params[p].frozen ||
                    (const char *)m.params[p].weight >= m.weights.base + m.grads.used);
    }
    assert_int_equal(dn_model_lowest(&m.spec, m.params), 1);
    model_destroy(&m);
}

TESTS(nn_layout)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_have_the_documented_names_shapes_and_kinds_in_order),
        cmocka_unit_test(split_heads_are_the_rows_of_q_k_and_v),
        cmocka_unit_test(weights_and_gradients_lie_without_gaps_and_measuring_says_how_long),
        cmocka_unit_test(initial_weights_have_the_documented_spread),
        cmocka_unit_test(a_tensor_s_first_values_do_not_depend_on_the_other_tensors),
        cmocka_unit_test(bad_shapes_are_configuration_errors_that_name_the_key),
        cmocka_unit_test(flops_per_token_count_products_and_half_the_attention_square),
        cmocka_unit_test(what_is_frozen_costs_fewer_flops),
        cmocka_unit_test(trained_parameters_lie_in_front_as_their_gradients_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
