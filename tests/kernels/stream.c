/* Streams, memory, and OpenBLAS's core. */
#include "support.h"

#include "base/random.h"
#include "compute/draw.h"
#include "support/device.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

static void an_unknown_backend_or_no_thread_is_an_argument_error(void **state)
{
    dn_stream *s = NULL;
    assert_int_equal(dn_stream_create("abacus", 1, &s), DN_ERR_ARG);
    assert_non_null(strstr(dn_error_message(), "abacus"));
    assert_int_equal(dn_stream_create("ref", 0, &s), DN_ERR_ARG);
    assert_null(s);
    dn_stream_destroy(&s);
}

static void cpu_is_the_first_backend_and_ref_the_last(void **state)
{
    const dn_kernels *const *list = dn_kernels_available();
    dn_stream *s = make_stream("cpu", 1);
    assert_ptr_equal(apart() ? s->host->kernels : s->kernels, list[0]);
    dn_stream_destroy(&s);
    while (list[1])
        list++;
    assert_string_equal(list[0]->name, "ref");
}

static void memory_is_zero_and_aligned(void **state)
{
    const size_t sizes[] = {0, 1, 1000, (size_t)4 << 20, ((size_t)4 << 20) + 4};
    dn_stream *s = make_stream("cpu", 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *memory;
        assert_int_equal(dn_device_alloc(s, sizes[i], &memory), DN_OK);
        assert_int_equal((uintptr_t)memory % (sizes[i] < (size_t)4 << 20 ? 128 : (size_t)2 << 20), 0);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(((char *)behind(memory))[j], 0);
        dn_device_free(s, memory, sizes[i]);
    }
    dn_stream_destroy(&s);
}

static bool count(void *context)
{
    ++*(int *)context;
    return true;
}

static bool have_enough(void *context)
{
    ++*(int *)context;
    return false;
}

/* A sign of life for each piece that is done: two and a bit, and none for what did not happen. */
static void long_loops_tell_of_every_piece(void **state)
{
    const size_t bytes = 2 * DN_STREAM_CHUNK + 4096;
    int calls = 0;
    void *memory;
    dn_stream *s = make_stream("cpu", 2);
    dn_stream_on_progress(s, count, &calls);
    assert_int_equal(dn_device_alloc(s, bytes, &memory), DN_OK);
    assert_int_equal(calls, 3);
    memset(behind(memory), 1, bytes);
    assert_int_equal(dn_stream_zero(s, memory, bytes / sizeof(dn_real)), DN_OK);
    assert_int_equal(calls, 6);
    for (size_t i = 0; i < bytes; i += 64)
        assert_int_equal(((char *)behind(memory))[i], 0);
    assert_int_equal(((char *)behind(memory))[bytes - 1], 0);
    const dn_draw draw = {.seed = 1, .std = 1, .cols = 1 << 16, .block = {0, 5, 0, 1 << 16}};
    assert_int_equal(dn_draw_normal(s, memory, &draw), DN_OK);
    assert_int_equal(calls, 11);

    dn_stream_on_progress(s, have_enough, &calls);
    memset(behind(memory), 1, bytes);
    assert_int_equal(dn_stream_zero(s, memory, bytes / sizeof(dn_real)), DN_OK);
    assert_int_equal(calls, 12);
    assert_int_equal(((char *)behind(memory))[DN_STREAM_CHUNK - 1], 0);
    assert_int_equal(((char *)behind(memory))[DN_STREAM_CHUNK], 1);
    assert_int_equal(dn_draw_normal(s, memory, &draw), DN_OK);
    assert_int_equal(calls, 13);
    dn_device_free(s, memory, bytes);
    dn_stream_destroy(&s);
}

static void impossible_memory_is_an_error_naming_its_size(void **state)
{
    dn_stream *s = make_stream("cpu", 1);
    void *memory;
    assert_int_equal(dn_device_alloc(s, SIZE_MAX - 5, &memory), DN_ERR_MEMORY);
    assert_non_null(strstr(dn_error_message(), "16 EiB"));
    /* No memory for scratch (here 2^64 - 128 bytes): nothing is touched, and the stream remembers. */
    double sums[16];
    s->kernels->column_squares(s, sums, NULL, (((size_t)1 << 57) - 1) * 64, 16);
    assert_int_equal(dn_stream_sync(s), DN_ERR_MEMORY);
    dn_stream_destroy(&s);
}

/* Once every size was seen, kernels take no memory: scratch stays where it is. */
static void scratch_stays_after_the_first_use(void **state)
{
    const dn_attention_shape shape = {.B = 1, .T = 100, .NH = 2, .NKV = 2, .hd = 8, .ld = 16};
    dn_stream *s = make_stream("cpu", 2);
    void *memory;
    assert_int_equal(dn_device_alloc(s, 5 * 1600 * sizeof(dn_real), &memory), DN_OK);
    dn_buf *x = memory;
    const void *scratch = NULL;
    double sum; /* until the stream is done with it */
    for (int step = 0; step < 3; step++) {
        s->kernels->attention_forward(s, dn_at(x, 4800), dn_at(x, 6400), x, dn_at(x, 1600), dn_at(x, 3200),
                                      &shape);
        s->kernels->sum_squares(s, &sum, x, 1600);
        if (step > 0)
            assert_ptr_equal(scratch, s->scratch);
        scratch = s->scratch;
    }
    dn_device_free(s, memory, 5 * 1600 * sizeof(dn_real));
    dn_stream_destroy(&s);
}

