/* `dionode bench comm`: the launcher checks the options and starts workers, which measure; rank 0 prints. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/human.h"
#include "base/output.h"
#include "base/printable.h"
#include "base/size.h"
#include "bench/measure.h"
#include "bench/sizes.h"
#include "bench/table.h"
#include "bench/triad.h"
#include "bench/versus.h"
#include "comm/world.h"
#include "device/device.h"
#include "device/devices.h"
#include "device/place.h"
#include "dionode/launch.h"
#include "dionode/version.h"
#include "launch/nodes.h"
#include "topo/domains.h"
#include "train/alike.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define DEADLINE_S    60.0
#define TRIAD_FLOOR   ((size_t)64 << 20)
#define TRIAD_REPEATS 20
#define ARENA_UNIT    ((size_t)2 << 20) /* shm/world.h */

dn_bench_comm_options dn_bench_comm_defaults(void)
{
    return (dn_bench_comm_options){.op = "all",
                                   .type = sizeof(dn_real) == sizeof(float) ? "float" : "double",
                                   .redop = "sum",
                                   .device = dn_device_all()[0]->name,
                                   .min_bytes = 4,
                                   .max_bytes = (size_t)64 << 20,
                                   .factor = 4,
                                   .n_samples = 50,
                                   .n_warmup = 5,
                                   .check = true};
}

/* ---- launcher ---- */

static dn_status check_options(const dn_bench_comm_options *o, int n_workers, int n_nodes)
{
    dn_op redop;
    dn_type type;
    size_t n_ops = 0;
    int least_ranks = 0;
    bool between_nodes = false;
    bool found = strcmp(o->op, "all") == 0;
    for (; dn_bench_ops[n_ops].name; n_ops++)
        if (strcmp(dn_bench_ops[n_ops].name, o->op) == 0) {
            found = true;
            least_ranks = dn_bench_ops[n_ops].least_ranks;
            between_nodes = dn_bench_ops[n_ops].between_nodes;
        }
    if (!found) {
        const char *nearest = dn_nearest_name(o->op, &dn_bench_ops->name, n_ops, sizeof *dn_bench_ops);
        if (nearest)
            return dn_fail(DN_ERR_CONFIG, "no collective '%s'; did you mean '%s'?", o->op, nearest);
        return dn_fail(DN_ERR_CONFIG, "no collective '%s': see dionode bench comm --help", o->op);
    }
    if (n_workers < least_ranks)
        return dn_fail(DN_ERR_CONFIG, "--op %s needs %d ranks: --np %d", o->op, least_ranks, least_ranks);
    if (between_nodes && n_nodes < 2)
        return dn_fail(DN_ERR_CONFIG, "--op %s needs two nodes: --nodes 2x1 pretends them, mpirun starts on real ones", o->op);
    if (!dn_bench_type(o->type, &type))
        return dn_fail(DN_ERR_CONFIG, "-d %s: must be float, double, bfloat16, int32 or int64", o->type);
    const dn_device *const *device = dn_device_all();
    while (*device && strcmp((*device)->name, o->device) != 0)
        device++;
    if (!*device)
        return dn_fail(DN_ERR_CONFIG, "--device %s: must be one of " DN_DEVICE_NAMES, o->device);
    if (!dn_bench_redop(o->redop, &redop))
        return dn_fail(DN_ERR_CONFIG, "-o %s: must be sum, avg, min or max", o->redop);
    if (o->max_bytes < o->min_bytes || (!o->step_bytes && o->factor < 2) || o->n_samples < 1 ||
        o->n_warmup < 0)
        return dn_fail(DN_ERR_CONFIG,
                       "no sizes to measure from %zu to %zu bytes by factor %d, samples %d: check -b, "
                       "-e, -f and -n",
                       o->min_bytes, o->max_bytes, o->factor, o->n_samples);
    if (o->root < 0 || o->root >= n_workers)
        return dn_fail(DN_ERR_CONFIG, "-r %d: must be a rank from 0 to %d", o->root, n_workers - 1);
    return DN_OK;
}

/* Together four times all last-level caches, so that little of one repetition is cached for the next. */
static size_t triad_bytes(const dn_bench_comm_options *options, const dn_topo *topo)
{
    if (options->triad_bytes)
        return dn_bench_stride(options->triad_bytes);
    size_t n_arrays = 3 * (size_t)dn_topo_n_workers(topo);
    size_t bytes = 4 * dn_topo_cache_bytes(topo) / n_arrays;
    return dn_bench_stride(bytes > TRIAD_FLOOR ? bytes : TRIAD_FLOOR);
}

