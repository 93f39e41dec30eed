#include "step_measure.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/random.h"
#include "bench/triad.h"
#include "compute/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MATRICES_A_LAYER = 6, TRIAD_TURNS = 10 };

static dn_optim_config config_of(const step_job *job)
{
    dn_optim_config config = dn_optim_defaults();
    config.matrix_rule = job->rule->info.name;
    config.rank_fraction = job->fraction;
    config.compress = !job->whole_gradients;
    return config;
}

int step_tensors(const dn_rule *rule)
{
    return rule->executor == DN_ELEMENT_WISE ? 2 + dn_rule_n_states(rule) : 0;
}

/* ---- the matrices of a model, on the heap of a mesh ---- */

static size_t noise_size(const step_model *m)
{
    return 8 * m->dim * m->dim;
}

/* Cut as the GPT's are: projections back into the residual stream by columns over tp, the others by rows. */
static dn_param describe(const step_model *m, size_t index)
{
    size_t part = index % MATRICES_A_LAYER;
    bool back = part == 3 || part == 5;
    dn_param p = {.kind = DN_PARAM_MATRIX,
                  .tensor.rows = part == 4 ? 4 * m->dim : m->dim,
                  .tensor.cols = part == 5 ? 4 * m->dim : m->dim,
                  .tensor.row_sharding = {back ? DN_FS : DN_TP, 1},
                  .tensor.col_sharding = {back ? DN_TP : DN_FS, 1}};
    snprintf(p.tensor.name, sizeof p.tensor.name, "%zu.%zu", index / MATRICES_A_LAYER, part);
    return p;
}

static dn_param *describe_all(const step_model *m)
{
    dn_param *params = calloc(m->layers * MATRICES_A_LAYER, sizeof *params);
    for (size_t i = 0; params && i < m->layers * MATRICES_A_LAYER; i++)
        params[i] = describe(m, i);
    return params;
}

/* Room on the heap: rounded as dn_comm_alloc rounds. */
static size_t room_bytes(size_t count)
{
    return (count * sizeof(dn_real) / 128 + 1) * 128;
}

/* Numbers of the strategy, defaults of its options; *own = the optimizer's mesh. */
static dn_status configure(const step_job *job, const int mesh[DN_N_AXES], dn_strategy_config *config, int own[DN_N_AXES])
{
    memcpy(own, mesh, DN_N_AXES * sizeof *own);
    if (!job->strategy)
        return DN_OK;
    dn_strategy_mesh_size(job->strategy, mesh, own);
    return dn_strategy_configure(job->strategy, NULL, STEP_MAX_STEPS, 1, config);
}

size_t step_bytes(const step_job *job, const int mesh[DN_N_AXES])
{
    const step_model *m = job->model;
    dn_optim_config config = config_of(job);
    dn_strategy_config strategy;
    int own[DN_N_AXES];
    size_t n = m->layers * MATRICES_A_LAYER;
    dn_param *params = describe_all(m);
    if (!params || configure(job, mesh, &strategy, own) != DN_OK) {
        free(params);
        return 0;
    }
    size_t stepped = job->strategy ? dn_strategy_n_stepped(job->strategy, n) : n;
    size_t bytes = dn_mesh_heap_bytes(mesh) + room_bytes(noise_size(m)) +
                   dn_optimizer_heap_bytes(&config, params, stepped, own) +
                   (job->strategy ? dn_strategy_heap_bytes(job->strategy, &strategy, params, n, mesh) : 0);
    for (size_t i = 0; i < n; i++)
        bytes += 2 * room_bytes(dn_param_max_size(&params[i], mesh));
    free(params);
    return bytes;
}

static dn_status take(step_bed *b, size_t count, dn_buf **out)
{
    void *memory;
    DN_TRY(dn_comm_alloc(b->mesh->all, room_bytes(count), &memory));
    *out = memory;
    return DN_OK;
}

static dn_status make_noise(step_bed *b, dn_stream *stream, size_t count)
{
    DN_TRY(take(b, count, &b->noise));
    dn_real *draws = malloc(room_bytes(count));
    if (!draws)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu random numbers", count);
    dn_random_normal(1, 0, 0, count, 0.02, draws);
    dn_upload(stream, b->noise, draws, count);
    dn_status status = dn_stream_sync(stream);
    free(draws);
    return status;
}

