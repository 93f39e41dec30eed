/* metrics.jsonl: numbers come back bit for bit, and a resumed file reads as if the run had never stopped. */
#include "report/metrics.h"

#include "../support/disk.h"
#include "../support/scratch.h"
#include "support/tests.h"

#include <float.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

static scratch dir;

static int set_up(void **state)
{
    return scratch_make(&dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    disk.room = -1;
    scratch_remove(&dir);
    return 0;
}

static dn_metrics *open_at(uint64_t next_step)
{
    dn_metrics *metrics = NULL;
    assert_int_equal(dn_metrics_open(scratch_path(&dir, "metrics.jsonl"), next_step, &metrics), DN_OK);
    return metrics;
}

static void assert_content(const char *expected)
{
    size_t bytes;
    char *content = scratch_read(scratch_path(&dir, "metrics.jsonl"), &bytes);
    assert_non_null(content);
    assert_string_equal(content, expected);
    free(content);
}

/* Steps first .. end-1, each a line. */
static void write_steps(dn_metrics *metrics, uint64_t first, uint64_t end)
{
    for (uint64_t step = first; step < end; step++)
        assert_int_equal(dn_metrics_write(metrics, step, (dn_metric[]){{"x", (double)step / 2}}, 1), DN_OK);
}

static void lines_are_json_with_integers_as_integers(void **state)
{
    dn_metrics *metrics = open_at(0);
    dn_metric values[] = {{"loss", 0.1},      {"bytes", 9007199254740991.0},
                          {"nan", NAN},       {"inf", -INFINITY},
                          {"zero", 0.0},      {"minus zero", -0.0},
                          {"third", 1.0 / 3}, {"n", -12},
                          {"max", DBL_MAX},   {"tiny", 5e-324}};
    assert_int_equal(dn_metrics_write(metrics, 3, values, 10), DN_OK);
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
    assert_null(metrics);
    assert_content(
        "{\"step\": 3, \"loss\": 0.1, \"bytes\": 9007199254740991, \"zero\": 0, \"minus zero\": -0.0, "
        "\"third\": 0.3333333333333333, \"n\": -12, \"max\": 1.7976931348623157e+308, "
        "\"tiny\": 4.94065645841247e-324}\n");
}

/* xorshift64: any bits will do. */
static uint64_t next_bits(uint64_t *bits)
{
    *bits ^= *bits << 13;
    *bits ^= *bits >> 7;
    *bits ^= *bits << 17;
    return *bits;
}

static void any_double_reads_back_to_the_same_bits(void **state)
{
    enum { n = 4000, per_line = 100 };
    static double values[n];
    uint64_t bits = 88172645463325252u;
    dn_metrics *metrics = open_at(0);
    for (size_t i = 0; i < n; i++) {
        do {
            uint64_t word = next_bits(&bits);
            memcpy(&values[i], &word, sizeof word);
            if (i % 2)
                values[i] = (double)word * 0x1p-70; /* of everyday size */
        } while (!isfinite(values[i]));
    }
    for (size_t line = 0; line < n / per_line; line++) {
        dn_metric list[per_line];
        static char keys[per_line][8];
        for (size_t i = 0; i < per_line; i++) {
            snprintf(keys[i], sizeof keys[i], "k%zu", i);
            list[i] = (dn_metric){keys[i], values[line * per_line + i]};
        }
        assert_int_equal(dn_metrics_write(metrics, line, list, per_line), DN_OK);
    }
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);

    FILE *file = fopen(scratch_path(&dir, "metrics.jsonl"), "r");
    assert_non_null(file);
    for (size_t line = 0; line < n / per_line; line++) {
        json_t *object = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
        assert_non_null(object);
        for (size_t i = 0; i < per_line; i++) {
            char key[8];
            snprintf(key, sizeof key, "k%zu", i);
            double value = json_number_value(json_object_get(object, key));
            assert_memory_equal(&value, &values[line * per_line + i], sizeof value);
        }
        json_decref(object);
    }
    fclose(file);
}

static void a_resumed_run_drops_the_steps_it_will_make_again(void **state)
{
    const char *four = "{\"step\": 0, \"x\": 0}\n{\"step\": 1, \"x\": 0.5}\n{\"step\": 2, \"x\": 1}\n"
                       "{\"step\": 3, \"x\": 1.5}\n";
    for (uint64_t resume = 0; resume <= 4; resume++)
        for (int torn = 0; torn < 2; torn++) {
            dn_metrics *metrics = open_at(0);
            write_steps(metrics, 0, 4);
            assert_int_equal(dn_metrics_close(&metrics), DN_OK);
            if (torn) {
                FILE *file = fopen(scratch_path(&dir, "metrics.jsonl"), "a");
                assert_true(fputs("{\"step\": 4, \"x", file) >= 0 && fclose(file) == 0);
            }
            metrics = open_at(resume);
            write_steps(metrics, resume == 1 ? 0 : resume, 4); /* a run that begins anew has no line yet */
            assert_int_equal(dn_metrics_close(&metrics), DN_OK);
            assert_content(four);
        }
}