static size_t arena_bytes(const dn_bench_comm_options *options, const dn_topo *topo)
{
    size_t collectives = dn_bench_region_bytes(options), triad = 3 * triad_bytes(options, topo);
    return dn_bench_buffers_bytes(options) + (collectives > triad ? collectives : triad);
}

static dn_status print_machine(const dn_bench_comm_options *o, const dn_topo *topo)
{
    char caches[24];
    struct utsname system;
    const dn_machine *m = dn_topo_machine(topo);
    uname(&system);
    printf("# dionode %s bench comm\n", dn_version());
    printf("# machine %s, %d package%s, %d NUMA domain%s, %d core%s, %d PU%s (%d usable), "
           "last-level caches %s, %s %s\n",
           system.machine, m->n_packages, dn_plural(m->n_packages), m->n_numa, dn_plural(m->n_numa),
           m->n_cores, dn_plural(m->n_cores), m->n_pus, dn_plural(m->n_pus), m->n_usable,
           dn_human_size((double)dn_topo_cache_bytes(topo), caches, sizeof caches), system.sysname,
           system.release);
    printf("# ranks %d  minBytes %zu  maxBytes %zu  ", dn_topo_n_workers(topo), o->min_bytes, o->max_bytes);
    if (o->step_bytes)
        printf("step %zu(bytes)  ", o->step_bytes);
    else
        printf("step %d(factor)  ", o->factor);
    printf("warmup %d  samples %d  validation %d  buffers %s\n", o->n_warmup, o->n_samples, o->check,
           o->clean_buffers ? "clean" : "dirty (written before each sample)");
    printf("# a sample is the slowest rank's time from leaving a barrier to the end of its calls, per call, "
           "of up to\n"
           "# %d calls back to back on separate buffers (up to %zu KiB in all, otherwise one call)\n",
           DN_BENCH_BATCH_MAX, DN_BENCH_BATCH_BYTES >> 10);
    return dn_flush(stdout);
}

static dn_status launch(const dn_bench_comm_options *options, const dn_topo *topo, char *const *argv,
                        int *signal_out)
{
    DN_TRY(check_options(options, dn_topo_n_workers(topo), options->nodes[0] ? options->nodes[0] : 1));
    if (!dn_topo_machine(topo)->this_system)
        return dn_fail(DN_ERR_CONFIG, "only this machine can be measured: unset HWLOC_SYNTHETIC and "
                                      "HWLOC_XMLFILE");
    DN_TRY(print_machine(options, topo));
    if (options->versus_mpi)
        DN_TRY(dn_versus_mpi_run(options, dn_topo_n_workers(topo), dn_topo_machine(topo)->n_here));
    if (options->nodes[0]) {
        pid_t pid;
        return dn_launch_nodes(options->nodes, NULL, argv, &pid);
    }
    dn_launch_spec spec = {
        .topo = topo, .argv = argv, .arena_bytes = arena_bytes(options, topo), .deadline_s = DEADLINE_S};
    return dn_launch(&spec, signal_out);
}

dn_status dn_bench_comm(const dn_bench_comm_options *options, int n_workers, char *const *argv,
                        int *signal_out)
{
    dn_topo *topo;
    if (n_workers == 0 && options->nodes[0])
        n_workers = options->nodes[0] * options->nodes[1];
    if (n_workers == 0) { /* as many as can run at once */
        DN_TRY(dn_topo_create(1, &topo));
        n_workers = (int)dn_min((size_t)dn_topo_machine(topo)->n_usable, DN_MAX_RANKS);
        dn_topo_destroy(&topo);
    }
    DN_TRY(dn_topo_create(n_workers, &topo));
    dn_device_place(options->device, topo);
    dn_status status = launch(options, topo, argv, signal_out);
    dn_topo_destroy(&topo);
    return status;
}

/* ---- workers: ranks and triad ---- */

typedef struct rank_info {
    int pid;
    char pus[120];
} rank_info;

/* Exchanged in the memory of the buffers, which is not in use yet. */
static dn_status print_ranks(dn_bench_buffers *buffers)
{
    dn_comm *comm = buffers->comm;
    rank_info *mine = buffers->on_host;
    mine->pid = (int)getpid();
    dn_topo_bound_pus(mine->pus, sizeof mine->pus);
    DN_TRY(dn_comm_barrier(comm));
    for (int rank = 0; dn_comm_rank(comm) == 0 && rank < dn_comm_size(comm); rank++) {
        const rank_info *other =
            dn_comm_view(comm, dn_comm_chunk_of(mine, sizeof *mine), rank, DN_TRAFFIC_CONTROL);
        char node[32] = "";
        if (dn_comm_n_nodes(comm) > 1)
            snprintf(node, sizeof node, "node %d ", dn_comm_node(comm, rank));
        printf("# %srank %3d pid %7d CPUs %s\n", node, rank, other->pid, other->pus);
    }
    DN_TRY(dn_flush(stdout)); /* the triad takes its time */
    return dn_comm_barrier(comm);
}

