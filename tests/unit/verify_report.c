/* Reports made by hand: how wide the table is, what it says of failures, and that the file has everything. */
#include "support/scratch.h"
#include "support/tests.h"
#include "verify/inside.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_MESHES = 5, N_LINES = 12, N_TENSORS = 3, WIDTH = 100 };

static const dn_verify_line lines[N_LINES] = {
    {"coverage", DN_VERIFY_COVERAGE},       {"loss", DN_VERIFY_SCALAR},
    {"gradients, 1 step", DN_VERIFY_BLOCK}, {"weights, 1 step", DN_VERIFY_BLOCK},
    {"weights, 20 steps", DN_VERIFY_BLOCK}, {"momentum, 20 steps", DN_VERIFY_BLOCK},
    {"Q, 20 steps", DN_VERIFY_BLOCK},       {"replicas", DN_VERIFY_SAME},
    {"dp factors", DN_VERIFY_BYTES},        {"fs weights", DN_VERIFY_BYTES},
    {"tp activations", DN_VERIFY_BYTES},    {"memory a rank", DN_VERIFY_AMOUNT},
};

static dn_verify_check make_check(int line, int tensor)
{
    dn_verify_check f = {.line = line, .holds = true};
    dn_verify_kind kind = lines[line].kind;
    snprintf(f.name, sizeof f.name, "tensor %d", tensor);
    if (kind == DN_VERIFY_BLOCK || kind == DN_VERIFY_SCALAR)
        f.difference = tensor * 1e-16;
    if (kind == DN_VERIFY_BYTES || kind == DN_VERIFY_AMOUNT)
        f.counted = f.expected = 1250000 + (uint64_t)tensor;
    f.cluster = 2500000;
    return f;
}

static dn_verify_report *make_report(void)
{
    dn_verify_report *report = calloc(1, sizeof *report);
    report->tolerance = 1e-12;
    report->lines = malloc(sizeof lines);
    memcpy(report->lines, lines, sizeof lines);
    report->n_lines = N_LINES;
    report->rows = calloc(N_MESHES, sizeof *report->rows);
    report->n_rows = N_MESHES;
    for (int i = 0; i < N_MESHES; i++) {
        dn_verify_row *row = &report->rows[i];
        *row = (dn_verify_row){.size = {1 + i, 2, 1}, .is_reference = i == 0, .holds = true, .seconds = 0.5};
        row->checks = calloc(N_LINES * N_TENSORS, sizeof *row->checks);
        for (int line = 0; line < N_LINES; line++)
            for (int tensor = 0; tensor < N_TENSORS; tensor++)
                row->checks[row->n++] = make_check(line, tensor);
    }
    return report;
}

static void plant(dn_verify_report *report, int row, int line, int tensor, const char *why)
{
    dn_verify_check *f = &report->rows[row].checks[line * N_TENSORS + tensor];
    f->holds = report->rows[row].holds = false;
    snprintf(f->why, sizeof f->why, "%s", why);
}

static char *print(const dn_verify_report *report)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    dn_verify_print(report, out);
    fclose(out);
    return text;
}

static void a_table_of_twelve_lines_fits_and_names_each(void **state)
{
    dn_verify_report *report = make_report();
    char *text = print(report), *rest = text;
    for (const char *line = strsep(&rest, "\n"); rest; line = strsep(&rest, "\n"))
        assert_true(strlen(line) <= WIDTH);
    free(text);
    text = print(report);
    for (const char *words[] = {"momentum", "activations", "cluster", "2e-16", "1.25 MB", "2.50 MB", "ref",
                                "Holds on 5 meshes", "tolerance 1e-12", "dp fs tp"},
                    **word = words;
         word < words + sizeof words / sizeof *words; word++)
        assert_non_null(strstr(text, *word));
    assert_null(strstr(text, "FAILED"));
    free(text);
    dn_verify_report_destroy(&report);
    assert_null(report);
}

