/* Models of any sizes and keys that an architecture takes, so that combinations that nobody thought of are tried, too. */
#ifndef SUPPORT_DRAWN_SPEC_H
#define SUPPORT_DRAWN_SPEC_H

#include "base/random.h"
#include "model/model.h"

#include <stdio.h>

/* What the next draw of a number gives, from first to last. */
static inline size_t drawn(uint64_t number, uint64_t *draw, size_t first, size_t last)
{
    return first + (size_t)(dn_random_bits(number, 77, (*draw)++) % (last - first + 1));
}

static inline dn_attention_spec drawn_attention(uint64_t number, uint64_t *draw, size_t T)
{
    dn_attention_spec a = {.NKV = drawn(number, draw, 1, 4)};
    a.NH = a.NKV * drawn(number, draw, 1, 3);
    a.hd = 2 * drawn(number, draw, 1, 6);
    a.qkv_bias = drawn(number, draw, 0, 1);
    a.o_bias = drawn(number, draw, 0, 1);
    a.window = drawn(number, draw, 0, 1) ? drawn(number, draw, 1, T + 2) : 0;
    a.rotary = drawn(number, draw, 0, 1) ? (double)drawn(number, draw, 1, 8) / 8 : 0;
    a.theta = drawn(number, draw, 0, 1) ? (double)drawn(number, draw, 2, 1000000) : 0;
    a.scaling = (dn_rope_scaling)drawn(number, draw, DN_ROPE_PLAIN, DN_ROPE_LLAMA3);
    if (a.scaling != DN_ROPE_PLAIN)
        a.factor = (double)drawn(number, draw, 2, 20) / 2;
    if (a.scaling == DN_ROPE_LLAMA3) {
        a.low = (double)drawn(number, draw, 1, 4) / 2;
        a.high = a.low + (double)drawn(number, draw, 1, 8) / 2;
        a.original_T = drawn(number, draw, 1, 4 * T);
    }
    return a;
}

/* Model `number` of an architecture: small, and not completed. What is 0 the architecture decides. */
static inline dn_spec drawn_spec(const dn_architecture *of, uint64_t number)
{
    static const dn_activation held[] = {DN_ACTIVATION_UNSET, DN_SILU, DN_GELU_TANH, DN_GELU_ERF}; /* by gated MLPs, too */
    uint64_t draw = 0;
    dn_spec s = {.architecture = of};
    s.V = drawn(number, &draw, 2, 60);
    s.T = drawn(number, &draw, 1, 19);
    s.C = drawn(number, &draw, 8, 40); /* the norm of one number is its sign: in float rounding would decide */
    s.L = drawn(number, &draw, 1, 3);
    s.mlp.F = drawn(number, &draw, 1, 50);
    s.mlp.act = held[drawn(number, &draw, 0, 3)];
    s.mlp.bias = drawn(number, &draw, 0, 1);
    s.norm.eps = (double)drawn(number, &draw, 1, 1000) * 1e-6;
    s.max_positions = s.T + drawn(number, &draw, 0, 5);
    s.attention.NH = 1;
    if (!of->attention)
        return s;
    s.attention = drawn_attention(number, &draw, s.T);
    s.tied = (dn_choice)drawn(number, &draw, DN_UNSET, DN_YES);
    s.parallel = (dn_choice)drawn(number, &draw, DN_UNSET, DN_YES);
    return s;
}

/* To be printed where such a model fails. */
static inline const char *drawn_text(const dn_spec *s, char text[512])
{
    const dn_attention_spec *a = &s->attention;
    snprintf(text, 512,
             "%s: V %zu T %zu C %zu L %zu F %zu act %d bias %d eps %g, NH %zu NKV %zu hd %zu biases %d %d window %zu rotary %g theta "
             "%g scaling %d %g %g %g %zu, tied %d parallel %d",
             s->architecture->name, s->V, s->T, s->C, s->L, s->mlp.F, (int)s->mlp.act, s->mlp.bias, s->norm.eps, a->NH, a->NKV, a->hd,
             a->qkv_bias, a->o_bias, a->window, a->rotary, a->theta, (int)a->scaling, a->factor, a->low, a->high, a->original_T,
             (int)s->tied, (int)s->parallel);
    return text;
}

#endif
