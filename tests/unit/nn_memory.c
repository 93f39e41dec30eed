/* Memory of the GPT: what is announced is what is taken, and passes over micro-batches take nothing. */
#include "support/tests.h"

#include <string.h>

#include "support/allocations.h"
#include "support/model.h"

static const dn_spec shape = {.V = 50, .T = 16, .C = 32, .L = 3, .attention.NH = 4};

/* The bytes by hand, from the list at the top of model.c and in the layers; the rest is padding, less than one alignment for each
 * of its 9 + 10 L parts. */
static void announced_bytes_are_those_of_the_tensors_kept(void **state)
{
    (void)state;
    const dn_spec spec = whole_spec(shape);
    size_t N = 3 * 16, C = 32, L = 3, NH = 4, hd = 8, V = 50;
    size_t shared = 2 * N * sizeof(int32_t) + (16 * hd + 7 * N * C + N + N * V) * sizeof(dn_real);
    size_t blocks = L * (10 * N * C + 2 * N + 3 * N * NH) * sizeof(dn_real);
    size_t announced = dn_model_activation_bytes(&spec, 3, 1, 1);
    assert_true(announced >= shared + blocks);
    assert_true(announced < shared + blocks + (9 + 10 * L) * DN_ARENA_ALIGN);
}

/* The first of three ranks has 2 of 4 heads, 43 of 128 columns of the MLP and 17 of 50 words; x, dy and two
 * parts of the loss lie in symmetric memory. */
static void a_rank_of_tp_needs_its_share(void **state)
{
    (void)state;
    const dn_spec spec = whole_spec(shape);
    size_t N = 3 * 16, C = 32, L = 3, heads = 2, W = 16, hidden = 43, vocab = 17;
    size_t shared = 2 * N * sizeof(int32_t) + (16 * 8 + N * C + N + N * 3 * W + N * vocab) * sizeof(dn_real);
    size_t block = 2 * N * C + 2 * N + 4 * N * W + 3 * N * heads + N * hidden;
    size_t announced = dn_model_activation_bytes(&spec, 3, 1, 3),
           bytes = shared + L * block * sizeof(dn_real);
    assert_true(announced >= bytes);
    assert_true(announced < bytes + (7 + 10 * L) * DN_ARENA_ALIGN);

    size_t exchanged = (2 * N * C + 2 * 3 * N) * sizeof(dn_real), heap = dn_model_heap_bytes(&spec, 3, 1, 3);
    assert_true(heap >= exchanged && heap < exchanged + 4 * DN_ARENA_ALIGN);
    assert_int_equal(dn_model_heap_bytes(&spec, 3, 1, 1), 0);
}

/* Normalized inputs, q, k, v and o, what stands between an MLP's matrices, and logits, where rows are whole 16 bytes; not with lags or
 * adapters. The widest temporary numbers are the MLP's; beside them is room to round as many. */
static void activations_in_bfloat16_take_what_their_numbers_do(void **state)
{
    (void)state;
    dn_spec real = whole_spec(shape), narrow;
    size_t N = 3 * 16, C = 32, L = 3, F = 128, V = 48, saved = sizeof(dn_real) - sizeof(uint16_t);
    size_t kept = (2 * L + 1) * N * C + L * N * (4 * C + F), temporary = N * F * saved - N * F * sizeof(uint16_t) * sizeof(uint16_t) / sizeof(dn_real);
    real.V = V;
    narrow = real;
    narrow.narrow = true;
    size_t before = dn_model_activation_bytes(&real, 3, 1, 1), after = dn_model_activation_bytes(&narrow, 3, 1, 1);
    assert_int_equal(before - after, (kept + N * V) * saved + temporary);
    real.V = narrow.V = 50;
    before = dn_model_activation_bytes(&real, 3, 1, 1), after = dn_model_activation_bytes(&narrow, 3, 1, 1);
    assert_int_equal(before - after, kept * saved + temporary);
    assert_int_equal(dn_model_heap_bytes(&narrow, 3, 1, 3), dn_model_heap_bytes(&real, 3, 1, 3));
    assert_int_equal(dn_model_cache_bytes(&narrow, 2, false, 1), dn_model_cache_bytes(&real, 2, false, 1));
    real.lora = narrow.lora = (dn_lora_spec){.rank = 2, .scale = 1, .roles = 0x7f};
    assert_int_equal(dn_model_activation_bytes(&narrow, 3, 1, 1), dn_model_activation_bytes(&real, 3, 1, 1));
}

