/*
 * Random deaths: the signals KILL, STOP and SEGV come to random ranks at random points of the protocol.
 *
 *     soak WORKER KILLS [SEED]
 *
 * Every launch happens in this process. After each: the result is the right one and names the victim, every
 * survivor is out in time and right about what it was told, and no child, descriptor or name is left. Ends
 * with the times from a death to a survivor's way out. The seed decides ranks, signals and points; how the
 * processes interleave it does not.
 */
#include "soak.h"

#include "base/fail.h"
#include "dionode/launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIN_RANKS  2
#define MAX_RANKS  6
#define DEADLINE_S 1.0
#define PROMISE_MS 100.0  /* from a death to every survivor's way out; what a busy machine may miss */
#define LIMIT_MS   1900.0 /* before the launcher would kill survivors that do not leave */
/* A stopped worker is noticed after the deadline. What nobody waits for the launcher notices, a second later.
 */
#define STOP_LIMIT_MS (DEADLINE_S * 1000 + 1000 + LIMIT_MS)

typedef struct death {
    int number, n_ranks, victim, signal;
    int64_t point;
} death;

typedef struct outcome {
    dn_status status;
    int n_dying, n_out;
    record dying, out[MAX_RANKS];
} outcome;

static const char *worker;
static dn_topo *topos[MAX_RANKS + 1];
static int64_t n_points[MAX_RANKS + 1][MAX_RANKS]; /* of each rank in a calm run */
static double *times_ms;
static int n_times, n_slow, n_after, n_missed;

/* ---- one launch ---- */

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int count_names(void)
{
    char start[32];
    int n = 0;
    snprintf(start, sizeof start, "dionode-%d-", (int)getpid());
    DIR *folder = opendir("/dev/shm");
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        n += strncmp(entry->d_name, start, strlen(start)) == 0;
    if (folder)
        closedir(folder);
    return n;
}

static void read_records(int from, outcome *o)
{
    record r;
    while (read(from, &r, sizeof r) == (ssize_t)sizeof r) {
        if (r.kind == DYING && o->n_dying++ == 0)
            o->dying = r;
        else if (r.kind == OUT && o->n_out < MAX_RANKS)
            o->out[o->n_out++] = r;
    }
}

static void launch(const death *d, outcome *o)
{
    int ends[2];
    char texts[4][24];
    if (pipe2(ends, O_NONBLOCK) != 0)
        exit(98);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    snprintf(texts[0], sizeof texts[0], "%d", ends[1]);
    snprintf(texts[1], sizeof texts[1], "%d", d->victim);
    snprintf(texts[2], sizeof texts[2], "%d", d->signal);
    snprintf(texts[3], sizeof texts[3], "%lld", (long long)d->point);
    char *argv[] = {(char *)(uintptr_t)worker, texts[0], texts[1], texts[2], texts[3], NULL};
    dn_launch_spec spec = {.topo = topos[d->n_ranks],
                           .program = worker,
                           .argv = argv,
                           .arena_bytes = 1 << 16,
                           .deadline_s = DEADLINE_S};
    *o = (outcome){.status = dn_launch(&spec, NULL)};
    close(ends[1]);
    read_records(ends[0], o);
    close(ends[0]);
}

/* ---- what must hold ---- */

static int complain(const death *d, const outcome *o, const char *what)
{
    printf("# death %d (signal %d to rank %d of %d at point %lld): %s. Launcher: %d %s\n", d->number,
           d->signal, d->victim, d->n_ranks, (long long)d->point, what, o->status,
           o->status == DN_OK ? "" : dn_error_message());
    for (int i = 0; i < o->n_out; i++)
        printf("#   rank %d out with %d after %.1f ms and %d meetings (victim %d)\n", o->out[i].rank,
               o->out[i].status, 1e-6 * (double)(o->out[i].at_ns - o->dying.at_ns), o->out[i].n_barriers,
               o->dying.n_barriers);
    return 1;
}

static int check_left(const death *d, const outcome *o, int n_before)
{
    if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD)
        return complain(d, o, "a child is left");
    if (count_descriptors() != n_before)
        return complain(d, o, "descriptors are left");
    if (count_names() != 0)
        return complain(d, o, "a name in /dev/shm is left");
    return 0;
}

/* Where the machine stands still itself, the launcher may come to its verdict before a survivor does; it then comes
 * late. */
static bool machine_stood_still(const outcome *o)
{
    return o->n_out > 0 && 1e-9 * (double)(o->out[0].at_ns - o->dying.at_ns) > DEADLINE_S + 1.5;
}

/* A stopped worker that nobody waits for is found by a standstill, which names nobody. */
static bool verdict_is_right(const death *d, const outcome *o)
{
    char who[64], how[64];
    const char *message = dn_error_message();
    snprintf(who, sizeof who, "worker %d (pid ", d->victim);
    snprintf(how, sizeof how, ") was killed by signal %d (", d->signal);
    if (d->signal != SIGSTOP)
        return o->status == DN_ERR_PEER && strstr(message, who) && strstr(message, how);
    return o->status == DN_ERR_TIMEOUT &&
           (strstr(message, who) || (strstr(message, "no worker made progress") &&
                                     (o->dying.n_barriers == N_BARRIERS || machine_stood_still(o))));
}

/* A survivor was told of the failure, or had all it wanted from a victim that had come to the last meeting.
 */
