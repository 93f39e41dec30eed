/* The whole GPT: causality, micro-batches, chunks of logits, the next token, and bad input. */
#include "support/close.h"
#include "support/tests.h"

#include <string.h>

#include "support/model.h"

static const dn_spec small = {.V = 11, .T = 7, .C = 12, .L = 2, .attention.NH = 3};

static double whole_loss(model *m)
{
    double loss = 0;
    must(dn_model_loss(m->model, m->tokens, m->targets, m->B, &loss));
    return loss;
}

/* Trains on the whole micro-batch once; returns all gradients, owned by the caller. */
static dn_real *gradients_of(model *m, double scale)
{
    double loss = 0;
    m->stream->kernels->fill(m->stream, m->params[0].grad, m->n_elements, 0);
    must(dn_model_train(m->model, m->tokens, m->targets, m->B, scale, &loss));
    return host_copy(m->stream, m->params[0].grad, m->n_elements);
}

/* Exactly: no arithmetic of an earlier position may touch a later one. */
static void a_later_token_changes_nothing_before_it(void **state)
{
    (void)state;
    model m = model_create("ref", 1, small, 2);
    size_t C = small.C, N = m.B * small.T, changed = 4;
    whole_loss(&m);
    dn_real *before = host_copy(m.stream, head_of(m.model)->norm.n, N * C);
    m.tokens[changed] = (m.tokens[changed] + 1) % (int32_t)small.V;
    whole_loss(&m);
    dn_real *after = host_copy(m.stream, head_of(m.model)->norm.n, N * C);

    for (size_t t = 0; t < N; t++) {
        bool same = memcmp(before + t * C, after + t * C, C * sizeof *before) == 0;
        bool may_change = t >= changed && t < small.T; /* the second sequence begins at T */
        assert_int_equal(same, !may_change);
    }
    free(before);
    free(after);
    model_destroy(&m);
}

static void two_halves_of_a_micro_batch_add_up_to_the_whole(void **state)
{
    (void)state;
    model m = model_create("ref", 1, small, 4);
    double whole = 0, halves = 10; /* both are added to what was there */
    dn_real *expected = gradients_of(&m, 0.25);
    must(dn_model_loss(m.model, m.tokens, m.targets, 4, &whole));

    m.stream->kernels->fill(m.stream, m.params[0].grad, m.n_elements, 0);
    for (size_t half = 0; half < 2; half++) {
        size_t first = half * 2 * small.T;
        must(dn_model_train(m.model, m.tokens + first, m.targets + first, 2, 0.25, &halves));
    }
    dn_real *sum = host_copy(m.stream, m.params[0].grad, m.n_elements);
    /* The same 28 terms in another grouping: at most 28 roundings of the largest partial sum. */
    assert_below(difference(sum, expected, m.n_elements), 28 * DN_REAL_EPS);
    assert_close(halves - 10, whole, 28 * DN_REAL_EPS * whole);
    free(expected);
    free(sum);
    model_destroy(&m);
}

static void rows_of_logits_held_at_a_time_change_rounding_only(void **state)
{
    (void)state;
    model m = model_create("ref", 1, small, 2);
    double whole = whole_loss(&m);
    dn_real *expected = gradients_of(&m, 1);
    head_of(m.model)->logits_rows = 5; /* 5, 5, 4 */
    assert_true(whole_loss(&m) == whole);
    dn_real *chunked = gradients_of(&m, 1);
    assert_below(difference(chunked, expected, m.n_elements), 14 * DN_REAL_EPS);
    free(expected);
    free(chunked);
    model_destroy(&m);
}

static void chunks_of_logits_are_equal_and_keep_to_the_budget(void **state)
{
    (void)state;
    dn_spec gpt2 = {.V = 50304, .T = 1024, .C = 768, .L = 12, .attention.NH = 6};
    size_t rows = dn_head_rows(&gpt2, 1, 1024);
    size_t chunks = (1024 + rows - 1) / rows;
    assert_true(rows * gpt2.V * sizeof(dn_real) <= 64 << 20);
    assert_true((rows + 32) * gpt2.V * sizeof(dn_real) > 48 << 20);
    assert_true(chunks * rows - 1024 < chunks);
    assert_int_equal(dn_head_rows(&small, 1, 14), 14);
}

/* -log p of the last position, from its logits, is what the loss grows by with that position. */
static void check_next(const dn_architecture *architecture)
{
    dn_spec spec = small;
    spec.architecture = architecture;
    model m = model_create("ref", 1, spec, 2), cached = model_create_cached("ref", 1, spec, 2);
    double sum = 0, expected = 0;
    must(dn_model_loss(m.model, m.tokens, m.targets, 1, &expected));
    for (size_t n = 1; n <= small.T; n++) {
        dn_real logits[11];
        must(dn_model_prefill(cached.model, 0, 0, m.tokens, n, logits));
        double exponentials = 0;
        for (size_t v = 0; v < 11; v++)
            exponentials += exp((double)logits[v]);
        sum += log(exponentials) - (double)logits[m.targets[n - 1]];
    }
    /* Seven losses of order 1 to 10, each good to a few eps of a logit. */
    assert_close(sum, expected, 64 * DN_REAL_EPS * expected);
    model_destroy(&cached);
    model_destroy(&m);
}

