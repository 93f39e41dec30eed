/* Fine-tuning on labelled texts (dn_finetune), in one process: what is added to a model, what of it is trained, and the steps. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "train/config_value.h"
#include "train/finetune.h"
#include "train/init.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- ways ---- */

/* What a way trains, by the configuration, whose keys the caller may change. Rates are where to begin, by what such ways bear
 * elsewhere: they were not swept here. */
typedef struct way {
    const char *name, *settings[3], *trainable;
    dn_tuning tuning; /* but for classes */
    dn_status (*learn)(dn_finetune_run *run, dn_finetuned *out);
} way;

static dn_status learn(dn_finetune_run *t, dn_finetuned *out);

static const way ways[] = {
    {"head", {"lr=0.01"}, "[score.weight]", {0}, learn},
    {"full", {"lr=0.001"}, "", {0}, learn},
    {"sherl", {"lr=0.003"}, "[score.weight]", {.sherl = 32}, learn},
    {"prompt", {"lr=0.03"}, "[score.weight]", {.prompt = 20}, learn},
    {"lora", {"lr=0.003", "lora_rank=8"}, "[score.weight]", {0}, learn},
    {"hdc", {0}, "[score.weight]", {0}, dn_finetune_hdc},
};

static const char *const common[] = {"optimizer=adamw", "scalar_opt=adamw", "batch_size=32", "device_batch_size=32",
                                     "schedule=linear", "warmup_ratio=0.05"};

enum { EPOCHS = 3, N_WAYS = sizeof ways / sizeof *ways, N_COMMON = sizeof common / sizeof *common };

static dn_status find_way(const char *name, const way **out)
{
    for (size_t i = 0; i < N_WAYS; i++)
        if (strcmp(ways[i].name, name) == 0) {
            *out = &ways[i];
            return DN_OK;
        }
    return dn_fail(DN_ERR_CONFIG, "'%s' is no way to fine-tune: use one of %s", name, DN_FINETUNE_HOWS);
}

/* All keys but these and the options of rules would change nothing. */
static dn_status check_key(const way *w, const char *assignment)
{
    static const char *const taken[] = {"lr", "warmup_ratio", "warmdown_ratio", "schedule", "weight_decay_schedule", "optimizer",
                                        "scalar_opt", "groups", "batch_size", "device_batch_size", "num_iterations",
                                        "sequence_length", "lora_rank", "lora_alpha", "lora_targets", "seed", "device"};
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(assignment, "="), assignment);
    const dn_key *key = dn_config_find(name);
    bool is_taken = !key || dn_config_option(key) >= 0; /* of an unknown key dn_config_set tells */
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        is_taken = is_taken || strcmp(taken[i], name) == 0;
    if (key && w->learn != learn) /* no steps */
        is_taken = strcmp(name, "seed") == 0 || strcmp(name, "device_batch_size") == 0;
    if (strncmp(name, "lora_", 5) == 0 && strcmp(w->name, "lora") != 0)
        return dn_fail(DN_ERR_CONFIG, "%s is of adapters, which %s has none of: leave it out", name, w->name);
    return is_taken ? DN_OK : dn_fail(DN_ERR_CONFIG, "%s changes nothing here: leave it out", name);
}

static dn_status configure(const dn_finetuning *what, const way *w, dn_config *config)
{
    dn_config_init(config);
    if (what->run && strlen(what->run) >= sizeof config->init_from)
        return dn_fail(DN_ERR_CONFIG, "%.100s...: a path of more than %zu bytes", what->run, sizeof config->init_from - 1);
    strcpy(config->init_from, what->run ? what->run : "");
    for (size_t i = 0; i < N_COMMON; i++)
        DN_TRY(dn_config_set(config, common[i]));
    for (size_t i = 0; w->settings[i]; i++)
        DN_TRY(dn_config_set(config, w->settings[i]));
    for (size_t i = 0; i < what->n; i++) {
        DN_TRY(check_key(w, what->assignments[i]));
        DN_TRY(dn_config_set(config, what->assignments[i]));
    }
    strcpy(config->trainable, w->trainable);
    return DN_OK;
}

/* ---- texts ---- */

static dn_status read_labels(dn_finetune_run *t)
{
    DN_TRY(dn_labels_read(t->what->labels, &t->labels));
    t->texts.labels = &t->labels;
    t->rows = calloc(t->labels.n, sizeof *t->rows);
    if (!t->rows)
        return dn_fail(DN_ERR_MEMORY, "no memory for the order of %zu texts", t->labels.n);
    t->n_train = dn_labelled_rows(&t->texts, false, t->rows);
    t->n_test = dn_labelled_rows(&t->texts, true, t->rows + t->n_train);
    if (t->n_test > 0)
        return DN_OK;
    return dn_fail(DN_ERR_DATA, "%s: %zu texts: every fifth is held out, so there must be five", t->what->labels, t->labels.n);
}

