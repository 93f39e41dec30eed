/* The replicators of DeToNATION (From et al., arXiv 2502.06728): decoupled momentum, as demo's, of which replicas average rows
 * that all choose alike, so that no indices travel. What was sent leaves the momentum; d_i is replica i's:
 *
 *     d_i = beta d_i + lr g_i;  u = mean of d_i in the rows of this step, else 0;  d_i = 0 in these rows;  w = w - lr sign(u)
 *
 *     random     ceil(density rows), drawn for this step: those of the least random bits
 *     striding   those with row mod s = t mod s, s = round(1/density)
 *     full       all
 *
 * This project's choices: an element of a vector is a row; demo_update as in decoupled.h.
 */
#include "base/random.h"
#include "strategy/decoupled.h"

#include <math.h>

enum { REPLICATOR, DENSITY, BETA, UPDATE };
enum { RANDOM, STRIDING, FULL };
enum { PIECE = 1024 };

static const dn_key replicator = DN_STRATEGY_ENUM("replicator", "random|striding|full", "rows of a step: drawn, by turns, or all");

/* Which rows of the whole parameter a step takes. */
typedef struct choice {
    int how;
    size_t stride, turn;
    uint64_t seed, stream, draw, least; /* of the drawn ones no bits are above `least` */
} choice;

static uint64_t bits_of(const choice *c, size_t row)
{
    return dn_random_bits(c->seed, c->stream, (c->draw << 32) + row);
}

static bool is_chosen(const choice *c, size_t row)
{
    return c->how == FULL || (c->how == STRIDING ? row % c->stride == c->turn : bits_of(c, row) <= c->least);
}

/* The bound is found by halving, without memory for the rows. */
static choice choose(const dn_strategy_context *c, const dn_strategy_param *x)
{
    const dn_option_value *o = c->config->options;
    size_t rows = x->param->tensor.rows, wanted = (size_t)ceil(o[DENSITY].real * (double)rows), found = rows;
    choice own = {.how = o[REPLICATOR].choice, .stride = (size_t)round(1 / o[DENSITY].real), .seed = c->config->seed,
                  .stream = DN_STREAM_ROWS + x->index, .draw = c->step, .least = UINT64_MAX};
    own.turn = c->step % own.stride;
    for (uint64_t half = UINT64_C(1) << 63; own.how == RANDOM && found != wanted && half > 0; half /= 2) {
        own.least = found > wanted ? own.least - half : own.least + half;
        found = 0;
        for (size_t row = 0; row < rows; row++)
            found += is_chosen(&own, row);
    }
    return own;
}

/* The next chosen rows of the block, from *row on: ids [PIECE]; returns how many. */
static size_t next_rows(const choice *c, const dn_strategy_param *x, size_t *row, int32_t *ids)
{
    size_t n = 0;
    for (; *row < x->rows && n < PIECE; ++*row)
        if (is_chosen(c, x->param->block.row0 + *row))
            ids[n++] = (int32_t)*row;
    return n;
}

static size_t all_rows(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    return rows * cols;
}

static dn_status encode(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    const choice own = choose(c, x);
    int32_t ids[PIECE];
    dn_buf *d = x->states[0];
    message->n = 0;
    dn_decoupled_momentum(c, x, d, c->config->options[BETA].real);
    for (size_t row = 0, n; (n = next_rows(&own, x, &row, ids)) > 0; message->n += n * x->cols)
        c->stream->kernels->take_rows(c->stream, dn_at(message->numbers, message->n), d, ids, n, x->cols, 0);
    return DN_OK;
}

static void apply(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *mean)
{
    const choice own = choose(c, x);
    int32_t ids[PIECE];
    size_t at = 0;
    c->stream->kernels->fill(c->stream, x->grad, x->n, 0);
    for (size_t row = 0, n; (n = next_rows(&own, x, &row, ids)) > 0; at += n * x->cols)
        c->stream->kernels->add_rows(c->stream, x->grad, ids, 1, NULL, dn_at(mean, at), n, x->cols);
    dn_decoupled_update(c, x, c->config->options[UPDATE].choice);
}

static size_t scratch(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    return dn_decoupled_scratch(config->options[UPDATE].choice, rows, cols);
}

static const dn_exchange rows = {
    .kind = DN_TRAFFIC_DELTA, .length = all_rows, .varies = true, .encode = encode, .apply = apply};

static const char *cut_dependent(const dn_strategy_config *config)
{
    return dn_decoupled_is_cut_dependent(config->options[UPDATE].choice);
}

const dn_strategy dn_strategy_replicators = {
    .name = "replicators",
    .help = "each replica has a momentum of its own; rows of it that all choose alike are averaged and make the update",
    .family = DN_INSTEAD_OF_RULE,
    .of_whole_model = true,
    .lr = 0.001,
    .lossless = "replicator=full demo_update=plain clip_grad_norm=0",
    .options = {[REPLICATOR] = {&replicator, "random"},
                [DENSITY] = {&dn_option_density, "0.0625"},
                [BETA] = {&dn_option_demo_beta, "0.999"},
                [UPDATE] = {&dn_option_demo_update, "sign"}},
    .states = {{.name = "replicators.momentum", .residence = DN_PER_REPLICA}},
    .exchanges = {&rows},
    .scratch = scratch,
    .cut_dependent = cut_dependent,
};
