/* Plans at the ends of every key's range and far beyond them: each is the plan of a run, with at least the
 * bytes that its tensors have, or one line that says why not. Nothing wraps. */
#include "base/arena.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "dionode/optim.h"
#include "dionode/topo.h"
#include "linalg/newton_schulz.h"
#include "train/config_value.h"
#include "train/plan.h"
#include "support/tests.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static dn_config small(void)
{
    dn_config c;
    dn_config_init(&c);
    c.model_dim = 64;
    c.n_layer = 2;
    c.n_head = 2;
    c.vocab_size = 256;
    c.sequence_length = 32;
    return c;
}

/* As the launcher plans. */
static dn_status make_plan(const dn_config *c, dn_plan *plan)
{
    int n_workers;
    dn_status status = dn_plan_mesh(c, &n_workers);
    return status == DN_OK ? dn_plan_make(c, n_workers ? n_workers : 1, plan) : status;
}

/* In floating point, which cannot wrap: the least that a rank of a mesh needs, from the shapes alone. */
static void expect_room(const dn_plan *plan, const char *what)
{
    double C = (double)plan->spec.C, L = (double)plan->spec.L, V = (double)plan->spec.V,
           N = (double)plan->micro_batch * (double)plan->spec.T, cut = plan->n_workers / plan->mesh[DN_DP],
           heads = 2 * (double)(plan->spec.attention.NH + plan->spec.attention.NKV) * (double)plan->spec.attention.hd,
           F = (double)plan->spec.mlp.F;
    double weights = ((heads + 2 * F) * C * L + 2 * V * C) / cut * sizeof(dn_real);
    double gradients = plan->config.lora_rank ? 0 : weights; /* those of adapters are small */
    double activations = L * N * (2 * C + (heads + F) / plan->mesh[DN_TP]) * sizeof(dn_real);
    if (!((double)plan->arena_bytes >= weights + gradients && (double)plan->private_bytes >= activations))
        fail_msg("%s: planned %zu and %zu bytes, of weights and gradients alone %g, of activations %g", what,
                 plan->arena_bytes, plan->private_bytes, weights + gradients, activations);
    assert_true(plan->micro_batch >= 1 && plan->n_dealt >= 1);
    assert_true(dn_plan_rounds(plan, (size_t)plan->config.batch_size) >= 1);
}

static void expect_plan_or_line(const dn_config *c, const char *what)
{
    dn_plan plan;
    dn_status status = make_plan(c, &plan);
    if (status == DN_OK) {
        expect_room(&plan, what);
        assert_int_equal(dn_optimizer_check(&plan.optim), DN_OK);
    } else if ((status != DN_ERR_CONFIG && status != DN_ERR_MEMORY) || !*dn_error_message()) {
        fail_msg("%s: status %d, '%s'", what, (int)status, dn_error_message());
    }
}

static void both_ends_of_every_range_are_planned_or_refused_with_a_line(void **state)
{
    (void)state;
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        if (key->type != DN_KEY_INT && key->type != DN_KEY_REAL)
            continue;
        const double ends[] = {key->min, key->max, key->min - 1, key->max + key->max / 8 + 1};
        for (int i = 0; i < 4; i++) {
            dn_config c = small();
            char assignment[96];
            snprintf(assignment, sizeof assignment, "%s=%.17g", key->name, ends[i]);
            dn_status status = dn_config_set(&c, assignment);
            if (status != (i < 2 ? DN_OK : DN_ERR_CONFIG))
                fail_msg("%s: status %d, '%s'", assignment, (int)status, dn_error_message());
            if (i < 2)
                expect_plan_or_line(&c, assignment);
        }
    }
}

/* With every rule, at the ends of what rules are set by. */
static void every_rule_takes_the_ends_of_its_settings(void **state)
{
    (void)state;
    const dn_key *keys = dn_config_keys(), *rules = keys;
    while (strcmp(rules->name, "optimizer") != 0)
        rules++;
    for (const char *rule = rules->choices; rule; rule = strchr(rule, '|') ? strchr(rule, '|') + 1 : NULL)
        for (const dn_key *key = keys; key->name; key++)
            for (int end = 0; end < 2 && key->type == DN_KEY_REAL; end++) {
                dn_config c = small();
                char assignment[96];
                c.lora_rank = strcmp(key->name, "lora_alpha") == 0 ? 4 : 0; /* it needs one */
                snprintf(c.optimizer, sizeof c.optimizer, "%.*s", (int)strcspn(rule, "|"), rule);
                snprintf(assignment, sizeof assignment, "%s=%.17g", key->name, end ? key->max : key->min);
                assert_int_equal(dn_config_set(&c, assignment), DN_OK);
                dn_plan plan;
                if (make_plan(&c, &plan) != DN_OK)
                    fail_msg("%s with %s: %s", c.optimizer, assignment, dn_error_message());
            }
}

