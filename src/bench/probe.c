#include "bench/probe.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/printable.h"
#include "base/random.h"
#include "bench/summary.h"
#include "bench/threads.h"
#include "bench/triad.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BYTES   ((size_t)128) /* pairs of lines, which some prefetchers fetch together */
#define WINDOW_BYTES ((size_t)2 << 20)
#define WINDOW_STEPS (WINDOW_BYTES / STEP_BYTES)
#define REPEATS      3

/* ---- a ring of pointers ---- */

static void shuffle(uint32_t *order, size_t n, uint64_t stream)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t i = n; i > 1; i--) {
        size_t j = dn_random_bits(1, stream, i) % i;
        uint32_t taken = order[i - 1];
        order[i - 1] = order[j];
        order[j] = taken;
    }
}

/* Links one window behind *tail and moves *tail to its end. */
static void link_window(char *window, size_t n_steps, uint64_t stream, void ***tail)
{
    uint32_t order[WINDOW_STEPS];
    shuffle(order, n_steps, stream);
    for (size_t i = 0; i < n_steps; i++) {
        void *next = window + STEP_BYTES * order[i];
        **tail = next;
        *tail = next;
    }
}

size_t dn_probe_link(void *memory, size_t bytes)
{
    size_t n_windows = (bytes + WINDOW_BYTES - 1) / WINDOW_BYTES;
    uint32_t *order = malloc(n_windows * sizeof *order);
    void *first, **tail = &first;
    if (!order) /* windows in address order then: beyond the reach of prefetchers */
        n_windows = 0;
    else
        shuffle(order, n_windows, 0);
    for (size_t i = 0; i < (bytes + WINDOW_BYTES - 1) / WINDOW_BYTES; i++) {
        size_t w = n_windows ? order[i] : i, left = bytes - w * WINDOW_BYTES;
        link_window((char *)memory + w * WINDOW_BYTES,
                    (left < WINDOW_BYTES ? left : WINDOW_BYTES) / STEP_BYTES, w + 1, &tail);
    }
    *tail = first;
    free(order);
    return bytes / STEP_BYTES;
}

/* ---- latency ---- */

/* So few steps that most samples see no interrupt. */
enum { CHASE_STEPS = 1 << 10, CHASE_TIMES = 1 << 15 };

typedef struct chase {
    void *at;
    double seconds, ns;
    double times[CHASE_TIMES];
} chase;

