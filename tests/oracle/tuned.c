/* What fine-tuning on labels trains of a Hugging Face folder's model, and what it leaves as it came: to the bit, and
 * without gradient or state. */
#include "support/tests.h"

#include "support/model.h"
#include "train/loaded_model.h"

#include <string.h>

enum { CLASSES = 4, B = 2 };

/* What is trained, and whether there are adapters. */
typedef struct way {
    const char *trainable;
    int64_t lora_rank;
    dn_tuning tuning;
} way;

static const way ways[] = {{"[score.weight]", 0, {.classes = CLASSES}},
                           {"[score.weight]", 3, {.classes = CLASSES}},
                           {"['*.1.*']", 0, {.classes = CLASSES}},
                           {"[score.weight]", 0, {.classes = CLASSES, .prompt = 4}},
                           {"[score.weight]", 0, {.classes = CLASSES, .sherl = 8}}};

static void open_way(const way *w, const char *folder, dn_loaded_model *m)
{
    dn_config config;
    dn_config_init(&config);
    snprintf(config.init_from, sizeof config.init_from, "%s/hf/%s", ORACLE_DIR, folder);
    strcpy(config.trainable, w->trainable);
    config.lora_rank = w->lora_rank;
    config.sequence_length = 9;
    config.batch_size = config.device_batch_size = B;
    must(dn_config_set(&config, "optimizer=adamw"));
    must(dn_loaded_model_tune(m, &config, &w->tuning, NULL));
}

static void train(dn_loaded_model *m, uint64_t steps)
{
    int32_t tokens[B * 9], targets[B * 9];
    for (uint64_t step = 0; step < steps; step++) {
        double loss = 0;
        dn_step_report report;
        for (size_t i = 0; i < B * 9; i++) {
            tokens[i] = (int32_t)(dn_random_bits(1, step, i) % m->plan.spec.V);
            targets[i] = i % 9 == 8 - i / 9 ? (int32_t)(step % CLASSES) : -1;
        }
        m->stream->kernels->fill(m->stream, m->instance.grads, m->plan.gradient_bytes / sizeof(dn_real), 0);
        must(dn_model_train(m->instance.model, tokens, targets, B, 0.5, &loss));
        must(dn_instance_step(&m->instance, &(dn_step_params){.step = step, .lr = 0.01, .decay = 1}, loss, &report));
        assert_false(report.skipped);
    }
}

static dn_real *weights_of(const dn_loaded_model *m, const dn_param *p)
{
    return host_copy(m->stream, p->weight, dn_param_size(p));
}

static void what_is_frozen_keeps_its_bits_and_has_no_gradient(void **state)
{
    static const char *const folders[] = {"gpt2", "llama3_gqa", "neox"};
    for (size_t i = 0; i < 3 * sizeof ways / sizeof *ways; i++) {
        dn_loaded_model m;
        open_way(&ways[i / 3], folders[i % 3], &m);
        const dn_plan *plan = &m.plan;
        dn_real **before = calloc(plan->n_params, sizeof *before);
        size_t n_trained = 0;
        for (size_t p = 0; p < plan->n_params; p++)
            before[p] = weights_of(&m, &m.instance.params[p]);
        train(&m, 4);
        for (size_t p = 0; p < plan->n_params; p++) {
            const dn_param *param = &m.instance.params[p];
            size_t bytes = dn_param_size(param) * sizeof(dn_real);
            dn_real *after = weights_of(&m, param);
            bool same = memcmp(before[p], after, bytes) == 0;
            if (param->frozen != same || param->frozen != (param->grad == NULL))
                fail_msg("%s: %s is %s, its bits are %s, and it has %s gradient", folders[i % 3], param->tensor.name,
                         param->frozen ? "frozen" : "trained", same ? "the same" : "others", param->grad ? "a" : "no");
            n_trained += param->frozen ? 0 : dn_param_size(param);
            free(after);
            free(before[p]);
        }
        assert_int_equal(n_trained, plan->n_trained_elements);
        /* room of gradients: those numbers, and at most one alignment more */
        assert_true(plan->gradient_bytes >= n_trained * sizeof(dn_real) &&
                    plan->gradient_bytes < n_trained * sizeof(dn_real) + DN_ARENA_ALIGN);
        free(before);
        dn_loaded_model_close(&m);
    }
}

TESTS(tuned)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_frozen_keeps_its_bits_and_has_no_gradient)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
