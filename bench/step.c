/*
 * How fast is the optimizer step alone? Dion on the hidden matrices of a GPT (attention: four C x C a layer,
 * MLP: 4C x C and C x 4C), one replica, against the best rate of the same threads in a plain matrix product,
 * measured in the same run. Before each step the gradients are written anew, as a backward pass would leave
 * them.
 */
#include "base/clock.h"
#include "base/fail.h"
#include "base/random.h"
#include "compute/kernels.h"
#include "dionode/topo.h"
#include "sync/optimizer.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

enum { MATRICES_A_LAYER = 6, MAX_STEPS = 1000 };

typedef struct options {
    size_t dim, layers; /* 0: the two models below */
    double fraction;
    int n_steps, n_threads; /* threads 0: all that this process may use */
} options;

typedef struct model {
    const char *name;
    size_t dim, layers;
} model;

static const model models[] = {{"quickstart", 256, 4}, {"160M", 768, 12}};

/* ---- the matrices of a model, on the heap of a group of one ---- */

typedef struct bed {
    dn_comm *alone;
    dn_mesh *mesh;
    dn_param *params;
    size_t n_params, n_elements;
    dn_buf *noise; /* as large as the largest gradient */
    dn_optimizer *optimizer;
} bed;

static void describe(bed *b, const model *m)
{
    for (size_t i = 0; i < b->n_params; i++) {
        dn_param *p = &b->params[i];
        size_t part = i % MATRICES_A_LAYER;
        *p = (dn_param){.kind = DN_PARAM_MATRIX,
                        .rows = part == 4 ? 4 * m->dim : m->dim,
                        .cols = part == 5 ? 4 * m->dim : m->dim};
        dn_param_set_whole(p);
        snprintf(p->name, sizeof p->name, "%zu.%zu", i / MATRICES_A_LAYER, part);
        b->n_elements += dn_param_size(p);
    }
}

static dn_status take_noise(bed *b, dn_stream *stream, size_t count, dn_buf **out)
{
    void *memory;
    DN_TRY(dn_comm_alloc(b->alone, count * sizeof(dn_real), &memory));
    dn_real *draws = malloc(count * sizeof *draws);
    if (!draws)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu random numbers", count);
    dn_random_normal(1, (uint64_t)count, 0, count, 0.02, draws);
    *out = memory;
    dn_upload(stream, *out, draws, count);
    dn_status status = dn_stream_sync(stream);
    free(draws);
    return status;
}

static dn_status make_bed(bed *b, const model *m, const dn_optim_config *config, dn_stream *stream)
{
    *b = (bed){.n_params = m->layers * MATRICES_A_LAYER};
    b->params = calloc(b->n_params, sizeof *b->params);
    if (!b->params)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu parameters", b->n_params);
    describe(b, m);
    const int size[DN_N_AXES] = {1, 1, 1};
    size_t largest = 4 * m->dim * m->dim;
    size_t bytes = dn_optimizer_heap_bytes(config, b->params, b->n_params, size) +
                   (2 * b->n_elements + 2 * largest) * sizeof(dn_real) + 256 * b->n_params;
    DN_TRY(dn_comm_create_alone(bytes, &b->alone));
    DN_TRY(dn_mesh_create(b->alone, size, &b->mesh));
    for (size_t i = 0; i < b->n_params; i++) {
        DN_TRY(take_noise(b, stream, dn_param_size(&b->params[i]), &b->params[i].weight));
        DN_TRY(take_noise(b, stream, dn_param_size(&b->params[i]), &b->params[i].grad));
    }
    DN_TRY(take_noise(b, stream, 2 * largest, &b->noise));
    return dn_optimizer_create(config, b->params, b->n_params, stream, b->mesh, &b->optimizer);
}

static void clear_bed(bed *b)
{
    dn_optimizer_destroy(&b->optimizer);
    dn_mesh_destroy(&b->mesh);
    dn_comm_destroy(&b->alone);
    free(b->params);
}

/* ---- measuring ---- */

/* Each gradient becomes a window of the noise that wanders from step to step. */
static void write_gradients(bed *b, dn_stream *stream, int step)
{
    for (size_t i = 0; i < b->n_params; i++) {
        size_t size = dn_param_size(&b->params[i]), at = (1009 * (size_t)step + 7919 * i) % size;
        stream->kernels->copy(stream, b->params[i].grad, dn_at(b->noise, at), size);
    }
}