/* The model's keys, as what it begins with says; its tokenizer; texts, and how long sequences have to be. */
static dn_status read_texts(dn_finetune_run *t)
{
    uint64_t hash;
    dn_tokenizer *tokenizer;
    dn_config known = t->config;
    bool foreign = dn_init_is_foreign(known.init_from), given = dn_config_says(&known, dn_config_find("sequence_length"));
    DN_TRY(dn_init_resolve(&known));
    if (known.lora_rank > 0 && t->config.lora_rank == 0)
        return dn_fail(DN_ERR_CONFIG, "%s has adapters, which is not held here: begin with a model that has none", known.init_from);
    DN_TRY(dn_init_tokenizer(&known, &hash));
    DN_TRY(dn_model_tokenizer(NULL, &known, foreign, hash, &tokenizer));
    size_t most = (size_t)(known.max_positions > 0 ? known.max_positions : known.sequence_length);
    if (given)
        most = dn_min(most, (size_t)known.sequence_length);
    dn_status status = dn_labelled_encode(&t->labels, tokenizer, (size_t)known.vocab_size, most, &t->texts);
    dn_tokenizer_close(&tokenizer);
    DN_TRY(status);
    t->config.sequence_length = (int64_t)t->texts.most;
    dn_labelled_sort(&t->texts, t->rows, t->n_train);
    dn_labelled_sort(&t->texts, t->rows + t->n_train, t->n_test);
    return DN_OK;
}

static dn_status open_model(dn_finetune_run *t, dn_tuning tuning)
{
    dn_config *c = &t->config;
    tuning.classes = t->labels.n_classes;
    if (!dn_config_says(c, dn_config_find("num_iterations")))
        c->num_iterations = (int64_t)(EPOCHS * ((t->n_train + (size_t)c->batch_size - 1) / (size_t)c->batch_size));
    DN_TRY(dn_loaded_model_tune(&t->model, c, &tuning));
    size_t B = t->model.plan.micro_batch, tokens = B * t->texts.most;
    t->inputs = calloc(tokens, sizeof *t->inputs);
    t->targets = calloc(tokens, sizeof *t->targets);
    t->scores = calloc(B * t->labels.n_classes, sizeof *t->scores);
    return t->inputs && t->targets && t->scores ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for a micro-batch of %zu tokens", tokens);
}

static void close(dn_finetune_run *t)
{
    dn_loaded_model_close(&t->model);
    dn_labelled_close(&t->texts);
    dn_labels_close(&t->labels);
    free(t->rows);
    free(t->inputs);
    free(t->targets);
    free(t->scores);
}

/* ---- steps ---- */

/* Gradients of the mean loss over rows [n], and that. */
static dn_status gradient(dn_finetune_run *t, const uint32_t *rows, size_t n, double *loss)
{
    dn_instance *instance = &t->model.instance;
    dn_stream *s = instance->stream;
    s->kernels->fill(s, instance->grads, t->model.plan.gradient_bytes / sizeof(dn_real), 0);
    *loss = 0;
    for (size_t at = 0, B, T; at < n; at += B) {
        B = dn_min(n - at, t->model.plan.micro_batch);
        dn_labelled_batch(&t->texts, rows + at, B, t->inputs, t->targets, &T);
        dn_model_set_length(instance->model, T);
        DN_TRY(dn_model_train(instance->model, t->inputs, t->targets, B, 1 / (double)n, loss));
    }
    *loss /= (double)n;
    return DN_OK;
}

/* Step number `step` of batches that go through the texts in an order of each epoch. */
static dn_status train_step(dn_finetune_run *t, uint64_t step)
{
    const dn_plan *plan = &t->model.plan;
    size_t batch = dn_min((size_t)plan->config.batch_size, t->n_train), n_batches = (t->n_train + batch - 1) / batch;
    size_t first = (size_t)(step % n_batches) * batch, n = dn_min(t->n_train - first, batch);
    uint64_t n_steps = (uint64_t)plan->config.num_iterations;
    double loss;
    dn_step_report report;
    if (first == 0) {
        dn_labelled_rows(&t->texts, false, t->rows);
        dn_labelled_shuffle(&t->texts, t->rows, t->n_train, batch, (uint64_t)plan->config.seed, step / n_batches);
    }
    DN_TRY(gradient(t, t->rows + first, n, &loss));
    const dn_step_params params = {.step = step,
                                   .lr = plan->config.lr * dn_schedule_factor(&plan->lr_schedule, step, n_steps),
                                   .decay = dn_schedule_factor(&plan->decay_schedule, step, n_steps)};
    DN_TRY(dn_instance_step(&t->model.instance, &params, loss, &report));
    if (t->progress)
        t->progress(step + 1, n_steps, loss, t->context);
    if (isfinite(loss) && !report.skipped)
        return DN_OK;
    return dn_fail(DN_ERR_NUMERIC, "step %" PRIu64 ": the loss or its gradient is not finite; lower lr", step + 1);
}

