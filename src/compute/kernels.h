/*
 * The table of kernels: one entry per operation, and one table per backend (ref/: plain C, the definition;
 * cpu/: OpenMP, OpenBLAS, LAPACKE, built once per instruction set). Code above this room calls
 * `s->kernels->op(s, ...)` and does not depend on the backend. ops.h has the operations and their
 * conventions.
 */
#ifndef COMPUTE_KERNELS_H
#define COMPUTE_KERNELS_H

#include "base/each.h"
#include "base/size.h"
#include "compute/activation.h"
#include "device/stream.h"
#include "dionode/blas.h"
#include "dionode/tensor.h"

#include <stdbool.h>

typedef enum dn_trans { DN_N, DN_T } dn_trans;

/* Parameters of one AdamW step; bias corrections are 1 - beta^t, t counting from 1. */
typedef struct dn_adamw_step {
    double lr, beta1, beta2, eps, weight_decay, correction1, correction2;
    bool cautious; /* decay only where update and weight have the same sign (arXiv 2510.12402) */
} dn_adamw_step;

typedef struct dn_attention_shape {
    size_t B, T, NH, hd; /* sequences, positions, heads, size of a head (even) */
    size_t NKV;          /* key and value heads; query head h reads number h / (NH/NKV); divides NH */
    size_t rot;          /* numbers of a head that rotary kernels turn, even, <= hd */
    size_t window;       /* positions that attention sees, its own and earlier ones; 0: all */
    size_t ld;           /* elements from one position to the next in q, k, v and their gradients: >= NH*hd */
    size_t first; /* forward only: position of the first query; keys and values begin with position 0 */
    size_t room; /* 0, or k and v lie in a cache [sequences,2,NKV,room,hd], at its start and at NKV room hd */
} dn_attention_shape;

/* Numbers of a head that attention takes narrow. */
enum { DN_NARROW_HEAD = 128 };

/* Where a token belongs in a cache. */
typedef struct dn_cache_row {
    size_t sequence, position;
} dn_cache_row;

/* Rows of x that matvec takes. */
enum { DN_MATVEC_ROWS = 8 };

/* A block of rows of a tall matrix P [m,r], and the small matrices computed from it or applied to it. */
typedef struct dn_row_block {
    size_t m, r, row0, rows; /* rows row0 .. row0 + rows - 1 of P; rows may be 0 */
    dn_buf *p;               /* [rows,r] dense */
    uint64_t seed, draw;     /* sketch: seed and stream of its random numbers */
    dn_wide *partial;        /* gram, sketch: out */
    const dn_wide *inverse;  /* apply: T [r,r], upper triangular, zeros below */
} dn_row_block;

/* Outcome of a factorization. Only DN_FACTOR_OK writes a result. */
typedef enum dn_factor_info {
    DN_FACTOR_OK,
    DN_FACTOR_RANK_DEFICIENT, /* numerically rank-deficient */
    DN_FACTOR_ZERO,           /* P is 0 everywhere          */
    DN_FACTOR_NOT_FINITE,     /* P holds NaN or infinity    */
} dn_factor_info;

/* The factorization of the sum of a matrix's partials: P = Q U, U upper triangular with positive diagonal. */
typedef struct dn_factoring {
    size_t r, n_partials;           /* both > 0 */
    const dn_wide *const *partials; /* [n_partials] */
    dn_wide *inverse;               /* [r,r] out: U^{-1}, zeros below; overlaps no partial */
    dn_factor_info info;            /* host, out */
    double defect;                  /* host, out */
} dn_factoring;

/* A whole tall matrix, m >= r > 0. */
typedef struct dn_tall {
    size_t m, r;
    dn_buf *p;           /* [m,r] dense */
    dn_factor_info info; /* host, out */
} dn_tall;

/** Rows of a sketch for rank r: 1.25 r, rounded up to a multiple of 128. */
static inline size_t dn_sketch_rows(size_t r)
{
    return (5 * r + 511) / 512 * 128;
}

