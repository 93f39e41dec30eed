/*
 * What do strategies cost? Three tables, of which each line is a ratio within this run, taken by turns with what it is held
 * against: median and quartiles.
 *
 *     codecs   encoding and decoding, and cosine transforms there and back, against what must be read and written at the least
 *              at triad's rate, or against their flops at the rate of products, whichever takes longer
 *     steps    on the hidden matrices of a GPT: of DeMo, and of Dion through the engine, against Dion by the optimizer alone
 *     memory   of each strategy's states, as counted, beside what its row says; and of all, asked for and taken
 */
#include "arguments.h"
#include "step_measure.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/random.h"
#include "bench/triad.h"
#include "codec/codec.h"
#include "compute/kernels.h"
#include "dionode/topo.h"
#include "dionode/version.h"
#include "report/json_file.h"
#include "topo/domains.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SAMPLES = 1000, LINE = 64 /* bytes that memory moves at once */ };

static const step_model models[] = {{"quickstart", 256, 4, 4}, {"160M", 768, 12, 12}};

typedef struct options {
    const step_model *model;
    const char *kernels, *json, *part; /* part NULL: all */
    int n_samples, n_threads; /* threads 0: all that this process may use */
} options;

typedef struct quartiles {
    double low, median, high;
} quartiles;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts them. */
static quartiles quartiles_of(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return (quartiles){x[n / 4], x[n / 2], x[n - 1 - n / 4]};
}

static json_t *as_json(quartiles q)
{
    return json_pack("[f, f, f]", q.low, q.median, q.high);
}

/* ---- codecs ---- */

/* x, y, work and each array of the triad are as large as the cache, and at least 64 MiB: nothing of one run is there for the
 * next. Every run finds the cache full of what the one before has written. */
typedef struct codec_bench {
    dn_stream *s;
    const options *options;
    size_t rows, cols, n;
    dn_buf *x, *y, *work;
    dn_bytes *message;
    double *triad; /* [3 n numbers] */
    enum { PLAIN, STREAMING, IN_PLACE, N_TRIADS } kind;
    const dn_codec *codec;
    dn_codec_config config;
    dn_tiling tiling;
    json_t *json;
} codec_bench;

typedef void (*body)(codec_bench *b);

static double seconds_of(codec_bench *b, body run)
{
    double start = dn_clock_s();
    run(b);
    return dn_clock_s() - start;
}

static const char *const triads[N_TRIADS] = {"plain stores", "streaming stores", "sums in place"};

/* a = b + 3 c; in place b = c / 2 + b / 2, as codecs add: then nothing is fetched only to be overwritten. */
static void triad(codec_bench *b)
{
    if (b->kind == IN_PLACE) {
        dn_buf *y = (dn_buf *)b->triad;
        b->s->kernels->axpby(b->s, y, 0.5, dn_at(y, b->n), 0.5, b->n);
        return;
    }
    size_t n = b->n * sizeof(dn_real) / sizeof(double), parts = (size_t)b->s->n_threads;
#pragma omp parallel for schedule(static) num_threads(b->s->n_threads)
    for (size_t i = 0; i < parts; i++) {
        size_t first = n / 8 * i / parts * 8, end = n / 8 * (i + 1) / parts * 8;
        double *a = b->triad + first;
        dn_triad(a, a + n, a + 2 * n, 3, end - first, b->kind == STREAMING);
    }
}

enum { PRODUCT = 1024 };

static void product(codec_bench *b)
{
    b->s->kernels->gemm(b->s, DN_N, DN_N, PRODUCT, PRODUCT, PRODUCT, 1, b->x, PRODUCT, dn_at(b->x, PRODUCT * PRODUCT), PRODUCT, 0,
                        b->y, PRODUCT);
}

static void encode_decode(codec_bench *b)
{
    dn_codec_encode(b->s, b->codec, &b->config, b->message, b->x, b->n, b->work);
    dn_codec_decode_add(b->s, b->codec, &b->config, b->y, 0.5, b->message, b->n, b->work);
}

static void transform(codec_bench *b)
{
    b->s->kernels->dct_forward(b->s, b->y, b->x, &b->tiling);
    b->s->kernels->dct_inverse(b->s, b->work, b->y, &b->tiling);
}

