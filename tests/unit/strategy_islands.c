/* Islands by NUMA domains, on machines that are not here: the topology's plan says where workers are. Islands by nodes are the same
 * of other numbers. */
#include "base/key.h"
#include "dionode/topo.h"
#include "strategy/engine.h"
#include "support/tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of n_workers (size) on a synthetic machine; *n: islands of them. By nodes: its NUMA domains are nodes, and all is one domain. */
static dn_status place(const char *machine, const int size[DN_N_AXES], const char *settings, int *n)
{
    const dn_strategy *daso = dn_strategy_find("daso");
    int n_workers = size[DN_DP] * size[DN_FS] * size[DN_TP], places[DN_MAX_RANKS], one[DN_MAX_RANKS] = {0}, of_scope[DN_N_AXES], at[DN_N_AXES] = {0};
    dn_strategy_config config;
    dn_topo *topo;
    setenv("HWLOC_SYNTHETIC", machine, 1);
    assert_int_equal(dn_topo_create(n_workers, &topo), DN_OK);
    unsetenv("HWLOC_SYNTHETIC");
    for (int rank = 0; rank < n_workers; rank++)
        places[rank] = dn_topo_place(topo, rank)->numa;
    dn_topo_destroy(&topo);
    assert_int_equal(dn_strategy_configure(daso, settings, 10, 1, &config), DN_OK);
    const bool by_node = settings && strstr(settings, "nodes");
    dn_status status = dn_strategy_place_islands(daso, &config, size, by_node ? one : places, by_node ? places : one);
    memcpy(of_scope, size, sizeof of_scope);
    dn_strategy_scope_at(daso, &config, DN_SCOPE_ACROSS, of_scope, at);
    *n = of_scope[DN_DP];
    return status;
}

static void replicas_of_a_domain_are_an_island(void **state)
{
    (void)state;
    static const struct {
        const char *machine, *settings;
        int size[DN_N_AXES], n;
    } runs[] = {{"pack:2 [numa] core:4 pu:1", "islands=numa", {4, 1, 1}, 2},
                {"pack:2 [numa] core:4 pu:1", "islands=numa", {8, 1, 1}, 2},
                {"pack:2 [numa] core:4 pu:1", "islands=numa", {4, 2, 1}, 2},
                {"pack:2 [numa] core:4 pu:1", "islands=numa", {2, 2, 2}, 2},
                {"pack:4 [numa] core:2 pu:1", "islands=numa", {4, 1, 2}, 4},
                {"pack:1 [numa] core:8 pu:1", "islands=numa", {4, 1, 1}, 1}, /* one domain: one island */
                {"pack:2 [numa] core:4 pu:1", "islands=numa", {1, 1, 8}, 1}, /* one replica, wherever it is */
                {"pack:2 [numa] core:4 pu:1", "islands=nodes", {4, 1, 1}, 2},
                {"pack:2 [numa] core:4 pu:1", "islands=nodes", {4, 2, 1}, 2},
                {"pack:4 [numa] core:2 pu:1", "islands=nodes", {4, 1, 2}, 4},
                {"pack:1 [numa] core:8 pu:1", "islands=nodes", {4, 1, 1}, 1}, /* one node: one island */
                {"pack:2 [numa] core:4 pu:1", "islands=4", {8, 1, 1}, 4},
                {"pack:2 [numa] core:4 pu:1", NULL, {8, 1, 1}, 8}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        int n;
        if (place(runs[i].machine, runs[i].size, runs[i].settings, &n) != DN_OK || n != runs[i].n)
            fail_msg("%s, dp %d: %d islands, expected %d", runs[i].machine, runs[i].size[DN_DP], n, runs[i].n);
    }
}

static void what_domains_do_not_divide_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *machine, *settings;
        int size[DN_N_AXES];
        const char *said;
    } runs[] = {{"pack:2 [numa] core:4 pu:1", "islands=numa", {3, 1, 1}, "islands numa: 3 replicas"},           /* two and one */
                {"pack:2 [numa] core:1 pu:1", "islands=numa", {4, 1, 1}, "one NUMA domain's behind another's"}, /* in turn */
                {"pack:4 [numa] core:1 pu:1", "islands=numa", {2, 2, 1}, "replica 0 is in no NUMA domain"},
                {"pack:4 [numa] core:1 pu:1", "islands=numa", {2, 1, 1}, "replica 0 is in no NUMA domain"}, /* two domains wide */
                {"pack:2 [numa] core:4 pu:1", "islands=nodes", {3, 1, 1}, "islands nodes: 3 replicas"},
                {"pack:4 [numa] core:1 pu:1", "islands=nodes", {2, 2, 1}, "replica 0 is in no node alone"}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        int n;
        assert_int_equal(place(runs[i].machine, runs[i].size, runs[i].settings, &n), DN_ERR_CONFIG);
        if (!strstr(dn_error_message(), runs[i].said))
            fail_msg("%s: \"%s\" does not say \"%s\"", runs[i].machine, dn_error_message(), runs[i].said);
    }
}

static void numa_and_nodes_are_words_and_no_numbers(void **state)
{
    (void)state;
    const dn_key *key = dn_strategy_find("daso")->options[0].key;
    dn_option_value value;
    char text[32];
    assert_int_equal(dn_key_parse(&value, key, "numa", "here"), DN_OK);
    assert_int_equal(dn_key_check(&value, key, DN_ERR_ARG, "here"), DN_OK);
    dn_key_show(&value, key, text, sizeof text);
    assert_string_equal(text, "'numa'");
    assert_int_equal(dn_key_parse(&value, key, "nodes", "here"), DN_OK);
    assert_int_equal(dn_key_check(&value, key, DN_ERR_ARG, "here"), DN_OK);
    dn_key_show(&value, key, text, sizeof text);
    assert_string_equal(text, "'nodes'");
    value.whole = -3;
    assert_int_equal(dn_key_check(&value, key, DN_ERR_ARG, "here"), DN_ERR_ARG);
    assert_int_equal(dn_key_parse(&value, key, "nuna", "here"), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "'nuna' is not a whole number, nor numa|nodes"));
    assert_int_equal(dn_key_parse(&value, key, "-1", "here"), DN_ERR_CONFIG);
    assert_int_equal(dn_key_parse(&value, key, "3", "here"), DN_OK);
    assert_int_equal(value.whole, 3);
}

TESTS(strategy_islands)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_of_a_domain_are_an_island),
        cmocka_unit_test(what_domains_do_not_divide_is_refused),
        cmocka_unit_test(numa_and_nodes_are_words_and_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
