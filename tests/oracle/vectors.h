/* The oracle's side in C: the numbers it starts from, and the file of vectors it wrote. */
#ifndef ORACLE_VECTORS_H
#define ORACLE_VECTORS_H

#include <math.h>
#include <string.h>

#include "dionode/config.h"
#include "optim/schedule.h"
#include "shard/optimizer.h"
#include "support/close.h"
#include "support/model.h"
#include "train/plan.h"

/* The model of gpt_oracle.py. */
static const dn_spec oracle_shape = {.V = 19, .T = 11, .C = 12, .L = 2, .attention.NH = 2};
enum { ORACLE_B = 3, ORACLE_N = 3 * 11 };

/* ---- numbers that both sides compute exactly: see gpt_oracle.py ---- */

static inline uint32_t oracle_mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352d;
    x ^= x >> 15;
    x *= 0x846ca68b;
    return x ^ x >> 16;
}

static inline uint32_t oracle_bits(uint32_t stream, uint32_t index)
{
    return oracle_mix(oracle_mix(stream) + index);
}

/* x [n] = offset + amplitude * element of the stream, in [offset - amplitude, offset + amplitude) */
static inline void oracle_upload(dn_stream *s, dn_buf *x, size_t n, uint32_t stream, double offset,
                                 double amplitude)
{
    dn_real *host = calloc(n, sizeof *host);
    for (size_t i = 0; i < n; i++)
        host[i] = (dn_real)(offset + amplitude * ((oracle_bits(stream, (uint32_t)i) >> 8) * 0x1p-23 - 1));
    dn_upload(s, x, host, n);
    must(dn_stream_sync(s));
    free(host);
}

static inline void oracle_tokens(const model *m, int32_t *tokens, uint32_t stream)
{
    for (uint32_t i = 0; i < m->B * m->spec.T; i++)
        tokens[i] = (int32_t)(oracle_bits(stream, i) % m->spec.V);
}

static inline model oracle_model(const char *kernels, dn_spec spec, size_t B)
{
    static const double amplitude[] = {
        [DN_PARAM_MATRIX] = 0.5, [DN_PARAM_EMBEDDING] = 2, [DN_PARAM_HEAD] = 1, [DN_PARAM_VECTOR] = 0.5};
    model m = model_create(kernels, 2, spec, B);
    for (size_t p = 0; p < m.n_params; p++) {
        const dn_param *param = &m.params[p];
        oracle_upload(m.stream, param->weight, dn_param_size(param), (uint32_t)p,
                      param->kind == DN_PARAM_VECTOR, amplitude[param->kind]);
    }
    return m;
}

/* ---- files: "losses n", n numbers, then for each tensor "name rows cols" and its numbers ---- */

/* Opens a file of this folder. */
static inline FILE *oracle_open(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", ORACLE_DIR, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s cannot be opened\n", path);
        abort();
    }
    return file;
}

/* The n losses that come next. */
static inline void oracle_losses(FILE *file, double *losses, size_t n)
{
    size_t stored = 0;
    bool good = fscanf(file, " losses %zu", &stored) == 1 && stored == n;
    for (size_t i = 0; good && i < n; i++)
        good = fscanf(file, "%la", &losses[i]) == 1;
    if (!good) {
        fprintf(stderr, "no file of %zu losses\n", n);
        abort();
    }
}

/* Largest difference between x, the tensor that comes next in the file, and what is stored, as a share of the
 * largest stored number; infinite if the file holds another tensor here. */
static inline double oracle_difference(FILE *file, const dn_param *param, const dn_real *x)
{
    char name[DN_PARAM_NAME_MAX];
    size_t rows, cols;
    double worst = 0, size = 0, stored;
    if (fscanf(file, "%63s %zu %zu", name, &rows, &cols) != 3 || strcmp(name, param->tensor.name) != 0 ||
        rows != param->tensor.rows || cols != param->tensor.cols)
        return INFINITY;
    for (size_t i = 0; i < rows * cols; i++) {
        if (fscanf(file, "%la", &stored) != 1)
            return INFINITY;
        worst = larger(worst, fabs((double)x[i] - stored));
        size = larger(size, fabs(stored));
    }
    return worst / size;
}

