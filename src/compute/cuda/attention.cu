/*
 * Causal attention without a matrix of scores, and without atomics: the same bits in every run.
 *
 * Forward, and for dq: a warp takes a query, a block ROWS of one head that follow each other; they go through
 * the keys in tiles of DN_WARP, which lie in shared memory. A lane has a key's score, then columns of the sum
 * over keys. For dk and dv a warp takes a key and goes through the queries that see it, of one head after the
 * other, in the same way.
 *
 * Columns of the results are taken DN_WARP * PER at a time, in registers; a block has one such part, and
 * computes scores for it. Two blocks share a multiprocessor: without that number ptxas spills a few registers
 * to have room for more.
 */
#include "compute/cuda/bf16.cuh"

enum { ROWS = DN_BLOCK / DN_WARP };

/* One head of one sequence: rows are ld apart, and `columns` from `first_column` on are this block's. */
struct head {
    const dn_real *q, *k, *v;
    size_t ld_q, ld_kv;
};

static __device__ head head_of(const dn_attention_shape &a, const dn_real *q, const dn_real *k,
                               const dn_real *v, size_t b, size_t h)
{
    size_t kv = (unsigned)h / ((unsigned)a.NH / (unsigned)a.NKV), row = b * a.T * a.ld;
    size_t of_kv = a.room ? (2 * b * a.NKV + kv) * a.room * a.hd : row + kv * a.hd;
    return head{q + row + h * a.hd, k + of_kv, v + of_kv, a.ld, a.room ? a.hd : a.ld};
}

static __device__ size_t first_key(const dn_attention_shape &a, size_t position)
{
    return a.window > 0 && position >= a.window ? position + 1 - a.window : 0;
}

/* tile [rows, n], rows `stride` apart, = n columns of rows of x that are ld apart, as many as there are; 0
 * beyond. All threads. Indices are of 32 bits: a division of 64 bits is a call, around which registers are
 * spilled. */
template <class S>
static __device__ void load_tile(S tile, unsigned stride, const dn_real *x, size_t ld, unsigned rows,
                                 size_t there, unsigned n)
{
    for (unsigned i = threadIdx.x; i < rows * n; i += DN_BLOCK)
        tile[i / n * stride + i % n] = i / n < there ? x[i / n * ld + i % n] : 0;
}

template <class S, class T> static __device__ dn_real dot(S x, T y, size_t n)
{
    dn_real sum = 0;
    for (size_t c = 0; c < n; c++)
        sum += (dn_real)x[c] * (dn_real)y[c];
    return sum;
}

/* Shared memory of the kernels, in numbers: ROWS own rows, two tiles of DN_WARP rows, weights of a tile for
 * each warp. */
static size_t shared_bytes(size_t hd)
{
    return (ROWS * hd + 2 * DN_WARP * (hd + 1) + 2 * ROWS * DN_WARP) * sizeof(dn_real);
}