/* ---- what it gave ---- */

/* The share of held-out texts whose class has the highest score, of equal ones the first; and the mean of
 * -log softmax(scores)[class]. */
static dn_status judge(dn_finetune_run *t, dn_finetuned *out)
{
    size_t K = t->labels.n_classes, right = 0;
    const uint32_t *rows = t->rows + t->n_train;
    double loss = 0;
    for (size_t at = 0, B, T; at < t->n_test; at += B) {
        B = dn_min(t->n_test - at, t->model.plan.micro_batch);
        dn_labelled_batch(&t->texts, rows + at, B, t->inputs, t->targets, &T);
        dn_model_set_length(t->model.instance.model, T);
        DN_TRY(dn_model_classify(t->model.instance.model, t->inputs, t->targets, B, t->scores, NULL));
        for (size_t b = 0; b < B; b++) {
            const dn_real *scores = t->scores + b * K;
            size_t class = (size_t)t->labels.rows[rows[at + b]].class, best = 0;
            double sum = 0;
            for (size_t k = 1; k < K; k++)
                best = scores[k] > scores[best] ? k : best;
            for (size_t k = 0; k < K; k++)
                sum += exp((double)scores[k] - (double)scores[best]);
            right += best == class;
            loss += log(sum) + (double)scores[best] - (double)scores[class];
        }
    }
    out->accuracy = (double)right / (double)t->n_test;
    out->loss = loss / (double)t->n_test;
    return isfinite(loss) ? DN_OK : dn_fail(DN_ERR_NUMERIC, "the loss of held-out texts is not finite; lower lr");
}

static dn_status largest_class(const dn_finetune_run *t, double *share)
{
    size_t *counts = calloc(t->labels.n_classes, sizeof *counts), most = 0;
    if (!counts)
        return dn_fail(DN_ERR_MEMORY, "no memory to count %zu classes", t->labels.n_classes);
    for (size_t i = 0; i < t->n_test; i++)
        most = dn_max(most, ++counts[t->labels.rows[t->rows[t->n_train + i]].class]);
    *share = (double)most / (double)t->n_test;
    free(counts);
    return DN_OK;
}

static dn_status learn(dn_finetune_run *t, dn_finetuned *out)
{
    const dn_plan *plan = &t->model.plan;
    out->n_trained = plan->n_trained_elements;
    out->bytes = plan->n_trained_elements * sizeof(dn_real);
    out->memory = plan->arena_bytes + plan->private_bytes;
    double started = dn_clock_s();
    for (uint64_t step = 0; step < (uint64_t)plan->config.num_iterations; step++)
        DN_TRY(train_step(t, step));
    out->seconds = dn_clock_s() - started;
    return judge(t, out);
}

static dn_status tune(dn_finetune_run *t, const way *w, dn_finetuned *out)
{
    DN_TRY(read_labels(t));
    *out = (dn_finetuned){.n_classes = t->labels.n_classes, .n_train = t->n_train, .n_test = t->n_test, .at_once = NAN};
    DN_TRY(largest_class(t, &out->largest));
    if (w->learn == learn || strcmp(t->what->encoder, "features") == 0) {
        if (!t->what->run)
            return dn_fail(DN_ERR_CONFIG, "no model is named: only hdc does without one, unless --encoder is features");
        DN_TRY(read_texts(t));
        DN_TRY(open_model(t, w->tuning));
        out->n_cut = t->texts.n_cut;
    }
    return w->learn(t, out);
}

dn_status dn_finetune(const dn_finetuning *what, void (*progress)(uint64_t done, uint64_t total, double loss, void *context),
                      void *context, dn_finetuned *out)
{
    const way *w = NULL;
    DN_TRY(find_way(what->how, &w));
    dn_finetune_run *t = calloc(1, sizeof *t);
    if (!t)
        return dn_fail(DN_ERR_MEMORY, "no memory to fine-tune");
    t->what = what;
    t->progress = progress;
    t->context = context;
    dn_status status = configure(what, w, &t->config);
    if (status == DN_OK)
        status = tune(t, w, out);
    close(t);
    free(t);
    return status;
}