static void what_failed_is_named_with_the_worst_tensor(void **state)
{
    dn_verify_report *report = make_report();
    report->rows[2].checks[4 * N_TENSORS].difference = NAN;
    plant(report, 2, 4, 0, "differs by nan");
    plant(report, 2, 4, 2, "differs by much");
    plant(report, 3, 0, 1, "a hole");
    char *text = print(report);
    assert_non_null(
        strstr(text, "FAILED 3 x 2 x 1, weights, 20 steps: tensor 0: differs by nan (and 1 more)\n"));
    assert_non_null(strstr(text, "FAILED 4 x 2 x 1, coverage: tensor 1: a hole\n"));
    assert_non_null(strstr(text, " 3  2  1  FAILED"));
    assert_non_null(strstr(text, "nan FAILED"));
    assert_non_null(strstr(text, "FAILED on 2 of 5 meshes"));
    free(text);
    assert_false(dn_verify_holds(report));
    assert_int_equal(dn_verify_status(report), DN_ERR_NUMERIC);
    assert_non_null(strstr(dn_error_message(), "2 of 5 meshes, first on 3 x 2 x 1: weights, 20 steps"));
    dn_verify_report_destroy(&report);
}

static void an_operation_that_stopped_is_told_with_its_message(void **state)
{
    dn_verify_report *report = make_report();
    report->rows[1].holds = false;
    report->rows[1].status = DN_ERR_MEMORY;
    report->rows[1].n = 0;
    strcpy(report->rows[1].message, "rank 3: too little of it");
    char *text = print(report);
    assert_non_null(strstr(text, " 2  2  1  FAILED  out of memory\n"));
    assert_non_null(strstr(text, "FAILED 2 x 2 x 1: rank 3: too little of it\n"));
    free(text);
    dn_verify_report_destroy(&report);
}

static const json_t *named(const json_t *array, const char *key, const char *name)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(array, i), key)), name) == 0)
            return json_array_get(array, i);
    return NULL;
}

static void the_file_has_every_tensor_of_every_line_and_mesh(void **state)
{
    scratch s;
    dn_verify_report *report = make_report();
    report->rows[2].checks[4 * N_TENSORS].difference = NAN;
    plant(report, 2, 4, 0, "differs by \"nan\"");
    assert_true(scratch_make(&s));
    assert_int_equal(dn_verify_write_json(report, scratch_path(&s, "report.json")), DN_OK);
    json_t *all = json_load_file(s.path, 0, NULL);
    scratch_remove(&s);
    const json_t *meshes = json_object_get(all, "meshes");
    assert_true(json_is_false(json_object_get(all, "holds")) && json_array_size(meshes) == N_MESHES);
    for (size_t i = 0; i < N_MESHES; i++) {
        const json_t *mesh = json_array_get(meshes, i), *array = json_object_get(mesh, "lines");
        assert_int_equal(json_integer_value(json_object_get(mesh, "dp")), 1 + (int)i);
        assert_int_equal(json_is_true(json_object_get(mesh, "holds")), i != 2);
        for (int line = 0; line < N_LINES; line++) {
            const json_t *found = json_object_get(named(array, "line", lines[line].name), "findings");
            assert_int_equal(json_array_size(found), N_TENSORS);
        }
    }
    const json_t *array = json_object_get(json_array_get(meshes, 2), "lines");
    const json_t *weights = json_object_get(named(array, "line", "weights, 20 steps"), "findings");
    const json_t *bad = named(weights, "name", "tensor 0");
    assert_true(json_is_null(json_object_get(bad, "difference")));
    assert_string_equal(json_string_value(json_object_get(bad, "why")), "differs by \"nan\"");
    const json_t *bytes = json_object_get(named(array, "line", "dp factors"), "findings");
    assert_int_equal(json_integer_value(json_object_get(named(bytes, "name", "tensor 2"), "formula")),
                     1250002);
    json_decref(all);
    dn_verify_report_destroy(&report);
}

static void a_file_that_cannot_be_written_is_named(void **state)
{
    dn_verify_report *report = make_report();
    assert_int_equal(dn_verify_write_json(report, "/proc/nonexistent/report.json"), DN_ERR_IO);
    assert_non_null(strstr(dn_error_message(), "/proc/nonexistent"));
    dn_verify_report_destroy(&report);
}

TESTS(verify_report)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_of_twelve_lines_fits_and_names_each),
        cmocka_unit_test(what_failed_is_named_with_the_worst_tensor),
        cmocka_unit_test(an_operation_that_stopped_is_told_with_its_message),
        cmocka_unit_test(the_file_has_every_tensor_of_every_line_and_mesh),
        cmocka_unit_test(a_file_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
