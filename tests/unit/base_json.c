/* What is said of JSON that somebody else wrote. */
#include "base/json.h"
#include "support/tests.h"

#include <string.h>

static void objects_are_read(void **state)
{
    char why[DN_JSON_WHY];
    (void)state;
    json_t *object = dn_json_object("{\"a\": 7} ", 9, why);
    assert_int_equal(json_integer_value(json_object_get(object, "a")), 7);
    json_decref(object);
}

/* In words of a file, whatever the parser calls it. */
static void all_else_is_told_apart(void **state)
{
#define TEXT(x) x, sizeof x - 1
    static const struct {
        const char *text;
        size_t n;
        const char *why;
    } cases[] = {
        {TEXT(""), "it is empty"},
        {TEXT("[1]"), "it is a value of another kind"},
        {TEXT("null"), "it is a value of another kind"},
        {TEXT("\xef\xbb\xbf{}"), "it begins with a byte order mark; save it as UTF-8 without one"},
        {TEXT("\xff\xfe{\0}\0"), "it is UTF-16; save it as UTF-8"},
        {TEXT("{\"a\": \"\xff\"}"), "it is not UTF-8"},
        {TEXT("{\"a\0b\": 1}"), "it has a NUL character, as no text does"},
        {TEXT("{\"a\": \"b\0\"}"), "it has a NUL character, as no text does"},
        {TEXT("{}\0\0"), "it has a NUL character, as no text does"},
        {TEXT("\0"), "it has a NUL character, as no text does"},
        {TEXT("{\"a\": \"b\\u0000\"}"), "\\u0000 stands for a NUL character, which is not taken"},
        {TEXT("{\"\\u0000\": 1}"), "\\u0000 stands for a NUL character, which is not taken"},
        {TEXT("{\"a\": 1, \"a\": 1}"), "column 12: duplicate object key near '\"a\"'"},
        {TEXT("{\n\"a\": 1,\n}"), "line 3, column 1: string or '}' expected near '}'"},
    };
    char why[DN_JSON_WHY];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(dn_json_object(cases[i].text, cases[i].n, why));
        assert_string_equal(why + strlen("no JSON object: "), cases[i].why);
    }
}

TESTS(base_json)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_read),
        cmocka_unit_test(all_else_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
