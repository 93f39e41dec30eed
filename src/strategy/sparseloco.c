/* SparseLoCo (Sarfi et al., arXiv 2508.15706): replicas step alone, with any rule; every sync_every steps each sends the largest
 * entries of what it owes, in few bits, and keeps the rest for later. a is where the replicas set out from, e_i what replica i
 * owes:
 *
 *     e_i = feedback e_i + a - w_i;  q_i = the largest of e_i;  e_i = e_i - q_i;  a = a - mean of q_i;  w = a
 *
 * Of each tile of 64 x 64 of a matrix (smaller at its edges), or run of 64 of a column, `density` is sent, rounded up; what is
 * 0 is not. With wire: int2 numbers have two bits (codec/int2.c). The mean of an entry is over those that sent it, as in the
 * authors' code, or over all, as in their text: demo_mean.
 *
 * This project's choice: tiles are those of a rank's block, so that results depend on how fs and tp cut a parameter.
 */
#include "compute/kernels.h"
#include "strategy/merge.h"

extern const dn_codec dn_codec_topk;

enum { TILE = 64 };
enum { SYNC_EVERY, DENSITY, FEEDBACK, WIRE, MEAN };
enum { ANCHOR, RESIDUAL };

static const dn_key feedback = DN_STRATEGY_REAL("feedback", 0, 1, "part of what was not sent that is still owed at the next exchange");

static dn_merge merge_of(const dn_strategy_config *config, size_t rows, size_t cols)
{
    const dn_option_value *o = config->options;
    const dn_tiling tiling = {rows, cols, TILE, TILE};
    return dn_merge_of(&tiling, o[DENSITY].real, o[WIRE], o[MEAN]);
}

/* The gradient's memory is free. */
static dn_merge merge_in(const dn_strategy_context *c, const dn_strategy_param *x)
{
    dn_merge merge = merge_of(c->config, x->rows, x->cols);
    merge.sum = x->grad;
    merge.counts = c->scratch;
    merge.work = dn_at(c->scratch, x->n);
    return merge;
}

static size_t length(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    const dn_merge merge = merge_of(config, rows, cols);
    return dn_merge_bytes(&merge);
}

static size_t scratch(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    const dn_merge merge = merge_of(config, rows, cols);
    return merge.n + dn_merge_work(&merge);
}

static dn_status encode(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    const dn_merge merge = merge_in(c, x);
    dn_strategy_difference(c->stream, x->grad, x->states[ANCHOR], x->weight, x->n);
    dn_codec_encode_feedback(c->stream, &dn_codec_topk, &merge.config, message->bytes, x->states[RESIDUAL],
                             c->config->options[FEEDBACK].real, x->grad, x->n, merge.work);
    return DN_OK;
}

static void decode(const dn_strategy_context *c, const dn_strategy_param *x, const dn_message *message)
{
    const dn_merge merge = merge_in(c, x);
    dn_merge_add(c->stream, &merge, message);
}

static void apply(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *none)
{
    const dn_merge merge = merge_in(c, x);
    dn_merge_finish(c->stream, &merge, c->n_replicas);
    c->stream->kernels->axpby(c->stream, x->states[ANCHOR], -1, merge.sum, 1, x->n);
    c->stream->kernels->copy(c->stream, x->weight, x->states[ANCHOR], x->n);
}

static const dn_exchange owed = {
    .pattern = DN_GATHER,
    .kind = DN_TRAFFIC_DELTA,
    .length = length,
    .due = dn_strategy_every,
    .encode = encode,
    .decode = decode,
    .apply = apply,
    .equalizes = dn_strategy_always,
};

static const char *cut_dependent(const dn_strategy_config *config)
{
    const dn_option_value *o = config->options;
    return o[DENSITY].real < 1 ? "tiles are those of a rank's block" : dn_option_wire_is_cut_dependent(o[WIRE]);
}

const dn_strategy dn_strategy_sparseloco = {
    .name = "sparseloco",
    .help = "replicas step alone; every sync_every steps the largest entries of what each owes are averaged",
    .family = DN_AFTER_RULE,
    .lossless = "sync_every=1 density=1 wire=f32 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .options = {[SYNC_EVERY] = {&dn_option_sync_every, "30"},
                [DENSITY] = {&dn_option_density, "0.0156"},
                [FEEDBACK] = {&feedback, "0.95"},
                [WIRE] = {&dn_option_wire, "f32"},
                [MEAN] = {&dn_option_demo_mean, "senders"}},
    .states = {[ANCHOR] = {.name = "sparseloco.anchor", .residence = DN_REPLICATED, .weight = true},
               [RESIDUAL] = {.name = "sparseloco.residual", .residence = DN_PER_REPLICA}},
    .exchanges = {&owed},
    .scratch = scratch,
    .cut_dependent = cut_dependent,
};
