/* The optimizer of all parameters on one replica: memory, states, restoring them, and gradients that are no
 * numbers. */
#include "shard/optimizer.h"

#include "support/allocations.h"
#include "support/close.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/optim_rig.h"
#include "support/tests.h"
#include "support/rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const rig_shape model[] = {{DN_PARAM_EMBEDDING, 11, 8}, {DN_PARAM_MATRIX, 8, 8},
                                  {DN_PARAM_MATRIX, 32, 8},    {DN_PARAM_MATRIX, 8, 31},
                                  {DN_PARAM_HEAD, 11, 8},      {DN_PARAM_VECTOR, 1, 8}};
enum { N_MODEL = sizeof model / sizeof *model };
static const int alone[DN_N_AXES] = {1, 1, 1};

static size_t size_of(const optim_rig *rig, size_t i)
{
    return dn_param_size(&rig->params[i]);
}

static void noise(optim_rig *rig, uint64_t step)
{
    for (size_t i = 0; i < rig->n_params; i++) {
        double *grad = dense_random(size_of(rig, i), 1, 100 * step + i);
        rig_set_grad(rig, i, grad);
        free(grad);
    }
}

static void train(optim_rig *rig, int n_steps)
{
    for (int t = 0; t < n_steps; t++) {
        noise(rig, rig->step);
        assert_int_equal(rig_step(rig, 0.01), DN_OK);
    }
}

static void heap_measure_is_exactly_what_creation_takes(void **state)
{
    (void)state;
    for (size_t k = 0; dn_rule_at(k / 2); k++) {
        const char *rule = dn_rule_at(k / 2)->name;
        dn_optim_config config = rig_config();
        config.state_precision = k % 2 ? DN_PRECISION_BFLOAT16 : DN_PRECISION_FULL;
        config.matrix_rule = rule;
        config.scalar_rule = "lion";
        config.orth_dion = config.adaptive_rank = is_rule(rule, "dion");
        optim_rig rig;
        assert_int_equal(rig_create(&rig, NULL, "ref", &config, model, N_MODEL), DN_OK);
        dn_optimizer *again;
        dn_comm *comm;
        dn_mesh *mesh;
        size_t bytes = dn_optimizer_heap_bytes(&config, rig.params, N_MODEL, alone);
        void *before, *after;
        assert_int_equal(dn_comm_create_alone(bytes + 256, &comm), DN_OK);
        assert_int_equal(dn_mesh_create(comm, alone, &mesh), DN_OK);
        assert_int_equal(dn_comm_alloc(comm, 128, &before), DN_OK);
        assert_int_equal(dn_optimizer_create(&config, rig.params, N_MODEL, rig.stream, mesh, &again), DN_OK);
        assert_int_equal(dn_comm_alloc(comm, 128, &after), DN_OK);
        assert_int_equal((char *)after - (char *)before, bytes + 128);
        dn_optimizer_destroy(&again);
        dn_mesh_destroy(&mesh);
        dn_comm_destroy(&comm);
        rig_destroy(&rig);
    }
}

static void states_have_their_names_and_shapes(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, model, N_MODEL), DN_OK);
    assert_int_equal(dn_optimizer_n_states(rig.optimizer), 12);
    const dn_tensor *q = rig_state(&rig, "dion.q", 3), *m = rig_state(&rig, "dion.momentum", 3);
    assert_true(q && q->rows == 8 && q->cols == 2);
    assert_true(m && m->rows == 8 && m->cols == 31 && !m->per_replica);
    assert_true(rig_state(&rig, "adamw.m", 0) && rig_state(&rig, "adamw.v", 5));
    rig_destroy(&rig);
    config.matrix_rule = config.scalar_rule = "lion";
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, model, N_MODEL), DN_OK);
    assert_int_equal(dn_optimizer_n_states(rig.optimizer), 6);
    assert_non_null(rig_state(&rig, "lion.m", 2));
    rig_destroy(&rig);
}

