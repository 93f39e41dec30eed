/* How long the parts of a model take, and messages between its stages: the keys pp_times and pp_link_times, by which it is cut, and a
 * channel keeps numbers. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/output.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "device/device.h"
#include "device/place.h"
#include "dionode/launch.h"
#include "dionode/train.h"
#include "model/instance.h"
#include "tensor/axes.h"
#include "train/instance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEASURE_S 0.2 /* each part, after its first pass */

/* The model with so many blocks, if it is not named by init_from, and nothing that makes a step longer. */
static dn_config model_of(const dn_config *config, int n_blocks)
{
    dn_config c = *config;
    c.n_layer = n_blocks;
    c.batch_size = c.device_batch_size;
    c.clients = 0;
    c.dp_size = c.pp_size = c.fs_size = c.tp_size = 0;
    *c.link_pp = *c.pp_link_times = *c.trainable = *c.groups = '\0';
    strcpy(c.optimizer, "sgd");
    strcpy(c.scalar_opt, "sgd");
    strcpy(c.strategy, "average");
    return c;
}

/* ---- parts ---- */

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

static dn_status time_units(dn_instance *instance, dn_plan *plan, double seconds[3])
{
    double loss;
    DN_TRY(dn_model_init(&plan->spec, instance->params, instance->stream, (uint64_t)plan->config.seed));
    DN_TRY(dn_instance_gradient_alone(instance, draw_row, &plan->spec, 0, plan->micro_batch, plan->micro_batch * plan->spec.T, &loss));
    const size_t units[] = {0, 1, instance->model->n_units - 1}; /* of a model that init_from names there are more */
    for (int i = 0; i < 3; i++)
        DN_TRY(time_unit(instance->model, instance->stream, units[i], &seconds[i]));
    return DN_OK;
}

/* Embedding, a block and head, on this process alone. All blocks are taken to be as the first. */
static dn_status measure_units(const dn_config *config, dn_stream *stream, double seconds[3])
{
    const dn_config c = model_of(config, 1);
    dn_plan plan;
    dn_comm *alone = NULL;
    dn_mesh *mesh = NULL;
    dn_instance instance = {0};
    DN_TRY(dn_plan_make(&c, 1, &plan));
    dn_status status = dn_comm_create_alone(plan.arena_bytes, &alone);
    if (status == DN_OK)
        status = dn_mesh_create(alone, plan.mesh, &mesh);
    if (status == DN_OK) {
        status = dn_instance_open(&instance, &plan, mesh, stream, true);
        if (status == DN_OK)
            status = time_units(&instance, &plan, seconds);
        dn_instance_close(&instance);
    }
    dn_mesh_destroy(&mesh);
    dn_comm_destroy(&alone);
    return status;
}

/* ---- links ---- */

/* Stages of a model that is cut anywhere, which send each other all numbers of a micro-batch. */
static dn_status plan_links(const dn_config *config, const int size[DN_N_AXES], dn_plan *plan)
{
    const dn_config model = model_of(config, dn_axis_size(size, DN_PP));
    dn_config c = dn_plan_config_on(&model, size);
    c.batch_size *= size[DN_DP] * size[DN_FS];
    memcpy(c.link_pp, config->link_pp, sizeof c.link_pp);
    strcpy(c.channel, "dense");
    strcpy(c.pipeline, "1f1b");
    return dn_plan_make(&c, dn_axes_size(size, DN_ALL_AXES), plan);
}

