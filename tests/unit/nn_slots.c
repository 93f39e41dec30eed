/* Several micro-batches on their way at once, each in a slot: the same bits as one after the other. */
#include "support/tests.h"

#include <string.h>

#include "support/allocations.h"
#include "support/model.h"

enum { M = 3, T = 7 }; /* micro-batches */

static const size_t rows[M] = {2, 1, 2}; /* sequences of each */
static const double scales[M] = {0.5, 1.25, 0.75};

static const dn_spec shape = {.V = 11, .T = T, .C = 12, .L = 2, .attention.NH = 3};

static const int orders[][M] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
enum { N_ORDERS = sizeof orders / sizeof *orders };

/* Room for all micro-batches' tokens: each has sequences of its own. */
static model create(const char *kernels, const dn_architecture *architecture)
{
    dn_spec spec = shape;
    spec.architecture = architecture;
    return model_create_slots(kernels, 2, spec, 2 * M, M);
}

static void zero_gradients(model *m)
{
    m->stream->kernels->fill(m->stream, (dn_buf *)(void *)m->grads.base, m->grads.capacity / sizeof(dn_real),
                             0);
}

static dn_real *gradients(const model *m)
{
    return host_copy(m->stream, (dn_buf *)(void *)m->grads.base, m->grads.capacity / sizeof(dn_real));
}

static void train(model *m, int micro, double *loss)
{
    size_t first = (size_t)micro * 2 * T;
    must(dn_model_train(m->model, m->tokens + first, m->targets + first, rows[micro], scales[micro], loss));
}

static void forward(model *m, int micro, double *loss)
{
    size_t first = (size_t)micro * 2 * T;
    must(dn_model_forward(m->model, (size_t)micro, m->tokens + first, m->targets + first, rows[micro],
                          scales[micro], loss));
}

/* The head's parameters are a unit of their own, behind all others. */
static size_t head_at(const model *m)
{
    size_t p = m->n_params - 1;
    while (m->unit_of[p - 1] == m->unit_of[p])
        p--;
    return (size_t)((const char *)m->params[p].grad - (const char *)m->grads.base) / sizeof(dn_real);
}

static void compare(const model *m, const dn_real *got, const dn_real *want, size_t first, size_t end,
                    const char *what)
{
    for (size_t i = first; i < end; i++)
        if (memcmp(&got[i], &want[i], sizeof(dn_real)) != 0)
            fail_msg("%s of %s: element %zu is %.17g, one at a time %.17g", what, m->spec.architecture->name,
                     i, (double)got[i], (double)want[i]);
}

/* A tied embedding gets terms on the way forward and on the way back: in another order other roundings. */
static size_t check_tied(const model *m, const dn_real *got, const dn_real *want)
{
    size_t end = 0;
    for (size_t p = 0; m->spec.tied == DN_YES && m->unit_of[p] == 0; p++)
        end = (size_t)((const char *)m->params[p].grad - (const char *)m->grads.base) / sizeof(dn_real) +
              dn_param_size(&m->params[p]);
    if (end > 0)
        assert_below(difference(got, want, end), 16 * DN_REAL_EPS);
    return end;
}

/* Forward 0, 1, 2 and back in another order. The head's gradients add up as micro-batches went forward, all
 * others as they went back, so two models that trained one at a time, in one order and the other, have them
 * all. */
static void check_order(const char *kernels, const dn_architecture *architecture, const int order[M])
{
    model slots = create(kernels, architecture), single = create(kernels, architecture);
    size_t n = slots.grads.capacity / sizeof(dn_real);
    size_t head = slots.spec.tied == DN_YES ? n : head_at(&slots);
    double loss = 0, expected = 0, again = 0;
    for (int i = 0; i < M; i++)
        forward(&slots, i, &loss);
    for (int i = 0; i < M; i++)
        must(dn_model_backward(slots.model, (size_t)order[i]));
    dn_real *got = gradients(&slots);

    for (int i = 0; i < M; i++)
        train(&single, i, &expected);
    dn_real *in_turn = gradients(&single);
    zero_gradients(&single);
    for (int i = 0; i < M; i++)
        train(&single, order[i], &again);
    dn_real *in_order = gradients(&single);

    assert_true(loss == expected);
    compare(&slots, got, in_order, check_tied(&slots, got, in_order), head, "gradients");
    compare(&slots, got, in_turn, head, n, "the head's gradients");
    free(got);
    free(in_turn);
    free(in_order);
    model_destroy(&slots);
    model_destroy(&single);
}

