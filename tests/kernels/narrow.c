/*
 * Kernels that take activations in bfloat16, by narrow handles, on backends that have them: what they store is the nearest
 * number of bfloat16 to what the reference makes of the same numbers in dn_real, up to its rounding.
 */
#include "support.h"

#include "support/bf16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const dn_kernels *narrow_backend(void)
{
    const dn_kernels *first = dn_kernels_mixed()[0];
    return first->narrow ? first : NULL;
}

/* ---- handles ---- */

static void a_narrow_handle_says_so_wherever_it_points(void **state)
{
    uint16_t numbers[8] = {0};
    dn_real wide[8] = {0};
    dn_buf *narrow = dn_narrow((const dn_bf16 *)numbers), *real = (dn_buf *)wide;
    assert_true(dn_is_narrow(narrow) && !dn_is_narrow(real));
    assert_true(dn_is_narrow(dn_at(narrow, 3)) && !dn_is_narrow(dn_at(real, 3)));
    assert_ptr_equal(dn_narrow_numbers(dn_at(narrow, 3)), &numbers[3]);
    assert_ptr_equal(dn_at(real, 3), &wide[3]);
    assert_ptr_equal(dn_at(dn_at(narrow, 5), (size_t)-5), narrow);
    assert_ptr_equal(dn_alike((const dn_buf *)numbers, narrow), narrow);
    assert_ptr_equal(dn_alike(real, (const dn_buf *)numbers), real);
    assert_null(dn_narrow(NULL));
}

static void only_mixed_precision_of_gpus_in_float_keeps_activations_in_bfloat16(void **state)
{
    assert_true(dn_precision_narrows("mixed", "cuda") == (DN_REAL == DN_F32));
    assert_false(dn_precision_narrows("float", "cuda"));
    assert_false(dn_precision_narrows("mixed", "cpu"));
    assert_false(dn_precision_narrows("mixed", "abacus"));
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend++)
        assert_false((*backend)->narrow);
    for (const dn_kernels *const *backend = dn_kernels_mixed(); *backend; backend++)
        assert_true((*backend)->narrow == (DN_REAL == DN_F32 && dn_kernels_are_the_devices(*backend)));
}

/* ---- an operation of which some arrays are narrow: bits of `narrow` ---- */

enum { GUARD = 32 };

static bool is_narrow(unsigned narrow, size_t a)
{
    return narrow >> a & 1;
}

static size_t number_bytes(bool narrow)
{
    return narrow ? sizeof(uint16_t) : sizeof(dn_real);
}

/* What memory of an array is to hold, between guards; owned by the caller. */
static char *image_of(const array *a, bool narrow)
{
    size_t bytes = number_bytes(narrow);
    char *image = malloc((a->n + 2 * GUARD) * bytes);
    assert_non_null(image);
    for (size_t i = 0; i < a->n + 2 * GUARD; i++) {
        const dn_real x = i < GUARD || i >= GUARD + a->n ? (dn_real)NAN : a->start[i - GUARD];
        const uint16_t half = nearest_bf16((double)x);
        memcpy(image + i * bytes, narrow ? (const void *)&half : &x, bytes);
    }
    return image;
}

static double number_at(const char *image, size_t i, bool narrow)
{
    dn_real real;
    uint16_t half;
    memcpy(&real, image + i * sizeof real, narrow ? 0 : sizeof real);
    memcpy(&half, image + i * sizeof half, narrow ? sizeof half : 0);
    return narrow ? of_bf16(half) : (double)real;
}

static void compare_one(size_t index, const array *a, bool narrow, const char *before, const char *after, const dn_real *want)
{
    size_t bytes = number_bytes(narrow);
    for (size_t i = 0; i < a->n + 2 * GUARD; i++) {
        bool kept = i < GUARD || i >= GUARD + a->n || (a->kept && a->kept[i - GUARD]);
        double got = number_at(after, i, narrow), x = kept ? 0 : (double)want[i - GUARD];
        double off = a->ulps * DN_REAL_EPS * (fabs(x) + a->scale);
        double low = narrow ? of_bf16(nearest_bf16(x - off)) : x - off, high = narrow ? of_bf16(nearest_bf16(x + off)) : x + off;
        if (kept ? memcmp(before + i * bytes, after + i * bytes, bytes) != 0 : !(low <= got && got <= high))
            fail_msg("array %zu (%s): element %zu of %zu is %.9g, not %.9g to %.9g", index, kept ? "kept" : narrow ? "narrow" : "real",
                     i - GUARD, a->n, got, low, high);
    }
}

