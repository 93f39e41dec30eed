/*
 * Every architecture on a mesh against the same of one rank: loss, every block of every gradient, the same bits of the
 * residual stream on all ranks of tp, and bytes by the formula. Heads, columns and words divide by few of the
 * group sizes, so shares are uneven and some are empty.
 */
#include "support/copied_views.h"
#include "support/cut_model.h"
#include "support/device.h"
#include "support/drawn_spec.h"
#include "support/full.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <string.h>

typedef struct scenario {
    const char *kernels;
    dn_spec shape;
    int size[DN_N_AXES]; /* dp 1 */
    dn_weights_policy policy;
    size_t logits_rows; /* at a time; 0: as many as there are */
} scenario;

/*
 * Sums over tp and fs add in another order than one rank does: some roundings in a chain of up to three
 * layers, and gradients of tokens that partly cancel. Seen are 182 eps of the largest element of a gradient
 * (56 over tp alone), in float as in double; a lost head, column or word is of order 1.
 */
static const double tolerance = 512 * DN_REAL_EPS;

/* ---- micro-batches: gradients add up, and a rank may have no rows ---- */

enum { N_MICRO = 3, MAX_B = 2 };

static const double scales[N_MICRO] = {0.5, 1.25, 0.75};

static size_t rows_of(int micro, int fs)
{
    return micro == 0 ? MAX_B : micro == 1 ? (size_t)(fs > 0) : 1;
}

/* Each rank of fs has sequences of its own, each micro-batch those from the first on. */
static size_t first_token(const scenario *s, int fs)
{
    return (size_t)fs * MAX_B * s->shape.T;
}

static double train(const cut_model *cut, const scenario *s, const model *data)
{
    size_t first = first_token(s, cut->mesh->at[DN_FS]);
    double loss = 0;
    for (int i = 0; i < N_MICRO; i++)
        must(dn_model_train(cut->model, data->tokens + first, data->targets + first,
                          rows_of(i, cut->mesh->at[DN_FS]), scales[i], &loss));
    return loss;
}

static double train_whole(model *whole, const scenario *s)
{
    double loss = 0;
    for (int fs = 0; fs < s->size[DN_FS]; fs++)
        for (int i = 0; i < N_MICRO; i++)
            must(dn_model_train(whole->model, whole->tokens + first_token(s, fs),
                              whole->targets + first_token(s, fs), rows_of(i, fs), scales[i] / s->size[DN_FS],
                              &loss));
    return loss;
}

/* ---- what must hold ---- */

static double largest_of(const dn_real *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = larger(most, fabs((double)x[i]));
    return most;
}

/* A gradient that is 0 but for rounding, as that of k's bias where positions turn nothing, is a sum of
 * terms that cancel: it is held as one of a hundredth of the model's largest. */
static double floor_of(const model *whole, bool grad)
{
    double most = 0;
    for (size_t p = 0; grad && p < whole->n_params; p++) {
        size_t n = whole->params[p].frozen ? 0 : dn_param_size(&whole->params[p]);
        dn_real *all = host_copy(whole->stream, whole->params[p].grad, n);
        most = larger(most, largest_of(all, n));
        free(all);
    }
    return 1e-2 * most;
}

static bool cut_by_tp(const dn_dim_sharding *sharding)
{
    return sharding->axis == DN_TP && sharding->unit > 0;
}

/* What no rank of tp has alone the optimizer averages: ranks may have parts of a sum, times their number. */
static void average(dn_comm *tp, dn_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double value = (double)x[i] / dn_comm_size(tp);
        must(dn_comm_all_reduce_scalars(tp, &value, 1, DN_SUM));
        x[i] = (dn_real)value;
    }
}

