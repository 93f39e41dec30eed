/*
 * The cpu backend: what its files share. Files listed as kernel sources are compiled once per instruction set
 * (DN_ISA) and precision, so their symbols carry the instruction set: DN_CPU(fill) is dn_cpu_avx512_fill.
 * The other files (blas.c, gemm.c, rotary.c, symmetric.c) leave the fast loops to OpenBLAS and are compiled once.
 *
 * Work is cut into blocks whose size depends on the shape alone, and partial sums are added in block order:
 * the number of threads changes who computes a block, never what comes out.
 */
#ifndef COMPUTE_CPU_CPU_H
#define COMPUTE_CPU_CPU_H

#include "base/size.h"
#include "compute/host.h"

#include <string.h>

#define DN_CPU_PASTE(isa, name)  dn_cpu_##isa##_##name
#define DN_CPU_EXPAND(isa, name) DN_CPU_PASTE(isa, name)
#define DN_CPU(name)             DN_CPU_EXPAND(DN_ISA, name)

/* Elements of a block: 64 KiB of float, so a thread's block of three streams stays in its L2. */
#define DN_CPU_BLOCK ((size_t)16384)

static inline size_t dn_blocks(size_t n, size_t block)
{
    return (n + block - 1) / block;
}

/* Where part `index` of `parts` of a row of `size` begins: on whole cache lines. */
static inline size_t dn_cpu_edge(size_t size, size_t index, size_t parts)
{
    enum { GRAIN = 16 };
    return dn_min(size, dn_blocks(size, GRAIN) * index / parts * GRAIN);
}

/* A block of a head of attention. */
typedef struct dn_cpu_task {
    size_t head, part;
} dn_cpu_task;

/* Tasks are given away in the order of their numbers, below heads * parts. Of as many heads as there are threads the blocks
 * are taken in turn: what a head's tasks read stays in a cache, and those that would wait for each other are seldom done at
 * once. */
static inline dn_cpu_task dn_cpu_task_of(size_t number, size_t heads, size_t parts, size_t n_threads)
{
    size_t first = number / (n_threads * parts) * n_threads, group = dn_min(n_threads, heads - first);
    number -= first * parts;
    return (dn_cpu_task){first + number % group, number / group};
}

/* The value of a bfloat16's bits. */
static inline dn_real dn_widened(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return (dn_real)f;
}

/* ---- compiled once ---- */

/** OpenMP and OpenBLAS threads of the calling thread's next parallel regions and products. */
void dn_cpu_set_threads(int n_threads);

void dn_cpu_rotary_angles(dn_stream *s, dn_buf *angles, const double *host_frequencies, size_t T, size_t n);

/* Blocks along the rows and the columns of C. */
typedef struct dn_grid {
    size_t rows, cols;
} dn_grid;

/** The grid of at most n_threads blocks for a product with C [m,n] that takes least: each block computes its part of C, and
 * packs or reads m/rows + n/cols vectors of length k. */
dn_grid dn_cpu_choose_grid(size_t m, size_t n, size_t n_threads);

/** Whether the product is one that packed.c computes; then C has whole panels of columns. */
bool dn_cpu_packs(const dn_stream *s, const dn_product *x);

void dn_cpu_gemm_many(dn_stream *s, const dn_product *products, size_t n);
void dn_cpu_gemm_batch(dn_stream *s, size_t count, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k,
                       double alpha, const dn_buf *a, const dn_buf *b, double beta, dn_buf *c);
void dn_cpu_symmetric_product(dn_stream *s, size_t count, dn_trans t, size_t n, size_t k, double alpha,
                              const dn_buf *a, const dn_buf *b, double beta, const dn_buf *d, double gamma,
                              dn_buf *c);

/* ---- compiled per instruction set; rows of the table, see ops.h ---- */
#ifdef DN_ISA
/** *mixed = the table `plain` with products of layers in mixed precision, by that name. */
void DN_CPU(mix)(const char *name, const dn_kernels *plain, dn_kernels *mixed);

#define OP(name, ...) void DN_CPU(name) DN_OP_PARAMETERS(__VA_ARGS__);
#include "compute/ops.h"
#undef OP
#endif

#endif
