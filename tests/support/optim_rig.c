#include "support/optim_rig.h"

#include "base/fail.h"

#include <stdio.h>
#include <string.h>

dn_optim_config rig_config(void)
{
    dn_group plain = {.lr_scale = 1};
    return (dn_optim_config){
        .matrix_rule = DN_RULE_DION,
        .scalar_rule = DN_RULE_ADAMW,
        .groups = {plain, plain, plain, plain},
        .mu = 0.95,
        .rank_fraction = 0.25,
        .eps = 1e-8,
        .rank_multiple_of = 1,
        .power_iters = 1,
        .orth = DN_ORTH_CQR2,
        .compress = true,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .seed = 7,
    };
}

static void describe(dn_param *params, const rig_shape *shapes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        params[i] = (dn_param){.kind = shapes[i].kind, .rows = shapes[i].rows, .cols = shapes[i].cols};
        dn_param_set_whole(&params[i]);
        snprintf(params[i].name, sizeof params[i].name, "x%zu", i);
    }
}

static size_t rounded(size_t bytes)
{
    return (bytes + 127) / 128 * 128;
}

size_t rig_heap_bytes(const dn_optim_config *config, const rig_shape *shapes, size_t n)
{
    dn_param params[RIG_MAX] = {0};
    describe(params, shapes, n);
    size_t bytes = dn_optimizer_heap_bytes(config, params, n);
    for (size_t i = 0; i < n; i++)
        bytes += 2 * rounded(dn_param_size(&params[i]) * sizeof(dn_real));
    return bytes;
}

static dn_status take(dn_comm *comm, size_t count, dn_buf **out)
{
    void *memory;
    DN_TRY(dn_comm_alloc(comm, count * sizeof(dn_real), &memory));
    memset(memory, 0, count * sizeof(dn_real));
    *out = memory;
    return DN_OK;
}

dn_status rig_create(optim_rig *rig, dn_comm *comm, const char *kernels, const dn_optim_config *config,
                     const rig_shape *shapes, size_t n)
{
    *rig = (optim_rig){.comm = comm, .owns_comm = !comm, .n_params = n};
    describe(rig->params, shapes, n);
    if (!comm)
        DN_TRY(dn_comm_create_alone(rig_heap_bytes(config, shapes, n), &rig->comm));
    DN_TRY(dn_stream_create(kernels, 1, &rig->stream));
    for (size_t i = 0; i < n; i++)
        DN_TRY(take(rig->comm, dn_param_size(&rig->params[i]), &rig->params[i].weight));
    for (size_t i = 0; i < n; i++)
        DN_TRY(take(rig->comm, dn_param_size(&rig->params[i]), &rig->params[i].grad));
    return dn_optimizer_create(config, rig->params, n, rig->stream, rig->comm, &rig->optimizer);
}

void rig_destroy(optim_rig *rig)
{
    dn_optimizer_destroy(&rig->optimizer);
    dn_stream_destroy(&rig->stream);
    if (rig->owns_comm)
        dn_comm_destroy(&rig->comm);
}

static dn_real *elements(dn_buf *x)
{
    return (dn_real *)(void *)x;
}

dn_real *rig_weight(const optim_rig *rig, size_t i)
{
    return elements(rig->params[i].weight);
}

dn_real *rig_grad(const optim_rig *rig, size_t i)
{
    return elements(rig->params[i].grad);
}

const dn_state *rig_state(const optim_rig *rig, const char *prefix, size_t i)
{
    char name[sizeof((dn_state *)NULL)->name];
    snprintf(name, sizeof name, "%s.%s", prefix, rig->params[i].name);
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++)
        if (strcmp(dn_optimizer_state(rig->optimizer, k)->name, name) == 0)
            return dn_optimizer_state(rig->optimizer, k);
    return NULL;
}

dn_real *rig_state_data(const optim_rig *rig, const char *prefix, size_t i)
{
    return elements(rig_state(rig, prefix, i)->data);
}

void rig_set_grad(optim_rig *rig, size_t i, const double *grad)
{
    for (size_t k = 0; k < dn_param_size(&rig->params[i]); k++)
        rig_grad(rig, i)[k] = (dn_real)grad[k];
}

dn_status rig_step(optim_rig *rig, double lr)
{
    return dn_optimizer_step(rig->optimizer, rig->step++, lr, &rig->report);
}
