/*
 * Entries of largest magnitude, tile by tile. Magnitudes are compared as integers: a number's bits without its sign. Few
 * entries are looked at twice: what reaches a lower bound is collected, and among these the k-th largest is found by halving.
 *
 * The bound is somewhat less than the k-th largest of a tile before, as a rule the one above, so that most tiles are read once,
 * and tiles side by side in one pass along their rows: memory is read from its beginning to its end. (Of a matrix whose width is
 * a power of 2, the rows of a tile lie in the same few sets of a cache, and nothing that was asked for ahead would stay.) Where
 * too few reach the bound, or far too many, the tile is folded into columns, and the k-th largest of their maxima is one, as k
 * columns have an entry that is no smaller. Whichever it was, the same entries are taken.
 */
#include "compute/cpu/simd.h"

enum { MAGNITUDE_BITS = 8 * sizeof(dn_real_bits) - 1 };

/* The magnitude of all that is not a number. */
static const dn_real_bits not_a_number = ((dn_real_bits)(2 * DN_EXPONENT_BIAS + 1) << DN_FRACTION) + 1;

/* By what a bound is less than the k-th largest of a tile before: a sixteenth to an eighth. */
static const dn_real_bits margin = (dn_real_bits)1 << (DN_FRACTION - 3);

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
 * reach, or larger, and below `high`. */
static dn_real_bits threshold(const dn_real *x, size_t n, size_t k, size_t slack, dn_real_bits low, dn_real_bits high)
{
    while (high - low > 1) {
        dn_real_bits middle = low + (high - low) / 2;
        size_t count = count_reaching(x, n, middle);
        if (count >= k && count <= k + slack)
            return middle;
        *(count > k ? &low : &high) = middle;
    }
    return low;
}

static size_t in_groups(size_t n)
{
    return dn_blocks(n, DN_GROUP) * DN_GROUP;
}

/* ---- what reaches a bound ---- */

/* Of a group what reaches `least`, and where that stands, counted from `first`; returns how many. Three are written in any case:
 * few groups here have more, and whether one has one, two or three no processor foresees. */
static inline size_t take_of_group(dn_real *values, uint32_t *index, const dn_real *group, dn_real_bits least, size_t first)
{
    enum { ALWAYS = 3 };
    uint64_t word = dn_reaching(group, least);
    size_t n = (size_t)__builtin_popcountll(word), at;
    for (size_t i = 0; i < ALWAYS; i++, word &= word - 1) {
        at = (size_t)__builtin_ctzll(word | (uint64_t)1 << 63);
        values[i] = group[at];
        index[i] = (uint32_t)(first + at);
    }
    for (size_t i = ALWAYS; i < n; i++, word &= word - 1) {
        at = (size_t)__builtin_ctzll(word);
        values[i] = group[at];
        index[i] = (uint32_t)(first + at);
    }
    return n;
}

/* Entries of a tile that reach `least`, with room for `most` of them and one group more: beyond `most` nobody counts on. */
typedef struct candidates {
    dn_real *values;
    uint32_t *index;
    size_t n, most;
    dn_real_bits least; /* 0: there is no bound yet */
} candidates;

/* Without a bound there is nothing to collect, as if it were too much. */
static void begin(candidates *c)
{
    c->n = c->least > 0 ? 0 : c->most + 1;
}

/* Of x, whole groups. */
static inline void collect(candidates *c, const dn_real *x, size_t n, size_t first)
{
    size_t found = c->n;
    for (size_t at = 0; at < n && found <= c->most; at += DN_GROUP)
        found += take_of_group(c->values + found, c->index + found, x + at, c->least, first + at);
    c->n = found;
}

/* Whether the k largest of the tile are among them, or all that are not 0. */
static bool has_largest(const candidates *c, size_t k)
{
    return c->n <= c->most && (c->n >= k || c->least == 1);
}

