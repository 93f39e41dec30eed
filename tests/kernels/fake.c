/* The fake device: what it must not let pass. */
#include "support.h"

#include "device/device.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 100 };

static const dn_device *before;

static int select_fake(void **state)
{
    before = dn_device_selected();
    unsetenv("DIONODE_FAKE_ORDER");
    return dn_device_select("fake", false) == DN_OK ? 0 : -1;
}

static int select_back(void **state)
{
    unsetenv("DIONODE_FAKE_ORDER");
    return dn_device_select(before->name, false) == DN_OK ? 0 : -1;
}

static dn_buf *new_buffer(dn_stream *s)
{
    void *memory;
    assert_int_equal(dn_device_alloc(s, N * sizeof(dn_real), &memory), DN_OK);
    return memory;
}

static dn_real first_of(dn_stream *s, const dn_buf *x)
{
    dn_real value;
    dn_download(s, &value, x, 1);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    return value;
}

static void an_unknown_device_is_an_error_that_names_those_there_are(void **state)
{
    assert_int_equal(dn_device_select("abacus", false), DN_ERR_ARG);
    assert_non_null(strstr(dn_error_message(), "abacus"));
    for (const dn_device *const *device = dn_device_all(); *device; device++)
        assert_non_null(strstr(dn_error_message(), (*device)->name));
}

/* The signal that a child dies of when the host follows a handle, reading or writing. */
static void host_accesses_are_faults(void **state)
{
    dn_stream *s = make_stream("ref", 1);
    dn_buf *x = new_buffer(s);
    for (int write = 0; write < 2; write++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            signal(SIGSEGV, SIG_DFL);
            volatile dn_real *at = (dn_real *)(void *)x;
            if (write)
                at[3] = 1;
            else
                (void)at[3];
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSEGV);
    }
    dn_device_free(s, x, N * sizeof(dn_real));
    dn_stream_destroy(&s);
}

static void results_are_no_numbers_before_a_sync(void **state)
{
    dn_stream *s = make_stream("ref", 1);
    dn_buf *x = new_buffer(s);
    double sum = 5, total = 7;
    dn_real copy = 5;
    dn_ids *targets = device_ids(s, (int32_t[]){0, 0}, 2);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    s->kernels->fill(s, x, N, 2);
    s->kernels->sum_squares(s, &sum, x, N);
    dn_download(s, &copy, x, 1);
    s->kernels->cross_entropy(s, &total, x, targets, 1, 2, 0);
    s->kernels->cross_entropy(s, &total, x, targets, 1, 2, 0);
    assert_true(isnan(sum) && isnan((double)copy) && isnan(total));
    assert_int_equal(dn_stream_sync(s), DN_OK);
    assert_true(sum == 4 * N && copy == 2);
    assert_true(fabs(total - (7 + 2 * log(2))) < 1e-12);
    free_ids(s, targets, 2);
    dn_device_free(s, x, N * sizeof(dn_real));
    dn_stream_destroy(&s);
}

/* Arguments in host memory are the kernel's from the call on; what is uploaded is read late. */
static void arguments_are_read_at_the_call_and_copies_at_the_sync(void **state)
{
    dn_stream *s = make_stream("ref", 1);
    dn_buf *x = new_buffer(s), *y = new_buffer(s);
    dn_real ones[N], got[N];
    int32_t rows[] = {1, 3};
    for (int i = 0; i < N; i++)
        ones[i] = 1;
    dn_upload(s, y, ones, N);
    s->kernels->add_rows(s, x, rows, 2, NULL, y, 2, 10);
    rows[0] = 0;
    ones[0] = 9;
    dn_download(s, got, x, N);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    assert_true(got[0] == 0 && got[10] == 18 && got[11] == 2 && got[30] == 2);
    dn_device_free(s, x, N * sizeof(dn_real));
    dn_device_free(s, y, N * sizeof(dn_real));
    dn_stream_destroy(&s);
}

static void memory_of_the_host_is_no_argument_of_a_kernel(void **state)
{
    dn_stream *s = make_stream("ref", 1);
    dn_real own[N] = {0};
    s->kernels->fill(s, (dn_buf *)(void *)own, N, 1);
    assert_int_equal(dn_stream_sync(s), DN_ERR_SYSTEM);
    assert_non_null(strstr(dn_error_message(), "fill"));
    assert_true(own[0] == 0);
    dn_stream_destroy(&s);
}

/* x is 1; a kernel reads it, and another stream, made later, then writes 2 over it. What the kernel has read.
 */
static double overwritten(const char *order, bool with_event)
{
    setenv("DIONODE_FAKE_ORDER", order, 1);
    dn_stream *compute = make_stream("ref", 1), *copies = make_stream("ref", 1);
    dn_buf *x = new_buffer(compute), *y = new_buffer(compute);
    compute->kernels->fill(compute, x, N, 1);
    assert_int_equal(dn_stream_sync(compute), DN_OK);
    compute->kernels->copy(compute, y, x, N);
    if (with_event)
        dn_stream_wait(copies, dn_event_record(compute));
    copies->kernels->fill(copies, x, N, 2);
    dn_event written = dn_event_record(copies);
    assert_false(dn_event_done(written));
    double read = (double)first_of(compute, y);
    if (with_event && strcmp(order, "first") == 0)
        assert_false(dn_event_done(written)); /* nobody waited for it */
    dn_stream_wait(compute, written);
    assert_true((double)first_of(compute, x) == 2);
    assert_true(dn_event_done(written));
    dn_device_free(compute, x, N * sizeof(dn_real));
    dn_device_free(compute, y, N * sizeof(dn_real));
    dn_stream_destroy(&copies);
    dn_stream_destroy(&compute);
    return read;
}

static void streams_go_on_in_the_worst_order_that_events_allow(void **state)
{
    assert_true(overwritten("first", false) == 1);
    assert_true(overwritten("last", false) == 2);
    int early = 0;
    for (int seed = 1; seed <= 20; seed++) {
        char order[32];
        snprintf(order, sizeof order, "random:%d", seed);
        early += overwritten(order, false) == 2;
        assert_true(overwritten(order, true) == 1);
    }
    assert_in_range(early, 1, 19);
    assert_true(overwritten("first", true) == 1);
    assert_true(overwritten("last", true) == 1);
}

TESTS(fake)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_device_is_an_error_that_names_those_there_are),
        cmocka_unit_test(host_accesses_are_faults),
        cmocka_unit_test(results_are_no_numbers_before_a_sync),
        cmocka_unit_test(arguments_are_read_at_the_call_and_copies_at_the_sync),
        cmocka_unit_test(memory_of_the_host_is_no_argument_of_a_kernel),
        cmocka_unit_test(streams_go_on_in_the_worst_order_that_events_allow),
    };
    return cmocka_run_group_tests(tests, select_fake, select_back);
}