static void initial_bases_are_drawn_apart_from_the_seed_and_index(void **state)
{
    (void)state;
    const rig_shape twins[] = {{DN_PARAM_MATRIX, 8, 8}, {DN_PARAM_MATRIX, 8, 8}};
    dn_optim_config config = rig_config(), other = config;
    other.seed = 8;
    optim_rig a, b, c;
    assert_int_equal(rig_create(&a, NULL, "ref", &config, twins, 2), DN_OK);
    assert_int_equal(rig_create(&b, NULL, "ref", &config, twins, 2), DN_OK);
    assert_int_equal(rig_create(&c, NULL, "ref", &other, twins, 2), DN_OK);
    size_t bytes = 8 * 2 * sizeof(dn_real);
    assert_memory_equal(rig_state_data(&a, "dion.q", 1), rig_state_data(&b, "dion.q", 1), bytes);
    assert_memory_not_equal(rig_state_data(&a, "dion.q", 0), rig_state_data(&a, "dion.q", 1), bytes);
    assert_memory_not_equal(rig_state_data(&a, "dion.q", 0), rig_state_data(&c, "dion.q", 0), bytes);
    rig_destroy(&a), rig_destroy(&b), rig_destroy(&c);
}

/* Bytes of an element of a state. */
static size_t width_of(const optim_rig *rig, size_t state)
{
    return dn_type_bytes(dn_optimizer_state(rig->optimizer, state)->type);
}

/* Copies weights and all states. */
static void restore(optim_rig *to, const optim_rig *from)
{
    for (size_t i = 0; i < from->n_params; i++)
        memcpy(rig_weight(to, i), rig_weight(from, i), size_of(from, i) * sizeof(dn_real));
    for (size_t k = 0; k < dn_optimizer_n_states(from->optimizer); k++) {
        dn_shard a = rig_shard(to, k), b = rig_shard(from, k);
        memcpy(behind(a.data), behind(b.data), b.block.rows * b.block.cols * width_of(from, k));
    }
    to->step = from->step;
}

static void assert_same(const optim_rig *a, const optim_rig *b)
{
    for (size_t i = 0; i < a->n_params; i++)
        assert_memory_equal(rig_weight(a, i), rig_weight(b, i), size_of(a, i) * sizeof(dn_real));
    for (size_t k = 0; k < dn_optimizer_n_states(a->optimizer); k++) {
        dn_shard x = rig_shard(a, k), y = rig_shard(b, k);
        assert_memory_equal(behind(x.data), behind(y.data), x.block.rows * x.block.cols * width_of(a, k));
    }
}

/* [15] With sketches too: they are drawn from the step's number, not from a generator. */
static void restored_states_continue_bit_for_bit(void **state)
{
    (void)state;
    for (size_t k = 0; dn_rule_at(k / 2); k++) {
        dn_optim_config config = rig_config();
        config.state_precision = k % 2 ? DN_PRECISION_BFLOAT16 : DN_PRECISION_FULL;
        config.matrix_rule = dn_rule_at(k / 2)->name;
        config.orth = DN_ORTH_RCQR;
        config.ef_decay = config.row_beta2 = 0.9;
        optim_rig whole, first, second;
        assert_int_equal(rig_create(&whole, NULL, "ref", &config, model, N_MODEL), DN_OK);
        assert_int_equal(rig_create(&first, NULL, "ref", &config, model, N_MODEL), DN_OK);
        assert_int_equal(rig_create(&second, NULL, "ref", &config, model, N_MODEL), DN_OK);
        train(&whole, 6);
        train(&first, 3);
        restore(&second, &first);
        train(&second, 3);
        assert_same(&whole, &second);
        rig_destroy(&whole), rig_destroy(&first), rig_destroy(&second);
    }
}

/* A NaN or an infinity in any kind of parameter skips the step; the run then goes on as if it had not been.
 */
static void gradients_that_are_no_numbers_skip_the_step(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    optim_rig rig, spared;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, model, N_MODEL), DN_OK);
    assert_int_equal(rig_create(&spared, NULL, "ref", &config, model, N_MODEL), DN_OK);
    train(&rig, 2);
    train(&spared, 2);
    for (size_t i = 0; i < N_MODEL; i++) {
        noise(&rig, 77);
        rig_grad(&rig, i)[size_of(&rig, i) - 1] = (dn_real)(i % 2 ? NAN : INFINITY);
        assert_int_equal(rig_step(&rig, 0.01), DN_OK);
        assert_true(rig.report.skipped);
        assert_same(&rig, &spared);
    }
    rig.step = spared.step;
    train(&rig, 1);
    train(&spared, 1);
    assert_false(rig.report.skipped);
    assert_same(&rig, &spared);
    rig_destroy(&rig), rig_destroy(&spared);
}

