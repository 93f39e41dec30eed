/* Blocks, ranges and sets of axes against counting: every element, every rank. */
#include "dionode/mesh.h"
#include "support/tests.h"
#include "tensor/axes.h"
#include "tensor/block.h"

#include <stdint.h>

enum { N = 4 };

static bool holds(dn_block b, size_t row, size_t col)
{
    return row >= b.row0 && row - b.row0 < b.rows && col >= b.col0 && col - b.col0 < b.cols;
}

/* All blocks of a matrix [N, N], empty ones among them. */
static dn_block block_number(size_t i)
{
    dn_block b = {.row0 = i % (N + 1), .col0 = i / (N + 1) % (N + 1)};
    i /= (N + 1) * (N + 1);
    b.rows = i % (N + 1), b.cols = i / (N + 1) % (N + 1);
    return b;
}

static void an_intersection_holds_what_both_hold(void **state)
{
    (void)state;
    size_t n = (N + 1) * (N + 1) * (N + 1) * (N + 1);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j += 7) {
            const dn_block a = block_number(i), b = block_number(j), both = dn_block_intersect(a, b);
            size_t size = 0;
            for (size_t row = 0; row < 2 * N; row++)
                for (size_t col = 0; col < 2 * N; col++) {
                    size += holds(a, row, col) && holds(b, row, col);
                    assert_int_equal(holds(both, row, col), holds(a, row, col) && holds(b, row, col));
                }
            assert_int_equal(dn_block_size(both), size);
        }
}

static void a_block_is_within_a_matrix_or_not_whatever_its_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < (N + 1) * (N + 1) * (N + 1) * (N + 1); i++) {
        const dn_block b = block_number(i);
        assert_int_equal(dn_block_is_within(b, N, N - 1), b.row0 + b.rows <= N && b.col0 + b.cols <= N - 1);
    }
    assert_false(dn_block_is_within((dn_block){1, SIZE_MAX, 0, 1}, N, N));
    assert_false(dn_block_is_within((dn_block){0, 1, SIZE_MAX, 2}, N, N));
    assert_true(dn_block_is_within((dn_block){0, SIZE_MAX, 0, SIZE_MAX}, SIZE_MAX, SIZE_MAX));
}

static void shards_of_a_dimension_follow_each_other_in_whole_units(void **state)
{
    (void)state;
    const int size[DN_N_AXES] = {2, 3, 5, 2};
    for (size_t n = 0; n < 40; n++)
        for (size_t unit = 1; unit < 6; unit++)
            for (int axis = 0; axis < DN_N_AXES; axis++) {
                size_t next = 0, most = 0, least = SIZE_MAX;
                for (int k = 0; k < size[axis]; k++) {
                    int at[DN_N_AXES] = {0};
                    at[axis] = k;
                    dn_range r = dn_sharding_range((dn_dim_sharding){(dn_axis)axis, unit}, n, size, at);
                    assert_int_equal(r.first, next);
                    assert_true(r.first == n || r.first % unit == 0);
                    size_t units = (dn_range_size(r) + unit - 1) / unit;
                    most = units > most ? units : most;
                    least = units < least ? units : least;
                    next = r.end;
                }
                assert_int_equal(next, n);
                assert_true(most - least <= 1);
            }
    dn_range whole = dn_sharding_range((dn_dim_sharding){0}, 7, size, (int[DN_N_AXES]){1, 2, 4});
    assert_true(whole.first == 0 && whole.end == 7);
}

/* Ranks along a set of axes are numbered as they are on the mesh; no two that differ along it share a number.
 */
static void ranks_along_axes_are_numbered_in_the_order_of_the_mesh(void **state)
{
    (void)state;
    const int size[DN_N_AXES] = {[DN_DP] = 2, [DN_FS] = 1, [DN_TP] = 3, [DN_PP] = 2}, short_list[DN_N_AXES] = {2, 1, 3};
    assert_int_equal(dn_axes_of(size, DN_ALL_AXES), DN_AXIS(DN_DP) | DN_AXIS(DN_TP) | DN_AXIS(DN_PP));
    assert_int_equal(dn_axes_without(size, DN_AXIS(DN_DP)), DN_AXIS(DN_TP) | DN_AXIS(DN_PP));
    assert_int_equal(dn_axes_of(short_list, DN_ALL_AXES), DN_AXIS(DN_DP) | DN_AXIS(DN_TP)); /* 0 is 1 */
    assert_int_equal(dn_axes_size(short_list, DN_ALL_AXES), 6);
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++) {
        int seen = 0;
        for (int rank = 0; rank < 12; rank++) {
            int at[DN_N_AXES];
            dn_mesh_at(size, rank, at);
            bool first = true; /* of those that agree with it outside the set */
            for (int axis = 0; axis < DN_N_AXES; axis++)
                first = first && ((axes & DN_AXIS(axis)) || at[axis] == 0);
            if (first)
                assert_int_equal(dn_axes_rank(size, axes, at), seen++);
            int again[DN_N_AXES];
            for (int axis = 0; axis < DN_N_AXES; axis++)
                again[axis] = axes & DN_AXIS(axis) ? 77 : at[axis];
            dn_axes_at(size, axes, dn_axes_rank(size, axes, at), again);
            assert_memory_equal(again, at, sizeof at);
        }
        assert_int_equal(dn_axes_size(size, axes), seen);
    }
}

TESTS(tensor_block)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_intersection_holds_what_both_hold),
        cmocka_unit_test(a_block_is_within_a_matrix_or_not_whatever_its_numbers),
        cmocka_unit_test(shards_of_a_dimension_follow_each_other_in_whole_units),
        cmocka_unit_test(ranks_along_axes_are_numbered_in_the_order_of_the_mesh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
