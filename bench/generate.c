/*
 * How near is generation to its bounds? A token reads all weights and the cache once, so that reading memory
 * is what it waits for; a prompt is a forward pass. Prints, of models with random weights, each beside the
 * bound that the same run measured right before and behind it: a product of one row, a token at a time until
 * the positions are full, several sequences at once, and the prompt against a forward pass as training makes
 * it, in nine pairs by turns.
 */
#include "arguments.h"

#include "base/clock.h"
#include "base/fail.h"
#include "compute/kernels.h"
#include "dionode/blas.h"
#include "dionode/topo.h"
#include "train/instance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCES = 5, PAIRS = 9 };

#define PEAK_S 0.1

typedef struct bench {
    dn_stream *stream;
    dn_plan plan;
    dn_comm *comm;
    dn_mesh *mesh;
    dn_instance instance;
    double peak; /* bytes/s: the best before and behind what was measured last */
} bench;

static void must(dn_status status)
{
    if (status == DN_OK)
        return;
    fprintf(stderr, "%s\n", dn_error_message());
    exit(dn_status_exit(status));
}

/* part NULL: all are. */
static bool is_wanted(const char *part, const char *name)
{
    return !part || strcmp(part, name) == 0;
}

/* n_sequences 0: as for training, one sequence at a time. narrow: weights and cache in bfloat16. */
static void open_model(bench *b, const char *const *keys, size_t n_sequences, bool narrow)
{
    bool rounded;
    dn_config config;
    dn_config_init(&config);
    for (; *keys; keys++)
        must(dn_config_set(&config, *keys));
    must(dn_plan_make(&config, 1, &b->plan));
    if (n_sequences)
        dn_plan_generation(&b->plan, n_sequences, narrow);
    must(dn_comm_create_alone(b->plan.model_bytes, &b->comm));
    must(dn_mesh_create(b->comm, b->plan.mesh, &b->mesh));
    must(dn_instance_open(&b->instance, &b->plan, b->mesh, b->stream, false));
    must(dn_model_init(&b->plan.spec, b->instance.params, b->stream, 1));
    if (narrow)
        must(dn_weights_narrow(b->instance.weights, b->plan.spec.tied == DN_YES, &rounded));
}

static void close_model(bench *b)
{
    dn_instance_close(&b->instance);
    dn_mesh_destroy(&b->mesh);
    dn_comm_destroy(&b->comm);
}

static int32_t *tokens_of(const bench *b)
{
    int32_t *tokens = calloc(b->plan.spec.T, sizeof *tokens);
    for (size_t i = 0; tokens && i < b->plan.spec.T; i++)
        tokens[i] = (int32_t)(i * 31 % b->plan.spec.V);
    return tokens;
}

static void report(const bench *b, const char *name, double seconds, double tokens, double bytes)
{
    printf("  %-34s %9.0f tokens/s %7.1f GB/s  %3.0f %% of %.1f GB/s\n", name, tokens / seconds,
           bytes / seconds * 1e-9, 100 * bytes / seconds / b->peak, b->peak * 1e-9);
}

/* A product of one row with 32 M weights, in float and in bfloat16 by turns. */
static void measure_matvec(bench *b)
{
    enum { OUT = 16384, IN = 2048 };
    const size_t n = (size_t)OUT * IN, all = n + n / 2 + OUT + IN;
    void *memory;
    double best_s[] = {INFINITY, INFINITY};
    must(dn_device_alloc(b->stream, all * sizeof(dn_real), &memory));
    dn_buf *w = memory, *x = dn_at(w, n), *y = dn_at(x, IN);
    dn_bf16 *narrow = (dn_bf16 *)dn_at(y, OUT);
    b->stream->kernels->fill(b->stream, w, n + IN, 0.01);
    b->stream->kernels->to_bf16(b->stream, narrow, w, n);
    b->peak = dn_read_peak(b->stream, PEAK_S);
    for (int i = 0; i < 40; i++) {
        double begin_s = dn_clock_s();
        if (i % 2)
            b->stream->kernels->matvec_bf16(b->stream, y, OUT, x, IN, narrow, 1, OUT, IN, false);
        else
            b->stream->kernels->matvec(b->stream, y, OUT, x, IN, w, 1, OUT, IN, false);
        must(dn_stream_sync(b->stream));
        best_s[i % 2] = fmin(best_s[i % 2], dn_clock_s() - begin_s);
    }
    b->peak = fmax(b->peak, dn_read_peak(b->stream, PEAK_S));
    report(b, "y = W x, 16384 x 2048 (best of 20)", best_s[0], 1, (double)n * sizeof(dn_real));
    report(b, "the same, W in bfloat16", best_s[1], 1, (double)n * sizeof(uint16_t));
    dn_device_free(b->stream, memory, all * sizeof(dn_real));
}

/* All positions of B sequences, token by token. */
static void measure_decode(bench *b, size_t B, bool narrow, dn_real *logits)
{
    size_t T = b->plan.spec.T;
    double bytes = 0, weights = dn_instance_read_bytes(&b->instance, narrow);
    double cached = (double)(B * dn_model_cached_bytes(b->instance.model));
    char name[40];
    b->peak = dn_read_peak(b->stream, PEAK_S);
    double begin_s = dn_clock_s();
    for (size_t t = 0; t < T; t++) {
        dn_cache_row rows[SEQUENCES];
        int32_t tokens[SEQUENCES];
        for (size_t i = 0; i < B; i++) {
            rows[i] = (dn_cache_row){i, t};
            tokens[i] = (int32_t)((t + i) % b->plan.spec.V);
        }
        must(dn_model_decode(b->instance.model, rows, tokens, B, logits));
        bytes += weights + cached * (double)(t + 1);
    }
    double seconds = dn_clock_s() - begin_s;
    b->peak = fmax(b->peak, dn_read_peak(b->stream, PEAK_S));
    snprintf(name, sizeof name, "decode, %zu sequence%s%s", B, B > 1 ? "s" : "", narrow ? ", bfloat16" : "");
    report(b, name, seconds, (double)(B * T), bytes);
}