/* Blocks of the weights, or of the gradients, are those of the whole model, up to `allowed`. */
static int check_blocks(dn_comm *comm, const cut_model *cut, const model *whole, bool grad, double allowed)
{
    double least = floor_of(whole, grad);
    for (size_t p = 0; p < cut->n_params; p++) {
        const dn_param *param = &cut->params[p], *of_whole = &whole->params[p];
        RANKS_CHECK(param->frozen == (param->grad == NULL));
        if (grad && param->frozen)
            continue;
        dn_real *all =
            host_copy(whole->stream, grad ? of_whole->grad : of_whole->weight, dn_param_size(of_whole));
        dn_real *part = host_copy(cut->stream, grad ? param->grad : param->weight, dn_param_size(param));
        if (grad && !cut_by_tp(&param->tensor.row_sharding) && !cut_by_tp(&param->tensor.col_sharding))
            average(cut->tp, part, dn_param_size(param));
        double worst = block_difference(part, all, param, least);
        free(part);
        free(all);
        if (!(worst <= allowed))
            fprintf(stderr, "# fs %d, tp %d: %s of %s off by %g\n", cut->mesh->size[DN_FS],
                    cut->mesh->size[DN_TP], grad ? "gradient" : "weight", param->tensor.name, worst);
        RANKS_CHECK(worst <= allowed);
    }
    return 0;
}

static int check_loss(dn_comm *comm, const cut_model *cut, double loss, double expected)
{
    double sum = loss, least = loss, most = loss;
    dn_comm *fs = dn_mesh_comm(cut->mesh, DN_AXIS(DN_FS));
    must(dn_comm_all_reduce_scalars(cut->tp, &least, 1, DN_MIN));
    must(dn_comm_all_reduce_scalars(cut->tp, &most, 1, DN_MAX));
    RANKS_CHECK(least == loss && most == loss);
    must(dn_comm_all_reduce_scalars(fs, &sum, 1, DN_SUM));
    RANKS_CLOSE(sum, expected, tolerance * fabs(expected));
    return 0;
}

/* A pass over the loss leaves the residual stream in x. */
static int check_stream(dn_comm *comm, const cut_model *cut, const scenario *s, const model *whole)
{
    size_t first = first_token(s, cut->mesh->at[DN_FS]);
    size_t bytes = MAX_B * s->shape.T * s->shape.C * sizeof(dn_real);
    double loss = 0, expected = 0;
    must(dn_model_loss(cut->model, whole->tokens + first, whole->targets + first, MAX_B, &loss));
    must(dn_model_loss(whole->model, whole->tokens + first, whole->targets + first, MAX_B, &expected));
    RANKS_CLOSE(loss, expected, tolerance * expected);
    must(dn_comm_barrier(cut->tp));
    bool same = memcmp(behind(cut->model->slots[0].pass.x), behind(dn_comm_peer(cut->tp, cut->model->slots[0].pass.x, 0)), bytes) == 0;
    must(dn_comm_barrier(cut->tp));
    RANKS_CHECK(same);
    return 0;
}

/* All micro-batches of `train`, which are no passes over anything else. */
static int check_bytes(dn_comm *comm, const cut_model *cut, const scenario *s)
{
    uint64_t expected[DN_N_COLLECTIVES] = {0}, all = 0;
    for (int i = 0; i < N_MICRO; i++) {
        uint64_t bytes[DN_N_COLLECTIVES];
        dn_model_tp_bytes(&cut->spec, rows_of(i, cut->mesh->at[DN_FS]), s->size[DN_TP],
                          dn_model_lowest(&cut->spec, cut->params), bytes);
        for (int c = 0; c < DN_N_COLLECTIVES; c++) {
            expected[c] += bytes[c];
            all += bytes[c];
        }
    }
    dn_comm_stats stats = dn_comm_get_stats(cut->tp, false);
    for (int c = 0; c < DN_N_COLLECTIVES; c++)
        RANKS_CHECK(stats.by_collective[c] == expected[c]);
    RANKS_CHECK(stats.payload[DN_TRAFFIC_ACTIVATIONS] == all);
    RANKS_CHECK((all > 0) == (s->size[DN_TP] > 1));
    return 0;
}

/* ---- running ---- */

/* Other vectors than 0 and 1. */
static void set_vectors(dn_stream *stream, const dn_param *params, size_t n)
{
    for (size_t p = 0; p < n; p++)
        if (params[p].kind == DN_PARAM_VECTOR)
            stream->kernels->fill(stream, params[p].weight, dn_param_size(&params[p]), 0.2 * (double)(p % 7 + 1));
}

