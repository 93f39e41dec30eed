/* A comparison's lists become runs: which, with what configuration, and what is refused. */
#include "support/close.h"
#include "compare/compare.h"
#include "strategy/strategy.h"
#include "support/tests.h"

#include <math.h>
#include <string.h>

static dn_comparison c;

static int tear_down(void **state)
{
    dn_comparison_free(&c);
    return 0;
}

static void expect_lrs(const dn_contender *contender, size_t n, const double *lrs)
{
    assert_int_equal(contender->n_lrs, n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c.n_seeds; k++)
            assert_close(contender->trials[i * c.n_seeds + k].lr, lrs[i], 1e-15);
}

static void ranks_multiply_only_what_has_a_rank(void **state)
{
    dn_compare_options o = dn_compare_defaults();
    o.optimizers = "adamw,dion,lion";
    o.ranks = "1,1/2,0.125";
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    static const char *const names[] = {"adamw", "dion 1", "dion 1/2", "dion 1/8", "lion"};
    assert_int_equal(c.n_contenders, 5);
    for (size_t i = 0; i < 5; i++) {
        char name[64];
        assert_string_equal(dn_contender_name(&c.contenders[i], name, sizeof name), names[i]);
    }
}

static void without_lists_there_is_every_optimizer_at_the_rank_of_the_configuration(void **state)
{
    dn_compare_options o = dn_compare_defaults();
    size_t n = 0;
    assert_int_equal(dn_config_set(&o.config, "ortho_fraction=0.3"), DN_OK);
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    while (dn_rule_at(n))
        n++;
    assert_true(n >= 3);
    assert_int_equal(c.n_contenders, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(c.contenders[i].n_lrs, 3);
        if (strcmp(c.contenders[i].optimizer, "dion") == 0)
            assert_true(c.contenders[i].rank == 0.3);
    }
}

static void learning_rates_are_swept_or_taken_as_given(void **state)
{
    const char *lrs[] = {"0.3,0.1", "adamw=0.005"};
    dn_compare_options o = dn_compare_defaults();
    o.optimizers = "dion,adamw";
    o.n_seeds = 2;
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    expect_lrs(&c.contenders[0], 3, (double[]){0.01, 0.02, 0.04});
    expect_lrs(&c.contenders[1], 3, (double[]){0.001, 0.002, 0.004});
    dn_comparison_free(&c);
    o.lrs = lrs;
    o.n_lrs = 2;
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    expect_lrs(&c.contenders[0], 2, (double[]){0.1, 0.3}); /* ascending */
    expect_lrs(&c.contenders[1], 1, (double[]){0.005});
}

