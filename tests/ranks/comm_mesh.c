/* The mesh: parts tile, coordinates and ranks are inverse, and each group holds whom it should. */
#include "dionode/mesh.h"
#include "tensor/axes.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <string.h>

/* Consecutive, in whole units, larger ones first, nothing left over. */
static void parts_tile(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 40; n++)
        for (size_t unit = 1; unit <= 7; unit++)
            for (int parts = 1; parts <= 9; parts++) {
                size_t at = 0, units = (n + unit - 1) / unit;
                for (int i = 0; i < parts; i++) {
                    dn_range part = dn_shard_range(n, unit, parts, i);
                    assert_int_equal(part.first, at);
                    assert_true(part.end == n || part.end % unit == 0);
                    size_t held = (part.end - part.first + unit - 1) / unit;
                    assert_int_equal(held, units / (size_t)parts + ((size_t)i < units % (size_t)parts));
                    at = part.end;
                }
                assert_int_equal(at, n);
            }
}

static void coordinates_and_ranks_are_inverse(void **state)
{
    (void)state;
    const int size[DN_N_AXES] = {[DN_DP] = 3, [DN_FS] = 2, [DN_TP] = 5, [DN_PP] = 4};
    int at[DN_N_AXES];
    for (int rank = 0; rank < 120; rank++) {
        dn_mesh_at(size, rank, at);
        assert_int_equal(dn_mesh_rank(size, at), rank);
    }
    dn_mesh_at(size, 1, at); /* neighbours differ along tp */
    assert_true(at[DN_DP] == 0 && at[DN_FS] == 0 && at[DN_TP] == 1);
    dn_mesh_at(size, 10, at); /* stages are whole runs of ranks in a replica */
    assert_true(at[DN_DP] == 0 && at[DN_PP] == 1 && at[DN_FS] == 0 && at[DN_TP] == 0);
    dn_mesh_at(size, 40, at);
    assert_true(at[DN_DP] == 1 && at[DN_PP] == 0 && at[DN_FS] == 0 && at[DN_TP] == 0);
}

/* The sum over a group of 2^rank is its set of ranks; its members' order is that of the ranks. */
static int check_group(dn_comm *comm, const dn_mesh *mesh, unsigned axes)
{
    int64_t expected = 0, found = INT64_C(1) << dn_comm_rank(comm);
    int before = 0;
    for (int rank = 0; rank < dn_comm_size(comm); rank++) {
        int at[DN_N_AXES];
        bool member = true;
        dn_mesh_at(mesh->size, rank, at);
        for (int axis = 0; axis < DN_N_AXES; axis++)
            member = member && (axes & DN_AXIS(axis) || at[axis] == mesh->at[axis]);
        expected |= (int64_t)member << rank;
        before += member && rank < dn_comm_rank(comm);
    }
    dn_comm *group = dn_mesh_comm(mesh, axes);
    RANKS_CHECK(dn_comm_rank(group) == before);
    RANKS_CHECK(dn_comm_all_reduce(group, &found, 1, DN_I64, DN_SUM, DN_TRAFFIC_CONTROL) == DN_OK);
    RANKS_CHECK(found == expected);
    return 0;
}

static int check_mesh(dn_comm *comm, void *argument)
{
    const int *size = argument;
    dn_mesh *mesh;
    void *before, *after;
    RANKS_CHECK(dn_comm_alloc(comm, 0, &before) == DN_OK);
    RANKS_CHECK(dn_mesh_create(comm, size, &mesh) == DN_OK);
    RANKS_CHECK(dn_comm_alloc(comm, 0, &after) == DN_OK);
    RANKS_CHECK((size_t)((char *)after - (char *)before) == dn_mesh_heap_bytes(size));
    int result = 0;
    const unsigned pp = DN_AXIS(DN_PP);
    for (unsigned axes = 0; axes <= DN_ALL_AXES && result == 0; axes++) {
        bool mixed = mesh->size[DN_PP] > 1 && (axes & pp) && dn_axes_of(size, axes) != pp &&
                     dn_axes_of(size, axes) != dn_axes_of(size, DN_ALL_AXES);
        if (mixed)
            RANKS_CHECK(dn_mesh_comm(mesh, axes) == NULL);
        else
            result = check_group(comm, mesh, axes);
    }
    const dn_mesh stage = dn_mesh_stage(mesh), replica = dn_mesh_replica(&stage);
    RANKS_CHECK(stage.all == dn_mesh_comm(mesh, DN_ALL_AXES & ~pp) && stage.root == comm && stage.size[DN_PP] == 1);
    RANKS_CHECK(stage.stages == (mesh->size[DN_PP] > 1 ? dn_mesh_comm(mesh, pp) : NULL));
    RANKS_CHECK(dn_mesh_comm(&stage, DN_ALL_AXES) == stage.all && dn_mesh_n_alone(&stage) == 1);
    RANKS_CHECK(replica.all == dn_mesh_comm(mesh, DN_AXIS(DN_FS) | DN_AXIS(DN_TP)) && dn_mesh_n_alone(&replica) == size[DN_DP]);
    dn_mesh_destroy(&mesh);
    return result;
}

