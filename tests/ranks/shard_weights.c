/*
 * Fully sharded weights over random models on meshes of all shapes: what a rank opens is its whole share
 * along tp, bit for bit, whatever the gather; what it closes is the mean of all gradients, in rank order.
 */
#include "shard/weights.h"

#include "base/random.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "support/bf16.h"
#include "support/device.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PARAMS = 36, MAX_UNITS = 4, MAX_SIDE = 40, N_SEEDS = 10, N_POLICIES = 3 };

typedef struct model {
    dn_param params[MAX_PARAMS];
    size_t unit_of[MAX_PARAMS];
    size_t n, n_units;
    uint64_t seed;
} model;

typedef struct drawer {
    uint64_t seed, n;
} drawer;

static size_t draw(drawer *d, size_t low, size_t high)
{
    return low + (size_t)(dn_random_bits(d->seed, 0, d->n++) % (high - low + 1));
}

/* Sides from 1 on, so that parts are uneven, short and empty. */
static void draw_stack(drawer *d, model *m, size_t unit)
{
    static const dn_axis cuts[][2] = {{DN_TP, DN_FS}, {DN_FS, DN_TP}, {DN_FS, DN_N_AXES}, {DN_N_AXES, DN_FS}};
    const dn_axis *cut = cuts[draw(d, 0, 3)];
    size_t n = draw(d, 0, 1) ? 3 : 1, cols = draw(d, 1, 12), row_unit = draw(d, 1, 4),
           col_unit = draw(d, 1, 4);
    for (size_t i = 0; i < n; i++) {
        m->unit_of[m->n] = unit;
        m->params[m->n++] = (dn_param){.kind = DN_PARAM_MATRIX,
                                       .tensor.rows = draw(d, 1, 13),
                                       .tensor.cols = cols,
                                       .tensor.row_sharding = {cut[0], cut[0] == DN_N_AXES ? 0 : row_unit},
                                       .tensor.col_sharding = {cut[1], cut[1] == DN_N_AXES ? 0 : col_unit},
                                       .stack = i};
    }
}

static void draw_model(uint64_t seed, model *m)
{
    drawer d = {.seed = seed};
    *m = (model){.n_units = draw(&d, 1, MAX_UNITS), .seed = seed};
    for (size_t unit = 0; unit < m->n_units; unit++)
        for (size_t stacks = draw(&d, 1, 3); stacks > 0; stacks--)
            draw_stack(&d, m, unit);
}

/* Elements of room for all parameters on any rank: each stack starts at the same offset everywhere. */
static size_t model_room(const model *m, const int size[DN_N_AXES])
{
    size_t room = 0;
    for (size_t i = 0; i < m->n; i++)
        room += dn_param_max_size(&m->params[i], size);
    return room;
}

static void place_model(model *m, const dn_mesh *mesh, dn_buf *weights, dn_buf *grads)
{
    size_t start = 0, at = 0;
    for (size_t i = 0; i < m->n; i++) {
        dn_param *p = &m->params[i];
        at = p->stack == 0 ? start : at;
        p->block = dn_param_block(p, mesh->size, mesh->at);
        p->weight = dn_at(weights, at);
        p->grad = dn_at(grads, at);
        at += dn_param_size(p);
        start += dn_param_max_size(p, mesh->size);
    }
}

/* ---- numbers that say where they belong ---- */

/* Exact in float for versions up to 9. */
static dn_real weight_value(size_t param, size_t row, size_t col, int version)
{
    return (dn_real)(((size_t)version * MAX_PARAMS + param) * MAX_SIDE * MAX_SIDE + row * MAX_SIDE + col);
}

static dn_real gradient_value(const model *m, size_t param, size_t row, size_t col, int member, int micro)
{
    uint64_t index = ((uint64_t)micro * 16 + (uint64_t)member) * MAX_SIDE * MAX_SIDE + row * MAX_SIDE + col;
    return (dn_real)(dn_random_uniform(m->seed, param, index) - 0.5);
}

