/* The oracle's side in C: the numbers it starts from, and the file of vectors it wrote. */
#ifndef ORACLE_VECTORS_H
#define ORACLE_VECTORS_H

#include <math.h>
#include <string.h>

#include "support/model.h"

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

/* x [n] = amplitude * element of the stream, in [-amplitude, amplitude) */
static inline void oracle_upload(dn_stream *s, dn_buf *x, size_t n, uint32_t stream, double amplitude)
{
    dn_real *host = calloc(n, sizeof *host);
    for (size_t i = 0; i < n; i++)
        host[i] = (dn_real)(amplitude * ((oracle_bits(stream, (uint32_t)i) >> 8) * 0x1p-23 - 1));
    dn_upload(s, x, host, n);
    must(dn_stream_sync(s));
    free(host);
}

static inline void oracle_tokens(int32_t *tokens, uint32_t stream)
{
    for (uint32_t i = 0; i < ORACLE_N; i++)
        tokens[i] = (int32_t)(oracle_bits(stream, i) % oracle_shape.V);
}

static inline model oracle_model(const char *kernels)
{
    static const double amplitude[] = {
        [DN_PARAM_MATRIX] = 0.5, [DN_PARAM_EMBEDDING] = 2, [DN_PARAM_HEAD] = 1};
    model m = model_create(kernels, 2, oracle_shape, ORACLE_B);
    for (size_t p = 0; p < m.n_params; p++) {
        const dn_param *param = &m.params[p];
        oracle_upload(m.stream, param->weight, dn_param_size(param), (uint32_t)p, amplitude[param->kind]);
    }
    return m;
}

/* ---- files: "losses n", n numbers, then for each tensor "name rows cols" and its numbers ---- */

/* Opens a file of this folder and reads its n losses. */
static inline FILE *oracle_open(const char *name, double *losses, size_t n)
{
    char path[4096];
    size_t stored = 0;
    snprintf(path, sizeof path, "%s/%s", ORACLE_DIR, name);
    FILE *file = fopen(path, "r");
    bool good = file && fscanf(file, "losses %zu", &stored) == 1 && stored == n;
    for (size_t i = 0; good && i < n; i++)
        good = fscanf(file, "%la", &losses[i]) == 1;
    if (!good) {
        fprintf(stderr, "%s: not a file of %zu losses\n", path, n);
        abort();
    }
    return file;
}

/* Largest difference between x, the tensor that comes next in the file, and what is stored, as a share of the
 * largest stored number; infinite if the file holds another tensor here. */
static inline double oracle_difference(FILE *file, const dn_param *param, const dn_real *x)
{
    char name[DN_PARAM_NAME_MAX];
    size_t rows, cols;
    double worst = 0, size = 0, stored;
    if (fscanf(file, "%63s %zu %zu", name, &rows, &cols) != 3 || strcmp(name, param->name) != 0 ||
        rows != param->rows || cols != param->cols)
        return INFINITY;
    for (size_t i = 0; i < rows * cols; i++) {
        if (fscanf(file, "%la", &stored) != 1)
            return INFINITY;
        worst = larger(worst, fabs((double)x[i] - stored));
        size = larger(size, fabs(stored));
    }
    return worst / size;
}

#endif
