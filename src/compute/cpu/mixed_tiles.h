/* The micro-kernel in tiles: 32 rows by 32 columns of C are four of them, 0 to 3; two, 4 and 5, hold numbers of A, two of B. */
#ifndef COMPUTE_CPU_MIXED_TILES_H
#define COMPUTE_CPU_MIXED_TILES_H

#include "compute/cpu/mixed.h"
#include "compute/cpu/tiles.h"

enum { WIDE = 2 * TILE, HIGH = 2 * TILE, ACROSS = 0, GROUPS_APART = TILE * TILE };

/* Where row i of A is: tiles are whole, one behind the other along a row. */
INLINE size_t row_of(size_t i)
{
    return i / TILE * TILE * DEEP + i % TILE * TILE;
}

/* Rows of a block of C that comes next, while there is time: they lie apart, where the processor does not foresee them. */
INLINE void ask_for(const dn_real *c, size_t ldc, size_t row, size_t end)
{
    for (; row < end; row++) {
        __builtin_prefetch(c + row * ldc, 1);
        __builtin_prefetch(c + row * ldc + TILE, 1);
    }
}

/* Below and beside the rows and columns that are there A and B are 0, and C is in a place of its own. */
static void multiply_block(const part *x, size_t i, size_t rows)
{
    dn_real edge[HIGH * WIDE], *c = x->c + i * x->ldc;
    const bool whole = rows == HIGH && x->columns == WIDE;
    dn_real *to = whole ? c : edge;
    const uint32_t *a = x->a + row_of(i);
    const dn_real *next = i + HIGH < TALL ? c + HIGH * x->ldc : x->c + WIDE;
    size_t ld = whole ? x->ldc : WIDE;
    if (!whole)
        memset(edge, 0, sizeof edge);
    for (size_t r = 0; r < rows && !whole && x->add; r++)
        memcpy(edge + r * WIDE, c + r * x->ldc, x->columns * sizeof *c);
    begin_sums(x->add, to, ld);
    for (size_t l = 0; l < x->pairs; l += TILE) {
        ask_for(next, x->ldc, HIGH * l / x->pairs, HIGH * (l + TILE) / x->pairs);
        load_tile(4, a + l * TILE, TILE);
        load_tile(6, x->panel + l * WIDE, WIDE);
        load_tile(7, x->panel + l * WIDE + TILE, WIDE);
        add_product(0, 4, 6);
        add_product(1, 4, 7);
        load_tile(5, a + TILE * DEEP + l * TILE, TILE);
        add_product(2, 5, 6);
        add_product(3, 5, 7);
    }
    end_sums(to, ld);
    for (size_t r = 0; r < rows && !whole; r++)
        memcpy(c + r * x->ldc, edge + r * WIDE, x->columns * sizeof *c);
}

static void multiply_panel(const part *x, dn_trans ta, size_t rows)
{
    for (size_t i = 0; i < rows; i += HIGH)
        multiply_block(x, i, dn_min(rows - i, (size_t)HIGH));
}

/* ---- its limit: six tiles of sums, of which one is always ready; a product is 32 rounds ---- */

enum { SUMS = 6, GROUP = SUMS * TILE * TILE };

/* Tiles 6 and 7 of factors: in every column of the second only the first `rounds` numbers are b, the others 0. */
static void load_factors(uint32_t a, uint32_t b, size_t rounds)
{
    uint32_t left[TILE * TILE], right[TILE * TILE];
    for (size_t l = 0; l < TILE * TILE; l++) {
        left[l] = a | a << 16;
        right[l] = 2 * (l / TILE) + 1 < rounds ? b | b << 16 : 2 * (l / TILE) < rounds ? b : 0;
    }
    load_tile(6, left, TILE);
    load_tile(7, right, TILE);
}

static void add_products(void)
{
    add_product(0, 6, 7);
    add_product(1, 6, 7);
    add_product(2, 6, 7);
    add_product(3, 6, 7);
    add_product(4, 6, 7);
    add_product(5, 6, 7);
}

static void add_group(dn_real *x, uint32_t a, uint32_t b, size_t rounds)
{
    begin_tiles();
#define FOR_ALL(do_with)                                                                                                       \
    do_with(0, x, TILE);                                                                                                       \
    do_with(1, x + TILE * TILE, TILE);                                                                                         \
    do_with(2, x + 2 * TILE * TILE, TILE);                                                                                     \
    do_with(3, x + 3 * TILE * TILE, TILE);                                                                                     \
    do_with(4, x + 4 * TILE * TILE, TILE);                                                                                     \
    do_with(5, x + 5 * TILE * TILE, TILE)
    FOR_ALL(load_tile);
    load_factors(a, b, 2 * TILE);
    for (size_t round = 0; round + 2 * TILE <= rounds; round += 2 * TILE)
        add_products();
    load_factors(a, b, rounds % (2 * TILE));
    add_products();
    FOR_ALL(store_tile);
#undef FOR_ALL
    end_tiles();
}

#endif
