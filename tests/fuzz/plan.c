/* Sizes of a run: every key of the table gets a number or a choice in its range, and the plan must either
 * refuse them or hold at least what they need by a count in floating point, which cannot wrap around. */
#include "fuzz/fuzz.h"

#include "train/plan.h"

#include <stdio.h>
#include <string.h>

/* A number of the key's range: near its lower end, a power of two, near its upper end, or any. */
static int64_t pick(fuzz_input *input, double min, double max)
{
    uint64_t how = fuzz_take(input, 1), span = (uint64_t)(max - min), at = 0;
    switch (how & 3) {
    case 0:
        at = how >> 2;
        break;
    case 1:
        at = UINT64_C(1) << (how >> 2);
        break;
    case 2:
        at = span - (how >> 2);
        break;
    default:
        at = fuzz_take(input, 7);
    }
    return (int64_t)min + (int64_t)(at <= span ? at : at % (span + 1));
}

static void pick_choice(fuzz_input *input, const char *choices, char *field)
{
    uint64_t n = fuzz_take(input, 1) % 8;
    for (const char *bar; n > 0 && (bar = strchr(choices, '|')); n--)
        choices = bar + 1;
    size_t length = strcspn(choices, "|");
    memcpy(field, choices, length);
    field[length] = '\0';
}

/* A byte of 0 to 3 in front of each key says whether it keeps its default: most inputs should get further
 * than the first check. */
static void pick_config(fuzz_input *input, dn_config *config)
{
    dn_config_init(config);
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        char *field = (char *)config + key->offset;
        if (fuzz_take(input, 1) % 4 != 1)
            continue;
        if (key->type == DN_KEY_INT) {
            int64_t number = pick(input, key->min, key->max);
            memcpy(field, &number, sizeof number);
        } else if (key->type == DN_KEY_REAL) {
            double number = key->min + (key->max - key->min) * (double)fuzz_take(input, 2) / 65535;
            memcpy(field, &number, sizeof number);
        } else if (key->type == DN_KEY_BOOL)
            *field = (char)(fuzz_take(input, 1) & 1);
        else if (key->type == DN_KEY_ENUM) {
            int number = (int)(fuzz_take(input, 1) % 5); /* one too many, or more */
            memcpy(field, &number, sizeof number);
        } else if (key->choices)
            pick_choice(input, key->choices, field);
    }
    config->n_layer = 1 + config->n_layer % 8; /* time goes with it, and the sums are linear in it */
}

/* Parameters that a model has at least: an embedding, and layers with attention, but for the mlp, with products of the
 * widths given; where none is given, any architecture's MLP is twice as wide as the model. */
static double least_elements(const dn_config *c)
{
    double C = (double)c->model_dim, head = c->head_dim ? (double)c->head_dim : C / (double)c->n_head;
    double heads = head * (double)c->n_head, shared = head * (double)(c->n_kv_head ? c->n_kv_head : c->n_head);
    double hidden = c->mlp_dim ? (double)c->mlp_dim : 2 * C;
    bool attends = strcmp(c->architecture, "mlp") != 0;
    return C * (double)c->vocab_size + (attends ? (double)c->n_layer * C * 2 * (heads + shared + hidden) : 0);
}

static void check(const dn_plan *plan)
{
    const dn_config *c = &plan->config;
    double ranks = (double)plan->mesh[DN_DP] * plan->mesh[DN_PP] * plan->mesh[DN_FS] * plan->mesh[DN_TP];
    double elements = least_elements(c);
    double cut = (double)plan->mesh[DN_PP] * plan->mesh[DN_FS] * plan->mesh[DN_TP]; /* some stage has its part at least */
    FUZZ_EXPECT(ranks == plan->n_workers && plan->n_workers <= DN_MAX_RANKS, "%g ranks, %d workers",
                ranks, plan->n_workers);
    FUZZ_EXPECT(plan->micro_batch >= 1 && (double)plan->micro_batch <= (double)c->device_batch_size,
                "%zu sequences at a time, device_batch_size %lld", plan->micro_batch,
                (long long)c->device_batch_size);
    double need = elements / cut * sizeof(dn_real);
    FUZZ_EXPECT((double)plan->parameter_bytes >= need, "%zu bytes for parameters of %g",
                plan->parameter_bytes, need);
    FUZZ_EXPECT((double)plan->arena_bytes >= (c->lora_rank ? need : 2 * need), "%zu bytes of arena for weights and gradients of %g",
                plan->arena_bytes, need);
    FUZZ_EXPECT(plan->arena_bytes >= plan->parameter_bytes, "arena %zu, parameters %zu", plan->arena_bytes,
                plan->parameter_bytes);
    need = (double)plan->micro_batch * (double)c->sequence_length * (double)c->model_dim * sizeof(dn_real) /
           plan->mesh[DN_TP];
    FUZZ_EXPECT((double)plan->private_bytes >= need, "%zu bytes for activations of at least %g",
                plan->private_bytes, need);
    double rows = 0;
    for (int i = 0; i < plan->n_dealt; i++) {
        const int at[DN_N_AXES] = {[DN_DP] = i / plan->mesh[DN_FS], [DN_FS] = i % plan->mesh[DN_FS]};
        dn_range mine = dn_plan_rows(plan, (size_t)c->batch_size, at);
        rows += (double)(mine.end - mine.first);
    }
    FUZZ_EXPECT(rows == (double)c->batch_size, "%g rows of a batch of %lld", rows, (long long)c->batch_size);
    FUZZ_EXPECT((double)dn_plan_rounds(plan, (size_t)c->batch_size) * (double)plan->micro_batch *
                        plan->n_dealt >=
                    (double)c->batch_size,
                "%zu rounds of %zu sequences on %d workers for a batch of %lld",
                dn_plan_rounds(plan, (size_t)c->batch_size), plan->micro_batch, plan->n_dealt,
                (long long)c->batch_size);
}

static void run(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    dn_config config;
    dn_plan plan;
    pick_config(&input, &config);
    int n_workers = 0;
    dn_status status = dn_plan_mesh(&config, &n_workers);
    if (status == DN_OK && n_workers == 0) /* left open: what the machine would give */
        n_workers = 1 + (int)(fuzz_take(&input, 1) & 7);
    if (status == DN_OK)
        status = dn_plan_make(&config, n_workers, &plan);
    if (status == DN_OK)
        check(&plan);
    else
        FUZZ_EXPECT_FAILURE(status, DN_ERR_CONFIG, DN_ERR_MEMORY);
}

const fuzz_target fuzz_plan = {"plan", run, 300};
