/*
 * Entries of largest magnitude, tile by tile. Magnitudes are compared as integers: a number's bits without its sign. Few
 * entries are looked at twice: what reaches a lower bound is collected, and among these the k-th largest is found bit by bit. The
 * bound is somewhat less than the k-th largest of the tile before, so that most tiles are read once, where they lie. Where too few
 * reach it, the tile is folded into columns, and the k-th largest of their maxima is one, as k columns have an entry that is no
 * smaller. Whichever it was, the same entries are taken.
 */
#include "compute/cpu/simd.h"

enum { MAGNITUDE_BITS = 8 * sizeof(dn_real_bits) - 1 };

/* The magnitude of all that is not a number. */
static const dn_real_bits not_a_number = ((dn_real_bits)(2 * DN_EXPONENT_BIAS + 1) << DN_FRACTION) + 1;

static dn_real_bits magnitude_of(dn_real x)
{
    return dn_min(dn_bits_of(x) & DN_MAGNITUDE, not_a_number);
}

/* x: whole groups */
static size_t count_reaching(const dn_real *x, size_t n, dn_real_bits least)
{
    size_t count = 0;
    for (size_t at = 0; at < n; at += DN_GROUP)
        count += (size_t)__builtin_popcountll(dn_reaching(x + at, least));
    return count;
}

/* The same of x [n]. */
static size_t count_in_block(const dn_real *x, size_t n, dn_real_bits least)
{
    dn_real room[DN_GROUP];
    size_t whole = n / DN_GROUP * DN_GROUP;
    return count_reaching(x, whole, least) + (whole < n ? count_reaching(dn_group(x + whole, n - whole, room), DN_GROUP, least) : 0);
}

/* A magnitude that k to k + slack of x, whole groups, reach; where there is none, that of the k-th largest. That is `low`, which k
 * reach, or larger. */
static dn_real_bits threshold(const dn_real *x, size_t n, size_t k, size_t slack, dn_real_bits low)
{
    for (dn_real_bits high = not_a_number + 1; high - low > 1;) {
        dn_real_bits middle = low + (high - low) / 2;
        size_t count = count_reaching(x, n, middle);
        if (count >= k && count <= k + slack)
            return middle;
        *(count > k ? &low : &high) = middle;
    }
    return low;
}

/* What one thread works in: a tile, filled up with zeros to whole groups, and the candidates. */
typedef struct workspace {
    dn_real *all, *some;
    uint32_t *index;
} workspace;

static size_t in_groups(size_t n)
{
    return dn_blocks(n, DN_GROUP) * DN_GROUP;
}

static size_t workspace_bytes(size_t tile)
{
    return in_groups(tile) * (2 * sizeof(dn_real) + sizeof(uint32_t)) + DN_GROUP * sizeof(uint32_t);
}

static workspace workspace_at(void *memory, size_t tile)
{
    dn_real *all = memory;
    return (workspace){all, all + in_groups(tile), (uint32_t *)(all + 2 * in_groups(tile))};
}

static void load(const workspace *r, const dn_real *x, size_t ld, dn_block tile)
{
    size_t n = tile.rows * tile.cols;
    for (size_t i = 0; i < tile.rows; i++)
        memcpy(r->all + i * tile.cols, x + i * ld, tile.cols * sizeof *x);
    memset(r->all + n, 0, (in_groups(n) - n) * sizeof *x);
}

static void take_maxima(dn_real *restrict x, const dn_real *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dn_real_bits a = dn_bits_of(x[i]) & DN_MAGNITUDE, b = dn_bits_of(y[i]) & DN_MAGNITUDE;
        x[i] = dn_real_of(a > b ? a : b);
    }
}

/* Of the k-th largest, if that is not 0, of which nothing is taken. Of four times as many columns' maxima as are wanted, so that
 * few entries are no smaller. */