/* Seconds from the first rank's start to the last rank's end, as ranks may share a core. Clocks of nodes differ: there the slowest
 * rank's own time. */
typedef enum way { PLAIN, STREAMED, COPIED } way; /* the last: of a device, a to b */

static dn_status time_triad(dn_bench_buffers *buffers, size_t n, way by, double *seconds)
{
    double *a = buffers->region, *b = a + n, *c = b + n;
    DN_TRY(dn_comm_barrier(buffers->comm));
    double times[2] = {
        -dn_clock_s()}; /* one clock for all processes; the maximum of -start is the first start */
    if (by == COPIED) {
        dn_copy_bytes(buffers->stream, b, a, n * sizeof *a);
        DN_TRY(dn_stream_sync(buffers->stream));
    } else {
        dn_triad(a, b, c, 3.0, n, by == STREAMED);
    }
    times[1] = dn_clock_s();
    if (dn_comm_n_nodes(buffers->comm) > 1) {
        times[1] += times[0];
        times[0] = 0;
    }
    dn_comm_tick(buffers->comm, 0, "triad");
    DN_TRY(dn_comm_all_reduce_scalars(buffers->comm, times, 2, DN_MAX));
    *seconds = times[1] + times[0];
    return DN_OK;
}

static dn_status repeat_triad(dn_bench_buffers *buffers, size_t n, way by, double *bytes_s)
{
    double best = 0;
    for (int repeat = 0; repeat < TRIAD_REPEATS; repeat++) {
        double seconds;
        DN_TRY(dn_bench_agree_on_stop(buffers));
        if (buffers->stopped)
            return DN_OK;
        DN_TRY(time_triad(buffers, n, by, &seconds));
        if (repeat > 0 && (best == 0 || seconds < best)) /* the first is a warm-up */
            best = seconds;
    }
    *bytes_s = (by == COPIED ? 2.0 : 3.0) * sizeof(double) * (double)n * dn_comm_size(buffers->comm) / best;
    return DN_OK;
}

/* *bytes_s: the higher bandwidth of plain and non-temporal stores, over the whole region. */
static dn_status measure_triad(dn_bench_buffers *buffers, double *bytes_s)
{
    size_t n = buffers->region_bytes / 3 / 16 * 2;
    char size[24];
    double plain = 0, streamed = 0, *arrays = buffers->on_host;
    if (buffers->on_host != buffers->region) {
        DN_TRY(repeat_triad(buffers, n, COPIED, bytes_s));
        if (dn_comm_rank(buffers->comm) == 0 && !buffers->stopped)
            printf("# copy in the device's memory, all ranks at once, of %s per rank, best of %d: %.2f GB/s, read and written; %%triad is of it\n",
                   dn_human_size((double)n * sizeof(double), size, sizeof size), TRIAD_REPEATS - 1, 1e-9 * *bytes_s);
        return dn_flush(stdout);
    }
    for (size_t i = 0; i < 3 * n; i++)
        arrays[i] = 1.0;
    DN_TRY(repeat_triad(buffers, n, PLAIN, &plain));
    if (dn_triad_can_stream() && !buffers->stopped)
        DN_TRY(repeat_triad(buffers, n, STREAMED, &streamed));
    if (buffers->stopped)
        return DN_OK;
    *bytes_s = streamed > plain ? streamed : plain;
    if (dn_comm_rank(buffers->comm) == 0) {
        printf("# triad, all ranks at once on these CPUs, 3 arrays of %s per rank, best of %d: ",
               dn_human_size((double)n * sizeof(double), size, sizeof size), TRIAD_REPEATS - 1);
        printf("%.2f GB/s with plain stores", 1e-9 * plain);
        if (dn_triad_can_stream())
            printf(", %.2f GB/s past the caches (NT)", 1e-9 * streamed);
        printf("; %%triad is of the %s\n", streamed > plain ? "latter" : "former");
        DN_TRY(dn_flush(stdout));
    }
    return DN_OK;
}

/* ---- workers: table ---- */

