/* Another program run to its end: what it printed, how it ended, and that it never outlives its limit. */
#include "launch/command.h"

#include "base/clock.h"
#include "support/tests.h"

#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

static char text[64];

static dn_status shell(const char *script, double limit_s)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    memset(text, 'x', sizeof text);
    return dn_command_run(argv, limit_s, text, sizeof text);
}

static void what_it_prints_is_read_to_the_end(void **state)
{
    (void)state;
    assert_int_equal(shell("echo one; sleep 0.05; echo two; cat", 10), DN_OK);
    assert_string_equal(text, "one\ntwo\n");
    assert_int_equal(shell("exec >&-; sleep 0.05", 10), DN_OK);
    assert_string_equal(text, "");
}

static void a_bad_end_is_told(void **state)
{
    (void)state;
    const char *const argv[] = {"no-such-program-anywhere", NULL};
    assert_int_equal(dn_command_run(argv, 10, text, sizeof text), DN_ERR_SYSTEM);
    assert_non_null(strstr(dn_error_message(), "is it installed"));
    assert_int_equal(shell("echo said; exit 3", 10), DN_ERR_SYSTEM);
    assert_non_null(strstr(dn_error_message(), "status 3"));
    assert_string_equal(text, "said\n");
    assert_int_equal(shell("kill -9 $$", 10), DN_ERR_SYSTEM);
    assert_non_null(strstr(dn_error_message(), "signal 9"));
}

static void more_than_fits_is_cut_and_told(void **state)
{
    (void)state;
    assert_int_equal(shell("printf %0100d 7", 10), DN_ERR_SYSTEM);
    assert_non_null(strstr(dn_error_message(), "more than"));
    assert_int_equal(strlen(text), sizeof text - 1);
}

/* The grandchild holds the pipe too, and its number is printed so that its end can be seen. */
static void a_program_over_its_limit_is_killed_with_its_children(void **state)
{
    (void)state;
    double start_s = dn_clock_s();
    assert_int_equal(shell("sleep 30 & echo $!; wait", 0.3), DN_ERR_TIMEOUT);
    assert_true(dn_clock_s() - start_s < 10);
    pid_t child = (pid_t)atoi(text);
    assert_true(child > 1);
    char path[64], status[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
    for (int turn = 0; turn < 200; turn++) { /* killed; gone or a zombie as soon as someone reaps it */
        FILE *file = fopen(path, "r");
        if (!file)
            return;
        size_t n = fread(status, 1, sizeof status - 1, file);
        fclose(file);
        status[n] = 0;
        if (strstr(status, ") Z"))
            return;
        usleep(10000);
    }
    fail_msg("still there: %s", status);
}

TESTS(launch_command)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_prints_is_read_to_the_end),
        cmocka_unit_test(a_bad_end_is_told),
        cmocka_unit_test(more_than_fits_is_cut_and_told),
        cmocka_unit_test(a_program_over_its_limit_is_killed_with_its_children),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
