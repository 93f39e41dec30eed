/* Fine-tuning on labelled texts (dn_finetune): what is added to a model, what of it is trained, and by which processes. */
#include "base/fail.h"
#include "base/human.h"
#include "base/printable.h"
#include "base/size.h"
#include "device/device.h"
#include "device/place.h"
#include "dionode/launch.h"
#include "dionode/topo.h"
#include "shm/limits.h"
#include "train/clients.h"
#include "train/config_value.h"
#include "train/finetune.h"
#include "train/init.h"
#include "train/prompt_layers.h"
#include "train/prompt_share.h"
#include "train/train.h"

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

static const way ways[] = {
    {"head", {"lr=0.01"}, "[score.weight]", {0}, dn_finetune_learn},
    {"full", {"lr=0.001"}, "", {0}, dn_finetune_learn},
    {"sherl", {"lr=0.003"}, "[score.weight]", {.sherl = 32}, dn_finetune_learn},
    {"prompt", {"lr=0.03"}, "[score.weight]", {.prompt = 20}, dn_finetune_learn},
    {"lora", {"lr=0.003", "lora_rank=8"}, "[score.weight]", {0}, dn_finetune_learn},
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
                                        "sequence_length", "lora_rank", "lora_alpha", "lora_targets", "seed", "device", "dp_size", "fs_size", "tp_size", "fs_gather", "strategy",
                                        "clients", "local_steps", "partition", "client_speeds", "client_links", "timeout_s"};
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(assignment, "="), assignment);
    const dn_key *key = dn_config_find(name);
    bool is_taken = !key || dn_config_option(key) >= 0 || dn_config_strategy_option(key) >= 0; /* of an unknown key dn_config_set tells */
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        is_taken = is_taken || strcmp(taken[i], name) == 0;
    if (key && w->learn != dn_finetune_learn) /* no steps */
        is_taken = strcmp(name, "seed") == 0 || strcmp(name, "device_batch_size") == 0 || strcmp(name, "clients") == 0 ||
                   strcmp(name, "partition") == 0 || strcmp(name, "timeout_s") == 0;
    if (strncmp(name, "lora_", 5) == 0 && strcmp(w->name, "lora") != 0)
        return dn_fail(DN_ERR_CONFIG, "%s is of adapters, which %s has none of: leave it out", name, w->name);
    return is_taken ? DN_OK : dn_fail(DN_ERR_CONFIG, "%s changes nothing here: leave it out", name);
}

static bool needs_model(const dn_finetuning *what, const way *w)
{
    return w->learn == dn_finetune_learn || strcmp(what->encoder, "features") == 0;
}

/* What is not key=value. */
static dn_status check_options(const dn_finetuning *what, const way *w, const dn_config *config)
{
    bool by_curvature = what->prompt_layers == DN_PROMPT_LAYERS_AUTO;
    if (!by_curvature && !(what->prompt_layers >= 0 && what->prompt_layers <= 1))
        return dn_fail(DN_ERR_CONFIG, "--prompt-layers is the share of blocks that get prompts: above 0, up to 1; or auto");
    if (by_curvature && w->tuning.prompt > 0 && !config->clients)
        return dn_fail(DN_ERR_CONFIG, "--prompt-layers auto: clients find the share; add --clients N, or say a share");
    if (needs_model(what, w) && !what->run)
        return dn_fail(DN_ERR_CONFIG, "no model is named: only hdc does without one, unless --encoder is features");
    return w->learn == dn_finetune_hdc ? dn_finetune_hdc_check(what) : DN_OK;
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
    if (config->clients && w->learn == dn_finetune_learn && !*config->strategy)
        strcpy(config->strategy, "fedavg");
    return check_options(what, w, config);
}

