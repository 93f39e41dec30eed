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

static void every_bug_but_two_replaces_an_entry_of_a_table(void **state)
{
    for (int bug = 0; bug < DN_N_BUGS; bug++) {
        bool elsewhere = bug == DN_BUG_NONE || bug == DN_BUG_WRONG_ROWS || bug == DN_BUG_EVEN_PARTS;
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

TESTS(verify_plant)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bug_has_a_name_of_its_own_and_a_line),
        cmocka_unit_test(the_chosen_bug_is_the_one_that_was_named_last),
        cmocka_unit_test(an_unknown_name_plants_nothing_and_is_told_the_nearest),
        cmocka_unit_test(every_bug_but_two_replaces_an_entry_of_a_table),
        cmocka_unit_test(even_parts_moves_the_blocks_behind_longer_ones_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