static void next_gives_the_logits_that_the_loss_is_made_of(void **state)
{
    (void)state;
    const dn_architecture *architecture;
    for (size_t i = 0; (architecture = dn_architecture_at(i)); i++)
        check_next(architecture);
}

/* Zero weights in the head give every word the same probability. */
static dn_status count(void *context, bool together)
{
    ++((int *)context)[together];
    return DN_OK;
}

static dn_status count_down(void *context, bool together)
{
    return together && --*(int *)context == 0 ? DN_ERR_ARG : DN_OK;
}

static void progress_is_told_once_a_layer_and_direction_and_chunk(void **state)
{
    (void)state;
    int calls[2] = {0};
    double loss = 0;
    model m = model_create("ref", 1, small, 2);
    dn_model_on_progress(m.model, count, calls);
    must(dn_model_train(m.model, m.tokens, m.targets, 2, 1, &loss));
    assert_int_equal(calls[true], 2 * small.L);
    assert_int_equal(calls[false], 1); /* so small a model has one chunk */
    must(dn_model_train(m.model, m.tokens, m.targets, 0, 1, &loss));
    assert_int_equal(calls[true], 4 * small.L); /* with no rows the ranks still pass their layers together */
    assert_int_equal(calls[false], 1);
    model_destroy(&m);
}

static void a_pass_ends_where_progress_says_so(void **state)
{
    (void)state;
    model m = model_create("ref", 1, small, 2);
    for (int last = 1; last <= (int)(2 * small.L); last++) {
        int left = last;
        double loss = 0;
        dn_model_on_progress(m.model, count_down, &left);
        assert_int_equal(dn_model_train(m.model, m.tokens, m.targets, 2, 1, &loss), DN_ERR_ARG);
        assert_int_equal(left, 0);
        assert_true(loss == 0);
    }
    model_destroy(&m);
}

static void a_head_of_zeros_costs_log_v_a_token(void **state)
{
    (void)state;
    model m = model_create("ref", 1, small, 2);
    const dn_param *head = &m.params[m.n_params - 1];
    m.stream->kernels->fill(m.stream, head->weight, dn_param_size(head), 0);
    assert_close(whole_loss(&m), 14 * log(11), 14 * log(11) * 4 * DN_REAL_EPS);
    model_destroy(&m);
}

static void bad_input_is_refused_and_says_what_and_where(void **state)
{
    (void)state;
    model m = model_create("ref", 1, small, 2);
    double loss = 0;
    assert_int_equal(dn_model_loss(m.model, m.tokens, m.targets, 3, &loss), DN_ERR_ARG);
    assert_int_equal(dn_model_train(m.model, m.tokens, m.targets, 2, 0, &loss), DN_ERR_ARG);
    m.targets[13] = 11;
    assert_int_equal(dn_model_train(m.model, m.tokens, m.targets, 2, 1, &loss), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "target 11 at position 13"));
    m.tokens[2] = -1;
    assert_int_equal(dn_model_loss(m.model, m.tokens, m.targets, 1, &loss), DN_ERR_DATA);
    assert_true(loss == 0);

    dn_model *none = NULL;
    dn_model_parts parts = {.B = 2, .n_slots = 1, .params = m.params, .weights = m.in_pieces, .tp = m.alone, .stream = m.stream};
    parts.B = 0;
    assert_int_equal(dn_model_create(&m.spec, &parts, &none), DN_ERR_CONFIG);
    parts.B = (size_t)1 << 31;
    assert_int_equal(dn_model_create(&m.spec, &parts, &none), DN_ERR_CONFIG);
    assert_null(none);
    dn_model_destroy(&none);
    model_destroy(&m);
}

TESTS(nn_gpt)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_token_changes_nothing_before_it),
        cmocka_unit_test(two_halves_of_a_micro_batch_add_up_to_the_whole),
        cmocka_unit_test(rows_of_logits_held_at_a_time_change_rounding_only),
        cmocka_unit_test(chunks_of_logits_are_equal_and_keep_to_the_budget),
        cmocka_unit_test(next_gives_the_logits_that_the_loss_is_made_of),
        cmocka_unit_test(progress_is_told_once_a_layer_and_direction_and_chunk),
        cmocka_unit_test(a_pass_ends_where_progress_says_so),
        cmocka_unit_test(a_head_of_zeros_costs_log_v_a_token),
        cmocka_unit_test(bad_input_is_refused_and_says_what_and_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