static void write_weights(const model *m, int version)
{
    for (size_t i = 0; i < m->n; i++) {
        const dn_param *p = &m->params[i];
        dn_real *to = behind(p->weight);
        for (size_t r = 0; r < p->block.rows; r++)
            for (size_t c = 0; c < p->block.cols; c++)
                *to++ = weight_value(i, p->block.row0 + r, p->block.col0 + c, version);
    }
}

static dn_range along_tp(const dn_mesh *mesh, dn_dim_sharding cut, size_t n)
{
    return cut.axis == DN_TP ? dn_shard_range(n, cut.unit, mesh->size[DN_TP], mesh->at[DN_TP])
                             : (dn_range){0, n};
}

/* Which parameter of the stack from `first` on, and which row of it, is row `row` of this rank's share. */
static size_t find_row(const model *m, const dn_mesh *mesh, size_t first, size_t *row)
{
    for (size_t i = first;; i++) {
        dn_range rows = along_tp(mesh, m->params[i].tensor.row_sharding, m->params[i].tensor.rows);
        if (*row < rows.end - rows.first) {
            *row += rows.first;
            return i;
        }
        *row -= rows.end - rows.first;
    }
}

/* ---- one stack of an open unit ---- */

typedef struct visit {
    dn_comm *comm;
    const model *m;
    const dn_mesh *mesh;
    dn_weights_policy policy;
    dn_weights *weights;
    dn_stream *stream;
    int version;
    bool backward;
    bool narrow; /* units have copies in bfloat16 */
    int micro;
} visit;

static int visit_element(const visit *v, size_t first, const dn_weight *w, const dn_weight_block *wb,
                         size_t r, size_t c)
{
    dn_comm *comm = v->comm;
    size_t row = wb->block.row0 + r, k = r * wb->block.cols + c;
    size_t i = find_row(v->m, v->mesh, first, &row);
    size_t col = wb->block.col0 + c +
                 along_tp(v->mesh, v->m->params[i].tensor.col_sharding, v->m->params[i].tensor.cols).first;
    RANKS_CHECK(wb->block.row0 + r < w->rows && wb->block.col0 + c < w->cols);
    RANKS_CHECK(((dn_real *)behind(wb->weight))[k] == weight_value(i, row, col, v->version));
    RANKS_CHECK((wb->narrow != NULL) == v->narrow);
    if (v->narrow)
        RANKS_CHECK(((uint16_t *)behind(wb->narrow))[k] == nearest_bf16((double)weight_value(i, row, col, v->version)));
    if (!v->backward)
        return 0;
    dn_real *grad = (dn_real *)behind(wb->grad) + k;
    RANKS_CHECK(v->mesh->size[DN_FS] == 1 || *grad == 0);
    *grad += gradient_value(v->m, i, row, col, v->mesh->at[DN_FS], v->micro);
    return 0;
}

/* Weights are read from the heap of their owner, of a rank in this one's domain, or from no heap at all. */
static int check_place(const visit *v, const dn_weight_block *wb)
{
    dn_comm *comm = v->comm;
    int holder = -1, me = dn_comm_rank(comm);
    for (int rank = 0; rank < dn_comm_size(comm); rank++)
        if (dn_world_owns(dn_comm_world(comm), rank, behind(wb->weight),
                          wb->block.rows * wb->block.cols * sizeof(dn_real)))
            holder = rank;
    if (v->policy == DN_WEIGHTS_PER_RANK)
        RANKS_CHECK(holder < 0 || holder == me);
    else
        RANKS_CHECK(holder >= 0);
    if (v->policy == DN_WEIGHTS_PER_DOMAIN)
        RANKS_CHECK(dn_comm_domain(comm, holder) == dn_comm_domain(comm, me));
    return 0;
}

