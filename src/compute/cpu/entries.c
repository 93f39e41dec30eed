/*
 * Entries of largest magnitude, tile by tile. Magnitudes are compared as integers: a number's bits without
 * its sign, which puts NaN before infinity. Few entries are looked at twice: the k-th largest of the maxima
 * of some columns is a lower bound, as k columns have an entry that is no smaller; what reaches it is
 * collected, and among these the k-th largest is found bit by bit.
 */
#include "compute/cpu/cpu.h"

#include <string.h>

#ifdef DN_REAL_DOUBLE
typedef uint64_t magnitude;
#else
typedef uint32_t magnitude;
#endif
enum { MAGNITUDE_BITS = 8 * sizeof(magnitude) - 1 };

#define COLUMNS ((size_t)256)

static magnitude magnitude_of(dn_real x)
{
    magnitude bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & ((magnitude)-1 >> 1);
}

static size_t count_from(const magnitude *m, size_t n, magnitude least)
{
    magnitude count = 0;
    for (size_t i = 0; i < n; i++)
        count += m[i] >= least;
    return count;
}

/* n >= k > 0 */
static magnitude kth_largest(const magnitude *m, size_t n, size_t k)
{
    magnitude found = 0;
    for (int bit = MAGNITUDE_BITS - 1; bit >= 0; bit--) {
        magnitude higher = found | (magnitude)1 << bit;
        if (count_from(m, n, higher) >= k)
            found = higher;
    }
    return found;
}

/* Of the k-th largest, or of the smallest number but 0. */
static magnitude lower_bound(const magnitude *m, size_t n, size_t k)
{
    if (2 * k > COLUMNS || n < 2 * COLUMNS)
        return 1;
    magnitude maxima[COLUMNS];
    memcpy(maxima, m, sizeof maxima);
    for (size_t row = 1; row < n / COLUMNS; row++)
        for (size_t i = 0; i < COLUMNS; i++)
            maxima[i] = m[row * COLUMNS + i] > maxima[i] ? m[row * COLUMNS + i] : maxima[i];
    magnitude bound = kth_largest(maxima, COLUMNS, k);
    return bound > 0 ? bound : 1;
}

/* What one thread works in: of a tile, and of the candidates. */
typedef struct workspace {
    magnitude *all, *some;
    uint32_t *index;
} workspace;

static size_t workspace_bytes(size_t tile)
{
    return dn_blocks(2 * tile * sizeof(magnitude) + (tile + 1) * sizeof(uint32_t), 64) * 64;
}

static workspace workspace_at(void *memory, size_t tile)
{
    magnitude *all = memory;
    return (workspace){all, all + tile, (uint32_t *)(all + 2 * tile)};
}

static void load(magnitude *to, const dn_real *x, size_t ld, dn_block tile)
{
    for (size_t i = 0; i < tile.rows; i++)
        for (size_t j = 0; j < tile.cols; j++)
            to[i * tile.cols + j] = magnitude_of(x[i * ld + j]);
}

static size_t collect(const workspace *r, size_t n, magnitude least)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        r->index[found] = (uint32_t)i;
        found += r->all[i] >= least;
    }
    for (size_t i = 0; i < found; i++)
        r->some[i] = r->all[r->index[i]];
    return found;
}

/* Leaves the indices of those taken in r->index; returns how many. */
static size_t select_largest(const workspace *r, size_t n, size_t k)
{
    size_t found = collect(r, n, lower_bound(r->all, n, k));
    if (found <= k)
        return found;
    magnitude least = kth_largest(r->some, found, k);
    size_t ties = k - count_from(r->some, found, least + 1), taken = 0;
    for (size_t i = 0; i < found; i++) {
        bool tie = r->some[i] == least;
        if (r->some[i] > least || (tie && ties > 0)) {
            ties -= tie;
            r->index[taken++] = r->index[i];
        }
    }
    return taken;
}

static void set_index(unsigned char *indices, size_t bytes, size_t place, uint32_t index)
{
    if (bytes == sizeof(uint16_t))
        ((uint16_t *)(void *)indices)[place] = (uint16_t)index;
    else
        ((uint32_t *)(void *)indices)[place] = index;
}

static size_t get_index(const unsigned char *indices, size_t bytes, size_t place)
{
    return bytes == sizeof(uint16_t) ? ((const uint16_t *)(const void *)indices)[place]
                                     : ((const uint32_t *)(const void *)indices)[place];
}

static void topk_tile(unsigned char *indices, dn_real *values, const dn_real *x, const dn_tiling *t,
                      size_t number, size_t k, double share, workspace r)
{
    dn_block tile = dn_tile(t, number);
    size_t bytes = dn_index_bytes(t);
    x += tile.row0 * t->cols + tile.col0;
    load(r.all, x, t->cols, tile);
    size_t n = tile.rows * tile.cols, taken = n > 0 ? select_largest(&r, n, dn_share_of(share, n)) : 0;
    for (size_t i = 0; i < taken; i++) {
        set_index(indices, bytes, number * k + i, r.index[i]);
        values[number * k + i] = x[r.index[i] / tile.cols * t->cols + r.index[i] % tile.cols];
    }
    for (size_t i = taken; i < k; i++) {
        set_index(indices, bytes, number * k + i, UINT32_MAX);
        values[number * k + i] = 0;
    }
}

