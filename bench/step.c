/*
 * How fast is the optimizer step alone? Dion on the hidden matrices of a GPT (attention: four C x C a layer,
 * MLP: 4C x C and C x 4C), against the best rate of the same threads in a plain matrix product, measured in
 * the same run. Before each step the gradients are written anew, as a backward pass would leave them.
 *
 * With --mesh, workers share the step: first the first of them takes it alone, with the others waiting, then
 * all together. Perfect division makes W times the second equal to the first.
 */
#include "base/clock.h"
#include "base/fail.h"
#include "base/random.h"
#include "compute/kernels.h"
#include "dionode/launch.h"
#include "dionode/mesh.h"
#include "sync/optimizer.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

enum { MATRICES_A_LAYER = 6, MAX_STEPS = 1000 };

typedef struct options {
    size_t dim, layers; /* 0: the two models below */
    double fraction;
    bool whole_gradients;
    int n_steps, n_threads; /* threads 0: all that this process may use */
    int mesh[DN_N_AXES];    /* all 0: no mesh, this process alone */
} options;

typedef struct model {
    const char *name;
    size_t dim, layers;
} model;

static const model models[] = {{"quickstart", 256, 4}, {"160M", 768, 12}};

static dn_optim_config config_of(const options *o)
{
    dn_group plain = {.lr_scale = 1, .weight_decay = 0.01};
    return (dn_optim_config){.matrix_rule = DN_RULE_DION,
                             .scalar_rule = DN_RULE_ADAMW,
                             .groups = {plain, plain, plain, plain},
                             .mu = 0.95,
                             .rank_fraction = o->fraction,
                             .eps = 1e-8,
                             .rank_multiple_of = 1,
                             .power_iters = 1,
                             .compress = !o->whole_gradients,
                             .beta1 = 0.9,
                             .beta2 = 0.95};
}

/* ---- the matrices of a model, on the heap of a mesh ---- */

typedef struct bed {
    dn_mesh *mesh;
    dn_param *params;
    size_t n_params, n_elements; /* of the whole model */
    dn_buf *noise;               /* as large as the largest gradient */
    dn_optimizer *optimizer;
} bed;

/* Cut as the GPT's are: projections back into the residual stream by columns over tp, the others by rows. */
static dn_param describe(const model *m, size_t index)
{
    size_t part = index % MATRICES_A_LAYER;
    bool back = part == 3 || part == 5;
    dn_param p = {.kind = DN_PARAM_MATRIX,
                  .rows = part == 4 ? 4 * m->dim : m->dim,
                  .cols = part == 5 ? 4 * m->dim : m->dim,
                  .row_cut = {back ? DN_FS : DN_TP, 1},
                  .col_cut = {back ? DN_TP : DN_FS, 1}};
    snprintf(p.name, sizeof p.name, "%zu.%zu", index / MATRICES_A_LAYER, part);
    return p;
}

static dn_param *describe_all(const model *m)
{
    dn_param *params = calloc(m->layers * MATRICES_A_LAYER, sizeof *params);
    for (size_t i = 0; params && i < m->layers * MATRICES_A_LAYER; i++)
        params[i] = describe(m, i);
    return params;
}

/* Room of noise on the heap: rounded as dn_comm_alloc rounds. */
static size_t noise_bytes(size_t count)
{
    return (count * sizeof(dn_real) / 128 + 1) * 128;
}

static size_t bed_bytes(const model *m, const options *o, const int mesh[DN_N_AXES])
{
    dn_optim_config config = config_of(o);
    size_t n = m->layers * MATRICES_A_LAYER;
    dn_param *params = describe_all(m);
    size_t bytes = params ? dn_mesh_heap_bytes(mesh) + noise_bytes(8 * m->dim * m->dim) +
                                dn_optimizer_heap_bytes(&config, params, n, mesh)
                          : 0;
    for (size_t i = 0; params && i < n; i++)
        bytes += 2 * noise_bytes(dn_param_room(&params[i], mesh));
    free(params);
    return bytes;
}

static dn_status take_noise(bed *b, dn_stream *stream, size_t room, dn_buf **out)
{
    void *memory;
    DN_TRY(dn_comm_alloc(b->mesh->all, noise_bytes(room), &memory));
    dn_real *draws = malloc(noise_bytes(room));
    if (!draws)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu random numbers", room);
    dn_random_normal(1, (uint64_t)room, 0, room, 0.02, draws);
    *out = memory;
    dn_upload(stream, *out, draws, room);
    dn_status status = dn_stream_sync(stream);
    free(draws);
    return status;
}

