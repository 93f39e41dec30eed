/* Attention of one query to a cache, and what is stored there; caches in dn_real or in bfloat16. */
#include "compute/cuda/bf16.cuh"

template <class T>
__global__ void __launch_bounds__(DN_BLOCK, 2)
    store(T *cache, size_t heads, size_t room, size_t hd, const dn_real *x, size_t ld,
          const dn_cache_row *rows, size_t n)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < n * heads * hd; at += step) {
        size_t c = at % hd, h = at / hd % heads, i = at / hd / heads;
        put(&cache[((rows[i].sequence * heads + h) * room + rows[i].position) * hd + c],
            x[i * ld + h * hd + c]);
    }
}

template <class T>
static void run_store(dn_stream *s, T *cache, size_t heads, size_t room, size_t hd, const dn_buf *x,
                      size_t ld, const dn_cache_row *rows, size_t n)
{
    void *own = n * heads * hd > 0 ? dn_gpu_scratch(s, n * sizeof *rows) : NULL;
    if (!own)
        return;
    const dn_cache_row *table = (const dn_cache_row *)dn_gpu_table(s, own, rows, n * sizeof *rows);
    DN_RUN(s, store<T>, blocks(n * heads * hd, DN_BLOCK), DN_BLOCK, 0, cache, heads, room, hd, numbers(x), ld,
           table, n);
}

void dn_cuda_cache_store(dn_stream *s, dn_buf *cache, size_t heads, size_t room, size_t hd, const dn_buf *x,
                         size_t ld, const dn_cache_row *rows, size_t n)
{
    run_store(s, numbers(cache), heads, room, hd, x, ld, rows, n);
}

void dn_cuda_cache_store_bf16(dn_stream *s, dn_bf16 *cache, size_t heads, size_t room, size_t hd,
                              const dn_buf *x, size_t ld, const dn_cache_row *rows, size_t n)
{
    run_store(s, numbers(cache), heads, room, hd, x, ld, rows, n);
}

/* A block takes a head of a query, a warp each WARPS-th tile of DN_WARP keys; at last the warps' sums become
 * one, in their order. Dynamic shared memory: the query, then for each warp its sums. Without the number of
 * blocks that share a multiprocessor ptxas spills, to have room for eight. */
enum { WARPS = DN_BLOCK / DN_WARP };

template <class T>
__global__ void __launch_bounds__(DN_BLOCK, 2)
    decode(dn_real *o, const dn_real *q, const T *k, const T *v, const dn_cache_row *rows,
           dn_attention_shape a, dn_real scale)
{
    DN_DYNAMIC_SHARED(dn_real, shared);
    DN_SHARED(dn_real, mosts, WARPS);
    DN_SHARED(dn_real, totals, WARPS);
    DN_SHARED(dn_real, weights, DN_BLOCK);
    const size_t i = blockIdx.y, h = blockIdx.x, hd = a.hd, warp = threadIdx.x / DN_WARP,
                 lane = threadIdx.x % DN_WARP;
    const size_t position = rows[i].position,
                 at = (2 * rows[i].sequence * a.NKV + (unsigned)h / ((unsigned)a.NH / (unsigned)a.NKV)) *
                      a.room * hd;
    const size_t first = a.window > 0 && position >= a.window ? position + 1 - a.window : 0;
    auto query = shared, sums = shared + hd + warp * hd;
    for (size_t c = threadIdx.x; c < hd; c += DN_BLOCK)
        query[c] = q[i * a.ld + h * hd + c];
    for (size_t c = lane; c < hd; c += DN_WARP)
        sums[c] = 0;
    __syncthreads();
    dn_real most = -INFINITY, total = 0;
    for (size_t j0 = first + warp * DN_WARP; j0 <= position; j0 += DN_BLOCK) {
        size_t j = j0 + lane;
        dn_real score = 0;
        for (size_t c = 0; c < hd && j <= position; c++)
            score += (dn_real)query[c] * value(k[at + j * hd + c]);
        score = j <= position ? scale * score : (dn_real)-INFINITY;
        dn_real larger = fmax(most, warp_max(score)), weight = j <= position ? exp(score - larger) : 0;
        dn_real keep = most == -INFINITY ? 0 : exp(most - larger);
        total = total * keep + warp_sum(weight);
        most = larger;
        __syncwarp(); /* the last tile's have been read */
        weights[threadIdx.x] = weight;
        __syncwarp();
        for (size_t c = lane; c < hd; c += DN_WARP) {
            dn_real sum = 0;
            for (size_t l = 0; l < DN_WARP && j0 + l <= position; l++)
                sum += (dn_real)weights[warp * DN_WARP + l] * value(v[at + (j0 + l) * hd + c]);
            sums[c] = sums[c] * keep + sum;
        }
    }
    if (lane == 0) {
        mosts[warp] = most;
        totals[warp] = total;
    }
    __syncthreads();
    dn_real all = mosts[0], sum_of_all = 0;
    for (int w = 1; w < WARPS; w++)
        all = fmax(all, (dn_real)mosts[w]);
    for (int w = 0; w < WARPS; w++)
        sum_of_all += totals[w] == 0 ? 0 : (dn_real)totals[w] * exp(mosts[w] - all);
    const dn_real share = 1 / sum_of_all;
    for (size_t c = threadIdx.x; c < hd; c += DN_BLOCK) {
        dn_real sum = 0;
        for (int w = 0; w < WARPS; w++)
            sum += totals[w] == 0 ? 0 : (dn_real)shared[hd + w * hd + c] * exp(mosts[w] - all);
        o[(i * a.NH + h) * hd + c] = sum * share;
    }
}

template <class T>
static void run_decode(dn_stream *s, dn_buf *o, const dn_buf *q, const T *k, const T *v,
                       const dn_cache_row *rows, size_t n, const dn_attention_shape *shape)
{
    const dn_attention_shape a = *shape;
    size_t bytes = (1 + WARPS) * a.hd * sizeof(dn_real);
    void *room = n * a.NH > 0 ? dn_gpu_scratch(s, n * sizeof *rows) : NULL;
    if (!room)
        return;
    if (bytes > (size_t)100 << 10) {
        dn_gpu_refuse(s, "attention_decode", "heads of so many numbers do not fit the GPU's shared memory");
        return;
    }
    const dn_cache_row *table = (const dn_cache_row *)dn_gpu_table(s, room, rows, n * sizeof *rows);
    DN_ALLOW_SHARED(decode<T>, bytes);
    DN_RUN(s, decode<T>, dim3((unsigned)a.NH, (unsigned)n), DN_BLOCK, bytes, numbers(o), numbers(q), k, v,
           table, a, (dn_real)(1 / sqrt((double)a.hd)));
}

void dn_cuda_attention_decode(dn_stream *s, dn_buf *o, const dn_buf *q, const dn_buf *k, const dn_buf *v,
                              const dn_cache_row *rows, size_t n, const dn_attention_shape *shape)
{
    run_decode(s, o, q, (const dn_real *)numbers(k), (const dn_real *)numbers(v), rows, n, shape);
}

void dn_cuda_attention_decode_bf16(dn_stream *s, dn_buf *o, const dn_buf *q, const dn_bf16 *k,
                                   const dn_bf16 *v, const dn_cache_row *rows, size_t n,
                                   const dn_attention_shape *shape)
{
    run_decode(s, o, q, (const uint16_t *)numbers(k), (const uint16_t *)numbers(v), rows, n, shape);
}
