#include "bench/triad.h"

static void triad_plain(double *restrict a, const double *restrict b, const double *restrict c, double scale,
                        size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] = b[i] + scale * c[i];
}

#ifdef __SSE2__
typedef double pair __attribute__((vector_size(16), aligned(8), may_alias));

static void triad_streaming(double *restrict a, const double *restrict b, const double *restrict c,
                            double scale, size_t n)
{
    const pair factor = {scale, scale};
    for (size_t i = 0; i + 2 <= n; i += 2)
        __builtin_ia32_movntpd(a + i, *(const pair *)(b + i) + factor * *(const pair *)(c + i));
    if (n % 2)
        a[n - 1] = b[n - 1] + scale * c[n - 1];
    __builtin_ia32_sfence(); /* a release store does not order what went past the caches */
}
#endif

bool dn_triad_can_stream(void)
{
#ifdef __SSE2__
    return true;
#else
    return false;
#endif
}

void dn_triad(double *a, const double *b, const double *c, double scale, size_t n, bool streaming)
{
#ifdef __SSE2__
    if (streaming) {
        triad_streaming(a, b, c, scale, n);
        return;
    }
#endif
    triad_plain(a, b, c, scale, n);
}
