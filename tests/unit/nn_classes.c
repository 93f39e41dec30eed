/* A head of classes: its scores, its loss and all gradients below it, and what a frozen model keeps under it. */
#include "support/tests.h"

#include "base/random.h"
#include "support/differences.h"

#include <string.h>

enum { CLASSES = 5, B = 3 };

static const dn_spec small = {.V = 11, .T = 7, .C = 12, .L = 2, .attention.NH = 3, .classes = CLASSES};

/* Sequence b has class `class` at position 6, 3, 0. */
static model labelled(dn_spec spec)
{
    model m = model_create("ref", 1, spec, B);
    for (size_t i = 0; i < B * spec.T; i++)
        m.targets[i] = -1;
    for (size_t b = 0; b < B; b++)
        m.targets[b * spec.T + 6 - 3 * b] = (int32_t)((b + 2) % CLASSES);
    draw_adapters(m.stream, m.params, m.n_params);
    for (size_t p = 0; p < m.n_params; p++) /* what begins as 0 of a side module, so that it counts */
        if (strcmp(m.params[p].tensor.name, "sherl.gamma.bias") == 0)
            m.stream->kernels->fill(m.stream, m.params[p].weight, 1, 0.03);
    return m;
}

static double loss_of_all(void *context)
{
    model *m = context;
    double loss = 0;
    must(dn_model_loss(m->model, m->tokens, m->targets, B, &loss));
    return loss;
}

/* Of the gate of a side module, tanh(10 gamma), which moves ten times as fast as gamma: by a tenth of the step, so that the cubic
 * term is no larger than elsewhere. */
static double gate_error(const loss_of *f, dn_buf *gamma, double gradient)
{
    const dn_real one = 1;
    dn_real *at = host_copy(f->stream, gamma, 1);
    double slope = difference_along(f, gamma, at, &one, 1, 1e-6);
    free(at);
    return fabs(slope - gradient) / larger(fabs(gradient), 1e-2);
}

static void check_gradients(dn_spec spec)
{
    model m = labelled(spec);
    loss_of f = {loss_of_all, &m, m.stream};
    double loss = 0;
    must(dn_model_train(m.model, m.tokens, m.targets, B, 1.5, &loss));
    must(dn_model_train(m.model, m.tokens, m.targets, B, -0.5, &loss));
    for (size_t p = 0; p < m.n_params; p++) {
        assert_int_equal(m.params[p].frozen, m.params[p].grad == NULL);
        if (m.params[p].frozen)
            continue;
        const dn_param *param = &m.params[p];
        dn_real *g = host_copy(m.stream, param->grad, dn_param_size(param));
        bool gate = strcmp(param->tensor.name, "sherl.gamma.bias") == 0;
        assert_below(gate ? gate_error(&f, param->weight, (double)g[0])
                          : gradient_error(&f, param->weight, g, dn_param_size(param), 48), DIFFERENCE_TOLERANCE);
        free(g);
    }
    assert_true(loss == 2 * loss_of_all(&m));
    model_destroy(&m);
}

/* Of all weights; of the head alone; of adapters and the head; of a prefix in each attention and the head, and all weights
 * besides; of a prefix in the second block alone; of a side module and the head: with every architecture, so tied embeddings, too. */
static void gradients_are_those_of_central_differences(void **state)
{
    const dn_architecture *architecture;
    for (size_t i = 0; (architecture = dn_architecture_at(i)); i++) {
        dn_spec spec = small;
        spec.architecture = architecture;
        check_gradients(spec);
        spec.trained = (dn_globs){1, {"score.weight"}};
        check_gradients(spec);
        spec.lora = (dn_lora_spec){.rank = 2, .scale = 1.5, .roles = 0x7f};
        if (architecture->attention)
            check_gradients(spec);
        spec.lora = (dn_lora_spec){0};
        spec.prompt = 3;
        if (architecture->attention)
            check_gradients(spec);
        spec.trained = (dn_globs){0};
        if (architecture->attention)
            check_gradients(spec);
        spec.trained = (dn_globs){1, {"score.weight"}};
        spec.unprompted = 1;
        if (architecture->attention)
            check_gradients(spec);
        spec.prompt = spec.unprompted = 0;
        spec.sherl = 4;
        for (spec.L = 1; spec.L <= 3; spec.L++)
            check_gradients(spec);
    }
}