/* Finite gradients that sum to infinity in P: no state to go on with, but weights stay. */
static void momentum_out_of_range_is_an_error_before_weights_change(void **state)
{
    (void)state;
    const rig_shape shape = {DN_PARAM_MATRIX, 8, 8};
    dn_optim_config config = rig_config();
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shape, 1), DN_OK);
    for (size_t i = 0; i < 64; i++) {
        rig_grad(&rig, 0)[i] = 1;
        rig_state_data(&rig, "dion.momentum", 0)[i] = (dn_real)(sizeof(dn_real) == 4 ? 3e38 : 1.7e308);
    }
    assert_int_equal(rig_step(&rig, 1), DN_ERR_NUMERIC);
    assert_non_null(strstr(dn_error_message(), "x0"));
    for (size_t i = 0; i < 64; i++)
        assert_true(rig_weight(&rig, 0)[i] == 0);
    rig_destroy(&rig);
}

/* After the first step: kernels take their scratch when they meet a size. */
static void assert_step_allocates_nothing(const dn_optim_config *config)
{
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "cpu", config, model, N_MODEL), DN_OK);
    train(&rig, 1);
    noise(&rig, 1);
    size_t before = allocations_so_far.requests;
    dn_status status = rig_step(&rig, 0.01);
    size_t requests = allocations_so_far.requests - before;
    assert_int_equal(status, DN_OK);
    assert_int_equal(requests, 0);
    rig_destroy(&rig);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    for (size_t k = 0; dn_rule_at(k); k++) {
        config.matrix_rule = dn_rule_at(k)->name;
        config.state_precision = DN_PRECISION_FULL;
        assert_step_allocates_nothing(&config);
        config.state_precision = DN_PRECISION_BFLOAT16;
        assert_step_allocates_nothing(&config);
    }
    config = rig_config();
    config.power_iters = 2;
    config.momentum_sync_every = 1;
    for (dn_orth orth = DN_ORTH_CQR2; orth <= DN_ORTH_RCQR; orth++) {
        config.orth = orth;
        config.orth_dion = orth != DN_ORTH_QR;
        assert_step_allocates_nothing(&config);
    }
}

/* Every kind of parameter decays by its group's rate times the step's factor; nothing of it stays. */
static void decay_follows_the_factor_of_the_step(void **state)
{
    (void)state;
    for (size_t n = 0; dn_rule_at(n); n++) {
        const double factors[] = {1, 0.25, 0, 1};
        dn_optim_config config = rig_config();
        config.matrix_rule = dn_rule_at(n)->name;
        for (size_t k = 0; k < DN_PARAM_N_KINDS; k++)
            config.groups[k].weight_decay = 0.5;
        optim_rig rig;
        assert_int_equal(rig_create(&rig, NULL, "ref", &config, model, N_MODEL), DN_OK);
        double right = 1;
        for (size_t i = 0; i < N_MODEL; i++)
            rig_weight(&rig, i)[0] = 1;
        for (uint64_t t = 0; t < 4; t++) {
            const dn_step_params step_params = {.step = t, .lr = 0.1, .decay = factors[t]};
            assert_int_equal(dn_optimizer_step(rig.optimizer, &step_params, &rig.report), DN_OK);
            right *= 1 - 0.1 * 0.5 * factors[t];
            for (size_t i = 0; i < N_MODEL; i++)
                assert_close((double)rig_weight(&rig, i)[0], right, 4 * DN_REAL_EPS);
        }
        rig_destroy(&rig);
    }
}

static void gradient_norm_covers_all_parameters(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, model, N_MODEL), DN_OK);
    for (size_t i = 0; i < N_MODEL; i++)
        rig_grad(&rig, i)[0] = 2;
    assert_int_equal(rig_step(&rig, 0.01), DN_OK);
    assert_close(rig.report.grad_norm, sqrt(4 * N_MODEL), 1e-12);
    rig_destroy(&rig);
}

