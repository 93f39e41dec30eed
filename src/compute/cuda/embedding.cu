/* Words and positions. */
#include "compute/cuda/kernel.cuh"

static __device__ bool among(int32_t token, dn_vocab_shard words)
{
    return (size_t)token >= words.first && (size_t)token < words.first + words.n;
}

/* f(row, column) for the elements of rows whose tokens are among the words. */
template <class F>
__global__ void __launch_bounds__(DN_BLOCK)
    each_of_words(const int32_t *tokens, dn_vocab_shard words, size_t N, size_t C, F f)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < N * C; at += step)
        if (among(tokens[at / C], words))
            f(at / C, at % C);
}

template <class F>
static void for_words(dn_stream *s, const char *name, const dn_ids *tokens, const dn_vocab_shard *vocab,
                      size_t N, size_t C, F f)
{
    if (N * C == 0 || !dn_gpu_begin(s, name))
        return;
    DN_LAUNCH(each_of_words, blocks(N * C, DN_BLOCK), DN_BLOCK, 0, dn_gpu_stream(s), numbers(tokens), *vocab,
              N, C, f);
    dn_gpu_end(s);
}

void dn_cuda_embed_forward(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, double scale,
                           const dn_ids *tokens, const dn_vocab_shard *vocab, size_t N, size_t C)
{
    dn_real *to = numbers(x);
    const dn_real *from = numbers(wte);
    const int32_t *token = numbers(tokens);
    size_t first = vocab->first;
    for_words(s, "embed_forward", tokens, vocab, N, C, [=] __device__(size_t i, size_t c) {
        to[i * ld + c] = (dn_real)(scale * (double)from[((size_t)token[i] - first) * C + c]);
    });
}

void dn_cuda_copy_rows(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_ids *tokens,
                       const dn_vocab_shard *vocab, size_t N, size_t C)
{
    dn_real *to = numbers(x);
    const dn_real *from = numbers(y);
    for_words(s, "copy_rows", tokens, vocab, N, C,
              [=] __device__(size_t i, size_t c) { to[i * C + c] = from[i * C + c]; });
}

/*
 * Rows of one word are added in order of position, without atomics: of each position, the next one with its
 * token, and whether it is the first. Every token is compared with every other: 64 Ki of them are 4 G
 * comparisons of what lies in shared memory, less than a millisecond.
 */
__global__ void __launch_bounds__(DN_BLOCK)
    link_words(int32_t *next, int32_t *is_first, const int32_t *tokens, dn_vocab_shard words, size_t N)
{
    DN_SHARED(int32_t, tile, DN_BLOCK);
    size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x;
    int32_t own = i < N ? tokens[i] : -1, after = -1;
    bool first = i < N && among(own, words);
    for (size_t start = 0; start < N; start += DN_BLOCK) {
        __syncthreads();
        tile[threadIdx.x] = start + threadIdx.x < N ? tokens[start + threadIdx.x] : -1;
        __syncthreads();
        for (size_t k = 0; k < DN_BLOCK && start + k < N; k++)
            if (tile[k] == own) {
                first = first && start + k >= i;
                after = start + k > i && after < 0 ? (int32_t)(start + k) : after;
            }
    }
    if (i < N) {
        next[i] = after;
        is_first[i] = first;
    }
}

/* A block for each position; those of a word's first go along its links. */
__global__ void __launch_bounds__(DN_BLOCK)
    add_words(dn_real *dwte, const dn_real *dx, size_t ld, double scale, const int32_t *next,
              const int32_t *is_first, const int32_t *tokens, size_t first_word, size_t C)
{
    if (!is_first[blockIdx.x])
        return;
    dn_real *to = dwte + ((size_t)tokens[blockIdx.x] - first_word) * C;
    for (size_t c = threadIdx.x; c < C; c += DN_BLOCK) {
        dn_real sum = to[c];
        for (int32_t i = (int32_t)blockIdx.x; i >= 0; i = next[i])
            sum += (dn_real)(scale * (double)dx[(size_t)i * ld + c]);
        to[c] = sum;
    }
}

void dn_cuda_embed_backward(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, double scale,
                            const dn_ids *tokens, const dn_vocab_shard *vocab, size_t N, size_t C)
{
    int32_t *next = N * C > 0 ? (int32_t *)dn_gpu_scratch(s, 2 * N * sizeof *next) : NULL;
    if (!next)
        return;
    DN_RUN(s, link_words, (unsigned)((N + DN_BLOCK - 1) / DN_BLOCK), DN_BLOCK, 0, next, next + N,
           numbers(tokens), *vocab, N);
    DN_RUN(s, add_words, (unsigned)N, DN_BLOCK, 0, numbers(dwte), numbers(dx), ld, scale, next, next + N,
           numbers(tokens), vocab->first, C);
}

void dn_cuda_positions_forward(dn_stream *s, dn_buf *x, const dn_buf *positions, size_t first, size_t n,
                               const dn_ids *tokens, const dn_vocab_shard *vocab, size_t B, size_t T,
                               size_t C)
{
    dn_real *to = numbers(x);
    const dn_real *from = numbers(positions);
    for_words(s, "positions_forward", tokens, vocab, B * T, C, [=] __device__(size_t i, size_t c) {
        size_t position = i % T - first; /* beyond n if it is before the first */
        if (position < n)
            to[i * C + c] += from[position * C + c];
    });
}

__global__ void __launch_bounds__(DN_BLOCK)
    add_positions(dn_real *dpositions, const dn_real *dx, size_t first, size_t n, size_t B, size_t T,
                  size_t C)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < n * C; at += step) {
        size_t t = first + at / C;
        for (size_t b = 0; b < B && t < T; b++)
            dpositions[at] += dx[(b * T + t) * C + at % C];
    }
}

void dn_cuda_positions_backward(dn_stream *s, dn_buf *dpositions, const dn_buf *dx, size_t first, size_t n,
                                size_t B, size_t T, size_t C)
{
    if (B * T * n * C > 0)
        DN_RUN(s, add_positions, blocks(n * C, DN_BLOCK), DN_BLOCK, 0, numbers(dpositions), numbers(dx),
               first, n, B, T, C);
}
