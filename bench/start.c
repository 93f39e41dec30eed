/*
 * How long until workers have started, and what memory do they cost beyond their arenas?
 *
 * Time: from the launcher's call to the last worker's way out of the first barrier; the program is this one,
 * so that all libraries are loaded. Memory a rank: what joining and a barrier and an all-reduce added to the
 * private memory of the process (Anonymous in smaps_rollup; the most of all ranks), and the rank's share of
 * the segment without the arenas (its pages, as fstat counts them). What the program and its libraries take
 * before they join is told apart. Started by another launcher (RANK is set) it tells of that one run's memory
 * only.
 */
#include "arguments.h"

#include "dionode/comm.h"
#include "dionode/launch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEAP_BYTES ((size_t)4 << 20)
#define RESULTS    "DIONODE_BENCH_START" /* number of the descriptor that rank 0 writes to */
#define MAX_RUNS   1000

typedef struct result {
    double met_s;       /* clock at the last one's way out of the first barrier */
    double before_kib;  /* private memory before joining */
    double added_kib;   /* by it */
    double segment_kib; /* a rank's share beyond its arena */
} result;

typedef struct options {
    int n_workers, n_runs;
    double limit_kib; /* 0: none */
} options;

static double clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* of the machine: the same in all processes */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- memory ---- */

static double private_kib(void)
{
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "Anonymous: %lf", &kib);
    if (file)
        fclose(file);
    return kib;
}

/* Bytes of the segment that are backed by memory, through the descriptor that every rank keeps of it. */
static double segment_bytes(void)
{
    double bytes = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char target[256] = "";
        struct stat info;
        if (readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1) > 0 &&
            strstr(target, "dionode") && strstr(target, "(deleted)") &&
            fstat(atoi(entry->d_name), &info) == 0)
            bytes = 512.0 * (double)info.st_blocks;
    }
    if (folder)
        closedir(folder);
    return bytes;
}

/* ---- a worker ---- */

static dn_status measure(dn_comm *comm, double before_kib, result *r)
{
    float x[1000] = {0};
    dn_status status = dn_comm_barrier(comm);
    double met_s = clock_s();
    if (status == DN_OK)
        status = dn_comm_all_reduce(comm, x, sizeof x / sizeof *x, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL);
    double n = dn_comm_size(comm), arenas = n * (double)HEAP_BYTES;
    double most[] = {met_s, before_kib, private_kib() - before_kib};
    if (status == DN_OK)
        status = dn_comm_all_reduce_scalars(comm, most, 3, DN_MAX);
    *r = (result){most[0], most[1], most[2], (segment_bytes() - arenas) / 1024 / n};
    return status;
}

static int work(void)
{
    dn_comm *comm;
    result r = {0};
    double before_kib = private_kib();
    dn_status status = dn_comm_join(HEAP_BYTES, 60, &comm);
    if (status == DN_OK)
        status = measure(comm, before_kib, &r);
    const char *to = getenv(RESULTS);
    if (status == DN_OK && dn_comm_rank(comm) == 0) {
        if (!to)
            printf("a rank: %.0f KiB private by joining, %.0f KiB of the segment; %.0f KiB private before\n",
                   r.added_kib, r.segment_kib, r.before_kib);
        else if (write(atoi(to), &r, sizeof r) != (ssize_t)sizeof r)
            return 1;
    }
    return dn_comm_leave(&comm, status);
}

/* ---- the launcher ---- */

static dn_status start(const options *o, char **argv, int from, double *seconds, result *r)
{
    dn_topo *topo;
    double start_s = clock_s();
    dn_status status = dn_topo_create(o->n_workers, &topo);
    if (status != DN_OK)
        return status;
    dn_launch_spec spec = {.topo = topo, .argv = argv, .arena_bytes = HEAP_BYTES, .deadline_s = 60};
    status = dn_launch(&spec, NULL);
    dn_topo_destroy(&topo);
    if (status == DN_OK && read(from, r, sizeof *r) != (ssize_t)sizeof *r)
        return DN_ERR_SYSTEM;
    *seconds = r->met_s - start_s;
    return status;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int run(const options *o, char **argv)
{
    int ends[2];
    char text[16];
    double ms[MAX_RUNS], seconds, most = 0;
    result r = {0};
    if (pipe(ends) != 0)
        return 1;
    snprintf(text, sizeof text, "%d", ends[1]);
    setenv(RESULTS, text, 1);
    for (int i = 0; i < o->n_runs; i++) {
        dn_status status = start(o, argv, ends[0], &seconds, &r);
        if (status != DN_OK) {
            fprintf(stderr, "start: %s\n", dn_error_message());
            return dn_status_exit(status);
        }
        ms[i] = 1e3 * seconds;
        most = r.added_kib + r.segment_kib > most ? r.added_kib + r.segment_kib : most;
    }
    qsort(ms, (size_t)o->n_runs, sizeof *ms, compare);
    printf("%d workers, %d runs: first barrier after median %.1f ms, min %.1f, max %.1f\n", o->n_workers,
           o->n_runs, ms[o->n_runs / 2], ms[0], ms[o->n_runs - 1]);
    printf("beyond the arenas, a rank: %.0f KiB at most (last run: %.0f KiB private by joining, %.0f KiB of "
           "the segment); the program and its libraries before: %.0f KiB private\n",
           most, r.added_kib, r.segment_kib, r.before_kib);
    return o->limit_kib > 0 && most > o->limit_kib;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case 'n':
        o->n_workers = bench_integer("--np", arg, 1, DN_MAX_RANKS);
        return 0;
    case 'r':
        o->n_runs = bench_integer("--runs", arg, 1, MAX_RUNS);
        return 0;
    case 'l':
        o->limit_kib = bench_integer("--limit", arg, 1, 1 << 30);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option known[] = {
        {"np", 'n', "N", 0, "Workers, 1 to 256 (8)", 0},
        {"runs", 'r', "N", 0, "Starts, 1 to 1000 (21)", 0},
        {"limit", 'l', "KIB", 0, "Fail if a rank takes more beyond its arena (no limit)", 0},
        {0},
    };
    static const struct argp argp = {known, parse, NULL, "Times the start of workers, in ms to the last one's way out of the first "
                                     "barrier, and weighs them: KiB a rank beyond its arena.", NULL, NULL, NULL};
    options o = {.n_workers = 8, .n_runs = 21};
    if (dn_launch_is_worker() || getenv("RANK") || getenv("OMPI_COMM_WORLD_RANK"))
        return work();
    bench_parse(&argp, argc, argv, &o);
    return run(&o, argv);
}