static void take_weights(const model *to, const model *from)
{
    for (size_t p = 0; p < to->n_params; p++)
        for (size_t q = 0; q < from->n_params; q++)
            if (strcmp(to->params[p].tensor.name, from->params[q].tensor.name) == 0)
                to->stream->kernels->copy(to->stream, to->params[p].weight, from->params[q].weight, dn_param_size(&to->params[p]));
}

/* What the first of two blocks puts out is what a model of this block alone normalizes for its head: up to its length, to the rounding of
 * some 12 numbers. */
static void what_a_block_puts_out_is_kept(void **state)
{
    dn_spec spec = small;
    spec.outputs = true;
    model two = labelled(spec);
    spec.L = 1;
    model one = labelled(spec);
    take_weights(&one, &two);
    dn_real scores[B * CLASSES];
    const dn_buf *y;
    must(dn_model_classify(two.model, two.tokens, two.targets, B, scores, NULL));
    must(dn_model_classify(one.model, two.tokens, two.targets, B, scores, &y));
    dn_real *kept = host_copy(two.stream, dn_model_output(two.model, 1), B * small.T * small.C), *normalized = host_copy(one.stream, y, B * small.C);
    for (size_t b = 0; b < B; b++) {
        const dn_real *x = kept + (b * small.T + 6 - 3 * b) * small.C, *n = normalized + b * small.C;
        double length = 0, of_norm = 0;
        for (size_t c = 0; c < small.C; c++) {
            length += (double)x[c] * (double)x[c];
            of_norm += (double)n[c] * (double)n[c];
        }
        for (size_t c = 0; c < small.C; c++)
            assert_close((double)x[c] / sqrt(length), (double)n[c] / sqrt(of_norm), 1e-13);
    }
    free(kept);
    free(normalized);
    model_destroy(&one);
    model_destroy(&two);
}

/* -log softmax(scores)[class], summed, from the scores alone. */
static void the_loss_is_that_of_the_scores(void **state)
{
    model m = labelled(small);
    dn_real scores[B * CLASSES];
    must(dn_model_classify(m.model, m.tokens, m.targets, B, scores, NULL));
    double expected = 0, loss = loss_of_all(&m);
    for (size_t b = 0; b < B; b++) {
        double sum = 0;
        for (size_t k = 0; k < CLASSES; k++)
            sum += exp((double)scores[b * CLASSES + k]);
        expected += log(sum) - (double)scores[b * CLASSES + (b + 2) % CLASSES];
    }
    assert_close(loss, expected, 1e-12); /* a sum of 5 exponentials, in double */
    model_destroy(&m);
}

/* What stands behind a label, and how long rows are, changes no bit; nor does what else is in the micro-batch. */
static void what_fills_a_row_up_is_not_seen(void **state)
{
    model m = labelled(small);
    dn_real scores[B * CLASSES], others[CLASSES];
    must(dn_model_classify(m.model, m.tokens, m.targets, B, scores, NULL));
    int32_t tokens[4], targets[4] = {-1, -1, -1, 0};
    for (size_t t = 0; t < 4; t++)
        tokens[t] = m.tokens[7 + t];
    dn_model_set_length(m.model, 4);
    must(dn_model_classify(m.model, tokens, targets, 1, others, NULL));
    for (size_t k = 0; k < CLASSES; k++)
        assert_close((double)others[k], (double)scores[CLASSES + k], 1e-13); /* products of other sizes round otherwise */
    model_destroy(&m);
}