/* A vocabulary shard: tokens first .. first+n-1. */
typedef struct dn_vocab_shard {
    size_t first, n;
} dn_vocab_shard;

/* C [m,n] = alpha op(A) op(B) + beta C.  op(A) [m,k], op(B) [k,n].  beta 0 ignores what C held. */
typedef struct dn_product {
    dn_trans ta, tb;
    size_t m, n, k;
    double alpha;
    const dn_buf *a;
    size_t lda;
    const dn_buf *b;
    size_t ldb;
    double beta;
    dn_buf *c;
    size_t ldc;
} dn_product;

typedef const dn_buf *dn_part_handle;

/* A dense matrix [rows, cols] in tiles, all sizes > 0. Those at its lower and right edge may be smaller. */
typedef struct dn_tiling {
    size_t rows, cols, tile_rows, tile_cols;
} dn_tiling;

static inline size_t dn_tiles_across(const dn_tiling *t)
{
    return (t->cols + t->tile_cols - 1) / t->tile_cols;
}

static inline size_t dn_tiles(const dn_tiling *t)
{
    return (t->rows + t->tile_rows - 1) / t->tile_rows * dn_tiles_across(t);
}

/** Tiles are numbered along rows of tiles. */
static inline dn_block dn_tile(const dn_tiling *t, size_t index)
{
    size_t row0 = index / dn_tiles_across(t) * t->tile_rows, col0 = index % dn_tiles_across(t) * t->tile_cols;
    return (dn_block){row0, dn_min(t->tile_rows, t->rows - row0), col0, dn_min(t->tile_cols, t->cols - col0)};
}

/** The matrix with whole tiles at its edges, too. */
static inline dn_tiling dn_whole_tiles(const dn_tiling *t)
{
    return (dn_tiling){(t->rows + t->tile_rows - 1) / t->tile_rows * t->tile_rows, dn_tiles_across(t) * t->tile_cols,
                       t->tile_rows, t->tile_cols};
}

/** A share of n, 0 < share <= 1, rounded up. */
static inline size_t dn_share_of(double share, size_t n)
{
    double wanted = share * (double)n;
    return dn_min(n, (size_t)wanted + ((double)(size_t)wanted < wanted));
}

/* Numbers that share a scale in fp4 and int8 (ops.h). */
enum { DN_QUANTUM_BLOCK = 256 };

#ifndef DN_REAL_EITHER
/** Bytes of the scales before the codes of n numbers. */
static inline size_t dn_scale_bytes(size_t n)
{
    return (((n + DN_QUANTUM_BLOCK - 1) / DN_QUANTUM_BLOCK * sizeof(dn_real)) + 7) / 8 * 8;
}
#endif

/* Indices of entries: the last of each width stands for none. */
static inline size_t dn_index_bytes(const dn_tiling *t)
{
    return t->tile_rows * t->tile_cols <= UINT16_MAX ? sizeof(uint16_t) : sizeof(uint32_t);
}

/* ---- expansion of ops.h: one parameter per argument ---- */
#define DN_OP_PARAMETER(argument)            DN_OP_PARAMETER_OF argument
#define DN_OP_PARAMETER_OF(kind, ...)        DN_OP_PARAMETER_##kind(__VA_ARGS__)
#define DN_OP_PARAMETER_D(type, name)        , type name
#define DN_OP_PARAMETER_A(type, name)        , type name
#define DN_OP_PARAMETER_V(type, name)        , type name
#define DN_OP_PARAMETER_IN(type, name, n)    , const type *name
#define DN_OP_PARAMETER_OUT(type, name, n)   , type *name
#define DN_OP_PARAMETER_SUM(type, name)      , type *name
#define DN_OP_PARAMETER_LIST(type, name, n)  , const type *name
#define DN_OP_PARAMETER_FOUND(type, name, n) , type *name
#define DN_OP_PARAMETERS(...)                (dn_stream * s DN_EACH(DN_OP_PARAMETER, __VA_ARGS__))

