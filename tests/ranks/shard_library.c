/*
 * The optimizer of a program's own tensors against the optimizer underneath on the same blocks, bit for bit:
 * dense, with rows apart, in place, split; alone and on meshes.
 */
#include "base/fail.h"
#include "support/dense.h"
#include "support/optim_rig.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_MODEL = 6, STEPS = 4, GAP = 3 };

static const rig_shape flat[N_MODEL] = {{DN_PARAM_MATRIX, 16, 12}, {DN_PARAM_MATRIX, 24, 18},
                                        {DN_PARAM_MATRIX, 9, 20},  {DN_PARAM_EMBEDDING, 11, 6},
                                        {DN_PARAM_VECTOR, 13, 1},  {DN_PARAM_HEAD, 11, 6}};
static const rig_cut cuts[N_MODEL] = {{DN_TP, DN_FS, 1},     {DN_TP, DN_FS, 8},     {DN_N_AXES, DN_N_AXES, 1},
                                      {DN_FS, DN_N_AXES, 1}, {DN_TP, DN_N_AXES, 1}, {DN_TP, DN_FS, 1}};
static const size_t splits[N_MODEL] = {1, 3, 1, 1, 1, 1};

/* ---- a program with tensors of its own ---- */

typedef enum storage { DENSE, APART, IN_PLACE } storage;

typedef struct program {
    dn_optim_tensor tensors[N_MODEL];
    dn_block blocks[N_MODEL];
    dn_real *kept[N_MODEL]; /* gradients as they were given */
    dn_optim *optim;
    dn_optim_report report;
} program;

/* Without numbers. */
static void describe(dn_optim_tensor *tensors, storage where)
{
    for (size_t i = 0; i < N_MODEL; i++) {
        tensors[i] = (dn_optim_tensor){.kind = flat[i].kind,
                                       .tensor.rows = flat[i].rows,
                                       .tensor.cols = flat[i].cols,
                                       .tensor.row_sharding = rig_sharding(cuts[i].rows, cuts[i].unit),
                                       .tensor.col_sharding = rig_sharding(cuts[i].cols, 1),
                                       .n_views = splits[i],
                                       .in_place = where == IN_PLACE};
        snprintf(tensors[i].tensor.name, sizeof tensors[i].tensor.name, "x%zu", i);
    }
}

static size_t stride_of(const program *p, size_t i)
{
    return p->tensors[i].stride ? p->tensors[i].stride : p->blocks[i].cols;
}

/* Elements from the first to behind the last, gaps and all. */
static size_t extent(const program *p, size_t i)
{
    return p->blocks[i].rows * stride_of(p, i);
}

static dn_status take(dn_comm *comm, storage where, size_t n, dn_real **out)
{
    void *data;
    if (where == IN_PLACE) {
        DN_TRY(dn_comm_alloc(comm, 24 * 18 * sizeof(dn_real), &data));
        *out = data;
    } else {
        *out = malloc((n + 1) * sizeof **out);
    }
    for (size_t k = 0; k < n; k++)
        (*out)[k] = 77; /* what lies between rows */
    return DN_OK;
}

static dn_status open_program(program *p, const dn_mesh *mesh, storage where)
{
    const int one[DN_N_AXES] = {1, 1, 1}, first[DN_N_AXES] = {0};
    const int *size = mesh ? mesh->size : one, *at = mesh ? mesh->at : first;
    *p = (program){0};
    describe(p->tensors, where);
    for (size_t i = 0; i < N_MODEL; i++) {
        dn_optim_tensor *t = &p->tensors[i];
        p->blocks[i] = dn_tensor_block(&t->tensor, size, at);
        t->stride = where == APART ? p->blocks[i].cols + GAP : 0;
        DN_TRY(take(mesh ? mesh->all : NULL, where, extent(p, i), &t->weight));
        DN_TRY(take(mesh ? mesh->all : NULL, where, extent(p, i), &t->grad));
        p->kept[i] = calloc(extent(p, i) + 1, sizeof *p->kept[i]);
    }
    return DN_OK;
}

