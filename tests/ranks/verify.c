/* The comparison itself: every kind of failure that it can see is planted and must be seen, on the mesh and
 * by the line where it is, and nowhere else. */
#include "base/fail.h"
#include "support/ranks.h"
#include "support/tests.h"
#include "tensor/axes.h"
#include "verify/inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_RANKS = 8, ARENA = 32 << 20 };
enum { ROWS = 7, COLS = 5, LENGTH = 3, SLICED = 19 };

typedef enum plant {
    NOTHING,
    DIFFERENCE,
    NOT_A_NUMBER,
    HOLE,
    OVERLAP,
    EVEN_PARTS,
    OUTSIDE,
    MISSING,
    EXTRA,
    OTHER_SHAPE,
    LAST_BIT,
    FEWER_BYTES,
    OFF_BY_ONE,
    LOSS,
    MORE_LOSSES
} plant;

/* What is planted, where, and what is tolerated. */
typedef struct scene {
    plant what;
    int mesh[DN_N_AXES]; /* planted on this mesh alone */
    double tolerance;
} scene;

/* ---- the operation ---- */

static double value(size_t row, size_t col)
{
    return 1 + sin((double)(row * 131 + col * 17));
}

/* A part of the matrix of values, off by `off` in its last element. */
static void fill(dn_block b, double off, dn_real *data)
{
    for (size_t i = 0; i < b.rows; i++)
        for (size_t j = 0; j < b.cols; j++)
            data[i * b.cols + j] = (dn_real)value(b.row0 + i, b.col0 + j);
    if (b.rows * b.cols > 0)
        data[b.rows * b.cols - 1] += (dn_real)off;
}

static bool last_of(const dn_mesh *mesh, int axis)
{
    return mesh->at[axis] == mesh->size[axis] - 1;
}

static dn_range part(const dn_mesh *mesh, size_t n, dn_axis axis, plant what)
{
    dn_range even = {n / (size_t)mesh->size[axis] * (size_t)mesh->at[axis],
                     n / (size_t)mesh->size[axis] * ((size_t)mesh->at[axis] + 1)};
    return what == EVEN_PARTS ? even : dn_shard_range(n, 1, mesh->size[axis], mesh->at[axis]);
}

/* [ROWS, COLS] over fs and tp, replicated over dp. */
static dn_status show_weights(dn_verify *v, const dn_mesh *mesh, plant what)
{
    dn_verify_tensor t = {
        "weights", {.name = "matrix", .rows = ROWS, .cols = COLS, .type = DN_REAL}, DN_AXIS(DN_DP), NULL};
    dn_range rows = part(mesh, ROWS, DN_FS, what), cols = part(mesh, COLS, DN_TP, NOTHING);
    dn_real data[ROWS * COLS];
    dn_block b = {rows.first, rows.end - rows.first, cols.first, cols.end - cols.first};
    bool last = last_of(mesh, DN_FS) && last_of(mesh, DN_TP);
    b.rows -= what == HOLE && last;
    b.row0 -= what == OVERLAP && last;
    b.rows += what == OVERLAP && last;
    fill(b, !last ? 0 : what == DIFFERENCE ? 0.25 : what == NOT_A_NUMBER ? NAN : 0, data);
    if (what == OUTSIDE && last)
        b.row0++;
    if (what == OTHER_SHAPE)
        t.tensor.rows++;
    DN_TRY(dn_verify_block(v, &t, b, data));
    if (what == LAST_BIT && last_of(mesh, DN_DP))
        data[0] = (dn_real)nextafterf((float)data[0], 9);
    size_t bytes = (b.rows * b.cols - (what == FEWER_BYTES && last_of(mesh, DN_DP))) * sizeof *data;
    return dn_verify_same(v, "replicas", "matrix", dn_mesh_comm(mesh, DN_AXIS(DN_DP)), data, bytes);
}

