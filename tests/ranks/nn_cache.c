/*
 * Generation with a cache against the whole window, which knows none: logits of every position, of every
 * architecture, filled in chunks and token by token, several sequences at their own positions, on meshes of tp.
 */
#include "support/cut_model.h"
#include "support/device.h"
#include "support/drawn_spec.h"
#include "support/full.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <string.h>

typedef struct scenario {
    const char *kernels;
    dn_spec shape;
    size_t B;
    int size[DN_N_AXES];
    bool weights_bf16, cache_bf16;
} scenario;

/* Of the largest logit: the whole window's products and sums round in another order, in a few layers. */
static const double tolerance = sizeof(dn_real) == sizeof(float) ? 2e-5 : 1e-12;

/* The same with keys and values in bfloat16: each is off by 2^-9 of itself at most, which makes as much of the scores, and as much
 * again of what they weigh, in each layer. */
static double tolerance_of(const scenario *s)
{
    return s->cache_bf16 ? (double)s->shape.L * 0x1p-8 : tolerance;
}

/* What the whole window says of each position. */
typedef struct expected {
    const scenario *s;
    model whole;
    dn_real *logits; /* [B][T][V] */
    double largest;
} expected;

/* Other vectors than 0 and 1. */
static void set_vectors(dn_stream *stream, const dn_param *params, size_t n)
{
    for (size_t p = 0; p < n; p++)
        if (params[p].kind == DN_PARAM_VECTOR)
            stream->kernels->fill(stream, params[p].weight, dn_param_size(&params[p]), 0.2 * (double)(p % 7 + 1));
}

/* To bfloat16, what products read: of numbers of 8 bits of fraction the nearest, by frexp and rint. */
static void round_weights(const model *m)
{
    for (size_t p = 0; p < m->n_params; p++) {
        const dn_param *param = &m->params[p];
        size_t n = dn_param_size(param);
        dn_real *x = calloc(n + 1, sizeof *x);
        bool read = param->kind == DN_PARAM_MATRIX || param->kind == DN_PARAM_HEAD || (p == 0 && m->spec.tied == DN_YES);
        dn_download(m->stream, x, param->weight, n);
        must(dn_stream_sync(m->stream));
        for (size_t i = 0; i < n && read; i++) {
            int exponent;
            double fraction = frexp((double)x[i], &exponent);
            x[i] = (dn_real)ldexp(rint(ldexp(fraction, 8)), exponent - 8);
        }
        dn_upload(m->stream, param->weight, x, n);
        must(dn_stream_sync(m->stream));
        free(x);
    }
}

static expected expect(const scenario *s)
{
    size_t T = s->shape.T, V = s->shape.V;
    expected e = {.s = s, .whole = model_create(s->kernels, 1, s->shape, s->B)};
    set_vectors(e.whole.stream, e.whole.params, e.whole.n_params);
    if (s->weights_bf16)
        round_weights(&e.whole);
    e.logits = calloc(s->B * T * V, sizeof *e.logits);
    for (size_t b = 0; b < s->B; b++)
        model_logits(&e.whole, e.whole.tokens + b * T, e.logits + b * T * V);
    for (size_t i = 0; i < s->B * T * V; i++)
        e.largest = larger(e.largest, fabs((double)e.logits[i]));
    return e;
}

/* The same bits on all ranks, and the whole window's logits behind position t of what sequence b holds. */
static int check(dn_comm *comm, const expected *e, const dn_real *logits, size_t b, size_t t)
{
    enum { V_MAX = 64 };
    size_t V = e->s->shape.V;
    double least[V_MAX], most[V_MAX];
    RANKS_CHECK(V <= V_MAX);
    for (size_t i = 0; i < V; i++)
        least[i] = most[i] = (double)logits[i];
    must(dn_comm_all_reduce_scalars(comm, least, V, DN_MIN)); /* together: ranks wait for each other in each call */
    must(dn_comm_all_reduce_scalars(comm, most, V, DN_MAX));
    for (size_t i = 0; i < V; i++) {
        RANKS_CHECK(least[i] == most[i]);
        RANKS_CLOSE(least[i], (double)e->logits[(b * e->s->shape.T + t) * V + i], tolerance_of(e->s) * e->largest);
    }
    return 0;
}

static int fill_in_chunks(dn_comm *comm, const expected *e, const cut_model *cut, size_t chunk, dn_real *logits)
{
    size_t T = e->s->shape.T;
    int failed = 0;
    for (size_t b = e->s->B; b-- > 0 && !failed;)
        for (size_t t = 0; t < T && !failed; t += chunk) {
            size_t n = dn_min(chunk, T - t);
            must(dn_model_prefill(cut->model, b, t, e->whole.tokens + b * T + t, n, logits));
            failed = check(comm, e, logits, b, t + n - 1);
        }
    return failed;
}