static void close_program(program *p, storage where)
{
    dn_optim_destroy(&p->optim);
    for (size_t i = 0; i < N_MODEL; i++) {
        free(p->kept[i]);
        if (where != IN_PLACE)
            free(p->tensors[i].weight), free(p->tensors[i].grad);
    }
}

/* Gradients of replica dp of a step, to both sides. */
static void give_gradients(program *p, optim_rig *rig, int step)
{
    for (size_t i = 0; i < N_MODEL; i++) {
        const dn_block b = p->blocks[i];
        double *g =
            dense_random(flat[i].rows, flat[i].cols, (uint64_t)((step * 64 + rig->mesh->at[DN_DP]) * 16) + i);
        rig_set_grad(rig, i, g);
        free(g);
        for (size_t row = 0; row < b.rows; row++)
            memcpy(p->tensors[i].grad + row * stride_of(p, i), rig_grad(rig, i) + row * b.cols,
                   b.cols * sizeof(dn_real));
        if (extent(p, i))
            memcpy(p->kept[i], p->tensors[i].grad, extent(p, i) * sizeof(dn_real));
    }
}

static void set_weights(program *p, optim_rig *rig)
{
    for (size_t i = 0; i < N_MODEL; i++) {
        const dn_block b = p->blocks[i];
        for (size_t k = 0; k < b.rows * b.cols; k++) {
            size_t row = k / b.cols, col = k % b.cols;
            dn_real x = (dn_real)(1 + (b.row0 + row) * flat[i].cols + b.col0 + col) / 64;
            rig_weight(rig, i)[k] = p->tensors[i].weight[row * stride_of(p, i) + col] = x;
        }
    }
}

/* Bits of weights, and what lies between their rows. */
static bool same_weights(const program *p, const optim_rig *rig)
{
    bool same = true;
    for (size_t i = 0; i < N_MODEL; i++) {
        const dn_block b = p->blocks[i];
        for (size_t row = 0; row < b.rows; row++) {
            const dn_real *x = p->tensors[i].weight + row * stride_of(p, i);
            same = same && memcmp(x, rig_weight(rig, i) + row * b.cols, b.cols * sizeof *x) == 0;
            for (size_t k = b.cols; k < stride_of(p, i); k++)
                same = same && x[k] == 77;
        }
    }
    return same;
}

static bool same_states(const program *p, const optim_rig *rig)
{
    size_t n = dn_optim_n_states(p->optim);
    bool same = n == dn_optimizer_n_states(rig->optimizer);
    for (size_t k = 0; same && k < n; k++) {
        dn_shard b = rig_shard(rig, k);
        const dn_tensor *state = dn_optim_state(p->optim, k);
        dn_shard a = dn_optim_state_shard(p->optim, k, dn_comm_rank(rig->comm));
        same = strcmp(state->name, dn_optimizer_state(rig->optimizer, k)->name) == 0 &&
               state->type == DN_REAL && a.rank == b.rank &&
               memcmp(&a.block, &b.block, sizeof a.block) == 0 && a.replica == b.replica;
        size_t bytes = b.block.rows * b.block.cols * sizeof(dn_real);
        same = same && (bytes == 0 || memcmp(a.data, b.data, bytes) == 0);
    }
    return same;
}

static bool gradients_are_as_given(const program *p)
{
    bool same = true;
    for (size_t i = 0; i < N_MODEL; i++)
        for (size_t k = 0; k < extent(p, i); k++)
            same = same && p->tensors[i].grad[k] == p->kept[i][k];
    return same;
}

/* ---- against the optimizer underneath ---- */

static dn_optim_config config(void)
{
    dn_optim_config c = dn_optim_defaults();
    c.momentum_sync_every = 2;
    c.seed = 7;
    return c;
}

typedef struct task {
    int size[DN_N_AXES];
    storage where;
} task;

