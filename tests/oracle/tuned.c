/* What fine-tuning on labels trains of a Hugging Face folder's model, and what it leaves as it came: to the bit, and
 * without gradient or state. Loss and gradients of what it adds, against tuned_oracle.py. */
#include "support/tests.h"

#include "oracle/vectors.h"

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

/* ---- vectors ---- */

extern const dn_architecture dn_architecture_llama;

/* FNV-1a, as tuned_oracle.py has it. */
static uint32_t stream_of(const char *name)
{
    uint32_t x = 0x811c9dc5;
    for (; *name; name++)
        x = (x ^ (unsigned char)*name) * 0x01000193;
    return x;
}

static void draw_all(const model *m)
{
    for (size_t p = 0; p < m->n_params; p++) {
        const dn_param *param = &m->params[p];
        const char *name = param->tensor.name;
        bool wide = strstr(name, "embed") || strstr(name, "prefix"), score = strcmp(name, "score.weight") == 0;
        if (strcmp(name, "sherl.gamma.bias") == 0)
            oracle_upload(m->stream, param->weight, 1, 0, 0.03, 0);
        else
            oracle_upload(m->stream, param->weight, dn_param_size(param), stream_of(name), param->kind == DN_PARAM_VECTOR,
                          wide ? 2 : score ? 1 : 0.5);
    }
}

/* The gradient of a parameter by its name, which must be trained. */
static dn_real *gradient_of(const model *m, const char *name, size_t rows, size_t cols)
{
    for (size_t p = 0; p < m->n_params; p++) {
        const dn_param *param = &m->params[p];
        if (strcmp(param->tensor.name, name) == 0 && param->tensor.rows == rows && param->tensor.cols == cols && !param->frozen)
            return host_copy(m->stream, param->grad, dn_param_size(param));
    }
    fail_msg("%s [%zu,%zu] is not trained", name, rows, cols);
    return NULL;
}

static void check_vectors(FILE *file, const char *kernels, dn_spec spec, size_t n, double tolerance)
{
    static const size_t last[B] = {6, 3};
    static const int32_t labels[B] = {2, 4};
    model m = model_create(kernels, 2, spec, B);
    double loss = 0, expected;
    size_t n_trained = 0;
    draw_all(&m);
    oracle_tokens(&m, m.tokens, 1000);
    for (size_t i = 0; i < B * spec.T; i++)
        m.targets[i] = i % spec.T == last[i / spec.T] ? labels[i / spec.T] : -1;
    must(dn_model_train(m.model, m.tokens, m.targets, B, 1, &loss));
    oracle_losses(file, &expected, 1);
    assert_close(loss, expected, tolerance * expected);
    for (size_t p = 0; p < m.n_params; p++)
        n_trained += !m.params[p].frozen;
    assert_int_equal(n_trained, n);
    for (size_t i = 0; i < n; i++) {
        char name[DN_PARAM_NAME_MAX];
        size_t rows, cols;
        double stored, worst = 0, size = 0;
        assert_int_equal(fscanf(file, "%63s %zu %zu", name, &rows, &cols), 3);
        dn_real *g = gradient_of(&m, name, rows, cols);
        for (size_t k = 0; k < rows * cols; k++) {
            assert_int_equal(fscanf(file, "%la", &stored), 1);
            worst = larger(worst, fabs((double)g[k] - stored));
            size = larger(size, fabs(stored));
        }
        double scale = larger(size, 0.1); /* terms of that size cancel in smaller ones */
        if (!(worst <= tolerance * scale))
            fail_msg("%s: gradients are off by %.3g, the largest is %.3g; bound %.3g", name, worst, size, tolerance * scale);
        free(g);
    }
    model_destroy(&m);
}

/* Of the largest gradient of a parameter: as of whole models (models.c). */
static const double tolerance = 128 * DN_REAL_EPS;

static void loss_and_gradients_are_the_oracles(void **state)
{
    static const char *const kernels[] = {"ref", "cpu"};
    for (size_t i = 0; i < 2; i++) {
        FILE *file = oracle_open("tuned_model.txt");
        char name[16];
        size_t n, n_ways = 0;
        for (; fscanf(file, " way %15s %zu", name, &n) == 2; n_ways++) {
            dn_spec spec = {.architecture = &dn_architecture_llama, .V = 19, .T = 7, .C = 12, .L = 3, .mlp.F = 20, .norm.eps = 1e-3,
                            .attention = {.NH = 4, .NKV = 2, .hd = 4, .theta = 100}, .classes = 5, .trained = {1, {"score.weight"}}};
            spec.prompt = strcmp(name, "prompt") == 0 ? 3 : 0;
            spec.sherl = strcmp(name, "sherl") == 0 ? 2 : 0;
            if (strcmp(name, "lora") == 0)
                spec.lora = (dn_lora_spec){.rank = 2, .scale = 1.5, .roles = 0x7f};
            check_vectors(file, kernels[i], spec, n, tolerance);
        }
        assert_int_equal(n_ways, 3);
        fclose(file);
    }
}

TESTS(tuned)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_frozen_keeps_its_bits_and_has_no_gradient),
                                       cmocka_unit_test(loss_and_gradients_are_the_oracles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
