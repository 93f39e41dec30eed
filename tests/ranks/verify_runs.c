/* How a comparison goes over the meshes: which ones, what an error and a death do, and how much memory it
 * takes. */
#include "base/fail.h"
#include "support/ranks.h"
#include "support/tests.h"
#include "tensor/axes.h"
#include "verify/inside.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { HEAP = 8192, ARENA = 32 << 20, N_TENSORS = 5, LENGTH = 19 };

typedef enum plant { NOTHING, ERROR_ON_ALL, ERROR_ON_SOME, DEATH } plant;

/* What is planted and where; what the operation saw. */
typedef struct scene {
    plant what;
    int mesh[DN_N_AXES]; /* planted on this mesh alone */
    unsigned injected;   /* bits: seen while the reference was made (1), on a mesh (2) */
} scene;

/* ---- the operation ---- */

/* Vectors in slices of their own for each rank, some of them empty. */
static dn_status show_slices(dn_verify *v, const dn_mesh *mesh)
{
    double data[LENGTH];
    dn_range slice = dn_shard_range(LENGTH, 4, dn_comm_size(mesh->all), dn_comm_rank(mesh->all));
    const dn_block block = {0, 1, slice.first, slice.end - slice.first};
    for (size_t i = 0; i < LENGTH; i++)
        data[i] = (double)(i + 1);
    for (int tensor = 0; tensor < N_TENSORS; tensor++) {
        dn_verify_tensor sliced = {"state", {.rows = 1, .cols = LENGTH, .type = DN_F64}, 0, NULL};
        snprintf(sliced.tensor.name, sizeof sliced.tensor.name, "slices %d", tensor);
        DN_TRY(dn_verify_block(v, &sliced, block, data + slice.first));
    }
    return DN_OK;
}

/* Takes all the heap there is for it. */
static dn_status operation(dn_verify *v, const dn_mesh *mesh, void *context)
{
    const scene *s = context;
    plant what = dn_axes_same(mesh->size, s->mesh) ? s->what : NOTHING;
    bool last = dn_comm_rank(mesh->all) == dn_comm_size(mesh->all) - 1;
    void *heap;
    DN_TRY(dn_comm_alloc(mesh->all, HEAP, &heap));
    memset(heap, dn_comm_rank(mesh->all), HEAP);
    if (what == DEATH && last)
        raise(SIGKILL);
    DN_TRY(show_slices(v, mesh));
    DN_TRY(dn_comm_barrier(mesh->all));
    DN_TRY(dn_verify_amount(v, "memory", (uint64_t)(100 / dn_comm_size(mesh->all))));
    if (what == ERROR_ON_ALL || (what == ERROR_ON_SOME && last))
        return dn_fail(DN_ERR_DATA, "planted failure");
    return DN_OK;
}

static dn_verify_options make_options(void)
{
    dn_verify_options options = dn_verify_defaults();
    options.heap_bytes = HEAP;
    options.reference_bytes = 1024;
    return options;
}

static const dn_verify_check *finding(const dn_verify_report *report, size_t row, const char *name)
{
    for (size_t i = 0; i < report->rows[row].n; i++)
        if (strcmp(report->rows[row].checks[i].name, name) == 0)
            return &report->rows[row].checks[i];
    return NULL;
}

/* ---- which meshes ---- */

