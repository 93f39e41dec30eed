/* Reference: entries of largest magnitude, chosen by counting for each how many come before it. */
#include "compute/ref/ref.h"

#include <math.h>
#include <string.h>

static bool is_larger(double a, double b)
{
    return isnan(a) ? !isnan(b) : fabs(a) > fabs(b);
}

static double at(const dn_buf *x, const dn_tiling *t, dn_block tile, size_t index)
{
    return (double)dn_host(x)[(tile.row0 + index / tile.cols) * t->cols + tile.col0 + index % tile.cols];
}

/* Whether fewer than k entries come before it. */
static bool is_chosen(const dn_buf *x, const dn_tiling *t, dn_block tile, size_t index, size_t k)
{
    const double value = at(x, t, tile, index);
    size_t before = 0;
    for (size_t row = 0; row < tile.rows && before < k; row++) {
        const dn_real *others = dn_host(x) + (tile.row0 + row) * t->cols + tile.col0;
        for (size_t col = 0; col < tile.cols && before < k; col++) {
            double other = (double)others[col];
            before += is_larger(other, value) || (!is_larger(value, other) && row * tile.cols + col < index);
        }
    }
    return before < k;
}

static void set_index(dn_bytes *indices, const dn_tiling *t, size_t place, size_t index)
{
    uint16_t narrow = (uint16_t)index;
    uint32_t wide = (uint32_t)index;
    size_t bytes = dn_index_bytes(t);
    memcpy(dn_host_bytes(indices) + place * bytes, bytes == sizeof narrow ? (void *)&narrow : &wide, bytes);
}

static size_t get_index(const dn_bytes *indices, const dn_tiling *t, size_t place)
{
    uint16_t narrow;
    uint32_t wide;
    size_t bytes = dn_index_bytes(t);
    memcpy(bytes == sizeof narrow ? (void *)&narrow : &wide, dn_host_bytes(indices) + place * bytes, bytes);
    return bytes == sizeof narrow ? narrow : wide;
}

void dn_ref_topk(dn_stream *s, dn_bytes *indices, dn_buf *values, const dn_buf *x, const dn_tiling *tiling,
                 double share)
{
    size_t k = dn_share_of(share, tiling->tile_rows * tiling->tile_cols);
    for (size_t i = 0; i < dn_tiles(tiling); i++) {
        dn_block tile = dn_tile(tiling, i);
        size_t place = i * k, wanted = dn_share_of(share, tile.rows * tile.cols);
        for (size_t index = 0; index < tile.rows * tile.cols; index++) {
            double value = at(x, tiling, tile, index);
            if (value != 0 && is_chosen(x, tiling, tile, index, wanted)) {
                set_index(indices, tiling, place, index);
                dn_host(values)[place++] = (dn_real)value;
            }
        }
        for (; place < (i + 1) * k; place++) {
            set_index(indices, tiling, place, SIZE_MAX);
            dn_host(values)[place] = 0;
        }
    }
}

void dn_ref_add_entries(dn_stream *s, dn_buf *y, double a, const dn_bytes *indices, const dn_buf *values,
                        const dn_tiling *tiling, size_t k)
{
    for (size_t i = 0; i < dn_tiles(tiling) * k; i++) {
        dn_block tile = dn_tile(tiling, i / k);
        size_t index = get_index(indices, tiling, i);
        if (index >= tile.rows * tile.cols)
            continue;
        size_t row = tile.row0 + index / tile.cols, col = tile.col0 + index % tile.cols;
        dn_host(y)[row * tiling->cols + col] += (dn_real)a * (values ? dn_host(values)[i] : 1);
    }
}

void dn_ref_take_entries(dn_stream *s, dn_buf *values, const dn_buf *x, const dn_bytes *indices, const dn_tiling *tiling, size_t k)
{
    for (size_t i = 0; i < dn_tiles(tiling) * k; i++) {
        dn_block tile = dn_tile(tiling, i / k);
        size_t index = get_index(indices, tiling, i);
        dn_host(values)[i] = index < tile.rows * tile.cols ? (dn_real)at(x, tiling, tile, index) : 0;
    }
}

void dn_ref_take_above(dn_stream *s, dn_bytes *indices, dn_buf *values, const dn_buf *x, size_t n, double tau,
                       size_t room)
{
    const dn_tiling whole = {1, n, 1, n};
    size_t place = 0;
    for (size_t i = 0; i < n && place < room; i++) {
        double value = (double)dn_host(x)[i];
        if (value != 0 && !(fabs(value) < (double)(dn_real)tau)) {
            set_index(indices, &whole, place, i);
            dn_host(values)[place++] = (dn_real)value;
        }
    }
    for (; place < room; place++) {
        set_index(indices, &whole, place, SIZE_MAX);
        dn_host(values)[place] = 0;
    }
}

void dn_ref_split_above(dn_stream *s, uint64_t *host, dn_buf *q, dn_buf *x, size_t n, double tau)
{
    *host = 0;
    for (size_t i = 0; i < n; i++) {
        dn_real *from = &dn_host(x)[i];
        bool above = !(fabs((double)*from) < (double)(dn_real)tau);
        dn_host(q)[i] = above ? *from : 0;
        *from = above ? 0 : *from;
        *host += above;
    }
}

void dn_ref_count_entries(dn_stream *s, uint64_t *host, const dn_bytes *indices, const dn_tiling *tiling,
                          size_t k)
{
    *host = 0;
    for (size_t i = 0; i < dn_tiles(tiling) * k; i++) {
        dn_block tile = dn_tile(tiling, i / k);
        *host += get_index(indices, tiling, i) < tile.rows * tile.cols;
    }
}

void dn_ref_kth_magnitude(dn_stream *s, double *host, const dn_buf *x, size_t n, size_t k)
{
    const dn_tiling whole = {1, n, 1, n};
    for (size_t i = 0; i < n; i++)
        if (is_chosen(x, &whole, dn_tile(&whole, 0), i, k) &&
            (k == 1 || !is_chosen(x, &whole, dn_tile(&whole, 0), i, k - 1)))
            *host = fabs((double)dn_host(x)[i]);
}

void dn_ref_divide_counts(dn_stream *s, dn_buf *x, const dn_buf *counts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (dn_host(counts)[i] > 1)
            dn_host(x)[i] = (dn_real)((double)dn_host(x)[i] / (double)dn_host(counts)[i]);
}
