/*
 * Products, by cuBLASLt. Its matrices are column-major: a row-major one is its transpose there, so C' =
 * op(B)' op(A)' is asked for, operands and sizes swapped. What is prepared for a shape is kept with the
 * stream; sums are split in no way that rounds otherwise in another run.
 *
 * In mixed precision operands of products of layers are of bfloat16: as they lie, if their handles are narrow and
 * rows begin at whole 16 bytes, or copies that are made anew for each product. A product may be of bfloat16, too.
 */
#include "compute/kernels.h"
#include "device/cuda/cuda.h"

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OP(name, ...)                                                                                        \
    void dn_cuda_##name DN_OP_PARAMETERS(__VA_ARGS__), dn_cuda_mixed_##name DN_OP_PARAMETERS(__VA_ARGS__);
#include "compute/ops.h"
#undef OP

/* C [m,n], rows ldc apart, times beta (0: zeros): where there is nothing to multiply. symmetric.cu */
void dn_cuda_scale_rows(dn_stream *s, dn_buf *c, size_t m, size_t n, size_t ldc, double beta);
/* bf16.cu */
void dn_cuda_round_rows(dn_stream *s, void *to, size_t ld_to, const dn_buf *x, size_t ld, size_t rows,
                        size_t cols);

/* What is rounded to bfloat16 is kept as such, but in double, where nothing else adds in double. */
#ifdef DN_REAL_DOUBLE
typedef double rounded;
static const cudaDataType_t type = CUDA_R_64F, type_of_rounded = CUDA_R_64F;
static const cublasComputeType_t compute = CUBLAS_COMPUTE_64F;
#else
typedef uint16_t rounded;
static const cudaDataType_t type = CUDA_R_32F, type_of_rounded = CUDA_R_16BF;
static const cublasComputeType_t compute = CUBLAS_COMPUTE_32F; /* not TF32 */
#endif

enum { SHAPES = 128, WORKSPACE_BYTES = 32 << 20, ALIGNED = 256 };

/* A product of `count` matrices, each `stride` elements behind the last. */
typedef struct shape {
    dn_trans ta, tb;
    size_t m, n, k, lda, ldb, ldc, count, stride_a, stride_b, stride_c;
    uint32_t align_a, align_b, align_c; /* bytes, up to ALIGNED */
    bool adds;                          /* beta is not 0 */
    bool rounded;                       /* A and B are */
    bool narrow;                        /* C is of bfloat16 */
} shape;

typedef struct prepared {
    shape of;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
} prepared;

typedef struct products {
    cublasLtHandle_t handle;
    void *workspace;
    prepared shapes[SHAPES]; /* by turns, where a model has more */
    size_t n;
} products;

static void free_prepared(prepared *p)
{
    if (p->a)
        (void)cublasLtMatrixLayoutDestroy(p->a);
    if (p->b)
        (void)cublasLtMatrixLayoutDestroy(p->b);
    if (p->c)
        (void)cublasLtMatrixLayoutDestroy(p->c);
    if (p->product)
        (void)cublasLtMatmulDescDestroy(p->product);
    *p = (prepared){0};
}

static void destroy(void *kept)
{
    products *own = kept;
    for (size_t i = 0; i < SHAPES; i++)
        free_prepared(&own->shapes[i]);
    (void)cudaFree(own->workspace);
    if (own->handle)
        (void)cublasLtDestroy(own->handle);
    free(own);
}

/* False, with the stream failed, if a call of cuBLASLt was refused. */
static bool passed(dn_stream *s, const char *call, cublasStatus_t status)
{
    char why[64];
    snprintf(why, sizeof why, "status %d of cuBLASLt", (int)status);
    if (status != CUBLAS_STATUS_SUCCESS)
        dn_gpu_refuse(s, call, why);
    return status == CUBLAS_STATUS_SUCCESS;
}

static products *products_of(dn_stream *s)
{
    void **kept = dn_gpu_kept_with(s, destroy);
    products *own = *kept;
    if (own)
        return own;
    *kept = own = calloc(1, sizeof *own);
    if (!dn_gpu_went_well(s, own ? cudaSuccess : cudaErrorMemoryAllocation, "what products keep") ||
        !passed(s, "cublasLtCreate", cublasLtCreate(&own->handle)) ||
        !dn_gpu_went_well(s, cudaMalloc(&own->workspace, WORKSPACE_BYTES), "the workspace of products"))
        return NULL;
    return own;
}

static bool lay_out(dn_stream *s, cublasLtMatrixLayout_t *out, cudaDataType_t of, size_t rows, size_t cols,
                    size_t ld, size_t count, size_t stride)
{
    int32_t batch = (int32_t)count;
    int64_t offset = (int64_t)stride;
    return passed(s, "cublasLtMatrixLayoutCreate",
                  cublasLtMatrixLayoutCreate(out, of, cols, rows, (int64_t)ld)) &&
           passed(s, "its batch",
                  cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                                                   sizeof batch)) &&
           passed(s, "its stride",
                  cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &offset,
                                                   sizeof offset));
}