/* Takes the k largest, if there are as many; returns how many. *bound: for another tile. */
static size_t take_largest(candidates *c, size_t k, dn_real_bits *bound)
{
    size_t taken = 0, n = in_groups(c->n);
    *bound = c->least;
    if (c->n <= k)
        return c->n;
    memset(c->values + c->n, 0, (n - c->n) * sizeof *c->values);
    dn_real_bits high = c->least + 4 * margin; /* beyond the k-th largest, where the tile before was like this one */
    if (high > not_a_number || count_reaching(c->values, n, high) >= k)
        high = not_a_number + 1;
    dn_real_bits least = threshold(c->values, n, k, 0, c->least, high);
    *bound = least > margin ? least - margin : 1;
    size_t ties = count_reaching(c->values, n, least) - k;
    for (size_t i = c->n; ties > 0; i--) /* too many, if any: those of higher index are not taken */
        if (magnitude_of(c->values[i - 1]) == least) {
            c->values[i - 1] = 0;
            ties--;
        }
    for (size_t at = 0; at < n; at += DN_GROUP)
        for (uint64_t word = dn_reaching(c->values + at, least); word; word &= word - 1) {
            size_t i = at + (size_t)__builtin_ctzll(word);
            c->values[taken] = c->values[i];
            c->index[taken++] = c->index[i];
        }
    return taken;
}

/* ---- tiles ---- */

/* What one thread works in: a tile, filled up with zeros to whole groups, with all its entries as candidates, and the candidates
 * of tiles side by side. */
typedef struct workspace {
    dn_real *tile;
    candidates whole, *side;
} workspace;

/* Numbers of a tile and of a list, and lists. */
typedef struct room_sizes {
    size_t tile, list, n_lists;
} room_sizes;

/* A list has an odd number of lines: else those of all tiles would lie in the same few sets of a cache, too. */
static room_sizes room_for(const dn_tiling *t, size_t k, size_t parts)
{
    enum { NUMBERS = 1 << 15, LINE = 16 };
    size_t tile = t->tile_rows * t->tile_cols, list = (dn_blocks(dn_min(4 * k, tile) + DN_GROUP, LINE) | 1) * LINE;
    return (room_sizes){in_groups(tile), list,
                        dn_max(1, dn_min(NUMBERS / list, dn_min(dn_tiles_across(t), dn_blocks(dn_tiles(t), parts))))};
}

static size_t workspace_bytes(const room_sizes *r)
{
    size_t numbers = 2 * r->tile + DN_GROUP + r->n_lists * r->list, ids = r->tile + DN_GROUP + r->n_lists * r->list;
    return in_groups(r->n_lists * sizeof(candidates) + numbers * sizeof(dn_real) + ids * sizeof(uint32_t));
}

static workspace workspace_at(void *memory, const room_sizes *r)
{
    candidates *side = memory;
    dn_real *numbers = (dn_real *)(void *)(side + r->n_lists), *values = numbers + r->tile;
    uint32_t *index = (uint32_t *)(void *)(values + r->tile + DN_GROUP + r->n_lists * r->list);
    workspace w = {numbers, {.values = values, .index = index, .most = r->tile}, side};
    for (size_t i = 0; i < r->n_lists; i++)
        side[i] = (candidates){.values = values + r->tile + DN_GROUP + i * r->list,
                               .index = index + r->tile + DN_GROUP + i * r->list,
                               .most = r->list - DN_GROUP};
    return w;
}

static void load(const workspace *w, const dn_real *x, const dn_tiling *t, dn_block tile)
{
    size_t n = tile.rows * tile.cols;
    for (size_t row = 0; row < tile.rows; row++)
        memcpy(w->tile + row * tile.cols, x + (tile.row0 + row) * t->cols + tile.col0, tile.cols * sizeof *x);
    memset(w->tile + n, 0, (in_groups(n) - n) * sizeof *x);
}

static void take_maxima(dn_real *restrict x, const dn_real *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dn_real_bits a = dn_bits_of(x[i]) & DN_MAGNITUDE, b = dn_bits_of(y[i]) & DN_MAGNITUDE;
        x[i] = dn_real_of(a > b ? a : b);
    }
}

/* Of the k-th largest of a tile of n, if that is not 0, of which nothing is taken. Of four times as many columns' maxima as are
 * wanted, so that few entries are no smaller. */
