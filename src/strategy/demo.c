/* DeMo, decoupled momentum (Peng et al., arXiv 2411.19870): nothing is averaged but the largest cosine coefficients of each
 * replica's own momentum, which leave it; what they make together is the update. F is the orthonormal DCT-II of C, d_i replica
 * i's momentum, tile by tile:
 *
 *     d_i = beta d_i + lr g_i;  c = F d_i F^T;  q_i = the k largest of c;  d_i = d_i - F^T q_i F
 *     u = F^T (mean of q_i) F;  w = w - lr sign(u)
 *
 * Hidden matrices are transformed in tiles of C x C, C = demo_chunk, of which k = demo_topk coefficients are sent, all else in
 * runs of C along rows, of which ceil(k / C) are: where a row of the embedding has no gradient u stays 0, and the sign
 * of noise moves nothing. Edges are padded with zeros. demo_update as in decoupled.h.
 *
 * This project's choices: tiles are those of a rank's block, so that results depend on how fs and tp cut a parameter; the mean of
 * a coefficient is over those that sent it (demo_mean), which a 0 does not; with wire: sign +-1 travels; whatever the wire,
 * the momentum loses the coefficients as they were.
 */
#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "strategy/decoupled.h"
#include "strategy/merge.h"

extern const dn_codec dn_codec_topk, dn_codec_sign;

enum { TOPK, CHUNK, BETA, UPDATE, MEAN, WIRE };
enum { CHUNK_MIN = 16, CHUNK_MAX = 128 };

static const dn_key topk =
    DN_STRATEGY_INT("demo_topk", 1, CHUNK_MAX *CHUNK_MAX, "cosine coefficients sent of each tile of demo_chunk x demo_chunk; runs send their share");
static const dn_key chunk = DN_STRATEGY_ENUM("demo_chunk", "16|32|64|128", "rows and columns of these tiles, and numbers of a run");

static size_t chunk_of(const dn_strategy_config *config)
{
    return (size_t)CHUNK_MIN << config->options[CHUNK].choice;
}

/* A power of 2: shares of it are exact. */
static double share_of(const dn_strategy_config *config)
{
    return (double)config->options[TOPK].whole / (double)(chunk_of(config) * chunk_of(config));
}

static dn_merge merge_of(const dn_strategy_config *config, const dn_tiling *tiling)
{
    const dn_tiling whole = dn_whole_tiles(tiling);
    return dn_merge_of(&whole, share_of(config), config->options[WIRE], config->options[MEAN]);
}

static dn_tiling tiling_of(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    size_t c = chunk_of(config);
    if (kind == DN_PARAM_MATRIX)
        return (dn_tiling){rows, cols, c, c};
    return cols == 1 ? (dn_tiling){1, rows, 1, c} : (dn_tiling){rows, cols, 1, c};
}

static dn_status check(const dn_strategy_config *config)
{
    if (share_of(config) <= 1)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "demo_topk %lld is above the %zu coefficients of a tile: lower it, or raise demo_chunk",
                   (long long)config->options[TOPK].whole, chunk_of(config) * chunk_of(config));
}

static dn_merge merge_in(const dn_strategy_context *c, const dn_tiling *tiling)
{
    dn_merge merge = merge_of(c->config, tiling);
    merge.sum = c->scratch;
    merge.counts = dn_at(merge.sum, merge.n);
    merge.work = dn_at(merge.counts, merge.n);
    return merge;
}

static size_t length(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    const dn_tiling tiling = tiling_of(config, kind, rows, cols);
    const dn_merge merge = merge_of(config, &tiling);
    return dn_merge_bytes(&merge);
}

static size_t scratch(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    const dn_tiling tiling = tiling_of(config, kind, rows, cols);
    const dn_merge merge = merge_of(config, &tiling);
    return dn_max(2 * merge.n + dn_merge_work(&merge),
                  dn_decoupled_scratch(config->options[UPDATE].choice, rows, cols));
}

static dn_status encode(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    const dn_kernels *k = c->stream->kernels;
    const dn_tiling tiling = tiling_of(c->config, x->param->kind, x->rows, x->cols);
    const dn_merge merge = merge_in(c, &tiling);
    dn_buf *d = x->states[0], *q = merge.counts;
    dn_decoupled_momentum(c, x, d, c->config->options[BETA].real);
    k->dct_forward(c->stream, merge.sum, d, &tiling);
    dn_codec_encode(c->stream, &dn_codec_topk, &merge.config, message->bytes, merge.sum, merge.n, merge.work);
    k->fill(c->stream, q, merge.n, 0);
    dn_codec_topk.add_entries(c->stream, &merge.config, q, 1, message->bytes, merge.work, merge.n);
    k->dct_inverse(c->stream, x->grad, q, &tiling);
    k->axpby(c->stream, d, -1, x->grad, 1, x->n);
    if (merge.config.values == &dn_codec_sign) { /* without a magnitude */
        k->sign(c->stream, q, q, merge.n);
        dn_codec_encode(c->stream, &dn_codec_topk, &merge.config, message->bytes, q, merge.n, merge.work);
    }
    return DN_OK;
}

static void decode(const dn_strategy_context *c, const dn_strategy_param *x, const dn_message *message)
{
    const dn_tiling tiling = tiling_of(c->config, x->param->kind, x->rows, x->cols);
    const dn_merge merge = merge_in(c, &tiling);
    dn_merge_add(c->stream, &merge, message);
}

static void apply(const dn_strategy_context *c, const dn_strategy_param *x, const dn_buf *none)
{
    const dn_tiling tiling = tiling_of(c->config, x->param->kind, x->rows, x->cols);
    const dn_merge merge = merge_in(c, &tiling);
    dn_merge_finish(c->stream, &merge, c->n_replicas);
    c->stream->kernels->dct_inverse(c->stream, x->grad, merge.sum, &tiling);
    dn_decoupled_update(c, x, c->config->options[UPDATE].choice);
}

static const dn_exchange coefficients = {.pattern = DN_GATHER, .kind = DN_TRAFFIC_DELTA, .length = length,
                                         .encode = encode, .decode = decode, .apply = apply};

static const char *cut_dependent(const dn_strategy_config *config)
{
    const dn_option_value *o = config->options;
    const char *update = dn_decoupled_is_cut_dependent(o[UPDATE].choice);
    return share_of(config) < 1 ? "tiles are those of a rank's block" : update ? update : dn_option_wire_is_cut_dependent(o[WIRE]);
}

const dn_strategy dn_strategy_demo = {
    .name = "demo",
    .help = "each replica has a momentum of its own; its largest cosine coefficients are averaged and make the update",
    .family = DN_INSTEAD_OF_RULE,
    .lr = 0.001,
    .lossless = "demo_topk=4096 demo_update=plain wire=f32 clip_grad_norm=0",
    .options = {[TOPK] = {&topk, "32"},
                [CHUNK] = {&chunk, "64"},
                [BETA] = {&dn_option_demo_beta, "0.999"},
                [UPDATE] = {&dn_option_demo_update, "sign"},
                [MEAN] = {&dn_option_demo_mean, "senders"},
                [WIRE] = {&dn_option_wire, "f32"}},
    .states = {{.name = "demo.momentum", .residence = DN_PER_REPLICA}},
    .exchanges = {&coefficients},
    .check = check,
    .scratch = scratch,
    .cut_dependent = cut_dependent,
};