/* So that what is measured and what is laid out cannot differ for want of memory; adapters freeze the rest. */
static void measuring_takes_nothing(void **state)
{
    (void)state;
    dn_spec spec = whole_spec(shape);
    spec.lora = (dn_lora_spec){.rank = 2, .scale = 1, .roles = 0x7f};
    allocations before = allocations_so_far;
    size_t announced = dn_model_activation_bytes(&spec, 3, 1, 1);
    assert_true(announced > 0);
    if (allocations_so_far.requests != before.requests)
        fail_msg("%zu allocations to measure a model", allocations_so_far.requests - before.requests);
}

static void create_takes_the_announced_bytes_and_little_else(void **state)
{
    (void)state;
    model m = model_create("ref", 1, shape, 3);
    dn_model *another = NULL;
    const dn_model_parts parts = {.B = 3, .n_slots = 1, .params = m.params, .weights = m.in_pieces, .tp = m.alone, .stream = m.stream};
    allocations before = allocations_so_far;
    must(dn_model_create(&m.spec, &parts, &another));
    size_t taken = allocations_so_far.bytes - before.bytes;
    size_t announced = dn_model_activation_bytes(&m.spec, 3, 1, 1);
    assert_true(!can_count || (taken >= announced && taken < announced + sizeof(dn_head_kept) + sizeof(dn_model) + 4096));
    dn_model_destroy(&another);
    model_destroy(&m);
}

static void pass_over_everything(model *m)
{
    double loss = 0;
    must(dn_model_train(m->model, m->tokens, m->targets, m->B, 1, &loss));
    must(dn_model_loss(m->model, m->tokens, m->targets, m->B, &loss));
}

static void fill_and_decode(model *m)
{
    dn_real logits[2 * 50];
    const dn_cache_row rows[] = {{0, 5}, {1, 5}};
    must(dn_model_prefill(m->model, 0, 0, m->tokens, 5, logits));
    must(dn_model_fork(m->model, 0, 1));
    must(dn_model_decode(m->model, rows, m->tokens, 2, logits));
}

static void passes_after_the_first_allocate_nothing(void **state)
{
    (void)state;
    static const char *const columns[] = {"ref", "cpu"};
    dn_spec wished = shape;
    wished.narrow = true; /* of a backend that has no such activations they are as they always are */
    for (size_t c = 0; c < 2; c++) {
        model m = model_create(columns[c], 2, wished, 3);
        pass_over_everything(&m);
        size_t before = allocations_so_far.requests;
        pass_over_everything(&m);
        assert_int_equal(allocations_so_far.requests, before);
        model_destroy(&m);

        m = model_create_cached(columns[c], 2, shape, 3);
        fill_and_decode(&m);
        before = allocations_so_far.requests;
        fill_and_decode(&m);
        assert_int_equal(allocations_so_far.requests, before);
        model_destroy(&m);
    }
}

TESTS(nn_memory)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(announced_bytes_are_those_of_the_tensors_kept),
        cmocka_unit_test(a_rank_of_tp_needs_its_share),
        cmocka_unit_test(activations_in_bfloat16_take_what_their_numbers_do),
        cmocka_unit_test(measuring_takes_nothing),
        cmocka_unit_test(create_takes_the_announced_bytes_and_little_else),
        cmocka_unit_test(passes_after_the_first_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