void DN_CPU(topk)(dn_stream *s, dn_bytes *indices, dn_buf *values, const dn_buf *x, const dn_tiling *tiling,
                  double share)
{
    size_t tile = tiling->tile_rows * tiling->tile_cols, k = dn_share_of(share, tile), parts = (size_t)s->n_threads,
           n_tiles = dn_tiles(tiling);
    char *rooms = dn_scratch(s, parts * workspace_bytes(tile));
    if (!rooms)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n_tiles * tile > DN_CPU_BLOCK)
    for (size_t part = 0; part < parts; part++)
        for (size_t i = n_tiles * part / parts; i < n_tiles * (part + 1) / parts; i++)
            topk_tile(dn_host_bytes(indices), dn_host(values), dn_host(x), tiling, i, k, share,
                      workspace_at(rooms + part * workspace_bytes(tile), tile));
}

static void add_to_tile(dn_real *y, dn_real a, const unsigned char *indices, const dn_real *values,
                        const dn_tiling *t, size_t first, size_t end, size_t k)
{
    dn_block tile = dn_tile(t, first / k);
    size_t bytes = dn_index_bytes(t), size = tile.rows * tile.cols;
    y += tile.row0 * t->cols + tile.col0;
    for (size_t i = first; i < end; i++) {
        size_t index = get_index(indices, bytes, i);
        if (index < size)
            y[index / tile.cols * t->cols + index % tile.cols] += a * (values ? values[i] : 1);
    }
}

void DN_CPU(add_entries)(dn_stream *s, dn_buf *y, double a, const dn_bytes *indices, const dn_buf *values,
                         const dn_tiling *tiling, size_t k)
{
    size_t n = dn_tiles(tiling) * k;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t first = 0; first < n; first += k)
        add_to_tile(dn_host(y), (dn_real)a, dn_host_bytes(indices), values ? dn_host(values) : NULL, tiling,
                    first, first + k, k);
}

static size_t count_magnitudes(const dn_real *x, size_t n, magnitude least)
{
    magnitude count = 0;
    for (size_t i = 0; i < n; i++)
        count += magnitude_of(x[i]) >= least;
    return count;
}

/* Blocks count, and then know where each begins. */
void DN_CPU(take_above)(dn_stream *s, dn_bytes *indices, dn_buf *values, const dn_buf *x, size_t n,
                        double tau, size_t room)
{
    const dn_tiling whole = {1, n, 1, n};
    size_t bytes = dn_index_bytes(&whole), n_blocks = dn_blocks(n, DN_CPU_BLOCK);
    magnitude least = magnitude_of((dn_real)tau) > 0 ? magnitude_of((dn_real)tau) : 1; /* 0 is not taken */
    size_t *end = dn_scratch(s, (n_blocks + 1) * sizeof *end);
    if (!end)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t b = 0; b < n_blocks; b++)
        end[b] = count_magnitudes(dn_host(x) + b * DN_CPU_BLOCK, dn_min(n - b * DN_CPU_BLOCK, DN_CPU_BLOCK),
                                  least);
    for (size_t b = 1; b < n_blocks; b++)
        end[b] += end[b - 1];
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t b = 0; b < n_blocks; b++) {
        size_t place = b > 0 ? end[b - 1] : 0, last = dn_min(end[b], room);
        for (size_t i = b * DN_CPU_BLOCK; place < last; i++)
            if (magnitude_of(dn_host(x)[i]) >= least) {
                set_index(dn_host_bytes(indices), bytes, place, (uint32_t)i);
                dn_host(values)[place++] = dn_host(x)[i];
            }
    }
    for (size_t place = n_blocks > 0 ? end[n_blocks - 1] : 0; place < room; place++) {
        set_index(dn_host_bytes(indices), bytes, place, UINT32_MAX);
        dn_host(values)[place] = 0;
    }
}

static size_t split_block(dn_real *restrict q, dn_real *restrict x, size_t n, magnitude least)
{
    magnitude count = 0;
    for (size_t i = 0; i < n; i++) {
        dn_real own = x[i];
        bool above = magnitude_of(own) >= least;
        q[i] = above ? own : 0;
        x[i] = above ? 0 : own;
        count += above;
    }
    return count;
}

void DN_CPU(split_above)(dn_stream *s, uint64_t *host, dn_buf *q, dn_buf *x, size_t n, double tau)
{
    size_t count = 0;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) reduction(+ : count) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        count += split_block(dn_host(q) + at, dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK), magnitude_of((dn_real)tau));
    *host = count;
}

void DN_CPU(count_entries)(dn_stream *s, uint64_t *host, const dn_bytes *indices, const dn_tiling *tiling,
                           size_t k)
{
    size_t bytes = dn_index_bytes(tiling);
    *host = 0;
    for (size_t t = 0; t < dn_tiles(tiling); t++) {
        dn_block tile = dn_tile(tiling, t);
        for (size_t i = t * k; i < (t + 1) * k; i++)
            *host += get_index(dn_host_bytes(indices), bytes, i) < tile.rows * tile.cols;
    }
}

void DN_CPU(kth_magnitude)(dn_stream *s, double *host, const dn_buf *x, size_t n, size_t k)
{
    magnitude found = 0;
    for (int bit = MAGNITUDE_BITS - 1; bit >= 0; bit--) {
        magnitude higher = found | (magnitude)1 << bit;
        size_t count = 0;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) reduction(+ : count) if (n > DN_CPU_BLOCK)
        for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
            count += count_magnitudes(dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK), higher);
        if (count >= k)
            found = higher;
    }
    dn_real value;
    memcpy(&value, &found, sizeof value);
    *host = (double)value;
}

static void divide_block(dn_real *restrict x, const dn_real *restrict counts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] /= counts[i] > 1 ? counts[i] : 1;
}

void DN_CPU(divide_counts)(dn_stream *s, dn_buf *x, const dn_buf *counts, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        divide_block(dn_host(x) + at, dn_host(counts) + at, dn_min(n - at, DN_CPU_BLOCK));
}