template <int PER>
__global__ void __launch_bounds__(DN_BLOCK, 2)
    forward(dn_real *o, dn_real *lse, const dn_real *q, const dn_real *k, const dn_real *v,
            dn_attention_shape a, dn_real scale, unsigned parts)
{
    DN_DYNAMIC_SHARED(dn_real, shared);
    const unsigned hd = (unsigned)a.hd, stride = hd + 1;
    const size_t b = blockIdx.z, h = blockIdx.y, i0 = blockIdx.x / parts * (size_t)ROWS;
    const size_t warp = threadIdx.x / DN_WARP, lane = threadIdx.x % DN_WARP,
                 c0 = blockIdx.x % parts * (size_t)(DN_WARP * PER);
    auto own = shared, keys = own + ROWS * hd, values = keys + DN_WARP * stride,
         weights = values + DN_WARP * stride;
    head x = head_of(a, q, k, v, b, h);
    size_t i = i0 + warp, position = a.first + i, last = a.first + (i0 + ROWS < a.T ? i0 + ROWS : a.T) - 1;
    load_tile(own, hd, x.q + i0 * x.ld_q, x.ld_q, ROWS, a.T - i0, hd);
    dn_real most = -INFINITY, total = 0, sums[PER] = {};
    for (size_t j0 = first_key(a, a.first + i0); j0 <= last; j0 += DN_WARP) {
        __syncthreads();
        load_tile(keys, stride, x.k + j0 * x.ld_kv, x.ld_kv, DN_WARP, last + 1 - j0, hd);
        load_tile(values, stride, x.v + j0 * x.ld_kv, x.ld_kv, DN_WARP, last + 1 - j0, hd);
        __syncthreads();
        size_t j = j0 + lane;
        bool sees = i < a.T && j <= position && j >= first_key(a, position);
        dn_real score = sees ? scale * dot(own + warp * hd, keys + lane * stride, hd) : (dn_real)-INFINITY;
        dn_real larger = fmax(most, warp_max(score)), weight = sees ? exp(score - larger) : 0;
        dn_real keep = most == -INFINITY ? 0 : exp(most - larger);
        if (larger == -INFINITY) /* no key of the tile is seen, or all scores are not numbers */
            keep = 1;
        total = total * keep + warp_sum(weight);
        most = larger;
        weights[warp * DN_WARP + lane] = weight;
        __syncwarp();
        for (int p = 0; p < PER; p++) {
            size_t c = c0 + p * DN_WARP + lane;
            dn_real sum = 0;
            for (size_t l = 0; l < DN_WARP && c < hd; l++)
                sum += (dn_real)weights[warp * DN_WARP + l] * (dn_real)values[l * stride + c];
            sums[p] = sums[p] * keep + sum;
        }
    }
    const dn_real share = 1 / total, log_sum = most + log(total);
    if (i >= a.T)
        return;
    for (int p = 0; p < PER; p++) {
        size_t c = c0 + p * DN_WARP + lane;
        if (c < hd)
            o[((b * a.T + i) * a.NH + h) * hd + c] = sums[p] * share;
    }
    if (c0 == 0 && lane == 0)
        lse[(b * a.NH + h) * a.T + i] = log_sum;
}

/* along [B,NH,T] = d_o . o */
template <class T>
__global__ void __launch_bounds__(DN_BLOCK, 2)
    dots_of_outputs(dn_real *along, const T *d_o, const T *o, dn_attention_shape a)
{
    size_t at = blockIdx.x * (size_t)ROWS + threadIdx.x / DN_WARP; /* (b T + i) NH + h */
    if (at >= a.B * a.T * a.NH)
        return;
    dn_real sum = 0;
    for (size_t c = threadIdx.x % DN_WARP; c < a.hd; c += DN_WARP)
        sum += value(d_o[at * a.hd + c]) * value(o[at * a.hd + c]);
    sum = warp_sum(sum);
    size_t h = at % a.NH, row = at / a.NH;
    if (threadIdx.x % DN_WARP == 0)
        along[(row / a.T * a.NH + h) * a.T + row % a.T] = sum;
}

/* dq_i = sum over keys j of ds_ij k_j, ds = scale p (d_o . v_j - d_o . o), p = e^(score - lse). */
template <int PER>
__global__ void __launch_bounds__(DN_BLOCK, 2)
    backward_queries(dn_real *dq, const dn_real *d_o, const dn_real *q, const dn_real *k, const dn_real *v,
                     const dn_real *lse, const dn_real *along, dn_attention_shape a, dn_real scale,
                     unsigned parts)
{
    DN_DYNAMIC_SHARED(dn_real, shared);
    const unsigned hd = (unsigned)a.hd, stride = hd + 1;
    const size_t b = blockIdx.z, h = blockIdx.y, i0 = blockIdx.x / parts * (size_t)ROWS;
    const size_t warp = threadIdx.x / DN_WARP, lane = threadIdx.x % DN_WARP,
                 c0 = blockIdx.x % parts * (size_t)(DN_WARP * PER);
    auto own = shared, keys = own + ROWS * hd, values = keys + DN_WARP * stride;
    auto weights = values + DN_WARP * stride;
    head x = head_of(a, q, k, v, b, h);
    size_t i = i0 + warp, last = (i0 + ROWS < a.T ? i0 + ROWS : a.T) - 1;
    load_tile(own, hd, x.q + i0 * a.ld, a.ld, ROWS, a.T - i0, hd);
    const dn_real *outer = d_o + ((b * a.T + i) * a.NH + h) * hd; /* lanes read one number of it at a time */
    size_t of_row = (b * a.NH + h) * a.T + i;
    dn_real own_lse = i < a.T ? lse[of_row] : 0, own_along = i < a.T ? along[of_row] : 0, sums[PER] = {};
    for (size_t j0 = first_key(a, i0); j0 <= last; j0 += DN_WARP) {
        __syncthreads();
        load_tile(keys, stride, x.k + j0 * a.ld, a.ld, DN_WARP, last + 1 - j0, hd);
        load_tile(values, stride, x.v + j0 * a.ld, a.ld, DN_WARP, last + 1 - j0, hd);
        __syncthreads();
        size_t j = j0 + lane;
        dn_real ds = 0;
        if (i < a.T && j <= i && j >= first_key(a, i)) {
            dn_real p = exp(scale * dot(own + warp * hd, keys + lane * stride, hd) - own_lse);
            ds = scale * p * (dot(outer, values + lane * stride, hd) - own_along);
        }
        weights[warp * DN_WARP + lane] = ds;
        __syncwarp();
        for (int p = 0; p < PER; p++) {
            size_t c = c0 + p * DN_WARP + lane;
            for (size_t l = 0; l < DN_WARP && c < hd; l++)
                sums[p] += (dn_real)weights[warp * DN_WARP + l] * (dn_real)keys[l * stride + c];
        }
    }
    for (int p = 0; p < PER; p++) {
        size_t c = c0 + p * DN_WARP + lane;
        if (i < a.T && c < hd)
            dq[(b * a.T + i) * a.ld + h * hd + c] = sums[p];
    }
}

