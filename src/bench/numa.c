/* `dionode bench numa`: the measurements, in order; results are written by numa_print, _json and _html. */
#include "bench/numa.h"

#include "base/fail.h"
#include "base/human.h"
#include "base/output.h"
#include "base/printable.h"
#include "base/size.h"
#include "bench/probe.h"
#include "bench/threads.h"
#include "dionode/version.h"
#include "shm/limits.h"
#include "shm/world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define BUFFER_FLOOR ((size_t)64 << 20)
#define BUFFER_ROUND ((size_t)2 << 20)
#define WORLD_BYTES  ((size_t)16 << 20)
#define RUNG_ROUND   ((size_t)128) /* steps of a ring */
#define MEMORY_PART  2             /* buffers take at most 1 / MEMORY_PART of the available memory */

const dn_numa_mix dn_numa_mixes[DN_NUMA_MIXES] = {[DN_PROBE_READ] = {"reads", "reads"},
                                                  [DN_PROBE_READ_3_WRITE_1] = {"3:1", "reads_3_writes_1"},
                                                  [DN_PROBE_READ_2_WRITE_1] = {"2:1", "reads_2_writes_1"},
                                                  [DN_PROBE_READ_1_WRITE_1] = {"1:1", "reads_1_writes_1"},
                                                  [DN_PROBE_STREAM] = {"2:1 NT", "reads_2_writes_1_nt"}};

dn_bench_numa_options dn_bench_numa_defaults(void)
{
    return (dn_bench_numa_options){.seconds = 0.2};
}

typedef struct session {
    const dn_bench_numa_options *options;
    dn_topo *topo;
    void *buffers[DN_NUMA_DOMAINS]; /* of each domain that has memory */
    void *rings[DN_NUMA_DOMAINS];   /* a place in each of them, once they are linked */
    dn_numa_results *results;
} session;

/* ---- the machine ---- */

/* The first line of a file. */
static void read_text(const char *path, char *text, size_t bytes)
{
    char line[256];
    FILE *file = fopen(path, "re");
    snprintf(text, bytes, "?");
    if (file && fgets(line, sizeof line, file))
        snprintf(text, bytes, "%.*s", (int)strcspn(line, "\n"), line);
    if (file)
        fclose(file);
}

static void read_settings(dn_numa_results *r)
{
    struct utsname system;
    uname(&system);
    snprintf(r->system, sizeof r->system, "%.40s %.60s", system.sysname, system.release);
    dn_topo_processor(r->processor, sizeof r->processor);
    read_text("/proc/sys/kernel/numa_balancing", r->numa_balancing, sizeof r->numa_balancing);
    read_text("/sys/kernel/mm/transparent_hugepage/enabled", r->huge_private, sizeof r->huge_private);
    read_text("/sys/kernel/mm/transparent_hugepage/shmem_enabled", r->huge_shared, sizeof r->huge_shared);
}

static dn_status describe(session *s)
{
    dn_numa_results *r = s->results;
    r->machine = *dn_topo_machine(s->topo);
    r->version = dn_version();
    r->seconds = s->options->seconds;
    r->cache_bytes = dn_topo_cache_bytes(s->topo);
    r->n_domains = dn_topo_n_domains(s->topo);
    if (r->n_domains > DN_NUMA_DOMAINS)
        return dn_fail(DN_ERR_CONFIG, "%d NUMA domains: at most %d can be measured", r->n_domains,
                       DN_NUMA_DOMAINS);
    for (int i = 0; i < r->n_domains; i++)
        r->domains[i] = dn_topo_domain(s->topo, i);
    read_settings(r);
    return DN_OK;
}

/* ---- memory ---- */

static dn_status choose_buffer_size(session *s)
{
    dn_numa_results *r = s->results;
    size_t bytes = s->options->buffer_bytes, n = (size_t)r->n_domains;
    size_t available = (size_t)dn_limits_memory("") / MEMORY_PART / n;
    if (!bytes)
        bytes = dn_min(dn_max(4 * r->cache_bytes / n, BUFFER_FLOOR), available);
    r->buffer_bytes = (bytes + BUFFER_ROUND - 1) / BUFFER_ROUND * BUFFER_ROUND;
    char asked[24], most[24];
    if (r->buffer_bytes > available)
        return dn_fail(DN_ERR_MEMORY,
                       "buffers of %s on %zu NUMA domain%s are too much: at most %s each (--buffer)",
                       dn_human_size((double)r->buffer_bytes, asked, sizeof asked), n,
                       dn_plural((long long)n), dn_human_size((double)available, most, sizeof most));
    return DN_OK;
}

