/* A small model, the GPT unless its spec says otherwise, with parameters, gradients and a micro-batch, for tests of nn/ and of what stands on it. */
#ifndef SUPPORT_MODEL_H
#define SUPPORT_MODEL_H

#include "base/random.h"
#include "compute/draw.h"
#include "compute/kernels.h"
#include "model/instance.h"
#include "nn/adapter.h"
#include "nn/head.h"
#include "support/close.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the reason: a test without its model cannot go on. */
static inline void must(dn_status status)
{
    if (status != DN_OK) {
        fprintf(stderr, "%s: %s\n", dn_status_name(status), dn_error_message());
        abort();
    }
}

/* A host copy of n elements, owned by the caller. */
static inline dn_real *host_copy(dn_stream *stream, const dn_buf *x, size_t n)
{
    dn_real *copy = calloc(n ? n : 1, sizeof *copy);
    dn_download(stream, copy, x, n);
    must(dn_stream_sync(stream));
    return copy;
}

/* Largest |a - b| as a share of the largest |b|. */
static inline double difference(const dn_real *a, const dn_real *b, size_t n)
{
    double worst = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        worst = larger(worst, fabs((double)(a[i] - b[i])));
        size = larger(size, fabs((double)b[i]));
    }
    return worst / size;
}

typedef struct model {
    dn_spec spec;
    size_t B, n_params, n_elements;
    dn_stream *stream;
    dn_arena weights, grads;
    dn_param *params;
    size_t *unit_of;
    dn_comm *alone;
    dn_mesh *mesh;
    dn_weights *in_pieces;
    dn_model *model;
    int32_t *tokens, *targets; /* [B*T] */
} model;

static inline void arena_allocate(dn_arena *measured, dn_stream *stream)
{
    void *base;
    must(dn_device_alloc(stream, measured->used, &base));
    *measured = (dn_arena){.base = base, .capacity = measured->used};
}

/* What the head of a model keeps. */
static inline dn_head_kept *head_of(const dn_model *of)
{
    return of->slots[0].layers[of->n_layers - 1].kept;
}

static const int model_mesh_size[DN_N_AXES] = {1, 1, 1}, model_mesh_at[DN_N_AXES];

extern const dn_architecture dn_architecture_gpt;

/* The same with an architecture, complete. */
static inline dn_spec whole_spec(dn_spec spec)
{
    if (!spec.architecture)
        spec.architecture = &dn_architecture_gpt;
    must(dn_model_complete(&spec));
    return spec;
}

/* dn_model_layout where nobody asks for units. */
static inline void model_layout(dn_spec spec, const int size[DN_N_AXES], const int at[DN_N_AXES], dn_arena *weights,
                                dn_arena *grads, dn_param *params)
{
    spec = whole_spec(spec);
    size_t *unit_of = calloc(dn_model_n_params(&spec), sizeof *unit_of);
    dn_model_layout(&spec, size, at, weights, grads, params, unit_of);
    free(unit_of);
}

static inline size_t elements_of(const dn_param *params, size_t n_params)
{
    size_t n = 0;
    for (size_t p = 0; p < n_params; p++)
        n += params[p].tensor.rows * params[p].tensor.cols;
    return n;
}

/* Adapters' B, which begin as 0, drawn: the same on every mesh. */
static inline void draw_adapters(dn_stream *stream, const dn_param *params, size_t n_params)
{
    for (size_t p = 0; p < n_params; p++) {
        const dn_draw draw = {7, p, 0.05, params[p].tensor.cols, params[p].block};
        if (dn_adapter_is_b(&params[p]))
            must(dn_draw_normal(stream, params[p].weight, &draw));
    }
    must(dn_stream_sync(stream));
}