static void groups_hold_the_ranks_of_their_axes(void **state)
{
    (void)state;
    static int sizes[][DN_N_AXES] = {{1, 1, 1}, {2, 1, 1}, {1, 3, 1}, {1, 1, 4}, {2, 3, 1},
                                     {2, 1, 2}, {1, 2, 2}, {2, 2, 2}, {3, 2, 2}, {1, 1, 1, 3}, {2, 1, 1, 2}, {1, 2, 1, 2}, {2, 1, 3, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
            ranks_spec spec = {.kind = kind,
                               .n_ranks = dn_axes_size(sizes[i], DN_ALL_AXES),
                               .arena_bytes = dn_mesh_heap_bytes(sizes[i]) + 4096};
            assert_int_equal(ranks_run(&spec, check_mesh, sizes[i], NULL), 0);
        }
}

static void a_mesh_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    const int wrong[][DN_N_AXES] = {{2, 1, 1}, {0, 1, 1}, {1, -1, -1}};
    dn_comm *alone;
    dn_mesh *mesh;
    assert_int_equal(dn_comm_create_alone(0, &alone), DN_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(dn_mesh_create(alone, wrong[i], &mesh), DN_ERR_ARG);
    const int one[DN_N_AXES] = {1, 1, 1};
    assert_int_equal(dn_mesh_create(alone, one, &mesh), DN_OK);
    assert_ptr_equal(dn_mesh_comm(mesh, DN_AXIS(DN_TP)), alone);
    dn_mesh_destroy(&mesh);
    dn_comm_destroy(&alone);
}

/* ---- as text ---- */

static void a_mesh_is_read_from_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int size[DN_N_AXES];
    } right[] = {{"dp=2,fs=3,tp=4", {2, 3, 4, 1}},     {"tp=4,dp=2", {2, 1, 4, 1}}, {"fs=1", {1, 1, 1, 1}},
                 {"dp=16,tp=1,fs=16", {16, 16, 1, 1}}, {"tp=256", {1, 1, 256, 1}},  {"fs=007", {1, 7, 1, 1}},
                 {"pp=2", {1, 1, 1, 2}},               {"dp=2,pp=3,fs=4,tp=5", {2, 4, 5, 3}}};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        int size[DN_N_AXES] = {-1, -1, -1, -1};
        assert_int_equal(dn_mesh_parse(right[i].text, size), DN_OK);
        assert_memory_equal(size, right[i].size, sizeof size);
    }
}

static void a_text_that_is_no_mesh_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } wrong[] = {{"", "axes are dp, pp, fs and tp"},
                 {"dp", "axes are"},
                 {"xp=2", "axes are"},
                 {"pp=0", "a positive integer"},
                 {"dp=16,pp=17", "too many workers"},
                 {"DP=2", "axes are"},
                 {" dp=2", "axes are"},
                 {"dp=2,", "axes are"},
                 {"dp=2,,tp=2", "axes are"},
                 {"2,2,2", "axes are"},
                 {"dp=", "a positive integer"},
                 {"dp=,fs=2", "a positive integer"},
                 {"dp=x", "a positive integer"},
                 {"dp= 2", "a positive integer"},
                 {"fs=0", "a positive integer"},
                 {"fs=-2", "a positive integer"},
                 {"fs=+2", "a positive integer"},
                 {"dp=2.5", "a comma"},
                 {"dp=2 fs=2", "a comma"},
                 {"dp=2x3", "a comma"},
                 {"dp=2;fs=2", "a comma"},
                 {"dp=2,dp=2", "twice"},
                 {"dp=1,tp=2,dp=1", "twice"},
                 {"tp=257", "too many workers"},
                 {"dp=16,fs=16,tp=2", "too many workers"},
                 {"dp=2147483648,fs=2147483648,tp=4", "too many workers"},
                 {"tp=99999999999999999999999999", "too many workers"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int size[DN_N_AXES] = {5, 6, 7, 8};
        assert_int_equal(dn_mesh_parse(wrong[i].text, size), DN_ERR_CONFIG);
        assert_true(size[0] == 5 && size[1] == 6 && size[2] == 7 && size[3] == 8);
        assert_non_null(strstr(dn_error_message(), wrong[i].why));
        assert_non_null(strstr(dn_error_message(), "write it as dp=2,fs=2,tp=2"));
    }
}

TESTS(comm_mesh)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_hold_the_ranks_of_their_axes),
        cmocka_unit_test(parts_tile),
        cmocka_unit_test(coordinates_and_ranks_are_inverse),
        cmocka_unit_test(a_mesh_that_does_not_fit_is_refused),
        cmocka_unit_test(a_mesh_is_read_from_text),
        cmocka_unit_test(a_text_that_is_no_mesh_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
