/* All rules of the registry but Dion on every mesh of up to 8 ranks against one rank, which is held to
 * stored vectors in tests/oracle/family.c; and how they are related. Bounds: support/mesh_task.h. */
#include "support/close.h"
#include "support/copied_views.h"
#include "support/mesh_task.h"
#include "support/tests.h"
#include "support/rules.h"

#include <stdlib.h>

static void every_rule_on_every_mesh(void **state)
{
    (void)state;
    for (size_t k = 0; mesh_family(k); k++)
        mesh_run(mesh_task_of(mesh_family(k)));
}

static void every_option_on_every_mesh(void **state)
{
    (void)state;
    for (size_t k = 0; mesh_family(k); k++) {
        mesh_task t = mesh_task_of(mesh_family(k));
        t.config.nesterov = true;
        t.config.gram = true;
        t.config.newton_schulz = DN_NS_KELLER;
        t.config.adjust = DN_ADJUST_RMS_NORM;
        t.config.rank_fraction = 1;
        if (!dn_rule_find(mesh_family(k))->matrices_only)
            t.config.scalar_rule = mesh_family(k);
        mesh_run(t);
    }
}

static void long_matrices_on_every_mesh(void **state)
{
    (void)state;
    mesh_run(mesh_long_matrices("dion2"));
    mesh_run(mesh_long_matrices("muon"));
    mesh_task zero = mesh_long_matrices("dion2");
    zero.scale = 0;
    mesh_run(zero);
}

static void momentum_that_is_zero_everywhere(void **state)
{
    (void)state;
    for (size_t k = 0; mesh_family(k); k++) {
        mesh_task t = mesh_task_of(mesh_family(k));
        t.scale = 0;
        mesh_run(t);
    }
}

/* Owners and spread matrices read what others hold through views alone. */
static int against_one_by_copies(dn_comm *comm, void *argument)
{
    copied_views views;
    copied_views_begin(&views, comm);
    int failed = mesh_against_one(comm, argument);
    RANKS_CHECK(copied_views_end(&views, comm) > 0 || failed);
    return failed;
}

static void views_may_be_copies(void **state)
{
    (void)state;
    for (size_t k = 0; mesh_family(k); k++) {
        mesh_task t = mesh_task_of(mesh_family(k));
        if (!is_owner_rule(mesh_family(k)))
            continue;
        mesh_reference expected = mesh_one_rank(&t, 1);
        assert_int_equal(mesh_run_on(t, (int[DN_N_AXES]){1, 2, 2}, against_one_by_copies, &expected), 0);
        mesh_forget(&expected);
    }
    mesh_task t = mesh_long_matrices("muon");
    mesh_reference expected = mesh_one_rank(&t, 1);
    assert_int_equal(mesh_run_on(t, (int[DN_N_AXES]){1, 3, 1}, against_one_by_copies, &expected), 0);
    mesh_forget(&expected);
}

/* ---- relations ---- */

/* After all steps. */
static void assert_same_weights(const mesh_task *a, const mesh_task *b)
{
    mesh_reference x = mesh_one_rank(a, 1), y = mesh_one_rank(b, 1);
    for (size_t i = 0; i < MESH_N_MODEL; i++)
        assert_below(mesh_relative(x.after[1][i], y.after[1][i], mesh_size_of(i)), MESH_BOUND);
    mesh_forget(&x), mesh_forget(&y);
}

/* Each keeps what Muon's M <- mu M + G is after its own M <- M + G and M <- mu M. */
static void with_everything_selected_dion2_is_muon_and_dion3_normuon(void **state)
{
    (void)state;
    mesh_task a = mesh_task_of("dion2"), b = mesh_task_of("muon");
    a.config.rank_fraction = 1;
    a.config.ef_decay = a.config.mu;
    assert_same_weights(&a, &b);
    a.config.matrix_rule = "dion3", b.config.matrix_rule = "normuon";
    b.config.gram = true;
    assert_same_weights(&a, &b);
}

static void with_everything_selected_local_is_global(void **state)
{
    (void)state;
    static const char *const rules[] = {"dion2", "dion3"};
    for (size_t k = 0; k < 2; k++) {
        mesh_task t = mesh_task_of(rules[k]);
        t.config.rank_fraction = 1;
        mesh_reference expected = mesh_one_rank(&t, 2);
        t.config.local_selection = true;
        assert_int_equal(mesh_run_on(t, (int[DN_N_AXES]){2, 2, 2}, mesh_against_one, &expected), 0);
        assert_int_equal(mesh_run_on(t, (int[DN_N_AXES]){2, 3, 1}, mesh_against_one, &expected), 0);
        mesh_forget(&expected);
    }
}

TESTS(shard_family)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_on_every_mesh),
        cmocka_unit_test(every_option_on_every_mesh),
        cmocka_unit_test(long_matrices_on_every_mesh),
        cmocka_unit_test(momentum_that_is_zero_everywhere),
        cmocka_unit_test(views_may_be_copies),
        cmocka_unit_test(with_everything_selected_dion2_is_muon_and_dion3_normuon),
        cmocka_unit_test(with_everything_selected_local_is_global),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
