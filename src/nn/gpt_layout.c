/* The GPT's parameters: sizes, names, how the mesh cuts them, places, first values. */
#include "nn/gpt.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/draw.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

/* Which dimension tp cuts; fs cuts the other one. */
typedef enum tp_cut { ROWS, COLUMNS } tp_cut;

/* A block's parameters in order; rows and columns in units of C. */
static const struct {
    const char *name;
    size_t rows, cols;
    tp_cut cut;
    bool by_head; /* tp cuts between heads only */
    size_t stack;
} block_params[] = {
    {"attn.c_q", 1, 1, ROWS, true, 0},  {"attn.c_k", 1, 1, ROWS, true, 1},
    {"attn.c_v", 1, 1, ROWS, true, 2},  {"attn.c_proj", 1, 1, COLUMNS, true, 0},
    {"mlp.c_fc", 4, 1, ROWS, false, 0}, {"mlp.c_proj", 1, 4, COLUMNS, false, 0},
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

static void describe(dn_param *param, dn_param_kind kind, size_t rows, size_t cols, tp_cut cut, size_t unit)
{
    const dn_cut tp = {DN_TP, unit}, fs = {DN_FS, 1};
    param->kind = kind;
    param->rows = rows;
    param->cols = cols;
    param->split = 1;
    param->window_of = NULL;
    param->row_cut = cut == ROWS ? tp : fs;
    param->col_cut = cut == ROWS ? fs : tp;
    param->stack = 0;
}

static void describe_block(const dn_gpt_shape *shape, size_t layer, dn_param *params)
{
    size_t C = shape->C;
    for (size_t i = 0; i < n_block_params; i++) {
        snprintf(params[i].name, DN_PARAM_NAME_MAX, "transformer.h.%zu.%s.weight", layer,
                 block_params[i].name);
        describe(&params[i], DN_PARAM_MATRIX, block_params[i].rows * C, block_params[i].cols * C,
                 block_params[i].cut, block_params[i].by_head ? C / shape->NH : 1);
        params[i].stack = block_params[i].stack;
    }
}

static void describe_all(const dn_gpt_shape *shape, dn_param *params)
{
    dn_param *head = params + dn_gpt_n_params(shape) - 1;
    snprintf(params->name, DN_PARAM_NAME_MAX, "transformer.wte.weight");
    describe(params, DN_PARAM_EMBEDDING, shape->V, shape->C, ROWS, 1);
    for (size_t l = 0; l < shape->L; l++)
        describe_block(shape, l, params + 1 + n_block_params * l);
    snprintf(head->name, DN_PARAM_NAME_MAX, "lm_head.weight");
    describe(head, DN_PARAM_HEAD, shape->V, shape->C, ROWS, 1);
}

void dn_gpt_layout(const dn_gpt_shape *shape, const int size[DN_N_AXES], const int at[DN_N_AXES],
                   dn_arena *weights, dn_arena *grads, dn_param *params)
{
    size_t n_params = dn_gpt_n_params(shape), room = 0;
    describe_all(shape, params);
    for (size_t p = 0; p < n_params; p++)
        room = dn_size_add(room, dn_param_room(&params[p], size));
    dn_buf *weight = dn_arena_take(weights, dn_size_mul(room, sizeof(dn_real)));
    dn_buf *grad = dn_arena_take(grads, dn_size_mul(room, sizeof(dn_real)));

    /* A stack begins behind the rooms of those before it and has no gaps inside. */
    for (size_t p = 0, next = 0, rooms = 0; p < n_params; p++) {
        dn_param *param = &params[p];
        param->block = dn_param_block(param, size, at);
        if (param->stack == 0)
            next = rooms;
        param->weight = weight ? dn_at(weight, next) : NULL;
        param->grad = grad ? dn_at(grad, next) : NULL;
        next += dn_param_size(param);
        rooms += dn_param_room(param, size);
    }
}

void dn_gpt_split_heads(const dn_gpt_shape *shape, dn_param *params)
{
    for (size_t i = 0; i < n_block_params; i++)
        for (size_t l = 0; l < shape->L && block_params[i].by_head && block_params[i].cut == ROWS; l++)
            params[1 + n_block_params * l + i].split = shape->NH;
}

void dn_gpt_units(const dn_gpt_shape *shape, size_t *unit_of)
{
    size_t n_params = dn_gpt_n_params(shape);
    for (size_t p = 0; p < n_params; p++)
        unit_of[p] = (p + n_block_params - 1) / n_block_params;
}

static double initial_std(const dn_param *param)
{
    if (param->kind == DN_PARAM_EMBEDDING)
        return 1;
    double out = (double)param->rows, in = (double)param->cols;
    return fmin(1, sqrt(out / in)) / sqrt(in);
}

dn_status dn_gpt_init(const dn_gpt_shape *shape, const dn_param *params, dn_stream *stream, uint64_t seed)
{
    for (size_t p = 0; p < dn_gpt_n_params(shape); p++) {
        const dn_param *param = &params[p];
        const dn_draw draw = {seed, p, initial_std(param), param->cols, param->block};
        DN_TRY(dn_draw_normal(stream, param->weight, &draw));
    }
    return DN_OK;
}

double dn_gpt_flops_per_token(const dn_gpt_shape *shape)
{
    double V = (double)shape->V, T = (double)shape->T, C = (double)shape->C, L = (double)shape->L;
    return 6 * (12 * C * C * L + V * C) + 6 * T * C * L;
}