/* A program may fill in a configuration by itself. */
static void a_field_of_any_value_is_planned_or_refused_with_a_line(void **state)
{
    (void)state;
    for (const dn_key *key = dn_config_keys(); key->name; key++)
        for (int bit = 0; bit < 64 && key->type == DN_KEY_INT; bit++)
            for (int more = -1; more <= 1; more++) {
                dn_config c = small();
                char what[64];
                int64_t value = (int64_t)((UINT64_C(1) << bit) + (uint64_t)(int64_t)more);
                memcpy((char *)&c + key->offset, &value, sizeof value);
                snprintf(what, sizeof what, "%s 2^%d%+d", key->name, bit, more);
                expect_plan_or_line(&c, what);
            }
    dn_config c = small();
    dn_plan plan;
    strcpy(c.optimizer, "dionn");
    assert_int_equal(dn_plan_make(&c, 1, &plan), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "optimizer: 'dionn' is not one of"));
}

static void two_sizes_that_are_too_large_together_are_refused(void **state)
{
    (void)state;
    for (int bit = 0; bit < 63; bit++) {
        dn_config c = small();
        c.batch_size = c.device_batch_size = INT64_C(1) << bit;
        expect_plan_or_line(&c, "batch_size and device_batch_size");
    }
    dn_config c = small();
    dn_plan plan;
    c.batch_size = c.device_batch_size = 1 << 24;
    c.sequence_length = 256;
    assert_int_equal(make_plan(&c, &plan), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "device_batch_size can be from 1 to 8388607"));
    c = small();
    c.dp_size = c.fs_size = c.tp_size = 256;
    assert_int_equal(make_plan(&c, &plan), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "16777216 workers"));
    c = small(); /* the largest of all models */
    c.model_dim = 1 << 16;
    c.n_head = 1 << 10;
    c.n_layer = 1 << 10;
    c.vocab_size = 1 << 24;
    c.batch_size = c.device_batch_size = 1 << 20;
    c.sequence_length = 1 << 11;
    c.batch_size -= 1;
    expect_plan_or_line(&c, "the largest model");
    c.split_heads = true;
    assert_int_equal(make_plan(&c, &plan), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "split_heads"));
}

/* What only every worker would find wrong, and tell by the library's names. */
static void settings_that_do_not_go_together_are_named_by_their_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"beta1", "beta2", "muon_beta2"};
    for (int i = 0; i < 3; i++) {
        dn_config c = small();
        dn_plan plan;
        c.optim.state_precision = DN_PRECISION_BFLOAT16;
        strcpy(c.scalar_opt, "adamw");
        strcpy(c.optimizer, "normuon");
        *(i == 0 ? &c.optim.beta1 : i == 1 ? &c.optim.beta2 : &c.optim.row_beta2) = 0.999;
        assert_int_equal(make_plan(&c, &plan), DN_ERR_CONFIG);
        if (strncmp(dn_error_message(), keys[i], strlen(keys[i])) != 0)
            fail_msg("'%s' does not name %s", dn_error_message(), keys[i]);
    }
}

static void a_folder_may_have_any_name(void **state)
{
    (void)state;
    dn_config c = small();
    char pattern[DN_PATTERN_MAX];
    strcpy(c.data_dir, "/a/[b] *?\\c");
    dn_plan_files(&c, false, pattern);
    assert_string_equal(pattern, "/a/\\[b] \\*\\?\\\\c/*train*.bin");
    assert_int_equal(fnmatch(pattern, "/a/[b] *?\\c/fine_train_1.bin", FNM_PATHNAME), 0);
    memset(c.data_dir, '*', DN_PATH_MAX - 1);
    dn_plan_files(&c, true, pattern);
    assert_int_equal(strlen(pattern), 2 * (DN_PATH_MAX - 1) + strlen("/*val*.bin"));
    strcpy(c.train_files, "data/[0-9].bin");
    dn_plan_files(&c, false, pattern);
    assert_string_equal(pattern, "data/[0-9].bin");
}