static int compare_with_whole(dn_comm *comm, void *argument)
{
    const scenario *s = argument;
    size_t all_rows = (size_t)s->size[DN_FS] * MAX_B;
    dn_spec all_trained = s->shape;
    all_trained.trained.n = 0;
    model whole = model_create(s->kernels, 1, all_trained, all_rows);
    cut_model cut = cut_model_create(comm, s->size, s->kernels, s->shape, MAX_B, s->policy);
    set_vectors(cut.stream, cut.params, cut.n_params);
    set_vectors(whole.stream, whole.params, whole.n_params);
    draw_adapters(cut.stream, cut.params, cut.n_params);
    draw_adapters(whole.stream, whole.params, whole.n_params);
    must(dn_comm_barrier(comm));
    if (s->logits_rows)
        head_of(cut.model)->logits_rows = s->logits_rows;

    int result = check_blocks(comm, &cut, &whole, false, 0);
    dn_comm_get_stats(cut.tp, true);
    double loss = train(&cut, s, &whole);
    if (result == 0)
        result = check_bytes(comm, &cut, s);
    double expected = train_whole(&whole, s);
    if (result == 0)
        result = check_loss(comm, &cut, loss, expected);
    if (result == 0)
        result = check_blocks(comm, &cut, &whole, true, tolerance);
    if (result == 0)
        result = check_stream(comm, &cut, s, &whole);
    cut_model_destroy(&cut);
    model_destroy(&whole);
    return result;
}

static void run(scenario *s, ranks_kind kind)
{
    ranks_spec spec = {.kind = kind,
                       .n_ranks = s->size[DN_FS] * s->size[DN_TP],
                       .arena_bytes = cut_model_heap_bytes(s->shape, MAX_B, s->size, s->policy)};
    char text[512];
    if (ranks_run(&spec, compare_with_whole, s, NULL) != 0)
        fail_msg("%s; fs %d, tp %d, policy %d, kernels %s", drawn_text(&s->shape, text), s->size[DN_FS], s->size[DN_TP], (int)s->policy,
                 s->kernels);
}

/* The last shares 3 heads of keys and values among 6, and has biases. Words: 13 over 5 ranks and less; or 3, so that ranks
 * have none. Positions are odd. */
static const dn_spec shapes[] = {
    {.V = 13, .T = 7, .C = 12, .L = 2, .attention.NH = 2},
    {.V = 3, .T = 5, .C = 12, .L = 1, .attention.NH = 3},
    {.V = 131,
     .T = 9,
     .C = 12,
     .L = 3,
     .attention = {.NH = 6, .NKV = 3, .qkv_bias = true, .o_bias = true},
     .mlp.bias = true},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* For each architecture there is; but those behind the first in the short tier only where it says so. */
static void run_all(scenario s, bool short_too)
{
    const dn_attention_spec heads = s.shape.attention, no_heads = {.NH = heads.NH};
    for (size_t i = 0; (i == 0 || short_too || full_run()) && (s.shape.architecture = dn_architecture_at(i)); i++) {
        s.shape.attention = s.shape.architecture->attention ? heads : no_heads;
        run(&s, AS_THREADS);
    }
}

static void tensor_parallel_models_are_the_whole_model(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SHAPES; i++)
        for (int tp = 1; tp <= 5; tp++) {
            scenario s = {.kernels = "ref", .shape = shapes[i], .size = {1, 1, tp}};
            run_all(s, i + 1 == N_SHAPES && (tp == 2 || tp == 5));
        }
}

/* 131 words in vectors and blocks of the fast columns, seven logits rows at a time of 2 * 33. */
static void fast_kernels_and_chunks_of_logits_too(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 5; tp++) {
        scenario s = {.kernels = "cpu",
                      .shape = {.V = 131, .T = 33, .C = 66, .L = 2, .attention.NH = 3},
                      .size = {1, 1, tp},
                      .logits_rows = 7};
        run_all(s, tp == 3);
    }
}

