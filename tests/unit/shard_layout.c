/* Who holds what, on all meshes of up to 12 ranks: parts and bands tile, each row once for each copy, nobody
 * has more than there is room for, and work that is dealt is dealt evenly. */
#include "base/size.h"
#include "shard/layout.h"
#include "support/tests.h"

#include <string.h>

enum { MAX_RANKS = 12, MOST = 40 };

static void add_rows(int *rows, dn_range range)
{
    for (size_t i = range.first; i < range.end; i++)
        rows[i]++;
}

static void assert_times(const int *counts, size_t n, int times)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(counts[i], times);
}

static void check_parts(const dn_layout *l, int n_ranks)
{
    static int held[MOST * MOST];
    size_t rows = l->param->tensor.rows, cols = l->param->tensor.cols;
    size_t room = dn_layout_most_of(l, false).part, most = 0;
    memset(held, 0, sizeof held);
    for (int rank = 0; rank < n_ranks; rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(l->size, rank, at);
        dn_block b = dn_layout_block(l, at);
        most = most < b.rows * b.cols ? b.rows * b.cols : most;
        for (size_t i = 0; i < b.rows; i++)
            for (size_t j = 0; j < b.cols; j++)
                held[(b.row0 + i) * cols + b.col0 + j]++;
    }
    assert_times(held, rows * cols, dn_axes_size(l->size, l->replicas));
    assert_int_equal(room, most);
}

/* P and R are divided over all ranks; Q over those of a in each column block, so once a replica. */
static void check_bands(const dn_layout *l, bool transposed, int n_ranks)
{
    int p[MOST] = {0}, q[MOST] = {0}, r[MOST] = {0}, at[DN_N_AXES];
    size_t m = transposed ? l->param->tensor.cols : l->param->tensor.rows,
           n = l->param->tensor.rows + l->param->tensor.cols - m;
    dn_layout_most most = dn_layout_most_of(l, transposed), found = {0};
    size_t most_q = 0, found_q = 0; /* a state with parts of its own */
    int largest[DN_LAYOUT_LARGEST][DN_N_AXES];
    for (int i = 0, n_largest = dn_layout_largest(l, largest); i < n_largest; i++)
        most_q = dn_max(most_q, dn_range_size(dn_layout_factor_shards(l, transposed, largest[i]).q));
    for (int rank = 0; rank < n_ranks; rank++) {
        dn_mesh_at(l->size, rank, at);
        dn_factor_shards b = dn_layout_factor_shards(l, transposed, at);
        add_rows(p, b.p), add_rows(q, b.q), add_rows(r, b.r);
        assert_true(b.p.first >= b.m.first && b.p.end <= b.m.end);
        assert_true(b.r.first >= b.n.first && b.r.end <= b.n.end);
        assert_true(b.q.first >= b.n.first && b.q.end <= b.n.end);
        found.m = dn_max(found.m, dn_range_size(b.m));
        found.n = dn_max(found.n, dn_range_size(b.n));
        found_q = dn_max(found_q, dn_range_size(b.q));
    }
    assert_int_equal(most.m, found.m);
    assert_int_equal(most.n, found.n);
    assert_int_equal(most_q, found_q);
    assert_times(p, m, 1);
    assert_times(r, n, 1);
    assert_times(q, n, dn_axes_size(l->size, l->replicas));
}

static void check(const dn_param *param, const int size[DN_N_AXES])
{
    int n_ranks = dn_axes_size(size, DN_ALL_AXES);
    for (int decoupled = 0; decoupled < 2; decoupled++) {
        dn_layout l = dn_layout_of(param, size, decoupled);
        assert_true((l.row_axes & l.col_axes) == 0 && (l.replicas & (l.row_axes | l.col_axes)) == 0);
        assert_int_equal(l.row_axes | l.col_axes | l.replicas, dn_axes_of(size, DN_ALL_AXES));
        check_parts(&l, n_ranks);
        check_bands(&l, false, n_ranks);
        check_bands(&l, true, n_ranks);
    }
}

/* The views of a parameter that is split are laid out as it is, too, and tile it. */
static void check_views(dn_param split, const int size[DN_N_AXES])
{
    int n_ranks = dn_axes_size(size, DN_ALL_AXES);
    for (size_t k = 0; k < split.n_views; k++) {
        dn_param view = dn_param_view(&split, split.n_views, k);
        check(&view, size);
    }
    for (int rank = 0; rank < n_ranks; rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(size, rank, at);
        dn_block block = split.block = dn_param_block(&split, size, at);
        size_t next = block.row0;
        for (size_t k = 0; k < split.n_views; k++) {
            dn_param view = dn_param_view(&split, split.n_views, k);
            dn_block own = dn_param_block(&view, size, at);
            assert_memory_equal(&own, &view.block, sizeof own);
            assert_true(own.col0 == block.col0 && own.cols == block.cols);
            assert_true(own.rows == 0 || view.first_row + own.row0 == next);
            next += own.rows;
        }
        assert_int_equal(next, block.row0 + block.rows);
    }
}

static void parts_and_bands_tile_on_every_mesh(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{40, 16}, {16, 37}, {13, 7}, {3, 2}, {1, 29}, {17, 17}};
    static const size_t splits[] = {5, 2, 13, 3, 1, 1};
    static const dn_axis axes[][2] = {
        {DN_TP, DN_FS}, {DN_FS, DN_TP}, {DN_FS, DN_N_AXES}, {DN_N_AXES, DN_TP}, {DN_N_AXES, DN_N_AXES}};
    for (int dp = 1; dp <= MAX_RANKS; dp++)
        for (int fs = 1; dp * fs <= MAX_RANKS; fs++)
            for (int tp = 1; dp * fs * tp <= MAX_RANKS; tp++)
                for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
                    for (size_t a = 0; a < sizeof axes / sizeof *axes; a++) {
                        const dn_param param = {
                            .tensor.rows = shapes[s][0],
                            .tensor.cols = shapes[s][1],
                            .n_views = splits[s],
                            .tensor.row_sharding = {axes[a][0], axes[a][0] == DN_N_AXES ? 0 : 1 + s % 3 * 4},
                            .tensor.col_sharding = {axes[a][1], axes[a][1] == DN_N_AXES ? 0 : 1}};
                        check(&param, (int[DN_N_AXES]){dp, fs, tp});
                        check_views(param, (int[DN_N_AXES]){dp, fs, tp});
                    }
}

/* The slices of a block differ by a row at most. */
static void slices_are_even(void **state)
{
    (void)state;
    const dn_param param = {.tensor.rows = 40,
                            .tensor.cols = 16,
                            .tensor.row_sharding = {DN_TP, 1},
                            .tensor.col_sharding = {DN_FS, 1}};
    const int size[DN_N_AXES] = {3, 1, 2};
    dn_layout l = dn_layout_of(&param, size, false);
    assert_int_equal(l.slices, DN_AXIS(DN_DP));
    for (int rank = 0; rank < 6; rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(size, rank, at);
        size_t rows = dn_layout_block(&l, at).rows;
        assert_int_equal(rows, at[DN_DP] < 2 ? 7 : 6);
    }
}

TESTS(shard_layout)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_and_bands_tile_on_every_mesh),
        cmocka_unit_test(slices_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
