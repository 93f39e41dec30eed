/* Workers and launchers that die: everyone hears why, soon, and nothing is left. */
#include "driver.h"

#include "dionode/status.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void workers_that_finish_are_a_success(void **state)
{
    run *r = *state;
    start(r, "finish", 3, "10");
    result end = await_end(r);
    assert_int_equal(end.status, DN_OK);
    assert_int_equal(end.signal, 0);
}

/* Kills a rank with SIGKILL; returns how long after it the last survivor was out of its
 * barrier, as last_out_s counts. */
static double kill_rank(run *r, int rank)
{
    char who[64];
    start(r, "none", 3, "10");
    await_ready(r);
    note_delays(r);
    double killed_s = now_s();
    kill(r->pids[rank], SIGKILL);
    double out_s = last_out_s(r, rank);
    result end = await_end(r);
    assert_int_equal(end.status, DN_ERR_PEER);
    snprintf(who, sizeof who, "worker %d (pid %d) was killed by signal 9 (Killed) in step ", rank,
             (int)r->pids[rank]);
    assert_non_null(strstr(end.message, who));
    return out_s - killed_s;
}

/* The promise is 100 ms on a machine that lets the processes run: time in which the launcher or a survivor was ready
 * and something else had the processor, which the kernel counts, is taken off. What it does not count (interrupts, a
 * host that takes the machine's time) may make one death in four late. Without the launcher's word survivors would
 * wait for their deadline of 10 s. */
static void survivors_are_out_in_100_ms_of_the_death_of(int rank, void **state)
{
    enum { N_DEATHS = 4 };
    int n_late = 0;
    for (int death = 0; death < N_DEATHS; death++) {
        if (death > 0) {
            teardown(state);
            setup(state);
        }
        double took_s = kill_rank(*state, rank);
        if (took_s > 0.1)
            print_message("# death %d of rank %d: survivors out after %.1f ms of running, promised: 100\n", death,
                          rank, 1e3 * took_s);
        n_late += took_s > 0.1;
    }
    assert_in_range(n_late, 0, N_DEATHS / 4);
}

static void survivors_of_rank_0_are_out_in_100_ms(void **state)
{
    survivors_are_out_in_100_ms_of_the_death_of(0, state);
}

static void survivors_of_rank_1_are_out_in_100_ms(void **state)
{
    survivors_are_out_in_100_ms_of_the_death_of(1, state);
}

static void survivors_of_rank_2_are_out_in_100_ms(void **state)
{
    survivors_are_out_in_100_ms_of_the_death_of(2, state);
}

static void a_crash_names_rank_signal_and_step(void **state)
{
    run *r = *state;
    start(r, "segv", 3, "10");
    await_ready(r);
    last_out_s(r, 1);
    result end = await_end(r);
    assert_int_equal(end.status, DN_ERR_PEER);
    char story[64];
    snprintf(story, sizeof story, "worker 1 (pid %d) was killed by signal 11 (", (int)r->pids[1]);
    assert_non_null(strstr(end.message, story));
    assert_non_null(strstr(end.message, " in step 5; "));
}

static void a_worker_s_own_failure_is_the_launcher_s_result(void **state)
{
    run *r = *state;
    start(r, "fail", 3, "10");
    result end = await_end(r);
    assert_int_equal(end.status, DN_ERR_DATA);
    assert_non_null(strstr(end.message, "worker 1: made-up failure 17\n"));
}

static void a_silent_exit_is_told_with_its_status(void **state)
{
    run *r = *state;
    start(r, "exit", 3, "10");
    await_ready(r);
    last_out_s(r, 1);
    result end = await_end(r);
    assert_int_equal(end.status, DN_ERR_DATA); /* status 3 */
    assert_non_null(strstr(end.message, "exited with status 3 in step 5"));
}

static void survivors_that_do_not_leave_are_killed_after_2_s(void **state)
{
    run *r = *state;
    start(r, "stubborn", 2, "10");
    await_ready(r);
    await_lines(r, "lost", 1);
    double killed_s = now_s();
    kill(r->pids[1], SIGKILL);
    result end = await_end(r);
    assert_int_equal(end.status, DN_ERR_PEER);
    assert_true(now_s() - killed_s >= 1.9); /* the launcher's clock is read before ours */
    assert_true(now_s() - killed_s < 5.0);
}

static void workers_die_with_their_launcher(void **state)
{
    run *r = *state;
    int exit_status;
    start(r, "none", 4, "10");
    await_ready(r);
    kill(r->launcher, SIGKILL);
    waitpid(r->launcher, &exit_status, 0);
    assert_true(WIFSIGNALED(exit_status));
    nothing_is_left(r);
}

TESTS(deaths)
{
    program = argv[argc - 1];
    const struct CMUnitTest tests[] = {
        RUN(workers_that_finish_are_a_success),     RUN(survivors_of_rank_0_are_out_in_100_ms),
        RUN(survivors_of_rank_1_are_out_in_100_ms), RUN(survivors_of_rank_2_are_out_in_100_ms),
        RUN(a_crash_names_rank_signal_and_step),    RUN(a_worker_s_own_failure_is_the_launcher_s_result),
        RUN(a_silent_exit_is_told_with_its_status), RUN(survivors_that_do_not_leave_are_killed_after_2_s),
        RUN(workers_die_with_their_launcher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
