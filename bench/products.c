/*
 * Who multiplies best here? Products of layers at the shapes of two models: by OpenBLAS, by the kernels of float, which multiply
 * some themselves, and by each backend of mixed precision that this processor has instructions for, or the emulated one. All in
 * turn, and of each the best time: other processes only add to it. Limits are those of the same threads.
 */
#include "arguments.h"

#include "base/clock.h"
#include "base/random.h"
#include "compute/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TURNS = 9, MOST = 8, LARGEST = 4096 * 1024 };

static const struct model {
    const char *name;
    size_t N, C;
} models[] = {{"quickstart", 2048, 256}, {"160M", 1024, 768}};

/* As layers call them: x W' forward, dy W back, dW += dy'x. Sides are N or numbers of C. */
static const struct shape {
    const char *name;
    dn_trans ta, tb;
    size_t m, n, k; /* 0: N */
} shapes[] = {{"qkv x W'", DN_N, DN_T, 0, 3, 1},      {"c_proj x W'", DN_N, DN_T, 0, 1, 1},
              {"fc x W'", DN_N, DN_T, 0, 4, 1},       {"mlp_proj x W'", DN_N, DN_T, 0, 1, 4},
              {"qkv dy W", DN_N, DN_N, 0, 1, 3},      {"fc dy W", DN_N, DN_N, 0, 1, 4},
              {"mlp_proj dy W", DN_N, DN_N, 0, 4, 1}, {"qkv dW", DN_T, DN_N, 3, 1, 0},
              {"fc dW", DN_T, DN_N, 4, 1, 0},         {"mlp_proj dW", DN_T, DN_N, 1, 4, 0}};

/* The first is the library's. */
static dn_stream *columns[MOST];
static size_t n_columns;
static dn_buf *a, *b, *c;

static void multiply(size_t column, const dn_product *x)
{
    dn_stream *s = columns[column];
    if (column == 0)
        s->kernels->gemm_many(s, x, 1);
    else
        s->kernels->gemm_layer(s, x->ta, x->tb, x->m, x->n, x->k, x->a, x->lda, x->b, x->ldb, x->beta != 0, x->c, x->ldc);
}

static void compare(const struct model *model, const struct shape *shape)
{
    size_t m = shape->m ? shape->m * model->C : model->N, n = shape->n * model->C, k = shape->k ? shape->k * model->C : model->N;
    const dn_product x = {shape->ta, shape->tb, m, n, k, 1, a, shape->ta == DN_T ? m : k, b, shape->tb == DN_T ? k : n,
                          shape->ta == DN_T, c, n};
    double best_s[MOST];
    for (size_t turn = 0; turn < TURNS; turn++)
        for (size_t i = 0; i < n_columns; i++) {
            double begin = dn_clock_s();
            multiply(i, &x);
            double seconds = dn_clock_s() - begin;
            best_s[i] = turn == 0 ? seconds : fmin(best_s[i], seconds);
        }
    printf("%-10s %-14s %4zu x %4zu x %4zu", model->name, shape->name, m, n, k);
    for (size_t i = 0; i < n_columns; i++) {
        printf("  %8.1f", 2e-9 * (double)m * (double)n * (double)k / best_s[i]);
        if (i > 0)
            printf(" %5.2f", best_s[0] / best_s[i]);
    }
    printf("\n");
}

static bool add_column(const char *kernels, int n_threads)
{
    return n_columns == MOST || dn_stream_create(kernels, n_threads, &columns[n_columns++]) == DN_OK;
}

/* Twice the fastest of float: whoever is first of its column is the library. */
static bool make_columns(int n_threads)
{
    bool made = add_column("cpu", n_threads) && add_column("cpu", n_threads);
    for (const dn_kernels *const *mixed = dn_kernels_mixed(); made && *mixed; mixed++)
        if (mixed == dn_kernels_mixed() || strncmp((*mixed)->name, "cpu-", 4) == 0)
            made = add_column((*mixed)->name, n_threads);
    return made;
}

static bool make_numbers(void)
{
    dn_buf **of[] = {&a, &b, &c};
    dn_real *numbers = malloc(LARGEST * sizeof *numbers);
    bool made = numbers != NULL;
    for (size_t i = 0; i < 3 && made; i++) {
        void *memory;
        made = dn_device_alloc(columns[0], LARGEST * sizeof(dn_real), &memory) == DN_OK;
        if (made) {
            dn_random_normal(1, i, 0, LARGEST, 1, numbers);
            *of[i] = memory;
            dn_upload(columns[0], *of[i], numbers, LARGEST);
            made = dn_stream_sync(columns[0]) == DN_OK;
        }
    }
    free(numbers);
    return made;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    int *n_threads = state->input;
    if (key != ARGP_KEY_ARG || state->arg_num > 0)
        return ARGP_ERR_UNKNOWN;
    *n_threads = bench_integer("THREADS", text, 1, 1024);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {NULL, parse, "[THREADS]",
                                     "Products of layers at the shapes of two models: GFLOP/s of OpenBLAS, and of each of the "
                                     "library's ways to multiply on this processor how many times as fast it is.\v"
                                     "THREADS: how many multiply together (2).", NULL, NULL, NULL};
    int n_threads = 2;
    dn_blas_tune(argv);
    bench_parse(&argp, argc, argv, &n_threads);
    if (!make_columns(n_threads) || !make_numbers()) {
        fprintf(stderr, "bench products: %s\n", dn_error_message());
        return 1;
    }
    printf("# GFLOP/s of %d threads, and times as fast as OpenBLAS: %s\n%-45s", n_threads, dn_blas_describe(), "");
    for (size_t i = 0; i < n_columns; i++)
        printf("  %*s", i > 0 ? 14 : 8, i == 0 ? "OpenBLAS" : columns[i]->kernels->name);
    printf("\n");
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (size_t j = 0; j < sizeof shapes / sizeof *shapes; j++)
            compare(&models[i], &shapes[j]);
    for (size_t i = 1; i < n_columns; i++) {
        dn_flop_limits limits = dn_flop_limits_measure(columns[i], 0.2);
        printf("# %s: best square product %.1f GFLOP/s, limit of its arithmetic %.1f GFLOP/s; %s\n", columns[i]->kernels->name,
               limits.gemm * 1e-9, limits.fma * 1e-9, dn_products_describe(columns[i]));
    }
    for (size_t i = 0; i < n_columns; i++)
        dn_stream_destroy(&columns[i]);
    return 0;
}