/* dk_j = sum over queries i of ds_ij q_i, dv_j = sum of p_ij d_o_i, for the query heads of a head of keys in
 * order. */
template <int PER>
__global__ void __launch_bounds__(DN_BLOCK, 2)
    backward_keys(dn_real *dk, dn_real *dv, const dn_real *d_o, const dn_real *q, const dn_real *k,
                  const dn_real *v, const dn_real *lse, const dn_real *along, dn_attention_shape a,
                  dn_real scale, unsigned parts)
{
    DN_DYNAMIC_SHARED(dn_real, shared);
    const unsigned hd = (unsigned)a.hd, stride = hd + 1;
    const size_t b = blockIdx.z, kv = blockIdx.y, j0 = blockIdx.x / parts * (size_t)ROWS,
                 group = a.NH / a.NKV;
    const size_t warp = threadIdx.x / DN_WARP, lane = threadIdx.x % DN_WARP,
                 c0 = blockIdx.x % parts * (size_t)(DN_WARP * PER);
    auto key = shared, queries = key + ROWS * hd, outers = queries + DN_WARP * stride;
    auto weights = outers + DN_WARP * stride, others = weights + ROWS * DN_WARP;
    head x = head_of(a, q, k, v, b, kv * group);
    size_t j = j0 + warp, beyond = j0 + ROWS < a.T
                                       ? j0 + ROWS
                                       : a.T; /* the block's keys end there; so do, with a window, queries */
    size_t end = a.window > 0 && beyond - 1 + a.window < a.T ? beyond - 1 + a.window : a.T;
    load_tile(key, hd, x.k + j0 * a.ld, a.ld, ROWS, a.T - j0, hd);
    const dn_real *value = x.v + j * a.ld; /* lanes read one number of it at a time */
    dn_real of_key[PER] = {}, of_value[PER] = {};
    for (size_t h = kv * group; h < (kv + 1) * group; h++)
        for (size_t i0 = j0; i0 < end; i0 += DN_WARP) {
            __syncthreads();
            load_tile(queries, stride, q + (b * a.T + i0) * a.ld + h * hd, a.ld, DN_WARP, end - i0, hd);
            load_tile(outers, stride, d_o + ((b * a.T + i0) * a.NH + h) * hd, a.NH * hd, DN_WARP, end - i0,
                      hd);
            __syncthreads();
            size_t i = i0 + lane, of_row = (b * a.NH + h) * a.T + i;
            dn_real p = 0, ds = 0;
            if (i < end && j < a.T && j <= i && j >= first_key(a, i)) {
                p = exp(scale * dot(queries + lane * stride, key + warp * hd, hd) - lse[of_row]);
                ds = scale * p * (dot(outers + lane * stride, value, hd) - along[of_row]);
            }
            weights[warp * DN_WARP + lane] = ds;
            others[warp * DN_WARP + lane] = p;
            __syncwarp();
            for (int part = 0; part < PER; part++) {
                size_t c = c0 + part * DN_WARP + lane;
                for (size_t l = 0; l < DN_WARP && c < hd; l++) {
                    of_key[part] += (dn_real)weights[warp * DN_WARP + l] * (dn_real)queries[l * stride + c];
                    of_value[part] += (dn_real)others[warp * DN_WARP + l] * (dn_real)outers[l * stride + c];
                }
            }
        }
    for (int part = 0; part < PER; part++) {
        size_t c = c0 + part * DN_WARP + lane, at = (b * a.T + j) * a.ld + kv * hd + c;
        if (j < a.T && c < hd) {
            dk[at] = of_key[part];
            dv[at] = of_value[part];
        }
    }
}