/* Collective. */
static dn_status make_bed(bed *b, const model *m, const options *o, dn_comm *all, const int mesh[DN_N_AXES],
                          dn_stream *stream)
{
    dn_optim_config config = config_of(o);
    *b = (bed){.n_params = m->layers * MATRICES_A_LAYER, .params = describe_all(m)};
    if (!b->params)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu parameters", b->n_params);
    DN_TRY(dn_mesh_create(all, mesh, &b->mesh));
    for (size_t i = 0; i < b->n_params; i++) {
        dn_param *p = &b->params[i];
        p->block = dn_param_block(p, mesh, b->mesh->at);
        b->n_elements += p->rows * p->cols;
        DN_TRY(take_noise(b, stream, dn_param_room(p, mesh), &p->weight));
        DN_TRY(take_noise(b, stream, dn_param_room(p, mesh), &p->grad));
    }
    DN_TRY(take_noise(b, stream, 8 * m->dim * m->dim, &b->noise));
    return dn_optimizer_create(&config, b->params, b->n_params, stream, b->mesh, &b->optimizer);
}

static void clear_bed(bed *b)
{
    dn_optimizer_destroy(&b->optimizer);
    dn_mesh_destroy(&b->mesh);
    free(b->params);
}

/* ---- measuring ---- */

/* Each gradient becomes a window of the noise that wanders from step to step. */
static void write_gradients(bed *b, dn_stream *stream, int step)
{
    for (size_t i = 0; i < b->n_params; i++) {
        size_t size = dn_param_size(&b->params[i]);
        if (size > 0)
            stream->kernels->copy(stream, b->params[i].grad,
                                  dn_at(b->noise, (1009 * (size_t)step + 7919 * i) % size), size);
    }
}

