/*
 * Products by OpenBLAS, one block of C a thread, cut by us; of many products the small ones are a block each.
 * OpenBLAS's own way to share a product lets the threads wait for each other's packed panels: on two threads
 * that costs the products of an optimizer step on a small model (256 x 64 x 256) a third of their speed and
 * those of a weight's gradient (256 x 256 x 2048) a sixth, and gains nothing on large ones. Inside a parallel
 * region OpenBLAS uses the calling thread alone.
 */
#include "compute/cpu/blas.h"
#include "compute/cpu/cpu.h"

#include <stdio.h>
#include <string.h>

/* Below so many flops waking a thread takes longer than it saves. */
#define ALONE_FLOPS 1e6

/* Where C is scaled OpenBLAS does that to all of it first, and then adds to it: a square of this edge is
 * still in a core's cache by then. */
#define SCALED_EDGE ((size_t)384)

/* Products that are shared out at once. */
enum { MOST = 64 };

/* What packing a vector of length k takes, in numbers of C, each k multiplications. */
#define PACKING 32

/* Columns of C in whole panels of any instruction set, and the fewest terms that were compared: of a rank of 16 half a
 * panel's work would be for nothing, or little for each time that C is written. */
#define PANELS ((size_t)64)
#define TERMS  ((size_t)64)

/* Where packed.c is faster than OpenBLAS by more than noise: by instruction set and shape, so that two runs have the same
 * bits. `bench_products` compares; what is not here is OpenBLAS's. */
static const struct {
    const char *kernels;
    size_t rows, numbers; /* from so many rows of A on, up to so many numbers of B */
} packed[] = {
    {"cpu-avx512", 1024, (size_t)1 << 18},
    {"cpu-avx2", 2048, (size_t)1 << 18},
};

bool dn_cpu_packs(const dn_stream *s, const dn_product *x)
{
    if (x->ta != DN_N || x->alpha != 1 || (x->beta != 0 && x->beta != 1) || x->n == 0 || x->n % PANELS != 0 || x->k < TERMS)
        return false;
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
        if (strcmp(s->kernels->plain, packed[i].kernels) == 0)
            return x->m >= packed[i].rows && x->n * x->k <= packed[i].numbers;
    return false;
}

const char *dn_products_describe(const dn_stream *s)
{
    static _Thread_local char text[256];
    const dn_kernels *kernels = s->host ? s->host->kernels : s->kernels;
    size_t used = 0;
    if (dn_kernels_are_the_devices(s->kernels)) {
        bool is_mixed = strcmp(s->kernels->plain, s->kernels->name) != 0;
        snprintf(text, sizeof text, "%s%s%sall%s by the device's library", is_mixed ? "of layers from bfloat16 by " : "",
                 is_mixed ? s->kernels->name : "", is_mixed ? "; " : "", is_mixed ? " others" : "");
        return text;
    }
    if (strcmp(kernels->plain, kernels->name) != 0)
        used = (size_t)snprintf(text, sizeof text, "of layers from bfloat16 by %s; ", kernels->name);
    snprintf(text + used, sizeof text - used, "all%s by OpenBLAS", used > 0 ? " others" : "");
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
        if (strcmp(kernels->plain, packed[i].kernels) == 0)
            snprintf(text + used, sizeof text - used, "from %zu rows on with weights of up to %zu numbers by %s, others by OpenBLAS",
                     packed[i].rows, packed[i].numbers, kernels->plain);
    return text;
}

static double flops_of(const dn_product *x)
{
    return 2.0 * (double)x->m * (double)x->n * (double)x->k;
}

dn_grid dn_cpu_choose_grid(size_t m, size_t n, size_t n_threads)
{
    dn_grid best = {1, 1};
    double least = 0;
    for (size_t rows = 1; rows <= n_threads; rows++) {
        size_t cols = n_threads / rows;
        double high = (double)m / (double)rows, wide = (double)n / (double)cols;
        double work = high * wide + PACKING * (high + wide);
        if (least == 0 || work < least) {
            least = work;
            best = (dn_grid){rows, cols};
        }
    }
    return best;
}