static int step_both(dn_comm *comm, program *p, optim_rig *rig, int step, storage where)
{
    give_gradients(p, rig, step);
    RANKS_CHECK(rig_step(rig, 0.02) == DN_OK);
    RANKS_CHECK(dn_optim_step(p->optim, (uint64_t)step, 0.02, &p->report) == DN_OK);
    RANKS_CHECK(!p->report.skipped && p->report.grad_norm == rig->report.grad_norm);
    RANKS_CHECK(same_weights(p, rig) && same_states(p, rig));
    RANKS_CHECK(where == IN_PLACE || gradients_are_as_given(p));
    return 0;
}

static int against_rig(dn_comm *comm, void *argument)
{
    const task *t = argument;
    const rig_mesh mesh = {{t->size[0], t->size[1], t->size[2]}, cuts, splits};
    const dn_optim_config c = config();
    optim_rig rig;
    program p;
    RANKS_CHECK(rig_create_on(&rig, comm, &mesh, "cpu", &c, flat, N_MODEL) == DN_OK);
    RANKS_CHECK(open_program(&p, rig.mesh, t->where) == DN_OK);
    set_weights(&p, &rig);
    size_t before = dn_comm_heap_mark(comm);
    RANKS_CHECK(dn_optim_create(&c, p.tensors, N_MODEL, rig.mesh, 1, &p.optim) == DN_OK);
    RANKS_CHECK(dn_comm_heap_mark(comm) - before ==
                dn_optim_heap_bytes(&c, p.tensors, N_MODEL, rig.mesh->size));
    for (int step = 0; step < STEPS; step++)
        RANKS_CHECK(step_both(comm, &p, &rig, step, t->where) == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK); /* peers may read a step's last gather */
    close_program(&p, t->where);
    rig_destroy(&rig);
    return 0;
}

static int run_on(const int size[DN_N_AXES], storage where, ranks_body *body)
{
    task t = {{size[0], size[1], size[2]}, where};
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = size[0] * size[1] * size[2], .arena_bytes = 8 << 20};
    return ranks_run(&spec, body, &t, NULL);
}

static void on_every_mesh_as_the_optimizer_underneath(void **state)
{
    (void)state;
    const int meshes[][DN_N_AXES] = {{1, 1, 1}, {3, 1, 1}, {1, 4, 1}, {1, 1, 5}, {2, 2, 2}, {1, 2, 3}};
    for (size_t k = 0; k < sizeof meshes / sizeof *meshes; k++)
        for (storage m = DENSE; m <= IN_PLACE; m++)
            assert_int_equal(run_on(meshes[k], m, against_rig), 0);
}

/* ---- tensors without a gradient ---- */

enum { STILL = 1 }; /* the split one: of Dion, and cut along two axes where the mesh has them */

/* Bytes of this rank's part of the tensor's weights and states. */
static size_t copy_tensor(const program *p, size_t tensor, int rank, char *out)
{
    size_t used = p->blocks[tensor].rows * stride_of(p, tensor) * sizeof(dn_real);
    memcpy(out, p->tensors[tensor].weight, used);
    for (size_t k = 0; k < dn_optim_n_states(p->optim); k++) {
        const dn_shard s = dn_optim_state_shard(p->optim, k, rank);
        char name[16];
        snprintf(name, sizeof name, ".x%zu", tensor);
        if (!strstr(dn_optim_state(p->optim, k)->name, name))
            continue;
        size_t bytes = s.block.rows * s.block.cols * sizeof(dn_real);
        memcpy(out + used, s.data, bytes);
        used += bytes;
    }
    return used;
}

/* In its second and third step the program has no gradient of one tensor, which then stays; the others go on as those of
 * the optimizer underneath, which has all gradients. */