static int visit_stack(const visit *v, size_t first)
{
    dn_comm *comm = v->comm;
    unsigned char covered[3 * MAX_SIDE * MAX_SIDE] = {0};
    const dn_weight *w = dn_weights_of(v->weights, first);
    for (size_t i = 0; i < w->n_blocks; i++) {
        const dn_weight_block *p = &w->blocks[i];
        RANKS_CHECK(p->block.rows > 0 && p->block.cols > 0 && check_place(v, p) == 0);
        for (size_t r = 0; r < p->block.rows; r++)
            for (size_t c = 0; c < p->block.cols; c++) {
                if (visit_element(v, first, w, p, r, c) != 0)
                    return 1;
                covered[(p->block.row0 + r) * MAX_SIDE + p->block.col0 + c]++;
            }
    }
    for (size_t r = 0; r < w->rows; r++)
        for (size_t c = 0; c < w->cols; c++)
            RANKS_CHECK(covered[r * MAX_SIDE + c] == 1);
    return 0;
}

/* The share is as large as tp makes it. */
static int check_share(const visit *v, size_t first)
{
    dn_comm *comm = v->comm;
    const dn_weight *w = dn_weights_of(v->weights, first);
    size_t rows = 0;
    for (size_t i = first; i == first || (i < v->m->n && v->m->params[i].stack > 0); i++) {
        dn_range part = along_tp(v->mesh, v->m->params[i].tensor.row_sharding, v->m->params[i].tensor.rows);
        rows += part.end - part.first;
    }
    dn_range cols =
        along_tp(v->mesh, v->m->params[first].tensor.col_sharding, v->m->params[first].tensor.cols);
    RANKS_CHECK(w->rows == rows && w->cols == cols.end - cols.first);
    RANKS_CHECK(v->mesh->size[DN_FS] > 1 || w->n_blocks <= 1);
    return 0;
}

static int visit_unit(const visit *v, size_t unit)
{
    dn_comm *comm = v->comm;
    RANKS_CHECK(dn_weights_unshard(v->weights, unit, v->backward) == DN_OK);
    RANKS_CHECK(dn_stream_sync(v->stream) == DN_OK); /* the host reads what kernels would */
    for (size_t i = 0; i < v->m->n; i++)
        if (v->m->unit_of[i] == unit && v->m->params[i].stack == 0 &&
            (check_share(v, i) != 0 || visit_stack(v, i) != 0))
            return 1;
    RANKS_CHECK(dn_weights_reshard(v->weights, unit, v->backward) == DN_OK);
    return 0;
}

static int pass(const visit *v)
{
    size_t n = v->m->n_units;
    for (size_t i = 0; i < n; i++)
        if (visit_unit(v, v->backward ? n - 1 - i : i) != 0)
            return 1;
    return 0;
}

/* ---- gradients ---- */

/* The sum in rank order, times the rounded 1/fs. */
static dn_real mean_gradient(const model *m, const dn_mesh *mesh, size_t i, size_t row, size_t col, int micro)
{
    int n = mesh->size[DN_FS];
    dn_real sum = gradient_value(m, i, row, col, 0, micro);
    for (int member = 1; member < n; member++)
        sum += gradient_value(m, i, row, col, member, micro);
    return n == 1 ? sum : sum * (dn_real)(1.0 / n);
}

/* Of micro-batches 0 .. n_micro-1, which accumulated in this order. */
static int check_gradients(const visit *v, int n_micro)
{
    dn_comm *comm = v->comm;
    RANKS_CHECK(dn_stream_sync(v->stream) == DN_OK);
    for (size_t i = 0; i < v->m->n; i++) {
        const dn_param *p = &v->m->params[i];
        const dn_real *found = behind(p->grad);
        for (size_t r = 0; r < p->block.rows; r++)
            for (size_t c = 0; c < p->block.cols; c++, found++) {
                dn_real expected = 0;
                for (int micro = 0; micro < n_micro; micro++)
                    expected += mean_gradient(v->m, v->mesh, i, p->block.row0 + r, p->block.col0 + c, micro);
                RANKS_CHECK(memcmp(found, &expected, sizeof expected) == 0);
            }
    }
    return 0;
}

static void zero_gradients(const model *m)
{
    for (size_t i = 0; i < m->n; i++)
        memset(behind(m->params[i].grad), 0, dn_param_size(&m->params[i]) * sizeof(dn_real));
}

/* ---- whole scenarios ---- */

