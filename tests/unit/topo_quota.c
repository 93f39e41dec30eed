/* CPU quotas, read from made-up control groups. */
#include "topo/quota.h"
#include "support/tests.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char root[] = "/tmp/dionode-quota-XXXXXX";

/* Writes root/path, making its folders. */
static void put(const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root + strlen(root) - 6, "XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static void quota_is(double cpus)
{
    assert_true(dn_quota_read(root) == cpus); /* one division of exact numbers */
}

static void no_files_or_max_is_no_limit(void **state)
{
    (void)state;
    quota_is(0);
    put("proc/self/cgroup", "0::/job\n");
    quota_is(0);
    put("sys/fs/cgroup/job/cpu.max", "max 100000\n");
    quota_is(0);
}

static void version_2_takes_the_least_of_own_group_and_those_above(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/user/job\n");
    put("sys/fs/cgroup/user/job/cpu.max", "400000 100000\n");
    quota_is(4);
    put("sys/fs/cgroup/user/cpu.max", "75000 50000\n");
    quota_is(1.5);
    put("sys/fs/cgroup/other/cpu.max", "1000 100000\n");
    quota_is(1.5);
}

static void a_container_that_sees_its_group_as_the_root_is_limited(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/not/visible/from/inside\n");
    put("sys/fs/cgroup/cpu.max", "250000 100000\n");
    quota_is(2.5);
}

static void version_1_divides_quota_by_period(void **state)
{
    (void)state;
    put("proc/self/cgroup", "12:memory:/job\n4:cpu,cpuacct:/job\n");
    put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    quota_is(0);
    put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n");
    quota_is(3);
}

static void version_1_cpuset_and_cpuacct_are_not_taken_for_cpu(void **state)
{
    (void)state;
    put("proc/self/cgroup", "4:cpuset:/job\n5:cpuacct:/job\n");
    put("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "300000\n");
    quota_is(0);
}

static void both_versions_side_by_side_give_the_least(void **state)
{
    (void)state;
    put("proc/self/cgroup", "1:cpu:/\n0::/job\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "800000\n");
    put("sys/fs/cgroup/unified/job/cpu.max", "600000 100000\n");
    quota_is(6);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

TESTS(topo_quota)
{
    const struct CMUnitTest tests[] = {
        TEST(no_files_or_max_is_no_limit),
        TEST(version_2_takes_the_least_of_own_group_and_those_above),
        TEST(a_container_that_sees_its_group_as_the_root_is_limited),
        TEST(version_1_divides_quota_by_period),
        TEST(version_1_cpuset_and_cpuacct_are_not_taken_for_cpu),
        TEST(both_versions_side_by_side_give_the_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