enum { SIDE = 150, RANKS = 4 };

/* Products on a stream of its own; returns NULL if every one has the same bits as the first. */
static void *multiply_often(void *first_result)
{
    static const char failed[] = "failed";
    dn_stream *s = NULL;
    dn_real x[SIDE * SIDE], y[SIDE * SIDE];
    void *memory;
    if (dn_stream_create("cpu", 1, &s) != DN_OK ||
        dn_device_alloc(s, 2 * SIDE * SIDE * sizeof *x, &memory) != DN_OK)
        return (void *)failed;
    dn_buf *a = memory, *c = dn_at(a, SIDE * SIDE);
    dn_random_normal(1, 1, 0, SIDE * SIDE, 1, x);
    dn_upload(s, a, x, SIDE * SIDE);
    bool same = true;
    for (int i = 0; i < 100; i++) {
        s->kernels->gemm(s, DN_N, DN_T, SIDE, SIDE, SIDE, 1, a, SIDE, a, SIDE, 0, c, SIDE);
        dn_download(s, i == 0 ? x : y, c, SIDE * SIDE);
        same = same && dn_stream_sync(s) == DN_OK;
        same = same && (i == 0 || memcmp(x, y, sizeof x) == 0);
    }
    memcpy(first_result, x, sizeof x);
    dn_device_free(s, memory, 2 * SIDE * SIDE * sizeof *x);
    dn_stream_destroy(&s);
    return same ? NULL : (void *)failed;
}

/* Ranks may be threads of one process, each with a stream. */
static void streams_work_side_by_side(void **state)
{
    static dn_real results[RANKS][SIDE * SIDE];
    pthread_t threads[RANKS];
    alarm(60);
    for (int i = 0; i < RANKS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, multiply_often, results[i]), 0);
    for (int i = 0; i < RANKS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
        assert_memory_equal(results[i], results[0], sizeof results[0]);
    }
    alarm(0);
}

/* main() tuned the library: where the processor has wide vectors, its products use them. */
static void the_blas_core_is_as_wide_as_the_processor(void **state)
{
    const char *text = dn_blas_describe();
    assert_non_null(strstr(text, "OpenBLAS"));
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        assert_null(strstr(text, "Prescott"));
#endif
}

static void flop_limits_are_rates(void **state)
{
    static const char *const names[] = {"cpu", "ref"};
    for (int i = 0; i < 2; i++) {
        dn_stream *s = make_stream(names[i], 1);
        dn_flop_limits limits = dn_flop_limits_measure(s, 0);
        if (!(limits.gemm > 1e6 && limits.fma >= limits.gemm && limits.fma < 1e14))
            fail_msg("%s: %g of %g flop/s", names[i], limits.gemm, limits.fma);
        dn_stream_destroy(&s);
    }
}

/* What a run tells of its steps, on rates instead of a clock. */
static void no_share_of_a_limit_is_above_one_and_none_forgets_what_was_faster(void **state)
{
    static const struct {
        double flops, of_gemm, of_fma, gemm, fma;
    } steps[] = {
        {40, 0.5, 0.4, 80, 100}, {80, 1, 0.8, 80, 100},  {90, 1, 0.9, 90, 100}, {45, 0.5, 0.45, 90, 100},
        {200, 1, 1, 200, 200},   {50, 0.25, 0.25, 200, 200}, {0, 0, 0, 200, 200},
    };
    dn_flop_limits limits = {.gemm = 80, .fma = 100};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        dn_flop_limits shares = dn_flop_shares(&limits, steps[i].flops);
        assert_float_equal(shares.gemm, steps[i].of_gemm, 0);
        assert_float_equal(shares.fma, steps[i].of_fma, 0);
        assert_float_equal(limits.gemm, steps[i].gemm, 0);
        assert_float_equal(limits.fma, steps[i].fma, 0);
    }
}

TESTS(stream)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_backend_or_no_thread_is_an_argument_error),
        cmocka_unit_test(cpu_is_the_first_backend_and_ref_the_last),
        cmocka_unit_test(memory_is_zero_and_aligned),
        cmocka_unit_test(long_loops_tell_of_every_piece),
        cmocka_unit_test(impossible_memory_is_an_error_naming_its_size),
        cmocka_unit_test(scratch_stays_after_the_first_use),
        cmocka_unit_test(streams_work_side_by_side),
        cmocka_unit_test(the_blas_core_is_as_wide_as_the_processor),
        cmocka_unit_test(flop_limits_are_rates),
        cmocka_unit_test(no_share_of_a_limit_is_above_one_and_none_forgets_what_was_faster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
