/* bfloat16 in every column of the table: all 65536 patterns there and back, ties, and numbers of all sizes
 * against the nearest of two neighbours. */
#include "support.h"

#include "base/random.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERNS = 65536, N = 100003 };

/* to (and from) bfloat16 of x [n] on one column, over 1 or 2 threads. */
static void convert(const char *backend, int n_threads, uint16_t *bits, dn_real *back, const dn_real *x,
                    size_t n)
{
    dn_stream *s = make_stream(backend, n_threads);
    void *real, *half;
    assert_int_equal(dn_device_alloc(s, n * sizeof *x, &real), DN_OK);
    assert_int_equal(dn_device_alloc(s, n * sizeof *bits, &half), DN_OK);
    if (x) {
        dn_upload(s, real, x, n);
        s->kernels->to_bf16(s, half, real, n);
        dn_copy_bytes(s, bits, half, n * sizeof *bits);
        assert_int_equal(dn_stream_sync(s), DN_OK);
    } else
        dn_copy_bytes(s, half, bits, n * sizeof *bits);
    if (back) {
        s->kernels->from_bf16(s, real, half, n);
        dn_download(s, back, real, n);
        assert_int_equal(dn_stream_sync(s), DN_OK);
    }
    dn_device_free(s, real, n * sizeof *x);
    dn_device_free(s, half, n * sizeof *bits);
    dn_stream_destroy(&s);
}

/* A float's value, its bits given. */
static double value(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static void every_pattern_survives_the_way_there_and_back(void **state)
{
    static uint16_t bits[PATTERNS], again[PATTERNS];
    static dn_real x[PATTERNS];
    for (size_t i = 0; i < PATTERNS; i++)
        bits[i] = (uint16_t)i;
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        convert((*backend)->name, 2, bits, x, NULL, PATTERNS);
        convert((*backend)->name, 2, again, NULL, x, PATTERNS);
        for (uint32_t i = 0; i < PATTERNS; i++) {
            double right = value(i << 16);
            assert_true((double)x[i] == right || (isnan(right) && isnan((double)x[i])));
            if (isnan(right)) /* quiet, of its sign */
                assert_int_equal(again[i], (i & 0x8000) | 0x7fc0);
            else
                assert_int_equal(again[i], i);
        }
    }
}

/* Halfway between two neighbours the even one; a little to either side the nearer. For the double build
 * "a little" is far below a float's last place. */
static void ties_go_to_even_and_nothing_else_does(void **state)
{
    static dn_real x[6 * 256];
    static uint16_t got[6 * 256], right[6 * 256];
    const double little = 2 * DN_REAL_EPS;
    for (uint32_t i = 0; i < 256; i++) {
        uint16_t low = (uint16_t)(i * 127 % 0x7f7f); /* subnormal to the largest */
        double tie = (value((uint32_t)low << 16) + value((uint32_t)(low + 1) << 16)) / 2;
        for (uint32_t sign = 0; sign < 2; sign++) {
            dn_real *to = x + 6 * i + 3 * sign;
            to[0] = (dn_real)(tie * (1 - little) * (sign ? -1 : 1));
            to[1] = (dn_real)(tie * (sign ? -1 : 1));
            to[2] = (dn_real)(tie * (1 + little) * (sign ? -1 : 1));
            uint16_t *want = right + 6 * i + 3 * sign, bit = (uint16_t)(sign << 15);
            want[0] = low | bit;
            want[1] = (uint16_t)(low + (low & 1)) | bit;
            want[2] = (uint16_t)(low + 1) | bit;
        }
    }
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        convert((*backend)->name, 1, got, NULL, x, 6 * 256);
        for (size_t i = 0; i < 6 * 256; i++)
            if ((double)x[i] != 0 && fabs((double)x[i]) > 1e-37)
                assert_int_equal(got[i], right[i]);
    }
}

static void special_numbers(void **state)
{
    const double largest = value(0x7f7f0000), next = 0x1p128; /* what infinity stands for */
    const dn_real x[] = {0,
                         (dn_real)-0.0,
                         (dn_real)INFINITY,
                         -(dn_real)INFINITY,
                         (dn_real)((largest + next) / 2),
                         (dn_real)((largest + next) / 2 * (1 - 2 * DN_REAL_EPS)),
                         (dn_real)FLT_MAX,
                         (dn_real)0x1p-134,
                         (dn_real)0x1.8p-134};
    static const uint16_t right[] = {0, 0x8000, 0x7f80, 0xff80, 0x7f80, 0x7f7f, 0x7f80, 0, 1};
    uint16_t got[9];
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        convert((*backend)->name, 1, got, NULL, x, 9);
        assert_memory_equal(got, right, sizeof got);
    }
}

static void every_backend_rounds_like_the_reference(void **state)
{
    dn_real *x = malloc(N * sizeof *x);
    uint16_t *right = malloc(N * sizeof *right), *got = malloc(N * sizeof *got);
    dn_random_normal(1, 2, 0, N, 1, x);
    for (size_t i = 0; i < N; i++) /* exponents from subnormal to infinite */
        x[i] = (dn_real)ldexp((double)x[i], (int)(i % 280) - 145);
    convert("ref", 1, right, NULL, x, N);
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (int n_threads = 1; n_threads <= 2; n_threads++) {
            convert((*backend)->name, n_threads, got, NULL, x, N);
            assert_memory_equal(got, right, N * sizeof *got);
        }
    free(x), free(right), free(got);
}

TESTS(bf16)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_survives_the_way_there_and_back),
        cmocka_unit_test(ties_go_to_even_and_nothing_else_does),
        cmocka_unit_test(special_numbers),
        cmocka_unit_test(every_backend_rounds_like_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
