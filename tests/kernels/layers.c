/* Layers: every backend against the reference, and what the vector exponential is good for. */
#include "device/device.h"
#include "support.h"

#include <math.h>

typedef struct embedding {
    size_t V, N, C;
    double scale;
    const int32_t *tokens;
} embedding;

static void run_embedding(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const embedding *e = context;
    dn_ids *ids = device_ids(s, e->tokens, e->N);
    const dn_vocab_shard vocab = {0, e->V};
    s->kernels->embed_forward(s, b[0], e->C, b[1], e->scale, ids, &vocab, e->N, e->C);
    s->kernels->embed_backward(s, b[2], b[3], e->C, e->scale, ids, &vocab, e->N, e->C);
    free_ids(s, ids, e->N);
}

/* Repeated tokens add in order of position, so even rounding agrees; by powers of 2 scaling rounds nothing. */
static void embeddings_agree_bit_by_bit(void **state)
{
    static int32_t tokens[300];
    for (size_t i = 0; i < 300; i++)
        tokens[i] = (int32_t)(i * i % 7);
    static const size_t shapes[][2] = {{1, 1}, {300, 5}, {300, 129}, {17, 64}, {0, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        embedding e = {.V = 7, .N = shapes[i][0], .C = shapes[i][1], .scale = 1 + (double)(i % 2), .tokens = tokens};
        trial t = {.arrays = {nan_array(e.N * e.C), random_array(e.V * e.C, 1, 1),
                              random_array(e.V * e.C, 2, 1), random_array(e.N * e.C, 3, 1)},
                   .n_arrays = 4,
                   .same_bits = true};
        for (size_t a = 0; a < 4; a++)
            t.arrays[a].ulps = 0;
        compare_columns(&t, run_embedding, &e);
    }
}

typedef struct places {
    size_t B, T, C, first, n;
    dn_vocab_shard vocab;
} places;

/* Tokens 0 to 4, over and over. Arrays: x, positions | dpositions, dx. */
static void run_positions(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const places *x = context;
    int32_t tokens[64];
    for (size_t i = 0; i < x->B * x->T; i++)
        tokens[i] = (int32_t)(i % 5);
    dn_ids *ids = device_ids(s, tokens, x->B * x->T);
    s->kernels->positions_forward(s, b[0], b[1], x->first, x->n, ids, &x->vocab, x->B, x->T, x->C);
    s->kernels->positions_backward(s, b[2], b[3], x->first, x->n, x->B, x->T, x->C);
    free_ids(s, ids, x->B * x->T);
}

/* All positions; some of them; some that are beyond the sequence; of two words of five. */
static void positions_agree_bit_by_bit(void **state)
{
    static const places shapes[] = {{3, 7, 5, 0, 7, {0, 5}},  {3, 7, 129, 2, 4, {0, 5}}, {2, 7, 64, 5, 9, {2, 2}},
                                    {2, 7, 3, 8, 2, {0, 5}}, {1, 1, 1, 0, 1, {0, 5}},   {0, 7, 4, 0, 7, {0, 5}}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const places *x = &shapes[i];
        size_t n = x->B * x->T * x->C;
        trial t = {.arrays = {random_array(n, 1, 1), random_array(x->n * x->C, 2, 1),
                              random_array(x->n * x->C, 3, 1), random_array(n, 4, 1)},
                   .n_arrays = 4,
                   .same_bits = true};
        for (size_t a = 0; a < 4; a++)
            t.arrays[a].ulps = 0;
        compare_columns(&t, run_positions, x);
    }
}

typedef struct rows {
    size_t N, C;
} rows;

static void run_norm(dn_stream *s, dn_buf *const *b, bool center, const rows *x)
{
    s->kernels->norm_forward(s, b[0], b[1], b[2], center, 1e-5, x->N, x->C);
    s->kernels->norm_backward(s, b[3], b[4], b[5], b[6], center, x->N, x->C);
}

static void run_rms_norm(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    run_norm(s, b, false, context);
}

static void run_layer_norm(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    run_norm(s, b, true, context);
}

static void check_norms(operation run, double ulps)
{
    static const rows shapes[] = {{1, 1}, {3, 7}, {130, 129}, {40, 768}, {0, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t N = shapes[i].N, n = N * shapes[i].C;
        trial t = {.arrays = {nan_array(n), nan_array(N), random_array(n, 1, 1), random_array(n, 2, 1),
                              random_array(n, 3, 1), random_array(n, 4, 1), random_array(N, 5, 1)},
                   .n_arrays = 7,
                   .same_bits = true};
        t.arrays[3].scale = 4; /* |rstd| |dy - y mean| is a product of normals */
        t.arrays[0].ulps = t.arrays[1].ulps = ulps;
        compare_columns(&t, run, &shapes[i]);
    }
}

/* A mean of C numbers is good to some sqrt(C) roundings, and is taken off each. */
static void norms_agree(void **state)
{
    check_norms(run_rms_norm, 8);
    check_norms(run_layer_norm, 32);
}

/* Arrays: y, bias | dbias, dy; rows 5 longer than what is added. */
static void run_bias(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const rows *x = context;
    s->kernels->bias_forward(s, b[0], x->C + 5, b[1], x->N, x->C);
    s->kernels->bias_backward(s, b[2], b[3], x->C + 5, x->N, x->C);
}

static void biases_agree(void **state)
{
    static const rows shapes[] = {{1, 1}, {3, 7}, {130, 129}, {40, 768}, {0, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t N = shapes[i].N, C = shapes[i].C;
        trial t = {.arrays = {padded_array(N, C, C + 5, 1, 1), random_array(C, 2, 1), random_array(C, 3, 1),
                              padded_array(N, C, C + 5, 4, 1)},
                   .n_arrays = 4,
                   .same_bits = true};
        t.arrays[2].scale = (double)N; /* so many terms of order 1, in double */
        compare_columns(&t, run_bias, &shapes[i]);
    }
}

/* Arrays: y, x, gain | dy, dgain. */
static void run_gain(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const rows *x = context;
    s->kernels->gain_forward(s, b[0], b[1], b[2], 0.5, x->N, x->C);
    s->kernels->gain_backward(s, b[3], b[4], b[1], b[2], 0.5, x->N, x->C);
}

static void gains_agree(void **state)
{
    static const rows shapes[] = {{1, 1}, {3, 7}, {130, 129}, {40, 768}, {0, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t C = shapes[i].C, n = shapes[i].N * C;
        trial t = {.arrays = {nan_array(n), random_array(n, 1, 1), random_array(C, 2, 1),
                              random_array(n, 3, 1), random_array(C, 4, 1)},
                   .n_arrays = 5,
                   .same_bits = true};
        t.arrays[4].scale = (double)shapes[i].N; /* so many terms of order 1, in double */
        compare_columns(&t, run_gain, &shapes[i]);
    }
}

typedef struct hidden {
    rows rows;
    dn_activation f;
} hidden;

/* Arrays: a, h | dh, da | a, da of the same h without gates. */
static void run_activation(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const hidden *x = context;
    size_t N = x->rows.N, F = x->rows.C;
    s->kernels->glu_forward(s, b[0], b[1], x->f, N, F);
    s->kernels->glu_backward(s, b[2], b[3], b[1], x->f, N, F);
    s->kernels->activation_forward(s, b[4], b[1], x->f, 2 * N * F);
    s->kernels->activation_backward(s, b[5], b[1], x->f, 2 * N * F);
}

/* Also far out, where e^-g is infinite or 0. The exponential is good to 4 ulp; three roundings follow in
 * sigma and up to five behind it, 1 + g (1 - sigma) with those of sigma as often as g, up to 5 here. */
static void check_activation(dn_activation f)
{
    static const rows shapes[] = {{1, 1}, {3, 7}, {130, 129}, {40, 768}, {0, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t F = shapes[i].C, n = shapes[i].N * F;
        trial t = {
            .arrays = {nan_array(n), random_array(2 * n, 1, 1), nan_array(2 * n), random_array(n, 2, 1),
                       nan_array(2 * n), random_array(2 * n, 3, 1)},
            .n_arrays = 6,
            .same_bits = true};
        for (size_t k = 0; k < n; k += 50)
            t.arrays[1].start[k / F * 2 * F + k % F] *= (dn_real)1000;
        t.arrays[0].ulps = 16;
        t.arrays[4].ulps = 16;
        t.arrays[2].ulps = t.arrays[5].ulps = 64;
        const hidden x = {shapes[i], f};
        compare_columns(&t, run_activation, &x);
    }
}

static void activations_agree(void **state)
{
    check_activation(DN_SILU);
    check_activation(DN_GELU_TANH);
    check_activation(DN_GELU_ERF);
}

/* Arrays: angles | x, rstd, dy, rstd | x, dy. */
static void run_rotary(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const dn_attention_shape *shape = context;
    double frequencies[32];
    for (size_t i = 0; i < shape->rot / 2; i++) /* some turn the other way */
        frequencies[i] = (i % 3 ? 1 : -1) * pow(10000, -2.0 * (double)i / (double)shape->rot);
    s->kernels->rotary_angles(s, b[0], frequencies, shape->T, shape->rot / 2);
    s->kernels->norm_rotary_forward(s, b[1], b[2], b[0], 1e-5, shape);
    s->kernels->norm_rotary_backward(s, b[3], b[1], b[4], b[0], shape);
    s->kernels->rotary_forward(s, b[5], b[0], shape);
    s->kernels->rotary_backward(s, b[6], b[0], shape);
}

static void rotary_positions_agree(void **state)
{
    static const dn_attention_shape shapes[] = {{.B = 1, .T = 1, .NH = 1, .hd = 2, .rot = 2, .ld = 2},
                                                {.B = 2, .T = 5, .NH = 3, .hd = 6, .rot = 6, .ld = 23},
                                                {.B = 2, .T = 33, .NH = 2, .hd = 64, .rot = 64, .ld = 200},
                                                {.B = 2, .T = 33, .NH = 2, .hd = 30, .rot = 10, .ld = 61},
                                                {.B = 2, .T = 5, .NH = 3, .hd = 6, .rot = 0, .ld = 18},
                                                {.B = 0, .T = 5, .NH = 1, .hd = 2, .rot = 2, .ld = 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const dn_attention_shape *x = &shapes[i];
        size_t N = x->B * x->T, width = x->NH * x->hd;
        trial t = {.arrays = {nan_array(x->T * x->rot), padded_array(N, width, x->ld, 1, 1),
                              nan_array(N * x->NH), padded_array(N, width, x->ld, 2, 1),
                              random_array(N * x->NH, 3, 1), padded_array(N, width, x->ld, 4, 1),
                              padded_array(N, width, x->ld, 5, 1)},
                   .n_arrays = 7,
                   .same_bits = true};
        t.arrays[3].scale = 4;
        compare_columns(&t, run_rotary, x);
    }
}

typedef struct loss {
    size_t N, V;
    double scale, shift;
} loss;

static void run_cross_entropy(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const loss *x = context;
    int32_t targets[64];
    for (size_t i = 0; i < x->N; i++)
        targets[i] = i % 9 == 8 ? -1 : (int32_t)(i * 7919 % x->V);
    dn_ids *ids = device_ids(s, targets, x->N);
    host[0] = 1; /* it adds */
    s->kernels->cross_entropy(s, host, b[0], ids, x->N, x->V, x->scale);
    if (x->scale == 0)
        s->kernels->fill(s, b[0], x->N * x->V, 0); /* undefined */
    free_ids(s, ids, x->N);
}

/* logit - max carries half an eps of itself (up to shift + 40 here) into the exponent; the vector exponential
 * 4 more, the rest a few. */
static void cross_entropy_agrees_at_any_offset(void **state)
{
    static const loss shapes[] = {
        {1, 1, 1, 0},   {1, 2, 0.5, 0},    {3, 5, 1, 0},       {64, 1031, 0.01, 0}, {3, 50304, 1, 0},
        {3, 129, 0, 0}, {3, 129, 1, 1000}, {3, 129, 1, -1000}, {0, 5, 1, 0},        {64, 1031, 0, 0},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const loss *x = &shapes[i];
        trial t = {.arrays = {random_array(x->N * x->V, 1, 5)},
                   .n_arrays = 1,
                   .n_host = 1,
                   .host_tolerance = 50 * DN_REAL_EPS,
                   .same_bits = true};
        for (size_t j = 0; j < x->N * x->V; j++)
            t.arrays[0].start[j] += (dn_real)x->shift;
        t.arrays[0].ulps = 50;
        t.arrays[0].scale = x->scale / (double)x->V;
        compare_columns(&t, run_cross_entropy, x);
    }
}

/* Row: the target (its -1 hides it), the maximum 0, then arguments x: left are e^x, all divided by one sum.
 * Hence output_x / output_0 = e^x, but for the two roundings of that division and scaling. */
static void exponentials_are_good_to_four_ulp(void **state)
{
    enum { V = 40003 };
    const double lowest = sizeof(dn_real) == 4 ? -86.9 : -707.9;
    const loss shape = {1, V, 1, 0};
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        trial t = {.arrays = {constant_array(V, 0)}, .n_arrays = 1};
        for (size_t i = 2; i < V; i++)
            t.arrays[0].start[i] = (dn_real)(lowest * (double)(i - 2) / V);
        dn_real *results[MAX_ARRAYS];
        double host[MAX_HOST];
        run_backend((*backend)->name, 1, &t, run_cross_entropy, &shape, results, host);
        for (size_t i = 2; i < V; i++) {
            long double want = expl((long double)t.arrays[0].start[i]);
            long double got = (long double)results[0][i] / (long double)results[0][1];
            if (results[0][i] > (sizeof(dn_real) == 4 ? 2e-38 : 3e-308)) /* below, scaling loses bits */
                assert_true(fabsl(got / want - 1) <= (4 + 2) * DN_REAL_EPS);
        }
        free_results(&t, results);
        free_trial(&t);
    }
}

/* A logit of -infinity has probability exactly 0, one of NaN spoils its row and no other. */
static void infinite_and_nan_logits_stay_in_their_row(void **state)
{
    const loss shape = {2, 100, 1, 0};
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        trial t = {.arrays = {random_array(200, 1, 1)}, .n_arrays = 1};
        t.arrays[0].start[50] = -(dn_real)INFINITY;
        t.arrays[0].start[150] = (dn_real)NAN;
        dn_real *results[MAX_ARRAYS];
        double host[MAX_HOST];
        run_backend((*backend)->name, 1, &t, run_cross_entropy, &shape, results, host);
        assert_true(results[0][50] == 0);
        assert_true(isnan(host[0]));
        for (size_t i = 0; i < 100; i++) {
            assert_true(isfinite(results[0][i]));
            assert_true(isnan(results[0][100 + i]));
        }
        free_results(&t, results);
        free_trial(&t);
    }
}

/* What a module's table lacks is computed by the host, which a stand-in's memory allows and a GPU's does not. */
static void a_device_has_all_kernels_itself(void **state)
{
    const dn_kernels *tables[] = {dn_device_selected()->kernels, dn_device_selected()->mixed_kernels};
    for (int i = 0; i < 2 && tables[i]; i++) {
#define OP(name, ...)                                                                                        \
    if (!tables[i]->name)                                                                                    \
        fail_msg("it has no " #name);
#include "compute/ops.h"
#undef OP
    }
}

TESTS(layers)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embeddings_agree_bit_by_bit),
        cmocka_unit_test(positions_agree_bit_by_bit),
        cmocka_unit_test(norms_agree),
        cmocka_unit_test(biases_agree),
        cmocka_unit_test(gains_agree),
        cmocka_unit_test(activations_agree),
        cmocka_unit_test(rotary_positions_agree),
        cmocka_unit_test(cross_entropy_agrees_at_any_offset),
        cmocka_unit_test(exponentials_are_good_to_four_ulp),
        cmocka_unit_test(infinite_and_nan_logits_stay_in_their_row),
        cmocka_unit_test(a_device_has_all_kernels_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
