/* A small GPT with parameters, gradients and a micro-batch, for tests of nn/ and of what stands on it. */
#ifndef SUPPORT_MODEL_H
#define SUPPORT_MODEL_H

#include "base/random.h"
#include "compute/kernels.h"
#include "nn/gpt.h"
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
    dn_gpt_shape shape;
    size_t B, n_params, n_elements;
    dn_stream *stream;
    dn_arena weights, grads;
    dn_param *params;
    size_t *unit_of;
    dn_comm *alone;
    dn_mesh *mesh;
    dn_weights *in_pieces;
    dn_gpt *gpt;
    int32_t *tokens, *targets; /* [B*T] */
} model;

static inline void arena_allocate(dn_arena *measured, dn_stream *stream)
{
    void *base;
    must(dn_device_alloc(stream, measured->used, &base));
    *measured = (dn_arena){.base = base, .capacity = measured->used};
}

static const int model_mesh_size[DN_N_AXES] = {1, 1, 1}, model_mesh_at[DN_N_AXES];

/* Weights by dn_gpt_init under seed 1, gradients zero, tokens and targets drawn. */
static inline model model_create(const char *kernels, int n_threads, dn_gpt_shape shape, size_t B)
{
    model m = {.shape = shape, .B = B};
    m.n_params = dn_gpt_n_params(&shape);
    m.n_elements = dn_gpt_n_elements(&shape);
    m.params = calloc(m.n_params, sizeof *m.params);
    must(dn_stream_create(kernels, n_threads, &m.stream));

    dn_gpt_layout(&shape, model_mesh_size, model_mesh_at, &m.weights, &m.grads, m.params);
    arena_allocate(&m.weights, m.stream);
    arena_allocate(&m.grads, m.stream);
    dn_gpt_layout(&shape, model_mesh_size, model_mesh_at, &m.weights, &m.grads, m.params);
    must(dn_gpt_init(&shape, m.params, m.stream, 1));

    size_t N = B * shape.T;
    m.tokens = calloc(N, sizeof *m.tokens);
    m.targets = calloc(N, sizeof *m.targets);
    for (size_t i = 0; i < N; i++) {
        m.tokens[i] = (int32_t)(dn_random_bits(2, 0, i) % shape.V);
        m.targets[i] = (int32_t)(dn_random_bits(2, 1, i) % shape.V);
    }
    m.unit_of = calloc(m.n_params, sizeof *m.unit_of);
    dn_gpt_units(&shape, m.unit_of);
    must(dn_comm_create_alone(dn_mesh_heap_bytes(model_mesh_size), &m.alone));
    must(dn_mesh_create(m.alone, model_mesh_size, &m.mesh));
    must(dn_weights_create(m.params, m.n_params, m.unit_of, m.mesh, DN_GATHER_IN_PLACE, m.stream,
                           &m.in_pieces));
    must(dn_gpt_create(&shape, B, m.params, m.in_pieces, m.alone, NULL, m.stream, &m.gpt));
    return m;
}

static inline void model_destroy(model *m)
{
    dn_gpt_destroy(&m->gpt);
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