static void sums_and_products_stay_at_the_largest_size(void **state)
{
    (void)state;
    assert_true(dn_size_add(SIZE_MAX, 1) == SIZE_MAX && dn_size_add(SIZE_MAX - 1, 1) == SIZE_MAX);
    assert_true(dn_size_mul((size_t)1 << 32, (size_t)1 << 32) == SIZE_MAX && dn_size_mul(3, 5) == 15);
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - DN_ARENA_ALIGN, SIZE_MAX - DN_ARENA_ALIGN + 1};
    for (int i = 0; i < 4; i++) {
        dn_arena arena = {0};
        (void)dn_arena_take(&arena, 1);
        (void)dn_arena_take(&arena, sizes[i]);
        assert_true(arena.used == SIZE_MAX);
        (void)dn_arena_take(&arena, 1);
        assert_true(arena.used == SIZE_MAX);
    }
}

/* Every layer and trained parameter has one stage, whose activations are those of its layers, as many times as micro-batches are in
 * flight there; heaps are those of the largest stage. */
static void stages_have_the_memory_of_their_layers_and_of_what_is_in_flight_there(void **state)
{
    (void)state;
    for (int64_t n_stages = 1; n_stages <= 6; n_stages++)
        for (int tied = 0; tied < 2; tied++)
            for (int64_t M = 1; M <= 8; M += 7) {
                dn_config c = small();
                dn_plan whole;
                c.n_layer = 4;
                c.pp_size = n_stages;
                c.device_batch_size = 2;
                c.batch_size = 2 * M;
                c.vocab_size = 1000;
                assert_int_equal(dn_config_set(&c, tied ? "tie_embeddings=true" : "tie_embeddings=false"), DN_OK);
                assert_int_equal(dn_plan_make(&c, (int)n_stages, &whole), DN_OK);
                size_t n_params = 0, n_trained = 0, at = 0, parameters = 0, activations = 0, kept = 0;
                double slowest = 0;
                for (int s = 0; s < n_stages; s++) {
                    dn_plan stage = whole;
                    assert_int_equal(dn_plan_enter_stage(&stage, s), DN_OK);
                    size_t in_flight = dn_min((size_t)M, (size_t)(n_stages - s));
                    assert_int_equal(stage.spec.stage.first, n_stages > 1 ? at : 0);
                    assert_int_equal(stage.n_slots, in_flight);
                    assert_int_equal(stage.private_bytes,
                                     dn_model_activation_bytes(&stage.spec, stage.micro_batch, in_flight, 1));
                    /* one more in flight takes what one layer range keeps, but no more of what slots share */
                    kept = dn_model_activation_bytes(&stage.spec, 2, in_flight + 1, 1) - stage.private_bytes;
                    assert_true(kept > 0 && kept <= dn_model_activation_bytes(&stage.spec, 2, 1, 1));
                    assert_true(stage.arena_bytes == whole.arena_bytes && stage.arena_bytes > stage.parameter_bytes);
                    n_params += stage.n_params - dn_model_n_borrowed(&stage.spec);
                    n_trained += stage.n_trained;
                    parameters = dn_max(parameters, stage.parameter_bytes);
                    activations = dn_max(activations, stage.private_bytes);
                    slowest = slowest > whole.stage_share[s] ? slowest : whole.stage_share[s];
                    assert_int_equal(dn_model_n_borrowed(&stage.spec) > 0, tied && n_stages > 1 && s + 1 == n_stages);
                    at = whole.cut[s];
                }
                assert_int_equal(at, 2 * 4 + 2);
                assert_int_equal(n_params, whole.n_params);
                assert_int_equal(n_trained, whole.n_trained);
                assert_int_equal(parameters, whole.parameter_bytes);
                assert_int_equal(activations, whole.private_bytes);
                assert_true(slowest == 1);
            }
}

/* Older weights: of stage s as many as updates come between forward and backward pass; and a slot for each stage behind, however few
 * micro-batches a step has. */