static void fully_sharded_models_are_the_whole_model(void **state)
{
    (void)state;
    static const int sizes[][DN_N_AXES] = {{1, 2, 1}, {1, 3, 1}, {1, 5, 1}, {1, 2, 2}, {1, 3, 2}, {1, 2, 3}};
    for (size_t i = 0; i < N_SHAPES; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            for (dn_weights_policy policy = DN_WEIGHTS_IN_PLACE; policy <= DN_WEIGHTS_PER_RANK; policy++) {
                scenario s = {.kernels = "ref", .shape = shapes[i], .policy = policy};
                memcpy(s.size, sizes[k], sizeof s.size);
                run_all(s, i + 1 == N_SHAPES && (k == 0 || k == 1 || k == 5) && k % 3 == (size_t)policy);
            }
}

/* Gradients of trained parameters are those of the model in which all are. Frozen ones stand within stacks, on top and at the
 * bottom; the backward pass ends where nothing below is trained. */
static void partly_frozen_models_have_the_gradients_of_the_whole_model(void **state)
{
    (void)state;
    static const int sizes[][DN_N_AXES] = {{1, 1, 1}, {1, 1, 2}, {1, 3, 1}, {1, 2, 3}};
    static const dn_globs trained[] = {
        {6, {"*_v.*", "*v_proj.*", "*k*.bias", "*up*.weight", "*mlp.c_proj*", "*norm*"}},
        {2, {"*.1.*", "*.2.*.bias"}},
        {3, {"*embed*", "*wte*", "*wpe*"}},
        {1, {"*head*"}},
    };
    for (size_t t = 0; t < sizeof trained / sizeof *trained; t++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            scenario s = {.kernels = "ref", .shape = shapes[2], .policy = (dn_weights_policy)((t + k) % 3)};
            memcpy(s.size, sizes[k], sizeof s.size);
            s.shape.trained = trained[t];
            run_all(s, t == k);
        }
}

/* One of each architecture in the short tier. */
static void drawn_models_are_the_whole_model(void **state)
{
    (void)state;
    const dn_architecture *architecture;
    for (size_t k = 0; (architecture = dn_architecture_at(k)); k++)
        for (size_t n = 0; n < (full_run() ? 30 : 1); n++) {
            size_t turn = k + n;
            scenario s = {n % 2 ? "cpu" : "ref", drawn_spec(architecture, 100 * k + n), {1, 1 + (int)(turn / 3 % 3), 1 + (int)(turn % 3)},
                          (dn_weights_policy)(turn % 3), turn % 4};
            run(&s, AS_THREADS);
        }
}

/* On either side of a sum over tp; of rank 5, which no mesh divides. */
static void adapters_on_a_mesh_are_those_of_the_whole_model(void **state)
{
    (void)state;
    static const int sizes[][DN_N_AXES] = {{1, 1, 2}, {1, 1, 5}, {1, 3, 1}, {1, 2, 3}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        scenario s = {.kernels = k % 2 ? "ref" : "cpu", .shape = shapes[2], .policy = (dn_weights_policy)(k % 3)};
        memcpy(s.size, sizes[k], sizeof s.size);
        s.shape.lora = (dn_lora_spec){.rank = 5, .scale = 0.5, .roles = k % 2 ? 0x7f : 0x5a};
        for (size_t i = 0; (s.shape.architecture = dn_architecture_at(i)); i++)
            if (s.shape.architecture->attention && (i == k || full_run()))
                run(&s, AS_THREADS);
    }
}

static int compare_by_copies(dn_comm *comm, void *argument)
{
    copied_views views;
    copied_views_begin(&views, comm);
    int failed = compare_with_whole(comm, argument);
    RANKS_CHECK(copied_views_end(&views, comm) > 0 || failed);
    return failed;
}

/* Weights of fs in place, and what ranks of tp have of the embedding and of the loss. */
static void views_may_be_copies(void **state)
{
    (void)state;
    static const int sizes[][DN_N_AXES] = {{1, 3, 1}, {1, 1, 3}, {1, 2, 2}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        scenario s = {.kernels = "ref", .shape = shapes[0]};
        memcpy(s.size, sizes[k], sizeof s.size);
        s.shape.architecture = dn_architecture_at(0);
        const ranks_spec spec = {.kind = AS_THREADS,
                                 .n_ranks = s.size[DN_FS] * s.size[DN_TP],
                                 .arena_bytes = cut_model_heap_bytes(s.shape, MAX_B, s.size, s.policy)};
        assert_int_equal(ranks_run(&spec, compare_by_copies, &s, NULL), 0);
    }
}

TESTS(nn_mesh)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensor_parallel_models_are_the_whole_model),
        cmocka_unit_test(fast_kernels_and_chunks_of_logits_too),
        cmocka_unit_test(fully_sharded_models_are_the_whole_model),
        cmocka_unit_test(partly_frozen_models_have_the_gradients_of_the_whole_model),
        cmocka_unit_test(drawn_models_are_the_whole_model),
        cmocka_unit_test(adapters_on_a_mesh_are_those_of_the_whole_model),
        cmocka_unit_test(views_may_be_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
