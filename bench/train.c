/*
 * How fast does training go? Runs the real thing - launcher, workers, exchange, optimizer - on random tokens,
 * for the quickstart model and the reference's 160M shape, with one worker that has all cores, with two
 * replicas and with two workers that share one replica (fs: its state; tp: its products), and prints
 * tokens/s, the time of a step as a part of the first row's, and the shares of GEMM peak and FMA limit: the model's own
 * flops (dn_model_flops_per_token; neither recomputation nor the optimizer counted) against the best product the
 * same workers reach in the same run. With --precision each row is followed by the same in that precision, whose limits are its own.
 */
#include "arguments.h"

#include "dionode/blas.h"
#include "dionode/launch.h"
#include "dionode/train.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct shape {
    const char *name, *yaml;
} shapes[] = {
    {"quickstart", "model_dim: 256\nn_layer: 4\nn_head: 4\nvocab_size: 256\nsequence_length: 256\n"
                   "batch_size: 16\ndevice_batch_size: 8\n"},
    {"160m", "model_dim: 768\nn_layer: 12\nn_head: 6\nvocab_size: 50304\nsequence_length: 1024\n"
             "batch_size: 2\ndevice_batch_size: 1\n"},
};

static const struct layout {
    const char *name;
    int n_workers;
    const char *yaml;
} layouts[] = {{"1", 1, ""}, {"2", 2, ""}, {"2 (fs)", 2, "fs_size: 2\n"}, {"2 (tp)", 2, "tp_size: 2\n"}};

enum { N_LAYOUTS = sizeof layouts / sizeof *layouts, WARM_UP = 2, MAX_STEPS = 1000 };

static int stopped; /* by this signal */

typedef struct options {
    const char *shape, *precision;
    int steps;
} options;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case 'm':
        o->shape = arg;
        if (strcmp(arg, shapes[0].name) != 0 && strcmp(arg, shapes[1].name) != 0)
            bench_wrong("--model: '%s' is not %s or %s", arg, shapes[0].name, shapes[1].name);
        return 0;
    case 'p':
        o->precision = arg;
        if (strcmp(arg, "mixed") != 0 && strcmp(arg, "emulated") != 0)
            bench_wrong("--precision: '%s' is not mixed or emulated", arg);
        return 0;
    case 's':
        o->steps = bench_integer("--steps", arg, 1, MAX_STEPS - WARM_UP);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* An llm.c shard of random tokens below 256, which every vocabulary here holds. */
static void write_shard(const char *path)
{
    enum { N = 1 << 18 };
    static int32_t header[256] = {20240520, 1, N};
    static uint16_t tokens[N];
    srand(1);
    for (int i = 0; i < N; i++)
        tokens[i] = (uint16_t)(rand() >> 8 & 255);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(header, sizeof header, 1, file) != 1 || fwrite(tokens, sizeof tokens, 1, file) != 1 ||
        fclose(file) != 0) {
        fprintf(stderr, "bench train: %s: %s\n", path, strerror(errno));
        exit(5);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median over a run's steps of one number in its metrics, warm-up left out. */
static double median_metric(const char *path, const char *key)
{
    double values[MAX_STEPS];
    size_t n = 0, length = 0;
    char *line = NULL;
    FILE *file = fopen(path, "r");
    for (size_t i = 0; file && getline(&line, &length, file) > 0 && n < MAX_STEPS; i++) {
        json_t *object = json_loads(line, 0, NULL);
        if (i >= WARM_UP)
            values[n++] = json_number_value(json_object_get(object, key));
        json_decref(object);
    }
    free(line);
    if (file)
        fclose(file);
    if (n == 0)
        return 0;
    qsort(values, n, sizeof *values, by_value);
    return values[n / 2];
}

/* The run of a shape and a layout in `path`, a folder that is not there yet. */
static dn_status train(const struct shape *shape, const struct layout *layout, const char *precision, int steps,
                       char **argv, const char *dir, const char *path)
{
    char text[1024];
    snprintf(text, sizeof text,
             "%s%sprecision: %s\nnum_iterations: 100000\nstop_after: %d\nval_tokens: 0\nscalar_opt: adamw\nhash_every: 0\n"
             "train_files: %s/train.bin\ncheckpoint_dir: %s\n",
             shape->yaml, layout->yaml, precision, steps + WARM_UP, dir, path);
    setenv("BENCH_TRAIN_CONFIG", text, 1);
    dn_config config;
    dn_config_init(&config);
    dn_status status = dn_config_parse(&config, text, shape->name);
    return status == DN_OK ? dn_train(&config, layout->n_workers, 0, argv, &stopped) : status;
}

/* *first_s: the step of the first layout; 0: this is it. */
static dn_status measure(const struct shape *shape, const struct layout *layout, const char *precision, int steps,
                         char **argv, const char *dir, double *first_s)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s-%td-%s", dir, shape->name, layout - layouts, precision);
    dn_status status = train(shape, layout, precision, steps, argv, dir, path);
    if (status != DN_OK || stopped)
        return status;
    strncat(path, "/metrics.jsonl", sizeof path - strlen(path) - 1);
    double step_s = median_metric(path, "step_s");
    *first_s = *first_s > 0 ? *first_s : step_s;
    printf("%-12s %7s %9s %12.0f %12.1f %8.3f %12.1f%% %12.1f%%\n", shape->name, layout->name, precision,
           median_metric(path, "tokens_per_s"), 1e3 * step_s, step_s / *first_s,
           100 * median_metric(path, "peak_share"), 100 * median_metric(path, "fma_share"));
    fflush(stdout);
    return DN_OK;
}

