/* Workers that start where they should, or cannot be started at all. */
#include "driver.h"

#include "dionode/topo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_program_that_cannot_be_executed_is_an_error(void **state)
{
    run *r = *state;
    start(r, "huge", 3, "10");
    result end = await_end(r);
    assert_int_equal(end.status, DN_ERR_SYSTEM);
    assert_non_null(strstr(end.message, "could not be started from /proc/self/exe: Argument list too long"));
}

static void workers_already_started_are_ended_when_a_later_one_cannot_be(void **state)
{
    run *r = *state;
    start(r, "descriptors", 4, "10");
    result end = await_end(r);
    assert_int_equal(end.status, DN_ERR_SYSTEM);
    assert_non_null(strstr(end.message, "cannot monitor worker 2 of 4"));
}

static void a_wrong_deadline_starts_nothing(void **state)
{
    run *r = *state;
    start(r, "none", 2, "0");
    assert_int_equal(await_end(r).status, DN_ERR_ARG);
}

static void workers_are_bound_where_the_plan_says(void **state)
{
    run *r = *state;
    start(r, "finish", 2, "10");
    dn_topo *topo = NULL;
    assert_int_equal(dn_topo_create(2, &topo), DN_OK);
    for (int i = 1; i <= 2; i++) {
        int rank, threads;
        char pus[256];
        assert_int_equal(sscanf(await_lines(r, "ready", i), "ready %d %*d %d %255s", &rank, &threads, pus),
                         3);
        assert_string_equal(pus, dn_topo_place(topo, rank)->os_pus);
        assert_int_equal(threads, dn_topo_place(topo, rank)->n_threads);
    }
    dn_topo_destroy(&topo);
    assert_int_equal(await_end(r).status, DN_OK);
}

static void an_imagined_machine_runs_unbound_with_threads_for_the_real_one(void **state)
{
    run *r = *state;
    dn_topo *topo = NULL;
    setenv("HWLOC_SYNTHETIC", "pack:2 [numa] core:64 pu:1", 1);
    start(r, "finish", 2, "10");
    dn_status status = dn_topo_create(2, &topo);
    unsetenv("HWLOC_SYNTHETIC");
    assert_int_equal(status, DN_OK);
    int n_here = dn_topo_machine(topo)->n_here;
    dn_topo_destroy(&topo);
    char here[256], pus[256];
    dn_topo_bound_pus(here, sizeof here);
    for (int i = 1; i <= 2; i++) {
        int threads;
        assert_int_equal(sscanf(await_lines(r, "ready", i), "ready %*d %*d %d %255s", &threads, pus), 2);
        assert_string_equal(pus, here);
        assert_int_equal(threads, n_here / 2 > 1 ? n_here / 2 : 1);
    }
    assert_int_equal(await_end(r).status, DN_OK);
    assert_non_null(strstr(r->text, "log workers are not bound: the topology is not this machine's"));
}

TESTS(starts)
{
    program = argv[argc - 1];
    const struct CMUnitTest tests[] = {
        RUN(a_program_that_cannot_be_executed_is_an_error),
        RUN(workers_already_started_are_ended_when_a_later_one_cannot_be),
        RUN(a_wrong_deadline_starts_nothing),
        RUN(workers_are_bound_where_the_plan_says),
        RUN(an_imagined_machine_runs_unbound_with_threads_for_the_real_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