/* flops 0: its bytes are the limit. */
static dn_status report(codec_bench *b, const char *name, body run, double bytes, double flops)
{
    double shares[MAX_SAMPLES], times[MAX_SAMPLES], triad_bytes = 3 * (double)b->n * sizeof(dn_real), by_flops = 0;
    run(b);
    double before = seconds_of(b, triad);
    for (int i = 0; i < b->options->n_samples; i++) {
        double products = flops > 0 ? flops / (2. * PRODUCT * PRODUCT * PRODUCT) * seconds_of(b, product) : 0;
        times[i] = seconds_of(b, run);
        double after = seconds_of(b, triad), moves = bytes / triad_bytes * (before + after) / 2;
        shares[i] = fmax(moves, products) / times[i];
        by_flops += products > moves;
        before = after;
    }
    DN_TRY(dn_stream_sync(b->s));
    const quartiles share = quartiles_of(shares, b->options->n_samples), time = quartiles_of(times, b->options->n_samples);
    const char *limit = 2 * by_flops > b->options->n_samples ? "products" : "triad";
    printf("%-20s %9.2f %9.1f %9.1f %-9s %5.0f %% [%3.0f, %3.0f]\n", name, time.median * 1e3, bytes * 1e-6,
           bytes / time.median * 1e-9, limit, 100 * share.median, 100 * share.low, 100 * share.high);
    fflush(stdout);
    json_array_append_new(b->json, json_pack("{s:s, s:o, s:f, s:f, s:s, s:o}", "name", name, "seconds", as_json(time), "bytes",
                                             bytes, "flops", flops, "limit", limit, "share", as_json(share)));
    return DN_OK;
}

/* Bytes of y that a message's entries are added to: lines of which one number is not 0 after they were added to zeros. */
static dn_status touched_bytes(codec_bench *b, double *bytes)
{
    enum { NUMBERS = LINE / sizeof(dn_real) };
    dn_real *y = (dn_real *)b->triad;
    b->s->kernels->fill(b->s, b->y, b->n, 0);
    encode_decode(b);
    dn_download(b->s, y, b->y, b->n);
    DN_TRY(dn_stream_sync(b->s));
    *bytes = 0;
    for (size_t i = 0; i < b->n; i += NUMBERS) {
        bool touched = false;
        for (size_t k = i; k < i + NUMBERS; k++)
            touched = touched || y[k] != 0;
        *bytes += touched ? LINE : 0;
    }
    return DN_OK;
}

/* At the least x is read, twice where codes depend on all numbers, the message is written and read, and what it is added to is
 * read and written. */
static dn_status report_codec(codec_bench *b, const char *codec, const char *values)
{
    char name[64];
    b->codec = dn_codec_find(codec);
    b->config.values = dn_codec_find(values);
    snprintf(name, sizeof name, b->codec->entries ? "%s, %s" : "%s", codec, values);
    double of_x = (double)b->n * sizeof(dn_real), of_y = of_x;
    if (b->codec->entries)
        DN_TRY(touched_bytes(b, &of_y));
    return report(b, name, encode_decode,
                  of_x * (strcmp(codec, "int2") == 0 ? 2 : 1) + 2 * (double)dn_codec_bytes(b->codec, &b->config, b->n) + 2 * of_y,
                  0);
}

/* There and back, two products of 64 a number in tiles, one in runs. */
static dn_status report_transform(codec_bench *b, const char *name, size_t tile_rows)
{
    b->tiling = (dn_tiling){b->rows, b->cols, tile_rows, 64};
    return report(b, name, transform, 4 * (double)b->n * sizeof(dn_real), 2 * (tile_rows > 1 ? 4. : 2.) * 64 * (double)b->n);
}

/* The fastest kind, after a turn of each, in so many turns that each has run undisturbed on a shared machine. */
static void choose_triad(codec_bench *b)
{
    enum { TURNS = 20 };
    double best = INFINITY;
    int fastest = PLAIN;
    for (int turn = 0; turn < TURNS * N_TRIADS; turn++) {
        b->kind = turn % N_TRIADS;
        double time = b->kind == STREAMING && !dn_triad_can_stream() ? INFINITY : seconds_of(b, triad);
        if (turn >= N_TRIADS && time < best) {
            best = time;
            fastest = b->kind;
        }
    }
    b->kind = fastest;
}