static int runs_every_mesh_once(dn_comm *comm, void *argument)
{
    scene s = {.what = NOTHING};
    dn_verify_options options = make_options();
    dn_verify_report *report;
    int most = dn_comm_size(comm) - 1;
    options.max_ranks = most;
    options.max_stages = *(const int *)argument;
    size_t mark = dn_comm_heap_mark(comm), n = 0;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_OK);
    RANKS_CHECK(dn_verify_holds(report) && dn_verify_status(report) == DN_OK);
    RANKS_CHECK(dn_comm_heap_mark(comm) == mark);
    for (int dp = 1; dp <= most; dp++)
        for (int fs = 1; fs <= most; fs++)
            for (int tp = 1; dp * fs * tp <= most; tp++)
                for (int pp = 1; dp * fs * tp * pp <= most; pp++) {
                    const int size[DN_N_AXES] = {[DN_DP] = dp, [DN_PP] = pp, [DN_FS] = fs, [DN_TP] = tp};
                    size_t times = 0, expected = pp == 1 || pp <= options.max_stages;
                    for (size_t i = 0; i < report->n_rows; i++)
                        times += dn_axes_same(report->rows[i].size, size);
                    RANKS_CHECK(times == expected);
                    n += expected;
                }
    RANKS_CHECK(report->n_rows == n);
    RANKS_CHECK(finding(report, n - 1, "slices 4") && finding(report, n - 1, "rank 5")->counted == 100 / 6);
    dn_verify_report_destroy(&report);
    return 0;
}

static void every_mesh_of_so_many_ranks_is_run_once_and_leaves_the_heap_as_it_was(void **state)
{
    ranks_spec spec = {.n_ranks = 7, .arena_bytes = ARENA};
    for (spec.kind = AS_THREADS; spec.kind <= AS_PROCESSES; spec.kind++)
        for (int max_stages = 0; max_stages <= 6; max_stages += 3)
            assert_int_equal(ranks_run(&spec, runs_every_mesh_once, &max_stages, NULL), 0);
}

static int refuses_what_makes_no_sense(dn_comm *comm, void *argument)
{
    scene s = {.what = NOTHING};
    dn_verify_report *report;
    dn_verify_options options = make_options();
    options.max_ranks = 3;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_ERR_CONFIG && !report);
    RANKS_CHECK(strstr(dn_error_message(), "-n 3"));
    options = make_options();
    options.mesh[DN_DP] = 2;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_ERR_CONFIG);
    options = make_options();
    options.tolerance = NAN;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_ERR_ARG);
    return 0;
}

static void options_that_make_no_sense_are_refused(void **state)
{
    const ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 2, .arena_bytes = ARENA};
    assert_int_equal(ranks_run(&spec, refuses_what_makes_no_sense, NULL, NULL), 0);
}

/* ---- errors ---- */

static int goes_on_after_an_error(dn_comm *comm, void *argument)
{
    scene s = *(scene *)argument;
    dn_verify_options options = make_options();
    dn_verify_report *report;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_OK);
    for (size_t i = 0; i < report->n_rows; i++) {
        bool here = dn_axes_same(report->rows[i].size, s.mesh);
        RANKS_CHECK(report->rows[i].holds == !here);
        RANKS_CHECK(report->rows[i].status == (here ? DN_ERR_DATA : DN_OK));
        RANKS_CHECK(!here || strstr(report->rows[i].message, "planted failure"));
    }
    RANKS_CHECK(dn_verify_status(report) == DN_ERR_NUMERIC && strstr(dn_error_message(), "planted failure"));
    dn_verify_report_destroy(&report);
    return 0;
}

static void an_error_on_one_mesh_fails_that_mesh_alone(void **state)
{
    const ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 4, .arena_bytes = ARENA};
    for (plant what = ERROR_ON_ALL; what <= ERROR_ON_SOME; what++) {
        scene s = {.what = what, .mesh = {1, 2, 1}};
        assert_int_equal(ranks_run(&spec, goes_on_after_an_error, &s, NULL), 0);
    }
}

static int ends_with_a_reference_that_fails(dn_comm *comm, void *argument)
{
    scene s = {.what = ERROR_ON_ALL, .mesh = {1, 1, 1}};
    dn_verify_options options = make_options();
    dn_verify_report *report;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_ERR_DATA && !report);
    RANKS_CHECK(strstr(dn_error_message(), "planted failure"));
    return 0;
}

static void a_reference_that_fails_ends_it_on_all_ranks(void **state)
{
    const ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = 3, .arena_bytes = ARENA};
    assert_int_equal(ranks_run(&spec, ends_with_a_reference_that_fails, NULL, NULL), 0);
}

