/* How a mesh cuts the GPT's parameters: blocks tile, stacks lie where all ranks expect them, and first values
 * do not depend on the mesh or the threads. */
#include "support/cut_model.h"
#include "support/tests.h"

#include <string.h>

/* Nothing divides by 2, 3 or 5 but C; so large that parameters are drawn in several pieces. */
static const dn_spec shape = {.V = 607, .T = 3, .C = 132, .L = 2, .attention.NH = 3};
enum { N_PARAMS = 14 };

static const int sizes[][DN_N_AXES] = {{1, 1, 1}, {2, 1, 1}, {1, 3, 1}, {1, 1, 5}, {1, 2, 3}, {2, 3, 2}};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

typedef struct part {
    dn_param params[N_PARAMS];
    dn_arena weights, grads;
} part;

static int n_ranks(const int size[DN_N_AXES])
{
    return size[DN_DP] * size[DN_FS] * size[DN_TP];
}

/* Laid out in memory of its own; rank of the mesh. */
static part part_of(dn_stream *s, const int size[DN_N_AXES], int rank)
{
    part p = {0};
    int at[DN_N_AXES];
    dn_mesh_at(size, rank, at);
    model_layout(shape, size, at, &p.weights, &p.grads, p.params);
    arena_allocate(&p.weights, s);
    arena_allocate(&p.grads, s);
    model_layout(shape, size, at, &p.weights, &p.grads, p.params);
    return p;
}

static void free_part(dn_stream *s, part *p)
{
    dn_device_free(s, p->weights.base, p->weights.capacity);
    dn_device_free(s, p->grads.base, p->grads.capacity);
}

/* Ranks that differ along dp hold the same, all others different elements. */
static void blocks_tile_every_parameter(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SIZES; i++)
        for (size_t p = 0; p < N_PARAMS; p++) {
            unsigned char *held = NULL;
            size_t n = 0;
            for (int rank = 0; rank < n_ranks(sizes[i]); rank++) {
                dn_param params[N_PARAMS];
                dn_arena nowhere = {0}, nowhere_else = {0};
                int at[DN_N_AXES];
                dn_mesh_at(sizes[i], rank, at);
                model_layout(shape, sizes[i], at, &nowhere, &nowhere_else, params);
                const dn_param *x = &params[p];
                n = x->tensor.rows * x->tensor.cols;
                held = held ? held : calloc(n, 1);
                for (size_t r = 0; r < x->block.rows; r++)
                    for (size_t c = 0; c < x->block.cols; c++)
                        held[(x->block.row0 + r) * x->tensor.cols + x->block.col0 + c]++;
            }
            for (size_t k = 0; k < n; k++)
                assert_int_equal(held[k], sizes[i][DN_DP]);
            free(held);
        }
}

/* q, k, v by rows and the projections by columns over tp; q, k, v and attention's projection between heads.
 */
static void tp_cuts_what_a_rank_computes_and_fs_the_other_dimension(void **state)
{
    (void)state;
    static const struct {
        bool rows;
        size_t unit, stack;
    } expected[8] = {{true, 1, 0},   {true, 44, 0}, {true, 44, 1}, {true, 44, 2},
                     {false, 44, 0}, {true, 1, 0},  {false, 1, 0}, {true, 1, 0}};
    dn_param params[N_PARAMS];
    dn_arena nowhere = {0}, nowhere_else = {0};
    const int size[DN_N_AXES] = {1, 2, 2};
    model_layout(shape, size, model_mesh_at, &nowhere, &nowhere_else, params);
    for (size_t p = 0; p < N_PARAMS; p++) {
        size_t kind = p == 0 ? 0 : p == N_PARAMS - 1 ? 7 : 1 + (p - 1) % 6;
        dn_dim_sharding tp =
            expected[kind].rows ? params[p].tensor.row_sharding : params[p].tensor.col_sharding;
        dn_dim_sharding fs =
            expected[kind].rows ? params[p].tensor.col_sharding : params[p].tensor.row_sharding;
        assert_int_equal(tp.axis, DN_TP);
        assert_int_equal(tp.unit, expected[kind].unit);
        assert_int_equal(fs.axis, DN_FS);
        assert_int_equal(fs.unit, 1);
        assert_int_equal(params[p].stack, expected[kind].stack);
    }
}

static size_t offset(const dn_arena *arena, const dn_buf *x)
{
    return (size_t)((const char *)x - arena->base);
}