static dn_real_bits lower_bound(const workspace *w, size_t n, size_t k)
{
    const dn_real *maxima = w->tile;
    size_t columns = DN_GROUP;
    while (columns < 4 * k)
        columns *= 2;
    if (2 * columns <= n) {
        dn_real *folded = w->whole.values;
        memcpy(folded, w->tile, columns * sizeof *folded);
        for (size_t at = columns; at + columns <= n; at += columns)
            take_maxima(folded, w->tile + at, columns);
        maxima = folded;
        n = columns;
    }
    return threshold(maxima, in_groups(n), k, k / 8, 1, not_a_number + 1);
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

/* What topk writes, and of what. */
typedef struct topk_job {
    unsigned char *indices;
    dn_real *values;
    const dn_real *x;
    const dn_tiling *tiling;
    size_t k; /* places of a tile */
    double share;
} topk_job;

/* c: its candidates, if they were collected; then with a bound for the tile below. */
static void topk_tile(const topk_job *job, size_t number, workspace *w, candidates *c)
{
    const dn_block tile = dn_tile(job->tiling, number);
    size_t n = tile.rows * tile.cols, k = dn_share_of(job->share, n), bytes = dn_index_bytes(job->tiling);
    candidates *from = c;
    if (!has_largest(c, k)) {
        load(w, job->x, job->tiling, tile);
        from = &w->whole;
        from->least = lower_bound(w, n, k);
        begin(from);
        collect(from, w->tile, in_groups(n), 0);
    }
    size_t taken = take_largest(from, k, &c->least), place = number * job->k;
    for (size_t i = 0; i < taken; i++)
        set_index(job->indices, bytes, place + i, from->index[i]);
    memcpy(job->values + place, from->values, taken * sizeof *job->values);
    clear_places(job->indices, bytes, job->values, place + taken, place + job->k);
}

/* n tiles, the first of which is a corner, of which each row has whole groups; the numbers a few rows below come nearer
 * meanwhile. */
static void collect_side_by_side(candidates *side, size_t n, const dn_real *x, const dn_tiling *t, dn_block corner)
{
    const size_t cols = t->tile_cols, below = dn_blocks(DN_AHEAD, n * cols) * t->cols;
    x += corner.row0 * t->cols + corner.col0;
    for (size_t row = 0; row < corner.rows; row++)
        for (size_t i = 0; i < n; i++) {
            const dn_real *from = x + row * t->cols + i * cols;
            dn_ask_for(from + below, cols);
            collect(&side[i], from, cols, row * cols);
        }
}

/* n tiles side by side; all but the last are as wide as tiles are. */
static void topk_strip(const topk_job *job, size_t first, size_t n, workspace *w)
{
    const dn_tiling *t = job->tiling;
    size_t n_whole = t->tile_cols % DN_GROUP ? 0 : dn_tile(t, first + n - 1).cols == t->tile_cols ? n : n - 1;
    for (size_t i = 0; i < n; i++)
        begin(&w->side[i]);
    if (n_whole > 0)
        collect_side_by_side(w->side, n_whole, job->x, t, dn_tile(t, first));
    for (size_t i = 0; i < n; i++) {
        const dn_block tile = dn_tile(t, first + i);
        if (i >= n_whole) {
            load(w, job->x, t, tile);
            collect(&w->side[i], w->tile, in_groups(tile.rows * tile.cols), 0);
        }
        topk_tile(job, first + i, w, &w->side[i]);
    }
}

/* Before the first strip: the bound of its first tile is for all of it. */
static void find_bounds(const topk_job *job, size_t first, size_t n, workspace *w)
{
    begin(&w->side[0]);
    topk_tile(job, first, w, &w->side[0]);
    for (size_t i = 1; i < n; i++)
        w->side[i].least = w->side[0].least;
}

void DN_CPU(topk)(dn_stream *s, dn_bytes *indices, dn_buf *values, const dn_buf *x, const dn_tiling *tiling,
                  double share)
{
    const size_t k = dn_share_of(share, tiling->tile_rows * tiling->tile_cols), parts = (size_t)s->n_threads,
                 n_tiles = dn_tiles(tiling), across = dn_tiles_across(tiling);
    const room_sizes r = room_for(tiling, k, parts);
    const topk_job job = {dn_host_bytes(indices), dn_host(values), dn_host(x), tiling, k, share};
    const size_t strips = dn_blocks(across, r.n_lists), n_strips = n_tiles / dn_max(across, 1) * strips;
    char *memory = dn_scratch(s, parts * workspace_bytes(&r));
    if (!memory)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n_tiles * r.tile > DN_CPU_BLOCK)
    for (size_t part = 0; part < parts; part++) {
        workspace w = workspace_at(memory + part * workspace_bytes(&r), &r);
        const size_t first_strip = n_strips * part / parts, end = n_strips * (part + 1) / parts;
        for (size_t i = first_strip; i < end; i++) {
            size_t first = i / strips * across + i % strips * r.n_lists, n = dn_min(r.n_lists, across - i % strips * r.n_lists);
            if (i == first_strip && n > 1)
                find_bounds(&job, first, r.n_lists, &w);
            topk_strip(&job, first, n, &w);
        }
    }
}