static int hears_of_the_death(dn_comm *comm, void *argument)
{
    scene s = {.what = DEATH, .mesh = {1, 1, 3}};
    dn_verify_options options = make_options();
    dn_verify_report *report;
    dn_status status = dn_verify_run(comm, &options, operation, &s, &report);
    RANKS_CHECK(status == DN_ERR_PEER && !report);
    return 0;
}

static void a_rank_that_dies_ends_it_for_all_also_those_that_wait(void **state)
{
    const ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = 5, .arena_bytes = ARENA};
    ranks_end ends[5];
    assert_int_equal(ranks_run(&spec, hears_of_the_death, NULL, ends), 1);
    assert_int_equal(ends[2].signal, SIGKILL);
}

static dn_status show_nothing(dn_verify *v, const dn_mesh *mesh, void *context)
{
    return dn_verify_amount(v, "memory", 1);
}

static dn_status show_one_line_twice(dn_verify *v, const dn_mesh *mesh, void *context)
{
    DN_TRY(dn_verify_scalar(v, "line", 1));
    return dn_verify_bytes(v, "line", 1, 1, 1);
}

static dn_status show_a_nameless_line(dn_verify *v, const dn_mesh *mesh, void *context)
{
    return dn_verify_scalar(v, context, 1);
}

static void what_could_not_fail_is_refused(void **state)
{
    dn_comm *comm;
    dn_verify_report *report;
    char longest[DN_VERIFY_LINE_MAX + 1];
    dn_verify_options options = make_options();
    memset(longest, 'x', sizeof longest);
    longest[DN_VERIFY_LINE_MAX] = '\0';
    assert_int_equal(dn_comm_create_alone(ARENA, &comm), DN_OK);
    assert_int_equal(dn_verify_run(comm, &options, show_nothing, NULL, &report), DN_ERR_ARG);
    assert_int_equal(dn_verify_run(comm, &options, show_one_line_twice, NULL, &report), DN_ERR_ARG);
    assert_int_equal(
        dn_verify_run(comm, &options, show_a_nameless_line, longest + DN_VERIFY_LINE_MAX, &report),
        DN_ERR_ARG);
    assert_int_equal(dn_verify_run(comm, &options, show_a_nameless_line, longest, &report), DN_ERR_ARG);
    assert_int_equal(dn_verify_run(comm, &options, show_a_nameless_line, longest + 1, &report), DN_OK);
    dn_verify_report_destroy(&report);
    dn_comm_destroy(&comm);
}

/* ---- against replicas ---- */

/* What depends on the number of replicas, and, if planted, on what else; a tensor that all replicas have, of which each rank of a
 * replica shows a slice, and one that they share out. */
static dn_status show_what_replicas_make(dn_verify *v, const dn_mesh *mesh, void *context)
{
    const int *planted = context;
    double x[LENGTH], same = mesh->size[DN_DP] + (*planted == 1 && mesh->size[DN_FS] == 2 ? 1e-3 : 0);
    int n_dp = mesh->size[DN_DP], n = dn_comm_size(mesh->all), rank = dn_comm_rank(mesh->all);
    dn_range slice = dn_shard_range(LENGTH, 1, n / n_dp, rank % (n / n_dp)), share = dn_shard_range(LENGTH, 1, n, rank);
    const dn_verify_tensor copied = {"state", {.name = "copied", .rows = 1, .cols = LENGTH, .type = DN_F64}, DN_AXIS(DN_DP), NULL},
                           shared = {"state", {.name = "shared", .rows = 1, .cols = LENGTH, .type = DN_F64}, 0, NULL};
    for (size_t i = 0; i < LENGTH; i++)
        x[i] = same * (double)(i + 1);
    const dn_block own = {0, 1, slice.first, dn_range_size(slice)}, part = {0, 1, share.first, dn_range_size(share)};
    bool backwards = *planted == 2 && rank == 1;
    if (backwards)
        DN_TRY(dn_verify_block(v, &shared, part, x + share.first));
    DN_TRY(dn_verify_block(v, &copied, own, x + slice.first));
    if (!backwards)
        DN_TRY(dn_verify_block(v, &shared, part, x + share.first));
    return dn_verify_scalar(v, "loss", same);
}