static void check_places(const part *p, const part *first, const dn_arena *arena, const dn_arena *of_first,
                         bool grad)
{
    size_t end = 0; /* of what lies before */
    for (size_t i = 0; i < N_PARAMS; i++) {
        const dn_param *x = &p->params[i], *y = &first->params[i];
        size_t at = offset(arena, grad ? x->grad : x->weight);
        assert_true(x->stack > 0 ? at == end : at >= end);
        if (x->stack == 0)
            assert_int_equal(at, offset(of_first, grad ? y->grad : y->weight));
        end = at + dn_param_size(x) * sizeof(dn_real);
    }
    assert_true(end <= arena->capacity);
    assert_int_equal(arena->capacity, of_first->capacity);
}

static void stacks_start_at_the_same_offsets_on_all_ranks_and_have_no_gaps(void **state)
{
    (void)state;
    dn_stream *s;
    must(dn_stream_create("ref", 1, &s));
    for (size_t i = 0; i < N_SIZES; i++) {
        part first = part_of(s, sizes[i], 0);
        for (int rank = 0; rank < n_ranks(sizes[i]); rank++) {
            part p = part_of(s, sizes[i], rank);
            check_places(&p, &first, &p.weights, &first.weights, false);
            check_places(&p, &first, &p.grads, &first.grads, true);
            free_part(s, &p);
        }
        free_part(s, &first);
    }
    dn_stream_destroy(&s);
}

/* The largest share of six ranks holds a sixth, and what three heads over three ranks and 607 words leave
 * over. */
static void memory_of_a_rank_falls_with_the_ranks_that_share(void **state)
{
    (void)state;
    dn_param params[N_PARAMS];
    const int six[DN_N_AXES] = {1, 2, 3};
    dn_arena weights = {0}, grads = {0};
    model_layout(shape, six, model_mesh_at, &weights, &grads, params);
    double sixth = (double)elements_of(params, N_PARAMS) * sizeof(dn_real) / 6;
    assert_true((double)weights.used >= sixth && (double)weights.used < 1.01 * sixth);
    assert_int_equal(weights.used, grads.used);
}

static void first_values_do_not_depend_on_mesh_or_threads(void **state)
{
    (void)state;
    dn_stream *plain, *threads;
    const dn_spec spec = whole_spec(shape);
    must(dn_stream_create("ref", 1, &plain));
    part whole = part_of(plain, sizes[0], 0);
    must(dn_model_init(&spec, whole.params, plain, 1));
    must(dn_stream_create("cpu", 3, &threads));
    for (size_t i = 0; i < N_SIZES; i++)
        for (int rank = 0; rank < n_ranks(sizes[i]); rank++) {
            part p = part_of(threads, sizes[i], rank);
            must(dn_model_init(&spec, p.params, threads, 1));
            for (size_t k = 0; k < N_PARAMS; k++) {
                dn_real *some = host_copy(threads, p.params[k].weight, dn_param_size(&p.params[k]));
                dn_real *all = host_copy(plain, whole.params[k].weight, dn_param_size(&whole.params[k]));
                assert_true(block_difference(some, all, &p.params[k], 0) == 0);
                free(some);
                free(all);
            }
            free_part(threads, &p);
        }
    free_part(plain, &whole);
    dn_stream_destroy(&threads);
    dn_stream_destroy(&plain);
}

static void units_are_embedding_layers_head(void **state)
{
    (void)state;
    const size_t expected[N_PARAMS] = {0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3};
    size_t unit_of[N_PARAMS];
    dn_param params[N_PARAMS];
    dn_arena nowhere = {0}, nowhere_else = {0};
    const dn_spec spec = whole_spec(shape);
    dn_model_layout(&spec, model_mesh_size, model_mesh_at, &nowhere, &nowhere_else, params, unit_of);
    assert_memory_equal(unit_of, expected, sizeof expected);
}

TESTS(nn_cuts)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_tile_every_parameter),
        cmocka_unit_test(tp_cuts_what_a_rank_computes_and_fs_the_other_dimension),
        cmocka_unit_test(stacks_start_at_the_same_offsets_on_all_ranks_and_have_no_gaps),
        cmocka_unit_test(memory_of_a_rank_falls_with_the_ranks_that_share),
        cmocka_unit_test(first_values_do_not_depend_on_mesh_or_threads),
        cmocka_unit_test(units_are_embedding_layers_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