/* With one domain no node is set, which containers may not permit. */
static dn_status alloc_buffers(session *s)
{
    dn_numa_results *r = s->results;
    for (int i = 0; i < r->n_domains; i++)
        if (r->domains[i].memory_bytes > 0) {
            int node = r->n_domains > 1 ? r->domains[i].os_node : -1;
            DN_TRY(dn_pages_alloc(r->buffer_bytes, node, &s->buffers[i]));
        }
    r->huge_bytes = dn_pages_huge_bytes();
    return DN_OK;
}

/* Placement of a rank's arena by first touch, as in training. */
typedef struct arena {
    dn_status status;
    dn_pages_places places;
    char message[256];
} arena;

static void place_arena(int index, void *argument)
{
    arena *a = argument;
    dn_world *world = NULL;
    (void)index;
    a->status = dn_world_create(1, WORLD_BYTES, 1, 10, &world);
    if (a->status == DN_OK)
        a->status = dn_world_populate(world, 0, WORLD_BYTES);
    if (a->status == DN_OK)
        a->status = dn_pages_locate(dn_world_arena(world, 0), WORLD_BYTES, &a->places);
    if (a->status != DN_OK)
        snprintf(a->message, sizeof a->message, "%s", dn_error_message());
    dn_world_destroy(&world);
}

/* Without move_pages (containers) only this part of the report is missing. */
static dn_status locate_pages(session *s)
{
    dn_numa_results *r = s->results;
    arena a = {.status = DN_OK};
    int pu;
    for (int i = 0; i < r->n_domains; i++)
        if (s->buffers[i] && dn_pages_locate(s->buffers[i], r->buffer_bytes, &r->places[i]) != DN_OK)
            return DN_OK;
    if (dn_topo_cores(s->topo, -1, &pu, 1) < 1)
        return DN_OK;
    DN_TRY(dn_threads_run(s->topo, &pu, 1, place_arena, &a));
    r->shared = a.places;
    return a.status == DN_OK ? DN_OK : dn_fail(a.status, "%s", a.message);
}

/* ---- measurements ---- */

/* The usable cores of a domain; false if there are none. */
static bool cpus_of(const session *s, int domain, int *pus, dn_probe_cpus *cpus)
{
    int n = dn_topo_cores(s->topo, domain, pus, DN_THREADS_MAX);
    *cpus = (dn_probe_cpus){s->topo, pus, n < DN_THREADS_MAX ? n : DN_THREADS_MAX, s->options->seconds};
    return n > 0;
}

static void clear(dn_numa_matrix *matrix, int n)
{
    matrix->n = n;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            matrix->at[i][j] = NAN;
}

static dn_status measure_domain(session *s, int i)
{
    static int pus[DN_THREADS_MAX];
    dn_numa_results *r = s->results;
    dn_probe_cpus cpus;
    r->copy_bytes_s[i] = r->triad_bytes_s[i] = NAN;
    for (int mix = 0; mix < DN_NUMA_MIXES; mix++)
        r->mix_bytes_s[i][mix] = NAN;
    if (!cpus_of(s, i, pus, &cpus))
        return DN_OK;
    for (int j = 0; j < r->n_domains; j++)
        if (s->buffers[j])
            DN_TRY(dn_probe_bandwidth(&cpus, DN_PROBE_READ, s->buffers[j], r->buffer_bytes,
                                      &r->read_bytes_s.at[i][j]));
    if (!s->buffers[i])
        return DN_OK;
    r->mix_bytes_s[i][DN_PROBE_READ] = r->read_bytes_s.at[i][i];
    for (int mix = DN_PROBE_READ + 1; mix < DN_NUMA_MIXES; mix++)
        DN_TRY(dn_probe_bandwidth(&cpus, (dn_probe_kind)mix, s->buffers[i], r->buffer_bytes,
                                  &r->mix_bytes_s[i][mix]));
    DN_TRY(dn_probe_bandwidth(&cpus, DN_PROBE_COPY, s->buffers[i], r->buffer_bytes, &r->copy_bytes_s[i]));
    return dn_probe_bandwidth(&cpus, DN_PROBE_TRIAD, s->buffers[i], r->buffer_bytes, &r->triad_bytes_s[i]);
}