static void gradients_are_those_of_one_at_a_time_bit_for_bit(void **state)
{
    (void)state;
    static const char *const columns[] = {"ref", "cpu"};
    const dn_architecture *architecture;
    for (size_t i = 0; (architecture = dn_architecture_at(i)); i++)
        for (size_t c = 0; c < 2; c++)
            for (size_t o = 0; o < N_ORDERS; o++)
                check_order(columns[c], architecture, orders[o]);
}

/* As a pipeline stage works: the next micro-batch goes forward in the slot that has just gone back. */
static void a_slot_is_used_again(void **state)
{
    (void)state;
    model slots = create("cpu", NULL), single = create("cpu", NULL);
    size_t n = slots.grads.capacity / sizeof(dn_real);
    double loss = 0, expected = 0;
    forward(&slots, 0, &loss);
    forward(&slots, 1, &loss);
    for (int i = 2; i < 6; i++) {
        must(dn_model_backward(slots.model, (size_t)(i - 2) % M));
        forward(&slots, i % M, &loss);
    }
    must(dn_model_backward(slots.model, 1));
    must(dn_model_backward(slots.model, 2));
    for (int i = 0; i < 6; i++)
        train(&single, i % M, &expected);
    dn_real *got = gradients(&slots), *want = gradients(&single);
    assert_true(loss == expected);
    compare(&slots, got, want, 0, n, "gradients");
    free(got);
    free(want);
    model_destroy(&slots);
    model_destroy(&single);
}

static void what_cannot_go_backward_is_refused(void **state)
{
    (void)state;
    model m = create("ref", NULL);
    double loss = 0;
    assert_int_equal(dn_model_backward(m.model, 1), DN_ERR_ARG);
    assert_int_equal(dn_model_backward(m.model, M), DN_ERR_ARG);
    assert_int_equal(dn_model_forward(m.model, M, m.tokens, m.targets, 1, 1, &loss), DN_ERR_ARG);
    assert_non_null(strstr(dn_error_message(), "slot 3"));
    assert_int_equal(dn_model_forward(m.model, 1, m.tokens, m.targets, 1, 0, &loss), DN_ERR_ARG);
    forward(&m, 1, &loss);
    must(dn_model_backward(m.model, 1));
    assert_int_equal(dn_model_backward(m.model, 1), DN_ERR_ARG);
    forward(&m, 0, &loss);
    must(dn_model_loss(m.model, m.tokens, m.targets, 1, &loss)); /* in slot 0 */
    assert_int_equal(dn_model_backward(m.model, 0), DN_ERR_ARG);
    forward(&m, 0, &loss);
    m.tokens[0] = -1;
    assert_int_equal(dn_model_forward(m.model, 0, m.tokens, m.targets, 1, 1, &loss), DN_ERR_DATA);
    model_destroy(&m);
}

/* What a slot adds by hand: tokens, targets, x, and what attention and MLP keep (nn_memory); not the head's
 * memory, the gradients on the way, or dy. */
static void a_slot_takes_what_its_micro_batch_leaves(void **state)
{
    (void)state;
    const dn_spec spec = whole_spec(shape);
    size_t N = 2 * T, C = 12, L = 2, NH = 3;
    size_t one = dn_model_activation_bytes(&spec, 2, 1, 1), three = dn_model_activation_bytes(&spec, 2, 3, 1);
    size_t slot = 2 * N * sizeof(int32_t) + (N * C + L * (10 * N * C + 2 * N + 3 * N * NH)) * sizeof(dn_real);
    assert_true(three - one >= 2 * slot);
    assert_true(three - one < 2 * (slot + (3 + 9 * L) * DN_ARENA_ALIGN));
    size_t exchanged = N * C * sizeof(dn_real),
           heap = dn_model_heap_bytes(&spec, 2, 3, 2) - dn_model_heap_bytes(&spec, 2, 1, 2);
    assert_true(heap >= 2 * exchanged && heap < 2 * (exchanged + DN_ARENA_ALIGN));

    model m = create("ref", NULL);
    assert_true(m.model->memory_bytes == dn_model_activation_bytes(&m.spec, 2 * M, M, 1));
    double loss = 0;
    forward(&m, 0, &loss);
    must(dn_model_backward(m.model, 0));
    size_t before = allocations_so_far.requests;
    for (int i = 0; i < M; i++)
        forward(&m, i, &loss);
    for (int i = M; i-- > 0;)
        must(dn_model_backward(m.model, (size_t)i));
    assert_int_equal(allocations_so_far.requests, before);
    model_destroy(&m);
}

TESTS(nn_slots)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_one_at_a_time_bit_for_bit),
        cmocka_unit_test(a_slot_is_used_again),
        cmocka_unit_test(what_cannot_go_backward_is_refused),
        cmocka_unit_test(a_slot_takes_what_its_micro_batch_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