/* Columns in registers: as many as a head has, up to 8 warps of them, of doubles 4; more go to other blocks.
 */
enum { MOST_PER = 32 / sizeof(dn_real) };

static unsigned parts_of(size_t hd)
{
    return (unsigned)(hd + DN_WARP * MOST_PER - 1) / (DN_WARP * MOST_PER);
}

/* Whether a tile fits the shared memory that every chip from sm_80 on has. */
static bool fits(dn_stream *s, const char *name, size_t bytes)
{
    const size_t most = (size_t)163 << 10;
    if (bytes > most)
        dn_gpu_refuse(s, name, "heads of so many numbers do not fit the GPU's shared memory");
    return bytes <= most;
}

template <int N> struct number {
    static constexpr int value = N;
};

template <class F> static void with_per(size_t hd, F f)
{
    if (hd <= DN_WARP)
        f(number<1>());
    else if (hd <= 2 * DN_WARP)
        f(number<2>());
    else if (hd <= 4 * DN_WARP)
        f(number<4>());
    else
        f(number<MOST_PER>());
}

/* flash.cu has use for it, too. */
void dn_cuda_dots_of_outputs(dn_stream *s, dn_real *along, const dn_buf *d_o, const dn_buf *o,
                             const dn_attention_shape &a)
{
    unsigned grid = (unsigned)((a.B * a.T * a.NH + ROWS - 1) / ROWS);
    with_type_of(o, [&](auto at) {
        DN_RUN(s, dots_of_outputs, grid, DN_BLOCK, 0, along, at(d_o), at(o), a);
    });
}

void dn_cuda_attention_forward(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                               const dn_buf *v, const dn_attention_shape *shape)
{
    const dn_attention_shape a = *shape;
    size_t bytes = shared_bytes(a.hd);
    unsigned parts = parts_of(a.hd);
    dn_real scale = (dn_real)(1 / sqrt((double)a.hd));
    if (a.B * a.T * a.NH == 0 || !fits(s, "attention_forward", bytes))
        return;
    dim3 grid((unsigned)((a.T + ROWS - 1) / ROWS * parts), (unsigned)a.NH, (unsigned)a.B);
    with_per(a.hd, [&](auto per) {
        DN_ALLOW_SHARED(forward<per.value>, bytes);
        DN_RUN(s, forward<per.value>, grid, DN_BLOCK, bytes, numbers(o), numbers(lse), numbers(q), numbers(k),
               numbers(v), a, scale, parts);
    });
}

void dn_cuda_attention_backward(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o,
                                const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_buf *o,
                                const dn_buf *lse, const dn_attention_shape *shape)
{
    const dn_attention_shape a = *shape;
    size_t n = a.B * a.T * a.NH, bytes = shared_bytes(a.hd);
    unsigned parts = parts_of(a.hd);
    dn_real scale = (dn_real)(1 / sqrt((double)a.hd));
    dn_real *along = n > 0 && fits(s, "attention_backward", bytes)
                         ? (dn_real *)dn_gpu_scratch(s, n * sizeof *along)
                         : NULL;
    if (!along)
        return;
    unsigned tiles = (unsigned)((a.T + ROWS - 1) / ROWS * parts);
    dim3 of_queries(tiles, (unsigned)a.NH, (unsigned)a.B), of_keys(tiles, (unsigned)a.NKV, (unsigned)a.B);
    dn_cuda_dots_of_outputs(s, along, d_o, o, a);
    with_per(a.hd, [&](auto per) {
        DN_ALLOW_SHARED(backward_keys<per.value>, bytes);
        DN_RUN(s, backward_keys<per.value>, of_keys, DN_BLOCK, bytes, numbers(dk), numbers(dv), numbers(d_o),
               numbers(q), numbers(k), numbers(v), numbers(lse), along, a, scale, parts);
        DN_ALLOW_SHARED(backward_queries<per.value>, bytes);
        DN_RUN(s, backward_queries<per.value>, of_queries, DN_BLOCK, bytes, numbers(dq), numbers(d_o),
               numbers(q), numbers(k), numbers(v), numbers(lse), along, a, scale, parts);
    });
}