/* The fastest way that adds in one order: partial sums of a split k, if any, are added by a second kernel,
 * not by atomics. */
static bool choose(dn_stream *s, const products *own, prepared *p)
{
    cublasLtMatmulPreference_t wish;
    cublasLtMatmulHeuristicResult_t found;
    uint64_t bytes = WORKSPACE_BYTES;
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    int n = 0;
    if (!passed(s, "cublasLtMatmulPreferenceCreate", cublasLtMatmulPreferenceCreate(&wish)))
        return false;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t bytes;
    } wishes[] = {{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes},
                  {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &p->of.align_b, sizeof(uint32_t)},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &p->of.align_a, sizeof(uint32_t)},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &p->of.align_c, sizeof(uint32_t)},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &p->of.align_c, sizeof(uint32_t)}};
    bool sound = true;
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes && sound; i++)
        sound = passed(
            s, "cublasLtMatmulPreferenceSetAttribute",
            cublasLtMatmulPreferenceSetAttribute(wish, wishes[i].name, wishes[i].value, wishes[i].bytes));
    sound = sound && passed(s, "cublasLtMatmulAlgoGetHeuristic",
                            cublasLtMatmulAlgoGetHeuristic(own->handle, p->product, p->b, p->a, p->c, p->c,
                                                           wish, 1, &found, &n));
    (void)cublasLtMatmulPreferenceDestroy(wish);
    if (sound && n < 1)
        dn_gpu_refuse(s, "cublasLtMatmulAlgoGetHeuristic", "it knows no way for this shape");
    p->algorithm = found.algo;
    return sound && n > 0;
}

static prepared *prepare(dn_stream *s, products *own, const shape *x)
{
    for (size_t i = 0; i < SHAPES && own->shapes[i].product; i++)
        if (memcmp(&own->shapes[i].of, x, sizeof *x) == 0)
            return &own->shapes[i];
    prepared *p = &own->shapes[own->n++ % SHAPES];
    free_prepared(p);
    p->of = *x;
    int32_t first = x->tb == DN_T ? CUBLAS_OP_T : CUBLAS_OP_N,
            second = x->ta == DN_T ? CUBLAS_OP_T : CUBLAS_OP_N;
    cudaDataType_t of = x->rounded ? type_of_rounded : type;
    size_t a_rows = x->ta == DN_N ? x->m : x->k, a_cols = x->ta == DN_N ? x->k : x->m;
    size_t b_rows = x->tb == DN_N ? x->k : x->n, b_cols = x->tb == DN_N ? x->n : x->k;
    bool sound =
        passed(s, "cublasLtMatmulDescCreate", cublasLtMatmulDescCreate(&p->product, compute, type)) &&
        passed(
            s, "its first operand",
            cublasLtMatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first)) &&
        passed(s, "its second operand",
               cublasLtMatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSB, &second,
                                              sizeof second)) &&
        lay_out(s, &p->a, of, a_rows, a_cols, x->lda, x->count, x->stride_a) &&
        lay_out(s, &p->b, of, b_rows, b_cols, x->ldb, x->count, x->stride_b) &&
        lay_out(s, &p->c, x->narrow ? CUDA_R_16BF : type, x->m, x->n, x->ldc, x->count, x->stride_c) &&
        choose(s, own, p);
    if (sound)
        return p;
    free_prepared(p);
    return NULL;
}

/* Of an address, and of all matrices `stride` numbers apart: of C's type, or single ones. */
static uint32_t alignment(const void *p, size_t count, size_t stride)
{
    uintptr_t bits = (uintptr_t)p | (count > 1 ? stride * sizeof(dn_real) : 0) | ALIGNED;
    return (uint32_t)(bits & -bits);
}

static void multiply(dn_stream *s, shape x, double alpha, const void *a, const void *b, double beta,
                     void *c)
{
    x.align_a = alignment(a, x.count, x.stride_a);
    x.align_b = alignment(b, x.count, x.stride_b);
    x.align_c = alignment(c, x.count, x.stride_c);
    x.adds = beta != 0;
    if (!dn_gpu_begin(s, "gemm"))
        return;
    products *own = products_of(s);
    prepared *p = own ? prepare(s, own, &x) : NULL;
    dn_real of_product = (dn_real)alpha, of_c = (dn_real)beta;
    if (p)
        passed(s, "cublasLtMatmul",
               cublasLtMatmul(own->handle, p->product, &of_product, b, p->b, a, p->a, &of_c, c, p->c, c, p->c,
                              &p->algorithm, own->workspace, WORKSPACE_BYTES, dn_gpu_stream(s)));
    dn_gpu_end(s);
}

