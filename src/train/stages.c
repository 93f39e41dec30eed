/* How a model is cut into stages, before anything runs; and how long its parts take. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/human.h"
#include "base/printable.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "dionode/train.h"
#include "model/instance.h"
#include "tensor/axes.h"
#include "train/instance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

dn_status dn_train_print_stages(const dn_config *config, const int size[DN_N_AXES], FILE *out)
{
    dn_config c = *config;
    dn_plan whole;
    c.dp_size = size[DN_DP];
    c.pp_size = dn_axis_size(size, DN_PP);
    c.fs_size = size[DN_FS];
    c.tp_size = size[DN_TP];
    DN_TRY(dn_plan_make(&c, dn_axes_size(size, DN_ALL_AXES), &whole));
    int n = whole.mesh[DN_PP];
    size_t M = dn_plan_rounds(&whole, (size_t)c.batch_size);
    fprintf(out, "%d stage%s, %zu micro-batch%s a step; bytes of a worker\n\n", n, dn_plural(n), M, M == 1 ? "" : "es");
    fprintf(out, "stage     layers  parameters  of the slowest  link before  kept of it    weights  in flight  activations%s\n",
            whole.flows ? "  older weights" : "");
    for (int s = 0; s < n; s++) {
        dn_plan stage = whole;
        char layers[32], weights[32], activations[32], older[32], link[48] = "-", kept[48] = "-";
        const dn_link *before = s > 0 ? &whole.link_pp.of[s - 1] : NULL;
        DN_TRY(dn_plan_enter_stage(&stage, s));
        snprintf(layers, sizeof layers, "%zu-%zu", s > 0 ? whole.cut[s - 1] : 0, whole.cut[s] - 1);
        if (before && before->bytes_per_s > 0)
            snprintf(link, sizeof link, "%gMbit:%gms", before->bytes_per_s * 8e-6, before->latency_s * 1e3);
        else if (before)
            snprintf(link, sizeof link, "shared");
        if (s > 0 && whole.kept[s - 1] > 0)
            snprintf(kept, sizeof kept, "%zu/%zu", whole.kept[s - 1], whole.spec.C);
        else if (s > 0)
            snprintf(kept, sizeof kept, "all");
        fprintf(out, "%5d %10s %11zu %14.0f%% %12s %11s %10s %10zu %12s", s, layers, stage.n_params, 100 * whole.stage_share[s], link, kept,
                dn_human((double)stage.parameter_bytes, "B", weights, sizeof weights), stage.n_slots,
                dn_human((double)stage.private_bytes, "B", activations, sizeof activations));
        if (whole.flows)
            fprintf(out, " %14s", dn_human((double)dn_plan_stage_stashed(&whole, s) * (double)stage.gradient_bytes, "B", older, sizeof older));
        fputc('\n', out);
    }
    return DN_OK;
}

/* ---- measuring ---- */

#define MEASURE_S 0.2 /* each part, after its first pass */

/* The first row of any tokens. */
static dn_status draw_row(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const dn_spec *spec = context;
    for (size_t t = 0; t < spec->T; t++)
        inputs[t] = targets[t] = (int32_t)((row * spec->T + t) * 7919 % spec->V);
    return DN_OK;
}

/* The shortest of some passes of a unit, forward and back; the head's forward pass is both. */
static dn_status time_unit(dn_model *model, dn_stream *stream, size_t unit, double *seconds)
{
    double end_s = dn_clock_s() + MEASURE_S;
    *seconds = INFINITY;
    do {
        double started_s = dn_clock_s();
        DN_TRY(dn_model_unit_forward(model, 0, unit));
        if (unit + 1 < model->n_units)
            DN_TRY(dn_model_unit_backward(model, 0, unit));
        DN_TRY(dn_stream_sync(stream));
        *seconds = fmin(*seconds, dn_clock_s() - started_s);
    } while (dn_clock_s() < end_s);
    return DN_OK;
}

static dn_status measure(dn_instance *instance, dn_plan *plan, double seconds[3])
{
    double loss;
    DN_TRY(dn_model_init(&plan->spec, instance->params, instance->stream, (uint64_t)plan->config.seed));
    DN_TRY(dn_instance_gradient_alone(instance, draw_row, &plan->spec, 0, plan->micro_batch, plan->micro_batch * plan->spec.T, &loss));
    const size_t units[] = {0, 1, instance->model->n_units - 1}; /* of a model that init_from names there are more */
    for (int i = 0; i < 3; i++)
        DN_TRY(time_unit(instance->model, instance->stream, units[i], &seconds[i]));
    return DN_OK;
}

/* All blocks are taken to be as the first. */
dn_status dn_train_measure_units(const dn_config *config, int n_threads, double seconds[3])
{
    dn_config c = *config;
    dn_plan plan;
    dn_comm *alone = NULL;
    dn_mesh *mesh = NULL;
    dn_stream *stream = NULL;
    dn_instance instance = {0};
    const char *kernels;
    c.n_layer = 1;
    c.batch_size = c.device_batch_size;
    c.clients = 0;
    c.dp_size = c.pp_size = c.fs_size = c.tp_size = 0;
    *c.link_pp = *c.trainable = *c.groups = '\0';
    strcpy(c.optimizer, "sgd");
    strcpy(c.scalar_opt, "sgd");
    strcpy(c.strategy, "average");
    DN_TRY(dn_plan_make(&c, 1, &plan));
    DN_TRY(dn_kernels_of_precision(c.precision, &kernels));
    dn_status status = dn_stream_create(kernels, n_threads, &stream);
    if (status == DN_OK)
        status = dn_comm_create_alone(plan.arena_bytes, &alone);
    if (status == DN_OK)
        status = dn_mesh_create(alone, plan.mesh, &mesh);
    if (status == DN_OK) {
        status = dn_instance_open(&instance, &plan, mesh, stream, true);
        if (status == DN_OK)
            status = measure(&instance, &plan, seconds);
        dn_instance_close(&instance);
    }
    dn_mesh_destroy(&mesh);
    dn_comm_destroy(&alone);
    dn_stream_destroy(&stream);
    return status;
}