/* A whole vector on every rank; a vector in slices of its own for each, some of them empty; another line. */
static dn_status show_vectors(dn_verify *v, const dn_mesh *mesh, plant what)
{
    const dn_verify_tensor whole = {
        "weights", {.name = "vector", .rows = 1, .cols = LENGTH, .type = DN_REAL}, DN_ALL_AXES, NULL};
    const dn_verify_tensor sliced = {
        "state", {.name = "slices", .rows = 1, .cols = SLICED, .type = DN_F64}, 0, NULL};
    const dn_verify_tensor extra = {
        "state", {.name = "extra", .rows = 1, .cols = LENGTH, .type = DN_REAL}, DN_ALL_AXES, NULL};
    dn_real data[LENGTH];
    double slices[SLICED];
    dn_range slice = dn_shard_range(SLICED, 4, dn_comm_size(mesh->all), dn_comm_rank(mesh->all));
    fill((dn_block){0, 1, 0, LENGTH}, 0, data);
    for (size_t i = slice.first; i < slice.end; i++)
        slices[i] = value(0, i);
    if (what != MISSING)
        DN_TRY(dn_verify_block(v, &whole, (dn_block){0, 1, 0, LENGTH}, data));
    if (what == EXTRA)
        DN_TRY(dn_verify_block(v, &extra, (dn_block){0, 1, 0, LENGTH}, data));
    return dn_verify_block(v, &sliced, (dn_block){0, 1, slice.first, slice.end - slice.first},
                           slices + slice.first);
}

static dn_status show_numbers(dn_verify *v, const dn_mesh *mesh, plant what)
{
    uint64_t expected = 1000 * (uint64_t)(mesh->size[DN_DP] - 1);
    bool one = dn_comm_rank(mesh->all) == dn_comm_size(mesh->all) - 1;
    for (int step = 0; step < 3 + (what == MORE_LOSSES); step++)
        DN_TRY(dn_verify_scalar(v, "loss", 3.5 - step + (what == LOSS && one && step == 2 ? 0.001 : 0)));
    DN_TRY(dn_verify_bytes(v, "bytes of dp", expected - (what == OFF_BY_ONE && one), expected, 7.0));
    return dn_verify_amount(v, "memory", (uint64_t)(100 / dn_comm_size(mesh->all)));
}

static dn_status operation(dn_verify *v, const dn_mesh *mesh, void *context)
{
    const scene *s = context;
    plant what = dn_axes_same(mesh->size, s->mesh) ? s->what : NOTHING;
    DN_TRY(show_weights(v, mesh, what));
    DN_TRY(show_vectors(v, mesh, what));
    return show_numbers(v, mesh, what);
}

static dn_verify_options options_of(const scene *s)
{
    dn_verify_options options = dn_verify_defaults();
    options.tolerance = s->tolerance;
    options.heap_bytes = 0;
    options.reference_bytes = 1024;
    return options;
}

/* ---- reading reports ---- */

static int line_of(const dn_verify_report *report, const char *name)
{
    for (size_t i = 0; i < report->n_lines; i++)
        if (strcmp(report->lines[i].name, name) == 0)
            return (int)i;
    return -1;
}

static const dn_verify_check *finding(const dn_verify_report *report, size_t row, const char *line,
                                      const char *name)
{
    int at = line_of(report, line);
    for (size_t i = 0; i < report->rows[row].n; i++) {
        const dn_verify_check *f = &report->rows[row].checks[i];
        if (f->line == at && strcmp(f->name, name) == 0)
            return f;
    }
    return NULL;
}

/* Whether exactly this line fails on a mesh, by this name and for this reason. */
static bool only_this_fails(const dn_verify_report *report, size_t row, const char *line, const char *name,
                            const char *why)
{
    size_t n = 0;
    for (size_t i = 0; i < report->rows[row].n; i++)
        n += !report->rows[row].checks[i].holds;
    const dn_verify_check *f = finding(report, row, line, name);
    return n == 1 && f && !f->holds && strstr(f->why, why) && !report->rows[row].holds;
}

/* ---- each planted failure ---- */