/* ---- split ---- */

/* 12 x 10 as 3 matrices of 4 x 10 (wide), and 40 x 6 as 2 of 20 x 6 (tall), between others. */
static const rig_shape parents[] = {
    {DN_PARAM_MATRIX, 8, 8}, {DN_PARAM_MATRIX, 12, 10}, {DN_PARAM_MATRIX, 40, 6}, {DN_PARAM_MATRIX, 8, 8}};
static const rig_shape parts[] = {
    {DN_PARAM_MATRIX, 8, 8},  {DN_PARAM_MATRIX, 4, 10}, {DN_PARAM_MATRIX, 4, 10}, {DN_PARAM_MATRIX, 4, 10},
    {DN_PARAM_MATRIX, 20, 6}, {DN_PARAM_MATRIX, 20, 6}, {DN_PARAM_MATRIX, 8, 8}};
enum { N_PARENTS = 4, N_PARTS = 7 };

static void create_split(optim_rig *rig, const dn_optim_config *config, const size_t *splits)
{
    const rig_mesh mesh = {{1, 1, 1}, NULL, splits};
    assert_int_equal(rig_create_on(rig, NULL, &mesh, "cpu", config, parents, N_PARENTS), DN_OK);
}

/* The gradients of `from`, in the order of its numbers, to the parameters of `to`. */
static void hand_over_gradients(optim_rig *to, const optim_rig *from)
{
    size_t i = 0, at = 0;
    for (size_t k = 0; k < to->n_params; k++) {
        memcpy(rig_grad(to, k), rig_grad(from, i) + at, size_of(to, k) * sizeof(dn_real));
        at += size_of(to, k);
        if (at == size_of(from, i))
            i++, at = 0;
    }
}

static void assert_same_numbers(const optim_rig *parent, const optim_rig *part)
{
    size_t i = 0, at = 0;
    for (size_t k = 0; k < part->n_params; k++) {
        assert_memory_equal(rig_weight(part, k), rig_weight(parent, i) + at,
                            size_of(part, k) * sizeof(dn_real));
        at += size_of(part, k);
        if (at == size_of(parent, i))
            i++, at = 0;
    }
    assert_int_equal(dn_optimizer_n_states(parent->optimizer), dn_optimizer_n_states(part->optimizer));
    for (size_t k = 0; k < dn_optimizer_n_states(part->optimizer); k++) {
        dn_shard x = rig_shard(parent, k), y = rig_shard(part, k);
        assert_memory_equal(&x.block, &y.block, sizeof x.block);
        assert_memory_equal(behind(x.data), behind(y.data), x.block.rows * x.block.cols * sizeof(dn_real));
    }
}

/* Rank, orientation, scale and first basis of each part are those it has as a parameter of its own. */
static void assert_split_is_separate(const dn_optim_config *config)
{
    const size_t splits[N_PARENTS] = {1, 3, 2, 1};
    optim_rig split, separate;
    create_split(&split, config, splits);
    assert_int_equal(rig_create(&separate, NULL, "cpu", config, parts, N_PARTS), DN_OK);
    for (int t = 0; t < 3; t++) {
        noise(&split, split.step);
        hand_over_gradients(&separate, &split);
        assert_int_equal(rig_step(&split, 0.01), DN_OK);
        assert_int_equal(rig_step(&separate, 0.01), DN_OK);
        assert_same_numbers(&split, &separate);
    }
    rig_destroy(&split), rig_destroy(&separate);
}

static void a_split_matrix_is_as_many_matrices_bit_for_bit(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    config.groups[DN_PARAM_MATRIX].weight_decay = 0.1;
    for (size_t k = 0; dn_rule_at(k); k++) {
        if (!dn_rule_at(k)->matrices_only)
            continue; /* steps a split parameter whole */
        config.matrix_rule = dn_rule_at(k)->name;
        assert_split_is_separate(&config);
    }
}