/* Weights by dn_model_init under seed 1, gradients zero, tokens and targets drawn. */
static inline model model_create_with(const char *kernels, int n_threads, dn_spec spec, size_t B, size_t n_slots,
                                      size_t n_sequences)
{
    model m = {.spec = whole_spec(spec), .B = B};
    m.n_params = dn_model_n_params(&m.spec);
    m.unit_of = calloc(m.n_params, sizeof *m.unit_of);
    m.params = calloc(m.n_params, sizeof *m.params);
    must(dn_stream_create(kernels, n_threads, &m.stream));

    dn_model_layout(&m.spec, model_mesh_size, model_mesh_at, &m.weights, &m.grads, m.params, m.unit_of);
    arena_allocate(&m.weights, m.stream);
    arena_allocate(&m.grads, m.stream);
    dn_model_layout(&m.spec, model_mesh_size, model_mesh_at, &m.weights, &m.grads, m.params, m.unit_of);
    m.n_elements = elements_of(m.params, m.n_params);
    must(dn_model_init(&m.spec, m.params, m.stream, 1));

    size_t N = B * spec.T;
    m.tokens = calloc(N, sizeof *m.tokens);
    m.targets = calloc(N, sizeof *m.targets);
    for (size_t i = 0; i < N; i++) {
        m.tokens[i] = (int32_t)(dn_random_bits(2, 0, i) % spec.V);
        m.targets[i] = (int32_t)(dn_random_bits(2, 1, i) % spec.V);
    }
    must(dn_comm_create_alone(dn_mesh_heap_bytes(model_mesh_size), &m.alone));
    must(dn_mesh_create(m.alone, model_mesh_size, &m.mesh));
    must(dn_weights_create(m.params, m.n_params, m.unit_of, m.mesh, DN_WEIGHTS_IN_PLACE, m.stream,
                           &m.in_pieces));
    const dn_model_parts parts = {.B = B,
                                  .n_slots = n_slots,
                                  .n_sequences = n_sequences,
                                  .params = m.params,
                                  .weights = m.in_pieces,
                                  .tp = m.alone,
                                  .stream = m.stream};
    must(dn_model_create(&m.spec, &parts, &m.model));
    return m;
}

static inline model model_create_slots(const char *kernels, int n_threads, dn_spec spec, size_t B, size_t n_slots)
{
    return model_create_with(kernels, n_threads, spec, B, n_slots, 0);
}

/* With a cache. */
static inline model model_create_cached(const char *kernels, int n_threads, dn_spec spec, size_t n_sequences)
{
    return model_create_with(kernels, n_threads, spec, n_sequences, 1, n_sequences);
}

/* With one slot. */
static inline model model_create(const char *kernels, int n_threads, dn_spec spec, size_t B)
{
    return model_create_slots(kernels, n_threads, spec, B, 1);
}

/* logits [T,V] of all positions of one sequence, without a cache: products of the head's weight and what its
 * norm made of x, in double. */
static inline void model_logits(const model *m, const int32_t *tokens, dn_real *logits)
{
    size_t T = m->spec.T, V = m->spec.V, C = m->spec.C;
    const dn_model_slot *slot = &m->model->slots[0];
    double loss = 0;
    must(dn_model_loss(m->model, tokens, tokens, 1, &loss));
    dn_real *y = host_copy(m->stream, m->spec.norm.gain ? slot->pass.y : head_of(m->model)->norm.n, T * C);
    dn_real *w =
        host_copy(m->stream, m->params[slot->layers[m->model->n_layers - 1].first_param].weight, V * C);
    for (size_t i = 0; i < T * V; i++) {
        double sum = 0;
        for (size_t c = 0; c < C; c++)
            sum += (double)y[i / V * C + c] * (double)w[i % V * C + c];
        logits[i] = (dn_real)sum;
    }
    free(y);
    free(w);
}

static inline void model_destroy(model *m)
{
    dn_model_destroy(&m->model);
    dn_weights_destroy(&m->in_pieces);
    dn_mesh_destroy(&m->mesh);
    dn_comm_destroy(&m->alone);
    free(m->unit_of);
    dn_device_free(m->stream, m->weights.base, m->weights.capacity);
    dn_device_free(m->stream, m->grads.base, m->grads.capacity);
    dn_stream_destroy(&m->stream);
    free(m->params);
    free(m->tokens);
    free(m->targets);
}

#endif
