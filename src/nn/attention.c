/*
 * x += attention(norm(x)): causal, NH heads of size hd, rotary positions. NH / NKV query heads
 * share a head of keys and values. Heads of q and k may be normalized, and multiplied by gains [hd].
 *
 * Parameters: q [NH*hd,C], k, v [NKV*hd,C], adjacent in memory: a stack, one product serves all three; o
 * [C,NH*hd]. tp cuts between heads of keys and values, and takes the query heads along: the rows of the first
 * three, the columns of the last. What the projection makes of a rank's heads is a part of a sum, and so is
 * the gradient of the normalized input.
 */
#include "nn/layer.h"

#include "base/fail.h"
#include "base/size.h"
#include "nn/adapter.h"
#include "nn/linear.h"
#include "shard/layout.h"

/* Then, of what there is: biases of q, k, v, a stack; of o; gains of q's heads and of k's; the norm's; adapters'; a prefix's
 * keys and values. */
enum { Q, K, V, O, N_MATRICES, QKV_BIAS = N_MATRICES };

static size_t o_bias_of(const dn_spec *spec)
{
    return QKV_BIAS + (spec->attention.qkv_bias ? 3 : 0);
}

static size_t head_gains_of(const dn_spec *spec)
{
    return o_bias_of(spec) + spec->attention.o_bias;
}

static size_t norm_of(const dn_spec *spec)
{
    return head_gains_of(spec) + (spec->attention.qk_gain ? 2 : 0);
}

static dn_adapters adapters_of(const dn_spec *spec)
{
    return (dn_adapters){norm_of(spec) + dn_norm_describe(spec, NULL, 0, 0, NULL), DN_ROLE_Q};
}

/* Whether block `index` has a prefix. */
static bool has_prefix(const dn_spec *spec, size_t index)
{
    return spec->prompt > 0 && (index >= 64 || !(spec->unprompted >> index & 1));
}

static size_t prefix_of(const dn_spec *spec)
{
    const dn_adapters adapters = adapters_of(spec);
    return adapters.at + dn_adapter_describe(spec, NULL, adapters.at, adapters.first, N_MATRICES);
}

/* W, WKV = heads * hd, kv_heads * hd: a rank's columns of q and o; of k and v. */
typedef struct kept {
    size_t heads, kv_heads, W, WKV;
    dn_norm norm;
    dn_buf *qkv; /* [N,W+2WKV]: q | k | v of a position; q and k normalized (if they are) and rotated; activations, as o is */
    dn_buf *n; /* [N,W+2WKV]: the same before gains of heads and rotation, if there are gains; v as it is */
    dn_buf *q_rstd, *k_rstd; /* [N,heads], [N,kv_heads], if they are normalized */
    dn_buf *o, *lse;         /* [N,W], [B,heads,T]: before the projection */
    dn_buf *held;            /* [2WKV,T]: what a cache in bfloat16 holds of a sequence, for a chunk of it */
} kept;

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    const dn_attention_spec *a = &spec->attention;
    const char *const names[] = {spec->names->q, spec->names->k, spec->names->v, spec->names->o};
    size_t unit = a->NH / a->NKV * a->hd;
    for (size_t i = Q; params && i <= O; i++) {
        size_t heads = i == Q ? a->NH : a->NKV;
        dn_layer_name(&params[i], spec, index, names[i], "weight");
        if (i == O) {
            dn_layer_param(&params[i], DN_PARAM_MATRIX, spec->C, a->NH * a->hd, DN_TP_COLUMNS, unit);
        } else {
            dn_layer_param(&params[i], DN_PARAM_MATRIX, heads * a->hd, spec->C, DN_TP_ROWS,
                           i == Q ? unit : a->hd);
            params[i].stack = i;
            params[i].n_views = a->split_heads ? heads : 1;
        }
    }
    for (size_t i = Q; params && a->qkv_bias && i <= V; i++) {
        dn_param *bias = &params[QKV_BIAS + i];
        dn_layer_name(bias, spec, index, names[i], "bias");
        dn_layer_param(bias, DN_PARAM_VECTOR, (i == Q ? a->NH : a->NKV) * a->hd, 1, DN_TP_ROWS,
                       i == Q ? unit : a->hd);
        bias->stack = i;
    }
    if (params && a->o_bias) {
        dn_layer_name(&params[o_bias_of(spec)], spec, index, names[O], "bias");
        dn_layer_param(&params[o_bias_of(spec)], DN_PARAM_VECTOR, spec->C, 1, DN_TP_NONE, 1);
    }
    for (size_t i = 0; params && a->qk_gain && i < 2; i++) {
        dn_param *gain = &params[head_gains_of(spec) + i];
        dn_layer_name(gain, spec, index, i == 0 ? spec->names->q_norm : spec->names->k_norm, "weight");
        dn_layer_param(gain, DN_PARAM_VECTOR, a->hd, 1, DN_TP_NONE, 1);
    }
    const dn_adapters adapters = adapters_of(spec);
    dn_norm_describe(spec, params, norm_of(spec), index, spec->names->attention_norm);
    dn_adapter_describe(spec, params, adapters.at, adapters.first, N_MATRICES);
    for (size_t i = 0; params && has_prefix(spec, index) && i < 2; i++) {
        dn_param *prefix = &params[prefix_of(spec) + i];
        dn_layer_name(prefix, spec, index, i == 0 ? DN_PREFIX_NAME "k" : DN_PREFIX_NAME "v", "weight");
        dn_layer_param(prefix, DN_PARAM_EMBEDDING, spec->prompt, a->NKV * a->hd, DN_TP_COLUMNS, a->hd);
    }
    return prefix_of(spec) + (has_prefix(spec, index) ? 2 : 0);
}

