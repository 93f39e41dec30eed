/* What the packing of mixed.c and its micro-kernels agree on: mixed_vectors.h, or with DN_TILES mixed_tiles.h. */
#ifndef COMPUTE_CPU_MIXED_H
#define COMPUTE_CPU_MIXED_H

#include "compute/cpu/pairs.h"

/* Of a block pairs of k, rows and columns: 384 numbers' pairs of a panel with 12 rows of A, or 32 in tiles, lie in the first
 * cache, both blocks in the second. */
enum { DEEP = 192, TALL = 96, BROAD = 512 };

/* Some rows of C, in the columns of one panel: the first `columns` of WIDE. */
typedef struct part {
    size_t pairs, columns; /* pairs of k, in whole TILEs */
    const uint32_t *a;     /* rows of pairs, see row_of; with ACROSS, of a transposed A, [pairs,TALL] */
    const uint32_t *panel; /* [pairs,WIDE] */
    bool add;
    dn_real *c;
    size_t ldc;
} part;

#ifdef DN_TILES
/** Attention of this table, too, is in mixed precision, but of caches, which stays plain's. */
void DN_CPU(mix_attention)(const dn_kernels *plain, dn_kernels *mixed);
#endif

#endif
