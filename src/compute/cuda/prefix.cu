/*
 * Attention to a prefix, joined to attention to the positions. Forward, and for dq: a warp takes a head of a
 * query, and goes on where attention stopped, with o of weight e^lse. For the rows of the prefix a warp takes
 * a head of a row and QUERIES of the queries that read it; sums of all of these are added in their order, in
 * double.
 */
#include "compute/cuda/columns.cuh"

enum { WARPS = DN_BLOCK / DN_WARP, QUERIES = 1024 };

/* What the kernels read. */
struct prefix {
    const dn_real *q, *k, *v, *d_o, *o, *lse;
    size_t n, ldp; /* rows, NKV hd numbers */
    dn_attention_shape a;
    dn_real scale;
};

/* Where a query's numbers begin: number `at` = row NH + h, row of [B,T]. */
struct query {
    size_t q, o, lse, kv;
};

static __device__ query query_at(const dn_attention_shape &a, size_t at)
{
    size_t row = at / a.NH, h = at % a.NH;
    return query{row * a.ld + h * a.hd, at * a.hd, (row / a.T * a.NH + h) * a.T + row % a.T,
                 h / (a.NH / a.NKV) * a.hd};
}

static __device__ dn_real dot(const dn_real *x, const dn_real *y, size_t n)
{
    dn_real sum = 0;
    for (size_t c = 0; c < n; c++)
        sum += x[c] * y[c];
    return sum;
}

/* p = e^(score - lse),  ds = scale p d_o . (v - o), of a query and a row of the prefix. */
static __device__ dn_real slope(const prefix &x, const query &of, size_t row, dn_real *p)
{
    dn_real along = 0;
    *p = exp(x.scale * dot(x.q + of.q, x.k + row, x.a.hd) - x.lse[of.lse]);
    for (size_t c = 0; c < x.a.hd; c++)
        along += x.d_o[of.o + c] * (x.v[row + c] - x.o[of.o + c]);
    return x.scale * *p * along;
}

/* A lane has a row of the prefix, then columns of the sum. */
__global__ void __launch_bounds__(DN_BLOCK) prefix_forward(dn_real *o, dn_real *lse, prefix x)
{
    DN_SHARED(dn_real, weights, DN_BLOCK);
    DN_DYNAMIC_SHARED(dn_real, shared); /* o of each warp */
    const size_t at = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP, hd = x.a.hd,
                 lane = threadIdx.x % DN_WARP, own = threadIdx.x - lane;
    if (at >= x.a.B * x.a.T * x.a.NH)
        return;
    const query of = query_at(x.a, at);
    auto sums = shared + threadIdx.x / DN_WARP * hd;
    for (size_t c = lane; c < hd; c += DN_WARP)
        sums[c] = o[of.o + c];
    dn_real most = lse[of.lse], total = 1;
    for (size_t j0 = 0; j0 < x.n; j0 += DN_WARP) {
        bool there = j0 + lane < x.n;
        dn_real score =
            there ? x.scale * dot(x.q + of.q, x.k + (j0 + lane) * x.ldp + of.kv, hd) : (dn_real)-INFINITY;
        dn_real larger = fmax(most, warp_max(score)), weight = there ? exp(score - larger) : 0,
                keep = exp(most - larger);
        total = total * keep + warp_sum(weight);
        most = larger;
        __syncwarp(); /* the last rows' have been read */
        weights[threadIdx.x] = weight;
        __syncwarp();
        for (size_t c = lane; c < hd; c += DN_WARP) {
            dn_real sum = 0;
            for (size_t l = 0; l < DN_WARP && j0 + l < x.n; l++)
                sum += (dn_real)weights[own + l] * x.v[(j0 + l) * x.ldp + of.kv + c];
            sums[c] = sums[c] * keep + sum;
        }
    }
    for (size_t c = lane; c < hd; c += DN_WARP)
        o[of.o + c] = sums[c] / total;
    if (lane == 0)
        lse[of.lse] = most + log(total);
}

/* dq += the sum over rows j of ds_j k_j. */
__global__ void __launch_bounds__(DN_BLOCK) backward_queries(dn_real *dq, prefix x)
{
    DN_SHARED(dn_real, slopes, DN_BLOCK);
    const size_t at = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP, hd = x.a.hd,
                 lane = threadIdx.x % DN_WARP, own = threadIdx.x - lane;
    if (at >= x.a.B * x.a.T * x.a.NH)
        return;
    const query of = query_at(x.a, at);
    for (size_t j0 = 0; j0 < x.n; j0 += DN_WARP) {
        dn_real p;
        __syncwarp();
        slopes[threadIdx.x] = j0 + lane < x.n ? slope(x, of, (j0 + lane) * x.ldp + of.kv, &p) : 0;
        __syncwarp();
        for (size_t c = lane; c < hd; c += DN_WARP) {
            dn_real sum = 0;
            for (size_t l = 0; l < DN_WARP && j0 + l < x.n; l++)
                sum += (dn_real)slopes[own + l] * x.k[(j0 + l) * x.ldp + of.kv + c];
            dq[of.q + c] += sum;
        }
    }
}