static void all_runs_differ_and_each_has_its_own_configuration(void **state)
{
    dn_compare_options o = dn_compare_defaults();
    o.optimizers = "dion,adamw";
    o.ranks = "1,1/3";
    o.n_seeds = 3;
    o.output = "folder";
    o.steps = 7;
    o.config.seed = 5;
    o.config.stop_after = 2;
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    const dn_contender *third = &c.contenders[1];
    dn_config config;
    assert_int_equal(dn_compare_config(&o.config, third, &third->trials[1 * 3 + 2], &config), DN_OK);
    assert_string_equal(config.optimizer, "dion");
    assert_true(config.optim.rank_fraction == 1.0 / 3 && config.lr == 0.02);
    assert_int_equal(config.seed, 7);
    assert_int_equal(config.num_iterations, 7);
    assert_int_equal(config.stop_after, 0);
    assert_string_equal(config.checkpoint_dir, "folder/dion-r0.333333333-lr0.02-s7");
    assert_int_equal(dn_compare_config(&o.config, &c.contenders[2], &c.contenders[2].trials[0], &config), DN_OK);
    assert_string_equal(config.optimizer, "adamw");
    assert_true(config.optim.rank_fraction == o.config.optim.rank_fraction);
    assert_string_equal(config.checkpoint_dir, "folder/adamw-lr0.001-s5");
    for (size_t i = 0; i < 27; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(c.contenders[i / 9].trials[i % 9].dir,
                                    c.contenders[k / 9].trials[k % 9].dir);
}

static void the_budget_is_in_steps_or_in_tokens(void **state)
{
    dn_compare_options o = dn_compare_defaults();
    o.config.batch_size = 4;
    o.config.sequence_length = 10;
    o.config.num_iterations = 11;
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    assert_int_equal(c.n_steps, 11);
    assert_int_equal(c.step_tokens, 40);
    dn_comparison_free(&c);
    o.tokens = 81;
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    assert_int_equal(c.n_steps, 3);
    dn_comparison_free(&c);
    static const struct {
        long long configured, steps, tokens;
        uint64_t wanted;
    } quick[] = {{11, 0, 0, 11}, {600, 0, 0, 100}, {600, 300, 0, 300}, {600, 0, 8000, 200}};
    o.quick = true;
    for (size_t i = 0; i < sizeof quick / sizeof *quick; i++) {
        o.config.num_iterations = quick[i].configured;
        o.steps = quick[i].steps;
        o.tokens = quick[i].tokens;
        assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
        assert_int_equal(c.n_steps, quick[i].wanted);
        dn_comparison_free(&c);
    }
}

static void a_strategy_that_steps_itself_has_rates_of_its_own(void **state)
{
    static const char *const lrs[] = {"demo=0.0005,0.003", "adamw=0.004"}, *const wrong[] = {"local_sgd=0.1"};
    static const char *const names[] = {"average adamw", "average muon", "demo", "replicators replicator=striding"};
    static const char *const folders[] = {"/average-adamw-lr", "/average-muon-lr", "/demo-lr", "/replicators-replicator=striding-lr"};
    static const char *const settings[] = {"replicators.replicator=striding"};
    static const double wanted[][3] = {{0.004}, {0.0005, 0.003}, {0.0005, 0.001, 0.002}};
    dn_compare_options o = dn_compare_defaults();
    o.optimizers = "adamw,muon";
    o.strategies = "average,demo,replicators";
    o.lrs = lrs;
    o.n_lrs = 2;
    o.settings = settings;
    o.n_settings = 1;
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    assert_int_equal(c.n_contenders, 4); /* average with both rules */
    for (size_t i = 0; i < 4; i++) {
        char name[DN_CONTENDER_NAME];
        assert_string_equal(dn_contender_name(&c.contenders[i], name, sizeof name), names[i]);
        assert_non_null(strstr(c.contenders[i].trials[0].dir, folders[i]));
    }
    for (size_t i = 0, k = 0; i < 4; i++) {
        if (strcmp(c.contenders[i].strategy, "average") == 0 && strcmp(c.contenders[i].optimizer, "muon") == 0)
            continue;
        for (size_t j = 0; j < c.contenders[i].n_lrs; j++)
            assert_true(c.contenders[i].trials[j].lr == wanted[k][j]);
        k++;
    }
    dn_comparison_free(&c);
    o.lrs = wrong;
    o.n_lrs = 1;
    assert_int_equal(dn_compare_expand(&o, &c), DN_ERR_CONFIG);
}

static void strategies_multiply_with_rules_settings_and_outer_rates(void **state)
{
    static const char *const settings[] = {"diloco.sync_every=4,8", "local_sgd.sync_every=9"},
                            *const outer[] = {"0.7,0.4"}, *const lrs[] = {"0.01"};
    dn_compare_options o = dn_compare_defaults();
    o.optimizers = "adamw,dion";
    o.strategies = "average,factors,local_sgd,diloco";
    o.settings = settings;
    o.n_settings = 2;
    o.outer_lrs = outer;
    o.n_outer_lrs = 1;
    o.lrs = lrs;
    o.n_lrs = 1;
    o.n_seeds = 2;
    o.output = "out";
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    static const char *const names[] = {"average adamw", "average dion 1/4", "factors dion 1/4", /* adamw has none */
                                        "local_sgd adamw sync_every=9", "local_sgd dion 1/4 sync_every=9",
                                        "diloco adamw sync_every=4", "diloco adamw sync_every=8",
                                        "diloco dion 1/4 sync_every=4", "diloco dion 1/4 sync_every=8"};
    assert_int_equal(c.n_contenders, 9);
    for (size_t i = 0; i < 9; i++) {
        char name[DN_CONTENDER_NAME];
        assert_string_equal(dn_contender_name(&c.contenders[i], name, sizeof name), names[i]);
        assert_int_equal(c.contenders[i].n_lrs, i < 5 ? 1 : 2);
        assert_true(isnan(c.contenders[i].trials[0].outer_lr) == (i < 5));
    }
    const dn_contender *last = &c.contenders[8];
    assert_string_equal(last->trials[2].dir, "out/diloco-sync_every=8-dion-r0.25-lr0.01-o0.7-s0");
    dn_config config, expected = o.config;
    assert_int_equal(dn_compare_config(&o.config, last, &last->trials[2], &config), DN_OK);
    assert_int_equal(dn_config_set(&expected, "outer_lr=0.7"), DN_OK);
    assert_int_equal(dn_config_set(&expected, "sync_every=8"), DN_OK);
    assert_string_equal(config.strategy, "diloco");
    assert_memory_equal(config.strategy_options, expected.strategy_options, sizeof expected.strategy_options);
    /* The first seed everywhere, the others at the best. */
    assert_true(dn_contender_runs(last, 2, 0) && dn_contender_runs(last, 2, 2));
    assert_true(dn_contender_runs(last, 2, 1) && !dn_contender_runs(last, 2, 3)); /* chosen is 0 */
}

static void all_strategies_are_those_of_the_registry_and_quick_is_one_rate(void **state)
{
    dn_compare_options o = dn_compare_defaults();
    size_t n = 0;
    o.optimizers = "dion";
    o.strategies = "all";
    o.quick = true;
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    for (size_t k = 0; dn_strategy_at(k); k++)
        if (!dn_strategy_at(k)->clients)
            assert_string_equal(c.contenders[n++].strategy, dn_strategy_at(k)->name);
    assert_int_equal(c.n_contenders, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(c.contenders[i].n_lrs, 1);
}

/* A version takes as many trainings as the server waits for: 12 clients, each 5 times, in versions of 6, 3 and 4; those of decoupled_diloco
 * of half of all. Trainings of twice as many steps are half as many. */
static void strategies_of_clients_make_as_many_versions_as_all_train_as_often(void **state)
{
    static const char *const settings[] = {"teasq.cache_fraction=0.25,0.34", "fedavg.local_steps=2,4"};
    static const struct {
        const char *name;
        uint64_t n_steps;
    } wanted[] = {{"fedavg", 10}, {"fedavg", 5}, {"teasq", 20}, {"teasq", 15}, {"decoupled_diloco", 10}};
    dn_compare_options o = dn_compare_defaults();
    dn_config config;
    o.optimizers = "adamw";
    o.settings = settings;
    o.n_settings = 2;
    o.strategies = "fedavg,teasq,decoupled_diloco";
    o.steps = 5;
    assert_int_equal(dn_config_set(&o.config, "clients=12"), DN_OK);
    assert_int_equal(dn_config_set(&o.config, "client_fraction=0.5"), DN_OK);
    assert_int_equal(dn_compare_expand(&o, &c), DN_ERR_CONFIG); /* how much a training is depends on the client's rows */
    assert_non_null(strstr(dn_error_message(), "local_steps"));
    assert_int_equal(dn_config_set(&o.config, "local_steps=2"), DN_OK);
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    assert_int_equal(c.step_tokens, 12 * 2 * (uint64_t)(o.config.batch_size * o.config.sequence_length));
    assert_int_equal(c.n_contenders, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(c.contenders[i].strategy, wanted[i].name);
        assert_int_equal(c.contenders[i].n_steps, wanted[i].n_steps);
        assert_int_equal(dn_compare_config(&o.config, &c.contenders[i], c.contenders[i].trials, &config), DN_OK);
        assert_int_equal(config.num_iterations, wanted[i].n_steps);
    }
    dn_comparison_free(&c);
    o.strategies = "all";
    o.n_settings = 0;
    assert_int_equal(dn_compare_expand(&o, &c), DN_OK);
    size_t n = 0;
    for (size_t k = 0; dn_strategy_at(k); k++)
        if (dn_strategy_at(k)->clients)
            assert_string_equal(c.contenders[n++].strategy, dn_strategy_at(k)->name);
    assert_int_equal(c.n_contenders, n);
}

static void expect_refusal(dn_compare_options o, const char *why)
{
    assert_int_equal(dn_compare_expand(&o, &c), DN_ERR_CONFIG);
    if (!strstr(dn_error_message(), why))
        fail_msg("'%s' lacks '%s'", dn_error_message(), why);
    dn_comparison_free(&c);
}

static void what_makes_no_sense_is_refused_with_a_reason(void **state)
{
    dn_compare_options good = dn_compare_defaults(), o;
    static const char *const optimizers[][2] = {
        {"", "entries"}, {"dion,", "entries"}, {"dio", "dion|"}, {"dion,adamw,dion", "twice"}};
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        o = good;
        o.optimizers = optimizers[i][0];
        expect_refusal(o, optimizers[i][1]);
    }
    static const char *const ranks[][2] = {{"0", "--ranks"},     {"1.5", "at most 1"}, {"1/0", "'1/0'"},
                                           {"1/2,0.5", "twice"}, {"a", "'a'"},         {"1/2/3", "number"}};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        o = good;
        o.ranks = ranks[i][0];
        expect_refusal(o, ranks[i][1]);
    }
    static const char *const lrs[][2] = {{"0.1,0.1", "twice"}, {"nan", "number"},    {"-1", "number"},
                                         {"1/2", "'1/2'"},     {"muom=1", "'muom'"}, {"dion=", "entries"}};
    for (size_t i = 0; i < sizeof lrs / sizeof *lrs; i++) {
        o = good;
        o.optimizers = "dion";
        o.lrs = &lrs[i][0];
        o.n_lrs = 1;
        expect_refusal(o, lrs[i][1]);
    }
    static const char *const settings[][2] = {{"diloco.sync_every=8", "--set"},   {"local_sgd.sync_every", "STRATEGY.KEY"},
                                              {"local_sgd.sync_evry=3", "sync_every"}, {"local_sgd.sync_every=0", "sync_every"}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        o = good;
        o.strategies = "average,local_sgd";
        o.settings = &settings[i][0];
        o.n_settings = 1;
        expect_refusal(o, settings[i][1]);
    }
    o = good;
    o.strategies = "average,averige";
    expect_refusal(o, "averige");
    o.strategies = "average,average";
    expect_refusal(o, "twice");
    o.strategies = "average,fedavg"; /* versions of clients, and how many clients there are is not said */
    expect_refusal(o, "how many clients");
    assert_int_equal(dn_config_set(&o.config, "clients=4"), DN_OK);
    assert_int_equal(dn_config_set(&o.config, "local_steps=4"), DN_OK);
    expect_refusal(o, "strategy average has none");
    o = good;
    o.steps = o.tokens = 5;
    expect_refusal(o, "--tokens");
    o = good;
    o.config.val_tokens = 0;
    expect_refusal(o, "val_tokens");
    char longest[1100];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    o = good;
    o.output = longest;
    expect_refusal(o, "too long");
}

TESTS(compare_expand)
{
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(ranks_multiply_only_what_has_a_rank),
        TEST(without_lists_there_is_every_optimizer_at_the_rank_of_the_configuration),
        TEST(learning_rates_are_swept_or_taken_as_given),
        TEST(all_runs_differ_and_each_has_its_own_configuration),
        TEST(strategies_multiply_with_rules_settings_and_outer_rates),
        TEST(all_strategies_are_those_of_the_registry_and_quick_is_one_rate),
        TEST(strategies_of_clients_make_as_many_versions_as_all_train_as_often),
        TEST(the_budget_is_in_steps_or_in_tokens),
        TEST(a_strategy_that_steps_itself_has_rates_of_its_own),
        TEST(what_makes_no_sense_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
