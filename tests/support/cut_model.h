/* The model of support/model.h on a mesh: this rank's part of it, on the symmetric heap of a group. */
#ifndef SUPPORT_CUT_MODEL_H
#define SUPPORT_CUT_MODEL_H

#include "support/model.h"
#include "comm/world.h"

typedef struct cut_model {
    dn_spec spec;
    size_t n_params;
    dn_stream *stream;
    dn_mesh *mesh;
    dn_comm *tp; /* of the mesh */
    dn_param *params;
    size_t *unit_of;
    dn_arena weights, grads;
    dn_weights *in_pieces;
    dn_model *model;
} cut_model;

static inline dn_arena arena_of_heap(dn_comm *comm, size_t bytes)
{
    void *base = NULL;
    must(dn_comm_alloc_device(comm, bytes, &base));
    return (dn_arena){.base = base, .capacity = bytes};
}

/* What the model of a rank exchanges: with micro-batches of B sequences, or a cache of n_sequences. */
static inline size_t cut_exchange_bytes(const dn_spec *spec, size_t B, size_t n_sequences, int tp_size)
{
    return n_sequences ? dn_model_cache_heap_bytes(spec, n_sequences, tp_size)
                       : dn_model_heap_bytes(spec, B, 1, tp_size);
}

static inline size_t cut_model_heap_bytes_with(dn_spec spec, size_t B, size_t n_sequences, const int size[DN_N_AXES],
                                               dn_weights_policy gather)
{
    spec = whole_spec(spec);
    size_t n_params = dn_model_n_params(&spec);
    dn_param *params = calloc(n_params, sizeof *params);
    size_t *unit_of = calloc(n_params, sizeof *unit_of);
    dn_arena weights = {0}, grads = {0};
    dn_model_layout(&spec, size, model_mesh_at, &weights, &grads, params, unit_of);
    size_t bytes = dn_mesh_heap_bytes(size) + weights.used + grads.used +
                   dn_weights_heap_bytes(params, n_params, unit_of, size, gather) +
                   cut_exchange_bytes(&spec, B, n_sequences, size[DN_TP]);
    free(params);
    free(unit_of);
    return bytes;
}

/* Heap that cut_model_create takes of the group; the params it lays out are for nothing else. */
static inline size_t cut_model_heap_bytes(dn_spec spec, size_t B, const int size[DN_N_AXES],
                                          dn_weights_policy gather)
{
    return cut_model_heap_bytes_with(spec, B, 0, size, gather);
}

/* Collective over comm. Weights by dn_model_init under seed 1, gradients zero. */
static inline cut_model cut_model_create_with(dn_comm *comm, const int size[DN_N_AXES], const char *kernels,
                                              dn_spec spec, size_t B, size_t n_sequences, bool cache_bf16,
                                              dn_weights_policy gather)
{
    spec = whole_spec(spec);
    cut_model m = {.spec = spec, .n_params = dn_model_n_params(&spec)};
    m.params = calloc(m.n_params, sizeof *m.params);
    m.unit_of = calloc(m.n_params, sizeof *m.unit_of);
    must(dn_stream_create(kernels, 1, &m.stream));
    must(dn_mesh_create(comm, size, &m.mesh));
    m.tp = dn_mesh_comm(m.mesh, DN_AXIS(DN_TP));

    dn_model_layout(&spec, size, m.mesh->at, &m.weights, &m.grads, m.params, m.unit_of);
    m.weights = arena_of_heap(comm, m.weights.used);
    m.grads = arena_of_heap(comm, m.grads.used);
    dn_model_layout(&spec, size, m.mesh->at, &m.weights, &m.grads, m.params, m.unit_of);
    must(dn_model_init(&spec, m.params, m.stream, 1));
    m.stream->kernels->fill(m.stream, (dn_buf *)(void *)m.grads.base, m.grads.capacity / sizeof(dn_real), 0);
    must(dn_comm_barrier(comm));

    void *exchange = NULL;
    if (size[DN_TP] > 1)
        must(dn_comm_alloc_device(comm, cut_exchange_bytes(&spec, B, n_sequences, size[DN_TP]), &exchange));
    must(dn_weights_create(m.params, m.n_params, m.unit_of, m.mesh, gather, m.stream, &m.in_pieces));
    const dn_model_parts parts = {.B = B,
                                  .n_slots = 1,
                                  .n_sequences = n_sequences,
                                  .cache_bf16 = cache_bf16,
                                  .params = m.params,
                                  .weights = m.in_pieces,
                                  .tp = m.tp,
                                  .exchange = exchange,
                                  .stream = m.stream};
    must(dn_model_create(&spec, &parts, &m.model));
    return m;
}

static inline cut_model cut_model_create(dn_comm *comm, const int size[DN_N_AXES], const char *kernels,
                                         dn_spec spec, size_t B, dn_weights_policy gather)
{
    return cut_model_create_with(comm, size, kernels, spec, B, 0, false, gather);
}

static inline void cut_model_destroy(cut_model *m)
{
    dn_model_destroy(&m->model);
    dn_weights_destroy(&m->in_pieces);
    dn_mesh_destroy(&m->mesh);
    dn_stream_destroy(&m->stream);
    free(m->unit_of);
    free(m->params);
}

/* Largest |block - its part of the whole| as a share of the largest |whole|, or of `least`, if that is more; both on the host. */
static inline double block_difference(const dn_real *part, const dn_real *whole, const dn_param *p, double least)
{
    double worst = 0, size = least;
    for (size_t i = 0; i < p->tensor.rows * p->tensor.cols; i++)
        size = larger(size, fabs((double)whole[i]));
    for (size_t i = 0; i < p->block.rows; i++)
        for (size_t j = 0; j < p->block.cols; j++) {
            double at = (double)whole[(p->block.row0 + i) * p->tensor.cols + p->block.col0 + j];
            worst = larger(worst, fabs((double)part[i * p->block.cols + j] - at));
        }
    return worst / size;
}

#endif