static dn_real_bits lower_bound(const workspace *r, size_t n, size_t k)
{
    const dn_real *maxima = r->all;
    size_t columns = DN_GROUP;
    while (columns < 4 * k)
        columns *= 2;
    if (2 * columns <= n) {
        memcpy(r->some, r->all, columns * sizeof *r->some);
        for (size_t at = columns; at + columns <= n; at += columns)
            take_maxima(r->some, r->all + at, columns);
        maxima = r->some;
        n = columns;
    }
    return threshold(maxima, in_groups(n), k, k / 8, 1);
}

/* Which bits a word has, counted from `first`; returns how many. Three are written in any case: few words here have more, and how
 * many have one, two or three no processor foresees. */
static inline size_t bits_of_word(uint32_t *to, uint64_t word, size_t first)
{
    enum { ALWAYS = 3 };
    size_t n = (size_t)__builtin_popcountll(word);
    for (size_t i = 0; i < ALWAYS; i++, word &= word - 1)
        to[i] = (uint32_t)(first + (size_t)__builtin_ctzll(word | (uint64_t)1 << 63));
    for (size_t i = ALWAYS; i < n; i++, word &= word - 1)
        to[i] = (uint32_t)(first + (size_t)__builtin_ctzll(word));
    return n;
}

/* The row of an entry of a tile with 1 / inverse columns, without a division: its index and a half, over the columns, is never so
 * close to a whole number that rounding could reach it. */
static inline size_t row_of(size_t index, double inverse)
{
    return (size_t)(((double)index + 0.5) * inverse);
}

/* A tile in memory, of which each row has whole groups of numbers. */
typedef struct tile_rows {
    const dn_real *x;
    size_t rows, cols, ld;
    const dn_real *next; /* the next tile, which comes nearer while this one is read */
} tile_rows;

/* Leaves what reaches `least` in r->some, and where it stood in r->index; returns how many. */
static size_t collect(const workspace *r, const tile_rows *t, dn_real_bits least)
{
    size_t found = 0;
    double inverse = 1 / (double)t->cols;
    for (size_t row = 0; row < t->rows; row++)
        for (size_t at = 0; at < t->cols; at += DN_GROUP) {
            dn_ask_for(t->next + row * t->ld + at, DN_GROUP);
            found += bits_of_word(r->index + found, dn_reaching(t->x + row * t->ld + at, least), row * t->cols + at);
        }
    for (size_t i = 0; i < found; i++) {
        size_t row = row_of(r->index[i], inverse);
        r->some[i] = t->x[row * t->ld + (r->index[i] - row * t->cols)];
    }
    return found;
}

