/* Options of strategies, as texts. */
#include "base/key.h"
#include "strategy/strategy.h"
#include "support/tests.h"

#include <string.h>

/* null is an option's default, as in a configuration, and not the number 0. */
static void null_is_the_default(void **state)
{
    (void)state;
    for (size_t k = 0; dn_strategy_at(k); k++) {
        const dn_strategy *strategy = dn_strategy_at(k);
        dn_strategy_config given, expected;
        char settings[512] = "";
        for (int i = 0; i < DN_STRATEGY_OPTIONS_MAX && strategy->options[i].key; i++) {
            strcat(settings, strategy->options[i].key->name);
            strcat(settings, "=null ");
        }
        assert_int_equal(dn_strategy_configure(strategy, NULL, 10, 1, &expected), DN_OK);
        assert_int_equal(dn_strategy_configure(strategy, settings, 10, 1, &given), DN_OK);
        for (int i = 0; i < DN_STRATEGY_OPTIONS_MAX && strategy->options[i].key; i++) {
            char texts[2][DN_KEY_TEXT_MAX];
            dn_key_show(&expected.options[i], strategy->options[i].key, texts[0], sizeof texts[0]);
            dn_key_show(&given.options[i], strategy->options[i].key, texts[1], sizeof texts[1]);
            assert_string_equal(texts[0], texts[1]);
        }
    }
}

TESTS(strategy_options)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_is_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
