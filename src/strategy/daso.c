/* DASO (Coquelin et al., arXiv 2104.05588): replicas form islands. Inside an island gradients are averaged in every step, before
 * the rule; across the G islands weights are, now and then:
 *
 *     blocking   in every step, w = mean of w_g                           the first across_warmup steps, the last across_cooldown
 *     cycling    begun every S steps, taken up B steps later, as          between them
 *                w = (2 B w + sum of w_g(t - B)) / (2 B + G)
 *
 * S and B begin as across_every and across_wait. The mean training loss of every plateau_every steps is looked at: when it was
 * not 5 % better than the best for the third time in a row, S is halved and B one less (at least 1); where S was 1,
 * S = 2 across_every and B = across_wait + 1.
 *
 * This project's choices: the island's replicas share the rows of the weights out among themselves, and each takes its share
 * across, where the authors' take turns with the whole: as many bytes over time, evenly in every step. Nothing begins while
 * an exchange is in flight; it is taken up with the B that it began with. The controller looks at losses of cycling alone.
 */
#include "base/fail.h"
#include "strategy/strategy.h"

enum { ISLANDS, EVERY, WAIT, WARMUP, COOLDOWN, PLATEAU };
/* Numbers: S and B; the controller's best loss, how often others were not better, sum and number of losses; of the last exchange
 * the step, plus 1, its B and the step in which it ends. */
enum { S, B, BEST, WORSE, SUM, SEEN, BEGUN, TAKES, ENDS, N_NUMBERS };

#define BETTER   0.95
#define PATIENCE 2

static const dn_key islands =
    DN_STRATEGY_INT("islands", 1, DN_MAX_RANKS, "islands of replicas that average gradients in every step; numa, nodes = those in one NUMA domain, or on one node, are one; "
                    "null = each replica is one",
                    .choices = "numa|nodes"); /* DN_ISLANDS_NUMA, DN_ISLANDS_NODES */
static const dn_key across_every = DN_STRATEGY_INT("across_every", 1, 1e6, "steps between exchanges across islands, at first");
static const dn_key across_wait = DN_STRATEGY_INT("across_wait", 0, 1e6, "steps that such an exchange may take, at first");
static const dn_key across_warmup = DN_STRATEGY_INT("across_warmup", 0, 1e12, "first steps, after each of which islands average weights");
static const dn_key across_cooldown = DN_STRATEGY_INT("across_cooldown", 0, 1e12, "last steps, after each of which islands average weights");
static const dn_key plateau_every =
    DN_STRATEGY_INT("plateau_every", 1, 1e9, "steps whose mean loss decides whether islands exchange more often");

static double option(const dn_strategy_context *c, int which)
{
    return (double)c->config->options[which].whole;
}

static int n_islands(const dn_strategy_config *config)
{
    return (int)config->options[ISLANDS].whole;
}

/* Or may be, before domains are known: memory is the same. */
static bool several(const dn_strategy_config *config)
{
    return n_islands(config) != 1;
}

/* ---- inside an island ---- */

static bool has_others(const dn_strategy_context *c, const dn_strategy_param *x)
{
    (void)x;
    return c->n_replicas > 1;
}

static bool is_one_island(const dn_strategy_context *c)
{
    return n_islands(c->config) == 1 || (n_islands(c->config) < 0 && c->config->placed_islands == 1);
}

static const dn_exchange gradients = {
    .pattern = DN_MEAN,
    .of = DN_OF_GRAD,
    .kind = DN_TRAFFIC_GRADIENT,
    .scope = DN_SCOPE_ISLAND,
    .before = true,
    .due = has_others,
    .equalizes = is_one_island,
};

/* ---- the controller ---- */

static bool is_blocking(const dn_strategy_context *c)
{
    double t = (double)c->step;
    return t < option(c, WARMUP) || t + option(c, COOLDOWN) >= (double)c->config->n_steps;
}

static void look_at(const dn_strategy_context *c, double loss)
{
    double *n = c->numbers;
    bool better = loss < BETTER * n[BEST];
    n[BEST] = better ? loss : n[BEST];
    n[WORSE] = better ? 0 : n[WORSE] + 1;
    if (n[WORSE] <= PATIENCE)
        return;
    bool often = n[S] <= 1;
    n[WORSE] = 0;
    n[S] = often ? 2 * option(c, EVERY) : floor(n[S] / 2);
    n[B] = often ? option(c, WAIT) + 1 : fmax(1, n[B] - 1);
}

