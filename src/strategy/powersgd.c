/* PowerSGD (Vogels et al., arXiv 1905.13727): of each gradient replicas average a low-rank approximation, made by one power
 * iteration from the Q of the step before, and keep what it leaves out for the next step:
 *
 *     X = G_i + e_i;  P = orth(mean of X Q);  Q = mean of X^T P;  G = P Q^T;  e_i = X - G
 *
 * Vectors, and matrices of which rank r is no saving, (m + n) r >= m n, are averaged in full. The rule steps on G.
 *
 * This project's choices: m x n is a rank's block, so that results depend on how fs and tp cut a parameter; the first Q is
 * uniform in (-1, 1). P is orthonormalized by Householder's QR, in every replica alike.
 */
#include "base/size.h"
#include "compute/draw.h"
#include "strategy/strategy.h"

enum { RESIDUAL, BASIS, Q };

enum { RANK_MAX = 1 << 16 }; /* of which no matrix has factors */

static const dn_key rank = DN_STRATEGY_INT("powersgd_rank", 1, RANK_MAX, "rank of what is exchanged of a gradient");

/* 0: in full. */
static size_t rank_of(const dn_strategy_config *config, size_t rows, size_t cols)
{
    size_t r = (size_t)config->options[0].whole;
    return dn_size_mul(rows + cols, r) < rows * cols ? r : 0;
}

static dn_block_shape shape_p(const dn_strategy_config *config, size_t rows, size_t cols)
{
    return (dn_block_shape){rows, dn_max(rank_of(config, rows, cols), 1)};
}

static dn_block_shape shape_q(const dn_strategy_config *config, size_t rows, size_t cols)
{
    return (dn_block_shape){cols, dn_max(rank_of(config, rows, cols), 1)};
}

static size_t length_p(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    return rows * rank_of(config, rows, cols);
}

static size_t length_q(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    return cols * rank_of(config, rows, cols);
}

static bool in_full(const dn_strategy_context *c, const dn_strategy_param *x)
{
    return rank_of(c->config, x->rows, x->cols) == 0;
}

static bool in_factors(const dn_strategy_context *c, const dn_strategy_param *x)
{
    return !in_full(c, x);
}

static dn_status begin(const dn_strategy_context *c, const dn_strategy_param *x)
{
    size_t r = rank_of(c->config, x->rows, x->cols);
    return r ? dn_draw_uniform(c->stream, x->states[Q], &(dn_draw){.seed = c->config->seed, .stream = DN_STREAM_POWERSGD + x->index,
                                                                   .std = 1, .cols = r, .block = {0, x->cols, 0, r}}) : DN_OK;
}

/* P = X Q */
static dn_status encode_p(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    const dn_kernels *k = c->stream->kernels;
    size_t r = rank_of(c->config, x->rows, x->cols);
    k->axpby(c->stream, x->grad, 1, x->states[RESIDUAL], 1, x->n);
    k->gemm(c->stream, DN_N, DN_N, x->rows, r, x->cols, 1, x->grad, x->cols, x->states[Q], r, 0, message->numbers, r);
    return DN_OK;
}

/* A P that is 0 everywhere has no basis, and stays 0: then G is 0. */
static void orthonormalize(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *mean)
{
    size_t r = rank_of(c->config, x->rows, x->cols);
    dn_tall p = {.m = x->rows, .r = r, .p = x->states[BASIS]};
    c->stream->kernels->copy(c->stream, p.p, mean, x->rows * r);
    c->stream->kernels->householder(c->stream, &p, 1);
    (void)!dn_stream_sync(c->stream); /* a failure stays with the stream */
}

/* Q = X^T P */
static dn_status encode_q(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    size_t r = rank_of(c->config, x->rows, x->cols);
    c->stream->kernels->gemm(c->stream, DN_T, DN_N, x->cols, r, x->rows, 1, x->grad, x->cols, x->states[BASIS], r, 0,
                             message->numbers, r);
    return DN_OK;
}

/* e = X - P Q^T, G = P Q^T */
static void approximate(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *q)
{
    const dn_kernels *k = c->stream->kernels;
    size_t r = rank_of(c->config, x->rows, x->cols);
    k->copy(c->stream, x->states[RESIDUAL], x->grad, x->n);
    k->gemm(c->stream, DN_N, DN_T, x->rows, x->cols, r, 1, x->states[BASIS], r, q, r, 0, x->grad, x->cols);
    k->axpby(c->stream, x->states[RESIDUAL], -1, x->grad, 1, x->n);
    k->copy(c->stream, x->states[Q], q, x->cols * r);
}

static const dn_exchange whole = {.of = DN_OF_GRAD, .kind = DN_TRAFFIC_GRADIENT, .due = in_full};
static const dn_exchange factor_p = {
    .kind = DN_TRAFFIC_FACTORS, .length = length_p, .due = in_factors, .encode = encode_p, .apply = orthonormalize};
static const dn_exchange factor_q = {
    .kind = DN_TRAFFIC_FACTORS, .length = length_q, .due = in_factors, .encode = encode_q, .apply = approximate};

static const char *cut_dependent(const dn_strategy_config *config)
{
    return config->options[0].whole < RANK_MAX ? "factors are those of a rank's block" : NULL;
}

const dn_strategy dn_strategy_powersgd = {
    .name = "powersgd",
    .help = "low-rank approximations of gradients are averaged in every step; what they leave out is kept for the next",
    .family = DN_BEFORE_RULE,
    .of_whole_model = true,
    .lossless = "powersgd_rank=65536 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .options = {{&rank, "4"}},
    .states = {[RESIDUAL] = {.name = "powersgd.residual", .residence = DN_PER_REPLICA},
               [BASIS] = {.name = "powersgd.p", .residence = DN_REPLICATED, .shape = shape_p},
               [Q] = {.name = "powersgd.q", .residence = DN_REPLICATED, .shape = shape_q}},
    .exchanges = {&whole, &factor_p, &factor_q},
    .cut_dependent = cut_dependent,
    .begin = begin,
};
