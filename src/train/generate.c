#include "dionode/train.h"

#include "base/fail.h"
#include "base/random.h"
#include "train/loaded_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256 };

static int descending(const void *a, const void *b)
{
    dn_real x = *(const dn_real *)a, y = *(const dn_real *)b;
    return (x < y) - (x > y);
}

/* The k-th largest logit. */
static dn_real candidate_threshold(const dn_real *logits, size_t V, size_t k)
{
    dn_real sorted[BYTES];
    memcpy(sorted, logits, V * sizeof *logits);
    qsort(sorted, V, sizeof *sorted, descending);
    return sorted[(k == 0 || k > V ? V : k) - 1];
}

/* Draws a token with probability ~ exp(logit / temperature) among the top k; u uniform in (0,1). */
static int32_t sample(const dn_real *logits, size_t V, const dn_sampling *sampling, double u)
{
    dn_real threshold = candidate_threshold(logits, V, (size_t)sampling->top_k);
    dn_real largest = candidate_threshold(logits, V, 1);
    double weight[BYTES], sum = 0.0;
    int32_t last = 0;
    for (size_t i = 0; i < V; i++) {
        double scaled = sampling->temperature > 0
                            ? ((double)logits[i] - (double)largest) / sampling->temperature
                            : (logits[i] == largest ? 0.0 : -INFINITY);
        weight[i] = logits[i] >= threshold ? exp(scaled) : 0.0;
        sum += weight[i];
    }
    double left = u * sum;
    for (size_t i = 0; i < V; i++) {
        if (weight[i] == 0.0)
            continue;
        last = (int32_t)i;
        left -= weight[i];
        if (left < 0)
            break;
    }
    return last;
}

static dn_status tokenize_prompt(const dn_loaded_model *model, const char *prompt, int32_t *tokens, size_t *n)
{
    size_t length = strlen(prompt), T = model->plan.spec.T;
    const unsigned char *bytes = (const unsigned char *)prompt + (length > T ? length - T : 0);
    *n = length > T ? T : length;
    for (size_t i = 0; i < *n; i++) {
        if (bytes[i] >= model->plan.spec.V)
            return dn_fail(DN_ERR_CONFIG, "the prompt's byte %d is not in the model's vocabulary of %zu",
                           bytes[i], model->plan.spec.V);
        tokens[i] = bytes[i];
    }
    if (*n == 0)
        tokens[(*n)++] = '\n'; /* the model needs a token: an empty prompt is a new line */
    return DN_OK;
}

/* tokens [T]: a sliding window. */
static dn_status continue_text(const dn_loaded_model *model, int32_t *tokens, size_t n,
                               const dn_sampling *sampling, void (*emit)(unsigned char byte, void *context),
                               void *context)
{
    size_t T = model->plan.spec.T;
    dn_real logits[BYTES];
    for (int64_t i = 0; i < sampling->n_tokens; i++) {
        DN_TRY(dn_model_next(model->instance.model, tokens, n, logits));
        for (size_t v = 0; v < model->plan.spec.V; v++)
            if (!isfinite(logits[v]))
                return dn_fail(DN_ERR_NUMERIC,
                               "the logits of this model are not finite: its run had diverged by step %llu; "
                               "use an older "
                               "checkpoint",
                               (unsigned long long)model->step);
        int32_t next =
            sample(logits, model->plan.spec.V, sampling, dn_random_uniform(sampling->seed, 0, (uint64_t)i));
        if (n == T)
            memmove(tokens, tokens + 1, (--n) * sizeof *tokens);
        tokens[n++] = next;
        emit((unsigned char)next, context);
    }
    return DN_OK;
}

static dn_status generate_with(const dn_loaded_model *model, const char *prompt, const dn_sampling *sampling,
                               void (*emit)(unsigned char byte, void *context), void *context)
{
    if (model->plan.spec.V > BYTES)
        return dn_fail(DN_ERR_CONFIG,
                       "the model's vocabulary of %zu is not of bytes; only those can be generated",
                       model->plan.spec.V);
    int32_t *tokens = malloc(model->plan.spec.T * sizeof *tokens);
    size_t n;
    if (!tokens)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu tokens", model->plan.spec.T);
    dn_status status = tokenize_prompt(model, prompt, tokens, &n);
    if (status == DN_OK)
        status = continue_text(model, tokens, n, sampling, emit, context);
    free(tokens);
    return status;
}

dn_status dn_generate(const char *run, const char *prompt, const dn_sampling *sampling,
                      void (*emit)(unsigned char byte, void *context), void *context)
{
    dn_loaded_model model;
    dn_status status = dn_loaded_model_open(&model, run, NULL, 0, 1);
    if (status == DN_OK)
        status = generate_with(&model, prompt, sampling, emit, context);
    dn_loaded_model_close(&model);
    return status;
}