static int is_held_against_as_many_replicas(dn_comm *comm, void *argument)
{
    int planted = 0, n = dn_comm_size(comm);
    dn_verify_options options = make_options();
    dn_verify_report *report;
    RANKS_CHECK(dn_verify_run(comm, &options, show_what_replicas_make, &planted, &report) == DN_OK);
    for (size_t i = 0; i < report->n_rows; i++)
        RANKS_CHECK(report->rows[i].holds == (report->rows[i].size[DN_DP] == 1));
    size_t n_rows = report->n_rows;
    dn_verify_report_destroy(&report);
    options.by_replicas = true;
    for (int rounding = 0; rounding < 2; rounding++)
        for (planted = 0; planted < 2; planted++) {
            options.rounding = rounding;
            RANKS_CHECK(dn_verify_run(comm, &options, show_what_replicas_make, &planted, &report) == DN_OK);
            RANKS_CLOSE((double)report->n_rows, (double)n_rows, 0);
            for (size_t i = 0; i < report->n_rows; i++) {
                const dn_verify_row *row = &report->rows[i];
                RANKS_CHECK(row->holds == !(planted && row->size[DN_FS] == 2));
                RANKS_CHECK(row->is_reference == (row->size[DN_FS] * row->size[DN_TP] == 1));
                RANKS_CLOSE(finding(report, i, "copied")->difference, row->holds ? 0 : 1e-3 / row->size[DN_DP], 1e-12);
                RANKS_CLOSE(finding(report, i, "shared")->difference, row->holds ? 0 : 1e-3 / row->size[DN_DP], 1e-12);
            }
            dn_verify_report_destroy(&report);
        }
    planted = 2;
    RANKS_CHECK(dn_verify_run(comm, &options, show_what_replicas_make, &planted, &report) == DN_ERR_ARG && !report);
    RANKS_CHECK(strstr(dn_error_message(), "another order"));
    planted = 1;
    memcpy(options.mesh, (const int[DN_N_AXES]){2, n / 2, 1}, sizeof options.mesh);
    RANKS_CHECK(dn_verify_run(comm, &options, show_what_replicas_make, &planted, &report) == DN_OK);
    RANKS_CHECK(report->n_rows == 2 && report->rows[0].size[DN_DP] == 2 && report->rows[0].holds && !report->rows[1].holds);
    dn_verify_report_destroy(&report);
    return 0;
}

static void a_mesh_is_held_against_as_many_replicas_of_one_rank_each(void **state)
{
    ranks_spec spec = {.n_ranks = 4, .arena_bytes = ARENA};
    for (spec.kind = AS_THREADS; spec.kind <= AS_PROCESSES; spec.kind++)
        assert_int_equal(ranks_run(&spec, is_held_against_as_many_replicas, NULL, NULL), 0);
}

/* ---- memory ---- */

/* Leaves `bytes` of the heap. */
static int leave(dn_comm *comm, size_t bytes)
{
    void *rest;
    RANKS_CHECK(dn_comm_alloc(comm, ARENA - dn_comm_heap_mark(comm) - bytes, &rest) == DN_OK);
    return 0;
}

static int needs_what_it_says(dn_comm *comm, void *argument)
{
    scene s = {.what = NOTHING};
    dn_verify_options options = make_options();
    dn_verify_report *report;
    size_t missing = *(size_t *)argument, needs = dn_verify_heap_bytes(&options, dn_comm_size(comm));
    char said[32];
    snprintf(said, sizeof said, "%zu", needs);
    RANKS_CHECK(leave(comm, needs - missing) == 0);
    dn_status status = dn_verify_run(comm, &options, operation, &s, &report);
    RANKS_CHECK(status == (missing ? DN_ERR_MEMORY : DN_OK));
    RANKS_CHECK(!missing || strstr(dn_error_message(), said));
    dn_verify_report_destroy(&report);
    return 0;
}