typedef struct dn_kernels {
    const char *name; /* "ref", "cpu-avx512", ... */
    const char *plain; /* the backend whose all other operations are, where products of layers are in mixed precision; else name */
    bool narrow;       /* it takes narrow handles (dn_is_narrow) where ops.h says so */
#define OP(name, ...) void(*name) DN_OP_PARAMETERS(__VA_ARGS__);
#include "compute/ops.h"
#undef OP
} dn_kernels;

/** The backends that can be run, fastest first, "ref" last: that of the selected device if it has one, then those of this
 * processor; NULL-terminated. */
const dn_kernels *const *dn_kernels_available(void);
/** Whether it is that of the selected device. */
bool dn_kernels_are_the_devices(const dn_kernels *kernels);

/** The backends of mixed precision, which are those of dn_kernels_available but for gemm_layer and, on tiles, attention: the
 * device's, "cpu-amx" and "cpu-bf16" if this processor multiplies bfloat16 so, then "emulated", which every processor can run, and for
 * tests "emulated-avx2" and "emulated-base", the same with slower instructions, and in float "emulated-amx"; NULL-terminated. */
const dn_kernels *const *dn_kernels_mixed(void);

/** Precisions of layers' products by name (key `precision`). */
#define DN_PRECISION_NAMES "float|mixed|emulated"
/** The backend for one of these: its argument to dn_stream_create. Of mixed that of the fastest, in double, whose sums no
 * instruction makes, the emulated one. Errors: DN_ERR_CONFIG: mixed is emulated here, or emulated not by the device; another name. */
dn_status dn_kernels_of_precision(const char *precision, const char **kernels) DN_MUST_USE;

/** Whether layers in this precision, on the device of this name, keep activations in bfloat16: the backend is narrow then. Known
 * without opening the device. */
bool dn_precision_narrows(const char *precision, const char *device);

/**
 * A stream over n_threads OpenMP threads. kernels is "cpu" (the device's own, or the fastest instruction set this
 * processor has), "cpu-amx", "cpu-bf16" or "emulated" (mixed precision), or "ref" (plain C, one thread, for tests). Sets the BLAS and OpenMP thread counts of the
 * calling thread. Returned stream is owned by the caller. Errors: DN_ERR_ARG unknown name, DN_ERR_MEMORY.
 */
dn_status dn_stream_create(const char *kernels, int n_threads, dn_stream **out) DN_MUST_USE;

/** From here on results are the same bits for any number of threads: products are cut as for eight, and OpenBLAS and LAPACKE, where
 * they are called for more than a block of one, have one. */
void dn_stream_round_alike(dn_stream *stream);

/* What flop/s are held against; all threads that are meant, at the same time. */
typedef struct dn_flop_limits {
    double gemm; /* of the best product of a layer: what the library, or our own kernel, does, be it well chosen or not */
    double fma;  /* of multiplications and additions in registers, in the vectors and precision of such products: what
                    the processor does. At least gemm */
} dn_flop_limits;

/** The limits of this stream's threads, from square products of layers and rounds of their arithmetic, in turn, for budget_s
 * seconds (0.2 is enough), at least one each: the basis of every "share of GEMM peak" and "of FMA limit". The best
 * rates, not the medians, because other processes only lower them. Zeros if there is no memory for it. */
dn_flop_limits dn_flop_limits_measure(dn_stream *stream, double budget_s);

/** What flop/s of these threads are of both limits, at most 1: what exceeds a limit was measured on a less busy
 * machine than it, and replaces it. */
dn_flop_limits dn_flop_shares(dn_flop_limits *limits, double flops);

/** Which products the kernels of this stream compute themselves: for a line of a log; this thread's until the next call. */
const char *dn_products_describe(const dn_stream *stream);

/** The rate in bytes/s at which this stream's threads read memory beyond the caches together: the
 * bound of generation. 0 if there is no memory to read. */
double dn_read_peak(dn_stream *stream, double budget_s);

#endif
