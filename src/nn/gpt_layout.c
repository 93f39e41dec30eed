/* The GPT's parameters: sizes, names, places, first values. */
#include "nn/gpt.h"

#include "base/fail.h"
#include "base/random.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A block's parameters in order; rows and columns in units of C. */
static const struct {
    const char *name;
    size_t rows, cols;
} block_params[] = {
    {"attn.c_q", 1, 1},    {"attn.c_k", 1, 1}, {"attn.c_v", 1, 1},
    {"attn.c_proj", 1, 1}, {"mlp.c_fc", 4, 1}, {"mlp.c_proj", 1, 4},
};
enum { n_block_params = sizeof block_params / sizeof *block_params };

size_t dn_gpt_n_params(const dn_gpt_shape *shape)
{
    return n_block_params * shape->L + 2;
}

size_t dn_gpt_n_elements(const dn_gpt_shape *shape)
{
    return 12 * shape->C * shape->C * shape->L + 2 * shape->V * shape->C;
}

/* The upper bounds keep every count of elements far from overflow and every BLAS dimension an int. */
dn_status dn_gpt_check(const dn_gpt_shape *shape)
{
    const struct {
        const char *key;
        size_t value, limit;
    } sizes[] = {
        {"vocab_size", shape->V, INT32_MAX}, {"sequence_length", shape->T, 1 << 20},
        {"model_dim", shape->C, 1 << 16},    {"n_layer", shape->L, 1 << 10},
        {"n_head", shape->NH, 1 << 16},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].limit)
            return dn_fail(DN_ERR_CONFIG, "%s is %zu: it must be from 1 to %zu", sizes[i].key, sizes[i].value,
                           sizes[i].limit);
    if (shape->C % shape->NH != 0)
        return dn_fail(DN_ERR_CONFIG, "n_head %zu does not divide model_dim %zu: choose one that does",
                       shape->NH, shape->C);
    if (shape->C / shape->NH % 2 != 0)
        return dn_fail(DN_ERR_CONFIG,
                       "model_dim %zu over n_head %zu gives heads of odd size %zu: rotary positions need an "
                       "even one",
                       shape->C, shape->NH, shape->C / shape->NH);
    return DN_OK;
}

/* Where the next parameter goes; buffers NULL when measuring. */
typedef struct placement {
    dn_param *next;
    dn_buf *weight, *grad;
} placement;

static void place(placement *p, dn_param_kind kind, size_t rows, size_t cols)
{
    dn_param *param = p->next++;
    param->kind = kind;
    param->rows = rows;
    param->cols = cols;
    dn_param_set_whole(param);
    param->weight = p->weight;
    param->grad = p->grad;
    if (p->weight)
        p->weight = dn_at(p->weight, rows * cols);
    if (p->grad)
        p->grad = dn_at(p->grad, rows * cols);
}

void dn_gpt_layout(const dn_gpt_shape *shape, dn_arena *weights, dn_arena *grads, dn_param *params)
{
    size_t bytes = dn_gpt_n_elements(shape) * sizeof(dn_real);
    placement p = {params, dn_arena_take(weights, bytes), dn_arena_take(grads, bytes)};

    snprintf(p.next->name, DN_PARAM_NAME_MAX, "transformer.wte.weight");
    place(&p, DN_PARAM_EMBEDDING, shape->V, shape->C);
    for (size_t l = 0; l < shape->L; l++)
        for (size_t i = 0; i < n_block_params; i++) {
            snprintf(p.next->name, DN_PARAM_NAME_MAX, "transformer.h.%zu.%s.weight", l, block_params[i].name);
            place(&p, DN_PARAM_MATRIX, block_params[i].rows * shape->C, block_params[i].cols * shape->C);
        }
    snprintf(p.next->name, DN_PARAM_NAME_MAX, "lm_head.weight");
    place(&p, DN_PARAM_HEAD, shape->V, shape->C);
    assert(p.next == params + dn_gpt_n_params(shape));
}

static double initial_std(const dn_param *param)
{
    if (param->kind == DN_PARAM_EMBEDDING)
        return 1;
    double out = (double)param->rows, in = (double)param->cols;
    return fmin(1, sqrt(out / in)) / sqrt(in);
}

/* Drawn on the host a piece at a time, so that a model on another device needs little host memory. */
enum { init_piece = 1 << 16 };

static dn_status init_param(const dn_param *param, size_t index, dn_stream *stream, uint64_t seed,
                            dn_real *piece)
{
    size_t size = dn_param_size(param);
    for (size_t first = 0; first < size; first += init_piece) {
        size_t n = size - first < init_piece ? size - first : init_piece;
        dn_random_normal(seed, index, first, n, initial_std(param), piece);
        dn_upload(stream, dn_at(param->weight, first), piece, n);
        DN_TRY(dn_stream_sync(stream)); /* the piece is overwritten next */
    }
    return DN_OK;
}

dn_status dn_gpt_init(const dn_gpt_shape *shape, dn_param *params, dn_stream *stream, uint64_t seed)
{
    dn_real *piece = malloc(init_piece * sizeof *piece);
    if (!piece)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu bytes of initial weights",
                       init_piece * sizeof *piece);
    dn_status status = DN_OK;
    for (size_t p = 0; p < dn_gpt_n_params(shape) && status == DN_OK; p++)
        status = init_param(&params[p], p, stream, seed, piece);
    free(piece);
    return status;
}

double dn_gpt_flops_per_token(const dn_gpt_shape *shape)
{
    double V = (double)shape->V, T = (double)shape->T, C = (double)shape->C, L = (double)shape->L;
    return 6 * (12 * C * C * L + V * C) + 6 * T * C * L;
}