static dn_status open_strategy(step_bed *b, const step_job *job, const dn_strategy_config *config, dn_stream *stream)
{
    const dn_strategy_parts parts = {.optim = &b->config, .params = b->params, .n_params = b->n_params, .stream = stream,
                                     .mesh = b->mesh, .optimizer = b->optimizer};
    size_t before = dn_comm_heap_mark(b->mesh->all);
    DN_TRY(dn_strategy_open(job->strategy, config, &parts, &b->strategy));
    b->strategy_bytes = dn_comm_heap_mark(b->mesh->all) - before;
    return dn_strategy_begin(b->strategy);
}

dn_status step_make(step_bed *b, const step_job *job, dn_comm *all, const int mesh[DN_N_AXES], dn_stream *stream)
{
    dn_strategy_config strategy;
    int own[DN_N_AXES];
    *b = (step_bed){.n_params = job->model->layers * MATRICES_A_LAYER, .params = describe_all(job->model),
                    .config = config_of(job)};
    if (!b->params)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu parameters", b->n_params);
    DN_TRY(configure(job, mesh, &strategy, own));
    DN_TRY(dn_mesh_create(all, mesh, &b->mesh));
    DN_TRY(make_noise(b, stream, noise_size(job->model)));
    for (size_t i = 0; i < b->n_params; i++) {
        dn_param *p = &b->params[i];
        p->block = dn_param_block(p, mesh, b->mesh->at);
        b->n_elements += p->tensor.rows * p->tensor.cols;
        DN_TRY(take(b, dn_param_max_size(p, mesh), &p->weight));
        DN_TRY(take(b, dn_param_max_size(p, mesh), &p->grad));
        stream->kernels->copy(stream, p->weight, b->noise, dn_param_size(p));
    }
    b->own = job->strategy ? dn_strategy_mesh(job->strategy, b->mesh) : *b->mesh;
    size_t stepped = job->strategy ? dn_strategy_n_stepped(job->strategy, b->n_params) : b->n_params;
    DN_TRY(dn_optimizer_create(&b->config, b->params, stepped, stream, &b->own, &b->optimizer));
    return job->strategy ? open_strategy(b, job, &strategy, stream) : DN_OK;
}

void step_clear(step_bed *b)
{
    dn_strategy_close(&b->strategy);
    dn_optimizer_destroy(&b->optimizer);
    dn_mesh_destroy(&b->mesh);
    free(b->params);
}

/* ---- steps ---- */

/* Each gradient becomes a window of the noise that wanders from step to step. */
static void write_gradients(step_bed *b, dn_stream *stream, int step)
{
    for (size_t i = 0; i < b->n_params; i++) {
        size_t size = dn_param_size(&b->params[i]);
        if (size > 0)
            stream->kernels->copy(stream, b->params[i].grad,
                                  dn_at(b->noise, (1009 * (size_t)step + 7919 * i) % size), size);
    }
}

dn_status step_once(step_bed *b, dn_strategy_run *engine, dn_stream *stream, int step, dn_comm *world, double *seconds,
                    dn_step_report *report)
{
    const dn_step_params params = {(uint64_t)step, 0.01, 1};
    write_gradients(b, stream, step);
    DN_TRY(dn_stream_sync(stream));
    DN_TRY(dn_comm_barrier(b->mesh->all));
    double start = dn_clock_s();
    DN_TRY(engine ? dn_strategy_step(engine, &params, 0, report) : dn_optimizer_step(b->optimizer, &params, report));
    DN_TRY(dn_comm_barrier(b->mesh->all));
    *seconds = dn_clock_s() - start;
    dn_comm_tick(world, (uint64_t)step, "step");
    if (report->skipped || report->n_zero)
        return dn_fail(DN_ERR_NUMERIC, "a step on noise was not a plain step");
    return DN_OK;
}

