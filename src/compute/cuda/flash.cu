/*
 * Attention of mixed precision, on tensor cores: softmax(q k^T) v tile by tile (Dao et al., arXiv 2205.14135;
 * backward in two passes, for dq and for dk and dv, without atomics: the same bits in every run). Operands of
 * products are of bfloat16: q, k, v, d_o are laid out so before, in matrices of pairs, by rows and turned, as
 * fragments want them, whether they are given so or rounded then; p and ds are rounded in registers. Scores,
 * softmax and sums are in float.
 *
 * A warp has 16 rows of scores, a block 64, and the other side comes in tiles of 32, the next of which is
 * copied to shared memory while one is multiplied. In a warp lane 4 g + t has of rows g and g + 8 the columns
 * 2 t and 2 t + 1 of each 8 (mma.m16n8k16).
 *
 * Heads of more than 128 numbers, caches, and double are left to attention.cu.
 */
#include "compute/cuda/bf16.cuh"
#include "compute/cuda/elements.cuh"

#ifndef DN_REAL_DOUBLE

enum { TILE = 32, ROWS = 64, THREADS = ROWS / 16 * DN_WARP, N_TILES = TILE / 8 };

/* Positions in whole blocks of rows. */
static size_t whole(size_t T)
{
    return (T + ROWS - 1) / ROWS * ROWS;
}

static __device__ uint32_t paired(float low, float high)
{
#ifdef __CUDA_ARCH__
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return narrowed(low) | (uint32_t)narrowed(high) << 16;
#endif
}

/* ---- operands ---- */

/* A tensor [B,T,heads,hd] as matrices of pairs, one for each sequence and head: rows [P,HD/2], pairs along
 * the head, and turned [HD,P/2], pairs along positions; P = whole(T), zeros where there is nothing. */
struct operand {
    uint32_t *rows, *turned;
};

template <class N> struct source {
    const N *x;
    size_t ld, heads, T, hd;

    __device__ float at(size_t matrix, size_t t, size_t c) const
    {
        return t < T && c < hd ? value(x[(matrix / heads * T + t) * ld + matrix % heads * hd + c]) : 0;
    }
};

template <class N>
static void arrange_numbers(dn_stream *s, operand to, const N *x, size_t ld, size_t heads,
                            const dn_attention_shape &a, size_t HD)
{
    const source<N> from = {x, ld, heads, a.T, a.hd};
    const size_t P = whole(a.T), n = a.B * heads * P * HD / 2;
    for_index(s, "attention_rows", to.rows ? n : 0, [=] __device__(size_t i) {
        size_t matrix = i / (P * HD / 2), t = i / (HD / 2) % P, c = i % (HD / 2) * 2;
        to.rows[i] = paired(from.at(matrix, t, c), from.at(matrix, t, c + 1));
    });
    /* Neighbours among threads read along a row. */
    for_index(s, "attention_turned", to.turned ? n : 0, [=] __device__(size_t i) {
        size_t matrix = i / (P * HD / 2), t = i / HD % (P / 2) * 2, c = i % HD;
        to.turned[(matrix * HD + c) * (P / 2) + t / 2] =
            paired(from.at(matrix, t, c), from.at(matrix, t + 1, c));
    });
}

static void arrange(dn_stream *s, operand to, const dn_buf *x, size_t ld, size_t heads,
                    const dn_attention_shape &a, size_t HD)
{
    with_type_of(x, [&](auto at) { arrange_numbers(s, to, at(x), ld, heads, a, HD); });
}

/* ---- tiles in shared memory: rows of pairs, 16 bytes more apart, so that the lanes of a warp meet in no
 * bank ---- */

template <int HD> struct layout {
    static constexpr int pairs = HD / 2, ld = pairs + 4, ld_turned = TILE / 2 + 4, steps = HD / 16,
                         columns = HD / 8;
    static constexpr int rows_words = TILE * ld, turned_words = HD * ld_turned;
};

/* TILE rows of a matrix from position j0 on. */
template <int HD, class S> static __device__ void copy_rows(S to, const uint32_t *rows, size_t j0)
{
    typedef layout<HD> L;
    for (unsigned i = threadIdx.x; i < TILE * L::pairs / 4; i += THREADS) {
        unsigned row = i / (L::pairs / 4), c = i % (L::pairs / 4) * 4;
        DN_COPY_ASYNC(to + (row * L::ld + c), rows + (j0 + row) * L::pairs + c, true);
    }
}