static int a_tensor_stays(dn_comm *comm, void *argument)
{
    const task *t = argument;
    const rig_mesh mesh = {{t->size[0], t->size[1], t->size[2]}, cuts, splits};
    const dn_optim_config c = config();
    static _Thread_local char before[1 << 16], after[1 << 16];
    optim_rig rig;
    program p;
    RANKS_CHECK(rig_create_on(&rig, comm, &mesh, "cpu", &c, flat, N_MODEL) == DN_OK);
    RANKS_CHECK(open_program(&p, rig.mesh, t->where) == DN_OK);
    set_weights(&p, &rig);
    RANKS_CHECK(dn_optim_create(&c, p.tensors, N_MODEL, rig.mesh, 1, &p.optim) == DN_OK);
    for (int step = 0; step < STEPS; step++) {
        bool still = step == 1 || step == 2;
        size_t bytes = copy_tensor(&p, STILL, dn_comm_rank(comm), before);
        RANKS_CHECK(bytes <= sizeof before);
        RANKS_CHECK(dn_optim_set_frozen(p.optim, STILL, still) == DN_OK);
        give_gradients(&p, &rig, step);
        RANKS_CHECK(rig_step(&rig, 0.02) == DN_OK);
        RANKS_CHECK(dn_optim_step(p.optim, (uint64_t)step, 0.02, &p.report) == DN_OK);
        copy_tensor(&p, STILL, dn_comm_rank(comm), after);
        RANKS_CHECK((memcmp(before, after, bytes) == 0) == (still || bytes == 0));
        for (size_t i = 0; i < N_MODEL; i++)
            RANKS_CHECK(i == STILL || memcmp(p.tensors[i].weight, rig_weight(&rig, i),
                                             p.blocks[i].rows * p.blocks[i].cols * sizeof(dn_real)) == 0);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    }
    close_program(&p, t->where);
    rig_destroy(&rig);
    return 0;
}

static void without_a_gradient_a_tensor_stays_as_it_is(void **state)
{
    (void)state;
    const int meshes[][DN_N_AXES] = {{1, 1, 1}, {3, 1, 1}, {2, 2, 2}};
    for (size_t k = 0; k < sizeof meshes / sizeof *meshes; k++) {
        assert_int_equal(run_on(meshes[k], DENSE, a_tensor_stays), 0);
        assert_int_equal(run_on(meshes[k], IN_PLACE, a_tensor_stays), 0);
    }
}

/* ---- alone ---- */

/* Without gradient and momentum a step of SGD only decays. */
static void weight_decay_changes_between_steps(void **state)
{
    (void)state;
    dn_real w[2] = {1, 1}, v[1] = {1}, g[2] = {0};
    const dn_optim_tensor tensors[] = {{.tensor.name = "a.w",
                                        .kind = DN_PARAM_MATRIX,
                                        .tensor.rows = 1,
                                        .tensor.cols = 2,
                                        .weight = w,
                                        .grad = g},
                                       {.tensor.name = "a.v",
                                        .kind = DN_PARAM_VECTOR,
                                        .tensor.rows = 1,
                                        .tensor.cols = 1,
                                        .weight = v,
                                        .grad = g}};
    static const double decays[] = {0.01, 0.5, 0.25}; /* the default is the first */
    dn_optim_config c = dn_optim_defaults();
    dn_optim_report report;
    dn_optim *optim;
    double right = 1;
    c.matrix_rule = c.scalar_rule = "sgd";
    assert_int_equal(dn_optim_create(&c, tensors, 2, NULL, 1, &optim), DN_OK);
    for (uint64_t step = 0; step < 3; step++) {
        if (step > 0)
            assert_int_equal(dn_optim_set_weight_decay(optim, "*.w", decays[step]), DN_OK);
        assert_int_equal(dn_optim_step(optim, step, 0.5, &report), DN_OK);
        right *= 1 - 0.5 * decays[step];
        assert_true(fabs((double)w[1] - right) < 4 * (double)DN_REAL_EPS);
        assert_true(v[0] == 1);
    }
    assert_int_equal(dn_optim_set_weight_decay(optim, "w", 0.1), DN_ERR_ARG);
    static const double no_rates[] = {-1, -1e-300, 1.1e6, INFINITY, NAN};
    for (size_t i = 0; i < sizeof no_rates / sizeof *no_rates; i++) {
        assert_int_equal(dn_optim_set_weight_decay(optim, "*", no_rates[i]), DN_ERR_ARG);
        assert_int_equal(dn_optim_step(optim, 3, no_rates[i], &report), DN_ERR_ARG);
        assert_non_null(strstr(dn_error_message(), "learning rate"));
    }
    assert_true(fabs((double)w[1] - right) < 4 * (double)DN_REAL_EPS && v[0] == 1);
    assert_int_equal(dn_optim_set_frozen(optim, 2, true), DN_ERR_ARG);
    dn_optim_destroy(&optim);
}