static void the_heap_that_it_asks_for_is_enough_and_no_less(void **state)
{
    ranks_spec spec = {.kind = AS_THREADS, .arena_bytes = ARENA};
    for (spec.n_ranks = 2; spec.n_ranks <= 8; spec.n_ranks += 3)
        for (size_t missing = 0; missing <= 128; missing += 128)
            assert_int_equal(ranks_run(&spec, needs_what_it_says, &missing, NULL), 0);
}

/* The store is emptiest-first over all ranks: the message's number is enough, and a byte less is not. */
static int says_how_large_the_reference_is(dn_comm *comm, void *argument)
{
    scene s = {.what = NOTHING};
    dn_verify_options options = make_options();
    dn_verify_report *report;
    size_t needs;
    options.reference_bytes = 0;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_ERR_MEMORY && !report);
    const char *at = strstr(dn_error_message(), "give ");
    RANKS_CHECK(at && sscanf(at, "give %zu", &needs) == 1 && needs > 0);
    options.reference_bytes = needs - 1;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_ERR_MEMORY);
    options.reference_bytes = needs;
    RANKS_CHECK(dn_verify_run(comm, &options, operation, &s, &report) == DN_OK && dn_verify_holds(report));
    dn_verify_report_destroy(&report);
    return 0;
}

static void a_reference_that_is_too_large_is_told_what_to_give(void **state)
{
    ranks_spec spec = {.kind = AS_THREADS, .arena_bytes = ARENA};
    for (spec.n_ranks = 1; spec.n_ranks <= 4; spec.n_ranks++)
        assert_int_equal(ranks_run(&spec, says_how_large_the_reference_is, NULL, NULL), 0);
}

/* ---- planted bugs ---- */

/* Whether a reduce-scatter is counted: not where this bug is planted. One rank counts nothing either way. */
static dn_status look_at_ledger(dn_verify *v, const dn_mesh *mesh, void *context)
{
    scene *s = context;
    float x[16] = {0};
    bool planted = dn_planted(v, DN_BUG_UNCOUNTED_BYTES), alone = dn_comm_size(mesh->all) == 1;
    DN_TRY(dn_comm_reduce_scatter(mesh->all, x, 16, DN_F32, DN_SUM, DN_TRAFFIC_GRADIENT));
    bool counted = dn_comm_get_stats(mesh->all, false).payload[DN_TRAFFIC_GRADIENT] == sizeof x;
    s->injected |= planted && !counted ? (alone ? 1U : 2U) : 0;
    return dn_verify_scalar(v, "loss", 1);
}

static int plants_on_meshes_only(dn_comm *comm, void *argument)
{
    scene s = {.what = NOTHING};
    dn_verify_options options = make_options();
    dn_verify_report *report;
    RANKS_CHECK(dn_verify_inject("uncounted-bytes") == DN_OK);
    RANKS_CHECK(dn_verify_run(comm, &options, look_at_ledger, &s, &report) == DN_OK);
    RANKS_CHECK(s.injected == 2 && dn_bug_chosen() == DN_BUG_UNCOUNTED_BYTES);
    dn_verify_report_destroy(&report);
    return 0;
}

static void planted_bugs_rest_while_the_reference_is_made(void **state)
{
    const ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = 2, .arena_bytes = ARENA};
    assert_int_equal(ranks_run(&spec, plants_on_meshes_only, NULL, NULL), 0);
}

TESTS(verify_runs)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mesh_of_so_many_ranks_is_run_once_and_leaves_the_heap_as_it_was),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(an_error_on_one_mesh_fails_that_mesh_alone),
        cmocka_unit_test(a_reference_that_fails_ends_it_on_all_ranks),
        cmocka_unit_test(a_rank_that_dies_ends_it_for_all_also_those_that_wait),
        cmocka_unit_test(what_could_not_fail_is_refused),
        cmocka_unit_test(a_mesh_is_held_against_as_many_replicas_of_one_rank_each),
        cmocka_unit_test(the_heap_that_it_asks_for_is_enough_and_no_less),
        cmocka_unit_test(a_reference_that_is_too_large_is_told_what_to_give),
        cmocka_unit_test(planted_bugs_rest_while_the_reference_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