static void asynchronous_stages_have_memory_for_older_weights(void **state)
{
    (void)state;
    for (int64_t M = 1; M <= 8; M++) {
        dn_config c = small();
        dn_plan plan, waits;
        c.n_layer = 4;
        c.pp_size = 4;
        c.device_batch_size = 2;
        c.batch_size = 2 * M;
        assert_int_equal(dn_plan_make(&c, 4, &waits), DN_OK);
        assert_int_equal(dn_config_set(&c, "pipeline=async"), DN_OK);
        assert_int_equal(dn_plan_make(&c, 4, &plan), DN_OK);
        assert_true(plan.flows && !waits.flows && plan.arena_bytes > waits.arena_bytes);
        for (int s = 0; s < 4; s++) {
            dn_plan stage = plan;
            assert_int_equal(dn_plan_enter_stage(&stage, s), DN_OK);
            assert_int_equal(stage.n_slots, 4 - s);
            assert_int_equal(dn_plan_stage_stashed(&plan, s), (3 - s + M - 1) / M);
            assert_int_equal(dn_plan_stage_stashed(&waits, s), 0);
        }
    }
}

/* The library's tensors may have 2^31 rows and columns: four times as many bytes as a size_t counts. */
static void heaps_of_huge_tensors_do_not_wrap(void **state)
{
    (void)state;
    const int one[DN_N_AXES] = {1, 1, 1}, two[DN_N_AXES] = {2, 1, 1};
    for (size_t n = 0; dn_rule_at(n); n++)
        for (int bits = 20; bits <= 31; bits++) {
            size_t side = ((size_t)1 << bits) - (bits == 31);
            dn_optim_tensor tensor = {.tensor = {.name = "w", .rows = side, .cols = side},
                                      .kind = DN_PARAM_MATRIX};
            dn_optim_config config = dn_optim_defaults();
            config.matrix_rule = dn_rule_at(n)->name;
            for (int k = 0; k < 2; k++) {
                double bytes = (double)dn_optim_heap_bytes(&config, &tensor, 1, k ? two : one);
                double copies = k ? 2.0 * (double)side * (double)side * sizeof(dn_real) : 0;
                double momentum = (double)side * (double)side * sizeof(dn_real) / (k + 1); /* may be dealt */
                double least = copies + momentum < (double)SIZE_MAX ? copies + momentum : (double)SIZE_MAX;
                if (bytes < least)
                    fail_msg("rule %s, 2^%d squared, %d ranks: %g bytes, momentum and copies alone %g",
                             dn_rule_at(n)->name, bits, k + 1, bytes, least);
            }
        }
    const dn_ns_method method = {.gram = true};
    assert_true(dn_ns_workspace_bytes(&method, INT32_MAX, INT32_MAX, 64) == SIZE_MAX);
    dn_comm *comm = NULL;
    assert_int_equal(dn_comm_create_alone(SIZE_MAX, &comm), DN_ERR_MEMORY);
    assert_int_equal(dn_comm_create_alone((size_t)1 << 50, &comm), DN_ERR_MEMORY);
    assert_non_null(strstr(dn_error_message(), "are available"));
}

static void memory_that_is_not_there_is_refused_before_it_is_touched(void **state)
{
    (void)state;
    dn_stream *stream;
    void *memory;
    assert_int_equal(dn_stream_create("cpu", 1, &stream), DN_OK);
    assert_int_equal(dn_device_alloc(stream, (size_t)1 << 46, &memory), DN_ERR_MEMORY);
    assert_non_null(strstr(dn_error_message(), "tensors of 64 TiB, and "));
    assert_non_null(strstr(dn_error_message(), "iB of memory are available"));
    dn_stream_destroy(&stream);
}

TESTS(train_plan)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_of_every_range_are_planned_or_refused_with_a_line),
        cmocka_unit_test(every_rule_takes_the_ends_of_its_settings),
        cmocka_unit_test(a_field_of_any_value_is_planned_or_refused_with_a_line),
        cmocka_unit_test(two_sizes_that_are_too_large_together_are_refused),
        cmocka_unit_test(settings_that_do_not_go_together_are_named_by_their_keys),
        cmocka_unit_test(a_folder_may_have_any_name),
        cmocka_unit_test(sums_and_products_stay_at_the_largest_size),
        cmocka_unit_test(asynchronous_stages_have_memory_for_older_weights),
        cmocka_unit_test(stages_have_the_memory_of_their_layers_and_of_what_is_in_flight_there),
        cmocka_unit_test(heaps_of_huge_tensors_do_not_wrap),
        cmocka_unit_test(memory_that_is_not_there_is_refused_before_it_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