static void states_of_a_split_matrix_are_numbered(void **state)
{
    (void)state;
    const size_t splits[N_PARENTS] = {1, 3, 2, 1};
    dn_optim_config config = rig_config();
    optim_rig split;
    create_split(&split, &config, splits);
    const dn_tensor *q = rig_state(&split, "dion.q", 0);
    assert_true(q && q->rows == 8);
    assert_null(rig_state(&split, "dion.q", 1)); /* but: */
    assert_string_equal(dn_optimizer_state(split.optimizer, 3)->name, "dion.q.x1.0");
    assert_string_equal(dn_optimizer_state(split.optimizer, 10)->name, "dion.momentum.x2.1");
    rig_destroy(&split);
}

static void assert_split_changes_nothing(const dn_optim_config *config, const size_t *splits)
{
    optim_rig split, whole;
    create_split(&split, config, splits);
    create_split(&whole, config, NULL);
    train(&split, 2), train(&whole, 2);
    assert_same(&split, &whole);
    assert_string_equal(dn_optimizer_state(split.optimizer, 2)->name,
                        dn_optimizer_state(whole.optimizer, 2)->name);
    rig_destroy(&split), rig_destroy(&whole);
}

static void a_split_into_one_or_for_an_element_wise_rule_changes_nothing(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    assert_split_changes_nothing(&config, (size_t[]){1, 0, 1, 0});
    config.matrix_rule = "adamw";
    assert_split_changes_nothing(&config, (size_t[]){2, 3, 2, 4});
}

static void splits_that_cannot_be_are_refused(void **state)
{
    (void)state;
    const rig_shape shapes[] = {{DN_PARAM_MATRIX, 12, 8}, {DN_PARAM_HEAD, 12, 8}};
    const size_t splits[][2] = {{5, 1}, {24, 1}, {3, 2}};
    const char *const said[] = {"x0", "x0", "x1"};
    dn_optim_config config = rig_config();
    for (size_t k = 0; k < 3; k++) {
        const rig_mesh mesh = {{1, 1, 1}, NULL, splits[k]};
        optim_rig rig;
        assert_int_equal(rig_create_on(&rig, NULL, &mesh, "ref", &config, shapes, 2), DN_ERR_ARG);
        assert_non_null(strstr(dn_error_message(), said[k]));
        rig_destroy(&rig);
    }
}

/* 5 becomes 2: exactly the step that gradients of 2/5 take; below the norm nothing changes. */
static void clipped_gradients_have_the_given_norm(void **state)
{
    (void)state;
    const rig_shape shape = {DN_PARAM_MATRIX, 8, 8};
    for (int below = 0; below < 2; below++) {
        dn_optim_config config = rig_config();
        config.clip_norm = below ? 6 : 2;
        optim_rig rig;
        assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shape, 1), DN_OK);
        rig_grad(&rig, 0)[3] = 3;
        rig_grad(&rig, 0)[20] = 4;
        assert_int_equal(rig_step(&rig, 0.01), DN_OK);
        double factor = below ? 1 : 0.4;
        assert_true(rig.report.grad_norm == 5 && rig.report.clip == factor);
        assert_true(rig_grad(&rig, 0)[3] == (dn_real)(factor * 3));
        assert_true(rig_grad(&rig, 0)[20] == (dn_real)(factor * 4));
        assert_int_equal(rig_step(&rig, 0.01), DN_OK);
        rig_destroy(&rig);
    }
}