static const struct {
    plant what;
    const char *line, *name, *why;
} seen[] = {
    {DIFFERENCE, "weights", "matrix", "differs by 3"},
    {NOT_A_NUMBER, "weights", "matrix", "differs by nan"},
    {HOLE, "coverage", "weights: matrix", "2 of 35 elements are covered by no rank, the first is [6, 3]"},
    {OVERLAP, "coverage", "weights: matrix", "1 x 2 elements from [3, 3]"},
    {EVEN_PARTS, "coverage", "weights: matrix",
     "5 of 35 elements are covered by no rank, the first is [6, 0]"},
    {OUTSIDE, "coverage", "weights: matrix", "outside of [7, 5]"},
    {MISSING, "coverage", "weights: vector", "no rank of this mesh"},
    {EXTRA, "coverage", "state: extra", "the reference does not"},
    {LAST_BIT, "replicas", "matrix", "differs from the first of its group"},
    {FEWER_BYTES, "replicas", "matrix", "another number"},
    {OFF_BY_ONE, "bytes of dp", "rank 7", "999 bytes were counted, the formula says 1000"},
    {LOSS, "loss", "value 3", "differs by"},
    {MORE_LOSSES, "coverage", "loss: value 4", "the reference does not"},
};

static int sees_it(dn_comm *comm, void *argument)
{
    scene s = *(scene *)argument;
    dn_verify_options options = options_of(&s);
    dn_verify_report *report;
    size_t which = 0;
    memcpy(options.mesh, s.mesh, sizeof s.mesh);
    while (seen[which].what != s.what)
        which++;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_OK);
    RANKS_CHECK(report->n_rows == 2 && report->rows[0].holds && !dn_verify_holds(report));
    const char *name = seen[which].name;
    RANKS_CHECK(only_this_fails(report, 1, seen[which].line, name, seen[which].why));
    RANKS_CHECK(dn_verify_status(report) == DN_ERR_NUMERIC && strstr(dn_error_message(), seen[which].line));
    dn_verify_report_destroy(&report);
    return 0;
}

static void every_planted_failure_is_seen_by_its_line(void **state)
{
    const ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N_RANKS, .arena_bytes = ARENA};
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        scene s = {.what = seen[i].what, .mesh = {2, 2, 2}, .tolerance = 1e-6};
        print_message("# plant %d: %s\n", (int)s.what, seen[i].line);
        assert_int_equal(ranks_run(&spec, sees_it, &s, NULL), 0);
    }
}

/* On eight ranks a shape of its own fails on each, and what was compared is missing. */
static int sees_another_shape(dn_comm *comm, void *argument)
{
    scene s = {.what = OTHER_SHAPE, .mesh = {2, 2, 2}, .tolerance = 1e-6};
    dn_verify_options options = options_of(&s);
    dn_verify_report *report;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_OK);
    const dn_verify_check *f = finding(report, report->n_rows - 6, "coverage", "weights: matrix");
    RANKS_CHECK(f && !f->holds && strstr(f->why, "[8, 5]") && strstr(f->why, "[7, 5]"));
    for (size_t i = 0; i < report->n_rows; i++)
        RANKS_CHECK(report->rows[i].holds == !dn_axes_same(report->rows[i].size, s.mesh));
    dn_verify_report_destroy(&report);
    return 0;
}

static void a_failure_on_one_mesh_is_none_of_the_others(void **state)
{
    const ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = N_RANKS, .arena_bytes = ARENA};
    assert_int_equal(ranks_run(&spec, sees_another_shape, NULL, NULL), 0);
}

/* ---- how large a difference is ---- */

/* 0.25 in one element, over the norm of the whole. */
static int measures_the_difference(dn_comm *comm, void *argument)
{
    scene s = {.what = DIFFERENCE, .mesh = {2, 2, 2}};
    double square = 0;
    for (size_t i = 0; i < ROWS * COLS; i++)
        square += pow(value(i / COLS, i % COLS), 2);
    double expected = 0.25 / sqrt(square);
    for (int above = 0; above <= 1; above++) {
        s.tolerance = expected * (above ? 1.001 : 0.999);
        dn_verify_options options = options_of(&s);
        dn_verify_report *report;
        memcpy(options.mesh, s.mesh, sizeof s.mesh);
        RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_OK);
        /* The off element is rounded to dn_real, at a magnitude of at most 2.25. */
        double difference = finding(report, 1, "weights", "matrix")->difference;
        RANKS_CLOSE(difference, expected, 20 * DN_REAL_EPS * expected);
        RANKS_CHECK(dn_verify_holds(report) == (above == 1));
        dn_verify_report_destroy(&report);
    }
    return 0;
}

