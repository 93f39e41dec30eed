/* Gradients, in double: the linear layer against its definition; a block, the head and whole models against
 * central differences by every input and parameter. */
#include "nn/linear.h"
#include "support/close.h"
#include "support/tests.h"

#include <string.h>

#include "support/differences.h"

static const dn_spec small = {.V = 11, .T = 7, .C = 12, .L = 1, .attention.NH = 3};

/* A device buffer of n normal numbers, stream `which` of the draws. */
static dn_buf *drawn(dn_stream *s, size_t n, uint64_t which)
{
    dn_real *host = calloc(n, sizeof *host);
    void *x;
    dn_random_normal(5, which, 0, n, 1, host);
    must(dn_device_alloc(s, n * sizeof *host, &x));
    dn_upload(s, x, host, n);
    must(dn_stream_sync(s));
    free(host);
    return x;
}

/* Entry (i, j) of start + alpha op(a) op(b) for row-major matrices with element (i, k) of op(a) at
 * a[i*ai + k*ak]. */
static double product(double start, const dn_real *a, size_t ai, size_t ak, const dn_real *b, size_t bk,
                      size_t bj, size_t i, size_t j, size_t n)
{
    for (size_t k = 0; k < n; k++)
        start += (double)a[i * ai + k * ak] * (double)b[k * bk + j * bj];
    return start;
}

/* Products of at most 7 terms of order 1: a few roundings each. */
static const double rounding = 64 * DN_REAL_EPS;

static void the_linear_layer_is_x_wt_and_its_gradients_are_dy_w_and_dyt_x(void **state)
{
    (void)state;
    enum { N = 5, OUT = 7, IN = 3 };
    dn_stream *s;
    must(dn_stream_create("ref", 1, &s));
    dn_buf *x = drawn(s, N * IN, 0), *w = drawn(s, OUT * IN, 1), *dy = drawn(s, N * OUT, 2);
    dn_buf *y = drawn(s, N * OUT, 3), *sum = drawn(s, N * OUT, 3), *dx = drawn(s, N * IN, 4);
    dn_buf *dw = drawn(s, OUT * IN, 5);
    dn_real *old_sum = host_copy(s, sum, N * OUT), *old_dw = host_copy(s, dw, OUT * IN);

    const dn_weight_block wb = {.block = {0, OUT, 0, IN}, .weight = w, .grad = dw};
    const dn_weight weight = {OUT, IN, 1, &wb};
    dn_linear_forward(s, y, x, &weight, N);
    dn_linear_forward_add(s, sum, x, &weight, N);
    dn_linear_backward(s, dx, dy, x, &weight, N);

    dn_real *hx = host_copy(s, x, N * IN), *hw = host_copy(s, w, OUT * IN), *hdy = host_copy(s, dy, N * OUT);
    dn_real *hy = host_copy(s, y, N * OUT), *hsum = host_copy(s, sum, N * OUT),
            *hdx = host_copy(s, dx, N * IN);
    dn_real *hdw = host_copy(s, dw, OUT * IN);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < OUT; j++) {
            double expected = product(0, hx, IN, 1, hw, 1, IN, i, j, IN);
            assert_close((double)hy[i * OUT + j], expected, rounding);
            assert_close((double)(hsum[i * OUT + j] - old_sum[i * OUT + j]), expected, rounding);
        }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < IN; j++)
            assert_close((double)hdx[i * IN + j], product(0, hdy, OUT, 1, hw, IN, 1, i, j, OUT), rounding);
    for (size_t i = 0; i < OUT; i++)
        for (size_t j = 0; j < IN; j++) {
            double start = (double)old_dw[i * IN + j];
            assert_close((double)hdw[i * IN + j], product(start, hdy, 1, OUT, hx, IN, 1, i, j, N), rounding);
        }

    dn_buf *const buffers[] = {x, w, dy, y, sum, dx, dw};
    for (size_t i = 0; i < 7; i++)
        dn_device_free(s, buffers[i], 0);
    dn_real *const copies[] = {hx, hw, hdy, hy, hsum, hdx, hdw, old_sum, old_dw};
    for (size_t i = 0; i < 9; i++)
        free(copies[i]);
    dn_stream_destroy(&s);
}

/* The scalar whose gradient is tested: the inner product of a layer's output with fixed weights c. */
typedef struct probe {
    model m;
    size_t n;      /* elements of the layer's input */
    dn_buf *input; /* [n] */
    dn_real *c;    /* [N,C] */
} probe;