/* Q, K and V of a tensor are stepped as tensors of their own, also of unequal numbers of rows. */
static void parts_of_unequal_rows_are_matrices_of_their_own(void **state)
{
    (void)state;
    enum { COLS = 6 };
    static const size_t rows[] = {8, 3, 3};
    dn_real whole[14 * COLS], apart[14 * COLS], grad[14 * COLS];
    for (size_t i = 0; i < 14 * COLS; i++)
        whole[i] = apart[i] = (dn_real)i / 64;
    dn_optim_tensor one = {.tensor.name = "qkv",
                           .kind = DN_PARAM_MATRIX,
                           .tensor.rows = 14,
                           .tensor.cols = COLS,
                           .split_rows = {8, 3, 3},
                           .weight = whole,
                           .grad = grad},
                    three[3];
    for (size_t k = 0, row = 0; k < 3; row += rows[k++])
        three[k] = (dn_optim_tensor){.tensor = {.name = {"qkv"[k]}, .rows = rows[k], .cols = COLS},
                                     .kind = DN_PARAM_MATRIX,
                                     .weight = apart + row * COLS,
                                     .grad = grad + row * COLS};
    for (size_t r = 0; dn_rule_at(r); r++) {
        dn_optim_config c = dn_optim_defaults();
        dn_optim_report report;
        dn_optim *a, *b;
        c.matrix_rule = dn_rule_at(r)->name;
        assert_int_equal(dn_optim_create(&c, &one, 1, NULL, 1, &a), DN_OK);
        assert_int_equal(dn_optim_create(&c, three, 3, NULL, 1, &b), DN_OK);
        for (uint64_t step = 0; step < 2; step++) {
            double *g = dense_random(14, COLS, step);
            dense_to_real(grad, g, 14 * COLS);
            assert_int_equal(dn_optim_step(b, step, 0.02, &report), DN_OK);
            dense_to_real(grad, g, 14 * COLS);
            assert_int_equal(dn_optim_step(a, step, 0.02, &report), DN_OK);
            free(g);
        }
        for (size_t i = 0; i < 14 * COLS; i++)
            if (fabs((double)(whole[i] - apart[i])) > 64 * (double)DN_REAL_EPS)
                fail_msg("%s: element %zu: %.9g, apart %.9g", c.matrix_rule, i, (double)whole[i], (double)apart[i]);
        dn_optim_destroy(&a);
        dn_optim_destroy(&b);
    }
    dn_optim *none;
    dn_optim_config c = dn_optim_defaults();
    one.split_rows[2] = 4;
    assert_int_equal(dn_optim_create(&c, &one, 1, NULL, 1, &none), DN_ERR_ARG);
    assert_non_null(strstr(dn_error_message(), "split into 15 rows"));
}

static void create_both(program *p, optim_rig *rig, storage where)
{
    const rig_mesh mesh = {{1, 1, 1}, NULL, splits};
    const dn_optim_config c = config();
    assert_int_equal(rig_create_on(rig, NULL, &mesh, "cpu", &c, flat, N_MODEL), DN_OK);
    assert_int_equal(open_program(p, NULL, where), DN_OK);
    set_weights(p, rig);
    assert_int_equal(dn_optim_create(&c, p->tensors, N_MODEL, NULL, 1, &p->optim), DN_OK);
}

static void without_a_mesh_too(void **state)
{
    (void)state;
    for (storage m = DENSE; m <= APART; m++) {
        program p;
        optim_rig rig;
        create_both(&p, &rig, m);
        for (int step = 0; step < STEPS; step++) /* dense memory is worked on in place */
            assert_int_equal(step_both(rig.comm, &p, &rig, step, m == DENSE ? IN_PLACE : m), 0);
        close_program(&p, m);
        rig_destroy(&rig);
    }
}

