/* What may go to a terminal, byte by byte. */
#include "base/printable.h"
#include "support/tests.h"

#include <stdio.h>

static void check(const char *given, const char *expected)
{
    char text[64];
    snprintf(text, sizeof text, "%s", given);
    dn_printable(text);
    assert_string_equal(text, expected);
}

static void text_of_any_script_stays(void **state)
{
    check("", "");
    check(" ~plain text, 100 %", " ~plain text, 100 %");
    check("Größe → \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x8e\x89", "Größe → \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x8e\x89");
    check("\xc2\xa0\xef\xbf\xbd\xf4\x8f\xbf\xbf", "\xc2\xa0\xef\xbf\xbd\xf4\x8f\xbf\xbf");
}

static void controls_go(void **state)
{
    for (int c = 1; c < 256; c++) {
        char text[] = {(char)c, 'x', 0};
        check(text, c >= 0x20 && c < 0x7f ? text : "?x"); /* a byte above 0x7f alone is no UTF-8 */
    }
    check("a\xc2\x80\xc2\x9f", "a????"); /* U+0080, U+009F */
    check("\xe2\x80\xa8\xe2\x80\xae\xe2\x81\xa6", "?????????");
}

static void what_is_not_utf_8_goes_byte_by_byte(void **state)
{
    check("\xc0\x80", "??");         /* two bytes for what takes one */
    check("\xe0\x82\xa0", "???");    /* three for two */
    check("\xf0\x82\x82\xac", "????"); /* four for three */
    check("\xed\xa0\x80", "???");    /* half of a pair of UTF-16 */
    check("\xf4\x90\x80\x80", "????"); /* beyond U+10FFFF */
    check("\xe2\x82", "??");         /* cut */
    check("\xc3(", "?(");
    check("\xff\xfe", "??");
}

TESTS(base_printable)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_any_script_stays),
        cmocka_unit_test(controls_go),
        cmocka_unit_test(what_is_not_utf_8_goes_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
