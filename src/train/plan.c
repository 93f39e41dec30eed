#include "train/plan.h"

#include "base/fail.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dn_plan_mesh(const dn_config *c)
{
    if (!c->dp_size && !c->fs_size && !c->tp_size)
        return 0;
    int64_t dp = c->dp_size ? c->dp_size : 1, fs = c->fs_size ? c->fs_size : 1,
            tp = c->tp_size ? c->tp_size : 1;
    return (int)(dp * fs * tp);
}

void dn_plan_files(const dn_config *c, bool validation, char *pattern, size_t bytes)
{
    const char *given = validation ? c->val_files : c->train_files;
    if (*given)
        snprintf(pattern, bytes, "%s", given);
    else
        snprintf(pattern, bytes, "%s/*%s*.bin", c->data_dir, validation ? "val" : "train");
}

static dn_rule rule(const char *name)
{
    return strcmp(name, "dion") == 0    ? DN_RULE_DION
           : strcmp(name, "adamw") == 0 ? DN_RULE_ADAMW
                                        : DN_RULE_LION;
}

static dn_orth orth(const char *name)
{
    static const struct {
        const char *name;
        dn_orth method;
    } methods[] = {{"qr", DN_ORTH_QR}, {"cqr", DN_ORTH_CQR}, {"rcqr", DN_ORTH_RCQR}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, name) == 0)
            return methods[i].method;
    return DN_ORTH_CQR2;
}

/* Learning-rate factors and decay by kind of parameter: dion.md 1.9. */
static dn_optim_config optim_config(const dn_config *c)
{
    dn_optim_config o = {
        .matrix_rule = rule(c->optimizer),
        .scalar_rule = rule(c->scalar_opt),
        .mu = c->mu,
        .rank_fraction = c->ortho_fraction,
        .eps = c->epsilon,
        .rank_multiple_of = (size_t)c->rank_multiple_of,
        .power_iters = (int)c->power_iters,
        .orth = orth(c->qr_method),
        .compress = c->replicate_mesh_grad_sync,
        .momentum_sync_every = (int)c->momentum_sync_every,
        .beta1 = c->beta1,
        .beta2 = c->beta2,
        .seed = (uint64_t)c->seed,
    };
    o.groups[DN_PARAM_MATRIX] = (dn_group){1.0, c->weight_decay};
    o.groups[DN_PARAM_EMBEDDING] = (dn_group){1.0, 0.0};
    o.groups[DN_PARAM_VECTOR] = (dn_group){1.0, 0.0};
    double head_scale = o.scalar_rule == DN_RULE_LION ? 1.0 / sqrt((double)c->model_dim) : 1.0;
    o.groups[DN_PARAM_HEAD] = (dn_group){head_scale, 0.0};
    return o;
}

static dn_status check_mesh(const dn_config *c, int n_workers)
{
    if (c->fs_size > 1 || c->tp_size > 1)
        return dn_fail(DN_ERR_CONFIG, "%s: sharded meshes are not available yet; use dp_size for replicas",
                       c->fs_size > 1 ? "fs_size" : "tp_size");
    int asked = dn_plan_mesh(c);
    if (asked && asked != n_workers)
        return dn_fail(DN_ERR_CONFIG,
                       "dp_size asks for %d workers but %d are to be started; leave one of them out", asked,
                       n_workers);
    return DN_OK;
}

static dn_status plan_batches(const dn_config *c, dn_plan *plan)
{
    if (c->batch_size % plan->n_workers != 0)
        return dn_fail(DN_ERR_CONFIG, "batch_size %lld does not divide by the %d workers; choose a multiple",
                       (long long)c->batch_size, plan->n_workers);
    plan->rank_batch = (size_t)(c->batch_size / plan->n_workers);
    plan->micro_batch = (size_t)c->device_batch_size;
    if (plan->micro_batch > plan->rank_batch)
        plan->micro_batch = plan->rank_batch;
    if (plan->rank_batch % plan->micro_batch != 0)
        return dn_fail(
            DN_ERR_CONFIG,
            "a worker's %zu sequences a step do not divide by device_batch_size %lld; choose a divisor",
            plan->rank_batch, (long long)c->device_batch_size);
    return DN_OK;
}

static dn_status plan_memory(dn_plan *plan)
{
    dn_param *params = calloc(plan->n_params, sizeof *params);
    if (!params)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu parameter descriptions", plan->n_params);
    dn_arena weights = {0}, grads = {0};
    const int size[DN_N_AXES] = {1, 1, 1}, at[DN_N_AXES] = {0, 0, 0};
    dn_gpt_layout(&plan->shape, size, at, &weights, &grads, params);
    plan->parameter_bytes = weights.used;
    plan->arena_bytes =
        weights.used + grads.used + dn_optimizer_heap_bytes(&plan->optim, params, plan->n_params);
    plan->private_bytes = dn_gpt_activation_bytes(&plan->shape, plan->micro_batch, 1);
    free(params);
    return DN_OK;
}

dn_status dn_plan_make(const dn_config *c, int n_workers, dn_plan *plan)
{
    memset(plan, 0, sizeof *plan);
    plan->config = *c;
    plan->n_workers = n_workers;
    plan->shape = (dn_gpt_shape){.V = (size_t)c->vocab_size,
                                 .T = (size_t)c->sequence_length,
                                 .C = (size_t)c->model_dim,
                                 .L = (size_t)c->n_layer,
                                 .NH = (size_t)c->n_head};
    DN_TRY(dn_gpt_check(&plan->shape));
    DN_TRY(check_mesh(c, n_workers));
    DN_TRY(plan_batches(c, plan));
    plan->optim = optim_config(c);
    plan->n_params = dn_gpt_n_params(&plan->shape);
    return plan_memory(plan);
}
