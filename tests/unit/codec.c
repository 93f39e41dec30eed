/* Codecs: what comes back of a message, its bytes, and what error feedback keeps. */
#include "codec/codec.h"

#include "base/random.h"
#include "compute/kernels.h"
#include "support/close.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };
#define PATTERN 0xa5

/* A codec with its buffers for n numbers; message and work stand before bytes that must stay. */
typedef struct rig {
    const dn_codec *codec;
    dn_codec_config config;
    size_t n, bytes, n_work;
    dn_stream *s;
    dn_buf *x, *y, *e, *work;
    dn_bytes *message;
} rig;

static void *new_memory(dn_stream *s, size_t bytes)
{
    void *memory;
    char guard[GUARD];
    memset(guard, PATTERN, sizeof guard);
    assert_int_equal(dn_device_alloc(s, bytes + GUARD, &memory), DN_OK);
    dn_copy_bytes(s, (char *)memory + bytes, guard, sizeof guard);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    return memory;
}

static void free_memory(dn_stream *s, void *memory, size_t bytes)
{
    char guard[GUARD], right[GUARD];
    memset(right, PATTERN, sizeof right);
    dn_copy_bytes(s, guard, (char *)memory + bytes, sizeof guard);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    assert_memory_equal(guard, right, sizeof guard);
    dn_device_free(s, memory, bytes + GUARD);
}

static rig make_rig(const char *codec, const dn_codec_config *config, size_t n)
{
    rig r = {.codec = dn_codec_find(codec), .config = *config, .n = n};
    assert_non_null(r.codec);
    if (!r.config.values)
        r.config.values = dn_codec_find("f32");
    assert_int_equal(dn_stream_create("cpu", 2, &r.s), DN_OK);
    r.bytes = dn_codec_bytes(r.codec, &r.config, n);
    r.n_work = dn_codec_work(r.codec, &r.config, n);
    r.x = new_memory(r.s, n * sizeof(dn_real));
    r.y = new_memory(r.s, n * sizeof(dn_real));
    r.e = new_memory(r.s, n * sizeof(dn_real));
    r.work = new_memory(r.s, r.n_work * sizeof(dn_real));
    r.message = new_memory(r.s, r.bytes);
    return r;
}

static void free_rig(rig *r)
{
    free_memory(r->s, r->x, r->n * sizeof(dn_real));
    free_memory(r->s, r->y, r->n * sizeof(dn_real));
    free_memory(r->s, r->e, r->n * sizeof(dn_real));
    free_memory(r->s, r->work, r->n_work * sizeof(dn_real));
    free_memory(r->s, r->message, r->bytes);
    dn_stream_destroy(&r->s);
}

/* Host memory may be written again when this returns. */
static void upload(rig *r, dn_buf *to, const dn_real *from)
{
    dn_upload(r->s, to, from, r->n);
    assert_int_equal(dn_stream_sync(r->s), DN_OK);
}

static dn_real *normal(size_t n, uint64_t stream)
{
    dn_real *x = malloc((n + 1) * sizeof *x);
    dn_random_normal(3, stream, 0, n, 1, x);
    return x;
}

/* y += factor times what comes of x. */
static void there_and_back(rig *r, const dn_real *x, dn_real *y, double factor)
{
    upload(r, r->x, x);
    upload(r, r->y, y);
    dn_codec_encode(r->s, r->codec, &r->config, r->message, r->x, r->n, r->work);
    dn_codec_decode_add(r->s, r->codec, &r->config, r->y, factor, r->message, r->n, r->work);
    dn_download(r->s, y, r->y, r->n);
    assert_int_equal(dn_stream_sync(r->s), DN_OK);
}

static const size_t sizes[] = {0, 1, 2, 7, 255, 256, 257, 5000};
#define N_SIZES (sizeof sizes / sizeof *sizes)

static void numbers_as_they_are_come_back_as_they_were(void **state)
{
    for (size_t i = 0; i < N_SIZES; i++) {
        rig r = make_rig("f32", &(dn_codec_config){0}, sizes[i]);
        assert_int_equal(r.bytes, (sizes[i] * sizeof(dn_real) + 7) / 8 * 8);
        dn_real *x = normal(sizes[i], 1), *y = calloc(sizes[i] + 1, sizeof *y);
        there_and_back(&r, x, y, 1);
        assert_memory_equal(y, x, sizes[i] * sizeof *x);
        free_rig(&r);
        free(x), free(y);
    }
}

/* As many entries as a tile has: all come back. */
static void the_largest_entries_of_whole_tiles_are_everything(void **state)
{
    const dn_codec_config configs[] = {{.tile_rows = 1, .tile_cols = 64, .k = 64},
                                       {.cols = 1, .tile_rows = 16, .tile_cols = 64, .k = 16},
                                       {.tile_rows = 1, .tile_cols = 70000, .k = 70000}};
    for (size_t i = 0; i < N_SIZES; i++)
        for (size_t c = 0; c < 3; c++) {
            rig r = make_rig("topk", &configs[c], sizes[i]);
            dn_real *x = normal(sizes[i], 1), *y = calloc(sizes[i] + 1, sizeof *y);
            there_and_back(&r, x, y, 1);
            assert_memory_equal(y, x, sizes[i] * sizeof *x);
            free_rig(&r);
            free(x), free(y);
        }
}

