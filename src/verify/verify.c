/* The operation on one rank, or on replicas of one rank, then on one mesh after another. */
#include "verify/inside.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "report/progress.h"
#include "tensor/axes.h"

#include <stdlib.h>
#include <string.h>

typedef int mesh_size[DN_N_AXES];

/* One comparison, on one rank. */
typedef struct comparison {
    dn_comm *world;
    const dn_verify_options *options;
    dn_verify_fn fn;
    void *context;
    mesh_size *meshes; /* in the order in which they are run */
    size_t n_meshes, capacity;
    dn_verify v;
    dn_progress progress;
    dn_verify_report *report;
} comparison;

/* ---- options ---- */

dn_verify_options dn_verify_defaults(void)
{
    return (dn_verify_options){.tolerance = DN_REAL == DN_F64 ? 1e-12 : 1e-4,
                               .heap_bytes = (size_t)16 << 20,
                               .reference_bytes = (size_t)16 << 20};
}

static bool one_mesh(const dn_verify_options *o)
{
    return o->mesh[DN_DP] != 0 || o->mesh[DN_FS] != 0 || o->mesh[DN_TP] != 0 || o->mesh[DN_PP] != 0;
}

static int n_ranks_of(const int size[DN_N_AXES])
{
    return dn_axes_size(size, DN_ALL_AXES);
}

static int most_ranks(const dn_verify_options *o, int n_ranks)
{
    if (one_mesh(o))
        return n_ranks_of(o->mesh);
    return o->max_ranks ? o->max_ranks : n_ranks;
}

static dn_status check(const dn_verify_options *o, int n_ranks)
{
    bool sizes = !one_mesh(o);
    if (!(o->tolerance >= 0) || o->max_ranks < 0)
        return dn_fail(DN_ERR_ARG, "verify with a tolerance of %g and up to %d ranks: neither is negative",
                       o->tolerance, o->max_ranks);
    for (int axis = 0; axis < DN_N_AXES; axis++)
        if (!sizes && (o->mesh[axis] < (axis != DN_PP) || o->mesh[axis] > n_ranks))
            return dn_fail(DN_ERR_CONFIG,
                           "verify on a mesh of %d x %d x %d: each size is from 1 to the %d ranks",
                           o->mesh[DN_DP], o->mesh[DN_FS], o->mesh[DN_TP], n_ranks);
    if (most_ranks(o, n_ranks) > n_ranks)
        return dn_fail(DN_ERR_CONFIG, "verify on %d ranks, and there are %d: launch with -n %d",
                       most_ranks(o, n_ranks), n_ranks, most_ranks(o, n_ranks));
    return DN_OK;
}

/* ---- meshes ---- */

/* A replica's ranks are on one node (docs/nodes.md): where they would not be, there is no such mesh. */
static dn_status add_mesh(comparison *c, int dp, int pp, int fs, int tp)
{
    const int replica = pp * fs * tp;
    if (dn_comm_torn(c->world, dp * replica, replica) >= 0)
        return one_mesh(c->options) ? dn_fail(DN_ERR_CONFIG, "verify on a mesh of %d x %d x %d x %d: %d ranks are a replica, and are on "
                                                             "several nodes", dp, pp, fs, tp, replica)
                                    : DN_OK;
    mesh_size *meshes = dn_verify_grow(c->meshes, c->n_meshes, &c->capacity, sizeof *meshes);
    if (!meshes)
        return dn_verify_no_memory();
    c->meshes = meshes;
    memcpy(meshes[c->n_meshes++], (mesh_size){dp, fs, tp, pp}, sizeof *meshes);
    return DN_OK;
}

static int most_replicas(const comparison *c, int n)
{
    int most = c->options->max_replicas;
    return most && most < n ? most : n;
}

/* All meshes of so many replicas of n ranks each. */
static dn_status add_replicas_of(comparison *c, int dp, int n)
{
    if (c->options->max_shards && n > c->options->max_shards)
        return DN_OK;
    for (int pp = 1; (pp == 1 || pp <= c->options->max_stages) && pp <= n; pp++)
        for (int rest = n / pp, fs = rest; n % pp == 0 && fs >= 1; fs--)
            if (rest % fs == 0)
                DN_TRY(add_mesh(c, dp, pp, fs, rest / fs));
    return DN_OK;
}

/* All factorizations of a number of ranks, most replicas first. */
static dn_status add_meshes_of(comparison *c, int n)
{
    for (int dp = most_replicas(c, n); dp >= 1; dp--)
        if (n % dp == 0)
            DN_TRY(add_replicas_of(c, dp, n / dp));
    return DN_OK;
}

