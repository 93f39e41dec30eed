/* Binding on the machine the test runs on, and not binding on machines that are elsewhere. */
#include "topo/topo.h"
#include "support/tests.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int warnings;

static void count_warning(void *context, dn_log_level level, const char *line)
{
    (void)context, (void)line;
    warnings += level == DN_LOG_WARNING;
}

/* What an executed program says of its own binding: the kernel's answer, through another program. */
static void bound_list_of_child(char *text, int bytes)
{
    FILE *child = popen("grep Cpus_allowed_list /proc/self/status", "re");
    assert_non_null(child);
    assert_non_null(fgets(text, bytes, child));
    pclose(child);
    text[strcspn(text, "\n")] = '\0';
    memmove(text, strchr(text, '\t') + 1, strlen(strchr(text, '\t')));
}

static void each_worker_runs_at_its_place_and_so_does_what_it_executes(void **state)
{
    (void)state;
    char before[256], now[256], child[256];
    dn_topo_bound_pus(before, sizeof before);
    dn_topo *topo = NULL;
    assert_int_equal(dn_topo_create(3, &topo), DN_OK);
    assert_true(dn_topo_machine(topo)->this_system);
    assert_int_equal(dn_topo_machine(topo)->n_here, dn_topo_machine(topo)->n_usable);
    for (int rank = 0; rank < 3; rank++) {
        assert_true(dn_topo_bind(topo, rank));
        dn_topo_bound_pus(now, sizeof now);
        assert_string_equal(now, dn_topo_place(topo, rank)->os_pus);
        bound_list_of_child(child, sizeof child);
        assert_string_equal(child, dn_topo_place(topo, rank)->os_pus);
    }
    dn_topo_unbind(topo);
    dn_topo_bound_pus(now, sizeof now);
    assert_string_equal(now, before);
    dn_topo_destroy(&topo);
}

static void an_affinity_mask_limits_the_plan(void **state)
{
    (void)state;
    cpu_set_t whole, one;
    assert_int_equal(sched_getaffinity(0, sizeof whole, &whole), 0);
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &whole))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    dn_topo *topo = NULL;
    dn_status status = dn_topo_create(2, &topo);
    sched_setaffinity(0, sizeof whole, &whole);
    assert_int_equal(status, DN_OK);
    char expected[16];
    snprintf(expected, sizeof expected, "%d", last);
    assert_int_equal(dn_topo_machine(topo)->n_usable, 1);
    assert_true(dn_topo_machine(topo)->bound || CPU_COUNT(&whole) == 1);
    assert_true(dn_topo_machine(topo)->n_allowed >= 1);
    assert_true(dn_topo_numa_here(topo) < dn_topo_machine(topo)->n_numa);
    for (int rank = 0; rank < 2; rank++)
        assert_string_equal(dn_topo_place(topo, rank)->os_pus, expected);
    dn_topo_destroy(&topo);
}

static void a_synthetic_machine_is_never_reported_as_bound(void **state)
{
    (void)state;
    char before[256], now[256];
    dn_topo_bound_pus(before, sizeof before);
    setenv("HWLOC_SYNTHETIC", "pack:2 [numa] core:8 pu:1", 1);
    dn_topo *topo = NULL;
    dn_status status = dn_topo_create(0, &topo);
    unsetenv("HWLOC_SYNTHETIC");
    assert_int_equal(status, DN_OK);
    assert_false(dn_topo_machine(topo)->this_system);
    assert_int_equal(dn_topo_machine(topo)->n_usable, 16);
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_true(dn_topo_machine(topo)->n_here <= CPU_COUNT(&set));
    dn_log_set(count_warning, NULL);
    warnings = 0;
    for (int rank = 0; rank < 2; rank++)
        assert_false(dn_topo_bind(topo, rank));
    dn_log_set(NULL, NULL);
    assert_int_equal(warnings, 1); /* loudly, but once */
    dn_topo_bound_pus(now, sizeof now);
    assert_string_equal(now, before);
    dn_topo_destroy(&topo);
}

static void a_refusal_by_the_kernel_is_not_reported_as_bound(void **state)
{
    (void)state;
    char before[256], now[256];
    dn_topo_bound_pus(before, sizeof before);
    dn_topo *topo = NULL;
    assert_int_equal(dn_topo_create(2, &topo), DN_OK);
    hwloc_bitmap_only(topo->placements[1].pus, 60000); /* no such PU here */
    assert_true(dn_topo_bind(topo, 0));
    assert_false(dn_topo_bind(topo, 1));
    dn_topo_bound_pus(now, sizeof now);
    assert_string_equal(now, before); /* not where rank 0 was */
    dn_topo_destroy(&topo);
}

static void a_machine_of_which_nothing_may_be_used_is_an_error(void **state)
{
    (void)state;
    setenv("HWLOC_SYNTHETIC", "pack:2 [numa] core:2 pu:1(indexes=1000,1001,1002,1003)", 1);
    setenv("HWLOC_THISSYSTEM", "1", 1); /* so that it is held against our affinity mask */
    dn_topo *topo = NULL;
    dn_status status = dn_topo_create(2, &topo);
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_THISSYSTEM");
    assert_int_equal(status, DN_ERR_SYSTEM);
    assert_null(topo);
}

TESTS(topo_bind)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_worker_runs_at_its_place_and_so_does_what_it_executes),
        cmocka_unit_test(an_affinity_mask_limits_the_plan),
        cmocka_unit_test(a_synthetic_machine_is_never_reported_as_bound),
        cmocka_unit_test(a_refusal_by_the_kernel_is_not_reported_as_bound),
        cmocka_unit_test(a_machine_of_which_nothing_may_be_used_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