static void two_labels_in_a_sequence_or_a_class_too_many_are_refused(void **state)
{
    model m = labelled(small);
    double loss = 0;
    m.targets[0] = CLASSES;
    assert_int_equal(dn_model_loss(m.model, m.tokens, m.targets, B, &loss), DN_ERR_DATA);
    m.targets[0] = 0;
    assert_int_equal(dn_model_loss(m.model, m.tokens, m.targets, B, &loss), DN_ERR_DATA);
    m.targets[0] = m.targets[6] = -1; /* a sequence without one is none */
    assert_int_equal(dn_model_loss(m.model, m.tokens, m.targets, B, &loss), DN_OK);
    model_destroy(&m);
}

/* By hand: of blocks that are frozen, with nothing trained below, all keep what they keep in one place, as large as one
 * layer's: of attention n [N,C], rstd [N], q, k, v [N,3C], two rstd of heads, o [N,C], lse. The rest is padding, less than
 * one alignment for each part. */
static void frozen_blocks_keep_what_one_layer_does(void **state)
{
    dn_spec spec = {.V = 50, .T = 16, .C = 32, .L = 5, .attention.NH = 4, .classes = CLASSES};
    const dn_spec all = whole_spec(spec);
    spec.trained = (dn_globs){1, {"score.weight"}};
    const dn_spec head = whole_spec(spec);
    size_t N = 3 * 16, C = 32, NH = 4;
    size_t attention = 5 * N * C + N + 3 * N * NH, mlp = 5 * N * C + N, blocks = 5 * (attention + mlp);
    size_t saved = dn_model_activation_bytes(&all, 3, 1, 1) - dn_model_activation_bytes(&head, 3, 1, 1);
    size_t expected = (blocks - (attention > mlp ? attention : mlp)) * sizeof(dn_real);
    assert_true(saved + 60 * DN_ARENA_ALIGN > expected && saved < expected + 60 * DN_ARENA_ALIGN);
}

/* The same with a side module: besides, the outputs of five layers, what the last block keeps, and of the module z, u, v, f
 * [5,N,4], agg [N,4] and two vectors, twice. Less than all blocks keep. */
static void a_side_module_keeps_outputs_and_the_last_block(void **state)
{
    dn_spec spec = {.V = 50, .T = 16, .C = 32, .L = 5, .attention.NH = 4, .classes = CLASSES};
    const dn_spec all = whole_spec(spec);
    spec.trained = (dn_globs){1, {"score.weight"}};
    const dn_spec head = whole_spec(spec);
    spec.sherl = 8;
    const dn_spec side = whole_spec(spec);
    size_t N = 3 * 16, C = 32, NH = 4, L = 5, r = 4;
    size_t block = (5 * N * C + N + 3 * N * NH) + (5 * N * C + N), module = 4 * L * N * r + N * r + 2 * (r + 1);
    size_t more = dn_model_activation_bytes(&side, 3, 1, 1) - dn_model_activation_bytes(&head, 3, 1, 1);
    size_t expected = (L * N * C + block + module) * sizeof(dn_real);
    assert_true(more + 30 * DN_ARENA_ALIGN > expected && more < expected + 30 * DN_ARENA_ALIGN);
    assert_true(dn_model_activation_bytes(&side, 3, 1, 1) < dn_model_activation_bytes(&all, 3, 1, 1));
}

TESTS(nn_classes)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_central_differences),
        cmocka_unit_test(what_a_block_puts_out_is_kept),
        cmocka_unit_test(the_loss_is_that_of_the_scores),
        cmocka_unit_test(what_fills_a_row_up_is_not_seen),
        cmocka_unit_test(two_labels_in_a_sequence_or_a_class_too_many_are_refused),
        cmocka_unit_test(frozen_blocks_keep_what_one_layer_does),
        cmocka_unit_test(a_side_module_keeps_outputs_and_the_last_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