/* seconds [stages - 1]: of all replicas' boundaries of a number, the slowest. */
static dn_status measure_links(const dn_config *config, const int size[DN_N_AXES], dn_comm *comm, dn_stream *stream, double *seconds)
{
    dn_plan plan;
    dn_mesh *mesh = NULL;
    dn_instance instance = {0};
    DN_TRY(plan_links(config, size, &plan));
    DN_TRY(dn_mesh_create(comm, plan.mesh, &mesh));
    dn_status status = dn_plan_enter_stage(&plan, mesh->at[DN_PP]);
    if (status == DN_OK) {
        status = dn_instance_open(&instance, &plan, mesh, stream, false);
        instance.pipeline.links = &plan.link_pp;
        if (status == DN_OK)
            status = dn_pipeline_time_links(&instance.pipeline, plan.micro_batch, seconds);
        dn_instance_close(&instance);
    }
    dn_mesh_destroy(&mesh);
    return status == DN_OK ? dn_comm_all_reduce_scalars(comm, seconds, (size_t)plan.mesh[DN_PP] - 1, DN_MAX) : status;
}

/* ---- all ---- */

/* Prints the key, as it is then part of *config. */
static dn_status say(const char *key, const double *seconds, int n, dn_config *config)
{
    char assignment[32 + 16 * DN_MAX_RANKS];
    int used = snprintf(assignment, sizeof assignment, "%s=", key);
    for (int i = 0; i < n; i++)
        used += snprintf(assignment + used, sizeof assignment - (size_t)used, "%s%.3g", i > 0 ? "," : "", seconds[i]);
    printf("%s\n", assignment);
    return dn_config_set(config, assignment);
}

static dn_status measure(const dn_config *config, const int size[DN_N_AXES], dn_comm *comm)
{
    const char *kernels, *threads = getenv("OMP_NUM_THREADS");
    double units[3], links[DN_MAX_RANKS] = {0};
    int n_links = dn_axis_size(size, DN_PP) - 1;
    dn_config found = *config;
    dn_stream *stream;
    DN_TRY(dn_kernels_of_precision(config->precision, &kernels));
    DN_TRY(dn_stream_create(kernels, threads ? atoi(threads) : 1, &stream));
    dn_status status = n_links > 0 ? measure_links(config, size, comm, stream, links) : DN_OK;
    if (status == DN_OK && dn_comm_rank(comm) == 0)
        status = measure_units(config, stream, units);
    dn_stream_destroy(&stream);
    if (status != DN_OK || dn_comm_rank(comm) != 0 || dn_comm_stop_requested(comm)) /* a stop ends what emulated links sleep */
        return status;
    DN_TRY(say("pp_times", units, 3, &found));
    if (n_links > 0)
        DN_TRY(say("pp_link_times", links, n_links, &found));
    printf("\n");
    DN_TRY(dn_train_print_stages(&found, size, stdout));
    return dn_flush(stdout);
}

int dn_train_measure_stages_worker(const dn_config *config, const int size[DN_N_AXES])
{
    dn_comm *comm = NULL;
    dn_status status = dn_device_select(config->device, config->device_debug);
    if (status == DN_OK)
        status = dn_comm_join(0, config->timeout_s, &comm);
    if (status == DN_OK && dn_comm_rank(comm) != 0)
        dn_log_set(NULL, NULL); /* warnings are the same on all ranks */
    if (status == DN_OK)
        status = measure(config, size, comm);
    return dn_comm_leave(&comm, status);
}

dn_status dn_train_measure_stages(const dn_config *config, const int size[DN_N_AXES], char *const *argv, int *signal_out)
{
    dn_plan plan;
    dn_topo *topo;
    const dn_config whole = dn_plan_config_on(config, size);
    DN_TRY(dn_plan_make(&whole, dn_axes_size(size, DN_ALL_AXES), &plan)); /* what cannot be cut is refused before it is measured */
    DN_TRY(plan_links(config, size, &plan));
    DN_TRY(dn_topo_create(dn_axes_size(size, DN_ALL_AXES), &topo));
    dn_device_place(config->device, topo);
    const dn_launch_spec spec = {.topo = topo, .argv = argv, .arena_bytes = plan.arena_bytes, .deadline_s = config->timeout_s};
    dn_status status = dn_launch(&spec, signal_out);
    dn_topo_destroy(&topo);
    return status;
}
