/* The GPT of microsoft/dion (nn/gpt.h) as an architecture. */
#include "nn/gpt.h"

#include "model/model.h"

static dn_status create(const dn_spec *spec, const dn_model_parts *parts, void **instance)
{
    dn_gpt *gpt = NULL;
    dn_status status = dn_gpt_create(spec, parts->B, parts->params, parts->weights, parts->tp, parts->exchange,
                                     parts->stream, &gpt);
    *instance = gpt;
    return status;
}

static void destroy(void *instance)
{
    dn_gpt *gpt = instance;
    dn_gpt_destroy(&gpt);
}

static void on_progress(void *instance, dn_progress_fn *progress, void *context)
{
    dn_gpt_on_progress(instance, progress, context);
}

static dn_status train(void *instance, const int32_t *tokens, const int32_t *targets, size_t B, double scale,
                       double *loss_sum)
{
    return dn_gpt_train(instance, tokens, targets, B, scale, loss_sum);
}

static dn_status loss(void *instance, const int32_t *tokens, const int32_t *targets, size_t B, double *loss_sum)
{
    return dn_gpt_loss(instance, tokens, targets, B, loss_sum);
}

static dn_status next(void *instance, const int32_t *tokens, size_t n, dn_real *logits)
{
    return dn_gpt_next(instance, tokens, n, logits);
}

const dn_architecture dn_architecture_gpt = {
    .name = "gpt",
    .help = "decoder with attention",
    .check = dn_gpt_check,
    .n_params = dn_gpt_n_params,
    .describe = dn_gpt_describe,
    .first_std = dn_gpt_first_std,
    .flops_per_token = dn_gpt_flops_per_token,
    .activation_bytes = dn_gpt_activation_bytes,
    .heap_bytes = dn_gpt_heap_bytes,
    .tp_bytes = dn_gpt_tp_bytes,
    .create = create,
    .destroy = destroy,
    .on_progress = on_progress,
    .train = train,
    .loss = loss,
    .next = next,
};
