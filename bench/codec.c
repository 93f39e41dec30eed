/*
 * What do codecs and cosine transforms cost? Time of encoding and decoding together, and the share of what
 * the same run measured as the limit: of triad bandwidth on their own bytes, and for transforms of the best
 * gemm, whichever takes longer.
 *
 *     codec [threads [backend]]
 */
#include "base/clock.h"
#include "base/random.h"
#include "codec/codec.h"
#include "compute/kernels.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 2048, COLS = 2048, N = ROWS * COLS };

typedef struct bench {
    dn_stream *s;
    const dn_codec *codec;
    dn_codec_config config;
    dn_tiling tiling;
    dn_buf *x, *y, *work;
    dn_bytes *message;
    double peak, triad; /* flop/s, byte/s */
} bench;

static void triad(bench *b)
{
    b->s->kernels->axpby(b->s, b->y, 3, b->x, 0.5, N);
}

static void encode_decode(bench *b)
{
    dn_codec_encode(b->s, b->codec, &b->config, b->message, b->x, N, b->work);
    dn_codec_decode_add(b->s, b->codec, &b->config, b->y, 0.5, b->message, N, b->work);
}

static void transform(bench *b)
{
    b->s->kernels->dct_forward(b->s, b->y, b->x, &b->tiling);
    b->s->kernels->dct_inverse(b->s, b->work, b->y, &b->tiling);
}

/* The best of some: other processes only add to it. */
static double measure(bench *b, void (*run)(bench *))
{
    double best = 1e9, start = dn_clock_s();
    run(b);
    for (int i = 0; i < 100 && (i < 5 || dn_clock_s() - start < 0.5); i++) {
        double begin = dn_clock_s();
        run(b);
        double time = dn_clock_s() - begin;
        best = time < best ? time : best;
    }
    return best;
}

static void report(bench *b, const char *name, void (*run)(bench *), double bytes, double flops)
{
    double time = measure(b, run), memory = bytes / b->triad, products = flops / b->peak;
    bool by_memory = memory >= products;
    printf("  %-22s %8.3f ms %7.1f GB/s  %3.0f %% of %s\n", name, time * 1e3, bytes / time * 1e-9,
           100 * (by_memory ? memory : products) / time, by_memory ? "triad" : "gemm");
}

/* x is read, the message is written and read, and what it has entries for is read and written. */
static void report_codec(bench *b, const char *codec, const char *values)
{
    char name[64];
    b->codec = dn_codec_find(codec);
    b->config.values = dn_codec_find(values);
    snprintf(name, sizeof name, b->codec->entries ? "%s, %s" : "%s", codec, values);
    double entries = (double)dn_codec_entries(b->codec, &b->config, N);
    double e = sizeof(dn_real), message = (double)dn_codec_bytes(b->codec, &b->config, N);
    report(b, name, encode_decode, N * e + 2 * message + 2 * entries * e, 0);
}

static void *new_memory(dn_stream *s, size_t bytes)
{
    void *memory;
    if (dn_device_alloc(s, bytes, &memory) == DN_OK)
        return memory;
    fprintf(stderr, "%s\n", dn_error_message());
    exit(1);
}

int main(int argc, char **argv)
{
    dn_blas_tune(argv);
    bench b = {
        .config = {.cols = COLS, .tile_rows = 64, .tile_cols = 64, .k = N / 50, .tau = 2.4, .share = 1. / 64}};
    if (dn_stream_create(argc > 2 ? argv[2] : "cpu", argc > 1 ? atoi(argv[1]) : 2, &b.s) != DN_OK) {
        fprintf(stderr, "%s\n", dn_error_message());
        return 1;
    }
    b.x = new_memory(b.s, N * sizeof(dn_real));
    b.y = new_memory(b.s, N * sizeof(dn_real));
    b.work = new_memory(b.s, N * sizeof(dn_real));
    b.message = new_memory(b.s, 2 * N * sizeof(dn_real));
    dn_real *normal = malloc(N * sizeof *normal);
    if (!normal)
        return 1;
    dn_random_normal(1, 1, 0, N, 1, normal);
    dn_upload(b.s, b.x, normal, N);
    if (dn_stream_sync(b.s) != DN_OK)
        return 1;
    free(normal);
    b.peak = dn_gemm_peak(b.s, 0.3);
    b.triad = 3 * (double)N * sizeof(dn_real) / measure(&b, triad);
    printf("%s, gemm %.1f GFLOP/s, triad %.1f GB/s; %d x %d numbers, encoded and decoded\n",
           b.s->kernels->name, b.peak * 1e-9, b.triad * 1e-9, ROWS, COLS);
    static const char *const dense[] = {"f32", "bf16", "fp4", "int8", "int2", "sign"};
    for (int i = 0; i < 6; i++)
        report_codec(&b, dense[i], "f32");
    report_codec(&b, "topk", "f32");
    report_codec(&b, "topk", "int2");
    report_codec(&b, "threshold", "f32");
    static const size_t tile_rows[] = {64, 1};
    for (int i = 0; i < 2; i++) {
        b.tiling = (dn_tiling){ROWS, COLS, tile_rows[i], 64};
        double flops =
            2 * (tile_rows[i] > 1 ? 4.0 : 2.0) * 64 * N; /* there and back, 2 or 1 products of 64 */
        report(&b, i == 0 ? "cosines, 64 x 64" : "cosines, runs of 64", transform,
               4 * (double)N * sizeof(dn_real), flops);
    }
    return 0; /* the system takes the memory back */
}