static void a_difference_is_a_ratio_of_norms_and_judged_by_the_tolerance(void **state)
{
    const ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N_RANKS, .arena_bytes = ARENA};
    assert_int_equal(ranks_run(&spec, measures_the_difference, NULL, NULL), 0);
}

/* One number of every type, 3 in the reference and 4 on the mesh; and nothing against nothing, or something.
 */
static dn_status show_types(dn_verify *v, const dn_mesh *mesh, void *context)
{
    bool alone = dn_comm_size(mesh->all) == 1;
    const float f32 = alone ? 3 : 4;
    const double f64 = alone ? 3 : 4;
    const uint16_t bf16 = alone ? 0x4040 : 0x4080;
    const int32_t i32 = alone ? 3 : 4;
    const int64_t i64 = alone ? 3 : 4;
    const void *numbers[DN_N_TYPES] = {&f32, &f64, &bf16, &i32, &i64};
    const double zero = 0, tiny = alone ? 0 : 1e-100;
    const dn_block one = {0, 1, 0, 1};
    for (int type = 0; type < DN_N_TYPES; type++) {
        dn_verify_tensor t = {"types", {.rows = 1, .cols = 1, .type = (dn_type)type}, DN_ALL_AXES, NULL};
        snprintf(t.tensor.name, sizeof t.tensor.name, "%d", type);
        DN_TRY(dn_verify_block(v, &t, one, numbers[type]));
    }
    const dn_verify_tensor zeros = {
        "zeros", {.name = "zero", .rows = 1, .cols = 1, .type = DN_F64}, DN_ALL_AXES, NULL};
    const dn_verify_tensor tinies = {
        "zeros", {.name = "tiny", .rows = 1, .cols = 1, .type = DN_F64}, DN_ALL_AXES, NULL};
    DN_TRY(dn_verify_block(v, &zeros, one, &zero));
    return dn_verify_block(v, &tinies, one, &tiny);
}

static int compares_all_types(dn_comm *comm, void *argument)
{
    dn_verify_options options = options_of(&(scene){.tolerance = 1});
    dn_verify_report *report;
    RANKS_CHECK(dn_verify_run(comm, &options, show_types, NULL, &report) == DN_OK);
    for (int type = 0; type < DN_N_TYPES; type++) {
        char name[12];
        snprintf(name, sizeof name, "%d", type);
        const dn_verify_check *f = finding(report, 1, "types", name);
        RANKS_CHECK(f && f->holds && fabs(f->difference - 1.0 / 3) < 1e-15);
    }
    RANKS_CHECK(finding(report, 1, "zeros", "zero")->difference == 0);
    RANKS_CHECK(only_this_fails(report, 1, "zeros", "tiny", "differs by inf"));
    dn_verify_report_destroy(&report);
    return 0;
}

static void numbers_of_all_types_are_compared_and_nothing_is_not_something(void **state)
{
    const ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 2, .arena_bytes = ARENA};
    assert_int_equal(ranks_run(&spec, compares_all_types, NULL, NULL), 0);
}

enum { WEIGHTED_ROWS = 4, WEIGHTED_COLS = 6 };
static const double column_weights[WEIGHTED_COLS] = {1, 0.5, 3, 1e-3, 0.1, 1e-6};

/* Values over fs and tp; on the mesh column *context is 0.25 larger, and the weights are others, which do not count. */
static dn_status show_columns(dn_verify *v, const dn_mesh *mesh, void *context)
{
    bool alone = dn_comm_size(mesh->all) == 1;
    double others[WEIGHTED_COLS] = {1e9, 0, 1e9, 0, 1e9, 0}, data[WEIGHTED_ROWS * WEIGHTED_COLS];
    const dn_verify_tensor t = {.line = "columns",
                                .tensor = {.name = "matrix", .rows = WEIGHTED_ROWS, .cols = WEIGHTED_COLS, .type = DN_F64},
                                .replicated = DN_AXIS(DN_DP),
                                .column_weights = alone ? column_weights : others};
    const dn_range rows = part(mesh, WEIGHTED_ROWS, DN_FS, NOTHING), cols = part(mesh, WEIGHTED_COLS, DN_TP, NOTHING);
    const dn_block b = {rows.first, dn_range_size(rows), cols.first, dn_range_size(cols)};
    for (size_t i = 0; i < b.rows; i++)
        for (size_t j = 0; j < b.cols; j++)
            data[i * b.cols + j] = value(b.row0 + i, b.col0 + j) + (!alone && b.col0 + j == *(size_t *)context ? 0.25 : 0);
    return dn_verify_block(v, &t, b, data);
}

