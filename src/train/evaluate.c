#include "dionode/train.h"

#include "base/fail.h"
#include "data/loader.h"
#include "train/loaded_model.h"
#include "train/init.h"
#include "train/plan.h"

#include <math.h>
#include <string.h>

enum { ROWS_AT_ONCE = 8 };

/* Keys of the model are compared with the checkpoint's; all others would change nothing, and are refused. */
static dn_status check_key(const char *assignment)
{
    static const char *const taken[] = {"data_dir", "val_files", "data_format", "val_tokens", "sequence_length", "channel", "device"};
    size_t length = strcspn(assignment, "=");
    bool is_taken = true;
    for (const dn_key *key = dn_config_keys(); key->name; key++)
        if (strlen(key->name) == length && strncmp(key->name, assignment, length) == 0)
            is_taken = key->role == DN_KEY_MODEL;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        is_taken = is_taken || (strlen(taken[i]) == length && strncmp(taken[i], assignment, length) == 0);
    if (is_taken)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG,
                   "%.*s changes nothing in an evaluation, which takes data_dir, val_files, data_format, val_tokens, "
                   "sequence_length, channel and device; leave it out", (int)length, assignment);
}

typedef struct evaluation {
    dn_loader loader;
    uint64_t n_tokens; /* to be evaluated, and then, of these, targets that count */
    double bytes;      /* of text per token; NaN: unknown */
    void (*progress)(uint64_t done, uint64_t total, void *context);
    void *context;
} evaluation;

static dn_status read_row(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const evaluation *e = context;
    if (e->progress)
        e->progress((row + 1) * e->loader.T, e->n_tokens, e->context);
    return dn_loader_row(&e->loader, row, inputs, targets);
}

static dn_status evaluate_tokens(evaluation *e, dn_loaded_model *model, double *loss)
{
    size_t T = e->loader.T, rows = dn_loader_rows(&e->loader),
           val_tokens = (size_t)model->plan.config.val_tokens;
    if (val_tokens && rows > (val_tokens + T - 1) / T)
        rows = (val_tokens + T - 1) / T;
    if (rows == 0)
        return dn_fail(DN_ERR_DATA, "the validation files have less than one sequence of %zu tokens", T);
    size_t counted;
    DN_TRY(dn_loader_counted(&e->loader, 0, rows, &counted));
    if (counted == 0)
        return dn_fail(DN_ERR_DATA, "of %zu validation tokens none counts as a target: raise val_tokens", rows * T);
    e->n_tokens = rows * T;
    DN_TRY(dn_instance_loss(&model->instance, read_row, e, 0, rows, loss));
    e->n_tokens = counted;
    *loss /= (double)counted;
    if (isfinite(*loss))
        return DN_OK;
    return model->foreign ? dn_fail(DN_ERR_NUMERIC, "%s: the loss of this model is not finite", model->plan.config.init_from)
                          : dn_fail(DN_ERR_NUMERIC,
                                    "the loss of this model is not finite: its run had diverged by step %llu; use an "
                                    "older checkpoint",
                                    (unsigned long long)model->step);
}

static dn_status evaluate_model(dn_loaded_model *model, evaluation *e, double *loss)
{
    dn_tokens *tokens;
    if (model->foreign)
        DN_TRY(dn_init_tokenizer(&model->plan.config, &model->tokenizer));
    DN_TRY(dn_plan_tokens(&model->plan.config, true, &tokens));
    uint64_t text = dn_tokens_origin_of(tokens).text_bytes;
    e->bytes = text                        ? (double)text / (double)dn_tokens_count(tokens)
               : model->plan.spec.V <= 256 ? 1 /* of files that are read as bytes */
                                           : NAN;
    e->loader = (dn_loader){.tokens = tokens, .T = model->plan.spec.T, .vocab_size = model->plan.spec.V};
    dn_status status = dn_plan_same_tokenizer(model->tokenizer, dn_tokens_origin_of(tokens).tokenizer, "validation files");
    if (status == DN_OK)
        status = evaluate_tokens(e, model, loss);
    dn_tokens_close(&tokens);
    return status;
}

dn_status dn_evaluate(const char *run, const char *const *assignments, size_t n,
                      void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                      dn_evaluation *out)
{
    for (size_t i = 0; i < n; i++)
        DN_TRY(check_key(assignments[i]));
    dn_loaded_model model;
    evaluation e = {.progress = progress, .context = context};
    dn_status status = dn_loaded_model_open(&model, run, assignments, n, ROWS_AT_ONCE);
    double loss = NAN;
    if (status == DN_OK)
        status = evaluate_model(&model, &e, &loss);
    if (status == DN_OK)
        *out = (dn_evaluation){.loss = loss,
                               .bits_per_byte = loss / M_LN2 / e.bytes,
                               .n_tokens = e.n_tokens,
                               .step = model.step};
    dn_loaded_model_close(&model);
    return status;
}
