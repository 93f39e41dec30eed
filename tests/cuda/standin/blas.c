/* The stand-in's products: column-major, sums in double. */
#include "cublasLt.h"

#include "../../support/bf16.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct standin_blas {
    int unused;
};

struct standin_product {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    int32_t ta, tb;
};

struct standin_layout {
    cudaDataType_t type;
    uint64_t rows, cols;
    int64_t ld, stride;
    int32_t count;
};

struct standin_wish {
    uint64_t workspace_bytes;
    uint32_t reductions, align[4];
};

#define NEW(out, ...)                                                                                        \
    do {                                                                                                     \
        *(out) = malloc(sizeof **(out));                                                                     \
        if (!*(out))                                                                                         \
            abort();                                                                                         \
        **(out) = (__typeof__(**(out))){__VA_ARGS__};                                                        \
    } while (0)

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
    NEW(out, 0);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    NEW(out, .compute = compute, .scale = scale);
    return CUBLAS_STATUS_SUCCESS;
}

/* *field = value, if it has its size. */
static cublasStatus_t set(void *field, size_t size, const void *value, size_t bytes)
{
    if (bytes != size)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t name, const void *value,
                                              size_t bytes)
{
    return set(name == CUBLASLT_MATMUL_DESC_TRANSA ? &product->ta : &product->tb, sizeof product->ta, value,
               bytes);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product)
{
    free(product);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType_t type, uint64_t rows,
                                          uint64_t cols, int64_t ld)
{
    NEW(out, .type = type, .rows = rows, .cols = cols, .ld = ld, .count = 1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t name, const void *value,
                                                size_t bytes)
{
    return name == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT
               ? set(&layout->count, sizeof layout->count, value, bytes)
               : set(&layout->stride, sizeof layout->stride, value, bytes);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    free(layout);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    NEW(out, .reductions = 7, .align = {256, 256, 256, 256});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t wish,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void *value, size_t bytes)
{
    if (name == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return set(&wish->workspace_bytes, sizeof wish->workspace_bytes, value, bytes);
    if (name == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
        return set(&wish->reductions, sizeof wish->reductions, value, bytes);
    return set(&wish->align[name - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], sizeof *wish->align, value,
               bytes);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t wish)
{
    free(wish);
    return CUBLAS_STATUS_SUCCESS;
}

/* Rows of op(X), or its columns. */
static uint64_t rows_of(cublasLtMatrixLayout_t x, int32_t op)
{
    return op == CUBLAS_OP_N ? x->rows : x->cols;
}

static bool fits(cublasLtMatmulDesc_t p, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                 cublasLtMatrixLayout_t c)
{
    cublasLtMatrixLayout_t all[] = {a, b, c};
    bool sound = rows_of(a, p->ta) == c->rows && rows_of(b, !p->tb) == c->cols &&
                 rows_of(a, !p->ta) == rows_of(b, p->tb) &&
                 (p->compute == CUBLAS_COMPUTE_64F) == (c->type == CUDA_R_64F) &&
                 p->scale == (c->type == CUDA_R_16BF ? CUDA_R_32F : c->type);
    sound = sound && a->type == b->type &&
            (a->type == c->type || (a->type == CUDA_R_16BF && c->type == CUDA_R_32F));
    for (int i = 0; i < 3; i++)
        sound = sound && all[i]->rows > 0 && all[i]->cols > 0 && all[i]->ld >= (int64_t)all[i]->rows &&
                all[i]->count == c->count && all[i]->count > 0;
    return sound;
}

/* Of a way that adds without atomics only if that was asked for; the rest is as if it needed all that it may
 * have. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t wish, int most,
                                              cublasLtMatmulHeuristicResult_t *found, int *n)
{
    *n = 0;
    if (!fits(product, a, b, c) || !fits(product, a, b, d) ||
        wish->reductions != CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE || most < 1)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    found->algo.workspace_bytes = wish->workspace_bytes;
    memcpy(found->algo.align, wish->align, sizeof wish->align);
    *n = 1;
    return CUBLAS_STATUS_SUCCESS;
}

typedef struct multiplication {
    struct standin_product product;
    struct standin_layout of_a, of_b, of_d;
    double alpha, beta;
    const void *a, *b;
    void *d;
} multiplication;

static double get(const struct standin_layout *of, const void *x, int64_t at)
{
    if (of->type == CUDA_R_16BF)
        return of_bf16(((const uint16_t *)x)[at]);
    return of->type == CUDA_R_64F ? ((const double *)x)[at] : (double)((const float *)x)[at];
}

static void put(const struct standin_layout *of, void *x, int64_t at, double sum)
{
    if (of->type == CUDA_R_16BF)
        ((uint16_t *)x)[at] = nearest_bf16(sum);
    else if (of->type == CUDA_R_64F)
        ((double *)x)[at] = sum;
    else
        ((float *)x)[at] = (float)sum;
}

static void run_multiplication(void *own)
{
    const multiplication *x = own;
    uint64_t depth = x->product.ta == CUBLAS_OP_N ? x->of_a.cols : x->of_a.rows;
    for (int64_t i = 0; i < x->of_d.count; i++)
        for (uint64_t col = 0; col < x->of_d.cols; col++)
            for (uint64_t row = 0; row < x->of_d.rows; row++) {
                int64_t at = i * x->of_d.stride + (int64_t)row + (int64_t)col * x->of_d.ld;
                int64_t a =
                    i * x->of_a.stride + (int64_t)row * (x->product.ta == CUBLAS_OP_N ? 1 : x->of_a.ld);
                int64_t b =
                    i * x->of_b.stride + (int64_t)col * (x->product.tb == CUBLAS_OP_N ? x->of_b.ld : 1);
                int64_t step_a = x->product.ta == CUBLAS_OP_N ? x->of_a.ld : 1,
                        step_b = x->product.tb == CUBLAS_OP_N ? 1 : x->of_b.ld;
                double sum = 0;
                for (uint64_t l = 0; l < depth; l++, a += step_a, b += step_b)
                    sum += get(&x->of_a, x->a, a) * get(&x->of_b, x->b, b);
                sum = x->alpha * sum + (x->beta == 0 ? 0 : x->beta * get(&x->of_d, x->d, at));
                put(&x->of_d, x->d, at, sum);
            }
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t of_a, const void *b,
                              cublasLtMatrixLayout_t of_b, const void *beta, const void *c,
                              cublasLtMatrixLayout_t of_c, void *d, cublasLtMatrixLayout_t of_d,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream)
{
    const void *addresses[] = {a, b, c, d};
    bool sound = fits(product, of_a, of_b, of_c) && fits(product, of_a, of_b, of_d) && c == d &&
                 of_c == of_d && workspace && workspace_bytes >= algorithm->workspace_bytes;
    for (int i = 0; i < 4; i++)
        sound = sound && (uintptr_t)addresses[i] % algorithm->align[i] == 0;
    multiplication *x = sound ? malloc(sizeof *x) : NULL;
    if (!x)
        return CUBLAS_STATUS_INVALID_VALUE;
    bool wide = product->scale == CUDA_R_64F;
    *x = (multiplication){
        .product = *product, .of_a = *of_a, .of_b = *of_b, .of_d = *of_d, .a = a, .b = b, .d = d};
    x->alpha = wide ? *(const double *)alpha : (double)*(const float *)alpha;
    x->beta = wide ? *(const double *)beta : (double)*(const float *)beta;
    standin_queue(stream, run_multiplication, free, x);
    return CUBLAS_STATUS_SUCCESS;
}
