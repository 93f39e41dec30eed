/*
 * The reference's backward passes are the derivatives of its forward passes: central differences in double.
 * With h = 1e-5 they are good to h^2 of a third derivative and eps/h of a value, about 1e-9 here.
 */
#include "support.h"

#include <math.h>

#define STEP      1e-5
#define TOLERANCE 1e-7

/* What is differentiated: the sum of weights * array `output` after `run`, or host[0] without weights. */
typedef struct objective {
    operation run;
    const void *context;
    size_t output;
    const array *weights;
} objective;

static double evaluate(const objective *f, const trial *t)
{
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST], sum = 0;
    run_backend("ref", 1, t, f->run, f->context, results, host);
    for (size_t i = 0; f->weights && i < f->weights->n; i++)
        sum += (double)f->weights->start[i] * (double)results[f->output][i];
    free_results(t, results);
    return f->weights ? sum : host[0];
}

static void check_gradient(const objective *f, trial *t, size_t input, const dn_real *gradient)
{
    for (size_t i = 0; i < t->arrays[input].n; i++) {
        dn_real *x = &t->arrays[input].start[i], x0 = *x;
        *x = x0 + (dn_real)STEP;
        double above = evaluate(f, t);
        *x = x0 - (dn_real)STEP;
        double below = evaluate(f, t);
        *x = x0;
        double slope = (above - below) / (2 * STEP);
        if (!(fabs(slope - (double)gradient[i]) <= TOLERANCE * (1 + fabs(slope))))
            fail_msg("input %zu, element %zu: slope %.12g, gradient %.12g", input, i, slope,
                     (double)gradient[i]);
    }
}

static const dn_attention_shape shape = {.B = 2, .T = 5, .NH = 2, .NKV = 2, .hd = 4, .rot = 4, .ld = 8};
static const dn_attention_shape partly = {.B = 2, .T = 5, .NH = 2, .NKV = 2, .hd = 4, .rot = 2, .ld = 8};
static const dn_attention_shape seen = {.B = 2, .T = 5, .NH = 2, .NKV = 1, .hd = 4, .window = 2, .ld = 8};
static const dn_attention_shape shared = {.B = 2, .T = 5, .NH = 2, .NKV = 1, .hd = 4, .ld = 8};
enum { N_ATTENTION = 2 * 5 * 8, N_HEADS = 2 * 5 * 2 };

static void attention_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->attention_forward(s, b[3], b[4], b[0], b[1], b[2], context);
}

static void attention_backward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    attention_forward(s, b, host, context);
    s->kernels->attention_backward(s, b[6], b[7], b[8], b[5], b[0], b[1], b[2], b[3], b[4], context);
}

static void check_attention(const dn_attention_shape *heads)
{
    trial t = {.n_arrays = 9};
    for (size_t a = 0; a < 9; a++)
        t.arrays[a] = random_array(a == 4 ? N_HEADS : N_ATTENTION, a, 1);
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST];
    run_backend("ref", 1, &t, attention_backward, heads, results, host);
    if (heads->NKV < heads->NH) /* nothing is written to what is padding there */
        for (size_t g = 7; g < 9; g++)
            for (size_t i = 0; i < N_ATTENTION; i++)
                results[g][i] = i % heads->ld < heads->NKV * heads->hd ? results[g][i] : 0;
    const objective f = {attention_forward, heads, 3, &t.arrays[5]};
    for (size_t input = 0; input < 3; input++)
        check_gradient(&f, &t, input, results[6 + input]);
    free_results(&t, results);
    free_trial(&t);
}

static void attention_backward_is_the_derivative(void **state)
{
    check_attention(&shape);
    check_attention(&shared);
    check_attention(&seen);
}

/* context: bool, whether the mean is taken off */
static void norm_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->norm_forward(s, b[1], b[2], b[0], *(const bool *)context, 0.1, 5, 16);
}

static void norm_backward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    norm_forward(s, b, host, context);
    s->kernels->norm_backward(s, b[4], b[3], b[1], b[2], *(const bool *)context, 5, 16);
}

