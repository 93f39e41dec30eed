/*
 * x += mlp(norm(x)): matrices up [F,C] and down [C,F], where it is gated gate [F,C] too, and an activation between
 * them,
 *
 *     x[t] += down act(h[t]),  h[t] = sum over j < lags of up_j norm(x[t-j]);   gated: act(g) h,  g likewise, of gate_j
 *
 * where positions before a sequence are 0; most models have no lag but j = 0. gate_j and up_j are adjacent in
 * memory: a stack, one product serves both.
 *
 * tp cuts the hidden columns: rows of the first, columns of the second. What the projection makes of a rank's
 * columns is a part of a sum, and so is the gradient of the normalized input. Relu squared keeps only its
 * result, others what goes into it.
 */
#include "nn/layer.h"

#include "base/fail.h"
#include "nn/adapter.h"
#include "nn/linear.h"
#include "shard/layout.h"

#include <stdio.h>

typedef struct kept {
    size_t H, S; /* this rank's hidden columns; those of h */
    dn_norm norm;
    dn_buf *h; /* [N,S], activations: relu squared's result; h, or g | h of a position */
} kept;

static bool in_place(const dn_spec *spec)
{
    return spec->mlp.act == DN_RELU2;
}

/* Matrices to a lag. */
static size_t stacked(const dn_spec *spec)
{
    return spec->mlp.gated ? 2 : 1;
}

/* Down's number: behind those of all lags. */
static size_t down_of(const dn_spec *spec)
{
    return stacked(spec) * spec->mlp.lags;
}

/* Then, of what there is: biases of gate and up, a stack; of down; the norm's; adapters'. */
static size_t down_bias_of(const dn_spec *spec)
{
    return down_of(spec) + 1 + (spec->mlp.bias ? stacked(spec) : 0);
}

static size_t gain_of(const dn_spec *spec)
{
    return down_bias_of(spec) + spec->mlp.bias;
}

/* Only without lags: the matrices are (gate,) up, down. */
static dn_adapters adapters_of(const dn_spec *spec)
{
    return (dn_adapters){gain_of(spec) + dn_norm_describe(spec, NULL, 0, 0, NULL),
                         spec->mlp.gated ? DN_ROLE_GATE : DN_ROLE_UP};
}

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    const char *const names[] = {spec->names->gate, spec->names->up};
    size_t n = stacked(spec), down = down_of(spec), gain = gain_of(spec);
    char lagged[DN_PARAM_NAME_MAX];
    for (size_t i = 0; params && i < down; i++) {
        const char *name = names[2 - n + i % n];
        snprintf(lagged, sizeof lagged, "%s_%zu", name, i / n);
        dn_layer_name(&params[i], spec, index, spec->mlp.lags > 1 ? lagged : name, "weight");
        dn_layer_param(&params[i], DN_PARAM_MATRIX, spec->mlp.F, spec->C, DN_TP_ROWS, 1);
        params[i].stack = i % n;
    }
    if (params) {
        dn_layer_name(&params[down], spec, index, spec->names->down, "weight");
        dn_layer_param(&params[down], DN_PARAM_MATRIX, spec->C, spec->mlp.F, DN_TP_COLUMNS, 1);
    }
    for (size_t i = 0; params && spec->mlp.bias && i < n; i++) {
        dn_param *bias = &params[down + 1 + i];
        dn_layer_name(bias, spec, index, names[2 - n + i], "bias");
        dn_layer_param(bias, DN_PARAM_VECTOR, spec->mlp.F, 1, DN_TP_ROWS, 1);
        bias->stack = i;
    }
    if (params && spec->mlp.bias) {
        dn_layer_name(&params[down_bias_of(spec)], spec, index, spec->names->down, "bias");
        dn_layer_param(&params[down_bias_of(spec)], DN_PARAM_VECTOR, spec->C, 1, DN_TP_NONE, 1);
    }
    const dn_adapters adapters = adapters_of(spec);
    dn_norm_describe(spec, params, gain, index, spec->names->mlp_norm);
    return adapters.at + dn_adapter_describe(spec, params, adapters.at, adapters.first, n + 1);
}

static size_t own_hidden(const dn_pass *pass)
{
    return dn_range_size(dn_shard_range(pass->spec->mlp.F, 1, pass->tp_size, pass->tp_rank));
}