typedef struct session {
    const dn_bench_comm_options *options;
    dn_bench_buffers buffers;
    dn_bench_table *table; /* on rank 0 only */
    double triad_bytes_s;
    int n_rows; /* of MPI's */
} session;

static dn_status measure_op(session *s, const dn_bench_op *op)
{
    size_t bytes, unit = dn_bench_unit(s->options, op, dn_comm_size(s->buffers.comm));
    if (s->table)
        dn_bench_table_title(s->table, op);
    for (bool more = dn_bench_first_size(s->options, unit, op->max_bytes, &bytes); more;
         more = dn_bench_next_size(s->options, unit, op->max_bytes, &bytes)) {
        dn_bench_row row;
        DN_TRY(dn_bench_measure(&s->buffers, op, s->options, bytes, &row));
        if (s->buffers.stopped)
            break;
        row.triad_bytes_s = s->triad_bytes_s;
        if (s->options->versus_mpi && !op->between_nodes)
            dn_versus_mpi_row(s->n_rows++, &row.mpi_s, &row.mpi_overlap);
        if (s->table)
            DN_TRY(dn_bench_table_add(s->table, op, &row));
    }
    return DN_OK;
}

static dn_status measure_all(session *s)
{
    DN_TRY(dn_bench_buffers_make(s->buffers.comm, s->options, &s->buffers));
    DN_TRY(print_ranks(&s->buffers));
    DN_TRY(measure_triad(&s->buffers, &s->triad_bytes_s));
    if (s->buffers.stopped)
        return DN_OK;
    if (dn_comm_rank(s->buffers.comm) == 0)
        DN_TRY(dn_bench_table_open(s->options, stdout, &s->table));
    for (const dn_bench_op *op = dn_bench_ops; op->name && !s->buffers.stopped; op++)
        if (dn_bench_selects(s->options, op, dn_comm_size(s->buffers.comm), dn_comm_n_nodes(s->buffers.comm)))
            DN_TRY(measure_op(s, op));
    return s->table ? dn_bench_table_finish(s->table) : DN_OK;
}

/* Where another launcher started the ranks they do what ours does: check, and size the heap, alike on nodes that are alike. */
static dn_status plan_rank(const dn_bench_comm_options *options, dn_topo **topo, size_t *heap_bytes)
{
    int n;
    if (options->versus_mpi && !options->nodes[0])
        return dn_fail(DN_ERR_CONFIG, "--versus is for ranks that dionode bench comm starts itself, also with --nodes");
    DN_TRY(dn_comm_world_size(DEADLINE_S, &n));
    DN_TRY(dn_topo_create(n, topo));
    *heap_bytes = (arena_bytes(options, *topo) + ARENA_UNIT - 1) / ARENA_UNIT * ARENA_UNIT; /* the region gets all of the arena */
    return DN_OK;
}

static dn_status check_alike(const dn_bench_comm_options *o, dn_comm *comm)
{
    char options[600];
    snprintf(options, sizeof options, "--op %s -d %s -o %s -b %zu -e %zu -i %zu -f %d -n %d -w %d -r %d -c %d --clean-buffers %d --triad %zu",
             o->op, o->type, o->redop, o->min_bytes, o->max_bytes, o->step_bytes, o->factor, o->n_samples, o->n_warmup, o->root, o->check,
             o->clean_buffers, o->triad_bytes);
    return dn_alike_options(options, comm);
}

int dn_bench_comm_worker(const dn_bench_comm_options *options)
{
    session s = {.options = options};
    size_t heap_bytes = 0; /* the launcher sizes the heap */
    dn_topo *topo = NULL;
    dn_status status = dn_device_select(options->device, false);
    if (status == DN_OK && dn_launch_is_rank())
        status = plan_rank(options, &topo, &heap_bytes);
    if (status == DN_OK)
        status = dn_comm_join(heap_bytes, DEADLINE_S, &s.buffers.comm);
    dn_comm *comm = s.buffers.comm;
    if (status == DN_OK && topo)
        status = check_alike(options, comm);
    if (status == DN_OK && topo)
        status = check_options(options, dn_comm_size(comm), dn_comm_n_nodes(comm));
    if (status == DN_OK && topo && dn_comm_rank(comm) == 0 && !options->nodes[0])
        status = print_machine(options, topo);
    dn_topo_destroy(&topo);
    if (status == DN_OK && dn_comm_rank(comm) != 0)
        dn_log_set(NULL, NULL); /* warnings are the same on all ranks */
    if (status == DN_OK)
        status = measure_all(&s);
    dn_bench_table_close(&s.table);
    dn_bench_buffers_close(&s.buffers);
    return dn_comm_leave(&comm, status);
}
