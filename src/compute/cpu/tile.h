/* Products of small matrices that lie in a core's nearest caches: on one thread, without packing, each of any
 * instruction set's vectors. */
#ifndef COMPUTE_CPU_TILE_H
#define COMPUTE_CPU_TILE_H

#include "compute/cpu/simd.h"

#define dn_tile_product   DN_CPU(tile_product)
#define dn_tile_transpose DN_CPU(tile_transpose)

/* So many vectors of columns are multiplied at once, where there are as many. */
#ifdef __AVX512F__
enum { DN_TILE_VECTORS = 4 };
#else
enum { DN_TILE_VECTORS = 2 };
#endif

/** n rounded up to whole vectors. */
static inline size_t dn_whole_vectors(size_t n)
{
    return dn_blocks(n, (size_t)DN_LANES) * (size_t)DN_LANES;
}

/** C [m,n] = op(A) B, or with `add` C + op(A) B.  op(A) [m,k] is A [m,k] or the transpose of A [k,m], B
 * [k,n]; rows are lda, ldb and ldc numbers apart, with any alignment. n is whole vectors. An element's terms
 * are added in the order of k, to a sum of their own: its bits depend on nothing else. */
void dn_tile_product(dn_trans ta, size_t m, size_t n, size_t k, const dn_real *a, size_t lda,
                     const dn_real *b, size_t ldb, bool add, dn_real *c, size_t ldc);

/** out [columns,ld] = scale x', x [rows,columns] with rows ldx apart. Numbers from `rows` to ld of a row of
 * out are 0. */
void dn_tile_transpose(dn_real *out, size_t ld, dn_real scale, const dn_real *x, size_t ldx, size_t rows,
                       size_t columns);

#endif
