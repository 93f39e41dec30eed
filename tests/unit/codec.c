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

/* All that a tile has: all come back. */
static void the_largest_entries_of_whole_tiles_are_everything(void **state)
{
    const dn_codec_config configs[] = {{.tile_rows = 1, .tile_cols = 64, .share = 1},
                                       {.cols = 1, .tile_rows = 16, .tile_cols = 64, .share = 1},
                                       {.tile_rows = 1, .tile_cols = 70000, .share = 1}};
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
    const dn_codec_config config = {.cols = 70, .tile_rows = 64, .tile_cols = 64, .share = 32. / 4096};
    rig r = make_rig("topk", &config, 7000);
    assert_int_equal(dn_codec_entries(r.codec, &r.config, 7000), 4 * 32);
    assert_int_equal(r.bytes, 4 * 32 * (2 + sizeof(dn_real)));
    free_rig(&r);
    r = make_rig("topk", &(dn_codec_config){.tile_rows = 1, .tile_cols = 64, .share = 0.5},
                 11); /* a tile no larger than they are */
    assert_int_equal(dn_codec_entries(r.codec, &r.config, 11), 6);
    free_rig(&r);
    r = make_rig("topk", &(dn_codec_config){.tile_rows = 1, .tile_cols = 65536, .share = 3. / 65536}, 100000);
    assert_int_equal(r.bytes, (2 * 3 * sizeof(uint32_t) + 7) / 8 * 8 + 2 * 3 * sizeof(dn_real));
    free_rig(&r);
}

/* Of equal numbers the first, of each tile; zeros are not sent, and not counted. */
static void ties_go_to_the_lower_index_and_zeros_nowhere(void **state)
{
    enum { N = 12 };
    rig r = make_rig("topk", &(dn_codec_config){.tile_rows = 1, .tile_cols = 6, .share = 0.5}, N);
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
    rig r = make_rig("topk", &(dn_codec_config){.cols = 25, .tile_rows = 8, .tile_cols = 8, .share = 5. / 64}, N);
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
        assert_int_equal(moved, 5 * (3 * 5 + 1)); /* the tiles of one column have their share of 5: 1 of 8 entries */
        free(x);
    }
    free_rig(&r);
}

static const char *const dense_names[] = {"f32", "bf16", "fp4", "int8", "int2", "sign"};

/* Every dense codec behind every sparse one: what comes back of an entry is what the dense one makes of it (0
 * for none), and a message is as long as said. */
static void any_dense_codec_writes_the_entries_of_any_sparse_one(void **state)
{
    enum { N = 3000 };
    static const char *const sparse[] = {"topk", "threshold"};
    static const double lost[] = {0,    0.004, 0.5,
                                  0.01, 0.62,  0.62}; /* at most, as a share of the entries' length */
    dn_real *x = normal(N, 1);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 6; j++) {
            dn_codec_config config = {.values = dn_codec_find(dense_names[j]),
                                      .cols = 50,
                                      .tile_rows = 8,
                                      .tile_cols = 8,
                                      .k = N / 2,
                                      .tau = 1,
                                      .share = 0.25};
            rig r = make_rig(sparse[i], &config, N);
            config.values = dn_codec_find("f32");
            rig exact = make_rig(sparse[i], &config, N);
            dn_real right[N] = {0}, y[N] = {0};
            there_and_back(&exact, x, right, 1);
            there_and_back(&r, x, y, 1);
            double error = 0, length = 0;
            for (size_t e = 0; e < N; e++) {
                assert_true(right[e] == 0 ? y[e] == 0 : right[e] == x[e]);
                error += pow((double)(y[e] - right[e]), 2), length += pow((double)right[e], 2);
            }
            assert_above(length, 0.3 * N);
            assert_at_most(sqrt(error / length), lost[j]);
            free_rig(&r), free_rig(&exact);
        }
    free(x);
}

/* Of 1000 numbers: 4 blocks of 256. */
static void the_bytes_of_dense_codecs_are_those_of_the_formula(void **state)
{
    const size_t e = sizeof(dn_real),
                 right[] = {1000 * e, 2000, 4 * e + 500, 4 * e + 1000, 4 * e + 250, 8 + 125};
    for (int i = 0; i < 6; i++)
        assert_int_equal(dn_codec_bytes(dn_codec_find(dense_names[i]), &(dn_codec_config){0}, 1000),
                         (right[i] + 7) / 8 * 8);
}

/* The rest stays behind, of higher index: with error feedback it is in later messages. */
static void more_entries_than_a_message_has_room_for_wait(void **state)
{
    enum { N = 100 };
    rig r = make_rig("threshold", &(dn_codec_config){.tau = 0.5, .k = 25}, N);
    dn_real x[N], e[N] = {0}, all[N] = {0};
    for (int i = 0; i < N; i++)
        x[i] = (dn_real)(i % 2 ? 1 + i : 0.25); /* 50 reach tau, 25 find room */
    upload(&r, r.e, e);
    upload(&r, r.y, all);
    for (int step = 0; step < 3; step++) {
        uint64_t count = 0;
        upload(&r, r.x, step == 0 ? x : all); /* all is 0 then */
        dn_codec_encode_feedback(r.s, r.codec, &r.config, r.message, r.e, 1, r.x, N, r.work);
        dn_codec_decode_add(r.s, r.codec, &r.config, r.y, 1, r.message, N, r.work);
        dn_codec_count(r.s, r.codec, &r.config, &count, r.message, N);
        assert_int_equal(dn_stream_sync(r.s), DN_OK);
        assert_int_equal(count, step < 2 ? 25 : 0);
        assert_int_equal(dn_codec_sent_bytes(r.codec, &r.config, N, count),
                         (count * 2 + 7) / 8 * 8 + (count * sizeof(dn_real) + 7) / 8 * 8);
    }
    dn_download(r.s, all, r.y, N);
    dn_download(r.s, e, r.e, N);
    assert_int_equal(dn_stream_sync(r.s), DN_OK);
    for (int i = 0; i < N; i++)
        assert_true(i % 2 ? all[i] == x[i] && e[i] == 0 : all[i] == 0 && e[i] == x[i]);
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
        cmocka_unit_test(any_dense_codec_writes_the_entries_of_any_sparse_one),
        cmocka_unit_test(the_bytes_of_dense_codecs_are_those_of_the_formula),
        cmocka_unit_test(more_entries_than_a_message_has_room_for_wait),
        cmocka_unit_test(an_unknown_codec_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
