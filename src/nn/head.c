/*
 * Output head and cross-entropy: logits = head(norm(x)), head [V,C], of which tp cuts the rows (words); a
 * chunk of rows at a time: the logits of a whole micro-batch would be the largest tensor of the model (1024
 * positions of 50304 words: 196 MiB). Where a pass trains, it turns round here: forward and backward of a
 * chunk run together, so that its logits are needed only once, and x leaves as the residual stream's
 * gradient.
 */
#include "nn/head.h"

#include "base/fail.h"
#include "base/size.h"
#include "nn/linear.h"

/* Every chunk packs the head's weights for the products and adds to its whole gradient, so few rows are slow:
 * at V = 50304, C = 768 the head takes 1.05 of its best time in chunks of 256 rows, 1.15 of 128, 1.4 of 64.
 */
enum { logits_budget_bytes = 64 << 20, logits_floor_rows = 128 };

/* Of a tied head these are parameters of the embedding's, which stands first and has learned positions, if
 * there are any, between them. */
enum { HEAD };

static size_t gain_of(const dn_spec *spec)
{
    return HEAD + 1 + (spec->tied == DN_YES && spec->positions);
}

size_t dn_head_rows(const dn_spec *spec, int tp_size, size_t N)
{
    size_t most = logits_budget_bytes / (dn_layer_vocab_shard(spec, tp_size, 0).n * sizeof(dn_real));
    if (most < logits_floor_rows)
        most = logits_floor_rows;
    size_t n_chunks = (N + most - 1) / most;
    return (N + n_chunks - 1) / n_chunks;
}

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    if (spec->tied == DN_YES)
        return 0;
    if (params) {
        dn_layer_name(&params[HEAD], spec, DN_NO_BLOCK, spec->names->head, "weight");
        dn_layer_param(&params[HEAD], DN_PARAM_HEAD, spec->V, spec->C, DN_TP_ROWS, 1);
    }
    return HEAD + 1 + dn_norm_describe(spec, params, HEAD + 1, DN_NO_BLOCK, spec->names->norm);
}

static void lay(const dn_pass *pass, void *memory, dn_arena *own, dn_arena *shared)
{
    dn_head_kept *k = memory;
    dn_norm_lay(pass, &k->norm, gain_of(pass->spec), own);
    if (pass->n_sequences) {
        size_t most = dn_layer_vocab_shard(pass->spec, pass->tp_size, 0).n;
        k->logits_rows = pass->n_sequences;
        k->logits = dn_layer_take(shared, k->logits_rows * most);
        k->next = pass->tp_size > 1 ? dn_layer_take(own, k->logits_rows * pass->spec->V) : k->logits;
        return;
    }
    k->logits_rows = dn_head_rows(pass->spec, pass->tp_size, pass->room);
    k->logits = dn_layer_take_activations(pass, own, k->logits_rows, pass->vocab.n);
    for (size_t i = 0; i < 2 && pass->tp_size > 1; i++)
        k->parts[i] = dn_layer_take(shared, 3 * k->logits_rows);
}

static double flops(const dn_spec *spec)
{
    return 6 * (double)spec->V * (double)spec->C;
}

/* Over tp each rank has the logits of its words. Parts are read where they lie. Those of a chunk are written
 * again two chunks later, behind the barrier of the chunk between, or behind others where a pass ends. */
static dn_status join_loss(dn_pass *pass, dn_head_kept *k, size_t first, size_t n, double scale)
{
    dn_stream *s = pass->stream;
    dn_buf *part = k->parts[first / k->logits_rows % 2];
    const dn_ids *targets = dn_ids_at(pass->targets, first);
    size_t bytes = 3 * n * sizeof(dn_real), size = (size_t)pass->tp_size;

    s->kernels->cross_entropy_part(s, part, k->logits, targets, &pass->vocab, n);
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_comm_barrier(pass->tp));
    for (int rank = 0; rank < pass->tp_size; rank++)
        k->all_parts[rank] =
            dn_comm_view_from_owner(pass->tp, dn_comm_chunk_of(part, bytes), rank, DN_TRAFFIC_ACTIVATIONS);
    s->kernels->cross_entropy_join(s, &pass->loss, k->logits, k->all_parts, size, (size_t)pass->tp_rank,
                                   targets, &pass->vocab, n, scale);
    return DN_OK;
}