static void add_rung(dn_numa_results *r, size_t bytes, size_t limit)
{
    dn_numa_rung rung = {.bytes = bytes / RUNG_ROUND * RUNG_ROUND};
    size_t below = r->n_rungs ? r->rungs[r->n_rungs - 1].bytes : 0;
    if (rung.bytes <= below || rung.bytes > limit)
        return;
    while (rung.cache < r->n_caches && r->cache_sizes[rung.cache] < rung.bytes)
        rung.cache++;
    r->rungs[r->n_rungs++] = rung;
}

void dn_numa_choose_rungs(dn_numa_results *r, size_t limit)
{
    r->n_rungs = 0;
    for (int i = 0; i < r->n_caches; i++) {
        size_t half_of_next = i + 1 < r->n_caches ? r->cache_sizes[i + 1] / 2 : limit;
        add_rung(r, r->cache_sizes[i] / 2, limit);
        add_rung(r, dn_min(2 * r->cache_sizes[i], half_of_next), limit);
    }
    add_rung(r, limit, limit);
}

/* One core alone, in the memory of its own domain. */
static dn_status measure_ladder(session *s)
{
    static int pus[DN_THREADS_MAX];
    dn_numa_results *r = s->results;
    dn_probe_cpus cpus;
    r->ladder_domain = r->ladder_pu = -1;
    for (int i = 0; i < r->n_domains && r->ladder_domain < 0; i++)
        if (s->buffers[i] && cpus_of(s, i, pus, &cpus))
            r->ladder_domain = i;
    if (r->ladder_domain < 0)
        return DN_OK;
    void *buffer = s->buffers[r->ladder_domain];
    cpus.n = 1;
    r->ladder_pu = pus[0];
    r->n_caches = dn_topo_caches_of(s->topo, pus[0], r->cache_sizes, DN_NUMA_CACHES);
    dn_numa_choose_rungs(r, r->buffer_bytes);
    for (int i = 0; i < r->n_rungs; i++) {
        dn_numa_rung *rung = &r->rungs[i];
        void *ring = buffer;
        dn_probe_link(buffer, rung->bytes);
        DN_TRY(dn_probe_latency(&cpus, &ring, &rung->ns));
        DN_TRY(dn_probe_bandwidth(&cpus, DN_PROBE_READ, buffer, rung->bytes, &rung->bytes_s));
    }
    return DN_OK;
}

static dn_status measure_latencies(session *s)
{
    static int pus[DN_THREADS_MAX];
    dn_numa_results *r = s->results;
    for (int j = 0; j < r->n_domains; j++)
        if ((s->rings[j] = s->buffers[j]))
            dn_probe_link(s->buffers[j], r->buffer_bytes);
    for (int i = 0; i < r->n_domains; i++) {
        dn_probe_cpus cpus;
        bool can = cpus_of(s, i, pus, &cpus);
        for (int j = 0; can && j < r->n_domains; j++)
            if (s->buffers[j])
                DN_TRY(dn_probe_latency(&cpus, &s->rings[j], &r->latency_ns.at[i][j]));
    }
    return DN_OK;
}

/* All usable cores, or DN_NUMA_CORES of them, evenly spaced. */
static void choose_cores(session *s)
{
    static int all[DN_THREADS_MAX];
    dn_numa_results *r = s->results;
    int n = dn_topo_cores(s->topo, -1, all, DN_THREADS_MAX);
    n = n < DN_THREADS_MAX ? n : DN_THREADS_MAX;
    r->n_usable_cores = n;
    r->n_cores = n < DN_NUMA_CORES ? n : DN_NUMA_CORES;
    for (int i = 0; i < r->n_cores; i++)
        r->pus[i] = all[i * n / r->n_cores];
}

