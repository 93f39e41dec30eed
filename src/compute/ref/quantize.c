/* Reference: few bits a number (the layouts stand in ops.h). */
#include "compute/ref/ref.h"

#include <math.h>
#include <string.h>

static dn_real largest(const dn_real *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        if (isnan((double)x[i]) || fabs((double)x[i]) > most)
            most = fabs((double)x[i]);
    return (dn_real)most;
}

static dn_real *scales_of(const dn_bytes *x)
{
    return (dn_real *)(void *)dn_host_bytes(x);
}

static unsigned char *codes_of(const dn_bytes *x, size_t n)
{
    return dn_host_bytes(x) + dn_scale_bytes(n);
}

/* Thresholds, scales and steps are rounded to numbers of the program's precision: so every backend can use the same. */

static const dn_real levels[] = {0, 0x1p-6, 0x1p-5, 0x1p-4, 0x1p-3, 0x1p-2, 0x1p-1, 1};

static unsigned nearest_level(dn_real magnitude, dn_real scale)
{
    unsigned code = 0;
    while (code < 7 && magnitude >= (levels[code] + levels[code + 1]) / 2 * scale)
        code++;
    return code;
}

void dn_ref_encode_fp4(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    memset(codes_of(to, n), 0, (n + 1) / 2);
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        const dn_real *from = dn_host(x) + at;
        size_t size = dn_min(n - at, DN_QUANTUM_BLOCK);
        dn_real most = largest(from, size), scale = most < DN_QUANTUM_LEAST ? 0 : most;
        scales_of(to)[at / DN_QUANTUM_BLOCK] = scale;
        for (size_t i = 0; i < size && scale > 0 && isfinite(scale); i++) {
            unsigned code = nearest_level(signbit(from[i]) ? -from[i] : from[i], scale) | (signbit(from[i]) ? 8 : 0);
            codes_of(to, n)[(at + i) / 2] |= (unsigned char)(code << 4 * ((at + i) % 2));
        }
    }
}

void dn_ref_add_fp4(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned code = codes_of(from, n)[i / 2] >> 4 * (i % 2) & 15;
        dn_real scale = scales_of(from)[i / DN_QUANTUM_BLOCK], step = (dn_real)a * (isfinite(scale) ? scale : (dn_real)NAN);
        dn_real value = step * levels[code & 7];
        dn_host(y)[i] += code & 8 ? -value : value;
    }
}

void dn_ref_encode_int8(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    memset(codes_of(to, n), 0, n);
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        const dn_real *from = dn_host(x) + at;
        size_t size = dn_min(n - at, DN_QUANTUM_BLOCK);
        dn_real most = largest(from, size), scale = most < DN_QUANTUM_LEAST ? 0 : most / 127;
        scales_of(to)[at / DN_QUANTUM_BLOCK] = scale;
        for (size_t i = 0; i < size && scale > 0 && isfinite(scale); i++) {
            dn_real multiple = from[i] * (127 / most);
            ((int8_t *)codes_of(to, n))[at + i] = (int8_t)round((double)multiple);
        }
    }
}

void dn_ref_add_int8(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dn_real scale = scales_of(from)[i / DN_QUANTUM_BLOCK], step = (dn_real)a * (isfinite(scale) ? scale : (dn_real)NAN);
        dn_real value = step * ((int8_t *)codes_of(from, n))[i];
        dn_host(y)[i] += value;
    }
}

/* ---- codes behind few numbers ---- */

enum { BINS = 4 };

/* What there is of a number that is summed; `of` is what the kind of sum needs. */
typedef double (*part)(dn_real x, const void *of);

static double sum_of_lanes(const double lanes[DN_SUM_LANES])
{
    double sum = 0;
    for (int lane = 0; lane < DN_SUM_LANES; lane++)
        sum += lanes[lane];
    return sum;
}

/* Of the block of x [n] at `at`, in lanes. */
static double sum_block(const dn_buf *x, size_t n, size_t at, part part_of, const void *of)
{
    double lanes[DN_SUM_LANES] = {0};
    for (size_t i = 0; i < DN_SUM_BLOCK && at + i < n; i++)
        lanes[i % DN_SUM_LANES] += part_of(dn_host(x)[at + i], of);
    return sum_of_lanes(lanes);
}

static double sum_all(const dn_buf *x, size_t n, part part_of, const void *of)
{
    double sum = 0;
    for (size_t at = 0; at < n; at += DN_SUM_BLOCK)
        sum += sum_block(x, n, at, part_of, of);
    return sum;
}

static double value(dn_real x, const void *none)
{
    return (double)x;
}

static double magnitude(dn_real x, const void *none)
{
    return fabs((double)x);
}