/* Asserts; frees the trial's arrays. What arrays that are narrow hold is rounded first. */
static void compare_narrow(trial *t, unsigned narrow, operation run, const void *context)
{
    dn_stream *s = make_stream(narrow_backend()->name, 2);
    dn_buf *handles[MAX_ARRAYS];
    char *before[MAX_ARRAYS], *after[MAX_ARRAYS];
    void *memory[MAX_ARRAYS];
    dn_real *want[MAX_ARRAYS];
    double got_host[MAX_HOST] = {0}, want_host[MAX_HOST];
    for (size_t a = 0; a < t->n_arrays; a++)
        for (size_t i = 0; is_narrow(narrow, a) && i < t->arrays[a].n; i++)
            t->arrays[a].start[i] = (dn_real)of_bf16(nearest_bf16((double)t->arrays[a].start[i]));
    run_backend("ref", 1, t, run, context, want, want_host);
    for (size_t a = 0; a < t->n_arrays; a++) {
        size_t bytes = number_bytes(is_narrow(narrow, a)), n = t->arrays[a].n + 2 * GUARD;
        before[a] = image_of(&t->arrays[a], is_narrow(narrow, a));
        after[a] = malloc(n * bytes);
        assert_non_null(after[a]);
        assert_int_equal(dn_device_alloc(s, n * bytes, &memory[a]), DN_OK);
        dn_copy_bytes(s, memory[a], before[a], n * bytes);
        handles[a] = dn_at(is_narrow(narrow, a) ? dn_narrow(memory[a]) : memory[a], GUARD);
    }
    run(s, handles, got_host, context);
    for (size_t a = 0; a < t->n_arrays; a++)
        dn_copy_bytes(s, after[a], memory[a], (t->arrays[a].n + 2 * GUARD) * number_bytes(is_narrow(narrow, a)));
    assert_int_equal(dn_stream_sync(s), DN_OK);
    for (size_t a = 0; a < t->n_arrays; a++)
        compare_one(a, &t->arrays[a], is_narrow(narrow, a), before[a], after[a], want[a]);
    for (size_t i = 0; i < t->n_host; i++)
        assert_true(fabs(got_host[i] - want_host[i]) <= t->host_tolerance * fabs(want_host[i]));
    for (size_t a = 0; a < t->n_arrays; a++) {
        dn_device_free(s, memory[a], 0);
        free(before[a]);
        free(after[a]);
    }
    dn_stream_destroy(&s);
    free_results(t, want);
    free_trial(t);
}

/* ---- layers: shapes with rows of whole 16 bytes, and others ---- */

typedef struct rows {
    size_t N, C;
} rows;

