/* Ctrl-C and its kin, sent to the whole process group as a terminal does. */
#include "driver.h"

#include "dionode/status.h"

#include <signal.h>
#include <string.h>
#include <time.h>

static void stops_gracefully(run *r, int signal)
{
    start(r, "none", 3, "10");
    await_ready(r);
    kill(-r->launcher, signal);
    result end = await_end(r);
    assert_int_equal(end.status, DN_OK);
    assert_int_equal(end.signal, signal);
    for (int i = 1; i <= 3; i++)
        assert_non_null(strstr(await_lines(r, "out", i), " 0 ")); /* each left its loop with DN_OK */
}

static void sigint_stops_after_the_current_step(void **state)
{
    stops_gracefully(*state, SIGINT);
}

static void sigterm_stops_after_the_current_step(void **state)
{
    stops_gracefully(*state, SIGTERM);
}

static void sighup_stops_after_the_current_step(void **state)
{
    stops_gracefully(*state, SIGHUP);
}

static void a_signal_before_the_workers_have_joined_is_heard_by_them(void **state)
{
    run *r = *state;
    start(r, "early", 3, "10");
    await_lines(r, "early", 3);
    kill(-r->launcher, SIGINT);
    result end = await_end(r);
    assert_int_equal(end.status, DN_OK);
    assert_int_equal(end.signal, SIGINT);
    await_lines(r, "out", 3);
}

static void a_second_signal_kills_workers_that_do_not_listen(void **state)
{
    run *r = *state;
    start(r, "deaf", 3, "10");
    await_ready(r);
    kill(r->launcher, SIGSTOP);
    kill(-r->launcher, SIGINT);
    kill(r->launcher, SIGTERM); /* heard together: too soon to be a second one */
    kill(r->launcher, SIGCONT);
    await_lines(r, "log", 1);
    nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
    assert_int_equal(kill(r->pids[0], 0), 0); /* still there */
    double again_s = now_s();
    kill(-r->launcher, SIGINT);
    result end = await_end(r);
    assert_true(now_s() - again_s < 1.5); /* no grace */
    assert_int_equal(end.status, DN_ERR_PEER);
    assert_int_equal(end.signal, SIGINT);
    assert_non_null(strstr(end.message, "stopped by force"));
    assert_null(strstr(r->text, "\nout "));
}

TESTS(signals)
{
    program = argv[argc - 1];
    signal(SIGINT, SIG_DFL); /* a launcher leaves alone what is ignored, as by nohup or a shell's & */
    signal(SIGHUP, SIG_DFL);
    const struct CMUnitTest tests[] = {
        RUN(sigint_stops_after_the_current_step),
        RUN(sigterm_stops_after_the_current_step),
        RUN(sighup_stops_after_the_current_step),
        RUN(a_signal_before_the_workers_have_joined_is_heard_by_them),
        RUN(a_second_signal_kills_workers_that_do_not_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
