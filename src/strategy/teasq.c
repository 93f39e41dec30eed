/* TEASQ-Fed (Zhou et al., arXiv 2312.15186): clients pull versions when the server grants it, and send the largest part of what they
 * changed, in few bits; the server makes a version as soon as some of them have sent, stale ones counting less. A client trains
 * F_c(w') + mu/2 |w' - w|^2, so that its gradient is
 *
 *     g = grad F_c(w') + mu (w' - w)
 *
 * It sends Q(top-p of w' - w), and w_c is w plus that. d is how many versions were made since the client's:
 *
 *     S(d) = (1 + d)^-a;   u = sum S(d_c) n_c w_c / sum S(d_c) n_c;   w = (1 - alpha S(mean d)) w + alpha S(mean d) u
 *
 * Read were the ingredients and not the formulas: S and the mixing are those of FedAsync (arXiv 1903.03934) and FedBuff (arXiv
 * 2106.06639), on which it builds, and with them the defaults of a, alpha and mu. This project's choices: of each tile of 64 x 64 of
 * a matrix (or run of 64 of a vector) `density` is sent, twice as much after each quarter of the run (the text's dynamic decay);
 * tickets are given as soon as a version is made, to clients drawn from all that have none; by default the server waits for half of
 * those that are out. Where all is sent as it is, the weights
 * go themselves: then, with all clients at a time, waited for, alpha 1 and mu 0, it is fedavg, bit for bit.
 */
#include "strategy/merge.h"

#include <math.h>

extern const dn_codec dn_codec_topk;

enum { TILE = 64 };
enum { FRACTION, CACHE, POWER, MIX, PROXIMAL, DENSITY, WIRE };

static const dn_key cache = DN_STRATEGY_REAL("cache_fraction", 1e-6, 1, "part of the clients, at least one, that the server waits for to make a version");
static const dn_key power = DN_STRATEGY_REAL("staleness_power", 0, 10, "a of what a stale client counts: (1 + versions made meanwhile)^-a");
static const dn_key mix = DN_STRATEGY_REAL("server_mix", 1e-6, 1, "by how much a version goes to the mean of what clients sent");
static const dn_key proximal = DN_STRATEGY_REAL("proximal", 0, 1e6, "pull of a client back to the version that it trains");

static int out(const dn_strategy_config *config, int n_clients)
{
    return dn_option_of_clients(config->options[FRACTION].real, n_clients);
}

static int quorum(const dn_strategy_config *config, int n_clients)
{
    return dn_option_of_clients(config->options[CACHE].real, n_clients);
}

static double counts(const dn_client_context *c, double delay)
{
    return pow(1 + delay, -c->config->options[POWER].real);
}

static double weight(const dn_client_context *c)
{
    return counts(c, (double)c->delay) * (double)c->n_rows;
}

static void local(const dn_client_context *c, const dn_client_numbers *x)
{
    double mu = c->config->options[PROXIMAL].real;
    if (mu == 0)
        return;
    c->stream->kernels->axpby(c->stream, x->grad, mu, x->weight, 1, x->n);
    c->stream->kernels->axpby(c->stream, x->grad, -mu, x->version, 1, x->n);
}

/* ---- what is sent ---- */

static double density(const dn_strategy_config *config, uint64_t version)
{
    return fmin(1, ldexp(config->options[DENSITY].real, (int)(4 * version / config->n_steps)));
}

static bool is_whole(const dn_strategy_config *config, uint64_t version)
{
    return density(config, version) == 1 && dn_option_is_plain(config->options[WIRE]);
}

static dn_codec_config codec_of(const dn_strategy_config *config, uint64_t version, size_t cols)
{
    return (dn_codec_config){.values = dn_option_codec(config->options[WIRE]),
                             .cols = cols,
                             .tile_rows = TILE,
                             .tile_cols = TILE,
                             .share = density(config, version)};
}

static size_t upload_bytes(const dn_client_context *c, dn_param_kind kind, size_t rows, size_t cols)
{
    const dn_codec_config codec = codec_of(c->config, c->step, cols);
    (void)kind;
    return is_whole(c->config, c->step) ? rows * cols * sizeof(dn_real) : dn_codec_bytes(&dn_codec_topk, &codec, rows * cols);
}

/* Numbers in which a message fits. */
static size_t room(const dn_codec_config *codec, size_t n)
{
    return (dn_codec_bytes(&dn_codec_topk, codec, n) + sizeof(dn_real) - 1) / sizeof(dn_real);
}

/* The largest is that of the end of the run. */
static size_t scratch(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    const dn_codec_config codec = codec_of(config, config->n_steps, cols);
    (void)kind;
    return room(&codec, rows * cols) + dn_codec_work(&dn_codec_topk, &codec, rows * cols);
}

static void upload(const dn_client_context *c, const dn_client_numbers *x)
{
    const dn_codec_config codec = codec_of(c->config, c->step, x->param->tensor.cols);
    dn_buf *work = dn_at(c->scratch, room(&codec, x->n));
    dn_bytes *message = (dn_bytes *)c->scratch;
    if (is_whole(c->config, c->step))
        return;
    dn_strategy_difference(c->stream, x->grad, x->weight, x->version, x->n);
    dn_codec_encode(c->stream, &dn_codec_topk, &codec, message, x->grad, x->n, work);
    c->stream->kernels->copy(c->stream, x->weight, x->version, x->n);
    dn_codec_decode_add(c->stream, &dn_codec_topk, &codec, x->weight, 1, message, x->n, work);
}

/* ---- the server ---- */

static void serve(const dn_client_context *c, const dn_client_numbers *x)
{
    double alpha = c->config->options[MIX].real * counts(c, c->mean_delay);
    if (alpha != 1)
        c->stream->kernels->axpby(c->stream, x->weight, 1 - alpha, x->version, alpha, x->n);
}

static const dn_client_rules rules = {
    .out = out,
    .quorum = quorum,
    .weight = weight,
    .local = local,
    .upload_bytes = upload_bytes,
    .upload = upload,
    .serve = serve,
};

const dn_strategy dn_strategy_teasq = {
    .name = "teasq",
    .help = "of clients: asynchronous; the largest part of what they changed, in few bits; stale ones count less",
    .family = DN_OF_CLIENTS,
    .lossless = "client_fraction=1 cache_fraction=1 server_mix=1 proximal=0 density=1 wire=f32",
    .options = {[FRACTION] = {&dn_option_client_fraction, "0.1"},
                [CACHE] = {&cache, "0.05"},
                [POWER] = {&power, "0.5"},
                [MIX] = {&mix, "0.6"},
                [PROXIMAL] = {&proximal, "0.005"},
                [DENSITY] = {&dn_option_density, "0.1"},
                [WIRE] = {&dn_option_wire, "int8"}},
    .scratch = scratch,
    .clients = &rules,
};