dn_status dn_finetune_check(const dn_finetuning *what)
{
    const way *w = NULL;
    dn_config config;
    DN_TRY(find_way(what->how, &w));
    return configure(what, w, &config);
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

dn_status dn_finetune_deal(dn_finetune_run *t)
{
    const dn_config *c = &t->config;
    dn_partition_rule rule;
    DN_TRY(dn_partition_parse(c->partition, "partition", &rule));
    size_t K = t->labels.n_classes, n = 0, *first = calloc(K + 1, sizeof *first);
    t->by_client = calloc(t->n_train, sizeof *t->by_client);
    if (!t->by_client || !first) {
        free(first);
        return dn_fail(DN_ERR_MEMORY, "no memory for the rows of %lld clients", (long long)c->clients);
    }
    dn_labelled_rows(&t->texts, false, t->by_client);
    for (size_t k = 0; k < K && rule.kind != DN_PARTITION_IID; k++) {
        first[k] = n;
        for (size_t row = 0; row < t->labels.n; row++)
            if (!dn_labels_held_out(row) && (size_t)t->labels.rows[row].class == k)
                t->by_client[n++] = (uint32_t)row;
    }
    first[K] = t->n_train;
    t->n_clients = (int)c->clients;
    dn_status status = dn_partition_create_by_label(&rule, first, K, (int)c->clients, (uint64_t)c->seed, &t->partition);
    free(first);
    return status;
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

/* As many steps as take the texts EPOCHS times, or versions of clients. */
static dn_status count_steps(dn_finetune_run *t, const dn_tuning *tuning)
{
    dn_config *c = &t->config;
    size_t a_step = (size_t)c->batch_size;
    if (dn_config_says(c, dn_config_find("num_iterations")))
        return DN_OK;
    if (c->clients) {
        dn_plan plan;
        DN_TRY(dn_plan_tuning(c, tuning, t->n_workers, &plan));
        size_t of_client = plan.clients.local_steps ? (size_t)plan.clients.local_steps * a_step : (t->n_train + (size_t)c->clients - 1) / (size_t)c->clients;
        a_step = dn_max(dn_size_mul(of_client, (size_t)plan.clients.quorum), 1);
    }
    c->num_iterations = (int64_t)((EPOCHS * t->n_train + a_step - 1) / a_step);
    if (!c->clients) /* whole batches, and a rest, of each epoch */
        c->num_iterations = (int64_t)(EPOCHS * ((t->n_train + a_step - 1) / a_step));
    return DN_OK;
}

static dn_status show_life(void *context, bool together)
{
    dn_finetune_run *t = context;
    (void)together;
    return dn_comm_tick(t->model.comm, 0, "fine-tuning");
}

static dn_status open_model(dn_finetune_run *t, const dn_tuning *tuning)
{
    DN_TRY(dn_loaded_model_tune(&t->model, &t->config, tuning, t->comm));
    dn_model_on_progress(t->model.instance.model, show_life, t);
    size_t B = t->model.plan.micro_batch, tokens = B * t->texts.most;
    t->inputs = calloc(tokens, sizeof *t->inputs);
    t->targets = calloc(tokens, sizeof *t->targets);
    t->scores = calloc(B * t->labels.n_classes, sizeof *t->scores);
    return t->inputs && t->targets && t->scores ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for a micro-batch of %zu tokens", tokens);
}

/* ---- in this process ---- */

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

static void close_model(dn_finetune_run *t)
{
    dn_loaded_model_close(&t->model);
    free(t->inputs);
    free(t->targets);
    free(t->scores);
    t->inputs = t->targets = NULL;
    t->scores = NULL;
}

static void close(dn_finetune_run *t)
{
    close_model(t);
    dn_labelled_close(&t->texts);
    dn_labels_close(&t->labels);
    dn_partition_destroy(&t->partition);
    free(t->by_client);
    free(t->rows);
}

/* Of the model that it takes to choose which blocks get prompts. */
static dn_tuning tuning_to_choose(const dn_tuning *tuning)
{
    return (dn_tuning){.classes = tuning->classes, .outputs = true};
}

static bool chooses_blocks(const dn_finetune_run *t, const dn_tuning *tuning)
{
    return tuning->prompt > 0 && t->what->prompt_layers != 0 && t->what->prompt_layers < 1;
}

/* What is found out with a model that is opened for it, before the one that learns. */
typedef struct choice {
    double share;      /* of blocks that get prompts */
    uint64_t left_out; /* the others, one bit each */
    dn_finetuned *out; /* counts what clients exchange for it */
} choice;

static dn_status before(dn_finetune_run *t, const dn_tuning *tuning, dn_status (*find_out)(dn_finetune_run *t, choice *x), choice *x)
{
    size_t mark = t->comm ? dn_comm_heap_mark(t->comm) : 0;
    dn_status status = open_model(t, tuning);
    if (status == DN_OK)
        status = find_out(t, x);
    close_model(t);
    if (status != DN_OK)
        return status;
    t->model = (dn_loaded_model){0};
    return t->comm ? dn_comm_heap_release(t->comm, mark) : DN_OK;
}

/* Clients send a number each. */
static dn_status find_share(dn_finetune_run *t, choice *x)
{
    DN_TRY(dn_finetune_clients(t, dn_min((uint64_t)t->config.num_iterations, DN_SHARE_VERSIONS), x->out));
    DN_TRY(dn_prompt_measure_share(t, &x->share));
    x->out->exchanged += sizeof(double) * (double)t->n_clients;
    dn_log(DN_LOG_INFO, "prompts in %.3g of the blocks, by the loss's curvature", x->share);
    return DN_OK;
}

/* Clients send scores of all blocks but the last, and get as many bits as there may be blocks. */
static dn_status find_blocks(dn_finetune_run *t, choice *x)
{
    x->out->exchanged += sizeof(double) * (double)t->model.plan.spec.L * t->n_clients;
    return dn_prompt_choose(t, x->share, &x->left_out);
}

/* *tuning, of prompts in all blocks: with prompts in those alone that are chosen. */
static dn_status choose_blocks(dn_finetune_run *t, dn_tuning *tuning, dn_finetuned *out)
{
    choice x = {.share = t->what->prompt_layers, .out = out};
    const dn_tuning plain = tuning_to_choose(tuning);
    if (x.share == DN_PROMPT_LAYERS_AUTO)
        DN_TRY(before(t, tuning, find_share, &x));
    DN_TRY(before(t, &plain, find_blocks, &x));
    tuning->unprompted = x.left_out;
    return DN_OK;
}

/* What it takes to find the share by curvature is more than the model's own memory where little is trained of it. */
static dn_status check_memory(const dn_finetune_run *t, const dn_tuning *tuning)
{
    dn_plan plan;
    char need[24], have[24];
    DN_TRY(dn_plan_tuning(&t->config, tuning, t->n_workers, &plan));
    size_t vectors = dn_prompt_share_bytes(plan.n_trained_elements), each = dn_size_add(dn_size_add(plan.arena_bytes, plan.private_bytes), vectors),
           all = dn_size_mul((size_t)t->n_workers, each), room = dn_limits_memory("");
    if (all <= room)
        return DN_OK;
    return dn_fail(DN_ERR_MEMORY, "--prompt-layers auto: %d worker%s with %d vectors of %zu numbers each need %s in all, and %s are available: "
                   "use fewer workers, or say a share", t->n_workers, dn_plural(t->n_workers), DN_SHARE_PRODUCTS + 1, plan.n_trained_elements,
                   dn_human_size((double)all, need, sizeof need), dn_human_size((double)room, have, sizeof have));
}

/* All that is read before there is a model: texts, and what is trained, and how; *needs: whether there is to be one. */
static dn_status prepare(dn_finetune_run *t, const way *w, dn_tuning *tuning, bool *needs)
{
    DN_TRY(configure(t->what, w, &t->config));
    DN_TRY(read_labels(t));
    *tuning = w->tuning;
    tuning->classes = t->labels.n_classes;
    *needs = needs_model(t->what, w);
    if (t->config.clients)
        DN_TRY(dn_finetune_deal(t));
    if (!*needs)
        return DN_OK;
    if (w->learn != dn_finetune_learn) { /* what is trained is not the model */
        t->config.clients = 0;
        t->config.dp_size = t->config.fs_size = t->config.tp_size = 0;
    }
    DN_TRY(read_texts(t));
    DN_TRY(count_steps(t, tuning));
    bool by_curvature = tuning->prompt > 0 && t->what->prompt_layers == DN_PROMPT_LAYERS_AUTO;
    return by_curvature && !t->comm ? check_memory(t, tuning) : DN_OK; /* for workers the launcher has looked */
}

static dn_status tune(dn_finetune_run *t, const way *w, dn_finetuned *out)
{
    dn_tuning tuning;
    bool needs;
    DN_TRY(prepare(t, w, &tuning, &needs));
    *out = (dn_finetuned){.n_classes = t->labels.n_classes, .n_train = t->n_train, .n_test = t->n_test, .at_once = NAN};
    DN_TRY(largest_class(t, &out->largest));
    if (chooses_blocks(t, &tuning))
        DN_TRY(choose_blocks(t, &tuning, out));
    if (needs)
        DN_TRY(open_model(t, &tuning));
    out->n_cut = t->texts.n_cut;
    return w->learn(t, out);
}

/* In this process: alone, or as a worker. */
static dn_status run(const dn_finetuning *what, dn_comm *comm,
                     void (*progress)(uint64_t done, uint64_t total, double loss, void *context), void *context, dn_finetuned *out)
{
    const way *w = NULL;
    DN_TRY(find_way(what->how, &w));
    dn_finetune_run *t = calloc(1, sizeof *t);
    if (!t)
        return dn_fail(DN_ERR_MEMORY, "no memory to fine-tune");
    *t = (dn_finetune_run){.what = what, .comm = comm, .n_workers = 1, .context = context};
    if (comm) {
        t->rank = dn_comm_rank(comm);
        t->n_workers = dn_comm_size(comm);
    }
    t->progress = t->rank == 0 ? progress : NULL;
    dn_status status = tune(t, w, out);
    close(t);
    free(t);
    return status;
}

dn_status dn_finetune(const dn_finetuning *what, void (*progress)(uint64_t done, uint64_t total, double loss, void *context),
                      void *context, dn_finetuned *out)
{
    return run(what, NULL, progress, context, out);
}

/* ---- several workers ---- */

enum { SMALL_HEAP = 1 << 20 }; /* of what needs no model */

static dn_status plan_launch(dn_finetune_run *t, const way *w, dn_plan *plan)
{
    dn_tuning tuning;
    bool needs;
    DN_TRY(prepare(t, w, &tuning, &needs));
    size_t to_choose = 0;
    if (chooses_blocks(t, &tuning)) {
        const dn_tuning plain = tuning_to_choose(&tuning);
        DN_TRY(dn_plan_tuning(&t->config, &plain, t->n_workers, plan));
        to_choose = plan->arena_bytes;
    }
    if (needs) {
        DN_TRY(dn_plan_tuning(&t->config, &tuning, t->n_workers, plan));
        plan->arena_bytes = dn_max(plan->arena_bytes, to_choose);
        return DN_OK;
    }
    *plan = (dn_plan){.config = t->config, .arena_bytes = SMALL_HEAP};
    return DN_OK;
}

dn_status dn_finetune_launch(const dn_finetuning *what, int n_workers, char *const *argv, int *signal_out)
{
    const way *w = NULL;
    dn_plan *plan = calloc(1, sizeof *plan);
    dn_finetune_run *t = calloc(1, sizeof *t);
    dn_topo *topo = NULL;
    dn_status status = plan && t ? find_way(what->how, &w) : dn_fail(DN_ERR_MEMORY, "no memory to fine-tune");
    if (status == DN_OK) {
        *t = (dn_finetune_run){.what = what, .n_workers = n_workers};
        status = plan_launch(t, w, plan);
    }
    if (t)
        close(t);
    if (status == DN_OK)
        status = dn_topo_create(n_workers, &topo);
    if (status == DN_OK) {
        dn_device_place(plan->config.device, topo);
        const dn_launch_spec spec = {
            .topo = topo, .argv = argv, .arena_bytes = plan->arena_bytes, .deadline_s = plan->config.timeout_s};
        dn_train_warn(topo);
        status = dn_launch(&spec, signal_out);
    }
    dn_topo_destroy(&topo);
    free(plan);
    free(t);
    return status;
}

int dn_finetune_worker(const dn_finetuning *what, void (*progress)(uint64_t done, uint64_t total, double loss, void *context),
                       void (*done)(const dn_finetuned *result, void *context), void *context)
{
    const way *w = NULL;
    dn_config config;
    dn_finetuned result;
    dn_comm *comm = NULL;
    dn_status status = find_way(what->how, &w);
    if (status == DN_OK)
        status = configure(what, w, &config);
    if (status == DN_OK)
        status = dn_device_select(config.device, config.device_debug);
    if (status == DN_OK)
        status = dn_comm_join(0, config.timeout_s, &comm);
    bool first = status == DN_OK && dn_comm_rank(comm) == 0;
    if (status == DN_OK && !first)
        dn_log_set(NULL, NULL); /* what all ranks notice, one tells */
    if (status == DN_OK)
        status = run(what, comm, progress, context, &result);
    if (status == DN_OK && first)
        done(&result, context);
    return dn_comm_leave(&comm, status == DN_FINETUNE_STOPPED ? DN_OK : status);
}