typedef struct scenario {
    int size[DN_N_AXES];
    uint64_t seed;
} scenario;

static int n_ranks(const int size[DN_N_AXES])
{
    return size[DN_DP] * size[DN_FS] * size[DN_TP];
}

/* Two steps: owners write their weights, everybody evaluates, trains on two micro-batches, and leaves an
 * evaluation early, when a unit is being fetched that will not be used. */
static int two_steps(visit v)
{
    enum { N_MICRO = 2 };
    dn_comm *comm = v.comm;
    for (v.version = 1; v.version <= 2; v.version++) {
        write_weights(v.m, v.version);
        zero_gradients(v.m);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        v.backward = false;
        RANKS_CHECK(pass(&v) == 0);
        for (v.micro = 0; v.micro < N_MICRO; v.micro++)
            for (int backward = 0; backward < 2; backward++) {
                v.backward = backward;
                RANKS_CHECK(pass(&v) == 0);
            }
        RANKS_CHECK(check_gradients(&v, N_MICRO) == 0);
        v.backward = false;
        RANKS_CHECK(visit_unit(&v, 0) == 0);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    }
    return 0;
}

/* Each of two_steps makes three forward and two backward passes and opens the first unit once more. */
static int check_stats(const visit *v)
{
    dn_comm *comm = v->comm, *fs = dn_mesh_comm(v->mesh, DN_AXIS(DN_FS));
    dn_comm_stats stats = dn_comm_get_stats(fs, true);
    const uint64_t n = (uint64_t)v->mesh->size[DN_FS];
    const int unsharded[DN_N_AXES] = {1, 1, v->mesh->size[DN_TP]}, at[DN_N_AXES] = {0, 0, v->mesh->at[DN_TP]};
    uint64_t own = 0, whole = 0, reduced = 0, mine = 0;
    for (size_t i = 0; i < v->m->n; i++) {
        dn_block share = dn_param_block(&v->m->params[i], unsharded, at);
        uint64_t opened = v->m->unit_of[i] == 0 ? 2 * 6 : 2 * 5;
        own += opened * dn_param_size(&v->m->params[i]) * sizeof(dn_real);
        whole += opened * share.rows * share.cols * sizeof(dn_real);
        reduced += 4 * share.rows * share.cols * sizeof(dn_real);
        mine += 4 * dn_param_size(&v->m->params[i]) * sizeof(dn_real);
    }
    if (n == 1)
        own = whole = reduced = mine = 0;
    RANKS_CHECK(stats.payload[DN_TRAFFIC_WEIGHTS] == own);
    RANKS_CHECK(stats.by_collective[DN_ALL_GATHER] == own);
    RANKS_CHECK(stats.moved[DN_TRAFFIC_WEIGHTS] == whole - own);
    RANKS_CLOSE(stats.cluster[DN_TRAFFIC_WEIGHTS], (double)((n - 1) * whole) / (double)n,
                1e-9 * (double)whole); /* a sum of quotients */
    RANKS_CHECK(stats.payload[DN_TRAFFIC_GRADIENT] == reduced);
    RANKS_CHECK(stats.by_collective[DN_REDUCE_SCATTER] == reduced);
    RANKS_CHECK(stats.moved[DN_TRAFFIC_GRADIENT] == (n + 1) * mine); /* n copies read, one written */
    return 0;
}

static int check_heap(dn_comm *comm, const void *before, size_t expected)
{
    void *after;
    RANKS_CHECK(dn_comm_alloc(comm, 0, &after) == DN_OK);
    RANKS_CHECK((size_t)((const char *)after - (const char *)before) == expected);
    return 0;
}