static bool survivor_is_right(const death *d, const outcome *o, const record *r)
{
    if (r->status == DN_OK)
        return o->dying.n_barriers == N_BARRIERS && r->n_barriers == N_BARRIERS;
    return r->status == DN_ERR_PEER || (r->status == DN_ERR_TIMEOUT && d->signal == SIGSTOP);
}

static int check_survivor(const death *d, const outcome *o, const record *r)
{
    double ms = 1e-6 * (double)(r->at_ns - o->dying.at_ns);
    if (!survivor_is_right(d, o, r))
        return complain(d, o, "a survivor was told something wrong");
    if (ms - 1e3 * r->delay_s > (d->signal == SIGSTOP ? STOP_LIMIT_MS : LIMIT_MS))
        return complain(d, o, "a survivor came out late");
    if (r->status != DN_OK && d->signal != SIGSTOP) {
        times_ms[n_times++] = ms;
        n_slow += ms > PROMISE_MS;
    }
    return 0;
}

/* On a machine so busy that a worker has not begun before the deadline; one that hangs later is no such case.
 */
static bool somebody_never_began(const outcome *o)
{
    return o->status == DN_ERR_TIMEOUT && strstr(dn_error_message(), " s at step 0 in '' while worker ");
}

/* With fewer waits than in the calm run, the point may lie beyond the end. A death before all have met may
 * find survivors that have not joined, which the launcher kills. */
static int check_death(const death *d, const outcome *o)
{
    if (o->n_dying == 0 && (o->status == DN_OK || somebody_never_began(o))) {
        n_missed++;
        return 0;
    }
    if (o->n_dying != 1)
        return complain(d, o, "the victim did not say that it came to that point");
    if (!verdict_is_right(d, o))
        return complain(d, o, "the launcher's verdict is wrong");
    if (o->n_out != d->n_ranks - 1 && o->dying.n_barriers > 1)
        return complain(d, o, "not every survivor came out by itself");
    n_after += o->dying.n_barriers == N_BARRIERS;
    for (int i = 0; i < o->n_out; i++)
        if (check_survivor(d, o, &o->out[i]))
            return 1;
    return 0;
}

/* ---- many ---- */

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int count_points(int n_ranks)
{
    death nobody = {.n_ranks = n_ranks, .victim = -1};
    outcome o;
    launch(&nobody, &o);
    if (o.status != DN_OK || o.n_out != n_ranks)
        return complain(&nobody, &o, "a calm run failed");
    for (int i = 0; i < o.n_out; i++)
        n_points[n_ranks][o.out[i].rank] = o.out[i].n_points;
    return 0;
}

static death draw_death(int number, uint64_t *state)
{
    static const int signals[] = {SIGKILL, SIGSTOP, SIGSEGV};
    death d = {.number = number, .n_ranks = MIN_RANKS + (int)(draw(state) % (MAX_RANKS - MIN_RANKS + 1))};
    d.victim = (int)(draw(state) % (uint64_t)d.n_ranks);
    d.signal = signals[draw(state) % 3];
    d.point = 1 + (int64_t)(draw(state) % (uint64_t)n_points[d.n_ranks][d.victim]);
    return d;
}

static int soak(int n_deaths, uint64_t state)
{
    for (int n = MIN_RANKS; n <= MAX_RANKS; n++)
        if (dn_topo_create(n, &topos[n]) != DN_OK || count_points(n))
            return 1;
    int n_before = count_descriptors();
    for (int i = 1; i <= n_deaths + n_missed && n_missed <= n_deaths / 4; i++) {
        outcome o;
        death d = draw_death(i, &state);
        launch(&d, &o);
        if (check_death(&d, &o) || check_left(&d, &o, n_before))
            return 1;
    }
    return n_missed > n_deaths / 4; /* that would be no test */
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(int n_deaths)
{
    qsort(times_ms, (size_t)n_times, sizeof *times_ms, by_value);
    printf(
        "# %d deaths (%d more did not come to be: fewer waits than in the calm run, or a worker that did not "
        "begin in time), %d of them after the "
        "last meeting had begun; %d "
        "survivors out after p50 %.2f ms, "
        "p99 %.2f "
        "ms, max %.2f ms; %d later than %g ms\n",
        n_deaths, n_missed, n_after, n_times, n_times ? times_ms[n_times / 2] : 0,
        n_times ? times_ms[n_times * 99 / 100] : 0, n_times ? times_ms[n_times - 1] : 0, n_slow, PROMISE_MS);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "Usage: soak WORKER KILLS [SEED]\n");
        return 2;
    }
    worker = argv[1];
    int n_deaths = atoi(argv[2]);
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)now_ns();
    setsid(); /* where a shell ends, the kernel continues the stopped processes of its jobs */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setvbuf(stdout, NULL, _IOLBF, 0);
    times_ms = calloc((size_t)n_deaths * MAX_RANKS, sizeof *times_ms);
    if (!times_ms)
        return 98;
    printf("1..1\n# seed %llu\n", (unsigned long long)seed);
    int failed = soak(n_deaths, seed);
    printf("%sok 1 - every survivor of %d random deaths is out in time and nothing is left\n",
           failed ? "not " : "", n_deaths);
    if (!failed)
        report(n_deaths);
    free(times_ms);
    for (int n = MIN_RANKS; n <= MAX_RANKS; n++)
        dn_topo_destroy(&topos[n]);
    return failed;
}