/* By the run that wrote the line or by one that goes on; a line that is not there begins with the value. */
static void a_value_joins_the_last_line_of_its_step(void **state)
{
    for (int again = 0; again < 2; again++) {
        dn_metrics *metrics = open_at(0);
        write_steps(metrics, 0, 3);
        if (again) {
            assert_int_equal(dn_metrics_close(&metrics), DN_OK);
            metrics = open_at(3);
        }
        assert_int_equal(dn_metrics_amend(metrics, 2, &(dn_metric){"y", 0.5}), DN_OK);
        assert_int_equal(dn_metrics_amend(metrics, 3, &(dn_metric){"y", 7}), DN_OK);
        write_steps(metrics, 4, 5);
        assert_int_equal(dn_metrics_close(&metrics), DN_OK);
        assert_content("{\"step\": 0, \"x\": 0}\n{\"step\": 1, \"x\": 0.5}\n{\"step\": 2, \"x\": 1, \"y\": 0.5}\n"
                       "{\"step\": 3, \"y\": 7}\n{\"step\": 4, \"x\": 2}\n");
    }
}

static void steps_need_not_be_consecutive(void **state)
{
    dn_metrics *metrics = open_at(0);
    write_steps(metrics, 10, 11);
    write_steps(metrics, 20, 21);
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
    metrics = open_at(15);
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
    assert_content("{\"step\": 10, \"x\": 5}\n");
}

static void a_line_that_must_stay_and_cannot_be_read_is_named(void **state)
{
    static const char *const wrong[] = {"{\"step\": 0}\nnonsense\n{\"step\": 2}\n",
                                        "{\"step\": 0}\n{\"x\": 1}\n", "{\"step\": 0}\n{\"step\": -1}\n",
                                        "{\"step\": 0}\n\n{\"step\": 2}\n",
                                        "{\"step\": 0}\n{\"step\": 1.0}\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        dn_metrics *metrics = NULL;
        assert_true(scratch_write(&dir, "metrics.jsonl", wrong[i], strlen(wrong[i])));
        assert_int_equal(dn_metrics_open(dir.path, 3, &metrics), DN_ERR_CHECKPOINT);
        assert_null(metrics);
        assert_non_null(strstr(dn_error_message(), "metrics.jsonl:2:"));
        assert_content(wrong[i]); /* untouched */
    }
    dn_metrics *metrics = open_at(0); /* nothing must stay */
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
    assert_content("");
}

static void lines_that_another_program_wrote_are_not_cut_off(void **state)
{
    static const char theirs[] = "{\"loss\": 1.5, \"step\": 10}\n";
    dn_metrics *metrics = NULL;
    assert_true(scratch_write(&dir, "metrics.jsonl", theirs, sizeof theirs - 1));
    assert_int_equal(dn_metrics_open(dir.path, 1, &metrics), DN_ERR_CHECKPOINT);
    assert_non_null(strstr(dn_error_message(), "move the file away"));
    assert_content(theirs);
}

/* Lines that were not synced: a later one may be on the disk where an earlier one is not. */
static void a_hole_that_a_power_cut_left_is_cut_off_where_no_line_has_to_stay(void **state)
{
    static const char left[] = "\0\0\0\0\0\0\0\0{\"step\": 1, \"loss\": 1.5}\n";
    dn_metrics *metrics = NULL;
    assert_true(scratch_write(&dir, "metrics.jsonl", left, sizeof left - 1));
    const char *path = scratch_path(&dir, "metrics.jsonl");
    assert_int_equal(dn_metrics_open(path, 2, &metrics), DN_ERR_CHECKPOINT); /* a checkpoint syncs its lines */
    assert_int_equal(dn_metrics_open(path, 1, &metrics), DN_OK);
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
    assert_content("");
}

static char told[4096]; /* warnings, a line each */

static void take_warning(void *context, dn_log_level level, const char *line)
{
    assert_int_equal(level, DN_LOG_WARNING);
    snprintf(told + strlen(told), sizeof told - strlen(told), "%s\n", line);
}

/* What a run that goes on with `next_step` says of a file with lines of these steps (-1: their end). */
static const char *told_of(const int *steps, uint64_t next_step)
{
    char content[8192] = "";
    for (size_t i = 0; steps[i] >= 0; i++)
        snprintf(content + strlen(content), 32, "{\"step\": %d}\n", steps[i]);
    assert_true(scratch_write(&dir, "metrics.jsonl", content, strlen(content)));
    *told = 0;
    dn_log_set(take_warning, NULL);
    dn_metrics *metrics = open_at(next_step);
    dn_log_set(NULL, NULL);
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
    return told;
}

