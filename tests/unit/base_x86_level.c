/* The level of the instruction set, against what the kernel says of the first processor. */
#include "base/x86_level.h"
#include "support/tests.h"

#include <stdio.h>
#include <string.h>

/* Whether each of the words, which end with NULL, is in the line. */
static bool has_all(const char *line, const char *const *words)
{
    for (; *words; words++) {
        char padded[32];
        snprintf(padded, sizeof padded, " %s ", *words);
        if (!strstr(line, padded))
            return false;
    }
    return true;
}

static int level_in(const char *flags)
{
    /* As /proc/cpuinfo writes them; abm is LZCNT. */
    static const char *const third[] = {"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", NULL};
    static const char *const fourth[] = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", NULL};
    if (!has_all(flags, third))
        return 1;
    return has_all(flags, fourth) ? 4 : 3;
}

static void the_level_is_that_of_the_flags_in_proc_cpuinfo(void **state)
{
    static char line[1 << 14];
    bool found = false;
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        skip();
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, "flags\t", 6) == 0;
    fclose(file);
    if (!found) /* not an x86 processor */
        line[0] = '\0';
    line[strcspn(line, "\n")] = ' ';
    assert_int_equal(dn_x86_level(), found ? level_in(line) : 0);
}

TESTS(base_x86_level)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_level_is_that_of_the_flags_in_proc_cpuinfo)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
