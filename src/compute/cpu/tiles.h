/*
 * AMX: eight tile registers of 16 rows by 16 words, and the product of two of them that is added to a third, TDPBF16PS. Where the
 * processor has none, plain C does what the instructions do: all that is packed for them runs, and is tested, anywhere.
 *
 * A tile is named by a literal, since the intrinsics make the name of a register of it; rows lie ld words apart.
 */
#ifndef COMPUTE_CPU_TILES_H
#define COMPUTE_CPU_TILES_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { TILE = 16 };

#ifdef __AMX_BF16__
#include <immintrin.h>

/** Before and after a thread's tiles. */
static inline void begin_tiles(void)
{
    static const struct __attribute__((aligned(64))) {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } all_whole = {.palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&all_whole);
}

static inline void end_tiles(void)
{
    _tile_release();
}

/* Of what the intrinsics read gcc knows nothing: it is to be in memory. */
#define load_tile(t, from, ld)                                                                                                 \
    do {                                                                                                                       \
        __asm__ volatile("" ::: "memory");                                                                                     \
        _tile_loadd(t, from, (ld) * sizeof(uint32_t));                                                                         \
    } while (0)
#define store_tile(t, to, ld) _tile_stored(t, to, (ld) * sizeof(uint32_t))
#define clear_tile(t)         _tile_zero(t)
/** c += a b; of a [rows, pairs], of b [pairs, columns] pairs of bfloat16, c float. */
#define add_product(c, a, b) _tile_dpbf16ps(c, a, b)

#else

static _Thread_local uint32_t tiles[8][TILE][TILE];

static inline void begin_tiles(void)
{
}

static inline void end_tiles(void)
{
}

static inline void load_tile(int t, const void *from, size_t ld)
{
    for (size_t i = 0; i < TILE; i++)
        memcpy(tiles[t][i], (const uint32_t *)from + i * ld, sizeof tiles[t][i]);
}

static inline void store_tile(int t, void *to, size_t ld)
{
    for (size_t i = 0; i < TILE; i++)
        memcpy((uint32_t *)to + i * ld, tiles[t][i], sizeof tiles[t][i]);
}

static inline void clear_tile(int t)
{
    memset(tiles[t], 0, sizeof tiles[t]);
}

/* What is too small for a normal number is 0. */
static inline float flushed(float x)
{
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

static inline float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return flushed(f);
}

/* Intel's manual, TDPBF16PS: of a row and a column the first numbers of all pairs are added to one sum and the second ones to
 * another, each rounded once, then both to each other and to c. A product of two bfloat16 is exact in float, if it is not too
 * small for one, so that rounding the sum is all the rounding there is. */
static inline void add_product(int c, int a, int b)
{
    for (size_t i = 0; i < TILE; i++) {
        float first[TILE] = {0}, second[TILE] = {0}, sum[TILE];
        for (size_t l = 0; l < TILE; l++) {
            const float left = of_bits(tiles[a][i][l] << 16), right = of_bits(tiles[a][i][l] & 0xffff0000u);
            for (size_t j = 0; j < TILE; j++) {
                first[j] = flushed(first[j] + left * of_bits(tiles[b][l][j] << 16));
                second[j] = flushed(second[j] + right * of_bits(tiles[b][l][j] & 0xffff0000u));
            }
        }
        memcpy(sum, tiles[c][i], sizeof sum);
        for (size_t j = 0; j < TILE; j++)
            sum[j] = flushed(flushed(sum[j]) + flushed(first[j] + second[j]));
        memcpy(tiles[c][i], sum, sizeof sum);
    }
}
#endif

/** Tiles 0 to 3 become C, 32 rows by 32 columns that lie ld apart, or 0. */
static inline __attribute__((always_inline)) void begin_sums(bool add, const float *c, size_t ld)
{
    if (add) {
        load_tile(0, c, ld);
        load_tile(1, c + TILE, ld);
        load_tile(2, c + TILE * ld, ld);
        load_tile(3, c + TILE * ld + TILE, ld);
    } else {
        clear_tile(0);
        clear_tile(1);
        clear_tile(2);
        clear_tile(3);
    }
}

static inline __attribute__((always_inline)) void end_sums(float *c, size_t ld)
{
    store_tile(0, c, ld);
    store_tile(1, c + TILE, ld);
    store_tile(2, c + TILE * ld, ld);
    store_tile(3, c + TILE * ld + TILE, ld);
}

#endif