static size_t own_kv_heads(const dn_pass *pass)
{
    return dn_range_size(dn_shard_range(pass->spec->attention.NKV, 1, pass->tp_size, pass->tp_rank));
}

/* Whether q, k, v and o, and their gradients, are of bfloat16. Gains of heads and prefixes are for dn_real. */
static bool is_narrow(const dn_pass *pass)
{
    const dn_attention_spec *a = &pass->spec->attention;
    return dn_layer_is_narrow(pass, a->hd) && a->hd <= DN_NARROW_HEAD && !a->qk_gain && pass->spec->prompt == 0;
}

/* Elements of dn_real per position that n of q, k and v take. */
static size_t taken(const dn_pass *pass, size_t n)
{
    return is_narrow(pass) ? n * sizeof(uint16_t) / sizeof(dn_real) : n;
}

/* The gradients of q, k and v; and that of o where it is wider than dy. */
static size_t wide(const dn_pass *pass)
{
    const dn_attention_spec *a = &pass->spec->attention;
    size_t WKV = own_kv_heads(pass) * a->hd, W = a->NH / a->NKV * WKV;
    return taken(pass, W + 2 * WKV) + taken(pass, W > pass->spec->C ? W : 0);
}

static dn_buf *take(const dn_pass *pass, dn_arena *own, size_t n)
{
    return is_narrow(pass) ? dn_layer_take_narrow(own, pass->room * n) : dn_layer_take(own, pass->room * n);
}

static void lay(const dn_pass *pass, void *memory, dn_arena *own, dn_arena *shared)
{
    const dn_attention_spec *a = &pass->spec->attention;
    kept *k = memory;
    size_t N = pass->room;
    k->kv_heads = own_kv_heads(pass);
    k->heads = a->NH / a->NKV * k->kv_heads;
    k->W = k->heads * a->hd;
    k->WKV = k->kv_heads * a->hd;
    dn_norm_lay(pass, &k->norm, norm_of(pass->spec), own);
    k->qkv = take(pass, own, k->W + 2 * k->WKV);
    if (a->qk_gain)
        k->n = dn_layer_take(own, N * (k->W + 2 * k->WKV));
    if (a->qk_norm) {
        k->q_rstd = dn_layer_take(own, N * k->heads);
        k->k_rstd = dn_layer_take(own, N * k->kv_heads);
    }
    k->o = take(pass, own, k->W);
    k->lse = dn_layer_take(own, N * k->heads);
    if (pass->cache_bf16)
        k->held = dn_layer_take(own, dn_size_mul(2 * k->WKV, pass->spec->T));
}

/* Of scores and values, a half of the full square. */
static double flops(const dn_spec *spec)
{
    const dn_attention_spec *a = &spec->attention;
    double all = (double)a->NH * (double)a->hd, kv = (double)a->NKV * (double)a->hd;
    double adapters = 0;
    for (dn_role role = DN_ROLE_Q; role <= DN_ROLE_O; role++)
        adapters += dn_adapter_flops(spec, role, (role == DN_ROLE_K || role == DN_ROLE_V ? a->NKV : a->NH) * a->hd, spec->C);
    return 6 * (2 * all + 2 * kv) * (double)spec->C + (6 * (double)spec->T + 12 * (double)spec->prompt) * all + adapters;
}