/* But for relu squared, a, of a GLU the gradient of h and g afterwards, and the gradient of a; that of y by one
 * lag. */
static size_t wide(const dn_pass *pass)
{
    size_t H = own_hidden(pass), n = (stacked(pass->spec) + !in_place(pass->spec)) * H + (pass->spec->mlp.lags > 1 ? pass->spec->C : 0);
    return dn_layer_is_narrow(pass, H) ? n * sizeof(uint16_t) / sizeof(dn_real) : n;
}

static void lay(const dn_pass *pass, void *memory, dn_arena *own, dn_arena *shared)
{
    kept *k = memory;
    k->H = own_hidden(pass);
    k->S = stacked(pass->spec) * k->H;
    dn_norm_lay(pass, &k->norm, gain_of(pass->spec), own);
    k->h = dn_layer_is_narrow(pass, k->H) ? dn_layer_take_narrow(own, pass->room * k->S) : dn_layer_take(own, pass->room * k->S);
}

/* pass->wide for numbers like those of h. */
static dn_buf *temporary(const dn_pass *pass, const kept *m)
{
    return dn_alike(pass->wide, m->h);
}

static double flops(const dn_spec *spec)
{
    double adapters = 0;
    for (dn_role role = adapters_of(spec).first; role <= DN_ROLE_DOWN; role++)
        adapters += dn_adapter_flops(spec, role, spec->mlp.F, spec->C);
    return 6 * (double)(down_of(spec) + 1) * (double)spec->mlp.F * (double)spec->C + adapters;
}

static size_t cached(const dn_pass *pass)
{
    return pass->spec->mlp.lags > 1 ? pass->spec->C : 0;
}

/* h += what lag j sees: y [N,C], or with a cache its rows. Of a sequence the first positions see nothing. */
static void add_lag(const dn_pass *pass, const dn_layer *layer, const kept *m, const dn_buf *y, size_t j)
{
    size_t T = pass->T, C = pass->spec->C, room = pass->spec->T;
    const dn_weight *w = dn_layer_weight(pass, layer, j * stacked(pass->spec));
    for (size_t b = 0; b < pass->B; b++) {
        const dn_cache_row at = pass->rows ? pass->rows[b * T] : (dn_cache_row){b, 0};
        size_t skip = j > at.position ? j - at.position : 0;
        const dn_buf *sequence = dn_at(pass->rows ? layer->cache : y, at.sequence * (pass->rows ? room : T) * C);
        if (skip < T) /* += [T-skip,S] */
            dn_linear_forward_add(pass->stream, dn_at(m->h, (b * T + skip) * m->S),
                                  dn_at(sequence, (at.position + skip - j) * C), w, T - skip);
    }
}

/* a [N,H] of what is in h, which relu squared's overwrites; otherwise it is temporary. */
static dn_buf *activate(dn_pass *pass, const kept *m, bool first)
{
    dn_stream *s = pass->stream;
    const dn_mlp_spec *mlp = &pass->spec->mlp;
    size_t N = pass->B * pass->T;
    if (in_place(pass->spec)) {
        if (first)
            s->kernels->relu2_forward(s, m->h, N * m->H);
        return m->h;
    }
    dn_buf *a = temporary(pass, m);
    if (mlp->gated)
        s->kernels->glu_forward(s, a, m->h, mlp->act, N, m->H);
    else
        s->kernels->activation_forward(s, a, m->h, mlp->act, N * m->H);
    return a;
}