static dn_status report_codecs(codec_bench *b)
{
    static const char *const dense[] = {"f32", "bf16", "fp4", "int8", "int2", "sign"};
    choose_triad(b);
    printf("# codecs: %zu x %zu numbers; triad with %s, the fastest; bytes at the least, share of what limits [quartiles]\n", b->rows,
           b->cols, triads[b->kind]);
    printf("%-20s %9s %9s %9s %-9s %7s\n", "codec", "ms", "MB", "GB/s", "limit", "share");
    DN_TRY(report(b, "triad itself (A/A)", triad, 3 * (double)b->n * sizeof(dn_real), 0));
    for (int i = 0; i < 6; i++)
        DN_TRY(report_codec(b, dense[i], "f32"));
    DN_TRY(report_codec(b, "topk", "f32"));
    DN_TRY(report_codec(b, "topk", "int2"));
    DN_TRY(report_codec(b, "threshold", "f32"));
    DN_TRY(report_transform(b, "cosines, 64 x 64", 64));
    return report_transform(b, "cosines, runs of 64", 1);
}

static dn_status fill_normal(codec_bench *b)
{
    dn_real *draws = (dn_real *)b->triad;
    dn_random_normal(1, 1, 0, b->n, 1, draws);
    dn_upload(b->s, b->x, draws, b->n);
    DN_TRY(dn_stream_sync(b->s));
    for (size_t i = 0; i < 3 * b->n * sizeof(dn_real) / sizeof(double); i++)
        b->triad[i] = 1;
    return DN_OK;
}

/* Of 1/64 of a tile, or of some 2 % of normal numbers, entries are sent. */
static dn_status measure_codecs(const options *o, dn_stream *s, size_t cache_bytes, json_t *json)
{
    codec_bench b = {.s = s, .options = o, .cols = 4096, .json = json};
    b.rows = (cache_bytes / (b.cols * sizeof(dn_real)) / 4096 + 1) * 4096;
    b.n = b.rows * b.cols;
    b.config = (dn_codec_config){.cols = b.cols, .tile_rows = 64, .tile_cols = 64, .k = b.n / 50, .tau = 2.326, .share = 1. / 64};
    size_t bytes = b.n * sizeof(dn_real);
    void *memory;
    DN_TRY(dn_device_alloc(s, 8 * bytes, &memory));
    b.x = memory;
    b.y = dn_at(b.x, b.n);
    b.work = dn_at(b.y, b.n);
    b.message = (dn_bytes *)dn_at(b.work, b.n); /* with its indices at most 2 n numbers */
    b.triad = malloc(3 * bytes);
    dn_status status = b.triad ? fill_normal(&b) : dn_fail(DN_ERR_MEMORY, "no memory for triad");
    if (status == DN_OK)
        status = report_codecs(&b);
    free(b.triad);
    dn_device_free(s, memory, 8 * bytes);
    return status;
}

/* ---- steps ---- */

static const int one[DN_N_AXES] = {1, 1, 1};

/* A bed that has a communicator of its own. */
typedef struct lone_bed {
    dn_comm *comm;
    step_bed bed;
} lone_bed;

static dn_status make_lone(lone_bed *b, const step_job *job, dn_stream *s)
{
    *b = (lone_bed){0};
    DN_TRY(dn_comm_create_alone(step_bytes(job, one), &b->comm));
    return step_make(&b->bed, job, b->comm, one, s);
}

static void clear_lone(lone_bed *b)
{
    step_clear(&b->bed);
    if (b->comm)
        dn_comm_destroy(&b->comm);
}

enum { ALONE, AGAIN, ENGINE, DEMO, N_STEPS };
static const char *const step_names[N_STEPS] = {"dion 1/4", "the same (A/A)", "through the engine", "demo"};

/* By turns, so that all see the same machine: each as a part of the optimizer's step before it. */
static dn_status time_steps(const options *o, dn_stream *s, lone_bed *dion, lone_bed *demo, json_t *json)
{
    static double times[N_STEPS][MAX_SAMPLES], ratios[N_STEPS][MAX_SAMPLES];
    dn_strategy_run *const engines[N_STEPS] = {[ENGINE] = dion->bed.strategy, [DEMO] = demo->bed.strategy};
    for (int i = -1; i < o->n_samples; i++) /* one to warm up */
        for (int k = 0; k < N_STEPS; k++) {
            lone_bed *b = k == DEMO ? demo : dion;
            dn_step_report report;
            double time;
            DN_TRY(step_once(&b->bed, engines[k], s, 3 * (i + 1) + (k == DEMO ? 0 : k), b->comm, &time, &report));
            if (i >= 0) {
                times[k][i] = time;
                ratios[k][i] = time / times[ALONE][i];
            }
        }
    printf("\n# steps on the hidden matrices of %s, one worker: part of Dion's [quartiles]\n%-20s %9s %7s\n", o->model->name,
           "step", "ms", "part");
    for (int k = 0; k < N_STEPS; k++) {
        const quartiles time = quartiles_of(times[k], o->n_samples), ratio = quartiles_of(ratios[k], o->n_samples);
        printf("%-20s %9.1f %7.3f [%.3f, %.3f]\n", step_names[k], time.median * 1e3, ratio.median, ratio.low, ratio.high);
        json_array_append_new(json, json_pack("{s:s, s:s, s:o, s:o}", "model", o->model->name, "step", step_names[k], "seconds",
                                              as_json(time), "part", as_json(ratio)));
    }
    return DN_OK;
}