static const rows shapes[] = {{1, 1}, {3, 7}, {130, 129}, {5, 8}, {40, 776}, {0, 4}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

typedef struct centered {
    rows of;
    bool center;
} centered;

/* y, rstd, x | dx, dy, y, rstd */
static void run_norm(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const centered *x = context;
    s->kernels->norm_forward(s, b[0], b[1], b[2], x->center, 1e-5, x->of.N, x->of.C);
    s->kernels->norm_backward(s, b[3], b[4], b[5], b[6], x->center, x->of.N, x->of.C);
}

static void norms_agree(void **state)
{
    for (size_t i = 0; i < 2 * N_SHAPES; i++) {
        const centered x = {shapes[i / 2], i % 2};
        size_t N = x.of.N, n = N * x.of.C;
        trial t = {.arrays = {nan_array(n), nan_array(N), random_array(n, 1, 1), random_array(n, 2, 1), random_array(n, 3, 1),
                              random_array(n, 4, 1), random_array(N, 5, 1)},
                   .n_arrays = 7};
        t.arrays[3].scale = 4;
        t.arrays[0].ulps = t.arrays[1].ulps = x.center ? 32 : 8;
        compare_narrow(&t, 1u << 0 | 1u << 5, run_norm, &x);
    }
}

/* y, bias | dbias, dy; rows 3 longer than what is added */
static void run_bias(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const rows *x = context;
    s->kernels->bias_forward(s, b[0], x->C + 3, b[1], x->N, x->C);
    s->kernels->bias_backward(s, b[2], b[3], x->C + 3, x->N, x->C);
}

/* y, x, gain | dy, dgain */
static void run_gain(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const rows *x = context;
    s->kernels->gain_forward(s, b[0], b[1], b[2], 0.5, x->N, x->C);
    s->kernels->gain_backward(s, b[3], b[4], b[1], b[2], 0.5, x->N, x->C);
}

static void biases_and_gains_agree(void **state)
{
    for (size_t i = 0; i < N_SHAPES; i++) {
        size_t N = shapes[i].N, C = shapes[i].C;
        trial bias = {.arrays = {padded_array(N, C, C + 3, 1, 1), random_array(C, 2, 1), random_array(C, 3, 1), padded_array(N, C, C + 3, 4, 1)},
                      .n_arrays = 4};
        trial gain = {.arrays = {nan_array(N * C), random_array(N * C, 1, 1), random_array(C, 2, 1), random_array(N * C, 3, 1),
                                 random_array(C, 4, 1)},
                      .n_arrays = 5};
        bias.arrays[2].scale = gain.arrays[4].scale = (double)N;
        compare_narrow(&bias, 1u << 0 | 1u << 3, run_bias, &shapes[i]);
        compare_narrow(&gain, 1u << 0 | 1u << 1, run_gain, &shapes[i]);
    }
}

typedef struct hidden {
    rows of;
    dn_activation f;
} hidden;

/* a, h | dh, da | a, da | x | da, a | filled */
static void run_activation(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const hidden *x = context;
    size_t N = x->of.N, F = x->of.C;
    s->kernels->glu_forward(s, b[0], b[1], x->f, N, F);
    s->kernels->glu_backward(s, b[2], b[3], b[1], x->f, N, F);
    s->kernels->activation_forward(s, b[4], b[1], x->f, 2 * N * F);
    s->kernels->activation_backward(s, b[5], b[1], x->f, 2 * N * F);
    s->kernels->relu2_forward(s, b[6], N * F);
    s->kernels->relu2_backward(s, b[7], b[8], N * F);
    s->kernels->fill(s, b[9], N * F, 1.0 / 3);
}

static void activations_agree(void **state)
{
    static const dn_activation functions[] = {DN_SILU, DN_GELU_TANH, DN_GELU_ERF};
    for (size_t i = 0; i < 3 * N_SHAPES; i++) {
        const hidden x = {shapes[i / 3], functions[i % 3]};
        size_t n = x.of.N * x.of.C;
        trial t = {.arrays = {nan_array(n), random_array(2 * n, 1, 1), nan_array(2 * n), random_array(n, 2, 1), nan_array(2 * n),
                              random_array(2 * n, 3, 1), random_array(n, 4, 1), random_array(n, 5, 1), random_array(n, 6, 1), nan_array(n)},
                   .n_arrays = 10};
        for (size_t k = 0; k < n; k++)
            t.arrays[8].start[k] *= t.arrays[8].start[k];
        t.arrays[0].ulps = t.arrays[4].ulps = 16;
        t.arrays[2].ulps = t.arrays[5].ulps = 64;
        compare_narrow(&t, 0x3ff, run_activation, &x);
    }
}

/* angles | x, rstd | dy, y, rstd | x | dy */
static void run_rotary(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const dn_attention_shape *shape = context;
    double frequencies[32];
    for (size_t i = 0; i < shape->rot / 2; i++)
        frequencies[i] = pow(10000, -2.0 * (double)i / (double)shape->rot);
    s->kernels->rotary_angles(s, b[0], frequencies, shape->T, shape->rot / 2);
    s->kernels->norm_rotary_forward(s, b[1], b[2], b[0], 1e-5, shape);
    s->kernels->norm_rotary_backward(s, b[3], b[4], b[5], b[0], shape);
    s->kernels->rotary_forward(s, b[6], b[0], shape);
    s->kernels->rotary_backward(s, b[7], b[0], shape);
}

static void rotary_positions_agree(void **state)
{
    static const dn_attention_shape of[] = {{.B = 1, .T = 1, .NH = 1, .hd = 2, .rot = 2, .ld = 2},
                                            {.B = 2, .T = 5, .NH = 3, .hd = 6, .rot = 6, .ld = 23},
                                            {.B = 2, .T = 33, .NH = 2, .hd = 64, .rot = 64, .ld = 200},
                                            {.B = 2, .T = 33, .NH = 2, .hd = 30, .rot = 10, .ld = 61},
                                            {.B = 2, .T = 5, .NH = 3, .hd = 6, .rot = 0, .ld = 18}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const dn_attention_shape *x = &of[i];
        size_t N = x->B * x->T, width = x->NH * x->hd;
        trial t = {.arrays = {nan_array(x->T * x->rot), padded_array(N, width, x->ld, 1, 1), nan_array(N * x->NH),
                              padded_array(N, width, x->ld, 2, 1), padded_array(N, width, x->ld, 3, 1), random_array(N * x->NH, 4, 1),
                              padded_array(N, width, x->ld, 5, 1), padded_array(N, width, x->ld, 6, 1)},
                   .n_arrays = 8};
        t.arrays[3].scale = 4;
        compare_narrow(&t, 1u << 1 | 1u << 3 | 1u << 4 | 1u << 6 | 1u << 7, run_rotary, x);
    }
}

/* ---- losses ---- */

typedef struct loss {
    size_t N, V;
    double scale;
} loss;

enum { MOST_ROWS = 300 };

static dn_ids *targets_of(dn_stream *s, const loss *x)
{
    int32_t targets[MOST_ROWS];
    for (size_t i = 0; i < x->N; i++)
        targets[i] = i % 9 == 8 ? -1 : (int32_t)(i * 7919 % x->V);
    return device_ids(s, targets, x->N);
}

/* logits; host: the loss */
static void run_loss(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const loss *x = context;
    dn_ids *ids = targets_of(s, x);
    host[0] = 1;
    s->kernels->cross_entropy(s, host, b[0], ids, x->N, x->V, x->scale);
    if (x->scale == 0)
        s->kernels->fill(s, b[0], x->N * x->V, 0); /* undefined */
    free_ids(s, ids, x->N);
}

/* The last has more rows than go at a time. */
static void cross_entropy_agrees(void **state)
{
    static const loss losses[] = {{1, 1, 1}, {3, 5, 1}, {20, 1032, 0.01}, {9, 129, 0}, {0, 8, 1}, {258, 50304, 1}};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        const loss *x = &losses[i];
        trial t = {.arrays = {random_array(x->N * x->V, 1, 5)}, .n_arrays = 1, .n_host = 1, .host_tolerance = 50 * DN_REAL_EPS};
        t.arrays[0].ulps = 50;
        t.arrays[0].scale = x->scale / (double)x->V;
        compare_narrow(&t, 1, run_loss, x);
    }
}