static double is_there(dn_real x, const void *none)
{
    return x != 0;
}

static double squared_distance(dn_real x, const void *mean)
{
    double away = x != 0 ? (double)x - *(const double *)mean : 0;
    return away * away;
}

/* Of what is not 0, from the means of blocks to the mean of all (Chan, Golub and LeVeque, 1983). */
static double deviation_from(double mean, const dn_buf *x, size_t n, double count)
{
    double squares = 0;
    for (size_t at = 0; at < n; at += DN_SUM_BLOCK) {
        double here = sum_block(x, n, at, is_there, NULL);
        if (here > 0) {
            double mean_here = sum_block(x, n, at, value, NULL) / here, away = mean_here - mean;
            squares += sum_block(x, n, at, squared_distance, &mean_here) + here * (away * away);
        }
    }
    return sqrt(squares / count);
}

typedef struct bin {
    dn_real edges[BINS - 1];
    unsigned number;
} bin;

static unsigned bin_of(dn_real x, const dn_real edges[BINS - 1])
{
    return (x >= edges[0]) + (x >= edges[1]) + (x >= edges[2]);
}

/* Run by run. */
static double sum_bin(const dn_buf *x, size_t n, const bin *b)
{
    double sum = 0;
    for (size_t at = 0; at < n; at += DN_SUM_BLOCK) {
        double lanes[DN_SUM_LANES] = {0};
        for (size_t end = dn_min(n, at + DN_SUM_BLOCK), first = at; first < end; first += DN_SUM_RUN * DN_SUM_LANES) {
            dn_real run[DN_SUM_LANES] = {0};
            for (size_t i = first; i < dn_min(end, first + DN_SUM_RUN * DN_SUM_LANES); i++)
                run[i % DN_SUM_LANES] += bin_of(dn_host(x)[i], b->edges) == b->number ? dn_host(x)[i] : 0;
            for (int lane = 0; lane < DN_SUM_LANES; lane++)
                lanes[lane] += (double)run[lane];
        }
        sum += sum_of_lanes(lanes);
    }
    return sum;
}

static double is_in(dn_real x, const void *of)
{
    const bin *b = of;
    return x != 0 && bin_of(x, b->edges) == b->number;
}

void dn_ref_encode_int2(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    unsigned char *codes = dn_host_bytes(to) + BINS * sizeof(dn_real);
    double count = sum_all(x, n, is_there, NULL);
    count = count > 0 ? count : 1;
    double mean = sum_all(x, n, value, NULL) / count, deviation = deviation_from(mean, x, n, count);
    bin b = {.edges = {(dn_real)(mean - 1.5 * deviation), (dn_real)mean, (dn_real)(mean + 1.5 * deviation)}};
    bool sound = isfinite(mean) && isfinite(deviation);
    for (b.number = 0; b.number < BINS; b.number++) {
        double there = sum_all(x, n, is_in, &b);
        scales_of(to)[b.number] = (dn_real)(!sound ? (double)NAN : there > 0 ? sum_bin(x, n, &b) / there : 0);
    }
    memset(codes, 0, (n + 3) / 4);
    for (size_t i = 0; i < n; i++)
        codes[i / 4] |= (unsigned char)(bin_of(dn_host(x)[i], b.edges) << 2 * (i % 4));
}

void dn_ref_add_int2(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    const unsigned char *codes = dn_host_bytes(from) + BINS * sizeof(dn_real);
    for (size_t i = 0; i < n; i++) {
        dn_real value = (dn_real)a * scales_of(from)[codes[i / 4] >> 2 * (i % 4) & 3];
        dn_host(y)[i] += value;
    }
}

enum { SIGN_CODES = 8 }; /* where they begin */

void dn_ref_encode_sign(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    unsigned char *codes = dn_host_bytes(to) + SIGN_CODES;
    double count = sum_all(x, n, is_there, NULL), mean = count > 0 ? sum_all(x, n, magnitude, NULL) / count : 0;
    memset(dn_host_bytes(to), 0, SIGN_CODES + (n + 7) / 8);
    for (size_t i = 0; i < n; i++)
        codes[i / 8] |= (unsigned char)((dn_host(x)[i] < 0) << i % 8);
    scales_of(to)[0] = (dn_real)(isfinite(mean) ? mean : (double)NAN);
}

void dn_ref_add_sign(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    const unsigned char *codes = dn_host_bytes(from) + SIGN_CODES;
    dn_real step = (dn_real)a * scales_of(from)[0];
    for (size_t i = 0; i < n; i++)
        dn_host(y)[i] += codes[i / 8] >> i % 8 & 1 ? -step : step;
}