static size_t cached(const dn_pass *pass)
{
    return 2 * own_kv_heads(pass) * pass->spec->attention.hd;
}

/* Of attention, and of q; or of k alone, as heads of their own. */
static dn_attention_shape shape_of(const dn_pass *pass, const kept *k, size_t heads)
{
    return (dn_attention_shape){.B = pass->B,
                                .T = pass->T,
                                .NH = heads,
                                .hd = pass->spec->attention.hd,
                                .NKV = k->kv_heads,
                                .rot = pass->spec->attention.rot,
                                .window = pass->spec->attention.window,
                                .ld = k->W + 2 * k->WKV};
}

/* Of rotary positions, which with a cache have a row of angles for each row. */
static dn_attention_shape turning(const dn_pass *pass, const kept *k, size_t heads)
{
    dn_attention_shape shape = shape_of(pass, k, heads);
    if (pass->rows) {
        shape.T *= shape.B;
        shape.B = 1;
    }
    return shape;
}

/* pass->gain [W+2WKV]: what each number of q | k | v is multiplied by. */
static void spread_gains(dn_pass *pass, const dn_layer *layer, const kept *m)
{
    dn_stream *s = pass->stream;
    size_t hd = pass->spec->attention.hd, at = head_gains_of(pass->spec);
    for (size_t h = 0; h < m->heads + m->kv_heads; h++)
        dn_layer_gather(s, dn_at(pass->gain, h * hd), dn_layer_weight(pass, layer, at + (h >= m->heads)));
    s->kernels->fill(s, dn_at(pass->gain, m->W + m->WKV), m->WKV, 1);
}

/* The gradients of q's gains, or k's, from those of each of `heads` heads, in pass->dgain from `first` on. A rank
 * of tp has the part of its heads of a sum that is averaged. */
static void collect_gains(dn_pass *pass, const dn_layer *layer, size_t which, size_t first, size_t heads)
{
    dn_stream *s = pass->stream;
    size_t hd = pass->spec->attention.hd;
    dn_buf *sum = dn_at(pass->dgain, dn_layer_gain_size(pass->spec) - hd);
    s->kernels->fill(s, sum, hd, 0);
    s->kernels->bias_backward(s, sum, dn_at(pass->dgain, first), hd, heads, hd);
    dn_layer_scatter(s, dn_layer_weight(pass, layer, head_gains_of(pass->spec) + which), pass->tp_size, sum);
}

/* q and k, in place: normalized, times gains, turned, as far as the spec says so. */
static void shape_heads(dn_pass *pass, const dn_layer *layer, const kept *m)
{
    dn_stream *s = pass->stream;
    const dn_attention_spec *a = &pass->spec->attention;
    size_t N = pass->B * pass->T, width = m->W + 2 * m->WKV;
    dn_attention_shape q = turning(pass, m, m->heads), k = turning(pass, m, m->kv_heads);
    if (a->qk_norm && !a->qk_gain) {
        double eps = pass->spec->norm.eps;
        s->kernels->norm_rotary_forward(s, m->qkv, m->q_rstd, pass->angles, eps, &q);
        s->kernels->norm_rotary_forward(s, dn_at(m->qkv, m->W), m->k_rstd, pass->angles, eps, &k);
        return;
    }
    if (a->qk_gain) {
        double eps = pass->spec->norm.eps;
        dn_attention_shape q_norm = q, k_norm = k;
        q_norm.rot = k_norm.rot = 0;
        s->kernels->copy(s, m->n, m->qkv, N * width);
        s->kernels->norm_rotary_forward(s, m->n, m->q_rstd, pass->angles, eps, &q_norm);
        s->kernels->norm_rotary_forward(s, dn_at(m->n, m->W), m->k_rstd, pass->angles, eps, &k_norm);
        spread_gains(pass, layer, m);
        s->kernels->gain_forward(s, m->qkv, m->n, pass->gain, 0, N, width);
    }
    if (a->rot > 0) {
        s->kernels->rotary_forward(s, m->qkv, pass->angles, &q);
        s->kernels->rotary_forward(s, dn_at(m->qkv, m->W), pass->angles, &k);
    }
}

