/* Workers that live and do not answer. */
#include "driver.h"

#include "dionode/status.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static void a_stopped_worker_is_named_and_ended(void **state)
{
    run *r = *state;
    char who[64];
    start(r, "none", 3, "1");
    await_ready(r);
    kill(r->pids[2], SIGSTOP);
    result end = await_end(r); /* also: the stopped process is gone */
    assert_int_equal(end.status, DN_ERR_TIMEOUT);
    snprintf(who, sizeof who, "worker 2 (pid %d) made no progress for 1 s", (int)r->pids[2]);
    assert_non_null(strstr(end.message, who));
    await_lines(r, "log", 4); /* the state table: a head and a row a worker */
    assert_non_null(strstr(r->text, "log rank "));
}

static void a_lone_worker_that_hangs_is_noticed_by_the_launcher(void **state)
{
    run *r = *state;
    start(r, "lost", 1, "0.5");
    result end = await_end(r);
    assert_int_equal(end.status, DN_ERR_TIMEOUT);
    assert_non_null(strstr(end.message, "no worker made progress for 0.5 s"));
}

/* As Ctrl-Z and fg do, for longer than the deadline. The launcher's group has a parent in this session, so that
 * it is no orphan, which the kernel would not stop. */
static void a_stopped_job_loses_no_deadline(void **state)
{
    run *r = *state;
    start(r, "none", 2, "2");
    await_ready(r);
    kill(r->launcher, SIGTSTP);
    int how;
    assert_int_equal(waitpid(r->launcher, &how, WUNTRACED), r->launcher);
    assert_true(WIFSTOPPED(how));
    nanosleep(&(struct timespec){.tv_sec = 2, .tv_nsec = 200000000}, NULL);
    kill(-r->launcher, SIGCONT);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    kill(r->launcher, SIGTERM);
    result end = await_end(r);
    assert_int_equal(end.status, DN_OK);
    assert_int_equal(end.signal, SIGTERM);
}

TESTS(hangs)
{
    program = argv[argc - 1];
    const struct CMUnitTest tests[] = {
        RUN(a_stopped_worker_is_named_and_ended),
        RUN(a_lone_worker_that_hangs_is_noticed_by_the_launcher),
        RUN(a_stopped_job_loses_no_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