/* Collective: all begin together, and the slowest ends a step. */
static dn_status time_steps(bed *b, dn_stream *stream, int n_steps, double *seconds)
{
    dn_step_report report;
    for (int t = -2; t < n_steps; t++) { /* two to warm up */
        write_gradients(b, stream, t + 2);
        DN_TRY(dn_stream_sync(stream));
        DN_TRY(dn_comm_barrier(b->mesh->all));
        double start = dn_clock_s();
        DN_TRY(dn_optimizer_step(b->optimizer, &(dn_pace){(uint64_t)(t + 2), 0.01, 1}, &report));
        DN_TRY(dn_comm_barrier(b->mesh->all));
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

/* What one model took on one mesh. */
typedef struct timing {
    double median, fastest, slowest; /* seconds */
    double flops, peak;              /* of all workers together */
    double n_elements;
} timing;

/* Collective. */
static dn_status measure(const model *m, const options *o, dn_comm *all, const int mesh[DN_N_AXES],
                         dn_stream *stream, timing *t)
{
    static double seconds[MAX_STEPS];
    bed b;
    dn_status status = make_bed(&b, m, o, all, mesh, stream);
    if (status == DN_OK)
        status = time_steps(&b, stream, o->n_steps, seconds);
    if (status == DN_OK) {
        qsort(seconds, (size_t)o->n_steps, sizeof *seconds, by_size);
        double sums[2] = {dn_optimizer_flops(b.optimizer),
                          dn_gemm_peak(stream)}; /* beside the steps in time: the machine may be shared */
        status = dn_comm_all_reduce_scalars(all, sums, 2, DN_SUM);
        *t = (timing){.median = seconds[o->n_steps / 2],
                      .fastest = seconds[0],
                      .slowest = seconds[o->n_steps - 1],
                      .flops = sums[0],
                      .peak = sums[1],
                      .n_elements = (double)b.n_elements};
    }
    clear_bed(&b);
    return status;
}

static void print_head(const options *o, int n_threads)
{
    printf("# %s, %d threads a worker, rank fraction %g, %s, %d steps\n", dn_blas_describe(), n_threads,
           o->fraction, o->whole_gradients ? "gradients exchanged whole" : "factors exchanged", o->n_steps);
    printf("%-10s %5s %6s %7s %8s %9s %9s %9s %8s %8s %6s %6s\n", "model", "dim", "layers", "workers",
           "Mnumbers", "median ms", "min ms", "max ms", "GFLOP/s", "gemm", "share", "W t/t1");
}

/* alone: what the same step took one of the workers; NULL: this is it. */
static void print_row(const model *m, int n_workers, const timing *t, const timing *alone)
{
    printf("%-10s %5zu %6zu %7d %8.2f %9.2f %9.2f %9.2f %8.0f %8.0f %4.0f %% %6.2f\n", m->name, m->dim,
           m->layers, n_workers, t->n_elements * 1e-6, t->median * 1e3, t->fastest * 1e3, t->slowest * 1e3,
           t->flops / t->median * 1e-9, t->peak * 1e-9, 100 * t->flops / t->median / t->peak,
           n_workers * t->median / (alone ? alone : t)->median);
    fflush(stdout);
}

static const int one[DN_N_AXES] = {1, 1, 1};

static dn_status measure_alone(const model *m, const options *o, dn_stream *stream, timing *t)
{
    dn_comm *alone;
    DN_TRY(dn_comm_create_alone(bed_bytes(m, o, one), &alone));
    dn_status status = measure(m, o, alone, one, stream, t);
    dn_comm_destroy(&alone);
    return status;
}

/* Collective: the first worker alone, then all. */
static dn_status measure_shared(const model *m, const options *o, dn_comm *all, dn_stream *stream)
{
    timing alone = {0}, together;
    if (dn_comm_rank(all) == 0) {
        DN_TRY(measure_alone(m, o, stream, &alone));
        print_row(m, 1, &alone, NULL);
    }
    DN_TRY(dn_comm_barrier(all));
    size_t mark = dn_comm_heap_mark(all);
    DN_TRY(measure(m, o, all, o->mesh, stream, &together));
    if (dn_comm_rank(all) == 0)
        print_row(m, dn_comm_size(all), &together, &alone);
    return dn_comm_heap_release(all, mark);
}

/* The models to measure: one of the user's, or the two above. */
static size_t chosen(const options *o, const model *own, const model **list)
{
    *list = o->dim ? own : models;
    return o->dim ? 1 : sizeof models / sizeof *models;
}

static dn_status measure_here(const options *o)
{
    dn_stream *stream;
    const model own = {"own", o->dim, o->layers}, *list;
    size_t n = chosen(o, &own, &list);
    DN_TRY(dn_stream_create("cpu", o->n_threads, &stream));
    print_head(o, o->n_threads);
    dn_status status = DN_OK;
    for (size_t i = 0; i < n && status == DN_OK; i++) {
        timing t;
        status = measure_alone(&list[i], o, stream, &t);
        if (status == DN_OK)
            print_row(&list[i], 1, &t, NULL);
    }
    dn_stream_destroy(&stream);
    return status;
}

/* ---- workers ---- */

static dn_status work(const options *o, dn_comm *all)
{
    dn_stream *stream;
    const char *threads = getenv("OMP_NUM_THREADS");
    const model own = {"own", o->dim, o->layers}, *list;
    size_t n = chosen(o, &own, &list);
    DN_TRY(dn_stream_create("cpu", threads ? atoi(threads) : 1, &stream));
    if (dn_comm_rank(all) == 0)
        print_head(o, stream->n_threads);
    dn_status status = DN_OK;
    for (size_t i = 0; i < n && status == DN_OK; i++)
        status = measure_shared(&list[i], o, all, stream);
    dn_stream_destroy(&stream);
    return status;
}

static int worker(const options *o)
{
    dn_comm *all;
    dn_status status = dn_comm_join(0, 60, &all);
    if (status == DN_OK)
        status = work(o, all);
    return dn_comm_leave(&all, status);
}

static dn_status launch(const options *o, char **argv)
{
    dn_topo *topo;
    const model own = {"own", o->dim, o->layers}, *list;
    size_t n = chosen(o, &own, &list), arena = 0;
    for (size_t i = 0; i < n; i++)
        if (bed_bytes(&list[i], o, o->mesh) > arena)
            arena = bed_bytes(&list[i], o, o->mesh);
    DN_TRY(dn_topo_create(o->mesh[DN_DP] * o->mesh[DN_FS] * o->mesh[DN_TP], &topo));
    dn_launch_spec spec = {.topo = topo, .argv = argv, .arena_bytes = arena, .deadline_s = 60};
    dn_status status = dn_launch(&spec, NULL);
    dn_topo_destroy(&topo);
    return status;
}

/* ---- command line ---- */

static const struct argp_option argp_options[] = {
    {"dim", 'd', "C", 0, "Width of one model of your own instead of the two", 0},
    {"layers", 'l', "L", 0, "Its layers (12)", 0},
    {"fraction", 'f', "F", 0, "Rank fraction (0.25)", 0},
    {"whole-gradients", 'w', NULL, 0, "Replicas exchange gradients, not factors", 0},
    {"steps", 's', "N", 0, "Timed steps, 1 to 1000 (15)", 0},
    {"threads", 't', "N", 0, "Threads (all that this process may use; with --mesh, the plan's)", 0},
    {"mesh", 'm', "dp=D,fs=F,tp=T", 0, "Workers that share the step", 0},
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
    else if (key == 'w')
        o->whole_gradients = true;
    else if (key == 's')
        o->n_steps = (int)strtol(text, NULL, 10);
    else if (key == 't')
        o->n_threads = (int)strtol(text, NULL, 10);
    else if (key != 'm')
        return ARGP_ERR_UNKNOWN;
    else if (dn_mesh_parse(text, o->mesh) != DN_OK)
        argp_error(state, "%s", dn_error_message());
    return 0;
}

static dn_status run(options *o, char **argv)
{
    if (o->mesh[DN_DP])
        return launch(o, argv);
    if (o->n_threads == 0) {
        dn_topo *topo;
        DN_TRY(dn_topo_create(1, &topo));
        o->n_threads = dn_topo_place(topo, 0)->n_threads;
        dn_topo_destroy(&topo);
    }
    return measure_here(o);
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
    if (dn_launch_is_worker())
        return worker(&o);
    dn_status status = run(&o, argv);
    if (status != DN_OK)
        fprintf(stderr, "%s: %s\n", argv[0], dn_error_message());
    return dn_status_exit(status);
}