static double prefill_s(bench *b, const int32_t *tokens, dn_real *logits)
{
    double begin_s = dn_clock_s();
    must(dn_model_prefill(b->instance.model, 0, 0, tokens, b->plan.spec.T, logits));
    return dn_clock_s() - begin_s;
}

static double forward_s(bench *b, const int32_t *tokens)
{
    double begin_s = dn_clock_s(), loss = 0;
    must(dn_model_loss(b->instance.model, tokens, tokens, 1, &loss));
    return dn_clock_s() - begin_s;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The first pair only warms up. */
static void measure_prefill(bench *b, const char *const *keys)
{
    double seconds[PAIRS + 1], share[PAIRS + 1];
    bench trained = {.stream = b->stream};
    open_model(b, keys, 1, false);
    open_model(&trained, keys, 0, false);
    dn_real *logits = calloc(b->plan.spec.V, sizeof *logits);
    int32_t *tokens = tokens_of(b);
    for (int i = 0; i <= PAIRS; i++) {
        seconds[i] = prefill_s(b, tokens, logits);
        share[i] = 100 * forward_s(&trained, tokens) / seconds[i];
    }
    qsort(seconds + 1, PAIRS, sizeof *seconds, by_value);
    qsort(share + 1, PAIRS, sizeof *share, by_value);
    printf("  %-34s %9.0f tokens/s  %3.0f %% of a forward pass with its loss (quartiles %.0f to %.0f)\n",
           "prefill", (double)b->plan.spec.T / seconds[1 + PAIRS / 2], share[1 + PAIRS / 2],
           share[1 + PAIRS / 4], share[PAIRS - PAIRS / 4]);
    free(logits);
    free(tokens);
    close_model(&trained);
    close_model(b);
}

static void measure_decoding(bench *b, const char *const *keys)
{
    for (int narrow = 1; narrow >= 0; narrow--) {
        open_model(b, keys, SEQUENCES, narrow);
        dn_real *logits = calloc(SEQUENCES * b->plan.spec.V, sizeof *logits);
        measure_decode(b, 1, narrow, logits);
        measure_decode(b, SEQUENCES, narrow, logits);
        free(logits);
        close_model(b);
    }
}

static void measure_model(bench *b, const char *title, const char *const *keys, const char *part)
{
    printf("%s\n", title);
    if (is_wanted(part, "decode"))
        measure_decoding(b, keys);
    if (is_wanted(part, "prefill"))
        measure_prefill(b, keys);
}

typedef struct options {
    const char *part; /* NULL: all */
    int n_threads; /* 0: all that this process may use */
} options;

static error_t parse(int key, char *text, struct argp_state *state)
{
    options *o = state->input;
    if (key != ARGP_KEY_ARG || state->arg_num > 1)
        return ARGP_ERR_UNKNOWN;
    if (state->arg_num == 0)
        o->n_threads = bench_integer("THREADS", text, 1, 1024);
    else if (strcmp(text, "product") == 0 || strcmp(text, "decode") == 0 || strcmp(text, "prefill") == 0)
        o->part = text;
    else
        bench_wrong("'%s' is not product, decode or prefill", text);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {NULL, parse, "[THREADS [PART]]",
                                     "How near generation is to its bounds, of models with random weights: tokens/s and GB/s beside "
                                     "what memory gives, and prompts beside a forward pass.\v"
                                     "THREADS: how many generate (all that this process may use). PART: product, decode or prefill "
                                     "alone (all).", NULL, NULL, NULL};
    static const char *const quickstart[] = {
        "model_dim=256", "n_layer=4",           "n_head=4", "vocab_size=256", "sequence_length=256",
        "batch_size=1",  "device_batch_size=1", NULL};
    static const char *const gpt2[] = {"architecture=gpt2", "model_dim=768",       "n_layer=12",
                                       "n_head=12",         "vocab_size=50257",    "sequence_length=1024",
                                       "batch_size=1",      "device_batch_size=1", NULL};
    dn_topo *topo;
    bench b = {0};
    options o = {0};
    dn_threads_sleep(argv);
    dn_blas_tune(argv);
    bench_parse(&argp, argc, argv, &o);
    must(dn_topo_create(1, &topo));
    int n_threads = o.n_threads ? o.n_threads : dn_topo_place(topo, 0)->n_threads;
    dn_topo_destroy(&topo);
    must(dn_stream_create("cpu", n_threads, &b.stream));
    printf("%d threads, %s\n", n_threads, b.stream->kernels->name);
    if (is_wanted(o.part, "product"))
        measure_matvec(&b);
    if (!o.part || !is_wanted(o.part, "product")) {
        measure_model(&b, "gpt, 3.28 M parameters, T 256", quickstart, o.part);
        measure_model(&b, "gpt2, 124 M parameters, T 1024", gpt2, o.part);
    }
    dn_stream_destroy(&b.stream);
    return 0;
}
