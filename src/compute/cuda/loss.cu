/* Cross-entropy, whole and by parts of the vocabulary: a block takes a row. */
#include "compute/cuda/kernel.cuh"

/* Maximum and sum of e^(x - maximum) of a row, in one pass: a thread's sum is turned to each larger number
 * that it meets. NaN is no maximum, and makes the sum NaN; -infinity adds nothing. */
struct softmax {
    dn_real most;
    double sum;
};

static __device__ softmax softmax_of(const dn_real *x, size_t n)
{
    dn_real most = -INFINITY;
    double sum = 0;
    for (size_t v = threadIdx.x; v < n; v += DN_BLOCK) {
        dn_real own = x[v];
        if (own > most) {
            sum *= (double)exp(most - own);
            most = own;
        }
        if (own != -INFINITY)
            sum += (double)exp(own - most);
    }
    dn_real all = block_max(most);
    return softmax{all, block_sum(most == -INFINITY ? sum : sum * exp((double)most - (double)all))};
}

__global__ void __launch_bounds__(DN_BLOCK, 2)
    loss_of_rows(double *losses, dn_real *logits, const int32_t *targets, size_t V, dn_real scale)
{
    size_t row = blockIdx.x;
    dn_real *x = logits + row * V;
    int32_t target = targets[row];
    if (target < 0) {
        for (size_t v = threadIdx.x; v < V; v += DN_BLOCK)
            x[v] = 0;
        if (threadIdx.x == 0)
            losses[row] = 0;
        return;
    }
    dn_real of_target = x[target]; /* before it is overwritten: the sums below are barriers */
    softmax all = softmax_of(x, V);
    if (threadIdx.x == 0)
        losses[row] = log(all.sum) - ((double)of_target - (double)all.most);
    dn_real share = (dn_real)(1 / all.sum);
    for (size_t v = threadIdx.x; v < V && scale != 0; v += DN_BLOCK)
        x[v] = scale * (exp(x[v] - all.most) * share - (v == (size_t)target ? 1 : 0));
}

/* In the order of rows, DN_BLOCK of them at a time. */
__global__ void __launch_bounds__(DN_BLOCK, 2) add_losses(double *out, const double *losses, size_t N)
{
    double sum = 0;
    for (size_t i = threadIdx.x; i < N; i += DN_BLOCK)
        sum += losses[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        *out = sum;
}

void dn_cuda_cross_entropy(dn_stream *s, double *host_loss, dn_buf *logits, const dn_ids *targets, size_t N,
                           size_t V, double scale)
{
    double *losses = N > 0 ? (double *)dn_gpu_scratch(s, N * sizeof *losses) : NULL;
    if (!losses)
        return;
    DN_RUN(s, loss_of_rows, (unsigned)N, DN_BLOCK, 0, losses, numbers(logits), numbers(targets), V,
           (dn_real)scale);
    DN_RUN(s, add_losses, 1, DN_BLOCK, 0, dn_gpu_sum(s, host_loss), losses, N);
}

__global__ void __launch_bounds__(DN_BLOCK, 2)
    part_of_rows(dn_real *part, dn_real *logits, const int32_t *targets, dn_vocab_shard words)
{
    size_t row = blockIdx.x, target = (size_t)targets[row];
    dn_real *x = logits + row * words.n, *out = part + 3 * row;
    bool mine = target >= words.first && target < words.first + words.n;
    dn_real of_target = mine ? x[target - words.first] : 0;
    softmax all = softmax_of(x, words.n);
    dn_real shift = all.most == -INFINITY ? 0 : all.most;
    if (threadIdx.x == 0) {
        out[0] = all.most;
        out[1] = (dn_real)all.sum;
        out[2] = of_target;
    }
    for (size_t v = threadIdx.x; v < words.n; v += DN_BLOCK)
        x[v] = exp(x[v] - shift);
}

void dn_cuda_cross_entropy_part(dn_stream *s, dn_buf *part, dn_buf *logits, const dn_ids *targets,
                                const dn_vocab_shard *vocab, size_t N)
{
    if (N > 0)
        DN_RUN(s, part_of_rows, (unsigned)N, DN_BLOCK, 0, numbers(part), numbers(logits), numbers(targets),
               *vocab);
}

__global__ void __launch_bounds__(DN_BLOCK, 2)
    join_rows(double *losses, dn_real *logits, const dn_real *const *parts, size_t n_parts, size_t own,
              const int32_t *targets, dn_vocab_shard words, double scale)
{
    size_t row = blockIdx.x;
    dn_real *x = logits + row * words.n;
    if (targets[row] < 0) {
        for (size_t v = threadIdx.x; v < words.n; v += DN_BLOCK)
            x[v] = 0;
        if (threadIdx.x == 0)
            losses[row] = 0;
        return;
    }
    double most = -INFINITY, sum = 0, target = 0;
    for (size_t k = 0; k < n_parts; k++)
        most = fmax(most, (double)parts[k][3 * row]);
    for (size_t k = 0; k < n_parts; k++) {
        const dn_real *part = parts[k] + 3 * row;
        sum += part[0] == -INFINITY ? (double)part[1] : exp((double)part[0] - most) * (double)part[1];
        target += (double)part[2];
    }
    if (threadIdx.x == 0)
        losses[row] = log(sum) - (target - most);
    double of_own = (double)parts[own][3 * row];
    double factor = scale * exp(of_own == -INFINITY ? 0 : of_own - most) / sum;
    for (size_t v = threadIdx.x; v < words.n && scale != 0; v += DN_BLOCK)
        x[v] = (dn_real)(factor * (double)x[v] - ((size_t)targets[row] == words.first + v ? scale : 0));
}

void dn_cuda_cross_entropy_join(dn_stream *s, double *host_loss, dn_buf *logits,
                                const dn_buf *const *host_parts, size_t n_parts, size_t own,
                                const dn_ids *targets, const dn_vocab_shard *vocab, size_t N, double scale)
{
    double *losses =
        N > 0 ? (double *)dn_gpu_scratch(s, N * sizeof *losses + n_parts * sizeof *host_parts) : NULL;
    if (!losses)
        return;
    const dn_real *const *parts =
        (const dn_real *const *)dn_gpu_table(s, losses + N, host_parts, n_parts * sizeof *host_parts);
    DN_RUN(s, join_rows, (unsigned)N, DN_BLOCK, 0, losses, numbers(logits), parts, n_parts, own,
           numbers(targets), *vocab, scale);
    DN_RUN(s, add_losses, 1, DN_BLOCK, 0, dn_gpu_sum(s, host_loss), losses, N);
}
