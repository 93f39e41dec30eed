/* Bugs that can be planted: their names, one at a time, what each replaces, and what a wrong name is
 * answered. */
#include "verify/inside.h"
#include "verify/plant.h"
#include "support/tests.h"

#include <stdlib.h>
#include <string.h>

static void every_bug_has_a_name_of_its_own_and_a_line(void **state)
{
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    dn_verify_inject_list(out);
    fclose(out);
    char *rest = text;
    for (int bug = 1; bug < DN_N_BUGS; bug++) {
        const char *line = strsep(&rest, "\n"), *name = dn_bug_name((dn_bug)bug);
        assert_memory_equal(line, name, strlen(name));
        assert_true(line[strlen(name)] == ' ' && strlen(line) > 25);
        for (int other = 0; other < bug; other++)
            assert_string_not_equal(name, dn_bug_name((dn_bug)other));
    }
    assert_string_equal(rest, "");
    free(text);
}

static void the_chosen_bug_is_the_one_that_was_named_last(void **state)
{
    for (int bug = DN_N_BUGS - 1; bug >= 0; bug--) {
        assert_int_equal(dn_verify_inject(dn_bug_name((dn_bug)bug)), DN_OK);
        assert_int_equal(dn_bug_chosen(), bug);
    }
}

static void an_unknown_name_plants_nothing_and_is_told_the_nearest(void **state)
{
    assert_int_equal(dn_verify_inject("stale-q"), DN_OK);
    assert_int_equal(dn_verify_inject("skip_fs_reduce"), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "'skip-fs-reduce'"));
    assert_non_null(strstr(dn_error_message(), "'skip_fs_reduce'"));
    assert_int_equal(dn_bug_chosen(), DN_BUG_STALE_Q);
    assert_int_equal(dn_verify_inject("none"), DN_OK);
}

/* Whether a bug stands in front of an entry of one of the two tables. */
static bool replaces_an_entry(dn_bug bug)
{
    dn_comm_ops ops = dn_comm_ops_shm;
    dn_kernels table = *dn_kernels_available()[0];
    dn_plant_in_comm(bug, &ops);
    dn_plant_in_kernels(bug, &table);
    return memcmp(&ops, &dn_comm_ops_shm, sizeof ops) != 0 ||
           memcmp(&table, dn_kernels_available()[0], sizeof table) != 0;
}

static void every_bug_but_those_of_training_replaces_an_entry_of_a_table(void **state)
{
    for (int bug = 0; bug < DN_N_BUGS; bug++) {
        bool elsewhere = bug == DN_BUG_NONE || bug == DN_BUG_WRONG_ROWS || bug == DN_BUG_SWAP_MICRO_BATCHES ||
                         bug == DN_BUG_EVEN_PARTS || bug == DN_BUG_LATE_APPLY || bug == DN_BUG_STASH_NEWEST;
        assert_int_equal(replaces_an_entry((dn_bug)bug), !elsewhere);
    }
}

static void even_parts_moves_the_blocks_behind_longer_ones_and_no_others(void **state)
{
    const dn_plant none = {.bug = DN_BUG_NONE}, even = {.bug = DN_BUG_EVEN_PARTS};
    for (int parts = 1; parts <= 4; parts++) {
        for (int index = 0; index < parts; index++) {
            dn_range part = dn_shard_range(18, 1, parts, index);
            const dn_block block = {part.first, part.end - part.first, 0, 7};
            dn_block moved = dn_plant_block(&even, block), same = dn_plant_block(&none, block);
            assert_memory_equal(&same, &block, sizeof block);
            assert_int_equal(moved.row0, (size_t)index * block.rows);
            assert_int_equal(moved.rows, block.rows);
        }
    }
    const dn_block empty = {3, 0, 2, 5};
    dn_block same = dn_plant_block(&even, empty);
    assert_memory_equal(&same, &empty, sizeof empty);
}

static void late_apply_ends_what_can_be_in_flight_a_step_late_and_no_other_bug_changes_a_row(void **state)
{
    dn_strategy_config config;
    const dn_strategy *real = dn_strategy_find("streaming");
    assert_int_equal(dn_strategy_configure(real, "sync_every=9 overlap=3", 20, 1, &config), DN_OK);
    for (int bug = 0; bug < DN_N_BUGS; bug++) {
        dn_verify v = {.plant.bug = (dn_bug)bug};
        const dn_strategy *row = dn_plant_strategy(&v, real);
        assert_int_equal(row != real, bug == DN_BUG_LATE_APPLY);
        for (int k = 0; row != real && k < dn_strategy_n_exchanges(row); k++)
            for (uint64_t step = 6; step < 12; step++) {
                const dn_strategy_context c = {.config = &config, .step = 6};
                assert_int_equal(row->exchanges[k]->ends(&c, step), step > 9);
            }
    }
}

TESTS(verify_plant)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bug_has_a_name_of_its_own_and_a_line),
        cmocka_unit_test(the_chosen_bug_is_the_one_that_was_named_last),
        cmocka_unit_test(an_unknown_name_plants_nothing_and_is_told_the_nearest),
        cmocka_unit_test(every_bug_but_those_of_training_replaces_an_entry_of_a_table),
        cmocka_unit_test(late_apply_ends_what_can_be_in_flight_a_step_late_and_no_other_bug_changes_a_row),
        cmocka_unit_test(even_parts_moves_the_blocks_behind_longer_ones_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
