/*
 * Output head and cross-entropy, a chunk of rows at a time: the logits of a whole micro-batch would be the
 * largest tensor of the model (1024 positions of 50304 words: 196 MiB). Training runs forward and backward
 * of a chunk together, so its logits are needed only once.
 */
#include "nn/gpt_parts.h"

#include "base/fail.h"
#include "nn/linear.h"

/* Every chunk packs the head's weights for the products and adds to its whole gradient, so few rows are slow:
 * at V = 50304, C = 768 the head takes 1.05 of its best time in chunks of 256 rows, 1.15 of 128, 1.4 of 64.
 */
enum { logits_budget_bytes = 64 << 20, logits_floor_rows = 128 };

size_t dn_gpt_head_rows(const dn_spec *spec, int tp_size, size_t N)
{
    size_t most = logits_budget_bytes / (dn_gpt_words(spec, tp_size, 0).n * sizeof(dn_real));
    if (most < logits_floor_rows)
        most = logits_floor_rows;
    size_t n_chunks = (N + most - 1) / most;
    return (N + n_chunks - 1) / n_chunks;
}

static size_t head_unit(const dn_gpt *gpt)
{
    return gpt->spec.L + 1;
}

static const dn_weight *head_weight(const dn_gpt *gpt)
{
    return dn_weights_of(gpt->weights, dn_gpt_n_params(&gpt->spec) - 1);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Loss of the n logits rows of positions first .. and, where scale is not 0, its gradient in place. */
static dn_status chunk_loss(dn_gpt *gpt, size_t first, size_t n, double scale)
{
    dn_stream *s = gpt->stream;
    if (dn_gpt_cut(gpt))
        return dn_gpt_join_loss(gpt, first / gpt->logits_rows, first, n, scale);
    s->kernels->cross_entropy(s, &gpt->loss, gpt->logits, dn_ids_at(gpt->targets, first), n, gpt->spec.V,
                              scale);
    return DN_OK;
}

/* dy = its gradient, where scale is not 0. */
static dn_status chunk(dn_gpt *gpt, size_t first, size_t n, double scale)
{
    const dn_weight *w = head_weight(gpt);
    const dn_buf *y = dn_at(gpt->y, first * gpt->spec.C);
    dn_linear_forward(gpt->stream, gpt->logits, y, w, n);
    DN_TRY(chunk_loss(gpt, first, n, scale));
    DN_TRY(dn_gpt_progress(gpt, false));
    if (scale != 0)
        dn_linear_backward(gpt->stream, dn_at(gpt->dy, first * gpt->spec.C), gpt->logits, y, w, n);
    return DN_OK;
}

static dn_status all_chunks(dn_gpt *gpt, size_t N, double scale)
{
    DN_TRY(dn_weights_open(gpt->weights, head_unit(gpt), scale != 0));
    for (size_t first = 0, rows = gpt->logits_rows; first < N; first += rows)
        DN_TRY(chunk(gpt, first, smaller(rows, N - first), scale));
    return dn_weights_close(gpt->weights, head_unit(gpt), scale != 0);
}

dn_status dn_gpt_head_loss(dn_gpt *gpt, size_t N)
{
    return all_chunks(gpt, N, 0);
}

dn_status dn_gpt_head_train(dn_gpt *gpt, size_t N, double scale)
{
    DN_TRY(all_chunks(gpt, N, scale));
    return dn_gpt_sum_dy(gpt, N);
}

dn_status dn_gpt_head_row(dn_gpt *gpt, size_t n)
{
    DN_TRY(dn_weights_open(gpt->weights, head_unit(gpt), false));
    dn_linear_forward(gpt->stream, gpt->logits, dn_at(gpt->y, (n - 1) * gpt->spec.C), head_weight(gpt), 1);
    return dn_weights_close(gpt->weights, head_unit(gpt), false);
}
