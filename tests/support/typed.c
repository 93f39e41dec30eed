#include "support/typed.h"

#include "base/random.h"

#include <math.h>
#include <string.h>

#define N_DRAWN 4096 /* steps of ranks and calls are odd, so that they meet at ever new places */

static double drawn[N_DRAWN];

void typed_draw(void)
{
    for (size_t i = 0; i < N_DRAWN; i++)
        drawn[i] = 4 * dn_random_uniform(11, 0, i) - 2;
}

static double number(uint64_t call, int rank, size_t i)
{
    return drawn[(call * 131 + (uint64_t)rank * 977 + i) % N_DRAWN];
}

/* The nearer of the two neighbours; of equally near ones, that with an even last bit. */
static uint16_t to_bf16(float x)
{
    uint32_t bits, low, high;
    memcpy(&bits, &x, sizeof bits);
    low = bits & 0xffff0000;
    high = low + 0x10000;
    float below, above;
    memcpy(&below, &low, sizeof below);
    memcpy(&above, &high, sizeof above);
    double to_below = fabs((double)x - below), to_above = fabs((double)above - x);
    bool take_low = to_below < to_above || (to_below == to_above && (low >> 16) % 2 == 0);
    return (uint16_t)((take_low ? low : high) >> 16);
}

static float from_bf16(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float float_of(dn_type type, uint64_t call, int rank, size_t i)
{
    float x = (float)number(call, rank, i);
    return type == DN_BF16 ? from_bf16(to_bf16(x)) : x;
}

static int64_t integer_of(dn_type type, uint64_t call, int rank, size_t i)
{
    return (int64_t)(number(call, rank, i) * (type == DN_I32 ? 5e7 : 1e15));
}

void typed_bring(void *out, dn_type type, uint64_t call, int rank, size_t n)
{
    for (size_t i = 0; i < n; i++)
        switch (type) {
        case DN_F32:
            ((float *)out)[i] = float_of(type, call, rank, i);
            break;
        case DN_F64:
            ((double *)out)[i] = number(call, rank, i);
            break;
        case DN_BF16:
            ((uint16_t *)out)[i] = to_bf16((float)number(call, rank, i));
            break;
        case DN_I32:
            ((int32_t *)out)[i] = (int32_t)integer_of(type, call, rank, i);
            break;
        default:
            ((int64_t *)out)[i] = integer_of(type, call, rank, i);
        }
}

#define COMBINE(acc, x, op)                                                                                  \
    ((op) == DN_MIN   ? ((x) < (acc) ? (x) : (acc))                                                          \
     : (op) == DN_MAX ? ((x) > (acc) ? (x) : (acc))                                                          \
                      : (acc) + (x))

static float reduced_float(dn_type type, dn_op op, uint64_t call, int n_ranks, size_t i)
{
    float acc = float_of(type, call, 0, i);
    for (int rank = 1; rank < n_ranks; rank++) {
        float x = float_of(type, call, rank, i);
        acc = COMBINE(acc, x, op);
    }
    return op == DN_AVG ? acc * (1 / (float)n_ranks) : acc;
}

static double reduced_double(dn_op op, uint64_t call, int n_ranks, size_t i)
{
    double acc = number(call, 0, i);
    for (int rank = 1; rank < n_ranks; rank++) {
        double x = number(call, rank, i);
        acc = COMBINE(acc, x, op);
    }
    return op == DN_AVG ? acc * (1 / (double)n_ranks) : acc;
}

static int64_t reduced_integer(dn_type type, dn_op op, uint64_t call, int n_ranks, size_t i)
{
    int64_t acc = integer_of(type, call, 0, i);
    for (int rank = 1; rank < n_ranks; rank++) {
        int64_t x = integer_of(type, call, rank, i);
        acc = COMBINE(acc, x, op);
    }
    return op == DN_AVG ? acc / n_ranks : acc;
}

void typed_reduce(void *out, dn_type type, dn_op op, uint64_t call, int n_ranks, size_t first, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        size_t i = first + k;
        switch (type) {
        case DN_F32:
            ((float *)out)[k] = reduced_float(type, op, call, n_ranks, i);
            break;
        case DN_F64:
            ((double *)out)[k] = reduced_double(op, call, n_ranks, i);
            break;
        case DN_BF16:
            ((uint16_t *)out)[k] = to_bf16(reduced_float(type, op, call, n_ranks, i));
            break;
        case DN_I32:
            ((int32_t *)out)[k] = (int32_t)reduced_integer(type, op, call, n_ranks, i);
            break;
        default:
            ((int64_t *)out)[k] = reduced_integer(type, op, call, n_ranks, i);
        }
    }
}