static int train_model(dn_comm *comm, dn_mesh *mesh, uint64_t seed, dn_weights_policy policy)
{
    model m;
    dn_stream *stream;
    dn_weights *w;
    void *weights, *grads, *before;
    draw_model(seed, &m);
    size_t bytes = model_room(&m, mesh->size) * sizeof(dn_real);
    RANKS_CHECK(dn_comm_alloc_device(comm, bytes, &weights) == DN_OK && dn_comm_alloc_device(comm, bytes, &grads) == DN_OK);
    place_model(&m, mesh, weights, grads);
    RANKS_CHECK(dn_stream_create("ref", 1, &stream) == DN_OK);
    RANKS_CHECK(dn_comm_alloc(comm, 0, &before) == DN_OK);
    RANKS_CHECK(dn_weights_create(m.params, m.n, m.unit_of, mesh, policy, stream, &w) == DN_OK);
    RANKS_CHECK(
        check_heap(comm, before, dn_weights_heap_bytes(m.params, m.n, m.unit_of, mesh->size, policy)) == 0);
    visit v = {.comm = comm, .m = &m, .mesh = mesh, .policy = policy, .weights = w, .narrow = seed % 2, .stream = stream};
    if (v.narrow)
        RANKS_CHECK(dn_weights_narrow_units(w, false) == DN_OK);
    dn_comm_get_stats(dn_mesh_comm(mesh, DN_AXIS(DN_FS)), true);
    RANKS_CHECK(two_steps(v) == 0 && check_stats(&v) == 0);
    dn_weights_destroy(&w);
    dn_stream_destroy(&stream);
    return 0;
}

/* Domains are such that fs groups have members in one, in several and alone in one. */
static int train_models(dn_comm *unused, void *argument)
{
    const scenario *s = argument;
    dn_world *world = dn_comm_world(unused);
    dn_comm *comm;
    dn_mesh *mesh;
    for (int rank = 0; rank < dn_comm_size(unused); rank++)
        dn_world_set_domain(world, rank, rank % 4 / 2 + (rank == 0)); /* all tell the same */
    if (dn_comm_create(world, dn_comm_rank(unused), &comm) != DN_OK)
        return 1;
    RANKS_CHECK(dn_mesh_create(comm, s->size, &mesh) == DN_OK);
    for (uint64_t seed = s->seed; seed < s->seed + N_SEEDS; seed++)
        for (int policy = 0; policy < N_POLICIES; policy++)
            if (train_model(comm, mesh, seed, (dn_weights_policy)policy) != 0)
                return ranks_complain(comm, __FILE__, policy, "right; the number is the gather");
    dn_mesh_destroy(&mesh);
    dn_comm_destroy(&comm);
    return 0;
}

static size_t arena_bytes(const scenario *s)
{
    enum { PADDING = 1024 };
    size_t bytes = dn_mesh_heap_bytes(s->size);
    for (uint64_t seed = s->seed; seed < s->seed + N_SEEDS; seed++)
        for (int policy = 0; policy < N_POLICIES; policy++) {
            model m;
            draw_model(seed, &m);
            bytes += 2 * model_room(&m, s->size) * sizeof(dn_real) + PADDING +
                     dn_weights_heap_bytes(m.params, m.n, m.unit_of, s->size, (dn_weights_policy)policy);
        }
    return bytes;
}

static void run_mesh(int dp, int fs, int tp, ranks_kind kind)
{
    scenario s = {.size = {dp, fs, tp}, .seed = (uint64_t)(100 * (5 * tp + fs))};
    ranks_spec spec = {.kind = kind, .n_ranks = n_ranks(s.size), .arena_bytes = arena_bytes(&s)};
    if (ranks_run(&spec, train_models, &s, NULL) != 0)
        fail_msg("wrong on a mesh of %d x %d x %d", dp, fs, tp);
}

static void every_mesh_opens_all_weights_and_closes_mean_gradients(void **state)
{
    (void)state;
    for (int fs = 1; fs <= 5; fs++)
        for (int tp = 1; tp <= 3; tp++)
            run_mesh(1, fs, tp, AS_THREADS);
}

static void replicas_keep_to_themselves(void **state)
{
    (void)state;
    run_mesh(2, 2, 1, AS_THREADS);
    run_mesh(2, 3, 2, AS_THREADS);
}

static void processes_do_as_threads_do(void **state)
{
    (void)state;
    run_mesh(1, 3, 1, AS_PROCESSES);
    run_mesh(1, 2, 2, AS_PROCESSES);
}