/* Leaves those taken in r->some and r->index; returns how many. *guess: a bound for this tile, or 0; then one for the next. */
static size_t select_largest(const workspace *r, const tile_rows *t, dn_block tile, size_t k, dn_real_bits *guess)
{
    dn_real_bits low = *guess;
    size_t found = low > 0 ? collect(r, t, low) : 0, taken = 0;
    if (found < k && low != 1) {
        if (t->x != r->all)
            load(r, t->x, t->ld, tile);
        low = lower_bound(r, tile.rows * tile.cols, k);
        found = collect(r, t, low);
    }
    if (found <= k)
        return found;
    memset(r->some + found, 0, (in_groups(found) - found) * sizeof *r->some);
    dn_real_bits least = threshold(r->some, in_groups(found), k, 0, low);
    *guess = dn_max(least - ((dn_real_bits)1 << (DN_FRACTION - 3)), 1); /* by a sixteenth to an eighth less */
    size_t ties = count_reaching(r->some, in_groups(found), least) - k;
    for (size_t i = found; ties > 0; i--) /* too many, if any: those of higher index are not taken */
        if (magnitude_of(r->some[i - 1]) == least) {
            r->some[i - 1] = 0;
            ties--;
        }
    for (size_t at = 0; at < found; at += DN_GROUP)
        for (uint64_t word = dn_reaching(r->some + at, least); word; word &= word - 1) {
            size_t i = at + (size_t)__builtin_ctzll(word);
            r->some[taken] = r->some[i];
            r->index[taken++] = r->index[i];
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

/* Nothing in the places from `first` on. */
static void clear_places(unsigned char *indices, size_t bytes, dn_real *values, size_t first, size_t end)
{
    if (first >= end)
        return;
    memset(indices + first * bytes, 0xff, (end - first) * bytes);
    memset(values + first, 0, (end - first) * sizeof *values);
}

static const dn_real *corner_of(const dn_real *x, const dn_tiling *t, dn_block tile)
{
    return x + tile.row0 * t->cols + tile.col0;
}

static void topk_tile(unsigned char *indices, dn_real *values, const dn_real *x, const dn_tiling *t,
                      size_t number, size_t k, double share, dn_real_bits *guess, workspace r)
{
    dn_block tile = dn_tile(t, number);
    size_t n = tile.rows * tile.cols, bytes = dn_index_bytes(t);
    const dn_real *next = number + 1 < dn_tiles(t) ? corner_of(x, t, dn_tile(t, number + 1)) : x;
    tile_rows rows = {corner_of(x, t, tile), tile.rows, tile.cols, t->cols, next};
    if (tile.cols % DN_GROUP) {
        load(&r, rows.x, t->cols, tile);
        rows = (tile_rows){r.all, 1, in_groups(n), 0, next};
    }
    size_t taken = select_largest(&r, &rows, tile, dn_share_of(share, n), guess);
    for (size_t i = 0; i < taken; i++)
        set_index(indices, bytes, number * k + i, r.index[i]);
    memcpy(values + number * k, r.some, taken * sizeof *values);
    clear_places(indices, bytes, values, number * k + taken, (number + 1) * k);
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
    for (size_t part = 0; part < parts; part++) {
        dn_real_bits guess = 0;
        for (size_t i = n_tiles * part / parts; i < n_tiles * (part + 1) / parts; i++)
            topk_tile(dn_host_bytes(indices), dn_host(values), dn_host(x), tiling, i, k, share, &guess,
                      workspace_at(rooms + part * workspace_bytes(tile), tile));
    }
}

/* Entries first..end-1 of all tiles' [tiles, k], each added when memory was asked for AHEAD later ones,
 * across tiles. */
static inline void add_run(dn_real *y, dn_real a, const unsigned char *indices, size_t bytes,
                           const dn_real *values, const dn_tiling *t, size_t k, size_t first, size_t end)
{
    enum { AHEAD = 128 };
    dn_real *place[AHEAD] = {NULL}, *corner = NULL;
    dn_block tile = {0};
    double inverse = 0;
    for (size_t i = first, next = first; i < end + AHEAD; i++) {
        dn_real **here = &place[i % AHEAD];
        if (*here)
            **here += a * (values ? values[i - AHEAD] : 1);
        *here = NULL;
        if (i >= end)
            continue;
        if (i == next) {
            tile = dn_tile(t, i / k);
            corner = y + tile.row0 * t->cols + tile.col0;
            inverse = 1 / (double)tile.cols;
            next = (i / k + 1) * k;
        }
        size_t index = get_index(indices, bytes, i), row = row_of(index, inverse);
        if (index < tile.rows * tile.cols) {
            *here = corner + row * t->cols + (index - row * tile.cols);
            __builtin_prefetch(*here, 1);
        }
    }
}

void DN_CPU(add_entries)(dn_stream *s, dn_buf *y, double a, const dn_bytes *indices, const dn_buf *values,
                         const dn_tiling *tiling, size_t k)
{
    enum { PIECE = 4096 };
    size_t bytes = dn_index_bytes(tiling), entries = dn_tiles(tiling) * k;
    const dn_real *from = values ? dn_host(values) : NULL;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (entries > PIECE)
    for (size_t first = 0; first < entries; first += PIECE) {
        size_t end = dn_min(first + PIECE, entries);
        if (bytes == sizeof(uint16_t))
            add_run(dn_host(y), (dn_real)a, dn_host_bytes(indices), sizeof(uint16_t), from, tiling, k, first,
                    end);
        else
            add_run(dn_host(y), (dn_real)a, dn_host_bytes(indices), sizeof(uint32_t), from, tiling, k, first,
                    end);
    }
}

/* Of a block what reaches the threshold, with some room for what bits_of_word writes in any case. */
typedef struct block_entries {
    size_t count;
    uint32_t index[DN_CPU_BLOCK + DN_GROUP];
    dn_real value[DN_CPU_BLOCK];
} block_entries;

/* x [n], numbered from `first` */
static void find_in_block(block_entries *f, const dn_real *x, size_t n, size_t first, dn_real_bits least)
{
    dn_real room[DN_GROUP];
    f->count = 0;
    for (size_t at = 0; at < n; at += DN_GROUP) {
        dn_ask_for(x + at + DN_AHEAD, DN_GROUP);
        f->count +=
            bits_of_word(f->index + f->count, dn_reaching(dn_group(x + at, n - at, room), least), first + at);
    }
    for (size_t i = 0; i < f->count; i++)
        f->value[i] = x[f->index[i] - first];
}

static void store_found(unsigned char *indices, size_t bytes, dn_real *values, const block_entries *f,
                        size_t place, size_t n)
{
    for (size_t i = 0; i < n; i++)
        set_index(indices, bytes, place + i, f->index[i]);
    memcpy(values + place, f->value, n * sizeof *values);
}

/* Some blocks at once, which a cache holds, find what they take, and then know where each begins. */
void DN_CPU(take_above)(dn_stream *s, dn_bytes *indices, dn_buf *values, const dn_buf *x, size_t n,
                        double tau, size_t room)
{
    enum { AT_ONCE = 16 };
    const dn_tiling whole = {1, n, 1, n};
    size_t bytes = dn_index_bytes(&whole), n_blocks = dn_blocks(n, DN_CPU_BLOCK), place[AT_ONCE + 1] = {0};
    dn_real_bits least = dn_max(magnitude_of((dn_real)tau), 1); /* 0 is not taken */
    block_entries *of_blocks = dn_scratch(s, AT_ONCE * sizeof *of_blocks);
    if (!of_blocks)
        return;
    for (size_t first = 0; first < n_blocks && place[0] < room; first += AT_ONCE) {
        size_t count = dn_min(n_blocks - first, AT_ONCE);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
        for (size_t i = 0; i < count; i++) {
            size_t at = (first + i) * DN_CPU_BLOCK;
            find_in_block(&of_blocks[i], dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK), at, least);
        }
        for (size_t i = 0; i < count; i++)
            place[i + 1] = dn_min(place[i] + of_blocks[i].count, room);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
        for (size_t i = 0; i < count; i++)
            store_found(dn_host_bytes(indices), bytes, dn_host(values), &of_blocks[i], place[i],
                        place[i + 1] - place[i]);
        place[0] = place[count];
    }
    clear_places(dn_host_bytes(indices), bytes, dn_host(values), place[0], room);
}

static size_t split_block(dn_real *restrict q, dn_real *restrict x, size_t n, dn_real_bits least)
{
    dn_real_bits count = 0;
    for (size_t i = 0; i < n; i++) {
        dn_real own = x[i];
        bool above = (dn_bits_of(own) & DN_MAGNITUDE) >= least;
        q[i] = above ? own : 0;
        x[i] = above ? 0 : own;
        count += above;
    }
    return (size_t)count;
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
    dn_real_bits found = 0;
    for (int bit = MAGNITUDE_BITS - 1; bit >= 0; bit--) {
        dn_real_bits higher = found | (dn_real_bits)1 << bit;
        size_t count = 0;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) reduction(+ : count) if (n > DN_CPU_BLOCK)
        for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
            count += count_in_block(dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK), higher);
        if (count >= k)
            found = higher;
    }
    *host = (double)dn_real_of(found);
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
