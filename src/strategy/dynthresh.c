/* Dynamic communication thresholding (Gupta et al., arXiv 2010.08899) of gradients: each replica sends what reaches its
 * threshold, and keeps the rest for the next step. Of every parameter, e_i and tau_i replica i's own:
 *
 *     x = g_i + e_i;  every threshold_every steps tau_i = the threshold_quantile of |x|
 *     q_i = x where |x| >= tau_i;  e_i = x - q_i;  the rule steps on the mean of q_i
 *
 * This project's choices: the quantile is element floor(eta n) of |x| in rising order, and 0 instead of the least; tau is also
 * taken anew after a step in which the replicas' mean number of entries left a quarter to four times what the quantile expects;
 * a parameter is a rank's block, so that results depend on how fs and tp cut it. Where entries with their indices are longer
 * than all numbers, these are sent, 0 where nothing is. */
#include "base/fail.h"
#include "compute/kernels.h"
#include "strategy/strategy.h"

extern const dn_codec dn_codec_threshold, dn_codec_f32;

enum { EVERY, QUANTILE };
enum { RESIDUAL, KNOWN };
enum { TAU, SENT }; /* in KNOWN: the threshold; entries of the step before, in the replicas' mean, 0 before the first */

static const dn_key every = DN_STRATEGY_INT("threshold_every", 1, 1e12, "steps from one threshold to the next");
static const dn_key quantile = DN_STRATEGY_REAL("threshold_quantile", 0, 1, "part of a gradient that is below the threshold");

static dn_status find_threshold(const dn_strategy_context *c, const dn_strategy_param *x, double *tau)
{
    const dn_option_value *o = c->config->options;
    dn_real known[2];
    size_t below = dn_min((size_t)(o[QUANTILE].real * (double)x->n), x->n - 1);
    double expected = (double)(x->n - below);
    dn_download(c->stream, known, x->states[KNOWN], 2);
    DN_TRY(dn_stream_sync(c->stream));
    double sent = (double)known[SENT];
    *tau = (double)known[TAU];
    if (c->step % (uint64_t)o[EVERY].whole > 0 && expected <= 4 * sent && sent <= 4 * expected)
        return DN_OK;
    *tau = 0;
    if (below > 0)
        c->stream->kernels->kth_magnitude(c->stream, tau, x->states[RESIDUAL], x->n, x->n - below);
    DN_TRY(dn_stream_sync(c->stream));
    c->stream->kernels->fill(c->stream, dn_at(x->states[KNOWN], TAU), 1, *tau);
    return DN_OK;
}

static size_t all_bytes(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    return dn_codec_bytes(&dn_codec_f32, NULL, rows * cols);
}

/* Places in fours: then the parts of a message have no gaps, and its length says how many there are. */
static dn_codec_config places_for(size_t entries)
{
    return (dn_codec_config){.values = &dn_codec_f32, .k = (entries + 3) / 4 * 4};
}

static dn_status encode(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    double tau;
    uint64_t count;
    c->stream->kernels->axpby(c->stream, x->states[RESIDUAL], 1, x->grad, 1, x->n);
    DN_TRY(find_threshold(c, x, &tau));
    c->stream->kernels->split_above(c->stream, &count, x->grad, x->states[RESIDUAL], x->n, tau);
    DN_TRY(dn_stream_sync(c->stream));
    c->stream->kernels->fill(c->stream, dn_at(x->states[KNOWN], SENT), 1, (double)count);
    const dn_codec_config config = places_for(count);
    size_t bytes = dn_codec_bytes(&dn_codec_threshold, &config, x->n);
    const dn_codec *codec = bytes < message->n ? &dn_codec_threshold : &dn_codec_f32;
    message->n = dn_min(message->n, bytes);
    dn_codec_encode(c->stream, codec, &config, message->bytes, x->grad, x->n, c->scratch);
    return DN_OK;
}

static void decode(const dn_strategy_context *c, const dn_strategy_param *x, const dn_message *message)
{
    bool in_full = message->n == all_bytes(c->config, x->param->kind, x->rows, x->cols);
    size_t each = dn_codec_threshold.index_bytes(NULL, x->n, 1) + sizeof(dn_real);
    const dn_codec_config config = places_for(message->n / each);
    dn_strategy_average_coded(c, x, message, in_full ? &dn_codec_f32 : &dn_codec_threshold, &config);
}

static size_t all_numbers(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    return rows * cols;
}

static size_t one_number(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    return 1;
}

static dn_block_shape two_numbers(const dn_strategy_config *config, size_t rows, size_t cols)
{
    return (dn_block_shape){1, 2};
}

static dn_status encode_count(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    c->stream->kernels->copy(c->stream, message->numbers, dn_at(x->states[KNOWN], SENT), 1);
    return DN_OK;
}

static void keep_count(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *mean)
{
    c->stream->kernels->copy(c->stream, dn_at(x->states[KNOWN], SENT), mean, 1);
}

static const dn_exchange entries = {.pattern = DN_GATHER, .kind = DN_TRAFFIC_GRADIENT, .length = all_bytes, .varies = true,
                                    .encode = encode, .decode = decode};
static const dn_exchange counts = {.kind = DN_TRAFFIC_PROBE, .length = one_number, .encode = encode_count, .apply = keep_count};

static const char *cut_dependent(const dn_strategy_config *config)
{
    return config->options[QUANTILE].real > 0 ? "thresholds are those of a rank's block" : NULL;
}

const dn_strategy dn_strategy_dynthresh = {
    .name = "dynthresh",
    .help = "entries of gradients that reach a threshold are averaged in every step; the rest is kept for the next",
    .family = DN_BEFORE_RULE,
    .lossless = "threshold_quantile=0 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .options = {[EVERY] = {&every, "1000"}, [QUANTILE] = {&quantile, "0.99"}},
    .states = {[RESIDUAL] = {.name = "dynthresh.residual", .residence = DN_PER_REPLICA},
               [KNOWN] = {.name = "dynthresh.threshold", .residence = DN_PER_REPLICA, .shape = two_numbers}},
    .exchanges = {&entries, &counts},
    .scratch = all_numbers,
    .cut_dependent = cut_dependent,
};