/* Sequence b begins with 1 + b tokens, and so ends before the earlier ones. */
static int go_on_together(dn_comm *comm, const expected *e, const cut_model *cut, dn_real *logits)
{
    size_t T = e->s->shape.T, B = e->s->B;
    int32_t tokens[8];
    dn_cache_row rows[8];
    int failed = 0;
    for (size_t b = 0; b < B; b++)
        must(dn_model_prefill(cut->model, b, 0, e->whole.tokens + b * T, 1 + b, NULL));
    for (size_t step = 0; step + 1 < T && !failed; step++) {
        size_t n = 0;
        for (size_t b = B; b-- > 0;)
            if (1 + b + step < T) {
                rows[n] = (dn_cache_row){b, 1 + b + step};
                tokens[n++] = e->whole.tokens[b * T + 1 + b + step];
            }
        must(dn_model_decode(cut->model, rows, tokens, n, logits));
        for (size_t i = 0; i < n && !failed; i++)
            failed = check(comm, e, logits + i * e->s->shape.V, rows[i].sequence, rows[i].position);
    }
    return failed;
}

/* The last sequence becomes the first one after half of it, and goes on as that. */
static int go_on_as_another(dn_comm *comm, const expected *e, const cut_model *cut, dn_real *logits)
{
    size_t half = e->s->shape.T / 2;
    const dn_cache_row row = {e->s->B - 1, half};
    must(dn_model_prefill(cut->model, 0, 0, e->whole.tokens, half, NULL));
    must(dn_model_fork(cut->model, 0, e->s->B - 1));
    must(dn_model_prefill(cut->model, 0, 0, e->whole.tokens + 1, half, NULL));
    must(dn_model_decode(cut->model, &row, e->whole.tokens + half, 1, logits));
    return check(comm, e, logits, 0, half);
}

static int compare(dn_comm *comm, void *argument)
{
    const scenario *s = argument;
    expected e = expect(s);
    cut_model cut = cut_model_create_with(comm, s->size, s->kernels, s->shape, 0, s->B, s->cache_bf16, DN_WEIGHTS_IN_PLACE);
    bool rounded;
    dn_real *logits = calloc(s->B * s->shape.V, sizeof *logits);
    set_vectors(cut.stream, cut.params, cut.n_params);
    if (s->weights_bf16)
        must(dn_weights_narrow(cut.in_pieces, cut.spec.tied == DN_YES, &rounded));
    must(dn_comm_barrier(comm));
    const size_t chunks[] = {1, 7, s->shape.T};
    int failed = 0;
    for (int i = 0; i < 3 && !failed; i++)
        failed = fill_in_chunks(comm, &e, &cut, chunks[i], logits);
    if (!failed)
        failed = go_on_together(comm, &e, &cut, logits);
    if (!failed && s->B > 1)
        failed = go_on_as_another(comm, &e, &cut, logits);
    cut_model_destroy(&cut);
    model_destroy(&e.whole);
    free(e.logits);
    free(logits);
    return failed;
}

static void run(scenario *s)
{
    ranks_spec spec = {.kind = AS_THREADS,
                       .n_ranks = s->size[DN_TP],
                       .arena_bytes = cut_model_heap_bytes_with(s->shape, 0, s->B, s->size, DN_WEIGHTS_IN_PLACE)};
    char text[512];
    if (ranks_run(&spec, compare, s, NULL) != 0)
        fail_msg("%s; tp %d, %zu sequences, kernels %s%s%s", drawn_text(&s->shape, text), s->size[DN_TP], s->B, s->kernels,
                 s->weights_bf16 ? ", weights in bfloat16" : "", s->cache_bf16 ? ", cache in bfloat16" : "");
}

/* Heads, hidden columns and words that divide unevenly; keys and values that query heads share; biases. */
static const dn_spec shapes[] = {
    {.V = 13, .T = 9, .C = 12, .L = 2, .attention.NH = 2},
    {.V = 37,
     .T = 17,
     .C = 24,
     .L = 2,
     .attention = {.NH = 6, .NKV = 2, .qkv_bias = true, .o_bias = true},
     .mlp.bias = true},
};

static void a_cache_gives_the_logits_of_the_whole_window(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (int tp = 1; tp <= 3; tp++)
            for (size_t B = 1; B <= 5; B += 4) {
                scenario s = {"cpu", shapes[i], B, {1, 1, tp}, false, false};
                const dn_attention_spec heads = s.shape.attention, no_heads = {.NH = heads.NH};
                for (size_t k = 0; (s.shape.architecture = dn_architecture_at(k)); k++) {
                    s.shape.attention = s.shape.architecture->attention ? heads : no_heads;
                    if (full_run() || tp != 2 || B == 5)
                        run(&s);
                }
            }
}