static void a_gradient_that_is_no_number_changes_nothing(void **state)
{
    (void)state;
    program p;
    optim_rig rig;
    create_both(&p, &rig, APART);
    give_gradients(&p, &rig, 0);
    p.tensors[1].grad[2 * stride_of(&p, 1)] = (dn_real)NAN;
    assert_int_equal(dn_optim_step(p.optim, 0, 0.02, &p.report), DN_OK);
    assert_true(p.report.skipped && same_weights(&p, &rig) && same_states(&p, &rig));
    close_program(&p, APART);
    rig_destroy(&rig);
}

/* Saved after two steps by name, restored into a new one. */
static void states_are_all_there_is_to_save(void **state)
{
    (void)state;
    program p, again;
    optim_rig rig, other;
    create_both(&p, &rig, APART);
    create_both(&again, &other, APART);
    for (int step = 0; step < 2; step++)
        assert_int_equal(step_both(rig.comm, &p, &rig, step, APART), 0);
    for (size_t i = 0; i < N_MODEL; i++)
        memcpy(again.tensors[i].weight, p.tensors[i].weight, extent(&p, i) * sizeof(dn_real));
    for (size_t k = 0; k < dn_optim_n_states(p.optim); k++) {
        const dn_tensor *saved = dn_optim_state(p.optim, k);
        dn_shard from = dn_optim_state_shard(p.optim, k, 0), to = dn_optim_state_shard(again.optim, k, 0);
        assert_string_equal(saved->name, dn_optim_state(again.optim, k)->name);
        memcpy(to.data, from.data, from.block.rows * from.block.cols * dn_type_bytes(saved->type));
    }
    for (int step = 2; step < STEPS; step++) {
        assert_int_equal(step_both(rig.comm, &p, &rig, step, APART), 0);
        give_gradients(&again, &other, step);
        assert_int_equal(dn_optim_step(again.optim, (uint64_t)step, 0.02, &again.report), DN_OK);
    }
    assert_true(same_weights(&again, &rig) && same_states(&again, &rig));
    close_program(&p, APART), close_program(&again, APART);
    rig_destroy(&rig), rig_destroy(&other);
}

/* ---- what is refused ---- */

static void assert_refused(const dn_optim_tensor *tensors, size_t n, const char *said)
{
    const int one[DN_N_AXES] = {1, 1, 1};
    const dn_optim_config c = config();
    dn_optim *optim;
    assert_int_equal(dn_optim_create(&c, tensors, n, NULL, 1, &optim), DN_ERR_ARG);
    assert_null(optim);
    if (!strstr(dn_error_message(), said))
        fail_msg("\"%s\" does not say \"%s\"", dn_error_message(), said);
    (void)dn_optim_heap_bytes(&c, tensors, n, one); /* returns, whatever they are */
}

static void tensors_that_cannot_be_are_refused_by_name(void **state)
{
    (void)state;
    dn_real x[64] = {0};
    const dn_optim_tensor good = {.tensor = {.name = "good", .rows = 4, .cols = 4},
                                  .kind = DN_PARAM_MATRIX,
                                  .weight = x,
                                  .grad = x + 32};
    struct {
        dn_optim_tensor tensor;
        const char *said;
    } bad[15];
    const size_t n = sizeof bad / sizeof *bad;
    for (size_t k = 0; k < n; k++) {
        bad[k].tensor = good;
        strcpy(bad[k].tensor.tensor.name, "bad");
        bad[k].said = "bad";
    }
    memset(bad[0].tensor.tensor.name, 'x', DN_TENSOR_NAME_MAX), bad[0].said = "tensor 1"; /* without an end */
    strcpy(bad[1].tensor.tensor.name, ""), bad[1].said = "tensor 1";
    memset(bad[2].tensor.tensor.name, 'x', DN_OPTIM_NAME_MAX), bad[2].said = "tensor 1";
    strcpy(bad[3].tensor.tensor.name, "good"), bad[3].said = "both named good";
    bad[4].tensor.kind = DN_PARAM_N_KINDS;
    bad[5].tensor.tensor.rows = 0;
    bad[6].tensor.tensor.cols = SIZE_MAX / 2;
    bad[7].tensor.tensor.row_sharding = (dn_dim_sharding){DN_DP, 1};
    bad[8].tensor.tensor.row_sharding = (dn_dim_sharding){(dn_axis)17, 1};
    bad[9].tensor.tensor.row_sharding = bad[9].tensor.tensor.col_sharding = (dn_dim_sharding){DN_FS, 1};
    bad[10].tensor.n_views = 3;
    bad[11].tensor.n_views = 2, bad[11].tensor.kind = DN_PARAM_HEAD;
    bad[12].tensor.weight = NULL, bad[12].said = "bad: this rank holds a part of it, and gives no weight";
    bad[13].tensor.grad = NULL, bad[13].said = "bad: this rank holds a part of it, and gives no gradient";
    bad[14].tensor.stride = 3;
    for (size_t k = 0; k < n; k++)
        assert_refused((dn_optim_tensor[]){good, bad[k].tensor}, 2, bad[k].said);
}

