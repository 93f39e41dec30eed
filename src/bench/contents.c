/* Inputs of a benchmarked call, and the check of its result. */
#include "bench/ops.h"

#include <math.h>
#include <string.h>

/* Exact in every type, BF16 too. */
static inline int input_at(int rank, uint64_t round, size_t i)
{
    return (int)((5 * i + 17 * (uint64_t)rank + 29 * round) % 128 + 1);
}

/* ---- BF16: the upper half of an F32 ---- */

static float bf16_to_f32(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* For numbers that BF16 holds exactly. */
static uint16_t f32_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* ---- writing ---- */

#define WRITE(T, value)                                                                                      \
    do {                                                                                                     \
        T *x = to;                                                                                           \
        for (size_t i = 0; i < call->count; i++)                                                             \
            x[i] = value(input_at(rank, round, i));                                                          \
    } while (0)

dn_status dn_bench_dirty(const dn_bench_call *call, uint64_t round)
{
    int rank = dn_comm_rank(call->comm);
    void *to = call->staging ? call->staging : call->buffer;
    switch (call->type) {
    case DN_F32:
        WRITE(float, (float));
        break;
    case DN_F64:
        WRITE(double, (double));
        break;
    case DN_BF16:
        WRITE(uint16_t, f32_to_bf16);
        break;
    case DN_I32:
        WRITE(int32_t, (int32_t));
        break;
    default:
        WRITE(int64_t, (int64_t));
    }
    if (!call->staging)
        return DN_OK;
    dn_copy_bytes(call->stream, call->buffer, to, call->count * dn_type_bytes(call->type));
    return dn_stream_sync(call->stream);
}

/* ---- comparing ---- */

static double element(const dn_bench_call *call, size_t i)
{
    switch (call->type) {
    case DN_F32:
        return (double)((const float *)call->result)[i];
    case DN_F64:
        return ((const double *)call->result)[i];
    case DN_BF16:
        return (double)bf16_to_f32(((const uint16_t *)call->result)[i]);
    case DN_I32:
        return ((const int32_t *)call->result)[i];
    default:
        return (double)((const int64_t *)call->result)[i];
    }
}

/* The reduction, exactly. */
static double reduced_at(const dn_bench_call *call, uint64_t round, size_t i)
{
    int n_ranks = dn_comm_size(call->comm), result = input_at(0, round, i);
    for (int rank = 1; rank < n_ranks; rank++) {
        int x = input_at(rank, round, i);
        if (call->redop == DN_MIN)
            result = x < result ? x : result;
        else if (call->redop == DN_MAX)
            result = x > result ? x : result;
        else
            result += x;
    }
    if (call->redop != DN_AVG)
        return result;
    return call->type == DN_I32 || call->type == DN_I64 ? result / n_ranks : result / (double)n_ranks;
}

/* The relative rounding error of a reduction. Sums are exact except in BF16, which rounds once, by half of
 * 2^-8; an average is a product with a rounded 1/n: two roundings of half an epsilon. */
static double tolerance(const dn_bench_call *call)
{
    static const double epsilon[DN_N_TYPES] = {[DN_F32] = 0x1p-23, [DN_F64] = 0x1p-52, [DN_BF16] = 0x1p-7};
    bool rounds = call->redop == DN_AVG || (call->redop == DN_SUM && call->type == DN_BF16);
    return rounds ? 1.01 * epsilon[call->type] : 0;
}

static size_t count_wrong_reduced(const dn_bench_call *call, uint64_t round, size_t first, size_t end)
{
    double allowed = tolerance(call);
    size_t n_wrong = 0;
    for (size_t i = first; i < end; i++) {
        double expected = reduced_at(call, round, i);
        n_wrong += !(fabs(element(call, i) - expected) <= allowed * expected);
    }
    return n_wrong;
}

/* Elements [first, end), which must equal the input of `rank`, `shift` elements further on. */
static size_t count_wrong_copied(const dn_bench_call *call, uint64_t round, size_t first, size_t end,
                                 int rank, size_t shift)
{
    size_t n_wrong = 0;
    for (size_t i = first; i < end; i++)
        n_wrong += !(element(call, i) == input_at(rank, round, i + shift));
    return n_wrong;
}

static size_t count_wrong_chunks(const dn_bench_call *call, uint64_t round)
{
    size_t n_wrong = 0, first, end;
    for (int owner = 0; owner < dn_comm_size(call->comm); owner++) {
        dn_comm_chunk_bounds(call->comm, call->count, call->type, owner, &first, &end);
        n_wrong += count_wrong_copied(call, round, first, end, owner, 0);
    }
    return n_wrong;
}

static size_t count_wrong_rows(const dn_bench_call *call, uint64_t round)
{
    int n_ranks = dn_comm_size(call->comm);
    size_t row = call->count / (size_t)n_ranks, me = (size_t)dn_comm_rank(call->comm), n_wrong = 0;
    for (size_t s = 0; s < (size_t)n_ranks; s++) /* a negative shift wraps, and so does the sum */
        n_wrong += count_wrong_copied(call, round, s * row, (s + 1) * row, (int)s, (me - s) * row);
    return n_wrong;
}

static size_t count_wrong_result(const dn_bench_op *op, const dn_bench_call *call, uint64_t round)
{
    size_t first = 0, end = call->count;
    int rank = dn_comm_rank(call->comm);
    switch (op->result) {
    case DN_BENCH_REDUCED_SLICE:
        dn_comm_chunk_bounds(call->comm, call->count, call->type, rank, &first, &end);
        return count_wrong_reduced(call, round, first, end);
    case DN_BENCH_REDUCED_ROOT:
        return rank == call->root ? count_wrong_reduced(call, round, first, end) : 0;
    case DN_BENCH_REDUCED:
        return count_wrong_reduced(call, round, first, end);
    case DN_BENCH_OF_ROOT:
        return count_wrong_copied(call, round, first, end, call->root, 0);
    case DN_BENCH_OF_OWNERS:
        return count_wrong_chunks(call, round);
    case DN_BENCH_OF_ROWS:
        return count_wrong_rows(call, round);
    case DN_BENCH_OF_PEER:
        return rank == 0 || rank == call->peer ? count_wrong_copied(call, round, first, end, call->peer - rank, 0) : 0;
    case DN_BENCH_OF_FIRST:
        return rank == call->peer ? count_wrong_copied(call, round, first, end, 0, 0) : 0;
    default:
        return 0;
    }
}

/* The call with its result at p, which the host can read. */
static dn_bench_call looked_at(const dn_bench_call *call, const void *p)
{
    dn_bench_call seen = *call;
    seen.result = p;
    if (!call->staging)
        return seen;
    memset(call->staging, 0, call->count * dn_type_bytes(call->type)); /* no input: what is not copied counts as wrong */
    dn_copy_bytes(call->stream, call->staging, p, call->count * dn_type_bytes(call->type));
    (void)!dn_stream_sync(call->stream);
    seen.result = call->staging;
    return seen;
}

size_t dn_bench_count_wrong(const dn_bench_op *op, const dn_bench_call *call, uint64_t round)
{
    dn_bench_call seen = looked_at(call, call->result);
    size_t n_wrong = count_wrong_result(op, &seen, round);
    if (!dn_bench_has_two(op))
        return n_wrong;
    dn_bench_call brought = looked_at(call, call->buffer);
    return n_wrong + count_wrong_copied(&brought, round, 0, call->count, dn_comm_rank(call->comm), 0);
}