/* Returns the gradient of h [N,S] from da [N,H], that of a; a is needed no more. */
static dn_buf *activate_back(dn_pass *pass, const kept *m, dn_buf *da)
{
    dn_stream *s = pass->stream;
    const dn_mlp_spec *mlp = &pass->spec->mlp;
    size_t N = pass->B * pass->T;
    if (mlp->gated) {
        dn_buf *dh = temporary(pass, m);
        s->kernels->glu_backward(s, dh, da, m->h, mlp->act, N, m->H);
        return dh;
    }
    if (in_place(pass->spec))
        s->kernels->relu2_backward(s, da, m->h, N * m->H);
    else
        s->kernels->activation_backward(s, da, m->h, mlp->act, N * m->H);
    return da;
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    size_t B = pass->B, T = pass->T, C = pass->spec->C, lags = pass->spec->mlp.lags;
    size_t down = down_of(pass->spec);

    const dn_buf *y = dn_norm_forward(pass, layer, &m->norm, dn_layer_input(pass, false)); /* [N,C] */
    dn_linear_forward(s, m->h, y, dn_layer_weight(pass, layer, 0), B * T); /* [N,S] */
    const dn_adapters adapters = adapters_of(pass->spec);
    for (dn_role role = adapters.first; role < DN_ROLE_DOWN; role++)
        dn_adapter_forward(pass, layer, &adapters, role, y, dn_at(m->h, (size_t)(role - adapters.first) * m->H), m->S);
    if (pass->rows && lags > 1)
        s->kernels->cache_store(s, layer->cache, 1, pass->spec->T, C, y, C, pass->rows, B * T);
    for (size_t j = 1; j < lags; j++)
        add_lag(pass, layer, m, y, j);
    if (pass->spec->mlp.bias)
        dn_bias_forward(s, m->h, dn_layer_weight(pass, layer, down + 1), B * T);
    dn_buf *a = activate(pass, m, true); /* [N,H] */
    DN_TRY(dn_layer_project(pass, layer, a, down, &adapters, DN_ROLE_DOWN)); /* x [N,C] */
    if (pass->spec->mlp.bias) /* by all of tp, which have the same x */
        dn_bias_forward(s, pass->x, dn_layer_weight(pass, layer, down_bias_of(pass->spec)), B * T);
    return DN_OK;
}

static dn_status backward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    size_t B = pass->B, T = pass->T, N = B * T, C = pass->spec->C, lags = pass->spec->mlp.lags, H = m->H,
           S = m->S;
    dn_buf *da = dn_at(temporary(pass, m), in_place(pass->spec) ? 0 : N * S), *lagged = dn_at(da, N * H);
    const dn_buf *dx = dn_layer_input(pass, true); /* [N,C] */
    size_t down = down_of(pass->spec);

    if (pass->spec->mlp.bias)
        dn_bias_backward(s, dx, dn_layer_weight(pass, layer, down_bias_of(pass->spec)), N);
    const dn_buf *a = activate(pass, m, false);                              /* [N,H] */
    dn_linear_backward(s, da, dn_layer_rounded(pass, dx, C), a, dn_layer_weight(pass, layer, down), N); /* [N,H] */
    const dn_adapters adapters = adapters_of(pass->spec);
    dn_adapter_backward(pass, layer, &adapters, DN_ROLE_DOWN, da, a, dx, C);
    const dn_buf *dh = activate_back(pass, m, da);                           /* [N,S] */
    if (pass->spec->mlp.bias)
        dn_bias_backward(s, dh, dn_layer_weight(pass, layer, down + 1), N);
    const dn_buf *y = dn_norm_output(pass, layer, &m->norm);                    /* [N,C] */
    dn_linear_backward(s, pass->dy, dh, y, dn_layer_weight(pass, layer, 0), N); /* dy [N,C] */
    for (dn_role role = adapters.first; role < DN_ROLE_DOWN; role++)
        dn_adapter_backward(pass, layer, &adapters, role, pass->dy, y, dn_at(dh, (size_t)(role - adapters.first) * H), S);
    for (size_t j = 1; j < lags && j < T; j++)
        for (size_t b = 0; b < B; b++) { /* dy += [T-j,C] */
            dn_linear_backward(s, lagged, dn_at(dh, (b * T + j) * S), dn_at(y, b * T * C),
                               dn_layer_weight(pass, layer, j * stacked(pass->spec)), T - j);
            s->kernels->axpby(s, dn_at(pass->dy, b * T * C), 1, lagged, 1, (T - j) * C);
        }
    DN_TRY(dn_layer_sum_dy(pass));
    dn_norm_backward(pass, layer, &m->norm); /* x [N,C] */
    return DN_OK;
}

const dn_layer_ops dn_mlp = {.describe = describe,
                             .wide = wide,
                             .lay = lay,
                             .kept_bytes = sizeof(kept),
                             .cached = cached,
                             .flops = flops,
                             .sums_forward = 1,
                             .sums_backward = 1,
                             .forward = forward,
                             .backward = backward};
