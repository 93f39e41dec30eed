/* What a configuration says of a checkpoint's: another model, changed settings, or nothing worth a word. */
#include "train/config_diff.h"
#include "train/plan.h"
#include "support/tests.h"

#include <string.h>

static dn_config small_model(void)
{
    dn_config config;
    dn_config_init(&config);
    config.model_dim = 32;
    config.n_head = 2;
    config.n_layer = 2;
    config.vocab_size = 256;
    return config;
}

/* The weights' meaning is the plan's shape without the length of a sequence, which no parameter depends on. */
static bool same_model(const dn_config *a, const dn_config *b)
{
    dn_plan x, y;
    assert_int_equal(dn_plan_make(a, 1, &x), DN_OK);
    assert_int_equal(dn_plan_make(b, 1, &y), DN_OK);
    const dn_attention_spec *of_x = &x.spec.attention, *of_y = &y.spec.attention;
    return x.spec.C == y.spec.C && x.spec.L == y.spec.L && x.spec.V == y.spec.V && x.spec.mlp.F == y.spec.mlp.F &&
           of_x->NH == of_y->NH && of_x->NKV == of_y->NKV && of_x->hd == of_y->hd && of_x->window == of_y->window &&
           x.spec.lora.rank == y.spec.lora.rank;
}

static void every_key_that_makes_another_model_says_so_and_no_other(void **state)
{
    size_t n = 0;
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        dn_config before = small_model(), after = before;
        int64_t *field = (int64_t *)((char *)&after + key->offset);
        if (key->type != DN_KEY_INT || strstr(key->name, "p_size") || strstr(key->name, "fs_size"))
            continue;
        if (strcmp(key->name, "clients") == 0 || strcmp(key->name, "local_steps") == 0)
            continue; /* refused without a strategy of clients */
        int64_t least = strcmp(key->name, "head_dim") == 0 ? 2 : strcmp(key->name, "max_positions") == 0 ? 4096 : 1;
        *field = *field ? 2 * *field : least;
        bool other = !same_model(&before, &after);
        if (other != (key->role == DN_KEY_MODEL))
            fail_msg("%s: makes another model: %d, its role: %d", key->name, other, key->role);
        n += other;
        assert_int_equal(dn_config_check_model(&before, &after, "ckpt"), other ? DN_ERR_CHECKPOINT : DN_OK);
        if (other && (!strstr(dn_error_message(), key->name) || !strstr(dn_error_message(), "ckpt")))
            fail_msg("'%s' names no '%s'", dn_error_message(), key->name);
    }
    assert_int_equal(n, 9);
}

static void differences_are_listed_with_both_values_and_cut_to_their_room(void **state)
{
    char text[256], little[16];
    dn_config a = small_model(), b = a;
    assert_int_equal(dn_config_differences(&a, &b, DN_KEY_TRAINING, text, sizeof text), 0);
    assert_string_equal(text, "");
    b.lr = 0.1;
    b.optim.nesterov = true;
    b.fs_size = 2;
    strcpy(b.train_files, "it's");
    strcpy(b.checkpoint_dir, "moved");
    b.n_head = 4;
    assert_int_equal(dn_config_differences(&a, &b, DN_KEY_TRAINING, text, sizeof text), 4);
    assert_string_equal(
        text, "lr 0.02 -> 0.1, nesterov false -> true, fs_size null -> 2, train_files '' -> 'it's'");
    assert_int_equal(dn_config_differences(&a, &b, DN_KEY_TRAINING, little, sizeof little), 4);
    assert_int_equal(strlen(little), sizeof little - 1);
}

/* As version 0.1 wrote it, without the keys that came later. */
static void a_configuration_without_a_key_that_came_later_differs_in_nothing(void **state)
{
    char text[256];
    dn_config now = small_model(), stored;
    dn_config_init(&stored);
    assert_int_equal(
        dn_config_parse(&stored, "model_dim: 32\nn_head: 2\nn_layer: 2\nvocab_size: 256\nlr: 0.02\n", "ckpt"),
        DN_OK);
    assert_int_equal(dn_config_check_model(&stored, &now, "ckpt"), DN_OK);
    assert_int_equal(dn_config_differences(&stored, &now, DN_KEY_TRAINING, text, sizeof text), 0);
    assert_int_equal(dn_config_differences(&stored, &now, DN_KEY_CONDUCT, text, sizeof text), 0);
}

TESTS(train_config_diff)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_that_makes_another_model_says_so_and_no_other),
        cmocka_unit_test(differences_are_listed_with_both_values_and_cut_to_their_room),
        cmocka_unit_test(a_configuration_without_a_key_that_came_later_differs_in_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