static dn_status measure_lines(session *s)
{
    dn_numa_results *r = s->results;
    choose_cores(s);
    clear(&r->line_ns, r->n_cores);
    for (int i = 0; i < r->n_cores; i++)
        for (int j = 0; j < i; j++) {
            DN_TRY(dn_probe_line(s->topo, r->pus[i], r->pus[j], &r->line_ns.at[i][j]));
            r->line_ns.at[j][i] = r->line_ns.at[i][j];
        }
    return DN_OK;
}

/* In the first domain with two cores. Its buffer holds the ring by now, which reads do not change. */
static dn_status measure_loads(session *s)
{
    static const double delays_ns[] = {0, 10, 25, 50, 100, 200, 500, 1000, 5000};
    static int pus[DN_THREADS_MAX];
    dn_numa_results *r = s->results;
    dn_probe_cpus cpus;
    r->loaded_domain = -1;
    for (int i = 0; i < r->n_domains && r->loaded_domain < 0; i++)
        if (s->buffers[i] && cpus_of(s, i, pus, &cpus) && cpus.n >= 2)
            r->loaded_domain = i;
    if (r->loaded_domain < 0)
        return DN_OK;
    void *buffer = s->buffers[r->loaded_domain];
    for (size_t i = 0; i < sizeof delays_ns / sizeof *delays_ns; i++) {
        dn_numa_load *load = &r->loads[r->n_loads++];
        load->delay_ns = delays_ns[i];
        DN_TRY(dn_probe_loaded(&cpus, &s->rings[r->loaded_domain], buffer, r->buffer_bytes, load->delay_ns,
                               &load->ns, &load->bytes_s));
    }
    r->loads[r->n_loads++] =
        (dn_numa_load){INFINITY, r->latency_ns.at[r->loaded_domain][r->loaded_domain], 0};
    return DN_OK;
}

static dn_status measure(session *s)
{
    dn_numa_results *r = s->results;
    DN_TRY(describe(s));
    DN_TRY(choose_buffer_size(s));
    DN_TRY(alloc_buffers(s));
    DN_TRY(locate_pages(s));
    clear(&r->latency_ns, r->n_domains);
    clear(&r->read_bytes_s, r->n_domains);
    for (int i = 0; i < r->n_domains; i++)
        DN_TRY(measure_domain(s, i));
    DN_TRY(measure_ladder(s));
    DN_TRY(measure_latencies(s)); /* writes rings to the buffers */
    DN_TRY(measure_lines(s));
    return measure_loads(s);
}

/* ---- the command ---- */

static dn_status write_results(const session *s)
{
    dn_numa_print(s->results, stdout);
    dn_status printed = dn_flush(stdout); /* reported after the files are written */
    if (s->options->json)
        DN_TRY(dn_numa_write_json(s->results, s->options->json));
    if (s->options->html)
        DN_TRY(dn_numa_write_html(s->results, s->options->html));
    return printed;
}

static dn_status run(session *s)
{
    if (!(s->options->seconds > 0))
        return dn_fail(DN_ERR_CONFIG, "--seconds %g: must be > 0", s->options->seconds);
    if (!dn_topo_machine(s->topo)->this_system)
        return dn_fail(DN_ERR_CONFIG,
                       "only this machine can be measured: unset HWLOC_SYNTHETIC and HWLOC_XMLFILE");
    s->results = calloc(1, sizeof *s->results);
    if (!s->results)
        return dn_fail(DN_ERR_MEMORY, "no memory for the results");
    DN_TRY(measure(s));
    return write_results(s);
}

dn_status dn_bench_numa(const dn_bench_numa_options *options)
{
    session s = {.options = options};
    DN_TRY(dn_topo_create(1, &s.topo));
    dn_status status = run(&s);
    for (int i = 0; i < DN_NUMA_DOMAINS; i++)
        dn_pages_free(s.buffers[i], s.results ? s.results->buffer_bytes : 0);
    free(s.results);
    dn_topo_destroy(&s.topo);
    return status;
}