/* Tiles of a matrix 100 x 70: 2 x 2 of 64 x 64, 16-bit indices. */
static void the_bytes_of_the_largest_entries_are_those_of_the_formula(void **state)
{
    const dn_codec_config config = {.cols = 70, .tile_rows = 64, .tile_cols = 64, .k = 32};
    rig r = make_rig("topk", &config, 7000);
    assert_int_equal(dn_codec_entries(r.codec, &r.config, 7000), 4 * 32);
    assert_int_equal(r.bytes, 4 * 32 * (2 + sizeof(dn_real)));
    free_rig(&r);
    r = make_rig("topk", &(dn_codec_config){.tile_rows = 1, .tile_cols = 64, .k = 32},
                 10); /* no more than there are */
    assert_int_equal(dn_codec_entries(r.codec, &r.config, 10), 10);
    free_rig(&r);
    r = make_rig("topk", &(dn_codec_config){.tile_rows = 1, .tile_cols = 65536, .k = 3}, 100000);
    assert_int_equal(r.bytes, (2 * 3 * sizeof(uint32_t) + 7) / 8 * 8 + 2 * 3 * sizeof(dn_real));
    free_rig(&r);
}

/* Of equal numbers the first, of each tile; zeros are not sent, and not counted. */
static void ties_go_to_the_lower_index_and_zeros_nowhere(void **state)
{
    enum { N = 12 };
    rig r = make_rig("topk", &(dn_codec_config){.tile_rows = 1, .tile_cols = 6, .k = 3}, N);
    const dn_real x[N] = {1, -2, 1, 1, -1, 1, 0, 0, -3, 0, (dn_real)-0.0, 0};
    const dn_real right[N] = {1, -2, 1, 0, 0, 0, 0, 0, -3, 0, 0, 0};
    dn_real y[N] = {0}, counts[N] = {0};
    there_and_back(&r, x, y, 1);
    assert_memory_equal(y, right, sizeof y);
    upload(&r, r.e, counts);
    dn_codec_count_add(r.s, r.codec, &r.config, r.e, r.message, N);
    dn_codec_count_add(r.s, r.codec, &r.config, r.e, r.message, N);
    dn_download(r.s, counts, r.e, N);
    assert_int_equal(dn_stream_sync(r.s), DN_OK);
    for (size_t i = 0; i < N; i++)
        assert_true(counts[i] == (right[i] != 0 ? 2 : 0));
    free_rig(&r);
}

/* Twenty times: what was put in is what came out and what is still there, each entry by itself and to the
 * last bit, for an entry either moves as a whole or stays. */
static void error_feedback_loses_nothing(void **state)
{
    enum { N = 1000 };
    rig r = make_rig("topk", &(dn_codec_config){.cols = 25, .tile_rows = 8, .tile_cols = 8, .k = 5}, N);
    dn_real e[N] = {0}, before[N], sent[N];
    upload(&r, r.e, e);
    for (int step = 0; step < 20; step++) {
        dn_real *x = normal(N, (uint64_t)step);
        size_t moved = 0;
        memcpy(before, e, sizeof e);
        memset(sent, 0, sizeof sent);
        upload(&r, r.x, x);
        upload(&r, r.y, sent);
        dn_codec_encode_feedback(r.s, r.codec, &r.config, r.message, r.e, 0.5, r.x, N, r.work);
        dn_codec_decode_add(r.s, r.codec, &r.config, r.y, 1, r.message, N, r.work);
        dn_download(r.s, e, r.e, N);
        dn_download(r.s, sent, r.y, N);
        assert_int_equal(dn_stream_sync(r.s), DN_OK);
        for (size_t i = 0; i < N; i++) {
            dn_real sum = x[i] + before[i] / 2; /* rounded once, halving being exact */
            assert_true(e[i] + sent[i] == sum && (e[i] == 0 || sent[i] == 0));
            moved += sent[i] != 0;
        }
        assert_int_equal(moved, 5 * 4 * 5);
        free(x);
    }
    free_rig(&r);
}

static void an_unknown_codec_is_none(void **state)
{
    assert_null(dn_codec_find("zip"));
    assert_string_equal(dn_codec_find("topk")->name, "topk");
}

TESTS(codec)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_as_they_are_come_back_as_they_were),
        cmocka_unit_test(the_largest_entries_of_whole_tiles_are_everything),
        cmocka_unit_test(the_bytes_of_the_largest_entries_are_those_of_the_formula),
        cmocka_unit_test(ties_go_to_the_lower_index_and_zeros_nowhere),
        cmocka_unit_test(error_feedback_loses_nothing),
        cmocka_unit_test(an_unknown_codec_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