/* Loss of n positions from `first` on and, where scale is not 0, its gradient: logits' in place, dy's. y
 * [n,C]: theirs. */
static dn_status chunk(dn_pass *pass, dn_head_kept *k, const dn_weight *w, const dn_buf *y, size_t first,
                       size_t n, double scale)
{
    dn_stream *s = pass->stream;
    dn_linear_forward(s, k->logits, y, w, n); /* [n,words] */
    if (pass->tp_size > 1)
        DN_TRY(join_loss(pass, k, first, n, scale));
    else
        s->kernels->cross_entropy(s, &pass->loss, k->logits, dn_ids_at(pass->targets, first), n,
                                  pass->spec->V, scale);
    DN_TRY(dn_pass_progress(pass, false));
    if (scale != 0)
        dn_linear_backward(s, dn_at(pass->dy, first * pass->spec->C), k->logits, y, w, n); /* dy [n,C] */
    return DN_OK;
}

/* next [n,V] of the words of all ranks, which each has computed for its own. Logits are written again in a
 * later pass, behind the barriers of its embedding and its layers. */
static dn_status join_logits(dn_pass *pass, const dn_head_kept *k, size_t n)
{
    dn_stream *s = pass->stream;
    size_t V = pass->spec->V;
    DN_TRY(dn_stream_sync(s));
    DN_TRY(dn_comm_barrier(pass->tp));
    dn_comm_count_in_place(pass->tp, DN_ALL_GATHER, n * pass->vocab.n * sizeof(dn_real), n * V * sizeof(dn_real),
                           DN_TRAFFIC_ACTIVATIONS);
    for (int rank = 0; rank < pass->tp_size; rank++) {
        const dn_vocab_shard words = dn_layer_vocab_shard(pass->spec, pass->tp_size, rank);
        const dn_comm_chunk chunk = dn_comm_chunk_of(k->logits, n * words.n * sizeof(dn_real));
        const dn_buf *logits = dn_comm_view(pass->tp, chunk, rank, DN_TRAFFIC_ACTIVATIONS);
        for (size_t i = 0; i < n; i++)
            s->kernels->copy(s, dn_at(k->next, i * V + words.first), dn_at(logits, i * words.n), words.n);
    }
    return DN_OK;
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    dn_head_kept *k = layer->kept;
    const dn_weight *w = dn_layer_weight(pass, layer, HEAD);
    size_t N = pass->B * pass->T, C = pass->spec->C;
    const dn_buf *y = dn_norm_forward(pass, layer, &k->norm, pass->x); /* [N,C] */
    if (pass->goal == DN_GOAL_NEXT) {
        size_t n = pass->T == 1 ? pass->B : 1;
        dn_linear_forward(pass->stream, k->logits, dn_at(y, (N - n) * C), w, n);
        return pass->tp_size > 1 ? join_logits(pass, k, n) : DN_OK;
    }
    double scale = pass->goal == DN_GOAL_TRAIN ? pass->scale : 0;
    for (size_t first = 0; first < N; first += k->logits_rows)
        DN_TRY(chunk(pass, k, w, dn_at(y, first * C), first, dn_min(k->logits_rows, N - first), scale));
    if (scale == 0)
        return DN_OK;
    DN_TRY(dn_layer_sum_dy(pass));
    pass->stream->kernels->fill(pass->stream, pass->x, N * C, 0); /* the norm has what it needs of x */
    dn_norm_backward(pass, layer, &k->norm);                      /* x [N,C] */
    return DN_OK;
}

const dn_layer_ops dn_head = {.describe = describe,
                              .lay = lay,
                              .kept_bytes = sizeof(dn_head_kept),
                              .flops = flops,
                              .sums_backward = 1,
                              .gathered = 3,
                              .forward = forward};
