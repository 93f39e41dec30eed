/*
 * Cross-entropy, whole and by parts of the vocabulary, of logits of dn_real or of bfloat16. A row is read twice, by
 * one block: for its maximum and sum, and when it is overwritten. There are no more rows at a time than a GPU's
 * second-level cache has room for, so that what is read again, and written, comes from there and goes there.
 */
#include "compute/cuda/bf16.cuh"

/* Half of an H100's, and as many rows as keep its multiprocessors busy, whatever they are. */
#define ROWS_BYTES ((size_t)24 << 20)
enum { LEAST_ROWS = 256 };

static unsigned rows_at_once(size_t N, size_t row_bytes)
{
    return (unsigned)dn_min(N, dn_max(ROWS_BYTES / row_bytes, (size_t)LEAST_ROWS));
}

/* f(v) for the numbers of a row that are this thread's, W at a time. */
template <int W, class F> static __device__ void of_thread(size_t n, F f)
{
    for (size_t v = threadIdx.x * (size_t)W; v < n; v += DN_BLOCK * W)
        f(v);
}

/* f(x, v) becomes number v of a row, which was x. */
template <int W, class T, class F> static __device__ void overwrite(T *row, size_t n, F f)
{
    of_thread<W>(n, [&](size_t v) {
        pack<W, T> own = *(const pack<W, T> *)(row + v);
        for (int w = 0; w < W; w++)
            put(&own.x[w], f(value(own.x[w]), v + (size_t)w));
        *(pack<W, T> *)(row + v) = own;
    });
}

/* Maximum and sum of e^(x - maximum) of a row, in one pass: a thread's sum is turned to each larger number
 * that it meets. NaN is no maximum, and makes the sum NaN; -infinity adds nothing. */
struct softmax {
    dn_real most;
    double sum;
};

template <int W, class T> static __device__ softmax softmax_of(const T *row, size_t n)
{
    dn_real most = -INFINITY;
    double sum = 0;
    of_thread<W>(n, [&](size_t v) {
        pack<W, T> own = *(const pack<W, T> *)(row + v);
        dn_real larger = most, terms = 0;
        for (int w = 0; w < W; w++)
            larger = fmax(larger, value(own.x[w]));
        if (larger > most) {
            sum *= (double)exp(most - larger);
            most = larger;
        }
        for (int w = 0; w < W; w++)
            terms += value(own.x[w]) == -INFINITY ? 0 : exp(value(own.x[w]) - most);
        sum += (double)terms;
    });
    dn_real all = block_max(most);
    return softmax{all, block_sum(most == -INFINITY ? sum : sum * exp((double)most - (double)all))};
}