/* The same positions of the turned matrix, rows of which are P/2 pairs. */
template <int HD, class S>
static __device__ void copy_turned(S to, const uint32_t *turned, size_t P, size_t j0)
{
    typedef layout<HD> L;
    for (unsigned i = threadIdx.x; i < HD * TILE / 8; i += THREADS) {
        unsigned row = i / (TILE / 8), c = i % (TILE / 8) * 4;
        DN_COPY_ASYNC(to + (row * L::ld_turned + c), turned + row * (P / 2) + j0 / 2 + c, true);
    }
}

/* ---- fragments ---- */

struct lane_of {
    unsigned g, t;
};

static __device__ lane_of own_lane()
{
    return lane_of{threadIdx.x % DN_WARP / 4, threadIdx.x % 4};
}

/* Of 16 rows that begin at `rows`, pairs 8 step to 8 step + 7, from device memory. */
template <int HD> static __device__ void left_fragment(uint32_t (&a)[4], const uint32_t *rows, int step)
{
    const lane_of l = own_lane();
    const uint32_t *at = rows + l.g * (HD / 2) + 8 * step + l.t;
    a[0] = at[0];
    a[1] = at[8 * (HD / 2)];
    a[2] = at[4];
    a[3] = at[8 * (HD / 2) + 4];
}

/* All of 16 rows, in registers. */
template <int HD> struct fragments {
    uint32_t of[HD / 16][4];

    __device__ fragments(const uint32_t *rows)
    {
        DN_UNROLL
        for (int step = 0; step < HD / 16; step++)
            left_fragment<HD>(of[step], rows, step);
    }
    __device__ void operator()(int step, uint32_t (&a)[4]) const
    {
        DN_UNROLL
        for (int i = 0; i < 4; i++)
            a[i] = of[step][i];
    }
};

/* scores [16,TILE] = the product of 16 rows, of which left(step, fragment) gives the fragments, and the rows
 * of a tile. */
template <int HD, class F, class S>
static __device__ void multiply_rows(float (&scores)[N_TILES][4], F left, S tile)
{
    typedef layout<HD> L;
    const lane_of l = own_lane();
    DN_UNROLL
    for (int n = 0; n < N_TILES; n++)
        for (int e = 0; e < 4; e++)
            scores[n][e] = 0;
    DN_UNROLL
    for (int step = 0; step < L::steps; step++) {
        uint32_t a[4];
        left(step, a);
        DN_UNROLL
        for (int n = 0; n < N_TILES; n++) {
            auto at = tile + ((8 * n + l.g) * L::ld + 8 * step + l.t);
            uint32_t b[2] = {at[0], at[4]};
            DN_MULTIPLY_TILES(scores[n], a, b);
        }
    }
}

/* sums [16,HD] += weights [16,TILE], rounded, times a tile, of which the turned rows are there. */
template <int HD, class S>
static __device__ void add_weighted(float (&sums)[HD / 8][4], const float (&weights)[N_TILES][4], S turned)
{
    typedef layout<HD> L;
    const lane_of l = own_lane();
    DN_UNROLL
    for (int half = 0; half < TILE / 16; half++) {
        const float(&w)[4] = weights[2 * half], (&next)[4] = weights[2 * half + 1];
        uint32_t a[4] = {paired(w[0], w[1]), paired(w[2], w[3]), paired(next[0], next[1]),
                         paired(next[2], next[3])};
        DN_UNROLL
        for (int c = 0; c < L::columns; c++) {
            auto at = turned + ((8 * c + l.g) * L::ld_turned + 8 * half + l.t);
            uint32_t b[2] = {at[0], at[4]};
            DN_MULTIPLY_TILES(sums[c], a, b);
        }
    }
}

/* Of the four lanes that have a row. */
static __device__ float row_max(float x)
{
    x = fmax(x, __shfl_xor_sync(DN_WHOLE_WARP, x, 1));
    return fmax(x, __shfl_xor_sync(DN_WHOLE_WARP, x, 2));
}

static __device__ float row_sum(float x)
{
    x += __shfl_xor_sync(DN_WHOLE_WARP, x, 1);
    return x + __shfl_xor_sync(DN_WHOLE_WARP, x, 2);
}

static __device__ bool sees(const dn_attention_shape &a, size_t query, size_t key)
{
    return key <= query && query < a.T && (a.window == 0 || query - key < a.window);
}

/* The number of the first tile that a query sees. */
static __device__ size_t first_tile(const dn_attention_shape &a, size_t query)
{
    return (a.window > 0 && query >= a.window ? query + 1 - a.window : 0) / TILE;
}

