/* Labelled texts: which lines are none, what classes they make, and the batches that a model gets. */
#include "data/labels.h"

#include "../support/scratch.h"
#include "support/tests.h"
#include "train/labelled.h"

static scratch dir;

static int set_up(void **state)
{
    return scratch_make(&dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    scratch_remove(&dir);
    return 0;
}

static dn_status read_file(const char *content, size_t n, dn_labels *out)
{
    assert_true(scratch_write(&dir, "labels.tsv", content, n));
    return dn_labels_read(scratch_path(&dir, "labels.tsv"), out);
}

static dn_status read_text(const char *content, dn_labels *out)
{
    return read_file(content, strlen(content), out);
}

static void classes_are_the_labels_in_the_order_of_their_bytes(void **state)
{
    dn_labels labels;
    assert_int_equal(read_text("pear\tgreen\napple\tred\tround\n\xc3\x84\tx\npear\ty", &labels), DN_OK);
    assert_int_equal(labels.n, 4);
    assert_int_equal(labels.n_classes, 3);
    const char *const names[] = {"apple", "pear", "\xc3\x84"}, *const texts[] = {"green", "red\tround", "x", "y"};
    const int32_t classes[] = {1, 0, 2, 1};
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(labels.names[i], names[i]);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(labels.rows[i].class, classes[i]);
        assert_int_equal(labels.rows[i].n, strlen(texts[i]));
        assert_memory_equal(labels.rows[i].text, texts[i], strlen(texts[i]));
    }
    dn_labels_close(&labels);
}

static void a_line_that_is_none_is_named(void **state)
{
    static const struct {
        const char *content, *says;
    } faults[] = {{"a\tx\nb y\n", ":2: no label"}, {"a\tx\n\tx\n", ":2: no label"}, {"a\tx\nb\t\n", ":2: no label"},
                  {"a\tx\n\nb\ty\n", ":2: no label"}, {"a\tx\na\ty\n", "1 different labels"}, {"", "0 different labels"}};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        dn_labels labels;
        assert_int_equal(read_text(faults[i].content, &labels), DN_ERR_DATA);
        assert_non_null(strstr(dn_error_message(), faults[i].says));
        dn_labels_close(&labels);
    }
    dn_labels labels;
    assert_int_equal(read_file("a\0b\tx\nb\ty\n", 10, &labels), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), ":1: a zero byte"));
    dn_labels_close(&labels);
    assert_int_equal(dn_labels_read("/nonexistent/labels.tsv", &labels), DN_ERR_DATA);
    dn_labels_close(&labels);
}

/* 300 texts of 1 to 23 bytes, the row's number in the first ones. */
static void texts_read(dn_labels *labels, dn_labelled_tokens *texts, size_t most)
{
    char content[20000], *end = content;
    for (int i = 0; i < 300; i++)
        end += sprintf(end, "%d\t%-*.*s\n", i % 3, 1 + i * 7 % 23, 1 + i * 7 % 23, (char[]){(char)('a' + i % 26), 0});
    assert_int_equal(read_text(content, labels), DN_OK);
    assert_int_equal(dn_labelled_encode(labels, NULL, 256, most, texts), DN_OK);
}

static void a_batch_has_the_class_at_each_text_s_last_token(void **state)
{
    dn_labels labels;
    dn_labelled_tokens texts;
    const uint32_t rows[] = {5, 299, 0};
    int32_t inputs[3 * 23], targets[3 * 23];
    size_t T;
    texts_read(&labels, &texts, 11);
    assert_int_equal(texts.most, 11);
    dn_labelled_batch(&texts, rows, 3, inputs, targets, &T);
    assert_int_equal(T, 11); /* row 5 has 1 + 35 mod 23 = 13 bytes, of which 11 are read */
    for (size_t b = 0; b < 3; b++) {
        size_t n = 1 + rows[b] * 7 % 23;
        n = n < 11 ? n : 11;
        assert_int_equal(inputs[b * T], 'a' + rows[b] % 26);
        for (size_t t = 0; t < T; t++)
            assert_int_equal(targets[b * T + t], t + 1 == n ? (int32_t)(rows[b] % 3) : -1);
    }
    size_t cut = 0;
    for (size_t i = 0; i < 300; i++)
        cut += 1 + i * 7 % 23 > 11;
    assert_int_equal(texts.n_cut, cut);
    dn_labelled_close(&texts);
    assert_int_equal(dn_labelled_encode(&labels, NULL, 'e', 11, &texts), DN_ERR_DATA); /* not a token: e, in the fifth */
    assert_non_null(strstr(dn_error_message(), "line 5 "));
    dn_labelled_close(&texts);
    dn_labels_close(&labels);
}

/* Each row once in an epoch, in another order in each, the same order for the same seed; every fifth row in none. */
static void an_epoch_has_each_row_of_training_once(void **state)
{
    dn_labels labels;
    dn_labelled_tokens texts;
    uint32_t rows[3][300], held_out[300];
    const struct {
        uint64_t seed, epoch;
    } draws[] = {{1, 0}, {1, 1}, {1, 0}};
    texts_read(&labels, &texts, 100);
    assert_int_equal(dn_labelled_rows(&texts, true, held_out), 60);
    for (size_t i = 0; i < 3; i++) {
        bool seen[300] = {0};
        assert_int_equal(dn_labelled_rows(&texts, false, rows[i]), 240);
        dn_labelled_shuffle(&texts, rows[i], 240, 7, draws[i].seed, draws[i].epoch);
        for (size_t k = 0; k < 240; k++) {
            assert_false(seen[rows[i][k]] || rows[i][k] % 5 == 4);
            seen[rows[i][k]] = true;
        }
    }
    assert_memory_equal(rows[0], rows[2], sizeof(uint32_t) * 240);
    assert_memory_not_equal(rows[0], rows[1], sizeof(uint32_t) * 240);
    dn_labelled_close(&texts);
    dn_labels_close(&labels);
}

TESTS(data_labels)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_the_labels_in_the_order_of_their_bytes),
        cmocka_unit_test(a_line_that_is_none_is_named),
        cmocka_unit_test(a_batch_has_the_class_at_each_text_s_last_token),
        cmocka_unit_test(an_epoch_has_each_row_of_training_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
