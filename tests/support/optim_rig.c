#include "support/optim_rig.h"

#include "comm/peer.h"

#include "base/fail.h"
#include "comm/world.h"
#include "support/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dn_optim_config rig_config(void)
{
    dn_group_options plain = {.lr_scale = 1};
    return (dn_optim_config){
        .matrix_rule = "dion",
        .scalar_rule = "adamw",
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

static void describe(dn_param *params, const rig_shape *shapes, size_t n, const rig_mesh *mesh,
                     const int at[DN_N_AXES])
{
    const rig_cut none = {DN_N_AXES, DN_N_AXES, 1};
    for (size_t i = 0; i < n; i++) {
        params[i] =
            (dn_param){.kind = shapes[i].kind, .tensor.rows = shapes[i].rows, .tensor.cols = shapes[i].cols};
        rig_cut cut = mesh->cuts ? mesh->cuts[i] : none;
        params[i].tensor.row_sharding = rig_sharding(cut.rows, cut.unit);
        params[i].tensor.col_sharding = rig_sharding(cut.cols, 1);
        params[i].n_views = mesh->splits ? mesh->splits[i] : 1;
        params[i].block = dn_param_block(&params[i], mesh->size, at);
        snprintf(params[i].tensor.name, sizeof params[i].tensor.name, "x%zu", i);
    }
}

static size_t rounded(size_t bytes)
{
    return (bytes + 127) / 128 * 128;
}

size_t rig_heap_bytes(const dn_optim_config *config, const rig_shape *shapes, size_t n, const rig_mesh *mesh)
{
    const int origin[DN_N_AXES] = {0};
    dn_param params[RIG_MAX] = {0};
    describe(params, shapes, n, mesh, origin);
    size_t bytes = dn_optimizer_heap_bytes(config, params, n, mesh->size) + dn_mesh_heap_bytes(mesh->size);
    for (size_t i = 0; i < n; i++)
        bytes += 2 * rounded(dn_param_max_size(&params[i], mesh->size) * sizeof(dn_real));
    return bytes;
}

static dn_status take(optim_rig *rig, const dn_param *param, dn_buf **out)
{
    void *memory;
    size_t bytes = dn_param_max_size(param, rig->mesh->size) * sizeof(dn_real);
    DN_TRY(dn_comm_alloc_device(rig->comm, bytes, &memory));
    memset(behind(memory), 0, bytes);
    *out = memory;
    return DN_OK;
}

/* On rig->comm. */
static dn_status create(optim_rig *rig, const rig_mesh *mesh, const char *kernels,
                        const dn_optim_config *config, const rig_shape *shapes, size_t n)
{
    rig->n_params = n;
    DN_TRY(dn_mesh_create(rig->comm, mesh->size, &rig->mesh));
    DN_TRY(dn_stream_create(kernels, 1, &rig->stream));
    describe(rig->params, shapes, n, mesh, rig->mesh->at);
    for (size_t i = 0; i < n; i++)
        DN_TRY(take(rig, &rig->params[i], &rig->params[i].weight));
    for (size_t i = 0; i < n; i++)
        DN_TRY(take(rig, &rig->params[i], &rig->params[i].grad));
    return dn_optimizer_create(config, rig->params, n, rig->stream, rig->mesh, &rig->optimizer);
}

dn_status rig_create_on(optim_rig *rig, dn_comm *comm, const rig_mesh *mesh, const char *kernels,
                        const dn_optim_config *config, const rig_shape *shapes, size_t n)
{
    *rig = (optim_rig){.comm = comm, .owns_comm = !comm, .config = *config};
    if (!comm)
        DN_TRY(dn_comm_create_alone(rig_heap_bytes(config, shapes, n, mesh), &rig->comm));
    return create(rig, mesh, kernels, config, shapes, n);
}

dn_status rig_create(optim_rig *rig, dn_comm *comm, const char *kernels, const dn_optim_config *config,
                     const rig_shape *shapes, size_t n)
{
    const rig_mesh replicas = {.size = {comm ? dn_comm_size(comm) : 1, 1, 1}};
    return rig_create_on(rig, comm, &replicas, kernels, config, shapes, n);
}

void rig_destroy(optim_rig *rig)
{
    dn_optimizer_destroy(&rig->optimizer);
    dn_mesh_destroy(&rig->mesh);
    dn_stream_destroy(&rig->stream);
    if (rig->owns_comm)
        dn_comm_destroy(&rig->comm);
}

static dn_real *elements(dn_buf *x)
{
    return behind(x);
}

dn_real *rig_weight(const optim_rig *rig, size_t i)
{
    return elements(rig->params[i].weight);
}

dn_real *rig_grad(const optim_rig *rig, size_t i)
{
    return elements(rig->params[i].grad);
}

/* Number of a state; that of all states if there is none. */
static size_t find_state(const optim_rig *rig, const char *prefix, size_t i)
{
    char name[2 * DN_TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s.%s", prefix, rig->params[i].tensor.name);
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++)
        if (strcmp(dn_optimizer_state(rig->optimizer, k)->name, name) == 0)
            return k;
    return dn_optimizer_n_states(rig->optimizer);
}

const dn_tensor *rig_state(const optim_rig *rig, const char *prefix, size_t i)
{
    size_t k = find_state(rig, prefix, i);
    return k < dn_optimizer_n_states(rig->optimizer) ? dn_optimizer_state(rig->optimizer, k) : NULL;
}

dn_shard rig_shard(const optim_rig *rig, size_t state)
{
    return dn_optimizer_state_shard(rig->optimizer, state, dn_comm_rank(rig->comm));
}

dn_real *rig_state_data(const optim_rig *rig, const char *prefix, size_t i)
{
    return elements(rig_shard(rig, find_state(rig, prefix, i)).data);
}

static dn_real element(const void *data, dn_type type, size_t i)
{
    if (type == DN_REAL)
        return ((const dn_real *)data)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)data)[i] << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return (dn_real)x;
}