/* Parameters in groups are stepped as if each had an optimizer of its own, set as its group says. */
static void groups_are_optimizers_of_their_own(void **state)
{
    (void)state;
    const rig_shape shapes[] = {{DN_PARAM_MATRIX, 12, 8},
                                {DN_PARAM_MATRIX, 8, 12},
                                {DN_PARAM_MATRIX, 9, 9},
                                {DN_PARAM_HEAD, 7, 8},
                                {DN_PARAM_MATRIX, 6, 10}};
    enum { N = sizeof shapes / sizeof *shapes };
    dn_optim_config all = rig_config(), own[N];
    all.matrix_rule = "muon";
    all.groups[DN_PARAM_MATRIX].weight_decay = 0.1;
    for (size_t i = 0; i < N; i++)
        own[i] = all;
    all.named_groups[0] = (dn_named_group){"x0", "dion2", NAN, NAN, 0.5};
    all.named_groups[1] = (dn_named_group){"x[0-2]", "adamw", 0.5, 0.25, NAN};
    all.named_groups[2] = (dn_named_group){"*3", NULL, 2, 0.5, NAN};
    all.n_named_groups = 3;
    own[0].matrix_rule = "dion2";
    own[0].rank_fraction = 0.5;
    own[1].matrix_rule = own[2].matrix_rule = "adamw";
    own[1].groups[DN_PARAM_MATRIX] = own[2].groups[DN_PARAM_MATRIX] = (dn_group_options){0.5, 0.25};
    own[3].groups[DN_PARAM_HEAD] = (dn_group_options){2, 0.5};
    optim_rig together, apart[N];
    assert_int_equal(rig_create(&together, NULL, "ref", &all, shapes, N), DN_OK);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(rig_create(&apart[i], NULL, "ref", &own[i], &shapes[i], 1), DN_OK);
    for (int step = 0; step < 3; step++) {
        for (size_t i = 0; i < N; i++) {
            double *grad = dense_random(shapes[i].rows, shapes[i].cols, i + N * (size_t)step);
            rig_set_grad(&together, i, grad);
            rig_set_grad(&apart[i], 0, grad);
            free(grad);
            assert_int_equal(rig_step(&apart[i], 0.02), DN_OK);
        }
        assert_int_equal(rig_step(&together, 0.02), DN_OK);
    }
    for (size_t i = 0; i < N; i++) {
        assert_memory_equal(rig_weight(&together, i), rig_weight(&apart[i], 0),
                            shapes[i].rows * shapes[i].cols * sizeof(dn_real));
        rig_destroy(&apart[i]);
    }
    rig_destroy(&together);
    all.named_groups[2].rule = "dion"; /* of a head */
    assert_int_equal(rig_create(&together, NULL, "ref", &all, shapes, N), DN_ERR_ARG);
    rig_destroy(&together);
}

static void expect_refused(const dn_optim_config *config, const char *field)
{
    dn_optimizer *optimizer;
    dn_stream *stream;
    dn_comm *comm;
    dn_mesh *mesh;
    assert_int_equal(dn_stream_create("ref", 1, &stream), DN_OK);
    assert_int_equal(dn_comm_create_alone(1024, &comm), DN_OK);
    assert_int_equal(dn_mesh_create(comm, alone, &mesh), DN_OK);
    dn_status status = dn_optimizer_create(config, NULL, 0, stream, mesh, &optimizer);
    if (status != DN_ERR_ARG || !strstr(dn_error_message(), field))
        fail_msg("%s: status %d, '%s'", field, (int)status, dn_error_message());
    dn_mesh_destroy(&mesh);
    dn_comm_destroy(&comm);
    dn_stream_destroy(&stream);
}

static void settings_out_of_range_are_refused(void **state)
{
    (void)state;
    const dn_key *option;
    for (size_t i = 0; (option = dn_option_at(i)); i++)
        for (int k = 0; k < 3; k++) {
            dn_optim_config config = dn_optim_defaults();
            void *field = (char *)&config + option->offset;
            const double reals[] = {option->min - 1, option->max * 2, NAN};
            if (option->type == DN_KEY_REAL)
                *(double *)field = reals[k];
            else if (option->type == DN_KEY_INT)
                *(int64_t *)field = k == 1 ? (int64_t)option->max + 1 : (int64_t)option->min - 1;
            else if (option->type == DN_KEY_ENUM)
                memcpy(field, &(int){k == 1 ? 16 : -1}, sizeof(int));
            else
                continue;
            expect_refused(&config, option->field);
        }
    static const double no_rates[] = {-1, -1e-300, 1.1e6, INFINITY, NAN};
    for (size_t i = 0; i < 2 * 5; i++) {
        dn_optim_config scale = dn_optim_defaults(), decay = scale, named = scale;
        double rate = no_rates[i % 5];
        scale.groups[i / 5 ? DN_PARAM_VECTOR : DN_PARAM_EMBEDDING].lr_scale = rate;
        decay.groups[i / 5 ? DN_PARAM_VECTOR : DN_PARAM_HEAD].weight_decay = rate;
        named.n_named_groups = 1;
        named.named_groups[0] = (dn_named_group){"*", NULL, i / 5 ? NAN : rate, i / 5 ? rate : NAN, NAN};
        expect_refused(&scale, "lr_scale");
        expect_refused(&decay, "weight_decay");
        if (!isnan(rate))
            expect_refused(&named, "group *");
    }
    dn_optim_config bad[4] = {rig_config(), rig_config(), rig_config(), rig_config()};
    bad[0].scalar_rule = "dion";
    bad[1].scalar_rule = "muon";
    bad[2].matrix_rule = "soap?";
    bad[3].scalar_rule = NULL;
    for (size_t k = 0; k < 4; k++)
        expect_refused(&bad[k], k == 2 ? "matrices" : "head");
}