static void lines_that_are_missing_or_stand_twice_are_told_with_their_steps(void **state)
{
    assert_string_equal(told_of((int[]){1, 2, 3, 4, -1}, 5), "");
    assert_string_equal(told_of((int[]){1, 2, 3, 4, 5, 6, -1}, 5), ""); /* made again */
    assert_string_equal(told_of((int[]){-1}, 1), "");
    assert_non_null(strstr(told_of((int[]){-1}, 5), "the lines of 4 steps before the checkpoint: 1-4\n"));
    assert_non_null(strstr(told_of((int[]){1, 2, -1}, 5), "the lines of 2 steps before the checkpoint: 3-4\n"));
    assert_non_null(strstr(told_of((int[]){2, 4, 5, 9, 12, -1}, 11), "of 6 steps before the checkpoint: 1, 3, 6-8, 10\n"));
    assert_non_null(strstr(told_of((int[]){1, 2, 2, 3, 1, 4, -1}, 5), "metrics.jsonl has 2 lines of steps"));
    static int odd[200];
    for (int i = 0; i < 199; i++)
        odd[i] = 2 * i + 1;
    odd[199] = -1;
    const char *text = told_of(odd, 398);
    assert_non_null(strstr(text, "of 198 steps before the checkpoint: 2, 4, 6, "));
    assert_string_equal(text + strlen(text) - 6, ", ...\n");
    assert_true(unlink(scratch_path(&dir, "metrics.jsonl")) == 0);
    *told = 0;
    dn_log_set(take_warning, NULL);
    dn_metrics *metrics = open_at(8); /* no file at all */
    dn_log_set(NULL, NULL);
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
    assert_non_null(strstr(told, "the lines of 7 steps before the checkpoint: 1-7\n"));
}

/* A power cut may leave anything there: it was not synced. */
static void whatever_stands_behind_the_last_line_that_stays_is_cut_off(void **state)
{
    static const char left[] = "{\"step\": 0}\n{\"step\": 1}\n\0\0\0\0\"x\": 1}\n{\"step\": 3}\n";
    assert_true(scratch_write(&dir, "metrics.jsonl", left, sizeof left - 1));
    dn_metrics *metrics = open_at(2);
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
    assert_content("{\"step\": 0}\n{\"step\": 1}\n");
}

static void a_full_disk_leaves_no_torn_line_and_writing_can_go_on(void **state)
{
    dn_metrics *metrics = open_at(0);
    write_steps(metrics, 0, 1);
    for (int room = 0; room < 20; room++) {
        disk.room = room;
        assert_int_equal(dn_metrics_write(metrics, 1, (dn_metric[]){{"x", 0.5}}, 1), DN_ERR_IO);
        assert_non_null(strstr(dn_error_message(), "metrics.jsonl"));
        assert_content("{\"step\": 0, \"x\": 0}\n");
    }
    disk.room = -1;
    write_steps(metrics, 1, 2);
    assert_content("{\"step\": 0, \"x\": 0}\n{\"step\": 1, \"x\": 0.5}\n");
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
}

static void a_line_too_long_is_refused_whole(void **state)
{
    static dn_metric values[1000];
    dn_metrics *metrics = open_at(0);
    for (size_t i = 0; i < 1000; i++)
        values[i] = (dn_metric){"key", 0.1};
    assert_int_equal(dn_metrics_write(metrics, 0, values, 1000), DN_ERR_ARG);
    assert_content("");
    assert_int_equal(dn_metrics_close(&metrics), DN_OK);
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
    dn_metrics *metrics = NULL;
    for (uint64_t step = 0; step < 2; step++)
        assert_int_equal(dn_metrics_open(scratch_path(&dir, "absent/metrics.jsonl"), step, &metrics),
                         DN_ERR_IO);
    assert_null(metrics);
}

/* Reading a pipe or a device to its end may take for ever. */
static void what_is_no_regular_file_is_refused_at_once(void **state)
{
    dn_metrics *metrics = NULL;
    const char *path = scratch_path(&dir, "metrics.jsonl");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(dn_metrics_open(path, 1, &metrics), DN_ERR_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/full", path), 0);
    assert_int_equal(dn_metrics_open(path, 1, &metrics), DN_ERR_IO);
    assert_non_null(strstr(dn_error_message(), "not a regular file"));
    assert_null(metrics);
}

TESTS(report_metrics)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(lines_are_json_with_integers_as_integers),
        TEST(any_double_reads_back_to_the_same_bits),
        TEST(a_resumed_run_drops_the_steps_it_will_make_again),
        TEST(a_value_joins_the_last_line_of_its_step),
        TEST(steps_need_not_be_consecutive),
        TEST(a_line_that_must_stay_and_cannot_be_read_is_named),
        TEST(lines_that_another_program_wrote_are_not_cut_off),
        TEST(a_hole_that_a_power_cut_left_is_cut_off_where_no_line_has_to_stay),
        TEST(lines_that_are_missing_or_stand_twice_are_told_with_their_steps),
        TEST(whatever_stands_behind_the_last_line_that_stays_is_cut_off),
        TEST(a_full_disk_leaves_no_torn_line_and_writing_can_go_on),
        TEST(a_line_too_long_is_refused_whole),
        TEST(a_directory_that_is_not_there_is_an_error),
        TEST(what_is_no_regular_file_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