/* ---- memory ---- */

static size_t largest_block(const dn_param *p, const int size[DN_N_AXES])
{
    size_t largest = 0;
    for (int rank = 0; rank < n_ranks(size); rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(size, rank, at);
        dn_block block = dn_param_block(p, size, at);
        largest = block.rows * block.cols > largest ? block.rows * block.cols : largest;
    }
    return largest;
}

static void memory_is_that_of_the_largest_parts(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        model m;
        draw_model(seed, &m);
        const int size[DN_N_AXES] = {1, 1 + (int)(seed % 5), 1 + (int)(seed / 5 % 3)},
                  unsharded[DN_N_AXES] = {1, 1, size[DN_TP]};
        size_t weights = 0, units[MAX_UNITS] = {0}, largest = 0;
        for (size_t i = 0; i < m.n; i++) {
            weights += largest_block(&m.params[i], size) * sizeof(dn_real);
            units[m.unit_of[i]] += largest_block(&m.params[i], unsharded) * sizeof(dn_real);
        }
        for (size_t unit = 0; unit < m.n_units; unit++)
            largest = size[DN_FS] > 1 && units[unit] > largest ? units[unit] : largest;
        for (int policy = 0; policy < N_POLICIES; policy++) {
            dn_weights_memory memory =
                dn_weights_memory_of(m.params, m.n, m.unit_of, size, (dn_weights_policy)policy);
            assert_int_equal(memory.weights, weights);
            assert_int_equal(memory.grads, weights);
            assert_int_equal(memory.staging, largest);
            assert_int_equal(memory.copies, policy == DN_WEIGHTS_IN_PLACE ? 0 : 2 * largest);
        }
    }
}

/* Where sides divide, a rank's parameters are exactly the whole over fs and tp; the rest does not grow. */
static void memory_of_parameters_falls_as_one_over_fs(void **state)
{
    (void)state;
    const size_t unit_of[] = {0, 1, 1};
    const dn_param params[] = {{.tensor.rows = 120,
                                .tensor.cols = 240,
                                .tensor.row_sharding = {DN_TP, 4},
                                .tensor.col_sharding = {DN_FS, 1}},
                               {.tensor.rows = 240,
                                .tensor.cols = 120,
                                .tensor.row_sharding = {DN_TP, 1},
                                .tensor.col_sharding = {DN_FS, 2}},
                               {.tensor.rows = 120,
                                .tensor.cols = 480,
                                .tensor.row_sharding = {DN_FS, 1},
                                .tensor.col_sharding = {DN_TP, 8}}};
    const size_t unit = (240 * 120 + 120 * 480) * sizeof(dn_real), whole = unit + 120 * 240 * sizeof(dn_real);
    for (int fs = 1; fs <= 6; fs++)
        for (int tp = 1; tp <= 2; tp++) {
            const int size[DN_N_AXES] = {2, fs, tp};
            size_t share = fs == 1 ? 0 : unit / (size_t)tp;
            dn_weights_memory memory = dn_weights_memory_of(params, 3, unit_of, size, DN_WEIGHTS_PER_RANK);
            assert_int_equal(memory.weights, whole / (size_t)(fs * tp));
            assert_int_equal(memory.grads, whole / (size_t)(fs * tp));
            assert_int_equal(memory.staging, share);
            assert_int_equal(memory.copies, 2 * share);
            if (fs > 1)
                assert_in_range(dn_weights_heap_bytes(params, 3, unit_of, size, DN_WEIGHTS_PER_DOMAIN),
                                3 * share, 3 * share + 2 * 128);
        }
}

/* ---- what goes wrong ---- */

