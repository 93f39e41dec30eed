/* Streaming DiLoCo (Douillard et al., arXiv 2501.18512): DiLoCo by fragments of the model, by turns, so that no step exchanges
 * much; what begins in one step is taken up `overlap` steps later. Fragment p of F begins where (t + 1) mod H = floor(p H / F).
 * a is where the replicas set out from, d the mean of what they owe, taken when it begins:
 *
 *     d = mean of a - w_i;  then  b = mu b + d;  a = a - eta (d + mu b);  w_i = mix w_i + (1 - mix) a
 *
 * This project's choices: fragments are strided, by the layer's number mod F, or the parameter's where it is of no layer;
 * a fragment is sent in its first turn, too, when fewer than H steps lie behind it.
 */
#include "base/fail.h"
#include "base/size.h"
#include "strategy/outer.h"

enum { SYNC_EVERY, OUTER_LR, OUTER_MOMENTUM, FRAGMENTS, OVERLAP, MIX, WIRE };
enum { ANCHOR, MOMENTUM };

static const dn_key fragments = DN_STRATEGY_INT("fragments", 1, 1 << 16, "parts of the model that are exchanged by turns; null = a third of the layers");
static const dn_key overlap = DN_STRATEGY_INT("overlap", 0, 1e6, "steps that an exchange may take");
static const dn_key mix = DN_STRATEGY_REAL("mix", 0, 1, "part of a replica's own weights that it keeps when an exchange arrives");

static bool is_turn(const dn_strategy_context *c, const dn_strategy_param *x)
{
    const dn_option_value *o = c->config->options;
    size_t given = (size_t)o[FRAGMENTS].whole, n = given ? given : dn_max(c->n_layers / 3, 1), every = (size_t)o[SYNC_EVERY].whole;
    int layer = dn_strategy_layer(x->param);
    size_t fragment = (layer >= 0 ? (size_t)layer : x->index) % n;
    return (c->step + 1) % every == fragment * every / n;
}

static uint64_t delay(const dn_strategy_config *config)
{
    return (uint64_t)config->options[OVERLAP].whole;
}

static uint64_t every(const dn_strategy_config *config)
{
    return (uint64_t)config->options[SYNC_EVERY].whole;
}

static bool keeps_nothing(const dn_strategy_context *c)
{
    return c->config->options[MIX].real == 0;
}

static bool is_plain(const dn_strategy_config *config)
{
    return dn_option_is_plain(config->options[WIRE]);
}

static bool is_coded(const dn_strategy_config *config)
{
    return !is_plain(config);
}

static size_t coded_bytes(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    return dn_codec_bytes(dn_option_codec(config->options[WIRE]), NULL, rows * cols);
}

/* What the replica owes: a - w. */
static dn_status encode(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    dn_buf *d = message->numbers ? message->numbers : x->grad;
    dn_strategy_difference(c->stream, d, x->states[ANCHOR], x->weight, x->n);
    if (message->bytes)
        dn_codec_encode(c->stream, dn_option_codec(c->config->options[WIRE]), NULL, message->bytes, d, x->n, NULL);
    return DN_OK;
}

static void decode(const dn_strategy_context *c, const dn_strategy_param *x, const dn_message *message)
{
    dn_strategy_average_coded(c, x, message, dn_option_codec(c->config->options[WIRE]), NULL);
}

static void arrive(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *mean)
{
    const dn_option_value *o = c->config->options;
    double keep = o[MIX].real;
    dn_outer_step(c->stream, (dn_outer){o[OUTER_LR].real, o[OUTER_MOMENTUM].real}, x->states[ANCHOR], x->states[MOMENTUM],
                  mean ? mean : x->grad, x->n);
    if (keep == 0)
        c->stream->kernels->copy(c->stream, x->weight, x->states[ANCHOR], x->n);
    else
        c->stream->kernels->axpby(c->stream, x->weight, 1 - keep, x->states[ANCHOR], keep, x->n);
}

/* The same, as numbers or in fewer bits. */
#define FRAGMENT                                                                                                                \
    .kind = DN_TRAFFIC_DELTA, .delay = delay, .every = every, .due = is_turn, .encode = encode, .apply = arrive, .equalizes = keeps_nothing
static const dn_exchange numbers = {FRAGMENT, .pattern = DN_MEAN, .used = is_plain, .window = "streaming.delta"};
static const dn_exchange coded = {
    FRAGMENT, .pattern = DN_GATHER, .used = is_coded, .window = "streaming.coded", .length = coded_bytes, .decode = decode};

static dn_status check(const dn_strategy_config *config)
{
    const dn_option_value *o = config->options;
    if (o[OVERLAP].whole >= o[SYNC_EVERY].whole)
        return dn_fail(DN_ERR_CONFIG, "overlap %lld is not below sync_every %lld: a fragment's exchange ends before its next begins",
                       (long long)o[OVERLAP].whole, (long long)o[SYNC_EVERY].whole);
    return DN_OK;
}

static const char *cut_dependent(const dn_strategy_config *config)
{
    return dn_option_wire_is_cut_dependent(config->options[WIRE]);
}

const dn_strategy dn_strategy_streaming = {
    .name = "streaming",
    .help = "DiLoCo by fragments of the model, by turns, each taken up some steps after it was sent",
    .family = DN_AFTER_RULE,
    .of_whole_model = true,
    .lossless = "sync_every=1 fragments=1 overlap=0 mix=0 outer_lr=1 outer_momentum=0 wire=f32 optimizer=sgd scalar_opt=sgd "
                "clip_grad_norm=0",
    .options = {[SYNC_EVERY] = {&dn_option_sync_every, "30"},
                [OUTER_LR] = {&dn_option_outer_lr, "0.4"},
                [OUTER_MOMENTUM] = {&dn_option_outer_momentum, "0.9"},
                [FRAGMENTS] = {&fragments, "null"},
                [OVERLAP] = {&overlap, "0"},
                [MIX] = {&mix, "0.5"},
                [WIRE] = {&dn_option_wire, "f32"}},
    .states = {[ANCHOR] = {.name = "streaming.anchor", .residence = DN_REPLICATED, .weight = true},
               [MOMENTUM] = {.name = "streaming.momentum", .residence = DN_REPLICATED}},
    .exchanges = {&numbers, &coded},
    .check = check,
    .cut_dependent = cut_dependent,
};