static double block_loss(void *context)
{
    probe *p = context;
    dn_pass *pass = &p->m.model->slots[0].pass;
    p->m.stream->kernels->copy(p->m.stream, pass->x, p->input, p->n);
    must(dn_model_unit_forward(p->m.model, 0, 1));
    dn_real *out = host_copy(p->m.stream, pass->x, p->n);
    double sum = 0;
    for (size_t i = 0; i < p->n; i++)
        sum += (double)out[i] * (double)p->c[i];
    free(out);
    return sum;
}

static void check(const loss_of *f, dn_buf *x, const dn_buf *gradient, size_t n)
{
    dn_real *g = host_copy(f->stream, gradient, n);
    assert_below(gradient_error(f, x, g, n, 48), DIFFERENCE_TOLERANCE);
    free(g);
}

static probe probe_create(void)
{
    probe p = {.m = model_create("ref", 1, small, 2)};
    p.n = p.m.B * small.T * small.C;
    p.input = drawn(p.m.stream, p.n, 6);
    p.c = calloc(p.n, sizeof *p.c);
    dn_random_normal(5, 7, 0, p.n, 1, p.c);
    p.m.model->slots[0].pass.B = p.m.B;
    p.m.model->slots[0].pass.T = small.T;
    return p;
}

static void probe_destroy(probe *p)
{
    dn_device_free(p->m.stream, p->input, 0);
    free(p->c);
    model_destroy(&p->m);
}

static void a_block_s_gradients_are_those_of_central_differences(void **state)
{
    (void)state;
    probe p = probe_create();
    dn_pass *pass = &p.m.model->slots[0].pass;
    loss_of f = {block_loss, &p, p.m.stream};

    block_loss(&p);
    dn_upload(p.m.stream, pass->x, p.c, p.n);
    must(dn_model_unit_backward(p.m.model, 0, 1));
    dn_real *dx = host_copy(p.m.stream, pass->x, p.n);
    assert_below(gradient_error(&f, p.input, dx, p.n, 48), DIFFERENCE_TOLERANCE);
    free(dx);
    for (size_t i = 0; i < p.m.n_params; i++)
        if (p.m.unit_of[i] == 1)
            check(&f, p.m.params[i].weight, p.m.params[i].grad, dn_param_size(&p.m.params[i]));
    probe_destroy(&p);
}

static double head_loss(void *context)
{
    probe *p = context;
    dn_pass *pass = &p->m.model->slots[0].pass;
    p->m.stream->kernels->copy(p->m.stream, pass->x, p->input, p->n);
    pass->goal = DN_GOAL_LOSS;
    pass->loss = 0;
    must(dn_model_unit_forward(p->m.model, 0, p->m.model->n_units - 1));
    must(dn_stream_sync(p->m.stream));
    return pass->loss;
}

/* In chunks of 4, 4, 4 and 2 rows. */
static void the_head_s_gradients_are_those_of_central_differences(void **state)
{
    (void)state;
    probe p = probe_create();
    dn_pass *pass = &p.m.model->slots[0].pass;
    loss_of f = {head_loss, &p, p.m.stream};
    const dn_param *head = &p.m.params[p.m.n_params - 1];
    size_t unit = p.m.model->n_units - 1;
    head_of(p.m.model)->logits_rows = 4;
    dn_upload_ids(p.m.stream, pass->targets, p.m.targets, p.m.B * small.T);

    double loss = head_loss(&p);
    pass->goal = DN_GOAL_TRAIN;
    pass->scale = 1;
    pass->loss = 0;
    must(dn_model_unit_forward(p.m.model, 0, unit));
    must(dn_stream_sync(p.m.stream));
    assert_true(pass->loss == loss);
    dn_real *dx = host_copy(p.m.stream, pass->x, p.n);
    assert_below(gradient_error(&f, p.input, dx, p.n, 48), DIFFERENCE_TOLERANCE);
    free(dx);
    check(&f, head->weight, head->grad, dn_param_size(head));
    probe_destroy(&p);
}

static double whole_loss(void *context)
{
    model *m = context;
    double loss = 0;
    must(dn_model_loss(m->model, m->tokens, m->targets, m->B, &loss));
    return loss;
}