/* The row of an entry of a tile with 1 / inverse columns, without a division: its index and a half, over the columns, is never so
 * close to a whole number that rounding could reach it. */
static inline size_t row_of(size_t index, double inverse)
{
    return (size_t)(((double)index + 0.5) * inverse);
}

/* What is added to when its entries are: y, and memory for those outside of their tiles. */
typedef struct target {
    dn_real *y, *nowhere;
    const dn_tiling *tiling;
    size_t k; /* places of a tile */
} target;

/* Where in y entries first..end-1 of all tiles' [tiles, k] belong; memory is asked for it. */
static inline void find_places(dn_real **places, const target *to, const unsigned char *indices, size_t bytes, size_t first, size_t end)
{
    for (size_t i = first; i < end;) {
        const dn_block tile = dn_tile(to->tiling, i / to->k);
        dn_real *corner = to->y + tile.row0 * to->tiling->cols + tile.col0;
        double inverse = 1 / (double)tile.cols;
        for (size_t stop = dn_min(end, (i / to->k + 1) * to->k); i < stop; i++) {
            size_t given = get_index(indices, bytes, i), index = given < tile.rows * tile.cols ? given : 0;
            size_t row = tile.rows > 1 ? row_of(index, inverse) : 0;
            dn_real *place = corner + row * to->tiling->cols + (index - row * tile.cols);
            places[i - first] = given == index ? place : to->nowhere;
            __builtin_prefetch(places[i - first], 1);
        }
    }
}

/* Some at a time, each lot when the places of the next were found: memory has had time to come nearer. */
static inline void add_run(const target *to, dn_real a, const unsigned char *indices, size_t bytes, const dn_real *values,
                           size_t first, size_t end)
{
    enum { LOT = 64 };
    dn_real *places[2][LOT];
    for (size_t at = first, lot = 0; at < end + LOT; at += LOT, lot = 1 - lot) {
        find_places(places[lot], to, indices, bytes, at, dn_min(at + LOT, end));
        for (size_t i = 0; at > first && i < LOT && at - LOT + i < end; i++)
            *places[1 - lot][i] += a * (values ? values[at - LOT + i] : 1);
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
        dn_real nowhere = 0;
        const target to = {dn_host(y), &nowhere, tiling, k};
        size_t end = dn_min(first + PIECE, entries);
        if (bytes == sizeof(uint16_t))
            add_run(&to, (dn_real)a, dn_host_bytes(indices), sizeof(uint16_t), from, first, end);
        else
            add_run(&to, (dn_real)a, dn_host_bytes(indices), sizeof(uint32_t), from, first, end);
    }
}

/* Of a block what reaches the threshold, with some room for what take_of_group writes in any case. */
typedef struct block_entries {
    size_t count;
    uint32_t index[DN_CPU_BLOCK + DN_GROUP];
    dn_real value[DN_CPU_BLOCK + DN_GROUP];
} block_entries;

/* x [n], numbered from `first` */
static void find_in_block(block_entries *f, const dn_real *x, size_t n, size_t first, dn_real_bits least)
{
    dn_real room[DN_GROUP];
    size_t count = 0;
    for (size_t at = 0; at < n; at += DN_GROUP) {
        dn_ask_for(x + at + DN_AHEAD, DN_GROUP);
        count += take_of_group(f->value + count, f->index + count, dn_group(x + at, n - at, room), least, first + at);
    }
    f->count = count;
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