/* dqkv [N,W+2WKV], in place: the gradients of what shape_heads left become those of what it got. */
static void shape_heads_back(dn_pass *pass, const dn_layer *layer, const kept *m, dn_buf *dqkv)
{
    dn_stream *s = pass->stream;
    const dn_attention_spec *a = &pass->spec->attention;
    size_t N = pass->B * pass->T, W = m->W, width = W + 2 * m->WKV;
    dn_attention_shape q = shape_of(pass, m, m->heads), k = shape_of(pass, m, m->kv_heads);
    const dn_buf *y = a->qk_gain ? m->n : m->qkv;
    if (a->rot > 0 && !(a->qk_norm && !a->qk_gain)) {
        s->kernels->rotary_backward(s, dqkv, pass->angles, &q);
        s->kernels->rotary_backward(s, dn_at(dqkv, W), pass->angles, &k);
    }
    if (a->qk_gain) {
        spread_gains(pass, layer, m);
        s->kernels->fill(s, pass->dgain, width, 0);
        s->kernels->gain_backward(s, dqkv, pass->dgain, m->n, pass->gain, 0, N, width);
        collect_gains(pass, layer, 0, 0, m->heads);
        collect_gains(pass, layer, 1, W, m->kv_heads);
        q.rot = k.rot = 0;
    }
    if (a->qk_norm) {
        s->kernels->norm_rotary_backward(s, dqkv, y, m->q_rstd, pass->angles, &q);
        s->kernels->norm_rotary_backward(s, dn_at(dqkv, W), dn_at(y, W), m->k_rstd, pass->angles, &k);
    }
}

/* Over fs a prefix comes in parts, of the same rows of both. */
static void attend_to_prefix(const dn_pass *pass, const dn_layer *layer, const kept *m, const dn_attention_shape *shape)
{
    const dn_weight *k = dn_layer_weight(pass, layer, prefix_of(pass->spec)),
                    *v = dn_layer_weight(pass, layer, prefix_of(pass->spec) + 1);
    for (size_t i = 0; i < k->n_blocks; i++)
        pass->stream->kernels->prefix_forward(pass->stream, m->o, m->lse, m->qkv, k->blocks[i].weight, v->blocks[i].weight,
                                              k->blocks[i].block.rows, shape);
}

static void attend_to_prefix_back(const dn_pass *pass, const dn_layer *layer, const kept *m, dn_buf *dq, const dn_buf *d_o,
                                  const dn_attention_shape *shape)
{
    const dn_weight *k = dn_layer_weight(pass, layer, prefix_of(pass->spec)),
                    *v = dn_layer_weight(pass, layer, prefix_of(pass->spec) + 1);
    for (size_t i = 0; i < k->n_blocks; i++)
        pass->stream->kernels->prefix_backward(pass->stream, dq, k->blocks[i].grad, v->blocks[i].grad, d_o, m->qkv,
                                               k->blocks[i].weight, v->blocks[i].weight, m->o, m->lse, k->blocks[i].block.rows,
                                               shape);
}

/* In a cache lie, of each sequence, the heads of keys, then those of values: a head's are consecutive. */
static void attend(const dn_pass *pass, const dn_layer *layer, const kept *m)
{
    dn_stream *s = pass->stream;
    dn_attention_shape shape = shape_of(pass, m, m->heads);
    dn_buf *k = dn_at(m->qkv, m->W), *keys = layer->cache;
    dn_bf16 *narrow = pass->cache_bf16 ? (dn_bf16 *)layer->cache : NULL;
    size_t room = pass->spec->T, hd = shape.hd, values = m->WKV * room;
    if (!pass->rows) {
        s->kernels->attention_forward(s, m->o, m->lse, m->qkv, k, dn_at(k, m->WKV), &shape);
        if (has_prefix(pass->spec, layer->place.index))
            attend_to_prefix(pass, layer, m, &shape);
        return;
    }
    if (narrow)
        s->kernels->cache_store_bf16(s, narrow, 2 * m->kv_heads, room, hd, k, shape.ld, pass->rows, pass->B * pass->T);
    else
        s->kernels->cache_store(s, keys, 2 * m->kv_heads, room, hd, k, shape.ld, pass->rows, pass->B * pass->T);
    shape.room = room;
    shape.first = pass->rows[0].position;
    if (pass->T == 1 && narrow) {
        s->kernels->attention_decode_bf16(s, m->o, m->qkv, narrow, dn_bf16_at(narrow, values), pass->rows, pass->B, &shape);
        return;
    }
    if (pass->T == 1) {
        s->kernels->attention_decode(s, m->o, m->qkv, keys, dn_at(keys, values), pass->rows, pass->B, &shape);
        return;
    }
    size_t sequence = pass->rows[0].sequence * 2 * values;
    keys = narrow ? m->held : dn_at(keys, sequence);
    if (narrow)
        s->kernels->from_bf16(s, keys, dn_bf16_at(narrow, sequence), 2 * values);
    s->kernels->attention_forward(s, m->o, m->lse, m->qkv, keys, dn_at(keys, values), &shape);
}