static int share_what_fs_does_not_cut(dn_comm *comm, void *argument)
{
    const int size[DN_N_AXES] = {1, 2, 1};
    const size_t unit_of[] = {0};
    dn_param param = {
        .tensor.name = "gain", .tensor.rows = 1, .tensor.cols = 8, .tensor.col_sharding = {DN_TP, 1}};
    dn_mesh *mesh;
    dn_weights *w;
    RANKS_CHECK(dn_mesh_create(comm, size, &mesh) == DN_OK);
    RANKS_CHECK(dn_weights_create(&param, 1, unit_of, mesh, DN_WEIGHTS_IN_PLACE, NULL, &w) == DN_ERR_ARG);
    RANKS_CHECK(w == NULL && strstr(dn_error_message(), "gain"));
    dn_mesh_destroy(&mesh);
    return 0;
}

static void a_parameter_that_fs_does_not_cut_is_refused(void **state)
{
    (void)state;
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 2, .arena_bytes = 4 << 20};
    assert_int_equal(ranks_run(&spec, share_what_fs_does_not_cut, NULL, NULL), 0);
}

/* Units large enough that the one ahead is still being copied when rank 1 dies. The others end all the same,
 * after an error. */
static int lose_a_rank(dn_comm *comm, void *argument)
{
    enum { SIDE = 600, N = 3 };
    const int size[DN_N_AXES] = {1, dn_comm_size(comm), 1};
    const size_t unit_of[N] = {0, 1, 2};
    size_t bytes = SIDE * SIDE * sizeof(dn_real);
    dn_param params[N];
    dn_mesh *mesh;
    dn_stream *stream;
    dn_weights *w;
    void *memory;
    RANKS_CHECK(dn_mesh_create(comm, size, &mesh) == DN_OK && dn_stream_create("ref", 1, &stream) == DN_OK);
    RANKS_CHECK(dn_comm_alloc_device(comm, 2 * N * bytes, &memory) == DN_OK);
    for (size_t i = 0; i < N; i++) {
        params[i] = (dn_param){.tensor.rows = SIDE,
                               .tensor.cols = SIDE,
                               .tensor.row_sharding = {DN_FS, 1},
                               .tensor.col_sharding = {DN_TP, 1}};
        params[i].block = dn_param_block(&params[i], size, mesh->at);
        params[i].weight = dn_at(memory, 2 * i * SIDE * SIDE);
        params[i].grad = dn_at(memory, (2 * i + 1) * SIDE * SIDE);
    }
    RANKS_CHECK(dn_weights_create(params, N, unit_of, mesh, *(dn_weights_policy *)argument, stream, &w) ==
                DN_OK);
    dn_status status = dn_weights_unshard(w, 0, false); /* fails if rank 1 is quick to die */
    if (dn_comm_rank(comm) == 1)
        raise(SIGKILL);
    if (status == DN_OK)
        status = dn_weights_reshard(w, 0, false);
    for (size_t unit = N; unit-- > 0 && status == DN_OK;) {
        status = dn_weights_unshard(w, unit, true);
        if (status == DN_OK)
            status = dn_weights_reshard(w, unit, true);
    }
    RANKS_CHECK(status == DN_ERR_PEER);
    dn_weights_destroy(&w);
    RANKS_CHECK(w == NULL);
    dn_stream_destroy(&stream);
    dn_mesh_destroy(&mesh);
    return 0;
}

static void survivors_of_a_dead_rank_end_with_an_error(void **state)
{
    (void)state;
    for (dn_weights_policy policy = DN_WEIGHTS_IN_PLACE; policy <= DN_WEIGHTS_PER_RANK; policy++) {
        ranks_end ends[3];
        ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = 3, .arena_bytes = 64 << 20};
        assert_int_equal(ranks_run(&spec, lose_a_rank, &policy, ends), 1);
        assert_int_equal(ends[1].signal, SIGKILL);
    }
}

TESTS(shard_weights)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mesh_opens_all_weights_and_closes_mean_gradients),
        cmocka_unit_test(replicas_keep_to_themselves),
        cmocka_unit_test(processes_do_as_threads_do),
        cmocka_unit_test(memory_is_that_of_the_largest_parts),
        cmocka_unit_test(memory_of_parameters_falls_as_one_over_fs),
        cmocka_unit_test(a_parameter_that_fs_does_not_cut_is_refused),
        cmocka_unit_test(survivors_of_a_dead_rank_end_with_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