static dn_status list_meshes(comparison *c)
{
    const int *only = c->options->mesh;
    int most = most_ranks(c->options, dn_comm_size(c->world));
    bool by_replicas = c->options->by_replicas;
    if (one_mesh(c->options)) {
        DN_TRY(add_mesh(c, by_replicas ? only[DN_DP] : 1, 1, 1, 1));
        bool is_reference = n_ranks_of(only) == n_ranks_of(c->meshes[0]);
        return is_reference ? DN_OK : add_mesh(c, only[DN_DP], dn_axis_size(only, DN_PP), only[DN_FS], only[DN_TP]);
    }
    for (int dp = 1; by_replicas && dp <= most_replicas(c, most); dp++)
        for (int n = 1; dp * n <= most; n++)
            DN_TRY(add_replicas_of(c, dp, n));
    for (int n = 1; !by_replicas && n <= most; n++)
        DN_TRY(add_meshes_of(c, n));
    return DN_OK;
}

static bool is_reference(const comparison *c, size_t i)
{
    return i == 0 || (c->options->by_replicas && n_ranks_of(c->meshes[i]) == c->meshes[i][DN_DP]);
}

/* ---- heap ---- */

static size_t rounded(size_t bytes)
{
    return dn_size_add(bytes, 127) / 128 * 128;
}

static size_t heap_of_mesh(const dn_verify_options *o, const int size[DN_N_AXES])
{
    return dn_size_add(rounded(o->heap_bytes), dn_mesh_heap_bytes(size));
}

size_t dn_verify_heap_bytes(const dn_verify_options *options, int n_ranks)
{
    size_t most = 0;
    int n = most_ranks(options, n_ranks);
    for (int dp = 1; dp <= n; dp++) {
        for (int fs = 1; dp * fs <= n; fs++) {
            for (int tp = 1; dp * fs * tp <= n; tp++)
                for (int pp = 1; dp * fs * tp * pp <= n; pp++)
                    most = dn_max(most, heap_of_mesh(options, (mesh_size){dp, fs, tp, pp}));
        }
    }
    /* A split of all ranks takes what a mesh of one row does. */
    size_t split = dn_mesh_heap_bytes((mesh_size){1, 1, n_ranks > 2 ? n_ranks : 2});
    return dn_size_add(dn_size_add(rounded(options->reference_bytes), split), most);
}

static dn_status say_what_to_give(const comparison *c, dn_status status)
{
    if (status != DN_ERR_MEMORY)
        return status;
    return dn_fail(DN_ERR_MEMORY,
                   "verify needs %zu bytes of heap (dn_verify_heap_bytes), join with as many: %s",
                   dn_verify_heap_bytes(c->options, dn_comm_size(c->world)), dn_error_message());
}

/* ---- one mesh ---- */

/* On the ranks of a mesh: its groups, the operation, and an end of the groups. No bug is planted while the reference
 * is made. */
static dn_status operate(comparison *c, dn_comm *all, const int size[DN_N_AXES])
{
    dn_mesh *mesh;
    DN_TRY(dn_mesh_create(all, size, &mesh));
    dn_plant_begin(&c->v.plant, c->v.is_reference || c->v.rounding ? DN_BUG_NONE : dn_bug_chosen(), mesh);
    c->v.mesh = mesh;
    dn_status status = c->fn(&c->v, mesh, c->context);
    dn_plant_end(&c->v.plant);
    dn_mesh_destroy(&mesh);
    return status;
}

/* Runs the operation on the first ranks and gathers what they have shown. */
static dn_status run_mesh(comparison *c, const int size[DN_N_AXES], dn_gathered *out)
{
    dn_comm *all;
    dn_status status = DN_OK;
    size_t mark = dn_comm_heap_mark(c->world);
    bool member = dn_comm_rank(c->world) < n_ranks_of(size);
    double start_s = dn_clock_s();
    c->v.n_records = 0;
    status = dn_comm_split(c->world, member ? 0 : -1, 0, heap_of_mesh(c->options, size), &all);
    if (status != DN_OK)
        return say_what_to_give(c, status);
    if (member)
        status = operate(c, all, size);
    dn_comm_destroy(&all);
    DN_TRY(dn_verify_gather(c->world, &c->v, status, member ? dn_clock_s() - start_s : 0, out));
    return dn_comm_heap_release(c->world, mark);
}

static dn_status judge_mesh(comparison *c, size_t i)
{
    dn_gathered gathered;
    dn_status status = run_mesh(c, c->meshes[i], &gathered);
    if (status == DN_OK)
        status = dn_verify_judge(c->report, &c->v.reference, c->meshes[i], false, &gathered);
    dn_gathered_free(&gathered);
    return status;
}

/* ---- the reference ---- */

