/* The GPT's parameters: sizes, names, how the mesh cuts them, the spread of their first values. */
#include "nn/gpt.h"

#include "base/fail.h"

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

size_t dn_gpt_n_params(const dn_spec *spec)
{
    return n_block_params * spec->L + 2;
}

/* The upper bounds keep every count of elements far from overflow and every BLAS dimension an int. */
dn_status dn_gpt_check(const dn_spec *spec)
{
    const struct {
        const char *key;
        size_t value, limit;
    } sizes[] = {
        {"vocab_size", spec->V, INT32_MAX}, {"sequence_length", spec->T, 1 << 20},
        {"model_dim", spec->C, 1 << 16},    {"n_layer", spec->L, 1 << 10},
        {"n_head", spec->NH, 1 << 16},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].limit)
            return dn_fail(DN_ERR_CONFIG, "%s is %zu: it must be from 1 to %zu", sizes[i].key, sizes[i].value,
                           sizes[i].limit);
    if (spec->C % spec->NH != 0)
        return dn_fail(DN_ERR_CONFIG, "n_head %zu does not divide model_dim %zu: choose one that does",
                       spec->NH, spec->C);
    if (spec->C / spec->NH % 2 != 0)
        return dn_fail(DN_ERR_CONFIG,
                       "model_dim %zu over n_head %zu gives heads of odd size %zu: rotary positions need an "
                       "even one",
                       spec->C, spec->NH, spec->C / spec->NH);
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

static void describe_block(const dn_spec *spec, size_t layer, dn_param *params)
{
    size_t C = spec->C;
    for (size_t i = 0; i < n_block_params; i++) {
        snprintf(params[i].name, DN_PARAM_NAME_MAX, "transformer.h.%zu.%s.weight", layer,
                 block_params[i].name);
        describe(&params[i], DN_PARAM_MATRIX, block_params[i].rows * C, block_params[i].cols * C,
                 block_params[i].cut, block_params[i].by_head ? C / spec->NH : 1);
        params[i].stack = block_params[i].stack;
        if (spec->split_heads && block_params[i].by_head && block_params[i].cut == ROWS)
            params[i].split = spec->NH;
    }
}

void dn_gpt_describe(const dn_spec *spec, dn_param *params, size_t *unit_of)
{
    size_t n_params = dn_gpt_n_params(spec);
    dn_param *head = params + n_params - 1;
    snprintf(params->name, DN_PARAM_NAME_MAX, "transformer.wte.weight");
    describe(params, DN_PARAM_EMBEDDING, spec->V, spec->C, ROWS, 1);
    for (size_t l = 0; l < spec->L; l++)
        describe_block(spec, l, params + 1 + n_block_params * l);
    snprintf(head->name, DN_PARAM_NAME_MAX, "lm_head.weight");
    describe(head, DN_PARAM_HEAD, spec->V, spec->C, ROWS, 1);
    for (size_t p = 0; p < n_params; p++)
        unit_of[p] = (p + n_block_params - 1) / n_block_params;
}

double dn_gpt_first_std(const dn_param *param)
{
    if (param->kind == DN_PARAM_EMBEDDING)
        return 1;
    double out = (double)param->rows, in = (double)param->cols;
    return fmin(1, sqrt(out / in)) / sqrt(in);
}

double dn_gpt_flops_per_token(const dn_spec *spec)
{
    double V = (double)spec->V, T = (double)spec->T, C = (double)spec->C, L = (double)spec->L;
    return 6 * (12 * C * C * L + V * C) + 6 * T * C * L;
}