static step_job job_of(const step_model *model, const char *strategy)
{
    return (step_job){.model = model, .rule = dn_rule_row("dion"), .fraction = 0.25, .strategy = dn_strategy_find(strategy)};
}

static dn_status measure_steps(const options *o, dn_stream *s, json_t *json)
{
    const step_job average = job_of(o->model, "average"), decoupled = job_of(o->model, "demo");
    lone_bed dion, demo = {0};
    dn_status status = make_lone(&dion, &average, s);
    if (status == DN_OK)
        status = make_lone(&demo, &decoupled, s);
    if (status == DN_OK)
        status = time_steps(o, s, &dion, &demo, json);
    clear_lone(&dion);
    clear_lone(&demo);
    return status;
}

/* ---- memory ---- */

/* Numbers that a strategy keeps, by what its row says: of each matrix each of its states, of the matrix's shape or one of its own,
 * and its numbers in four pieces. */
static double needed_numbers(const dn_strategy *strategy, const dn_strategy_config *config, const step_bed *b)
{
    double n = 4 * (double)strategy->n_numbers;
    for (int k = 0; k < dn_strategy_n_kinds(strategy); k++)
        for (size_t i = 0; i < b->n_params; i++) {
            const dn_tensor *t = &b->params[i].tensor;
            const dn_state_of_strategy *state = &strategy->states[k];
            dn_block_shape shape = state->shape ? state->shape(config, t->rows, t->cols) : (dn_block_shape){t->rows, t->cols};
            n += (double)shape.rows * (double)shape.cols;
        }
    return n;
}

static bool is_shared(const dn_strategy *strategy)
{
    return dn_strategy_n_kinds(strategy) > 0 && strategy->states[0].residence == DN_SHARDED;
}

/* Of this rank, which is the only one. */
static double counted_numbers(const dn_strategy_run *run)
{
    double n = 0;
    for (size_t i = 0; i < dn_strategy_n_states(run); i++) {
        dn_shard shard = dn_strategy_state_shard(run, i, 0);
        n += (double)shard.block.rows * (double)shard.block.cols;
    }
    return n;
}

static dn_status count_memory(const dn_strategy *strategy, dn_stream *s, bool *holds, json_t *json)
{
    const step_job job = job_of(&models[0], strategy->name);
    lone_bed b;
    dn_strategy_config config;
    dn_status status = make_lone(&b, &job, s);
    if (status == DN_OK)
        status = dn_strategy_configure(strategy, NULL, STEP_MAX_STEPS, 1, &config);
    if (status == DN_OK) {
        double e = sizeof(dn_real), counted = counted_numbers(b.bed.strategy) * e, taken = (double)b.bed.strategy_bytes,
               needed = needed_numbers(strategy, &config, &b.bed) * e,
               asked = (double)dn_strategy_heap_bytes(strategy, &config, b.bed.params, b.bed.n_params, one);
        bool right = counted == needed && asked == taken;
        *holds = *holds && right;
        printf("%-12s %12.0f %12.0f %14.0f %14.0f %14.0f%s%s\n", strategy->name, needed, counted, taken - counted, asked, taken,
               is_shared(strategy) ? "  once for all replicas" : "", right ? "" : "  DIFFERS");
        json_array_append_new(json, json_pack("{s:s, s:f, s:f, s:f, s:f}", "strategy", strategy->name, "formula_bytes", needed,
                                              "states_bytes", counted, "asked_bytes", asked, "taken_bytes", taken));
    }
    clear_lone(&b);
    return status;
}