/* Adds the shard of one rank. first [size]: the copy that others are compared with. */
static void add_shard(rig_whole *whole, dn_real *first, int *held, size_t cols, dn_type type, dn_shard s)
{
    for (size_t i = 0; i < s.block.rows * s.block.cols; i++) {
        size_t at = (s.block.row0 + i / s.block.cols) * cols + s.block.col0 + i % s.block.cols;
        dn_real x = element(s.data, type, i);
        if (held[at]++ == 0)
            first[at] = x;
        whole->equal = whole->equal && memcmp(&x, &first[at], sizeof x) == 0;
        whole->mean[at] += (double)x;
    }
}

static rig_whole put_together(const dn_shard *shards, int n_ranks, size_t rows, size_t cols, dn_type type)
{
    size_t size = rows * cols;
    rig_whole whole = {.size = size, .mean = calloc(size, sizeof *whole.mean), .equal = true};
    dn_real *first = calloc(size, sizeof *first);
    int *held = calloc(size, sizeof *held);
    for (int rank = 0; rank < n_ranks; rank++)
        add_shard(&whole, first, held, cols, type, shards[rank]);
    whole.n_copies = held[0];
    for (size_t i = 0; i < size; i++) {
        whole.mean[i] /= held[i];
        whole.n_copies = held[i] == held[0] ? whole.n_copies : 0;
    }
    free(first), free(held);
    return whole;
}

rig_whole rig_whole_weight(const optim_rig *rig, size_t i)
{
    dn_shard shards[RIG_MAX_RANKS];
    int n_ranks = dn_comm_size(rig->comm), at[DN_N_AXES];
    for (int rank = 0; rank < n_ranks; rank++) {
        dn_mesh_at(rig->mesh->size, rank, at);
        shards[rank].block = dn_param_block(&rig->params[i], rig->mesh->size, at);
        shards[rank].data = behind(dn_comm_peer(rig->comm, rig->params[i].weight, rank));
    }
    return put_together(shards, n_ranks, rig->params[i].tensor.rows, rig->params[i].tensor.cols, DN_REAL);
}

rig_whole rig_whole_state(const optim_rig *rig, size_t state)
{
    dn_shard shards[RIG_MAX_RANKS];
    const dn_tensor *of = dn_optimizer_state(rig->optimizer, state);
    int n_ranks = dn_comm_size(rig->comm);
    for (int rank = 0; rank < n_ranks; rank++) {
        shards[rank] = dn_optimizer_state_shard(rig->optimizer, state, rank);
        shards[rank].data = behind(dn_comm_peer(rig->mesh->root, shards[rank].data, rank));
    }
    return put_together(shards, n_ranks, of->rows, of->cols, of->type);
}

void rig_set_grad(optim_rig *rig, size_t i, const double *grad)
{
    const dn_block b = rig->params[i].block;
    for (size_t row = 0; row < b.rows; row++)
        for (size_t col = 0; col < b.cols; col++)
            rig_grad(rig, i)[row * b.cols + col] =
                (dn_real)grad[(b.row0 + row) * rig->params[i].tensor.cols + b.col0 + col];
}

dn_status rig_step(optim_rig *rig, double lr)
{
    const dn_step_params step_params = {.step = rig->step++, .lr = lr, .decay = 1};
    DN_TRY(dn_optimizer_step(rig->optimizer, &step_params, &rig->report));
    return dn_stream_sync(rig->stream); /* weights are looked at */
}

dn_traffic_model rig_traffic(const optim_rig *rig)
{
    dn_traffic_model model = {0};
    dn_traffic_of_optimizer(&rig->config, rig->params, rig->n_params, rig->mesh, rig->optimizer, rig->step, &model);
    return model;
}

void rig_add_rounds(const optim_rig *rig, dn_traffic_model *model)
{
    dn_traffic_of_orthonormalizing(&rig->config, rig->params, rig->n_params, rig->mesh, rig->optimizer, model);
}
