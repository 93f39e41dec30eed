/*
 * Output head and cross-entropy, a chunk of rows at a time: the logits of a whole micro-batch would be the
 * largest tensor of the model (1024 positions of 50304 words: 196 MiB). Training runs forward and backward
 * of a chunk together, so its logits are needed only once.
 */
#include "nn/gpt_parts.h"

#include "compute/kernels.h"
#include "nn/linear.h"

/* Every chunk packs the head's weights for the products and adds to its whole gradient, so few rows are slow:
 * at V = 50304, C = 768 the head takes 1.05 of its best time in chunks of 256 rows, 1.15 of 128, 1.4 of 64.
 */
enum { logits_budget_bytes = 64 << 20, logits_floor_rows = 128 };

size_t dn_gpt_head_rows(const dn_gpt_shape *shape, size_t N)
{
    size_t most = logits_budget_bytes / (shape->V * sizeof(dn_real));
    if (most < logits_floor_rows)
        most = logits_floor_rows;
    size_t n_chunks = (N + most - 1) / most;
    return (N + n_chunks - 1) / n_chunks;
}

static const dn_param *head_param(const dn_gpt *gpt)
{
    return &gpt->params[dn_gpt_n_params(&gpt->shape) - 1];
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Logits of rows first .. first+n-1, their loss and, where scale is not 0, their gradient in place. */
static void chunk_forward(dn_gpt *gpt, size_t first, size_t n, double scale)
{
    dn_stream *s = gpt->stream;
    size_t V = gpt->shape.V, C = gpt->shape.C;
    dn_linear_forward(s, gpt->logits, dn_at(gpt->y, first * C), head_param(gpt)->weight, n, V, C);
    s->kernels->cross_entropy(s, &gpt->loss, gpt->logits, dn_ids_at(gpt->targets, first), n, V, scale);
    dn_gpt_progress(gpt);
}

static void chunk_backward(dn_gpt *gpt, size_t first, size_t n)
{
    const dn_param *head = head_param(gpt);
    size_t V = gpt->shape.V, C = gpt->shape.C;
    dn_linear_backward(gpt->stream, dn_at(gpt->dy, first * C), head->grad, gpt->logits,
                       dn_at(gpt->y, first * C), head->weight, n, V, C);
}

void dn_gpt_head_loss(dn_gpt *gpt, size_t N)
{
    size_t rows = gpt->logits_rows;
    for (size_t first = 0; first < N; first += rows)
        chunk_forward(gpt, first, smaller(rows, N - first), 0);
}

void dn_gpt_head_train(dn_gpt *gpt, size_t N, double scale)
{
    size_t rows = gpt->logits_rows;
    for (size_t first = 0; first < N; first += rows) {
        size_t n = smaller(rows, N - first);
        chunk_forward(gpt, first, n, scale);
        chunk_backward(gpt, first, n);
    }
}

void dn_gpt_head_row(dn_gpt *gpt, size_t n)
{
    size_t V = gpt->shape.V, C = gpt->shape.C;
    dn_linear_forward(gpt->stream, gpt->logits, dn_at(gpt->y, (n - 1) * C), head_param(gpt)->weight, 1, V, C);
}