static const double frequencies[] = {1, -0.3};

/* Angles behind the others: array 5, [5,4]. */
static void norm_rotary_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const dn_attention_shape *x = context;
    s->kernels->rotary_angles(s, b[5], frequencies, 5, x->rot / 2);
    s->kernels->norm_rotary_forward(s, b[0], b[2], b[5], 0.1, x);
}

static void norm_rotary_backward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    norm_rotary_forward(s, b, host, context);
    s->kernels->copy(s, b[4], b[3], N_ATTENTION);
    s->kernels->norm_rotary_backward(s, b[4], b[0], b[2], b[5], context);
}

static void rotary_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const dn_attention_shape *x = context;
    s->kernels->rotary_angles(s, b[5], frequencies, 5, x->rot / 2);
    s->kernels->rotary_forward(s, b[0], b[5], x);
}

static void rotary_backward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    rotary_forward(s, b, host, context);
    s->kernels->copy(s, b[4], b[3], N_ATTENTION);
    s->kernels->rotary_backward(s, b[4], b[5], context);
}

static void relu2_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->relu2_forward(s, b[0], N_ATTENTION);
}

static void relu2_backward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    relu2_forward(s, b, host, context);
    s->kernels->copy(s, b[4], b[3], N_ATTENTION);
    s->kernels->relu2_backward(s, b[4], b[0], N_ATTENTION);
}

/* arrays: x, y, gain, dy, dx, dgain (zero) */
static void gain_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->gain_forward(s, b[1], b[0], b[2], 0.7, 5, 16);
}

static void gain_backward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->copy(s, b[4], b[3], N_ATTENTION);
    s->kernels->gain_backward(s, b[4], b[5], b[0], b[2], 0.7, 5, 16);
}

static void gain_backward_is_the_derivative(void **state)
{
    trial t = {.arrays = {random_array(N_ATTENTION, 1, 1), nan_array(N_ATTENTION), random_array(16, 3, 1),
                          random_array(N_ATTENTION, 2, 1), nan_array(N_ATTENTION), constant_array(16, 0)},
               .n_arrays = 6};
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST];
    run_backend("ref", 1, &t, gain_backward, NULL, results, host);
    const objective f = {gain_forward, NULL, 1, &t.arrays[3]};
    check_gradient(&f, &t, 0, results[4]);
    check_gradient(&f, &t, 2, results[5]);
    free_results(&t, results);
    free_trial(&t);
}

/* arrays: h, a, da, dh */
static void glu_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->glu_forward(s, b[1], b[0], *(const dn_activation *)context, 5, 8);
}

static void glu_backward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->glu_backward(s, b[3], b[2], b[0], *(const dn_activation *)context, 5, 8);
}

/* of h as 80 numbers, da becoming dh */
static void activation_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->activation_forward(s, b[1], b[0], *(const dn_activation *)context, 80);
}

static void activation_backward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->copy(s, b[3], b[2], 80);
    s->kernels->activation_backward(s, b[3], b[0], *(const dn_activation *)context, 80);
}

static void check_activation(operation forward, operation backward, dn_activation which, size_t n)
{
    trial t = {.arrays = {random_array(80, 1, 2), nan_array(n), random_array(n, 2, 1), nan_array(80)},
               .n_arrays = 4};
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST];
    run_backend("ref", 1, &t, backward, &which, results, host);
    const objective f = {forward, &which, 1, &t.arrays[2]};
    check_gradient(&f, &t, 0, results[3]);
    free_results(&t, results);
    free_trial(&t);
}

static void backward_passes_of_activations_are_the_derivatives(void **state)
{
    for (dn_activation which = DN_SILU; which <= DN_GELU_ERF; which++) {
        check_activation(glu_forward, glu_backward, which, 40);
        check_activation(activation_forward, activation_backward, which, 80);
    }
}