static dn_status time_steps(bed *b, dn_stream *stream, int n_steps, double *seconds)
{
    dn_step_report report;
    for (int t = -2; t < n_steps; t++) { /* two to warm up */
        write_gradients(b, stream, t + 2);
        DN_TRY(dn_stream_sync(stream));
        double start = dn_clock_s();
        DN_TRY(dn_optimizer_step(b->optimizer, (uint64_t)(t + 2), 0.01, &report));
        if (t >= 0)
            seconds[t] = dn_clock_s() - start;
        if (report.skipped || report.n_zero || report.n_fallback)
            return dn_fail(DN_ERR_NUMERIC, "a step on noise was not a plain step");
    }
    return DN_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static dn_status measure(const model *m, const options *o, dn_stream *stream)
{
    static double seconds[MAX_STEPS];
    dn_group plain = {.lr_scale = 1, .weight_decay = 0.01};
    dn_optim_config config = {.matrix_rule = DN_RULE_DION,
                              .scalar_rule = DN_RULE_ADAMW,
                              .groups = {plain, plain, plain, plain},
                              .mu = 0.95,
                              .rank_fraction = o->fraction,
                              .eps = 1e-8,
                              .rank_multiple_of = 1,
                              .power_iters = 1,
                              .compress = true,
                              .beta1 = 0.9,
                              .beta2 = 0.95};
    bed b;
    dn_status status = make_bed(&b, m, &config, stream);
    if (status == DN_OK)
        status = time_steps(&b, stream, o->n_steps, seconds);
    if (status == DN_OK) {
        qsort(seconds, (size_t)o->n_steps, sizeof *seconds, by_size);
        double median = seconds[o->n_steps / 2], flops = dn_optimizer_flops(b.optimizer);
        double peak = dn_gemm_peak(stream); /* beside the steps in time: the machine may be shared */
        printf("%-10s %5zu %6zu %8.2f %8.4g %9.2f %9.2f %9.2f %8.0f %8.0f %6.0f %%\n", m->name, m->dim,
               m->layers, (double)b.n_elements * 1e-6, o->fraction, median * 1e3, seconds[0] * 1e3,
               seconds[o->n_steps - 1] * 1e3, flops / median * 1e-9, peak * 1e-9,
               100 * flops / median / peak);
    }
    clear_bed(&b);
    return status;
}

static dn_status measure_all(options *o)
{
    if (o->n_threads == 0) {
        dn_topo *topo;
        DN_TRY(dn_topo_create(1, &topo));
        o->n_threads = dn_topo_place(topo, 0)->n_threads;
        dn_topo_destroy(&topo);
    }
    dn_stream *stream;
    DN_TRY(dn_stream_create("cpu", o->n_threads, &stream));
    printf("# %s, kernels %s, %d threads, %d steps\n", dn_blas_describe(), stream->kernels->name,
           o->n_threads, o->n_steps);
    printf("%-10s %5s %6s %8s %8s %9s %9s %9s %8s %8s %8s\n", "model", "dim", "layers", "Mnumbers",
           "fraction", "median ms", "min ms", "max ms", "GFLOP/s", "gemm", "share");
    const model own = {"own", o->dim, o->layers};
    dn_status status = DN_OK;
    if (o->dim)
        status = measure(&own, o, stream);
    for (size_t i = 0; !o->dim && status == DN_OK && i < sizeof models / sizeof *models; i++)
        status = measure(&models[i], o, stream);
    dn_stream_destroy(&stream);
    return status;
}

/* ---- command line ---- */

static const struct argp_option argp_options[] = {
    {"dim", 'd', "C", 0, "Width of one model of your own instead of the two", 0},
    {"layers", 'l', "L", 0, "Its layers (12)", 0},
    {"fraction", 'f', "F", 0, "Rank fraction (0.25)", 0},
    {"steps", 's', "N", 0, "Timed steps, 1 to 1000 (15)", 0},
    {"threads", 't', "N", 0, "Threads (all that this process may use)", 0},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    options *o = state->input;
    if (key == 'd')
        o->dim = strtoul(text, NULL, 10);
    else if (key == 'l')
        o->layers = strtoul(text, NULL, 10);
    else if (key == 'f')
        o->fraction = strtod(text, NULL);
    else if (key == 's')
        o->n_steps = (int)strtol(text, NULL, 10);
    else if (key == 't')
        o->n_threads = (int)strtol(text, NULL, 10);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

int main(int argc, char **argv)
{
    dn_blas_tune(argv);
    options o = {.layers = 12, .fraction = 0.25, .n_steps = 15};
    const struct argp argp = {
        argp_options,
        parse,
        NULL,
        "Times the Dion step of a GPT's hidden matrices against the peak of matrix products.",
        0,
        0,
        0};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (o.n_steps < 1 || o.n_steps > MAX_STEPS || o.layers < 1 || o.n_threads < 0) {
        fprintf(stderr, "%s: steps 1 to %d, layers at least 1, threads not negative\n", argv[0], MAX_STEPS);
        return 1;
    }
    dn_status status = measure_all(&o);
    if (status != DN_OK)
        fprintf(stderr, "%s: %s\n", argv[0], dn_error_message());
    return dn_status_exit(status);
}
