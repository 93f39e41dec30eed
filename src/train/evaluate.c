#include "dionode/train.h"

#include "base/fail.h"
#include "data/loader.h"
#include "train/model.h"
#include "train/plan.h"

#include <stdlib.h>

enum { ROWS_AT_ONCE = 8 };

typedef struct evaluation {
    dn_model *model;
    dn_loader loader;
    int32_t *inputs, *targets;
    void (*progress)(uint64_t done, uint64_t total, void *context);
    void *context;
} evaluation;

static dn_status sum_losses(const evaluation *e, size_t n_rows, double *sum)
{
    size_t T = e->loader.T;
    for (size_t row = 0, n; row < n_rows; row += n) {
        n = n_rows - row < ROWS_AT_ONCE ? n_rows - row : ROWS_AT_ONCE;
        for (size_t i = 0; i < n; i++)
            DN_TRY(dn_loader_row(&e->loader, row + i, e->inputs + i * T, e->targets + i * T));
        DN_TRY(dn_gpt_loss(e->model->gpt, e->inputs, e->targets, n, sum));
        if (e->progress)
            e->progress((row + n) * T, n_rows * T, e->context);
    }
    return DN_OK;
}

static dn_status evaluate_tokens(evaluation *e, double *loss, uint64_t *n_tokens)
{
    size_t T = e->loader.T, rows = dn_loader_rows(&e->loader),
           val_tokens = (size_t)e->model->config.val_tokens;
    if (val_tokens && rows > (val_tokens + T - 1) / T)
        rows = (val_tokens + T - 1) / T;
    if (rows == 0)
        return dn_fail(DN_ERR_DATA, "the validation files hold less than one sequence of %zu tokens", T);
    e->inputs = malloc(ROWS_AT_ONCE * T * sizeof *e->inputs);
    e->targets = malloc(ROWS_AT_ONCE * T * sizeof *e->targets);
    double sum = 0.0;
    dn_status status = DN_OK;
    if (!e->inputs || !e->targets)
        status = dn_fail(DN_ERR_MEMORY, "no memory for %zu tokens", ROWS_AT_ONCE * T);
    if (status == DN_OK)
        status = sum_losses(e, rows, &sum);
    free(e->inputs);
    free(e->targets);
    *n_tokens = rows * T;
    *loss = sum / (double)*n_tokens;
    return status;
}

static dn_status evaluate_model(dn_model *model, evaluation *e, double *loss, uint64_t *n_tokens)
{
    char pattern[DN_PATH_MAX + 16];
    dn_tokens *tokens;
    dn_plan_files(&model->config, true, pattern, sizeof pattern);
    DN_TRY(dn_tokens_open(pattern, &tokens));
    e->model = model;
    e->loader = (dn_loader){tokens, model->shape.T, model->shape.V, 0, false};
    dn_status status = evaluate_tokens(e, loss, n_tokens);
    dn_tokens_close(&tokens);
    return status;
}

dn_status dn_evaluate(const char *run, const char *const *assignments, size_t n,
                      void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                      double *loss, uint64_t *n_tokens)
{
    dn_model model;
    evaluation e = {.progress = progress, .context = context};
    dn_status status = dn_model_open(&model, run, assignments, n, ROWS_AT_ONCE);
    if (status == DN_OK)
        status = evaluate_model(&model, &e, loss, n_tokens);
    dn_model_close(&model);
    return status;
}