template <int W, class T>
__global__ void __launch_bounds__(DN_BLOCK, 2)
    loss_of_rows(double *losses, T *logits, const int32_t *targets, size_t N, size_t V, dn_real scale)
{
    for (size_t row = blockIdx.x; row < N; row += gridDim.x) {
        T *x = logits + row * V;
        int32_t target = targets[row];
        if (target < 0) {
            overwrite<W>(x, V, [](dn_real, size_t) { return (dn_real)0; });
            if (threadIdx.x == 0)
                losses[row] = 0;
            continue;
        }
        dn_real of_target = value(x[target]); /* before it is overwritten: the sums below are barriers */
        softmax all = softmax_of<W>(x, V);
        if (threadIdx.x == 0)
            losses[row] = log(all.sum) - ((double)of_target - (double)all.most);
        dn_real share = (dn_real)(1 / all.sum);
        if (scale != 0)
            overwrite<W>(x, V, [&](dn_real own, size_t v) {
                return scale * (exp(own - all.most) * share - (v == (size_t)target ? 1 : 0));
            });
    }
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

/* Rows begin at whole 16 bytes. */
template <class T> static bool are_wide(const T *x, size_t n)
{
    return n % (16 / sizeof(T)) == 0 && is_aligned(x);
}

template <class T>
static void run_whole(dn_stream *s, double *losses, T *logits, const int32_t *targets, size_t N, size_t V,
                      double scale)
{
    unsigned grid = rows_at_once(N, V * sizeof(T));
    if (are_wide(logits, V))
        DN_RUN(s, (loss_of_rows<16 / sizeof(T), T>), grid, DN_BLOCK, 0, losses, logits, targets, N, V,
               (dn_real)scale);
    else
        DN_RUN(s, (loss_of_rows<1, T>), grid, DN_BLOCK, 0, losses, logits, targets, N, V, (dn_real)scale);
}

void dn_cuda_cross_entropy(dn_stream *s, double *host_loss, dn_buf *logits, const dn_ids *targets, size_t N,
                           size_t V, double scale)
{
    double *losses = N > 0 ? (double *)dn_gpu_scratch(s, N * sizeof *losses) : NULL;
    if (!losses)
        return;
    with_type_of(logits, [&](auto at) { run_whole(s, losses, at(logits), numbers(targets), N, V, scale); });
    DN_RUN(s, add_losses, 1, DN_BLOCK, 0, dn_gpu_sum(s, host_loss), losses, N);
}

template <int W, class T>
__global__ void __launch_bounds__(DN_BLOCK, 2)
    part_of_rows(dn_real *part, T *logits, const int32_t *targets, size_t N, dn_vocab_shard words)
{
    for (size_t row = blockIdx.x; row < N; row += gridDim.x) {
        size_t target = (size_t)targets[row];
        T *x = logits + row * words.n;
        bool mine = target >= words.first && target < words.first + words.n;
        dn_real of_target = mine ? value(x[target - words.first]) : 0;
        softmax all = softmax_of<W>(x, words.n);
        dn_real shift = all.most == -INFINITY ? 0 : all.most;
        if (threadIdx.x == 0) {
            part[3 * row] = all.most;
            part[3 * row + 1] = (dn_real)all.sum;
            part[3 * row + 2] = of_target;
        }
        overwrite<W>(x, words.n, [&](dn_real own, size_t) { return exp(own - shift); });
    }
}

template <class T>
static void run_part(dn_stream *s, dn_real *part, T *logits, const int32_t *targets, dn_vocab_shard words,
                     size_t N)
{
    unsigned grid = rows_at_once(N, dn_max(words.n, (size_t)1) * sizeof(T));
    if (are_wide(logits, words.n))
        DN_RUN(s, (part_of_rows<16 / sizeof(T), T>), grid, DN_BLOCK, 0, part, logits, targets, N, words);
    else
        DN_RUN(s, (part_of_rows<1, T>), grid, DN_BLOCK, 0, part, logits, targets, N, words);
}

void dn_cuda_cross_entropy_part(dn_stream *s, dn_buf *part, dn_buf *logits, const dn_ids *targets,
                                const dn_vocab_shard *vocab, size_t N)
{
    if (N == 0)
        return;
    with_type_of(logits, [&](auto at) {
        run_part(s, numbers(part), at(logits), numbers(targets), *vocab, N);
    });
}

template <int W, class T>
__global__ void __launch_bounds__(DN_BLOCK, 2)
    join_rows(double *losses, T *logits, const dn_real *const *parts, size_t n_parts, size_t own,
              const int32_t *targets, dn_vocab_shard words, double scale)
{
    size_t row = blockIdx.x;
    T *x = logits + row * words.n;
    const int32_t word = targets[row];
    if (word < 0) {
        overwrite<W>(x, words.n, [](dn_real, size_t) { return (dn_real)0; });
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
    const dn_real share = (dn_real)(scale * exp(of_own == -INFINITY ? 0 : of_own - most) / sum),
                  own_word = (dn_real)scale;
    if (scale != 0)
        overwrite<W>(x, words.n, [&](dn_real exponential, size_t v) {
            return share * exponential - ((size_t)word == words.first + v ? own_word : 0);
        });
}

template <class T>
static void run_join(dn_stream *s, double *losses, T *logits, const dn_real *const *parts, size_t n_parts,
                     size_t own, const int32_t *targets, dn_vocab_shard words, size_t N, double scale)
{
    if (are_wide(logits, words.n))
        DN_RUN(s, (join_rows<16 / sizeof(T), T>), (unsigned)N, DN_BLOCK, 0, losses, logits, parts, n_parts,
               own, targets, words, scale);
    else
        DN_RUN(s, (join_rows<1, T>), (unsigned)N, DN_BLOCK, 0, losses, logits, parts, n_parts, own, targets,
               words, scale);
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
    with_type_of(logits, [&](auto at) {
        run_join(s, losses, at(logits), parts, n_parts, own, numbers(targets), *vocab, N, scale);
    });
    DN_RUN(s, add_losses, 1, DN_BLOCK, 0, dn_gpu_sum(s, host_loss), losses, N);
}
