/* Federated dynamic averaging (Theologitis et al., arXiv 2405.20988): replicas step alone, with any rule, and average weights
 * when their variance may have passed theta. a is the weights after the last average, u_i = w_i - a; means are over replicas:
 *
 *     var = mean |u|^2 - |mean u|^2 <= H;   if not H <= theta:  w = a = mean of w_i
 *
 *     linear   H = mean |u|^2 - (mean xi.u)^2 / |xi|^2, xi the last move of a; first a random vector
 *     sketch   H = mean |u|^2 - M / (1 + 1/sqrt(250)), M the median of the squared norms of the rows of mean AMS sketch (sketch.h)
 *     naive    H = mean |u|^2
 *     exact    H = var, at the cost of an average in every step: for comparison
 *
 * In every step replicas average a few numbers (three, 1,251, one, two), counted as probes, as they are the method's cost. theta
 * is 4e-5 of the number of parameters by default, as the authors' results suggest. This project's choice: after an average that
 * moves nothing `linear` does as `naive`.
 */
#include "base/fail.h"
#include "compute/draw.h"
#include "strategy/sketch.h"
#include "strategy/strategy.h"

#include <math.h>

enum { MONITOR, THRESHOLD };
enum { LINEAR, SKETCH, NAIVE, EXACT };
enum { ANCHOR, XI };

static const dn_key monitor = DN_STRATEGY_ENUM("monitor", "linear|sketch|naive|exact", "how the replicas' variance is estimated");
static const dn_key threshold = DN_STRATEGY_REAL("variance_threshold", 0, 1e30, "weights are averaged beyond this variance; null = 4e-5 times parameters");

static dn_status begin(const dn_strategy_context *c, const dn_strategy_param *x)
{
    const dn_block block = x->param->block;
    return dn_draw_uniform(c->stream, x->states[XI], &(dn_draw){.seed = c->config->seed, .stream = DN_STREAM_XI + x->index, .std = 1,
                                                                .cols = x->param->tensor.cols, .block = block});
}

static bool is_exact(const dn_strategy_context *c, const dn_strategy_param *x)
{
    return c->config->options[MONITOR].choice == EXACT;
}

static dn_status drift(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    dn_strategy_difference(c->stream, message->numbers, x->weight, x->states[ANCHOR], x->n);
    return DN_OK;
}

static size_t n_probe(const dn_strategy_config *config)
{
    static const size_t n[] = {[LINEAR] = 3, [SKETCH] = 1 + DN_SKETCH_SIZE, [NAIVE] = 1, [EXACT] = 2};
    return n[config->options[MONITOR].choice];
}

static dn_status probe(const dn_strategy_context *c, const dn_strategy_param *x, double *out)
{
    const dn_kernels *k = c->stream->kernels;
    int how = c->config->options[MONITOR].choice;
    double p[3] = {0};
    if (how == EXACT) /* the mean of u_i has come there */
        k->sum_squares(c->stream, &p[1], x->grad, x->n);
    dn_strategy_difference(c->stream, x->grad, x->weight, x->states[ANCHOR], x->n);
    k->sum_squares(c->stream, &p[0], x->grad, x->n);
    if (how == LINEAR) {
        k->dot(c->stream, &p[1], x->states[XI], x->grad, x->n);
        k->sum_squares(c->stream, &p[2], x->states[XI], x->n);
    }
    DN_TRY(dn_stream_sync(c->stream));
    for (size_t i = 0; i < 3 && i < n_probe(c->config); i++)
        out[i] += p[i];
    return how == SKETCH ? dn_sketch_add(c->stream, c->config->seed, x, out + 1) : DN_OK;
}

static double variance(const dn_strategy_context *c)
{
    const double *p = c->probe;
    switch (c->config->options[MONITOR].choice) {
    case LINEAR:
        return p[2] > 0 ? p[0] - p[1] * p[1] / p[2] : p[0];
    case SKETCH:
        return p[0] - dn_sketch_square(p + 1) / (1 + 1 / sqrt(DN_SKETCH_WIDTH));
    case EXACT:
        return p[0] - p[1];
    default:
        return p[0];
    }
}

static bool passed(const dn_strategy_context *c, const dn_strategy_param *x)
{
    double given = c->config->options[THRESHOLD].real, theta = isnan(given) ? 4e-5 * c->n_elements : given;
    return !(variance(c) <= theta); /* also of what is not a number */
}

static void move(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *mean)
{
    dn_strategy_difference(c->stream, x->states[XI], mean, x->states[ANCHOR], x->n);
    c->stream->kernels->copy(c->stream, x->states[ANCHOR], mean, x->n);
}

static const dn_exchange mean_drift = {.of = DN_OF_GRAD, .kind = DN_TRAFFIC_PROBE, .due = is_exact, .encode = drift};
static const dn_exchange weights = {.of = DN_OF_WEIGHT, .kind = DN_TRAFFIC_WEIGHTS, .n_probe = n_probe, .probe = probe,
                                    .due = passed, .apply = move, .equalizes = dn_strategy_always};

const dn_strategy dn_strategy_fda = {
    .name = "fda",
    .help = "replicas step alone; weights are averaged when their variance may have passed a threshold",
    .family = DN_AFTER_RULE,
    .of_whole_model = true,
    .lossless = "variance_threshold=0 monitor=naive optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .options = {[MONITOR] = {&monitor, "linear"}, [THRESHOLD] = {&threshold, "null"}},
    .states = {[ANCHOR] = {.name = "fda.anchor", .residence = DN_REPLICATED, .weight = true},
               [XI] = {.name = "fda.xi", .residence = DN_REPLICATED}},
    .exchanges = {&mean_drift, &weights},
    .begin = begin,
};
