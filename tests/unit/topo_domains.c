/* The machine as benchmarks ask for it: domains, one PU a core, caches; on machines that are not here. */
#include "topo/domains.h"
#include "support/tests.h"

#include <stdlib.h>
#include <string.h>

static dn_topo *open_machine(const char *description)
{
    dn_topo *topo = NULL;
    if (description)
        setenv("HWLOC_SYNTHETIC", description, 1);
    assert_int_equal(dn_topo_create(1, &topo), DN_OK);
    unsetenv("HWLOC_SYNTHETIC");
    return topo;
}

static void each_domain_gives_one_pu_a_core(void **state)
{
    (void)state;
    /* PUs 0-7 are the first threads of the cores, 8-15 the second. */
    dn_topo *topo = open_machine("pack:2 [numa(memory=1GB)] l3:1(size=8MB) core:4 pu:2(indexes=2*8:8*1)");
    assert_int_equal(dn_topo_n_domains(topo), 2);
    for (int domain = 0; domain < 2; domain++) {
        int pus[8] = {0};
        dn_domain d = dn_topo_domain(topo, domain);
        assert_int_equal(d.os_node, domain);
        assert_int_equal(d.n_cores, 4);
        assert_true(d.memory_bytes > 0);
        assert_int_equal(dn_topo_cores(topo, domain, pus, 8), 4);
        for (int i = 0; i < 4; i++)
            assert_int_equal(pus[i], 4 * domain + i);
        assert_int_equal(pus[4], 0);
    }
    int all[3] = {-1, -1, -1};
    assert_int_equal(dn_topo_cores(topo, -1, all, 2), 8);
    assert_int_equal(all[1], 1);
    assert_int_equal(all[2], -1);                          /* no more than asked for */
    assert_int_equal(dn_topo_cache_bytes(topo), 16000000); /* MB is a million bytes to hwloc */
    dn_topo_destroy(&topo);
}

static void a_machine_without_large_caches_tells_of_none(void **state)
{
    (void)state;
    dn_topo *topo = open_machine("[numa] core:2 pu:1");
    assert_int_equal(dn_topo_cache_bytes(topo), 0);
    dn_topo_destroy(&topo);
}

static void binding_to_another_machine_is_refused(void **state)
{
    (void)state;
    dn_topo *topo = open_machine("[numa] core:2 pu:1");
    assert_int_equal(dn_topo_bind_pu(topo, 0), DN_ERR_SYSTEM);
    assert_non_null(strstr(dn_error_message(), "HWLOC_SYNTHETIC"));
    dn_topo_destroy(&topo);
}

static void a_thread_runs_on_the_pu_it_is_bound_to(void **state)
{
    (void)state;
    dn_topo *topo = open_machine(NULL);
    int pus[64];
    int n = dn_topo_cores(topo, -1, pus, 64);
    for (int i = 0; i < n && i < 64; i++) {
        char real[64], wanted[16];
        assert_int_equal(dn_topo_bind_pu(topo, pus[i]), DN_OK);
        dn_topo_bound_pus(real, sizeof real);
        snprintf(wanted, sizeof wanted, "%d", pus[i]);
        assert_string_equal(real, wanted);
    }
    dn_topo_unbind(topo);
    dn_topo_destroy(&topo);
}

TESTS(topo_domains)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_domain_gives_one_pu_a_core),
        cmocka_unit_test(a_machine_without_large_caches_tells_of_none),
        cmocka_unit_test(binding_to_another_machine_is_refused),
        cmocka_unit_test(a_thread_runs_on_the_pu_it_is_bound_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