/* What a program that steps matrices of its own gets, and the lists of options in the rows. */
static void defaults_are_within_ranges_and_decays_are_options(void **state)
{
    (void)state;
    const dn_optim_config config = dn_optim_defaults();
    assert_int_equal(dn_optimizer_check(&config), DN_OK);
    assert_true(config.mu == 0.95 && config.rank_fraction == 0.25 && config.eps == 1e-8 && config.power_iters == 1);
    assert_true(config.groups[DN_PARAM_MATRIX].weight_decay == 0.01 && config.groups[DN_PARAM_HEAD].lr_scale == 1);
    for (size_t k = 0; dn_rule_at(k); k++) {
        const dn_rule *rule = dn_rule_row(dn_rule_at(k)->name);
        for (size_t i = 0; i < DN_MAX_STATES && rule->decays[i]; i++)
            if (!dn_rule_takes(&rule->info, rule->decays[i]->name) || rule->decays[i]->type != DN_KEY_REAL)
                fail_msg("%s: %s is no option of it", rule->info.name, rule->decays[i]->name);
    }
    const dn_key *a, *b;
    for (size_t i = 0; (a = dn_option_at(i)); i++)
        for (size_t k = 0; k < i && (b = dn_option_at(k)); k++)
            if (a->offset == b->offset || strcmp(a->name, b->name) == 0)
                fail_msg("%s and %s are one field, or one key", a->field, b->field);
}

/* 1.11: 8 m n r and the orthonormalization, for one matrix; AdamW counts nothing. */
static void flops_follow_their_formula(void **state)
{
    (void)state;
    const rig_shape shapes[] = {{DN_PARAM_MATRIX, 32, 8}, {DN_PARAM_HEAD, 11, 8}};
    dn_optim_config config = rig_config();
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, shapes, 2), DN_OK);
    assert_close(dn_optimizer_flops(rig.optimizer), (8.0 * 32 * 8 * 2 + 4 * 32 * 4 - 4.0 / 3 * 8), 1e-9);
    rig_destroy(&rig);
}

TESTS(shard_optimizer)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_measure_is_exactly_what_creation_takes),
        cmocka_unit_test(states_have_their_names_and_shapes),
        cmocka_unit_test(initial_bases_are_drawn_apart_from_the_seed_and_index),
        cmocka_unit_test(restored_states_continue_bit_for_bit),
        cmocka_unit_test(gradients_that_are_no_numbers_skip_the_step),
        cmocka_unit_test(momentum_out_of_range_is_an_error_before_weights_change),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(decay_follows_the_factor_of_the_step),
        cmocka_unit_test(gradient_norm_covers_all_parameters),
        cmocka_unit_test(a_split_matrix_is_as_many_matrices_bit_for_bit),
        cmocka_unit_test(states_of_a_split_matrix_are_numbered),
        cmocka_unit_test(a_split_into_one_or_for_an_element_wise_rule_changes_nothing),
        cmocka_unit_test(splits_that_cannot_be_are_refused),
        cmocka_unit_test(clipped_gradients_have_the_given_norm),
        cmocka_unit_test(groups_are_optimizers_of_their_own),
        cmocka_unit_test(settings_out_of_range_are_refused),
        cmocka_unit_test(defaults_are_within_ranges_and_decays_are_options),
        cmocka_unit_test(flops_follow_their_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