static void observe(const dn_strategy_context *c)
{
    double *n = c->numbers;
    if (is_blocking(c)) {
        n[BEGUN] = (double)c->step + 1;
        return;
    }
    n[SUM] += c->loss;
    n[SEEN] += 1;
    if (n[SEEN] < option(c, PLATEAU))
        return;
    look_at(c, n[SUM] / n[SEEN]);
    n[SUM] = n[SEEN] = 0;
}

static dn_status begin(const dn_strategy_context *c, const dn_strategy_param *x)
{
    (void)x;
    c->numbers[S] = option(c, EVERY);
    c->numbers[B] = option(c, WAIT);
    c->numbers[BEST] = INFINITY;
    return DN_OK;
}

/* ---- across islands ---- */

static bool is_turn(const dn_strategy_context *c, const dn_strategy_param *x)
{
    const double *n = c->numbers;
    double t = (double)c->step;
    if (!has_others(c, x) || is_blocking(c))
        return false;
    if (!n)
        return fmod(t + 1 - option(c, WARMUP), option(c, EVERY)) == 0;
    return t + 1 - n[BEGUN] >= n[S] && n[ENDS] <= t;
}

static uint64_t longest(const dn_strategy_config *config)
{
    return (uint64_t)config->options[WAIT].whole + 1;
}

/* One message at a time. */
static uint64_t never_before_the_end(const dn_strategy_config *config)
{
    return longest(config) + 1;
}

static bool ends(const dn_strategy_context *c, uint64_t step)
{
    return c->numbers[ENDS] <= (double)step;
}

static dn_status send(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    double *n = c->numbers;
    n[BEGUN] = (double)c->step + 1;
    n[TAKES] = n[B];
    n[ENDS] = (double)c->step + n[B];
    c->stream->kernels->copy(c->stream, message->numbers, x->weight, x->n);
    return DN_OK;
}

static void merge(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *mean)
{
    double own = 2 * c->numbers[TAKES], all = own + c->n_replicas;
    c->stream->kernels->axpby(c->stream, x->weight, c->n_replicas / all, mean, own / all, x->n);
}

static bool waited_for(const dn_strategy_context *c)
{
    return c->numbers[TAKES] == 0;
}

static const dn_exchange cycling = {
    .pattern = DN_MEAN,
    .kind = DN_TRAFFIC_WEIGHTS,
    .scope = DN_SCOPE_ACROSS,
    .used = several,
    .delay = longest,
    .window = "daso.across",
    .ends = ends,
    .every = never_before_the_end,
    .due = is_turn,
    .encode = send,
    .apply = merge,
    .equalizes = waited_for,
};

static bool is_blocking_across(const dn_strategy_context *c, const dn_strategy_param *x)
{
    return has_others(c, x) && is_blocking(c);
}

static const dn_exchange blocking = {
    .pattern = DN_MEAN,
    .of = DN_OF_WEIGHT,
    .kind = DN_TRAFFIC_WEIGHTS,
    .scope = DN_SCOPE_ACROSS,
    .used = several,
    .due = is_blocking_across,
    .equalizes = dn_strategy_always,
};

static dn_status check(const dn_strategy_config *config)
{
    const dn_option_value *o = config->options;
    if (o[WAIT].whole <= o[EVERY].whole)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "across_wait %lld is above across_every %lld: an exchange across islands ends before the next begins",
                   (long long)o[WAIT].whole, (long long)o[EVERY].whole);
}

const dn_strategy dn_strategy_daso = {
    .name = "daso",
    .help = "islands average gradients in every step, and weights across islands now and then, taken up some steps later",
    .family = DN_AFTER_RULE,
    .of_whole_model = true,
    .lossless = "across_every=1 across_wait=0 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .options = {[ISLANDS] = {&islands, "null"},
                [EVERY] = {&across_every, "4"},
                [WAIT] = {&across_wait, "1"},
                [WARMUP] = {&across_warmup, "0"},
                [COOLDOWN] = {&across_cooldown, "0"},
                [PLATEAU] = {&plateau_every, "100"}},
    .exchanges = {&gradients, &cycling, &blocking},
    .check = check,
    .n_numbers = N_NUMBERS,
    .observe = observe,
    .islands = n_islands,
    .begin = begin,
};
