/* Text of a continuation: stop strings, however they are cut into tokens. */
#include "train/continuation.h"

#include "support/tests.h"

#include <stdio.h>
#include <string.h>

/* What is given out of `text`, byte by byte, '|' where something is ready; '!' at a stop. */
static void give_out(const char *text, const char *const *stops, size_t n_stops, char *out)
{
    dn_continuation c;
    size_t ready = 0;
    bool stopped = false;
    assert_int_equal(dn_continuation_open(&c, NULL, stops, n_stops), DN_OK);
    for (size_t i = 0; text[i] && !stopped; i++) {
        stopped = dn_continuation_add(&c, (unsigned char)text[i], &ready);
        out += sprintf(out, "%.*s%s", (int)ready, c.held, ready ? "|" : "");
        dn_continuation_drop(&c, ready);
    }
    if (!stopped)
        dn_continuation_end(&c, &ready);
    sprintf(out, "%.*s%s", stopped ? 0 : (int)ready, c.held, stopped ? "!" : "");
    dn_continuation_close(&c);
}

static void what_may_become_a_stop_string_is_held_back(void **state)
{
    static const char *const stops[] = {"ab", "acd", "xyz"};
    static const struct {
        const char *text;
        size_t n_stops;
        const char *given;
    } cases[] = {
        {"hello", 0, "h|e|l|l|o|"}, {"1ab2", 1, "1|!"},
        {"1aab", 1, "1|a|!"},       {"1acx", 3, "1|ac|x"}, /* x begins another */
        {"1ac2", 3, "1|ac2|"},      {"aacd", 3, "a|!"},
        {"xyab", 3, "xy|!"},        {"a", 3, "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64] = "";
        give_out(cases[i].text, stops, cases[i].n_stops, out);
        assert_string_equal(out, cases[i].given);
    }
}

/* A short one within the beginning of a long one. */
static void the_first_that_is_whole_ends_the_text(void **state)
{
    static const char *const stops[] = {"abcd", "bc"};
    char out[64] = "";
    give_out("1abcd", stops, 2, out);
    assert_string_equal(out, "1|a|!");
}

TESTS(train_continuation)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_become_a_stop_string_is_held_back),
        cmocka_unit_test(the_first_that_is_whole_ends_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