static dn_status check_reference(comparison *c, const dn_gathered *g)
{
    size_t n_judged = 0, need = dn_reference_needs(&c->v.reference), has = c->options->reference_bytes;
    for (size_t i = 0; i < g->n; i++)
        n_judged += g->records[i].kind != DN_VERIFY_AMOUNT;
    if (g->status != DN_OK)
        return dn_fail(g->status, "verify: the reference failed: %s", g->message);
    if (n_judged == 0)
        return dn_fail(DN_ERR_ARG, "verify: the reference shows nothing that could be wrong");
    /* Ranks that are not of the reference have not placed the tensors; the first is. */
    if (need > has)
        return dn_fail(DN_ERR_MEMORY,
                       "verify: the reference's tensors need %zu bytes of each rank's heap, and "
                       "dn_verify_options.reference_bytes is %zu: give %zu, or show less",
                       need, has, need);
    return DN_OK;
}

/* All ranks end alike, so what only the first has noticed the others must hear. */
static dn_status agree(dn_comm *world, dn_status status)
{
    struct {
        dn_status status;
        char message[256];
    } said = {.status = status};
    snprintf(said.message, sizeof said.message, "%.255s", status == DN_OK ? "" : dn_error_message());
    DN_TRY(dn_comm_broadcast(world, &said, sizeof said, 0, DN_TRAFFIC_CONTROL));
    return said.status == DN_OK ? DN_OK : dn_fail(said.status, "%s", said.message);
}

static dn_status make_reference(comparison *c, size_t i)
{
    dn_gathered gathered;
    dn_reference_clear(&c->v.reference);
    c->v.is_reference = true;
    dn_status status = run_mesh(c, c->meshes[i], &gathered);
    c->v.is_reference = false;
    if (status == DN_OK)
        status = agree(c->world, check_reference(c, &gathered));
    if (status == DN_OK)
        status = dn_reference_learn(&c->v.reference, &gathered);
    if (status == DN_OK)
        status = dn_verify_judge(c->report, &c->v.reference, c->meshes[i], true, &gathered);
    dn_gathered_free(&gathered);
    return status;
}

static dn_status measure_rounding(comparison *c, size_t i)
{
    dn_gathered gathered;
    c->v.rounding = true;
    dn_status status = run_mesh(c, c->meshes[i], &gathered);
    c->v.rounding = false;
    if (status == DN_OK && gathered.status != DN_OK)
        status = dn_fail(gathered.status, "verify: the reference with rounding failed: %s", gathered.message);
    if (status == DN_OK)
        status = dn_verify_judge_rounding(c->report, &c->v.reference, &gathered);
    dn_gathered_free(&gathered);
    return status;
}

/* ---- all of it ---- */

static void show_progress(comparison *c, size_t done)
{
    char text[64] = "";
    if (!c->options->progress || dn_comm_rank(c->world) != 0)
        return;
    if (done < c->n_meshes)
        snprintf(text, sizeof text, "dp %d pp %d fs %d tp %d", c->meshes[done][DN_DP], c->meshes[done][DN_PP], c->meshes[done][DN_FS],
                 c->meshes[done][DN_TP]);
    dn_progress_show(&c->progress, done, text);
}

static dn_status run_all(comparison *c)
{
    for (size_t i = 0; i < c->n_meshes; i++) {
        show_progress(c, i);
        dn_comm_tick(c->world, i, "verify");
        DN_TRY(is_reference(c, i) ? make_reference(c, i) : judge_mesh(c, i));
        if (is_reference(c, i) && c->options->rounding)
            DN_TRY(measure_rounding(c, i));
    }
    show_progress(c, c->n_meshes);
    return DN_OK;
}

static dn_status run_with_store(comparison *c)
{
    bool shows = c->options->progress && dn_comm_rank(c->world) == 0;
    DN_TRY(list_meshes(c));
    dn_status status = dn_reference_init(&c->v.reference, c->world, c->options->reference_bytes);
    if (status != DN_OK)
        return say_what_to_give(c, status);
    if (shows)
        dn_progress_begin(&c->progress, c->options->progress, 0, c->n_meshes);
    status = run_all(c);
    if (shows)
        dn_progress_end(&c->progress);
    return status;
}

dn_status dn_verify_run(dn_comm *world, const dn_verify_options *options, dn_verify_fn fn, void *context,
                        dn_verify_report **out)
{
    comparison c = {.world = world, .options = options, .fn = fn, .context = context};
    size_t mark = dn_comm_heap_mark(world);
    *out = NULL;
    DN_TRY(check(options, dn_comm_size(world)));
    c.report = calloc(1, sizeof *c.report);
    if (!c.report)
        return dn_fail(DN_ERR_MEMORY, "no memory for the report of a comparison");
    c.report->tolerance = options->tolerance;
    c.report->by_replicas = options->by_replicas;
    dn_status status = run_with_store(&c);
    dn_reference_free(&c.v.reference);
    free(c.v.records);
    free(c.meshes);
    if (status == DN_OK)
        status = dn_comm_heap_release(world, mark);
    if (status != DN_OK)
        dn_verify_report_destroy(&c.report);
    *out = c.report;
    return status;
}