/* Where q, k or v begins in a row of qkv. */
static size_t column_of(const kept *m, size_t i)
{
    return i == Q ? 0 : m->W + (i == V ? m->WKV : 0);
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    const dn_spec *spec = pass->spec;
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T;

    const dn_buf *y = dn_norm_forward(pass, layer, &m->norm, dn_layer_input(pass, true)); /* [N,C] */
    dn_linear_forward(s, m->qkv, y, dn_layer_weight(pass, layer, Q), N);                  /* [N,W+2WKV] */
    const dn_adapters adapters = adapters_of(spec);
    for (size_t i = Q; i <= V; i++)
        dn_adapter_forward(pass, layer, &adapters, (dn_role)(DN_ROLE_Q + i), y, dn_at(m->qkv, column_of(m, i)), m->W + 2 * m->WKV);
    if (spec->attention.qkv_bias)
        dn_bias_forward(s, m->qkv, dn_layer_weight(pass, layer, QKV_BIAS), N);
    shape_heads(pass, layer, m);
    attend(pass, layer, m);                                                /* o [N,W] */
    DN_TRY(dn_layer_project(pass, layer, m->o, O, &adapters, DN_ROLE_O)); /* x [N,C] */
    if (spec->attention.o_bias) /* by all of tp, which have the same x */
        dn_bias_forward(s, pass->x, dn_layer_weight(pass, layer, o_bias_of(spec)), N);
    return DN_OK;
}

static dn_status backward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    const dn_spec *spec = pass->spec;
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, W = m->W, WKV = m->WKV;
    dn_attention_shape shape = shape_of(pass, m, m->heads);
    dn_buf *q = m->qkv, *k = dn_at(m->qkv, m->W), *v = dn_at(m->qkv, W + WKV);
    dn_buf *dqkv = dn_alike(pass->wide, m->qkv), *dq = dqkv, *dk = dn_at(dqkv, W), *dv = dn_at(dqkv, W + WKV);
    dn_buf *d_o = W > spec->C ? dn_at(dqkv, N * (W + 2 * WKV)) : dn_alike(pass->dy, m->o);
    const dn_buf *dx = dn_layer_input(pass, false); /* [N,C] */

    if (spec->attention.o_bias)
        dn_bias_backward(s, dx, dn_layer_weight(pass, layer, o_bias_of(spec)), N);
    dn_linear_backward(s, d_o, dn_layer_rounded(pass, dx, spec->C), m->o, dn_layer_weight(pass, layer, O), N); /* [N,W] */
    const dn_adapters adapters = adapters_of(spec);
    dn_adapter_backward(pass, layer, &adapters, DN_ROLE_O, d_o, m->o, dx, spec->C);
    s->kernels->attention_backward(s, dq, dk, dv, d_o, q, k, v, m->o, m->lse, &shape); /* [N,W+2WKV] */
    if (has_prefix(spec, layer->place.index))
        attend_to_prefix_back(pass, layer, m, dq, d_o, &shape);
    shape_heads_back(pass, layer, m, dqkv);
    if (spec->attention.qkv_bias)
        dn_bias_backward(s, dqkv, dn_layer_weight(pass, layer, QKV_BIAS), N);
    const dn_buf *y = dn_norm_output(pass, layer, &m->norm);                      /* [N,C] */
    dn_linear_backward(s, pass->dy, dn_layer_rounded(pass, dqkv, W + 2 * WKV), y, dn_layer_weight(pass, layer, Q), N); /* dy [N,C] */
    for (size_t i = Q; i <= V; i++)
        dn_adapter_backward(pass, layer, &adapters, (dn_role)(DN_ROLE_Q + i), pass->dy, y, dn_at(dqkv, column_of(m, i)),
                            W + 2 * WKV);
    DN_TRY(dn_layer_sum_dy(pass));
    dn_norm_backward(pass, layer, &m->norm); /* x [N,C] */
    return DN_OK;
}

const dn_layer_ops dn_attention = {.describe = describe,
                                   .wide = wide,
                                   .lay = lay,
                                   .kept_bytes = sizeof(kept),
                                   .cached = cached,
                                   .cache_narrows = true,
                                   .flops = flops,
                                   .sums_forward = 1,
                                   .sums_backward = 1,
                                   .forward = forward,
                                   .backward = backward};
