/* Reference: few bits a number (the layouts stand in ops.h). */
#include "compute/ref/ref.h"

#include <math.h>
#include <string.h>

static double largest(const dn_real *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        if (isnan((double)x[i]) || fabs((double)x[i]) > most)
            most = fabs((double)x[i]);
    return most;
}

static dn_real *scales_of(const dn_bytes *x)
{
    return (dn_real *)(void *)dn_host_bytes(x);
}

static unsigned char *codes_of(const dn_bytes *x, size_t n)
{
    return dn_host_bytes(x) + dn_scale_bytes(n);
}

static const double levels[] = {0, 0x1p-6, 0x1p-5, 0x1p-4, 0x1p-3, 0x1p-2, 0x1p-1, 1};

static unsigned nearest_level(double ratio)
{
    unsigned code = 0;
    while (code < 7 && ratio >= (levels[code] + levels[code + 1]) / 2)
        code++;
    return code;
}

void dn_ref_encode_fp4(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    memset(codes_of(to, n), 0, (n + 1) / 2);
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        const dn_real *from = dn_host(x) + at;
        size_t size = dn_min(n - at, DN_QUANTUM_BLOCK);
        double most = largest(from, size), scale = most < (double)DN_QUANTUM_LEAST ? 0 : most;
        scales_of(to)[at / DN_QUANTUM_BLOCK] = (dn_real)scale;
        for (size_t i = 0; i < size && scale > 0 && isfinite(scale); i++) {
            unsigned code = nearest_level(fabs((double)from[i]) / scale) | (signbit(from[i]) ? 8 : 0);
            codes_of(to, n)[(at + i) / 2] |= (unsigned char)(code << 4 * ((at + i) % 2));
        }
    }
}

void dn_ref_add_fp4(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned code = codes_of(from, n)[i / 2] >> 4 * (i % 2) & 15;
        double scale = (double)scales_of(from)[i / DN_QUANTUM_BLOCK];
        double value = isfinite(scale) ? levels[code & 7] * scale : (double)NAN;
        dn_host(y)[i] = (dn_real)((double)dn_host(y)[i] + a * (code & 8 ? -value : value));
    }
}

void dn_ref_encode_int8(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    memset(codes_of(to, n), 0, n);
    for (size_t at = 0; at < n; at += DN_QUANTUM_BLOCK) {
        const dn_real *from = dn_host(x) + at;
        size_t size = dn_min(n - at, DN_QUANTUM_BLOCK);
        double most = largest(from, size), scale = most < (double)DN_QUANTUM_LEAST ? 0 : most / 127;
        scales_of(to)[at / DN_QUANTUM_BLOCK] = (dn_real)scale;
        for (size_t i = 0; i < size && scale > 0 && isfinite(scale); i++)
            ((int8_t *)codes_of(to, n))[at + i] = (int8_t)round((double)from[i] / scale);
    }
}

void dn_ref_add_int8(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double scale = (double)scales_of(from)[i / DN_QUANTUM_BLOCK];
        double value = isfinite(scale) ? ((int8_t *)codes_of(from, n))[i] * scale : (double)NAN;
        dn_host(y)[i] = (dn_real)((double)dn_host(y)[i] + a * value);
    }
}

/* ---- codes behind few numbers ---- */

enum { BINS = 4 };

static unsigned bin_of(double x, double mean, double deviation)
{
    return (x >= mean - 1.5 * deviation) + (x >= mean) + (x >= mean + 1.5 * deviation);
}

void dn_ref_encode_int2(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    unsigned char *codes = dn_host_bytes(to) + BINS * sizeof(dn_real);
    double count = 0, mean = 0, deviation = 0, sums[BINS] = {0}, counts[BINS] = {0};
    for (size_t i = 0; i < n; i++)
        count += dn_host(x)[i] != 0, mean += (double)dn_host(x)[i];
    mean /= count > 0 ? count : 1;
    for (size_t i = 0; i < n; i++)
        if (dn_host(x)[i] != 0)
            deviation += ((double)dn_host(x)[i] - mean) * ((double)dn_host(x)[i] - mean);
    deviation = sqrt(deviation / (count > 0 ? count : 1));
    memset(codes, 0, (n + 3) / 4);
    for (size_t i = 0; i < n; i++) {
        double value = (double)dn_host(x)[i];
        unsigned bin = bin_of(value, mean, deviation);
        codes[i / 4] |= (unsigned char)(bin << 2 * (i % 4));
        sums[bin] += value, counts[bin] += value != 0;
    }
    bool sound = isfinite(mean) && isfinite(deviation);
    for (int bin = 0; bin < BINS; bin++)
        scales_of(to)[bin] = (dn_real)(!sound ? (double)NAN : counts[bin] > 0 ? sums[bin] / counts[bin] : 0);
}

void dn_ref_add_int2(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    const unsigned char *codes = dn_host_bytes(from) + BINS * sizeof(dn_real);
    for (size_t i = 0; i < n; i++) {
        double value = (double)scales_of(from)[codes[i / 4] >> 2 * (i % 4) & 3];
        dn_host(y)[i] = (dn_real)((double)dn_host(y)[i] + a * value);
    }
}

enum { SIGN_CODES = 8 }; /* where they begin */

void dn_ref_encode_sign(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    unsigned char *codes = dn_host_bytes(to) + SIGN_CODES;
    double sum = 0, count = 0;
    memset(dn_host_bytes(to), 0, SIGN_CODES + (n + 7) / 8);
    for (size_t i = 0; i < n; i++) {
        sum += fabs((double)dn_host(x)[i]), count += dn_host(x)[i] != 0;
        codes[i / 8] |= (unsigned char)((dn_host(x)[i] < 0) << i % 8);
    }
    double mean = count > 0 ? sum / count : 0;
    scales_of(to)[0] = (dn_real)(isfinite(mean) ? mean : (double)NAN);
}

void dn_ref_add_sign(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    const unsigned char *codes = dn_host_bytes(from) + SIGN_CODES;
    double scale = (double)scales_of(from)[0];
    for (size_t i = 0; i < n; i++)
        dn_host(y)[i] = (dn_real)((double)dn_host(y)[i] + a * (codes[i / 8] >> i % 8 & 1 ? -scale : scale));
}