void dn_cuda_gemm(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, double alpha,
                  const dn_buf *a, size_t lda, const dn_buf *b, size_t ldb, double beta, dn_buf *c,
                  size_t ldc)
{
    shape x;
    memset(&x, 0, sizeof x); /* its bytes are compared */
    x.ta = ta, x.tb = tb, x.m = m, x.n = n, x.k = k, x.lda = lda, x.ldb = ldb, x.ldc = ldc, x.count = 1;
    if (m * n == 0)
        return;
    if (k == 0)
        dn_cuda_scale_rows(s, c, m, n, ldc, beta);
    else
        multiply(s, x, alpha, a, b, beta, c);
}

static size_t in_units(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* An operand of a product in mixed precision. */
typedef struct operand {
    const dn_buf *given;
    size_t rows, cols, ld;
    size_t copied; /* numbers of its copy, with what the next one begins behind; 0: it is multiplied as it lies */
    size_t ld_copied;
} operand;

static operand operand_of(const dn_buf *given, size_t rows, size_t cols, size_t ld)
{
    const bool rounds = sizeof(rounded) == sizeof(uint16_t) && dn_is_narrow(given),
               is_aligned = ((uintptr_t)dn_narrow_numbers(given) | ld * sizeof(rounded)) % 16 == 0;
    operand x = {.given = given, .rows = rows, .cols = cols, .ld = ld};
    if (rounds && is_aligned)
        return x;
    x.ld_copied = in_units(cols, 16 / sizeof(rounded));
    x.copied = in_units(rows * x.ld_copied, ALIGNED / sizeof(rounded));
    return x;
}

/* Where it lies, or its copy, which is made in room. */
static const void *prepared_operand(dn_stream *s, const operand *x, rounded *room)
{
    if (!x->copied)
        return dn_narrow_numbers(x->given);
    dn_cuda_round_rows(s, room, x->ld_copied, x->given, x->ld, x->rows, x->cols);
    return room;
}

void dn_cuda_mixed_gemm_layer(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k,
                              const dn_buf *a, size_t lda, const dn_buf *b, size_t ldb, bool add, dn_buf *c,
                              size_t ldc)
{
    const operand left = operand_of(a, ta == DN_N ? m : k, ta == DN_N ? k : m, lda),
                  right = operand_of(b, tb == DN_N ? k : n, tb == DN_N ? n : k, ldb);
    const size_t copied = left.copied + right.copied;
    shape x;
    memset(&x, 0, sizeof x);
    x.ta = ta, x.tb = tb, x.m = m, x.n = n, x.k = k, x.ldc = ldc, x.count = 1;
    x.lda = left.copied ? left.ld_copied : lda, x.ldb = right.copied ? right.ld_copied : ldb;
    x.rounded = true, x.narrow = dn_is_narrow(c);
    if (m * n * k == 0) {
        dn_cuda_gemm(s, ta, tb, m, n, k, 1, a, lda, b, ldb, add, c, ldc);
        return;
    }
    rounded *room = copied > 0 ? dn_gpu_scratch(s, copied * sizeof *room) : NULL;
    if (copied > 0 && !room)
        return;
    const void *of_a = prepared_operand(s, &left, room),
               *of_b = prepared_operand(s, &right, room ? room + left.copied : NULL);
    multiply(s, x, 1, of_a, of_b, add, dn_narrow_numbers(c));
}

void dn_cuda_gemm_layer(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, const dn_buf *a,
                        size_t lda, const dn_buf *b, size_t ldb, bool add, dn_buf *c, size_t ldc)
{
    dn_cuda_gemm(s, ta, tb, m, n, k, 1, a, lda, b, ldb, add, c, ldc);
}

void dn_cuda_gemm_many(dn_stream *s, const dn_product *many, size_t n)
{
    for (const dn_product *x = many; x < many + n; x++)
        dn_cuda_gemm(s, x->ta, x->tb, x->m, x->n, x->k, x->alpha, x->a, x->lda, x->b, x->ldb, x->beta, x->c,
                     x->ldc);
}

void dn_cuda_gemm_batch(dn_stream *s, size_t count, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k,
                        double alpha, const dn_buf *a, const dn_buf *b, double beta, dn_buf *c)
{
    shape x;
    memset(&x, 0, sizeof x);
    x.ta = ta, x.tb = tb, x.m = m, x.n = n, x.k = k, x.count = count;
    x.lda = ta == DN_N ? k : m, x.ldb = tb == DN_N ? n : k, x.ldc = n;
    x.stride_a = m * k, x.stride_b = k * n, x.stride_c = m * n;
    if (count * m * n == 0)
        return;
    if (k == 0)
        dn_cuda_scale_rows(s, c, count * m, n, n, beta);
    else
        multiply(s, x, alpha, a, b, beta, c);
}