/* On one core one worker only. */
static dn_status measure_shape(const struct shape *shape, const options *o, int n_cores, char **argv,
                               const char *dir)
{
    dn_status status = DN_OK;
    double first_s = 0;
    for (int i = 0; i < N_LAYOUTS && status == DN_OK && !stopped; i++)
        if (layouts[i].n_workers <= n_cores) {
            status = measure(shape, &layouts[i], "float", o->steps, argv, dir, &first_s);
            if (o->precision && status == DN_OK && !stopped)
                status = measure(shape, &layouts[i], o->precision, o->steps, argv, dir, &first_s);
        }
    return status;
}

static int worker(void)
{
    dn_config config;
    dn_config_init(&config);
    const char *text = getenv("BENCH_TRAIN_CONFIG");
    if (!text || dn_config_parse(&config, text, "BENCH_TRAIN_CONFIG") != DN_OK)
        return 2;
    return dn_train_worker(&config);
}

static dn_status measure_all(const options *o, char **argv, const char *dir)
{
    dn_topo *topo;
    dn_status status = dn_topo_create(1, &topo);
    if (status != DN_OK)
        return status;
    int n_cores = dn_topo_machine(topo)->n_usable;
    dn_topo_destroy(&topo);
    printf("# %s; %d steps after %d of warm-up, medians\n", dn_blas_describe(), o->steps, WARM_UP);
    printf("%-12s %7s %9s %12s %12s %8s %13s %13s\n", "model", "workers", "precision", "tokens/s", "ms/step", "of first",
           "of GEMM peak", "of FMA limit");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && status == DN_OK && !stopped; i++)
        if (!o->shape || strcmp(o->shape, shapes[i].name) == 0)
            status = measure_shape(&shapes[i], o, n_cores, argv, dir);
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp_option rows[] = {
        {"model", 'm', "NAME", 0, "Only quickstart or 160m", 0},
        {"precision", 'p', "NAME", 0, "Also measure this precision (mixed, emulated)", 0},
        {"steps", 's', "N", 0, "Steps to measure, 1 to 998 (20)", 0},
        {0},
    };
    static const struct argp argp = {rows, parse, NULL, "Training speed of two models on random tokens, by one worker and by two: tokens/s, "
                                     "ms a step, and shares of GEMM peak and FMA limit.", NULL, NULL, NULL};
    dn_blas_tune(argv);
    if (dn_launch_is_worker())
        return worker();
    options o = {.steps = 20};
    bench_parse(&argp, argc, argv, &o);
    char dir[] = "/tmp/dionode-bench-XXXXXX", command[64], path[64];
    if (!mkdtemp(dir))
        return 5;
    snprintf(path, sizeof path, "%s/train.bin", dir);
    write_shard(path);
    dn_status status = measure_all(&o, argv, dir);
    if (status != DN_OK)
        fprintf(stderr, "bench train: %s\n", dn_error_message());
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    return system(command) != 0 ? 5 : stopped ? 128 + stopped : dn_status_exit(status);
}
