/* Bugs that can be planted: their names, one at a time, and what the wrong name is answered. */
#include "base/inject.h"
#include "support/tests.h"

#include <stdlib.h>
#include <string.h>

static void every_kind_has_a_name_of_its_own_and_a_line(void **state)
{
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    dn_inject_list(out);
    fclose(out);
    char *rest = text;
    for (int kind = 1; kind < DN_N_INJECTS; kind++) {
        const char *line = strsep(&rest, "\n"), *name = dn_inject_name((dn_inject)kind);
        assert_memory_equal(line, name, strlen(name));
        assert_true(line[strlen(name)] == ' ' && strlen(line) > 25);
        for (int other = 0; other < kind; other++)
            assert_string_not_equal(name, dn_inject_name((dn_inject)other));
    }
    assert_string_equal(rest, "");
    free(text);
}

static void exactly_the_planted_kind_is_injected(void **state)
{
    for (int planted = 0; planted < DN_N_INJECTS; planted++) {
        assert_int_equal(dn_inject_plant(dn_inject_name((dn_inject)planted)), DN_OK);
        for (int kind = 0; kind < DN_N_INJECTS; kind++)
            assert_int_equal(dn_injected((dn_inject)kind), kind == planted);
    }
    assert_int_equal(dn_inject_swap(DN_INJECT_NONE), DN_N_INJECTS - 1);
    assert_true(dn_injected(DN_INJECT_NONE));
}

static void an_unknown_name_plants_nothing_and_is_told_the_nearest(void **state)
{
    assert_int_equal(dn_inject_plant("stale-q"), DN_OK);
    assert_int_equal(dn_inject_plant("skip_fs_reduce"), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "'skip-fs-reduce'"));
    assert_non_null(strstr(dn_error_message(), "'skip_fs_reduce'"));
    assert_true(dn_injected(DN_INJECT_STALE_Q));
    assert_int_equal(dn_inject_plant("none"), DN_OK);
    assert_false(dn_injected(DN_INJECT_STALE_Q));
}

TESTS(base_inject)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_a_name_of_its_own_and_a_line),
        cmocka_unit_test(exactly_the_planted_kind_is_injected),
        cmocka_unit_test(an_unknown_name_plants_nothing_and_is_told_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