static dn_status measure_memory(dn_stream *s, json_t *json)
{
    bool holds = true;
    printf("\n# memory of strategies on the hidden matrices of %s, one worker, bytes\n%-12s %12s %12s %14s %14s %14s\n",
           models[0].name, "strategy", "formula", "states", "messages etc.", "asked for", "taken");
    const dn_strategy *strategy;
    for (size_t i = 0; (strategy = dn_strategy_at(i)); i++)
        DN_TRY(count_memory(strategy, s, &holds, json));
    return holds ? DN_OK : dn_fail(DN_ERR_NUMERIC, "memory is not what formulas say: lines that end with DIFFERS");
}

/* ---- command line ---- */

static const char *const parts[] = {"codecs", "steps", "memory"};

static error_t parse(int key, char *text, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case 'M':
        o->model = strcmp(text, models[0].name) == 0 ? &models[0] : strcmp(text, models[1].name) == 0 ? &models[1] : NULL;
        if (!o->model)
            bench_wrong("--model: no model '%s'", text);
        return 0;
    case 'n':
        o->n_samples = bench_integer("--samples", text, 1, MAX_SAMPLES);
        return 0;
    case 't':
        o->n_threads = bench_integer("--threads", text, 1, 1024);
        return 0;
    case 'p':
        o->part = text;
        if (strcmp(text, parts[0]) != 0 && strcmp(text, parts[1]) != 0 && strcmp(text, parts[2]) != 0)
            bench_wrong("--part: '%s' is not codecs, steps or memory", text);
        return 0;
    case 'k':
        o->kernels = text;
        return 0;
    case 'j':
        o->json = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool has_part(const options *o, const char *part)
{
    return !o->part || strcmp(o->part, part) == 0;
}

static dn_status measure(options *o)
{
    dn_topo *topo;
    char processor[128];
    DN_TRY(dn_topo_create(1, &topo));
    size_t cache_bytes = dn_topo_cache_bytes(topo);
    o->n_threads = o->n_threads ? o->n_threads : dn_topo_place(topo, 0)->n_threads;
    dn_topo_destroy(&topo);
    dn_topo_processor(processor, sizeof processor);
    dn_stream *s;
    dn_status status = dn_stream_create(o->kernels, o->n_threads, &s);
    if (status == DN_ERR_ARG)
        bench_wrong("--kernels: %s", dn_error_message());
    DN_TRY(status);
    printf("# %s; %s, %s, %d samples\n", processor, s->kernels->name, dn_blas_describe(), o->n_samples);
    json_t *codecs = json_array(), *steps = json_array(), *memory = json_array();
    status = has_part(o, parts[0]) ? measure_codecs(o, s, cache_bytes, codecs) : DN_OK;
    if (status == DN_OK && has_part(o, parts[1]))
        status = measure_steps(o, s, steps);
    if (status == DN_OK && has_part(o, parts[2]))
        status = measure_memory(s, memory);
    json_t *all = json_pack("{s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o}", "version", dn_version(), "processor", processor, "kernels",
                            s->kernels->name, "threads", o->n_threads, "samples", o->n_samples, "codecs", codecs, "steps", steps,
                            "memory", memory);
    if (o->json) {
        dn_status written = dn_json_file_write(all, 9, o->json);
        status = status == DN_OK ? written : status;
    } else
        json_decref(all);
    dn_stream_destroy(&s);
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp_option rows[] = {
        {"model", 'M', "NAME", 0, "quickstart or 160M (160M): of the steps", 0},
        {"samples", 'n', "N", 0, "Of each line, 1 to 1000 (21)", 0},
        {"threads", 't', "N", 0, "Threads (all that this process may use)", 0},
        {"kernels", 'k', "NAME", 0, "cpu, or one instruction set's: cpu-avx512, cpu-avx2, cpu-base, ref (cpu)", 0},
        {"part", 'p', "NAME", 0, "codecs, steps or memory alone (all)", 0},
        {"json", 'j', "FILE", 0, "Write all numbers as JSON", 0},
        {0}};
    static const struct argp argp = {rows, parse, NULL, "What strategies cost: codecs against triad, a step of DeMo beside one of "
                                     "Dion, the engine, memory beside its formulas.", NULL, NULL, NULL};
    dn_blas_tune(argv);
    options o = {.model = &models[1], .kernels = "cpu", .n_samples = 21};
    bench_parse(&argp, argc, argv, &o);
    dn_status status = measure(&o);
    if (status != DN_OK)
        fprintf(stderr, "%s: %s\n", argv[0], dn_error_message());
    return dn_status_exit(status);
}