/* With nothing to add up, BLAS would still complain of leading dimensions. */
static void scale_matrix(const dn_product *x)
{
    dn_real *c = dn_host(x->c);
    for (size_t i = 0; i < x->m; i++)
        for (size_t j = 0; j < x->n; j++)
            c[i * x->ldc + j] = x->beta == 0 ? 0 : (dn_real)(x->beta * (double)c[i * x->ldc + j]);
}

static void multiply_part(const dn_product *x, size_t top, size_t rows, size_t left, size_t cols)
{
    dn_cblas_gemm(CblasRowMajor, x->ta == DN_T ? CblasTrans : CblasNoTrans,
                  x->tb == DN_T ? CblasTrans : CblasNoTrans, (int)rows, (int)cols, (int)x->k,
                  (dn_real)x->alpha, dn_host(x->a) + (x->ta == DN_T ? top : top * x->lda), (int)x->lda,
                  dn_host(x->b) + (x->tb == DN_T ? left * x->ldb : left), (int)x->ldb, (dn_real)x->beta,
                  dn_host(x->c) + top * x->ldc + left, (int)x->ldc);
}

static void multiply(const dn_product *x, dn_grid g, size_t block)
{
    size_t row = block / g.cols, top = dn_cpu_edge(x->m, row, g.rows),
           bottom = dn_cpu_edge(x->m, row + 1, g.rows);
    size_t col = block % g.cols, left = dn_cpu_edge(x->n, col, g.cols),
           right = dn_cpu_edge(x->n, col + 1, g.cols);
    size_t edge = x->beta != 0 && x->beta != 1 ? SCALED_EDGE : x->m + x->n;
    if (x->m == 0 || x->n == 0 || x->k == 0) {
        scale_matrix(x);
        return;
    }
    for (size_t i = top; i < bottom; i += edge)
        for (size_t j = left; j < right; j += edge)
            multiply_part(x, i, dn_min(edge, bottom - i), j, dn_min(edge, right - j));
}

/* Products of one call of the threads: which blocks are whose. */
typedef struct work {
    const dn_product *products;
    dn_grid grids[MOST];
    size_t first[MOST + 1]; /* block of each product */
} work;

/* A product of which there are several as large is a block: threads then share nothing, and their number does
 * not round. Block sizes of more than a quarter of a thread's share would leave threads waiting. */
static void cut(work *w, size_t n, size_t n_cuts)
{
    double all = 0;
    for (size_t i = 0; i < n; i++)
        all += flops_of(&w->products[i]);
    w->first[0] = 0;
    for (size_t i = 0; i < n; i++) {
        double flops = flops_of(&w->products[i]), share = all / (double)n_cuts;
        bool whole = flops < ALONE_FLOPS || flops <= share / 4;
        w->grids[i] = whole ? (dn_grid){1, 1} : dn_cpu_choose_grid(w->products[i].m, w->products[i].n, n_cuts);
        w->first[i + 1] = w->first[i] + w->grids[i].rows * w->grids[i].cols;
    }
}

static void do_block(const work *w, size_t block)
{
    size_t i = 0;
    while (w->first[i + 1] <= block)
        i++;
    multiply(&w->products[i], w->grids[i], block - w->first[i]);
}

/* Blocks in turn: a matrix that stands at the same place in several calls meets the same thread's cache. */
void dn_cpu_gemm_many(dn_stream *s, const dn_product *products, size_t n)
{
    for (size_t done = 0, some; done < n; done += some) {
        work w = {.products = products + done};
        some = dn_min(n - done, MOST);
        cut(&w, some, (size_t)s->n_cuts);
        int n_threads = (int)dn_min(w.first[some], (size_t)s->n_threads);
#pragma omp parallel for num_threads(n_threads) schedule(static, 1)
        for (size_t block = 0; block < w.first[some]; block++)
            do_block(&w, block);
    }
}