/* Of the words from 3 on: logits, part | exponentials, part; host: the loss. */
static void run_parts(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const loss *x = context;
    const dn_vocab_shard words = {3, x->V - 3};
    const dn_buf *parts[] = {b[3]};
    dn_ids *ids = targets_of(s, x);
    host[0] = 1;
    s->kernels->cross_entropy_part(s, b[1], b[0], ids, &words, x->N);
    s->kernels->cross_entropy_join(s, host, b[2], parts, 1, 0, ids, &words, x->N, x->scale);
    free_ids(s, ids, x->N);
}

static void parts_of_cross_entropy_agree(void **state)
{
    static const loss losses[] = {{3, 5, 1}, {20, 1035, 0.01}, {9, 129, 0.5}};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        const loss *x = &losses[i];
        size_t n = x->N * (x->V - 3);
        trial t = {.arrays = {random_array(n, 1, 5), nan_array(3 * x->N), random_array(n, 2, 1), random_array(3 * x->N, 3, 1)},
                   .n_arrays = 4,
                   .n_host = 1,
                   .host_tolerance = 50 * DN_REAL_EPS};
        for (size_t k = 0; k < n; k++)
            t.arrays[2].start[k] = (dn_real)exp(-fabs((double)t.arrays[2].start[k]));
        for (size_t k = 0; k < x->N; k++)
            t.arrays[3].start[3 * k + 1] = (dn_real)(1 + fabs((double)t.arrays[3].start[3 * k + 1])); /* a sum of exponentials */
        t.arrays[0].ulps = t.arrays[2].ulps = 50;
        t.arrays[1].ulps = 50 + (double)x->V;
        compare_narrow(&t, 1u << 0 | 1u << 2, run_parts, x);
    }
}