/* partial [chunks][2][n,NKV hd]: of a chunk of the queries that read a head of a row the sums of ds q, and of
 * p d_o. Grid: heads of rows by WARPS, chunks. */
__global__ void __launch_bounds__(DN_BLOCK) backward_rows(double *partial, prefix x)
{
    DN_SHARED(dn_real, slopes, DN_BLOCK);
    DN_SHARED(dn_real, shares, DN_BLOCK);
    const size_t at = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP, hd = x.a.hd,
                 lane = threadIdx.x % DN_WARP, own = threadIdx.x - lane, group = x.a.NH / x.a.NKV,
                 n_queries = x.a.B * x.a.T * group;
    if (at >= x.n * x.a.NKV)
        return;
    const size_t row = at * hd, kv = at % x.a.NKV, first = blockIdx.y * (size_t)QUERIES,
                 end = n_queries - first < QUERIES ? n_queries : first + QUERIES;
    double *of_key = partial + blockIdx.y * 2 * x.n * x.ldp + row, *of_value = of_key + x.n * x.ldp;
    for (size_t c = lane; c < hd; c += DN_WARP)
        of_key[c] = of_value[c] = 0;
    for (size_t i0 = first; i0 < end; i0 += DN_WARP) {
        const auto query_of = [&](size_t i) {
            return query_at(x.a, i / group * x.a.NH + kv * group + i % group);
        };
        dn_real p = 0, ds = i0 + lane < end ? slope(x, query_of(i0 + lane), row, &p) : 0;
        __syncwarp();
        slopes[threadIdx.x] = ds;
        shares[threadIdx.x] = p;
        __syncwarp();
        for (size_t c = lane; c < hd; c += DN_WARP) {
            dn_real key = 0, value = 0;
            for (size_t l = 0; l < DN_WARP && i0 + l < end; l++) {
                const query of = query_of(i0 + l);
                key += (dn_real)slopes[own + l] * x.q[of.q + c];
                value += (dn_real)shares[own + l] * x.d_o[of.o + c];
            }
            of_key[c] += (double)key;
            of_value[c] += (double)value;
        }
    }
}

static dn_real scale_of(const dn_attention_shape &a)
{
    return (dn_real)(1 / sqrt((double)a.hd));
}

void dn_cuda_prefix_forward(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *pk,
                            const dn_buf *pv, size_t n, const dn_attention_shape *shape)
{
    const dn_attention_shape a = *shape;
    size_t heads = a.B * a.T * a.NH, bytes = WARPS * a.hd * sizeof(dn_real);
    if (heads == 0 || n == 0)
        return;
    if (bytes > (size_t)100 << 10) {
        dn_gpu_refuse(s, "prefix_forward", "heads of so many numbers do not fit the GPU's shared memory");
        return;
    }
    DN_ALLOW_SHARED(prefix_forward, bytes);
    DN_RUN(s, prefix_forward, (unsigned)((heads + WARPS - 1) / WARPS), DN_BLOCK, bytes, numbers(o),
           numbers(lse),
           (prefix{numbers(q), numbers(pk), numbers(pv), NULL, NULL, NULL, n, a.NKV * a.hd, a, scale_of(a)}));
}

void dn_cuda_prefix_backward(dn_stream *s, dn_buf *dq, dn_buf *dpk, dn_buf *dpv, const dn_buf *d_o,
                             const dn_buf *q, const dn_buf *pk, const dn_buf *pv, const dn_buf *o,
                             const dn_buf *lse, size_t n, const dn_attention_shape *shape)
{
    const dn_attention_shape a = *shape;
    const size_t heads = a.B * a.T * a.NH, ldp = a.NKV * a.hd, numbers_of_prefix = n * ldp,
                 chunks = (a.B * a.T * (a.NH / a.NKV) + QUERIES - 1) / QUERIES;
    if (heads == 0 || n == 0)
        return;
    double *partial = (double *)dn_gpu_scratch(s, chunks * 2 * numbers_of_prefix * sizeof *partial);
    const prefix x = {numbers(q), numbers(pk), numbers(pv), numbers(d_o), numbers(o), numbers(lse),
                      n,          ldp,         a,           scale_of(a)};
    DN_RUN(s, backward_queries, (unsigned)((heads + WARPS - 1) / WARPS), DN_BLOCK, 0, numbers(dq), x);
    DN_RUN(s, backward_rows, dim3((unsigned)((n * a.NKV + WARPS - 1) / WARPS), (unsigned)chunks), DN_BLOCK, 0,
           partial, x);
    dn_real *dk = numbers(dpk), *dv = numbers(dpv);
    add_up_columns(s, "prefix_backward", partial, chunks, 2 * numbers_of_prefix,
                   [=] __device__(size_t i, double sum) {
                       dn_real *to = i < numbers_of_prefix ? dk + i : dv + (i - numbers_of_prefix);
                       *to += (dn_real)sum;
                   });
}