static int measures_columns_by_their_weights(dn_comm *comm, void *argument)
{
    double square = 0;
    for (size_t i = 0; i < WEIGHTED_ROWS; i++)
        for (size_t j = 0; j < WEIGHTED_COLS; j++)
            square += pow(value(i, j) * column_weights[j], 2);
    for (size_t column = 0; column < WEIGHTED_COLS; column++) {
        dn_verify_options options = options_of(&(scene){.tolerance = 1, .mesh = {1, 2, 3}});
        dn_verify_report *report;
        RANKS_CHECK(dn_verify_run(comm, &options, show_columns, &column, &report) == DN_OK);
        double expected = 0.25 * column_weights[column] * sqrt(WEIGHTED_ROWS) / sqrt(square);
        for (size_t row = 1; row < report->n_rows; row++) {
            const dn_verify_check *f = finding(report, row, "columns", "matrix");
            RANKS_CHECK(f && f->holds);
            /* A value of at most 2 with 0.25 more is rounded by up to 2.2e-16, one part in 1e15 of 0.25; sums add as much. */
            RANKS_CLOSE(f->difference, expected, 1e-14 * expected);
        }
        dn_verify_report_destroy(&report);
    }
    return 0;
}

static void columns_count_by_the_weights_that_the_reference_gives_them(void **state)
{
    const ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = 6, .arena_bytes = ARENA};
    assert_int_equal(ranks_run(&spec, measures_columns_by_their_weights, NULL, NULL), 0);
}

/* Beside a tensor of norm 1e3 one that is nothing but rounding: 1e-13, in the run of rounding another 1e-13, and on the mesh
 * what *context says. */
static dn_status show_rounding(dn_verify *v, const dn_mesh *mesh, void *context)
{
    const double whole = 1e3, rest = dn_verify_rounding(v) ? -1e-13 : dn_comm_size(mesh->all) > 1 ? *(double *)context : 1e-13;
    const dn_block one = {0, 1, 0, 1};
    dn_verify_tensor t = {"gradients", {.name = "whole", .rows = 1, .cols = 1, .type = DN_F64}, DN_ALL_AXES, NULL};
    DN_TRY(dn_verify_block(v, &t, one, &whole));
    snprintf(t.tensor.name, sizeof t.tensor.name, "rest");
    return dn_verify_block(v, &t, one, &rest);
}

/* The tolerance times 1e3, not times some 1e-13. */
static int takes_rounding_by_the_largest(dn_comm *comm, void *argument)
{
    const double tolerance = 1e-12;
    dn_verify_options options = options_of(&(scene){.tolerance = tolerance});
    options.rounding = true;
    for (int above = 0; above <= 1; above++) {
        double rest = tolerance * 1e3 * (above ? 1.001 : 0.999);
        dn_verify_report *report;
        RANKS_CHECK(dn_verify_run(comm, &options, show_rounding, &rest, &report) == DN_OK);
        RANKS_CHECK(dn_verify_holds(report) == (above == 0));
        RANKS_CHECK(above == 0 || only_this_fails(report, 1, "gradients", "rest", "differs by"));
        dn_verify_report_destroy(&report);
    }
    return 0;
}

static void what_is_nothing_but_rounding_is_held_to_the_tolerance_of_the_largest(void **state)
{
    const ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 2, .arena_bytes = ARENA};
    assert_int_equal(ranks_run(&spec, takes_rounding_by_the_largest, NULL, NULL), 0);
}

TESTS(verify)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_planted_failure_is_seen_by_its_line),
        cmocka_unit_test(a_failure_on_one_mesh_is_none_of_the_others),
        cmocka_unit_test(a_difference_is_a_ratio_of_norms_and_judged_by_the_tolerance),
        cmocka_unit_test(numbers_of_all_types_are_compared_and_nothing_is_not_something),
        cmocka_unit_test(columns_count_by_the_weights_that_the_reference_gives_them),
        cmocka_unit_test(what_is_nothing_but_rounding_is_held_to_the_tolerance_of_the_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