/* ---- products ---- */

typedef struct product {
    dn_trans ta, tb;
    size_t m, n, k, lda, ldb;
    bool add;
} product;

static void run_product(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const product *p = context;
    s->kernels->gemm_layer(s, p->ta, p->tb, p->m, p->n, p->k, b[0], p->lda, b[1], p->ldb, p->add, b[2], p->n + 1);
}

/* A, B and C narrow or not, each; rows of operands of whole 16 bytes, which are multiplied as they lie, and others. */
static void products_agree(void **state)
{
    static const size_t sizes[][3] = {{1, 1, 1}, {5, 7, 3}, {33, 17, 65}, {16, 24, 40}, {0, 3, 2}, {4, 3, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (unsigned of = 0; of < 64; of++) {
            product p = {.ta = of & 1 ? DN_T : DN_N, .tb = of & 2 ? DN_T : DN_N, .m = sizes[i][0], .n = sizes[i][1], .k = sizes[i][2], .add = of & 4};
            size_t a_rows = p.ta == DN_N ? p.m : p.k, a_cols = p.ta == DN_N ? p.k : p.m, b_rows = p.tb == DN_N ? p.k : p.n,
                   b_cols = p.tb == DN_N ? p.n : p.k;
            p.lda = (a_cols + 7) / 8 * 8 + (i % 2 ? 0 : 8);
            p.ldb = b_cols + (i < 3);
            trial t = {.arrays = {padded_array(a_rows, a_cols, p.lda, 1, 1), padded_array(b_rows, b_cols, p.ldb, 2, 1),
                                  padded_array(p.m, p.n, p.n + 1, 3, 1)},
                       .n_arrays = 3};
            for (size_t a = 0; a < 2; a++)
                for (size_t j = 0; j < t.arrays[a].n; j++) { /* what is not narrow is rounded on its way */
                    t.arrays[a].start[j] = (dn_real)of_bf16(nearest_bf16((double)t.arrays[a].start[j]));
                    t.arrays[a].kept[j] = true;
                }
            for (size_t j = 0; !p.add && j < t.arrays[2].n; j++)
                t.arrays[2].start[j] = (dn_real)NAN;
            t.arrays[2].ulps = 8 * ((double)p.k + 1);
            compare_narrow(&t, of >> 3, run_product, &p);
        }
}

TESTS(narrow)
{
    dn_blas_tune(argv);
    const struct CMUnitTest handles[] = {
        cmocka_unit_test(a_narrow_handle_says_so_wherever_it_points),
        cmocka_unit_test(only_mixed_precision_of_gpus_in_float_keeps_activations_in_bfloat16),
    };
    const struct CMUnitTest kernels[] = {
        cmocka_unit_test(a_narrow_handle_says_so_wherever_it_points),
        cmocka_unit_test(only_mixed_precision_of_gpus_in_float_keeps_activations_in_bfloat16),
        cmocka_unit_test(norms_agree),
        cmocka_unit_test(biases_and_gains_agree),
        cmocka_unit_test(activations_agree),
        cmocka_unit_test(rotary_positions_agree),
        cmocka_unit_test(cross_entropy_agrees),
        cmocka_unit_test(parts_of_cross_entropy_agree),
        cmocka_unit_test(products_agree),
    };
    return narrow_backend() ? cmocka_run_group_tests(kernels, NULL, NULL) : cmocka_run_group_tests(handles, NULL, NULL);
}
