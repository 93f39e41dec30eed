/* How much memory is left, on made-up machines: the tightest of meminfo and the control groups counts. */
#include "shm/limits.h"
#include "support/tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char machine[64];

static int make_machine(void **state)
{
    (void)state;
    snprintf(machine, sizeof machine, "/tmp/dionode-room-XXXXXX");
    return mkdtemp(machine) ? 0 : -1;
}

static int remove_machine(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", machine);
    return system(command);
}

/* Writes text to a file of the machine, with the folders above it. */
static void given(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", machine, path);
    for (char *slash = full + sizeof "/tmp"; *slash; slash++)
        if (*slash == '/') {
            *slash = '\0';
            mkdir(full, 0700);
            *slash = '/';
        }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void nothing_known_means_no_limit(void **state)
{
    (void)state;
    assert_true(dn_limits_memory(machine) == UINT64_MAX);
}

static void the_machine_has_what_meminfo_calls_available(void **state)
{
    (void)state;
    given("/proc/meminfo", "MemTotal:  900 kB\nMemFree:  10 kB\nMemAvailable:   500 kB\n");
    assert_int_equal(dn_limits_memory(machine), 500 * 1024);
}

static void what_is_committed_counts_where_no_more_is_promised_than_there_is(void **state)
{
    (void)state;
    given("/proc/meminfo", "MemAvailable:   500 kB\nCommitLimit:   450 kB\nCommitted_AS:   150 kB\n");
    given("/proc/sys/vm/overcommit_memory", "1\n");
    assert_int_equal(dn_limits_memory(machine), 500 * 1024);
    given("/proc/sys/vm/overcommit_memory", "2\n");
    assert_int_equal(dn_limits_memory(machine), 300 * 1024);
    given("/proc/meminfo", "MemAvailable:   500 kB\nCommitLimit:   450 kB\nCommitted_AS:   451 kB\n");
    assert_int_equal(dn_limits_memory(machine), 0);
}

static void a_group_without_limit_limits_nothing(void **state)
{
    (void)state;
    given("/proc/meminfo", "MemAvailable:   500 kB\n");
    given("/proc/self/cgroup", "0::/a/b\n");
    given("/sys/fs/cgroup/a/b/memory.max", "max\n");
    given("/sys/fs/cgroup/a/b/memory.current", "4096\n");
    assert_int_equal(dn_limits_memory(machine), 500 * 1024);
}

static void the_tightest_group_on_the_way_up_counts_without_its_droppable_cache(void **state)
{
    (void)state;
    given("/proc/meminfo", "MemAvailable:   500 kB\n");
    given("/proc/self/cgroup", "0::/a/b\n");
    given("/sys/fs/cgroup/a/b/memory.max", "400000\n");
    given("/sys/fs/cgroup/a/b/memory.current", "1000\n");
    given("/sys/fs/cgroup/a/memory.max", "100000\n");
    given("/sys/fs/cgroup/a/memory.current", "90000\n");
    assert_int_equal(dn_limits_memory(machine), 10000);
    given("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 3000\nactive_file 4000\nactive_file_x 9\n");
    assert_int_equal(dn_limits_memory(machine), 17000);
}

static void a_full_group_leaves_nothing(void **state)
{
    (void)state;
    given("/proc/meminfo", "MemAvailable:   500 kB\n");
    given("/proc/self/cgroup", "0::/\n");
    given("/sys/fs/cgroup/memory.max", "100\n");
    given("/sys/fs/cgroup/memory.current", "120\n");
    assert_int_equal(dn_limits_memory(machine), 0);
}

/* Inside a container /proc/self/cgroup shows the host's path, while only the container's own group is
 * mounted. */
static void groups_of_version_1_are_found_from_inside_a_container(void **state)
{
    (void)state;
    given("/proc/meminfo", "MemAvailable:   500 kB\n");
    given("/proc/self/cgroup", "5:cpu:/\n4:memory:/docker/0123\n0::/\n");
    given("/sys/fs/cgroup/memory/memory.limit_in_bytes", "300000\n");
    given("/sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");
    given("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file 50000\ntotal_active_file 0\n");
    assert_int_equal(dn_limits_memory(machine), 250000);
}

TESTS(shm_limits)
{
#define ON_A_NEW_MACHINE(test) cmocka_unit_test_setup_teardown(test, make_machine, remove_machine)
    const struct CMUnitTest tests[] = {
        ON_A_NEW_MACHINE(nothing_known_means_no_limit),
        ON_A_NEW_MACHINE(the_machine_has_what_meminfo_calls_available),
        ON_A_NEW_MACHINE(what_is_committed_counts_where_no_more_is_promised_than_there_is),
        ON_A_NEW_MACHINE(a_group_without_limit_limits_nothing),
        ON_A_NEW_MACHINE(the_tightest_group_on_the_way_up_counts_without_its_droppable_cache),
        ON_A_NEW_MACHINE(a_full_group_leaves_nothing),
        ON_A_NEW_MACHINE(groups_of_version_1_are_found_from_inside_a_container),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