/* arrays: x, y, rstd, dy, dx (zero), angles */
static void check_layer(operation forward, operation backward, const void *context, size_t output)
{
    trial t = {.arrays = {random_array(N_ATTENTION, 1, 1), nan_array(N_ATTENTION), nan_array(N_HEADS),
                          random_array(N_ATTENTION, 2, 1), constant_array(N_ATTENTION, 0), nan_array(5 * 4)},
               .n_arrays = 6};
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST];
    run_backend("ref", 1, &t, backward, context, results, host);
    const objective f = {forward, context, output, &t.arrays[3]};
    check_gradient(&f, &t, 0, results[4]);
    free_results(&t, results);
    free_trial(&t);
}

static void norm_backward_is_the_derivative(void **state)
{
    const bool center[] = {false, true};
    for (size_t i = 0; i < 2; i++)
        check_layer(norm_forward, norm_backward, &center[i], 1);
}

static void norm_rotary_backward_is_the_derivative(void **state)
{
    check_layer(norm_rotary_forward, norm_rotary_backward, &shape, 0);
    check_layer(norm_rotary_forward, norm_rotary_backward, &partly, 0);
}

static void rotary_backward_is_the_derivative(void **state)
{
    check_layer(rotary_forward, rotary_backward, &shape, 0);
    check_layer(rotary_forward, rotary_backward, &partly, 0);
}

static void relu2_backward_is_the_derivative(void **state)
{
    check_layer(relu2_forward, relu2_backward, NULL, 0);
}

static void cross_entropy(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const int32_t targets[] = {3, -1, 19};
    dn_ids *ids = device_ids(s, targets, 3);
    s->kernels->cross_entropy(s, host, b[0], ids, 3, 20, 1);
    free_ids(s, ids, 3);
}

static void cross_entropy_leaves_the_derivative(void **state)
{
    trial t = {.arrays = {random_array(60, 1, 1)}, .n_arrays = 1};
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST];
    run_backend("ref", 1, &t, cross_entropy, NULL, results, host);
    const objective f = {cross_entropy, NULL, 0, NULL};
    check_gradient(&f, &t, 0, results[0]);
    free_results(&t, results);
    free_trial(&t);
}

/* The same logits in three parts of the vocabulary: 7 words, none, 13. arrays: logits, logits, logits, parts.
 */
static void joined_cross_entropy(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const int32_t targets[] = {3, -1, 19};
    const dn_vocab_shard vocab[] = {{0, 7}, {7, 0}, {7, 13}};
    const dn_buf *const parts[] = {b[3], b[4], b[5]};
    dn_ids *ids = device_ids(s, targets, 3);
    for (size_t k = 0; k < 3; k++)
        s->kernels->cross_entropy_part(s, b[3 + k], b[k], ids, &vocab[k], 3);
    for (size_t k = 0; k < 3; k++)
        s->kernels->cross_entropy_join(s, &host[k], b[k], parts, 3, k, ids, &vocab[k], 3, 1);
    free_ids(s, ids, 3);
}

static void joined_cross_entropy_leaves_the_derivative(void **state)
{
    trial t = {.arrays = {random_array(21, 1, 1), random_array(0, 2, 1), random_array(39, 3, 1), nan_array(9),
                          nan_array(9), nan_array(9)},
               .n_arrays = 6};
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST];
    run_backend("ref", 1, &t, joined_cross_entropy, NULL, results, host);
    const objective f = {joined_cross_entropy, NULL, 0, NULL};
    for (size_t k = 0; k < 3; k++)
        check_gradient(&f, &t, k, results[k]);
    free_results(&t, results);
    free_trial(&t);
}

TESTS(gradients)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_backward_is_the_derivative),
        cmocka_unit_test(norm_backward_is_the_derivative),
        cmocka_unit_test(norm_rotary_backward_is_the_derivative),
        cmocka_unit_test(rotary_backward_is_the_derivative),
        cmocka_unit_test(gain_backward_is_the_derivative),
        cmocka_unit_test(backward_passes_of_activations_are_the_derivatives),
        cmocka_unit_test(relu2_backward_is_the_derivative),
        cmocka_unit_test(cross_entropy_leaves_the_derivative),
        cmocka_unit_test(joined_cross_entropy_leaves_the_derivative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