/* Twice, scaled by 1.5 and -0.5: gradients are added to, scaled as asked. */
static void check_every_parameter(dn_spec spec)
{
    model m = model_create("ref", 1, spec, 2);
    draw_adapters(m.stream, m.params, m.n_params);
    loss_of f = {whole_loss, &m, m.stream};
    double loss = 0;
    must(dn_model_train(m.model, m.tokens, m.targets, m.B, 1.5, &loss));
    must(dn_model_train(m.model, m.tokens, m.targets, m.B, -0.5, &loss));
    for (size_t p = 0; p < m.n_params; p++)
        if (!m.params[p].frozen)
            check(&f, m.params[p].weight, m.params[p].grad, dn_param_size(&m.params[p]));
    assert_true(loss == 2 * whole_loss(&m));
    model_destroy(&m);
}

static void every_parameter_s_gradient_is_that_of_central_differences(void **state)
{
    (void)state;
    const dn_architecture *architecture;
    for (size_t i = 0; (architecture = dn_architecture_at(i)); i++)
        check_every_parameter((dn_spec){.V = 11, .T = 7, .C = 12, .L = 2, .attention.NH = 3, .architecture = architecture});
}

/* 3 heads of 6 in a model 12 wide. */
static void heads_may_be_wider_than_their_part_of_the_model(void **state)
{
    (void)state;
    check_every_parameter((dn_spec){.V = 11, .T = 7, .C = 12, .L = 1, .attention.NH = 3, .attention.hd = 6});
}

/* 6 heads of 4, of which each three read the same of 2 heads of keys and values. */
static void heads_may_share_keys_and_values(void **state)
{
    (void)state;
    check_every_parameter((dn_spec){.V = 11, .T = 7, .C = 12, .L = 1, .attention = {.NH = 6, .NKV = 2, .hd = 4}});
}

static void every_product_may_have_a_bias(void **state)
{
    (void)state;
    const dn_architecture *architecture;
    for (size_t i = 0; (architecture = dn_architecture_at(i)); i++) {
        bool heads = architecture->attention;
        check_every_parameter((dn_spec){.V = 11,
                                        .T = 7,
                                        .C = 12,
                                        .L = 1,
                                        .attention = {.NH = 3, .qkv_bias = heads, .o_bias = heads},
                                        .mlp.bias = true,
                                        .architecture = architecture});
    }
}

/* Beside matrices that are trained, too, and alone; beside all of them, or every other one. */
static void adapters_have_gradients(void **state)
{
    (void)state;
    const dn_architecture *architecture;
    for (size_t i = 0; (architecture = dn_architecture_at(i)); i++) {
        dn_spec spec = {.V = 11, .T = 7, .C = 12, .L = 1, .attention.NH = 3, .architecture = architecture};
        spec.lora = (dn_lora_spec){.rank = 2, .scale = 1.5, .roles = i % 2 ? 0x7f : 0x55};
        spec.trained = (dn_globs){i < 2, {"*"}};
        if (architecture->attention)
            check_every_parameter(spec);
    }
}

/* Behind the embedding, a block and the last block, where the head begins; what the differences move is too little to change what is
 * kept. */
static void what_crosses_a_channel_has_the_gradient_of_what_is_kept(void **state)
{
    (void)state;
    const dn_architecture *architecture;
    for (size_t i = 0; (architecture = dn_architecture_at(i)); i++)
        check_every_parameter((dn_spec){.V = 11, .T = 7, .C = 12, .L = 2, .attention.NH = 3, .architecture = architecture,
                                        .n_channels = 3, .channels = {{0, 5}, {1, 7}, {2, 6}}});
}

TESTS(nn_gradients)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_linear_layer_is_x_wt_and_its_gradients_are_dy_w_and_dyt_x),
        cmocka_unit_test(a_block_s_gradients_are_those_of_central_differences),
        cmocka_unit_test(the_head_s_gradients_are_those_of_central_differences),
        cmocka_unit_test(every_parameter_s_gradient_is_that_of_central_differences),
        cmocka_unit_test(heads_may_be_wider_than_their_part_of_the_model),
        cmocka_unit_test(heads_may_share_keys_and_values),
        cmocka_unit_test(every_product_may_have_a_bias),
        cmocka_unit_test(adapters_have_gradients),
        cmocka_unit_test(what_crosses_a_channel_has_the_gradient_of_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