/* Keeps the compiler from removing a loop whose result is not used. */
static void keep(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

static void run_chase(chase *c)
{
    double begin_s = dn_clock_s(), last_s = begin_s;
    size_t n = 0;
    void *at = c->at;
    while (n == 0 || (n < CHASE_TIMES && last_s - begin_s < c->seconds)) {
        for (int i = 0; i < CHASE_STEPS; i++)
            at = *(void **)at;
        keep(at);
        double now_s = dn_clock_s();
        c->times[n++] = now_s - last_s;
        last_s = now_s;
    }
    c->at = at;
    c->ns = 1e9 * dn_summarize(c->times, n).p50 / CHASE_STEPS;
}

static void chase_alone(int index, void *argument)
{
    (void)index;
    run_chase(argument);
}

dn_status dn_probe_latency(const dn_probe_cpus *cpus, void **ring, double *ns)
{
    chase *c = malloc(sizeof *c);
    if (!c)
        return dn_fail(DN_ERR_MEMORY, "no memory for the times of a measurement");
    *c = (chase){.at = *ring, .seconds = cpus->seconds};
    dn_status status = dn_threads_run(cpus->topo, cpus->pus, 1, chase_alone, c);
    *ns = c->ns;
    *ring = c->at;
    free(c);
    return status;
}

/* ---- bandwidth ---- */

static uint64_t read_words(const uint64_t *words, size_t n)
{
    uint64_t sums[8] = {0};
    for (size_t i = 0; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            sums[j] += words[i + j];
    return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

/* a[n] += the n_others arrays behind it, or 1. Returns the words read and written. */
static size_t add_arrays(uint64_t *restrict a, size_t n, int n_others)
{
    const uint64_t *restrict b = a + n, *restrict c = b + n;
    if (n_others == 0)
        for (size_t i = 0; i < n; i++)
            a[i] += 1;
    else if (n_others == 1)
        for (size_t i = 0; i < n; i++)
            a[i] += b[i];
    else
        for (size_t i = 0; i < n; i++)
            a[i] += b[i] + c[i];
    return n * (size_t)(n_others + 2);
}

typedef struct stream {
    dn_probe_kind kind;
    bool streaming;
    char *memory;
    size_t chunk_bytes; /* of one member, a multiple of 384 */
    double seconds;
    double rates[DN_THREADS_MAX]; /* bytes/s */
} stream;

/* One pass over a member's chunk. Returns the bytes it counts. */
static size_t pass(const stream *s, char *chunk)
{
    size_t bytes = s->chunk_bytes;
    if (s->kind == DN_PROBE_READ) {
        uint64_t sum = read_words((const uint64_t *)chunk, bytes / sizeof(uint64_t));
        keep(&sum);
        return bytes;
    }
    if (s->kind <= DN_PROBE_READ_1_WRITE_1) {
        int n_others = DN_PROBE_READ_1_WRITE_1 - s->kind;
        size_t n = bytes / (size_t)(n_others + 1) / sizeof(uint64_t);
        size_t n_words = add_arrays((uint64_t *)chunk, n, n_others);
        keep(chunk);
        return n_words * sizeof(uint64_t);
    }
    if (s->kind == DN_PROBE_COPY) {
        memcpy(chunk, chunk + bytes / 2, bytes / 2);
        keep(chunk);
        return bytes;
    }
    size_t n = bytes / 3 / sizeof(double);
    double *a = (double *)chunk;
    dn_triad(a, a + n, a + 2 * n, 3.0, n, s->streaming);
    keep(chunk);
    return bytes;
}

static void run_stream(int index, void *argument)
{
    stream *s = argument;
    char *chunk = s->memory + (size_t)index * s->chunk_bytes;
    double begin_s = dn_clock_s(), now_s;
    size_t bytes = 0;
    do {
        bytes += pass(s, chunk);
        now_s = dn_clock_s();
    } while (now_s - begin_s < s->seconds);
    s->rates[index] = (double)bytes / (now_s - begin_s);
}

static dn_status best_stream(const dn_probe_cpus *cpus, stream *s, double *bytes_s)
{
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double sum = 0;
        DN_TRY(dn_threads_run(cpus->topo, cpus->pus, cpus->n, run_stream, s));
        for (int i = 0; i < cpus->n; i++)
            sum += s->rates[i];
        *bytes_s = sum > *bytes_s ? sum : *bytes_s;
    }
    return DN_OK;
}

dn_status dn_probe_bandwidth(const dn_probe_cpus *cpus, dn_probe_kind kind, void *memory, size_t bytes,
                             double *bytes_s)
{
    assert(cpus->n <= DN_THREADS_MAX);
    stream s = {.kind = kind,
                .memory = memory,
                .seconds = cpus->seconds,
                .streaming = kind == DN_PROBE_STREAM && dn_triad_can_stream()};
    s.chunk_bytes = bytes / (size_t)cpus->n / 384 * 384; /* three arrays that begin at cache lines */
    *bytes_s = 0;
    if (s.chunk_bytes == 0)
        return dn_fail(DN_ERR_ARG, "%zu bytes are too few for %d processor%s", bytes, cpus->n,
                       dn_plural(cpus->n));
    DN_TRY(best_stream(cpus, &s, bytes_s));
    s.streaming = true;
    return kind == DN_PROBE_TRIAD && dn_triad_can_stream() ? best_stream(cpus, &s, bytes_s) : DN_OK;
}

/* ---- latency under load ---- */

typedef struct loaded {
    chase chase;
    const char *memory;
    size_t chunk_bytes;
    uint64_t spins;    /* between two reads of a KiB */
    _Atomic bool stop; /* relaxed: it orders nothing */
    double rates[DN_THREADS_MAX];
} loaded;

static void spin(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        __asm__ volatile("");
}

static double spins_per_ns(void)
{
    enum { N = 1000000 };
    double best_s = 1;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double begin_s = dn_clock_s();
        spin(N);
        double s = dn_clock_s() - begin_s;
        best_s = s < best_s ? s : best_s;
    }
    return N / (1e9 * best_s);
}

static void load(loaded *l, int index)
{
    enum { KIB = 1024 };
    const char *chunk = l->memory + (size_t)index * l->chunk_bytes;
    double begin_s = dn_clock_s();
    size_t bytes = 0;
    while (!atomic_load_explicit(&l->stop, memory_order_relaxed)) {
        uint64_t sum = read_words((const uint64_t *)(chunk + bytes % l->chunk_bytes), KIB / sizeof(uint64_t));
        keep(&sum);
        spin(l->spins);
        bytes += KIB;
    }
    l->rates[index] = (double)bytes / (dn_clock_s() - begin_s);
}

static void run_loaded(int index, void *argument)
{
    loaded *l = argument;
    if (index > 0) {
        load(l, index - 1);
        return;
    }
    run_chase(&l->chase);
    atomic_store_explicit(&l->stop, true, memory_order_relaxed);
}

dn_status dn_probe_loaded(const dn_probe_cpus *cpus, void **ring, const void *memory, size_t bytes,
                          double delay_ns, double *ns, double *bytes_s)
{
    assert(cpus->n >= 2 && cpus->n <= DN_THREADS_MAX);
    loaded *l = calloc(1, sizeof *l);
    if (!l)
        return dn_fail(DN_ERR_MEMORY, "no memory for the times of a measurement");
    l->chase.at = *ring;
    l->chase.seconds = cpus->seconds;
    l->memory = memory;
    l->chunk_bytes = bytes / (size_t)(cpus->n - 1) / 1024 * 1024;
    l->spins = (uint64_t)(delay_ns * spins_per_ns());
    dn_status status = l->chunk_bytes ? dn_threads_run(cpus->topo, cpus->pus, cpus->n, run_loaded, l)
                                      : dn_fail(DN_ERR_ARG, "%zu bytes are too few for a load", bytes);
    *ns = l->chase.ns;
    *ring = l->chase.at;
    *bytes_s = 0;
    for (int i = 0; i < cpus->n - 1; i++)
        *bytes_s += l->rates[i];
    free(l);
    return status;
}

/* ---- one cache line between two processors ---- */

enum { LINE_REPEATS = 40, LINE_TRIPS = 500 };

typedef struct line {
    _Alignas(128) _Atomic uint64_t turn; /* even: of the first thread */
    _Alignas(128) double best_s;         /* of a repetition */
} line;

/* Relaxed: no other data are passed. */
static void run_line(int index, void *argument)
{
    line *l = argument;
    for (uint64_t repeat = 0; repeat < LINE_REPEATS; repeat++) {
        double begin_s = dn_clock_s();
        for (uint64_t i = 0; i < LINE_TRIPS; i++) {
            uint64_t mine = 2 * (repeat * LINE_TRIPS + i) + (uint64_t)index;
            while (atomic_load_explicit(&l->turn, memory_order_relaxed) != mine)
                ;
            atomic_store_explicit(&l->turn, mine + 1, memory_order_relaxed);
        }
        double s = dn_clock_s() - begin_s;
        if (index == 0 &&
            (repeat == 1 || (repeat > 1 && s < l->best_s))) /* the first repeat waits for the other thread */
            l->best_s = s;
    }
}

dn_status dn_probe_line(const dn_topo *topo, int pu_a, int pu_b, double *ns)
{
    line l = {0};
    const int pus[2] = {pu_a, pu_b};
    DN_TRY(dn_threads_run(topo, pus, 2, run_line, &l));
    *ns = 1e9 * l.best_s / LINE_TRIPS / 2;
    return DN_OK;
}