/* With channels of stages within it (nn/channel.h): each position chooses what it keeps by itself. */
static void a_model_trained_in_stages_generates_as_it_computes(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 2; tp++) {
        scenario s = {"cpu", shapes[0], 3, {1, 1, tp}, false, false};
        const dn_attention_spec heads = s.shape.attention, no_heads = {.NH = heads.NH};
        s.shape.n_channels = 2;
        s.shape.channels[0] = (dn_channel){0, 5};
        s.shape.channels[1] = (dn_channel){1, 7};
        for (size_t k = 0; (s.shape.architecture = dn_architecture_at(k)); k++) {
            s.shape.attention = s.shape.architecture->attention ? heads : no_heads;
            run(&s);
        }
    }
}

/* One of each architecture in the short tier. */
static void a_cache_gives_the_logits_of_drawn_models(void **state)
{
    (void)state;
    const dn_architecture *architecture;
    for (size_t k = 0; (architecture = dn_architecture_at(k)); k++)
        for (size_t n = 0; n < (full_run() ? 30 : 1); n++) {
            scenario s = {n % 2 ? "ref" : "cpu", drawn_spec(architecture, 100 * k + n), 1, {1, 1, 1 + (int)((k + n) % 3)},
                          n % 2, false};
            s.B = dn_min(1 + (k + n) % 5, s.shape.T); /* the last begins with as many tokens */
            run(&s);
        }
}

/* Weights: as the whole window with rounded ones. Of each architecture, on the mesh that cuts unevenly. */
static void weights_and_cache_may_be_of_bfloat16(void **state)
{
    (void)state;
    for (int tp = full_run() ? 1 : 3; tp <= 3; tp += 2)
        for (int narrow = 1; narrow < 4; narrow++) {
            scenario s = {"cpu", shapes[1], full_run() ? 5 : 2, {1, 1, tp}, narrow & 1, narrow & 2};
            const dn_attention_spec heads = s.shape.attention, no_heads = {.NH = heads.NH};
            for (size_t k = 0; (s.shape.architecture = dn_architecture_at(k)); k++) {
                s.shape.attention = s.shape.architecture->attention ? heads : no_heads;
                if (full_run() || narrow < 3)
                    run(&s);
            }
        }
}

/* And what is of that type already, is left alone. */
static void rounding_is_told_from_none(void **state)
{
    (void)state;
    for (int already = 0; already < 2; already++) {
        model m = model_create_cached("cpu", 1, shapes[1], 1);
        bool rounded;
        if (already)
            round_weights(&m);
        must(dn_weights_narrow(m.in_pieces, m.spec.tied == DN_YES, &rounded));
        assert_int_equal(rounded, !already);
        model_destroy(&m);
    }
}

static void a_cache_in_bfloat16_takes_half(void **state)
{
    (void)state;
    const dn_spec spec = whole_spec(shapes[1]);
    size_t more[2], position = 2 * spec.L * spec.attention.NKV * spec.attention.hd;
    for (int narrow = 0; narrow < 2; narrow++)
        more[narrow] = dn_model_cache_bytes(&spec, 128, narrow, 1) - dn_model_cache_bytes(&spec, 64, narrow, 1);
    assert_int_equal(more[0] - more[1], 64 * spec.T * position * (sizeof(dn_real) - sizeof(uint16_t)));
}

static void a_place_outside_the_cache_is_refused(void **state)
{
    (void)state;
    model m = model_create_cached("ref", 1, shapes[0], 2);
    dn_real logits[2 * 13];
    const dn_cache_row rows[][2] = {{{0, 0}, {2, 0}}, {{0, 9}, {1, 0}}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(dn_model_decode(m.model, rows[i], m.tokens, 2, logits), DN_ERR_ARG);
    assert_int_equal(dn_model_decode(m.model, rows[0], m.tokens, 3, logits), DN_ERR_ARG);
    assert_int_equal(dn_model_prefill(m.model, 0, 7, m.tokens, 3, logits), DN_ERR_ARG);
    assert_int_equal(dn_model_prefill(m.model, 0, 0, m.tokens, 0, logits), DN_ERR_ARG);
    assert_int_equal(dn_model_fork(m.model, 0, 2), DN_ERR_ARG);
    m.tokens[1] = 13;
    assert_int_equal(dn_model_prefill(m.model, 0, 0, m.tokens, 2, logits), DN_ERR_DATA);
    model_destroy(&m);
}

TESTS(nn_cache)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_trained_in_stages_generates_as_it_computes),
        cmocka_unit_test(a_cache_gives_the_logits_of_the_whole_window),
        cmocka_unit_test(a_cache_gives_the_logits_of_drawn_models),
        cmocka_unit_test(weights_and_cache_may_be_of_bfloat16),
        cmocka_unit_test(rounding_is_told_from_none),
        cmocka_unit_test(a_cache_in_bfloat16_takes_half),
        cmocka_unit_test(a_place_outside_the_cache_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
