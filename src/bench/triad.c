#include "bench/triad.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static void triad_plain(double *restrict a, const double *restrict b, const double *restrict c, double scale,
                        size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] = b[i] + scale * c[i];
}

#ifdef __SSE2__
static void triad_streaming(double *restrict a, const double *restrict b, const double *restrict c,
                            double scale, size_t n)
{
    const __m128d factor = _mm_set1_pd(scale);
    for (size_t i = 0; i + 2 <= n; i += 2)
        _mm_stream_pd(a + i, _mm_add_pd(_mm_loadu_pd(b + i), _mm_mul_pd(factor, _mm_loadu_pd(c + i))));
    if (n % 2)
        a[n - 1] = b[n - 1] + scale * c[n - 1];
    _mm_sfence(); /* a release store does not order what went past the caches */
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
