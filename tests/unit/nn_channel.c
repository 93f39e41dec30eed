/* What crosses between stages: the largest of each position, found by sorting; lengths by hand; and both ways at the same entries. */
#include "base/random.h"
#include "compute/kernels.h"
#include "nn/channel.h"
#include "pipe/ratios.h"
#include "support/close.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 9, C = 40 };

/* Many equal magnitudes, and zeros: of the second position all but five. */
static void draw(dn_real *x)
{
    for (size_t i = 0; i < N * C; i++)
        x[i] = (dn_real)((double)(dn_random_bits(3, 1, i) % 19) - 9) / 4;
    for (size_t i = C; i < 2 * C - 5; i++)
        x[i] = 0;
}

/* How many of a position come before entry c. */
static size_t before(const dn_real *row, size_t c)
{
    size_t n = 0;
    for (size_t i = 0; i < C; i++) {
        double a = fabs((double)row[i]), b = fabs((double)row[c]);
        n += a > b || (a == b && i < c);
    }
    return n;
}

static void both_ways_go_by_the_largest_of_each_position(void **state)
{
    (void)state;
    dn_stream *s;
    assert_int_equal(dn_stream_create("cpu", 2, &s), DN_OK);
    for (size_t kept = 1; kept <= 26; kept += 5) {
        dn_real x[N * C], dx[N * C], y[N * C], dy[N * C];
        size_t bytes = dn_channel_bytes(kept, C, N);
        assert_int_equal(dn_channel_gradient_bytes(kept, N), (N * kept * sizeof(dn_real) + 7) / 8 * 8);
        assert_int_equal(bytes, (N * kept * 2 + 7) / 8 * 8 + dn_channel_gradient_bytes(kept, N));
        void *memory[4];
        const size_t sizes[] = {sizeof x, sizeof dx, bytes, dn_channel_gradient_bytes(kept, N)};
        for (int i = 0; i < 4; i++)
            assert_int_equal(dn_device_alloc(s, sizes[i], &memory[i]), DN_OK);
        draw(x);
        dn_random_normal(7, 1, 0, N * C, 1, dx);
        dn_upload(s, memory[0], x, N * C);
        dn_upload(s, memory[1], dx, N * C);
        dn_channel_encode(s, kept, C, N, memory[2], memory[0]);
        dn_channel_decode(s, kept, C, N, memory[0], memory[2]);
        dn_download(s, y, memory[0], N * C);
        dn_channel_encode_gradient(s, kept, C, N, memory[3], memory[1], memory[2]);
        dn_channel_decode_gradient(s, kept, C, N, memory[1], memory[3], memory[2]);
        dn_download(s, dy, memory[1], N * C);
        assert_int_equal(dn_stream_sync(s), DN_OK);
        for (size_t i = 0; i < N * C; i++) {
            bool crosses = x[i] != 0 && before(x + i / C * C, i % C) < kept;
            assert_true(y[i] == (crosses ? x[i] : 0)); /* as it is, or nothing: what stays behind is x - y exactly */
            assert_true(dy[i] == (crosses ? dx[i] : 0));
        }
        for (int i = 0; i < 4; i++)
            dn_device_free(s, memory[i], sizes[i]);
    }
    dn_stream_destroy(&s);
}

/* In float a kept number has 6 bytes of 4. */
static void all_is_sent_as_it_is_where_that_is_shorter(void **state)
{
    (void)state;
    double o = 1.5;
    assert_true(dn_channel_overhead(128) == o);
    for (size_t wanted = 1; wanted <= 128; wanted++)
        assert_int_equal(dn_channel_kept(wanted, 128), (double)wanted * o < 128 ? wanted : 0);
    assert_int_equal(dn_channel_kept(70000, 70000), 0); /* indices of 32 bits */
    assert_true(dn_channel_overhead(70000) == 2);
}

/* AdaTopK: compressed links take the same time; the fastest, which would be faster still, are left as they are. */
static void all_compressed_links_take_the_same_time(void **state)
{
    (void)state;
    const double seconds[] = {0.5, 8, 2, 0.01}, o = dn_channel_overhead(1 << 15);
    double ratio[4];
    size_t kept[4];
    for (double r = 1; r <= 100; r *= 10) {
        dn_pipe_ratios(seconds, 4, r, o, ratio);
        for (int i = 0; i < 4; i++) {
            assert_true(ratio[i] >= 1);
            if (ratio[i] > 1)
                assert_close(seconds[i] * o / ratio[i], 8 / r, 1e-14 * 8 / r); /* a few roundings */
            else
                assert_true(seconds[i] * o <= 8 / r * (1 + 1e-14));
        }
        assert_int_equal(dn_pipe_kept(DN_CHANNEL_TOPK, 0, r, seconds, 4, 1 << 15, kept), DN_OK);
        for (int i = 0; i < 4; i++) {
            size_t wanted = (size_t)ceil((1 << 15) / ratio[i]);
            assert_int_equal(kept[i], (double)wanted * o < 1 << 15 ? wanted : 0);
        }
    }
}

static void lossless_settings_send_all_and_what_keeps_nothing_is_refused(void **state)
{
    (void)state;
    const double seconds[] = {3, 1, 2};
    for (size_t width = 2; width <= 300; width++) {
        size_t kept[3];
        assert_int_equal(dn_pipe_kept(DN_CHANNEL_TOPK, 0.5, 1, seconds, 3, width, kept), DN_OK);
        assert_true(kept[0] == 0 && kept[1] == 0 && kept[2] == 0);
        assert_int_equal(dn_pipe_kept(DN_CHANNEL_THRESHOLD, 0, 10, seconds, 3, width, kept), DN_OK);
        assert_true(kept[0] == 0 && kept[1] == 0 && kept[2] == 0);
        assert_int_equal(dn_pipe_kept(DN_CHANNEL_DENSE, 0.9, 10, seconds, 3, width, kept), DN_OK);
        assert_true(kept[0] == 0 && kept[1] == 0 && kept[2] == 0);
        assert_int_equal(dn_pipe_kept(DN_CHANNEL_TOPK, 0, 1.01 * (double)width / dn_channel_overhead(width), seconds, 3, width, kept),
                         DN_ERR_CONFIG);
        assert_non_null(strstr(dn_error_message(), "channel_ratio"));
    }
    size_t kept[1];
    assert_int_equal(dn_pipe_kept(DN_CHANNEL_THRESHOLD, 0.95, 1, seconds, 1, 320, kept), DN_OK);
    assert_int_equal(kept[0], 320 - 304);
    assert_int_equal(dn_pipe_kept(DN_CHANNEL_THRESHOLD, 1, 1, seconds, 1, 320, kept), DN_OK);
    assert_int_equal(kept[0], 1);
    assert_int_equal(dn_pipe_kept(DN_CHANNEL_TOPK, 0, 10, seconds, 1, 320, kept), DN_OK);
    assert_int_equal(kept[0], 22); /* 320 / 15 */
}

TESTS(nn_channel)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_go_by_the_largest_of_each_position),
        cmocka_unit_test(all_is_sent_as_it_is_where_that_is_shorter),
        cmocka_unit_test(all_compressed_links_take_the_same_time),
        cmocka_unit_test(lossless_settings_send_all_and_what_keeps_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