static void settings_out_of_range_are_refused(void **state)
{
    (void)state;
    const int one[DN_N_AXES] = {1, 1, 1};
    dn_optim_config c = dn_optim_defaults();
    dn_optim *optim;
    c.matrix_rule = "99";
    assert_int_equal(dn_optim_create(&c, NULL, 0, NULL, 1, &optim), DN_ERR_ARG);
    assert_int_equal(dn_optim_heap_bytes(&c, NULL, 0, one), 0);
    c = dn_optim_defaults();
    assert_int_equal(dn_optim_create(&c, NULL, 0, NULL, -1, &optim), DN_ERR_ARG);
    assert_int_equal(dn_optim_create(&c, NULL, 0, NULL, 0, &optim), DN_OK);
    dn_optim_destroy(&optim);
    dn_optim_destroy(&optim);
}

/* In place where it cannot be: private memory, rows apart, different offsets. Every rank is told. */
static int misplaced(dn_comm *comm, void *argument)
{
    const task *t = argument;
    const dn_optim_config c = config();
    static const char *const said[] = {"not in symmetric memory", "not dense", "not at the same offset"};
    dn_real own[64];
    dn_mesh *mesh;
    dn_optim *optim;
    void *memory;
    RANKS_CHECK(dn_mesh_create(comm, t->size, &mesh) == DN_OK);
    RANKS_CHECK(dn_comm_alloc(comm, 1024, &memory) == DN_OK);
    for (int k = 0; k < 3; k++) {
        dn_optim_tensor tensor = {.tensor.name = "w",
                                  .kind = DN_PARAM_MATRIX,
                                  .tensor.rows = 4,
                                  .tensor.cols = 4,
                                  .weight = memory,
                                  .in_place = true};
        tensor.grad = tensor.weight + 32;
        if (k == 0)
            tensor.grad = own;
        if (k == 1)
            tensor.stride = 5;
        if (k == 2)
            tensor.weight += dn_comm_rank(comm);
        RANKS_CHECK(dn_optim_create(&c, &tensor, 1, mesh, 1, &optim) == DN_ERR_ARG && !optim);
        RANKS_CHECK(strstr(dn_error_message(), said[k]) && strstr(dn_error_message(), "w: in place"));
    }
    dn_mesh_destroy(&mesh);
    return 0;
}

static void memory_that_cannot_be_used_in_place_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run_on((int[DN_N_AXES]){2, 1, 1}, IN_PLACE, misplaced), 0);
}

TESTS(shard_library)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_every_mesh_as_the_optimizer_underneath),
        cmocka_unit_test(without_a_gradient_a_tensor_stays_as_it_is),
        cmocka_unit_test(weight_decay_changes_between_steps),
        cmocka_unit_test(parts_of_unequal_rows_are_matrices_of_their_own),
        cmocka_unit_test(without_a_mesh_too),
        cmocka_unit_test(a_gradient_that_is_no_number_changes_nothing),
        cmocka_unit_test(states_are_all_there_is_to_save),
        cmocka_unit_test(tensors_that_cannot_be_are_refused_by_name),
        cmocka_unit_test(settings_out_of_range_are_refused),
        cmocka_unit_test(memory_that_cannot_be_used_in_place_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
