#include "nn/layer.h"

#include "base/fail.h"
#include "base/size.h"
#include "nn/adapter.h"
#include "nn/classifier.h"
#include "nn/sherl.h"
#include "nn/linear.h"

#include <stdio.h>
#include <string.h>

void dn_layer_name(dn_param *param, const dn_spec *spec, size_t index, const char *name, const char *what)
{
    if (index == DN_NO_BLOCK)
        snprintf(param->tensor.name, DN_PARAM_NAME_MAX, "%s.%s", name, what);
    else
        snprintf(param->tensor.name, DN_PARAM_NAME_MAX, "%s%zu.%s.%s", spec->names->block, index, name, what);
}

bool dn_layer_is_bias(const dn_param *param)
{
    size_t n = strlen(param->tensor.name);
    return param->kind == DN_PARAM_VECTOR && n > 5 && strcmp(param->tensor.name + n - 5, ".bias") == 0;
}

bool dn_layer_is_prefix(const dn_param *param)
{
    return strstr(param->tensor.name, "." DN_PREFIX_NAME) != NULL;
}

bool dn_layer_is_added(const dn_param *param)
{
    return dn_param_of_adapter(param) || dn_layer_is_prefix(param) ||
           strncmp(param->tensor.name, DN_SHERL_NAME, strlen(DN_SHERL_NAME)) == 0 || strcmp(param->tensor.name, DN_CLASSIFIER_NAME ".weight") == 0;
}

void dn_layer_param(dn_param *param, dn_param_kind kind, size_t rows, size_t cols, dn_tp_sharding cut,
                    size_t unit)
{
    const dn_dim_sharding tp = {DN_TP, cut == DN_TP_NONE ? 0 : unit}, fs = {DN_FS, 1};
    param->kind = kind;
    param->tensor.rows = rows;
    param->tensor.cols = cols;
    param->tensor.type = DN_REAL;
    param->n_views = 1;
    param->view_of = NULL;
    param->tensor.row_sharding = cut == DN_TP_ROWS ? tp : fs;
    param->tensor.col_sharding = cut == DN_TP_ROWS ? fs : tp;
    param->stack = 0;
}

dn_buf *dn_layer_take(dn_arena *arena, size_t elements)
{
    return dn_arena_take(arena, dn_size_mul(elements, sizeof(dn_real)));
}

dn_buf *dn_layer_take_narrow(dn_arena *arena, size_t elements)
{
    return dn_narrow(dn_arena_take(arena, dn_size_mul(elements, sizeof(uint16_t))));
}

const dn_buf *dn_layer_rounded(dn_pass *pass, const dn_buf *x, size_t cols)
{
    if (!pass->rounded || dn_is_narrow(x))
        return x;
    pass->stream->kernels->to_bf16(pass->stream, dn_narrow_numbers(pass->rounded), x, pass->B * pass->T * cols);
    return pass->rounded;
}

dn_buf *dn_layer_input(const dn_pass *pass, bool first)
{
    if (pass->spec->parallel != DN_YES)
        return pass->x;
    if (first)
        pass->stream->kernels->copy(pass->stream, pass->before, pass->x, pass->B * pass->T * pass->spec->C);
    return pass->before;
}

size_t dn_layer_gain_size(const dn_spec *spec)
{
    const dn_attention_spec *a = &spec->attention;
    return dn_max(spec->C, a->qk_gain ? (a->NH + 2 * a->NKV) * a->hd : 0) + a->hd;
}

void dn_layer_gather(dn_stream *s, dn_buf *to, const dn_weight *vector)
{
    for (size_t i = 0; i < vector->n_blocks; i++)
        s->kernels->copy(s, dn_at(to, vector->blocks[i].block.row0), vector->blocks[i].weight, vector->blocks[i].block.rows);
}

void dn_layer_scatter(dn_stream *s, const dn_weight *vector, double a, const dn_buf *from)
{
    for (size_t i = 0; i < vector->n_blocks && vector->blocks[i].grad; i++)
        s->kernels->axpby(s, vector->blocks[i].grad, a, dn_at(from, vector->blocks[i].block.row0), 1,
                          vector->blocks[i].block.rows);
}

dn_vocab_shard dn_layer_vocab_shard(const dn_spec *spec, int tp_size, int rank)
{
    dn_range vocab = dn_shard_range(spec->V, 1, tp_size, rank);
    return (dn_vocab_shard){vocab.first, vocab.end - vocab.first};
}

dn_status dn_layer_sum_dy(dn_pass *pass)
{
    if (pass->tp_size == 1)
        return DN_OK;
    DN_TRY(dn_stream_sync(pass->stream));
    return dn_comm_all_reduce(pass->tp, pass->dy, pass->B * pass->T * pass->spec->C, DN_REAL, DN_SUM,
                              DN_TRAFFIC_ACTIVATIONS);
}

dn_status dn_layer_project(dn_pass *pass, const dn_layer *layer, const dn_buf *in, size_t which, const dn_adapters *adapters,
                           dn_role role)
{
    dn_stream *s = pass->stream;
    const dn_weight *w = dn_layer_weight(pass, layer, which);
    size_t N = pass->B * pass->T;
    if (pass->tp_size == 1) {
        dn_linear_forward_add(s, pass->x, in, w, N);
        dn_adapter_forward(pass, layer, adapters, role, in, pass->x, pass->spec->C);
        return DN_OK;
    }
    dn_linear_forward(s, pass->dy, in, w, N);
    dn_adapter_forward(pass, layer, adapters, role, in, pass->dy, pass->spec->C);
    DN_TRY(dn_layer_sum_dy(pass));
    s->kernels->axpby(s, pass->x, 1, pass->dy, 1, N * pass->spec->C);
    return DN_OK;
}
