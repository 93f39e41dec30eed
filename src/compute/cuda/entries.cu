/*
 * Entries of largest magnitude. The k-th largest key is found bit by bit, from the highest: a bit is set if
 * at least k keys are as large as that. Then entries are taken in the order of their index, by counting those
 * before each.
 */
#include "compute/cuda/elements.cuh"
#include "compute/cuda/exact.cuh"
#include "compute/cuda/sums.cuh"

/* The bits of a magnitude, which are in the order of magnitudes; all NaN are one key, before infinity. */
#ifdef DN_REAL_DOUBLE
typedef uint64_t key;
static constexpr key not_a_number = UINT64_C(0x7fffffffffffffff), infinite = UINT64_C(0x7ff0000000000000);
#else
typedef uint32_t key;
static constexpr key not_a_number = 0x7fffffff, infinite = 0x7f800000;
#endif
enum { KEY_BITS = 8 * sizeof(key) - 1, CHUNK = 4096, WARPS = DN_BLOCK / DN_WARP };

static __device__ key key_of(dn_real x)
{
    key bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= not_a_number;
    return bits > infinite ? not_a_number : bits;
}

static __device__ dn_real magnitude_of(key bits)
{
    dn_real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* How many threads of the block before this one have the flag; *all: how many there are. All threads. */
static __device__ size_t count_before(bool flag, size_t *all)
{
    DN_SHARED(unsigned, counts, WARPS);
    unsigned set = __ballot_sync(DN_WHOLE_WARP, flag), lane = threadIdx.x % DN_WARP,
             warp = threadIdx.x / DN_WARP;
    __syncthreads(); /* what an earlier count left here has been read */
    if (lane == 0)
        counts[warp] = (unsigned)__popc(set);
    __syncthreads();
    size_t before = (size_t)__popc(set & ((1u << lane) - 1)), sum = 0;
    for (unsigned w = 0; w < WARPS; w++) {
        before += w < warp ? counts[w] : 0;
        sum += counts[w];
    }
    *all = sum;
    return before;
}

/* Indices of 2 or 4 bytes. */
struct index_list {
    unsigned char *at;
    bool narrow;

    __device__ size_t operator[](size_t place) const
    {
        return narrow ? ((const uint16_t *)at)[place] : ((const uint32_t *)at)[place];
    }
    __device__ void put(size_t place, size_t index) const
    {
        if (narrow)
            ((uint16_t *)at)[place] = (uint16_t)index;
        else
            ((uint32_t *)at)[place] = (uint32_t)index;
    }
};

static index_list indices_of(const dn_bytes *bytes, const dn_tiling *t)
{
    return index_list{numbers(bytes), dn_index_bytes(t) == sizeof(uint16_t)};
}

/* A tile of a matrix: entries by index. */
struct tile_of {
    size_t at, cols, ld, n;

    __device__ size_t operator[](size_t index) const
    {
        return at + index / cols * ld + index % cols;
    }
};

static __host__ __device__ tile_of tile_number(const dn_tiling &t, size_t number)
{
    size_t across = (t.cols + t.tile_cols - 1) / t.tile_cols, row0 = number / across * t.tile_rows,
           col0 = number % across * t.tile_cols;
    size_t rows = t.rows - row0 < t.tile_rows ? t.rows - row0 : t.tile_rows,
           cols = t.cols - col0 < t.tile_cols ? t.cols - col0 : t.tile_cols;
    return tile_of{row0 * t.cols + col0, cols, t.cols, rows * cols};
}

/* A share as of a tile of n entries: dn_share_of. */
static __device__ size_t share_of(double share, size_t n)
{
    double wanted = share * (double)n;
    size_t whole = (size_t)wanted + ((double)(size_t)wanted < wanted);
    return whole < n ? whole : n;
}

/* A block takes a tile. */
__global__ void __launch_bounds__(DN_BLOCK)
    topk(index_list indices, dn_real *values, const dn_real *x, dn_tiling t, double share, size_t room)
{
    const tile_of tile = tile_number(t, blockIdx.x);
    const size_t wanted = share_of(share, tile.n), first = blockIdx.x * room;
    key least = 0; /* the wanted-th largest */
    size_t above = 0, place = first, all;
    for (int bit = KEY_BITS - 1; bit >= 0; bit--) {
        key tried = least | (key)1 << bit;
        size_t n = 0;
        for (size_t i = threadIdx.x; i < tile.n; i += DN_BLOCK)
            n += key_of(x[tile[i]]) >= tried;
        n = block_sum(n);
        if (n >= wanted)
            least = tried;
        else
            above = n; /* at last those beyond the largest bound that was too high */
    }
    size_t equal = wanted - above; /* so many of those that are as large as the least, the first */
    for (size_t i0 = 0; i0 < tile.n; i0 += DN_BLOCK) {
        size_t i = i0 + threadIdx.x;
        dn_real own = i < tile.n ? x[tile[i]] : 0;
        bool ties = i < tile.n && key_of(own) == least;
        size_t before = count_before(ties, &all);
        bool chosen = own != 0 && (key_of(own) > least || (ties && before < equal));
        equal = all < equal ? equal - all : 0;
        before = count_before(chosen, &all);
        if (chosen) {
            indices.put(place + before, i);
            values[place + before] = own;
        }
        place += all;
    }
    for (size_t i = place + threadIdx.x; i < first + room; i += DN_BLOCK) {
        indices.put(i, SIZE_MAX);
        values[i] = 0;
    }
}

void dn_cuda_topk(dn_stream *s, dn_bytes *indices, dn_buf *values, const dn_buf *x, const dn_tiling *tiling,
                  double share)
{
    size_t room = dn_share_of(share, tiling->tile_rows * tiling->tile_cols), n = dn_tiles(tiling);
    if (n > 0)
        DN_RUN(s, topk, (unsigned)n, DN_BLOCK, 0, indices_of(indices, tiling), numbers(values), numbers(x),
               *tiling, share, room);
}

void dn_cuda_add_entries(dn_stream *s, dn_buf *y, double a, const dn_bytes *indices, const dn_buf *values,
                         const dn_tiling *tiling, size_t k)
{
    dn_real *to = numbers(y), factor = (dn_real)a;
    const dn_real *from = numbers(values);
    const index_list index = indices_of(indices, tiling);
    const dn_tiling t = *tiling;
    for_index(s, "add_entries", dn_tiles(tiling) * k, [=] __device__(size_t i) {
        const tile_of tile = tile_number(t, i / k);
        if (index[i] < tile.n)
            to[tile[index[i]]] += product(factor, from ? from[i] : 1);
    });
}

void dn_cuda_take_entries(dn_stream *s, dn_buf *values, const dn_buf *x, const dn_bytes *indices,
                          const dn_tiling *tiling, size_t k)
{
    dn_real *to = numbers(values);
    const dn_real *from = numbers(x);
    const index_list index = indices_of(indices, tiling);
    const dn_tiling t = *tiling;
    for_index(s, "take_entries", dn_tiles(tiling) * k, [=] __device__(size_t i) {
        const tile_of tile = tile_number(t, i / k);
        to[i] = index[i] < tile.n ? from[tile[index[i]]] : 0;
    });
}

/* ---- counting ---- */

static size_t chunks_of(size_t n)
{
    return (n + CHUNK - 1) / CHUNK;
}

/* counts[chunk] = for how many i of a chunk f(i) is true, i < n. */
template <class F> static void count(dn_stream *s, const char *name, uint64_t *counts, size_t n, F f)
{
    if (n == 0 || !counts || !dn_gpu_begin(s, name))
        return;
    DN_LAUNCH(sum_chunks, (unsigned)chunks_of(n), DN_BLOCK, 0, dn_gpu_stream(s), counts, n, (size_t)CHUNK, f);
    dn_gpu_end(s);
}

void dn_cuda_count_entries(dn_stream *s, uint64_t *host, const dn_bytes *indices, const dn_tiling *tiling,
                           size_t k)
{
    const index_list index = indices_of(indices, tiling);
    const dn_tiling t = *tiling;
    uint64_t *out = (uint64_t *)dn_gpu_result(s, host, sizeof *out);
    sum_to<uint64_t>(
        s, "count_entries", dn_tiles(tiling) * k,
        [=] __device__(size_t i) { return index[i] < tile_number(t, i / k).n; },
        [=] __device__(uint64_t sum) { *out = sum; });
}

static __device__ bool is_above(dn_real x, dn_real tau)
{
    return !(fabs(x) < tau);
}

void dn_cuda_split_above(dn_stream *s, uint64_t *host, dn_buf *q, dn_buf *x, size_t n, double tau)
{
    dn_real *above = numbers(q), *rest = numbers(x), bound = (dn_real)tau;
    uint64_t *out = (uint64_t *)dn_gpu_result(s, host, sizeof *out);
    sum_to<uint64_t>(
        s, "split_above", n,
        [=] __device__(size_t i) {
            dn_real own = rest[i];
            bool is = is_above(own, bound);
            above[i] = is ? own : 0;
            rest[i] = is ? 0 : own;
            return is;
        },
        [=] __device__(uint64_t sum) { *out = sum; });
}

/* starts [n_chunks + 1] = the sums of counts before each chunk, and of all: one block. */
__global__ void __launch_bounds__(DN_BLOCK)
    find_starts(uint64_t *starts, const uint64_t *counts, size_t n_chunks)
{
    DN_SHARED(uint64_t, own, DN_BLOCK);
    uint64_t sum = 0;
    for (size_t c0 = 0; c0 < n_chunks; c0 += DN_BLOCK) {
        __syncthreads();
        own[threadIdx.x] = c0 + threadIdx.x < n_chunks ? counts[c0 + threadIdx.x] : 0;
        __syncthreads();
        uint64_t before = sum;
        for (unsigned i = 0; i < DN_BLOCK; i++) {
            before += i < threadIdx.x ? own[i] : 0;
            sum += own[i];
        }
        if (c0 + threadIdx.x < n_chunks)
            starts[c0 + threadIdx.x] = before;
    }
    if (threadIdx.x == 0)
        starts[n_chunks] = sum;
}

static __device__ bool is_taken(dn_real x, dn_real tau)
{
    return x != 0 && is_above(x, tau);
}

/* A block takes a chunk; beyond all chunks, places that stay empty. */
__global__ void __launch_bounds__(DN_BLOCK)
    take_above(index_list indices, dn_real *values, const dn_real *x, size_t n, dn_real tau,
               const uint64_t *starts, size_t n_chunks, size_t room)
{
    size_t first = blockIdx.x * (size_t)CHUNK;
    if (blockIdx.x >= n_chunks) {
        size_t end = first - n_chunks * CHUNK + CHUNK;
        for (size_t i = end - CHUNK + threadIdx.x; i < end && i < room; i += DN_BLOCK)
            if (i >= starts[n_chunks]) {
                indices.put(i, SIZE_MAX);
                values[i] = 0;
            }
        return;
    }
    size_t place = starts[blockIdx.x];
    for (size_t i0 = first; i0 < first + CHUNK && i0 < n; i0 += DN_BLOCK) {
        size_t i = i0 + threadIdx.x, all;
        bool taken = i < n && is_taken(x[i], tau);
        size_t at = place + count_before(taken, &all);
        if (taken && at < room) {
            indices.put(at, i);
            values[at] = x[i];
        }
        place += all;
    }
}

void dn_cuda_take_above(dn_stream *s, dn_bytes *indices, dn_buf *values, const dn_buf *x, size_t n,
                        double tau, size_t room)
{
    const dn_tiling whole = {1, n, 1, n};
    size_t n_chunks = chunks_of(n);
    const dn_real *from = numbers(x), bound = (dn_real)tau;
    uint64_t *counts = room > 0 ? (uint64_t *)dn_gpu_scratch(s, (2 * n_chunks + 1) * sizeof *counts) : NULL;
    if (!counts)
        return;
    count(s, "take_above", counts, n, [=] __device__(size_t i) { return is_taken(from[i], bound); });
    DN_RUN(s, find_starts, 1, DN_BLOCK, 0, counts + n_chunks, counts, n_chunks);
    DN_RUN(s, take_above, (unsigned)(n_chunks + chunks_of(room)), DN_BLOCK, 0, indices_of(indices, &whole),
           numbers(values), from, n, bound, counts + n_chunks, n_chunks, room);
}

/* ---- the k-th of a vector: a bit a pass ---- */

__global__ void __launch_bounds__(DN_WARP) put_magnitude(double *out, const key *least)
{
    if (threadIdx.x == 0)
        *out = (double)magnitude_of(*least);
}

void dn_cuda_kth_magnitude(dn_stream *s, double *host, const dn_buf *x, size_t n, size_t k)
{
    const dn_real *from = numbers(x);
    double *out = (double *)dn_gpu_result(s, host, sizeof *host);
    uint64_t *counts = (uint64_t *)dn_gpu_scratch(s, (chunks_of(n) + 1) * sizeof *counts);
    if (!counts)
        return;
    key *least = (key *)(counts + chunks_of(n));
    for_index(s, "kth_magnitude", 1, [=] __device__(size_t) { *least = 0; });
    for (int bit = KEY_BITS - 1; bit >= 0; bit--) {
        count(s, "kth_magnitude", counts, n,
              [=] __device__(size_t i) { return key_of(from[i]) >= (*least | (key)1 << bit); });
        DN_RUN(s, add_up, 1, DN_BLOCK, 0, counts, chunks_of(n), [=] __device__(uint64_t sum) {
            if (sum >= k)
                *least |= (key)1 << bit;
        });
    }
    DN_RUN(s, put_magnitude, 1, DN_WARP, 0, out, least);
}