/* The model's loss and every gradient, of the oracle's micro-batch, against what comes next in the file. */
static inline void oracle_check_gradients(const char *kernels, dn_spec spec, size_t B, FILE *file,
                                          double tolerance)
{
    double loss = 0, expected;
    model m = oracle_model(kernels, spec, B);
    oracle_tokens(&m, m.tokens, 1000);
    oracle_tokens(&m, m.targets, 2000);
    must(dn_model_train(m.model, m.tokens, m.targets, B, 1, &loss));

    oracle_losses(file, &expected, 1);
    assert_close(loss, expected, tolerance * expected);
    for (size_t p = 0; p < m.n_params; p++) {
        dn_real *gradient = host_copy(m.stream, m.params[p].grad, dn_param_size(&m.params[p]));
        assert_below(oracle_difference(file, &m.params[p], gradient), tolerance);
        free(gradient);
    }
    model_destroy(&m);
}

/* ---- runs: "run", settings as a user gives them, a line each, then "losses" and one number a step ---- */

enum { ORACLE_NAME_MAX = 1024 };

/* The next run of the file: its settings are added to config, its losses of n steps are the result; name: the settings. False at
 * the end. */
static inline bool oracle_next_run(FILE *file, dn_config *config, char name[ORACLE_NAME_MAX], double *losses, size_t n)
{
    char line[1024];
    *name = 0;
    if (!fgets(line, sizeof line, file))
        return false;
    bool good = strcmp(line, "run\n") == 0;
    while (good && (good = fgets(line, sizeof line, file)) && strncmp(line, "losses", 6) != 0) {
        line[strcspn(line, "\n")] = 0;
        must(dn_config_set(config, line));
        size_t used = strlen(name);
        snprintf(name + used, ORACLE_NAME_MAX - used, "%s%s", used ? " " : "", line);
    }
    char *at = line + 6, *end = at;
    for (size_t i = 0; good && i < n; i++, at = end) {
        losses[i] = strtod(at, &end);
        good = end > at;
    }
    if (!good) {
        fprintf(stderr, "no run of %zu losses: %s\n", n, name);
        abort();
    }
    return true;
}

/* Trains a model alone as the plan says, n steps; batch fills its tokens and targets for a step, whose losses count times scale.
 * sums [n] = each step's sum of losses. */
static inline void oracle_train(model *m, const dn_plan *plan, size_t n, void (*batch)(model *m, uint32_t step, void *context),
                                void *context, double scale, double *sums)
{
    dn_comm *alone;
    dn_mesh *mesh;
    dn_optimizer *optimizer;
    must(dn_comm_create_alone(dn_optimizer_heap_bytes(&plan->optim, m->params, m->n_params, model_mesh_size), &alone));
    must(dn_mesh_create(alone, model_mesh_size, &mesh));
    must(dn_optimizer_create(&plan->optim, m->params, m->n_params, m->stream, mesh, &optimizer));
    for (uint32_t step = 0; step < n; step++) {
        double lr = plan->config.lr * dn_schedule_factor(&plan->lr_schedule, step, n);
        dn_step_report report;
        batch(m, step, context);
        sums[step] = 0;
        m->stream->kernels->fill(m->stream, m->params[0].grad, m->n_elements, 0);
        must(dn_model_train(m->model, m->tokens, m->targets, m->B, scale, &sums[step]));
        must(dn_optimizer_step(optimizer, &(dn_step_params){step, lr, 1}, &report));
    }
    dn_optimizer_destroy(&optimizer);
    dn_mesh_destroy(&mesh);
    dn_comm_destroy(&alone);
}

#endif