/* body(n) for each tile number n from first to end, which is then in the half n % 2 of shared memory, while
 * copy(n + 1) fills the other. All threads of the block. */
template <class C, class F> static __device__ void over_tiles(size_t first, size_t end, C copy, F body)
{
    copy(first);
    DN_COMMIT_COPIES();
    for (size_t n = first; n < end; n++) {
        if (n + 1 < end)
            copy(n + 1);
        DN_COMMIT_COPIES();
        DN_WAIT_FOR_COPIES(1);
        __syncthreads();
        body(n);
        __syncthreads(); /* the tile has been read */
    }
    DN_WAIT_FOR_COPIES(0);
}

static __device__ size_t heads_key(const dn_attention_shape &a, size_t h)
{
    return (unsigned)h / ((unsigned)a.NH / (unsigned)a.NKV);
}

/* ---- forward ---- */

template <int HD, class N>
__global__ void __launch_bounds__(THREADS, 2)
    flash_forward(N *o, float *lse, operand q, operand k, operand v, dn_attention_shape a, size_t P,
                  float scale)
{
    typedef layout<HD> L;
    DN_DYNAMIC_SHARED(uint32_t, shared); /* twice: rows of keys, turned values */
    constexpr int stage = L::rows_words + L::turned_words;
    const lane_of l = own_lane();
    const size_t h = blockIdx.y, b = blockIdx.z, block0 = blockIdx.x * (size_t)ROWS,
                 i0 = block0 + threadIdx.x / DN_WARP * 16;
    const size_t of_q = b * a.NH + h, of_kv = b * a.NKV + heads_key(a, h),
                 end = block0 + ROWS < a.T ? block0 + ROWS : a.T;
    const uint32_t *keys = k.rows + of_kv * P * L::pairs, *values = v.turned + of_kv * P * L::pairs;
    const fragments<HD> query(q.rows + (of_q * P + i0) * L::pairs);
    float sums[L::columns][4] = {}, most[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
    const auto copy = [&](size_t n) {
        auto to = shared + n % 2 * stage;
        copy_rows<HD>(to, keys, n * TILE);
        copy_turned<HD>(to + L::rows_words, values, P, n * TILE);
    };
    over_tiles(first_tile(a, block0), (end + TILE - 1) / TILE, copy, [&](size_t number) {
        const size_t j0 = number * TILE;
        auto tile = shared + number % 2 * stage;
        float p[N_TILES][4], larger[2] = {most[0], most[1]}, keep[2];
        multiply_rows<HD>(p, query, tile);
        DN_UNROLL
        for (int n = 0; n < N_TILES; n++)
            for (int e = 0; e < 4; e++) {
                bool seen = sees(a, i0 + l.g + e / 2 * 8, j0 + 8 * n + 2 * l.t + e % 2);
                p[n][e] = seen ? scale * p[n][e] : -INFINITY;
                larger[e / 2] = fmax(larger[e / 2], p[n][e]);
            }
        DN_UNROLL
        for (int r = 0; r < 2; r++) {
            larger[r] = row_max(larger[r]);
            keep[r] = most[r] == -INFINITY ? 0 : exp(most[r] - larger[r]);
            most[r] = larger[r];
            total[r] *= keep[r];
        }
        DN_UNROLL
        for (int n = 0; n < N_TILES; n++)
            for (int e = 0; e < 4; e++) {
                p[n][e] = p[n][e] == -INFINITY ? 0 : exp(p[n][e] - most[e / 2]);
                total[e / 2] += p[n][e];
            }
        DN_UNROLL
        for (int c = 0; c < L::columns; c++)
            for (int e = 0; e < 4; e++)
                sums[c][e] *= keep[e / 2];
        add_weighted<HD>(sums, p, tile + L::rows_words);
    });
    DN_UNROLL
    for (int r = 0; r < 2; r++) {
        float all = row_sum(total[r]), share = 1 / all, log_sum = most[r] + log(all);
        size_t i = i0 + l.g + 8 * r;
        if (i >= a.T)
            continue;
        if (l.t == 0)
            lse[of_q * a.T + i] = log_sum;
        DN_UNROLL
        for (int c = 0; c < L::columns; c++)
            for (int e = 0; e < 2; e++) {
                size_t column = 8 * c + 2 * l.t + e;
                if (column < a.hd)
                    put(&o[((b * a.T + i) * a.NH + h) * a.hd + column], sums[c][2 * r + e] * share);
            }
    }
}

/* ---- backward ---- */

/* dq_i = sum over keys j of ds_ij k_j, ds = scale p (d_o . v_j - along), p = e^(score - lse). */
template <int HD, class N>
__global__ void __launch_bounds__(THREADS, 2)
    flash_queries(N *dq, operand q, operand k, operand v, operand d_o, const float *lse,
                  const float *along, dn_attention_shape a, size_t P, float scale)
{
    typedef layout<HD> L;
    DN_DYNAMIC_SHARED(uint32_t, shared); /* twice: rows of keys and of values, turned keys */
    constexpr int stage = 2 * L::rows_words + L::turned_words;
    const lane_of l = own_lane();
    const size_t h = blockIdx.y, b = blockIdx.z, block0 = blockIdx.x * (size_t)ROWS,
                 i0 = block0 + threadIdx.x / DN_WARP * 16;
    const size_t of_q = b * a.NH + h, of_kv = b * a.NKV + heads_key(a, h),
                 end = block0 + ROWS < a.T ? block0 + ROWS : a.T, matrix = of_kv * P * L::pairs;
    const fragments<HD> query(q.rows + (of_q * P + i0) * L::pairs),
        outer(d_o.rows + (of_q * P + i0) * L::pairs);
    float sums[L::columns][4] = {}, own_lse[2], own_along[2];
    DN_UNROLL
    for (int r = 0; r < 2; r++) {
        size_t i = i0 + l.g + 8 * r;
        own_lse[r] = i < a.T ? lse[of_q * a.T + i] : 0;
        own_along[r] = i < a.T ? along[of_q * a.T + i] : 0;
    }
    const auto copy = [&](size_t n) {
        auto to = shared + n % 2 * stage;
        copy_rows<HD>(to, k.rows + matrix, n * TILE);
        copy_rows<HD>(to + L::rows_words, v.rows + matrix, n * TILE);
        copy_turned<HD>(to + 2 * L::rows_words, k.turned + matrix, P, n * TILE);
    };
    over_tiles(first_tile(a, block0), (end + TILE - 1) / TILE, copy, [&](size_t number) {
        const size_t j0 = number * TILE;
        auto tile = shared + number % 2 * stage;
        float ds[N_TILES][4], dp[N_TILES][4];
        multiply_rows<HD>(ds, query, tile);
        multiply_rows<HD>(dp, outer, tile + L::rows_words);
        DN_UNROLL
        for (int n = 0; n < N_TILES; n++)
            for (int e = 0; e < 4; e++) {
                bool seen = sees(a, i0 + l.g + e / 2 * 8, j0 + 8 * n + 2 * l.t + e % 2);
                float p = seen ? exp(scale * ds[n][e] - own_lse[e / 2]) : 0;
                ds[n][e] = scale * p * (dp[n][e] - own_along[e / 2]);
            }
        add_weighted<HD>(sums, ds, tile + 2 * L::rows_words);
    });
    DN_UNROLL
    for (int c = 0; c < L::columns; c++)
        for (int e = 0; e < 4; e++) {
            size_t i = i0 + l.g + e / 2 * 8, column = 8 * c + 2 * l.t + e % 2;
            if (i < a.T && column < a.hd)
                put(&dq[(b * a.T + i) * a.ld + h * a.hd + column], sums[c][e]);
        }
}

/* dk_j = sum over queries i of ds_ij q_i, dv_j = sum of p_ij d_o_i: scores are turned, rows are keys. Query
 * heads of a head of keys in order. Fragments of keys and values are read anew for each tile: both sums leave
 * no registers for them. */
template <int HD, class N>
__global__ void __launch_bounds__(THREADS, 2)
    flash_keys(N *dk, N *dv, operand q, operand k, operand v, operand d_o, const float *lse,
               const float *along, dn_attention_shape a, size_t P, float scale)
{
    typedef layout<HD> L;
    DN_DYNAMIC_SHARED(uint32_t, shared); /* twice: rows of queries and of outer gradients, then both turned */
    constexpr int stage = 2 * L::rows_words + 2 * L::turned_words;
    const lane_of l = own_lane();
    const size_t kv = blockIdx.y, b = blockIdx.z, group = (unsigned)a.NH / (unsigned)a.NKV,
                 block0 = blockIdx.x * (size_t)ROWS, j0 = block0 + threadIdx.x / DN_WARP * 16;
    const size_t last = block0 + ROWS < a.T
                            ? block0 + ROWS
                            : a.T; /* the block's keys end there; so do, with a window, queries */
    const size_t end = a.window > 0 && last - 1 + a.window < a.T ? last - 1 + a.window : a.T;
    const size_t own = ((b * a.NKV + kv) * P + j0) * L::pairs, tiles = (end - block0 + TILE - 1) / TILE;
    float of_key[L::columns][4] = {}, of_value[L::columns][4] = {};
    /* Number n of the tiles of all heads: of which head it is, and where it begins. */
    const auto head = [&](size_t n) { return b * a.NH + kv * group + n / tiles; };
    const auto begin = [&](size_t n) { return block0 + n % tiles * TILE; };
    const auto copy = [&](size_t n) {
        auto to = shared + n % 2 * stage;
        size_t matrix = head(n) * P * L::pairs;
        copy_rows<HD>(to, q.rows + matrix, begin(n));
        copy_rows<HD>(to + L::rows_words, d_o.rows + matrix, begin(n));
        copy_turned<HD>(to + 2 * L::rows_words, q.turned + matrix, P, begin(n));
        copy_turned<HD>(to + 2 * L::rows_words + L::turned_words, d_o.turned + matrix, P, begin(n));
    };
    over_tiles(0, group * tiles, copy, [&](size_t n) {
        auto tile = shared + n % 2 * stage;
        float p[N_TILES][4], ds[N_TILES][4];
        multiply_rows<HD>(
            p, [&](int step, uint32_t(&x)[4]) { left_fragment<HD>(x, k.rows + own, step); }, tile);
        multiply_rows<HD>(
            ds, [&](int step, uint32_t(&x)[4]) { left_fragment<HD>(x, v.rows + own, step); },
            tile + L::rows_words);
        DN_UNROLL
        for (int m = 0; m < N_TILES; m++)
            for (int e = 0; e < 4; e++) {
                size_t i = begin(n) + 8 * m + 2 * l.t + e % 2, j = j0 + l.g + e / 2 * 8;
                bool seen = sees(a, i, j);
                p[m][e] = seen ? exp(scale * p[m][e] - lse[head(n) * a.T + i]) : 0;
                ds[m][e] = seen ? scale * p[m][e] * (ds[m][e] - along[head(n) * a.T + i]) : 0;
            }
        add_weighted<HD>(of_key, ds, tile + 2 * L::rows_words);
        add_weighted<HD>(of_value, p, tile + 2 * L::rows_words + L::turned_words);
    });
    DN_UNROLL
    for (int c = 0; c < L::columns; c++)
        for (int e = 0; e < 4; e++) {
            size_t j = j0 + l.g + e / 2 * 8, column = 8 * c + 2 * l.t + e % 2,
                   at = (b * a.T + j) * a.ld + kv * a.hd + column;
            if (j < a.T && column < a.hd) {
                put(&dk[at], of_key[c][e]);
                put(&dv[at], of_value[c][e]);
            }
        }
}

/* ---- on the host ---- */

/* Words of a tensor's matrices of pairs. */
static size_t words(const dn_attention_shape &a, size_t heads, size_t HD)
{
    return a.B * heads * whole(a.T) * HD / 2;
}

static bool is_ours(const dn_attention_shape &a)
{
    return a.hd <= DN_NARROW_HEAD && a.room == 0 && a.first == 0;
}

template <int HD, class N>
static void run_forward(dn_stream *s, N *o, dn_buf *lse, const dn_buf *q, const dn_buf *k, const dn_buf *v,
                        const dn_attention_shape &a)
{
    typedef layout<HD> L;
    const size_t of_q = words(a, a.NH, HD), of_kv = words(a, a.NKV, HD),
                 bytes = 2 * (L::rows_words + L::turned_words) * sizeof(uint32_t);
    uint32_t *room = of_q > 0 ? (uint32_t *)dn_gpu_scratch(s, (of_q + 2 * of_kv) * sizeof *room) : NULL;
    if (!room)
        return;
    const operand query = {room, NULL}, key = {room + of_q, NULL}, value = {NULL, room + of_q + of_kv};
    arrange(s, query, q, a.ld, a.NH, a, HD);
    arrange(s, key, k, a.ld, a.NKV, a, HD);
    arrange(s, value, v, a.ld, a.NKV, a, HD);
    DN_ALLOW_SHARED((flash_forward<HD, N>), bytes);
    DN_RUN(s, (flash_forward<HD, N>), dim3((unsigned)(whole(a.T) / ROWS), (unsigned)a.NH, (unsigned)a.B),
           THREADS, bytes, o, numbers(lse), query, key, value, a, whole(a.T),
           (float)(1 / sqrt((double)a.hd)));
}

/* attention.cu: along [B,NH,T] = d_o . o */
void dn_cuda_dots_of_outputs(dn_stream *s, dn_real *along, const dn_buf *d_o, const dn_buf *o,
                             const dn_attention_shape &a);

template <int HD, class N>
static void run_backward(dn_stream *s, N *dq, N *dk, N *dv, const dn_buf *d_o, const dn_buf *q,
                         const dn_buf *k, const dn_buf *v, const dn_buf *o, const dn_buf *lse,
                         const dn_attention_shape &a)
{
    typedef layout<HD> L;
    const size_t of_q = words(a, a.NH, HD), of_kv = words(a, a.NKV, HD), P = whole(a.T), n = a.B * a.NH * a.T;
    uint32_t *room =
        n > 0 ? (uint32_t *)dn_gpu_scratch(s, (4 * of_q + 3 * of_kv) * sizeof *room + n * sizeof(float))
              : NULL;
    if (!room)
        return;
    uint32_t *keys = room + 4 * of_q;
    const operand query = {room, room + of_q}, outer = {room + 2 * of_q, room + 3 * of_q},
                  key = {keys, keys + of_kv}, value = {keys + 2 * of_kv, NULL};
    float *along = (float *)(keys + 3 * of_kv);
    const float scale = (float)(1 / sqrt((double)a.hd));
    const unsigned blocks_of_rows = (unsigned)(P / ROWS);
    size_t bytes = 2 * (2 * L::rows_words + L::turned_words) * sizeof(uint32_t);
    arrange(s, query, q, a.ld, a.NH, a, HD);
    arrange(s, outer, d_o, a.NH * a.hd, a.NH, a, HD);
    arrange(s, key, k, a.ld, a.NKV, a, HD);
    arrange(s, value, v, a.ld, a.NKV, a, HD);
    dn_cuda_dots_of_outputs(s, along, d_o, o, a);
    DN_ALLOW_SHARED((flash_queries<HD, N>), bytes);
    DN_RUN(s, (flash_queries<HD, N>), dim3(blocks_of_rows, (unsigned)a.NH, (unsigned)a.B), THREADS, bytes, dq,
           query, key, value, outer, numbers(lse), along, a, P, scale);
    bytes += 2 * L::turned_words * sizeof(uint32_t);
    DN_ALLOW_SHARED((flash_keys<HD, N>), bytes);
    DN_RUN(s, (flash_keys<HD, N>), dim3(blocks_of_rows, (unsigned)a.NKV, (unsigned)a.B), THREADS, bytes, dk,
           dv, query, key, value, outer, numbers(lse), along, a, P, scale);
}

template <class N>
static void forward_by_size(dn_stream *s, N *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                            const dn_buf *v, const dn_attention_shape &a)
{
    if (a.hd <= 64)
        run_forward<64>(s, o, lse, q, k, v, a);
    else
        run_forward<128>(s, o, lse, q, k, v, a);
}

template <class N>
static void backward_by_size(dn_stream *s, N *dq, N *dk, N *dv, const dn_buf *d_o, const dn_buf *q,
                             const dn_buf *k, const dn_buf *v, const dn_buf *o, const dn_buf *lse,
                             const dn_attention_shape &a)
{
    if (a.hd <= 64)
        run_backward<64>(s, dq, dk, dv, d_o, q, k, v, o, lse, a);
    else
        run_backward<128>(s, dq, dk, dv, d_o, q, k, v, o, lse, a);
}

void dn_cuda_mixed_attention_forward(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                                     const dn_buf *v, const dn_attention_shape *shape)
{
    if (!is_ours(*shape))
        dn_cuda_attention_forward(s, o, lse, q, k, v, shape);
    else
        with_type_of(o, [&](auto at) { forward_by_size(s, at(o), lse, q, k, v, *shape); });
}

void dn_cuda_mixed_attention_backward(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o,
                                      const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_buf *o,
                                      const dn_buf *lse, const dn_attention_shape *shape)
{
    if (!is_ours(*shape))
        dn_cuda_attention_backward(s, dq, dk, dv, d_o, q, k, v, o, lse, shape);
    else
        with_type_of(dq, [&](auto at) {
            backward_by_size(s, at(dq), at(dk), at(dv), d_o, q, k, v, o, lse, *shape);
        });
}
#endif