static dn_status time_steps(step_bed *b, dn_stream *stream, int n_steps, dn_comm *world, double *seconds,
                            dn_step_report *report)
{
    for (int t = -2; t < n_steps; t++) /* two to warm up */
        DN_TRY(step_once(b, b->strategy, stream, t + 2, world, t < 0 ? &seconds[0] : &seconds[t], report));
    return DN_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- limits ---- */

/* Three arrays of n elements for each thread. */
typedef struct arrays {
    double *a;
    size_t n, stride; /* from one array to the next */
} arrays;

/* Whole pages and a third of one: loads do not wait for stores to addresses that look alike. */
static size_t stride_of(size_t n, int n_threads)
{
    return n * (size_t)n_threads / 512 * 512 + 512 + 176;
}

static void run_triad(dn_stream *stream, const arrays *x, bool streaming)
{
#pragma omp parallel for schedule(static) num_threads(stream->n_threads)
    for (int i = 0; i < stream->n_threads; i++) {
        double *a = x->a + x->n * (size_t)i;
        dn_triad(a, a + x->stride, a + 2 * x->stride, 3, x->n, streaming);
    }
}

/* Collective. *bytes_s = the most that all workers move together; from the first one's start to the last
 * one's end. */
static dn_status best_triad(dn_comm *all, dn_stream *stream, const arrays *x, double *bytes_s)
{
    int n_turns = dn_triad_can_stream() ? 2 * TRIAD_TURNS : TRIAD_TURNS;
    double best_s = INFINITY, elements = (double)x->n * stream->n_threads * dn_comm_size(all);
    for (int turn = 0; turn < n_turns; turn++) {
        DN_TRY(dn_comm_barrier(all));
        double times[2] = {-dn_clock_s()}; /* one clock for all; the greatest of -start is the first */
        run_triad(stream, x, turn >= TRIAD_TURNS); /* these empty the caches: afterwards */
        times[1] = dn_clock_s();
        DN_TRY(dn_comm_all_reduce_scalars(all, times, 2, DN_MAX));
        if (turn % TRIAD_TURNS) /* the first of a kind of stores warms up */
            best_s = fmin(best_s, times[1] + times[0]);
    }
    *bytes_s = 3 * sizeof(double) * elements / best_s;
    return DN_OK;
}

/* Collective. Over as many bytes as the steps work on, so that caches help both alike. */
static dn_status triad_rate(dn_comm *all, dn_stream *stream, double step_footprint, double *bytes_s)
{
    double slices = 3.0 * sizeof(double) * stream->n_threads * dn_comm_size(all);
    size_t n = ((size_t)(step_footprint / slices) / 16 + 1) * 16; /* whole lines */
    size_t stride = stride_of(n, stream->n_threads), bytes = 3 * stride * sizeof(double);
    void *memory;
    DN_TRY(dn_device_alloc(stream, bytes, &memory));
    dn_status status = best_triad(all, stream, &(arrays){memory, n, stride}, bytes_s);
    dn_device_free(stream, memory, bytes);
    return status;
}

/* Collective. Of all workers together; right after the steps, as the machine may be shared. */
static dn_status take_limit(const step_job *job, dn_comm *all, dn_stream *stream, step_bed *b, step_timing *timing)
{
    if (step_tensors(job->rule) == 0) {
        dn_flop_limits own = dn_flop_limits_measure(stream, 0.2);
        double sums[3] = {dn_optimizer_flops(b->optimizer), own.gemm, own.fma};
        DN_TRY(dn_comm_all_reduce_scalars(all, sums, 3, DN_SUM));
        timing->work = sums[0];
        timing->limit = sums[1];
        timing->fma = sums[2];
        return DN_OK;
    }
    double bytes = step_tensors(job->rule) * timing->n_elements * sizeof(dn_real);
    timing->work = 2 * bytes;
    return triad_rate(all, stream, bytes, &timing->limit);
}

static dn_status measure(step_bed *b, const step_job *job, dn_comm *all, dn_stream *stream, dn_comm *world,
                         step_timing *timing)
{
    static double seconds[STEP_MAX_STEPS];
    dn_step_report report = {0};
    DN_TRY(time_steps(b, stream, job->n_steps, world, seconds, &report));
    qsort(seconds, (size_t)job->n_steps, sizeof *seconds, by_size);
    *timing = (step_timing){.median = seconds[job->n_steps / 2],
                            .fastest = seconds[0],
                            .slowest = seconds[job->n_steps - 1],
                            .n_elements = (double)b->n_elements,
                            .n_fallback = report.n_fallback};
    return take_limit(job, all, stream, b, timing);
}

dn_status step_measure(const step_job *job, dn_comm *all, const int mesh[DN_N_AXES], dn_stream *stream,
                       dn_comm *world, step_timing *timing)
{
    step_bed b;
    dn_status status = step_make(&b, job, all, mesh, stream);
    if (status == DN_OK)
        status = measure(&b, job, all, stream, world, timing);
    step_clear(&b);
    return status;
}
