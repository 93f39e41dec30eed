#include "support/ranks.h"

#include "base/clock.h"
#include "support/delay.h"
#include "support/full.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define USABLE_PUS 2

size_t ranks_meshes(int sizes[RANKS_MESHES][DN_N_AXES])
{
    static const int few[][DN_N_AXES] = {{1, 1, 1}, {1, 1, 3}, {1, 3, 1}, {1, 1, 7}, {2, 2, 2}, {3, 1, 1}};
    size_t n = 0;
    if (!full_run()) {
        memcpy(sizes, few, sizeof few);
        return sizeof few / sizeof *few;
    }
    for (int dp = 1; dp <= RANKS_MOST; dp++)
        for (int fs = 1; dp * fs <= RANKS_MOST; fs++)
            for (int tp = 1; dp * fs * tp <= RANKS_MOST; tp++)
                memcpy(sizes[n++], (int[DN_N_AXES]){dp, fs, tp}, sizeof *sizes);
    return n;
}

int ranks_complain(const dn_comm *comm, const char *file, int line, const char *condition)
{
    fprintf(stderr, "# rank %d of %d, %s:%d: not %s (%s)\n", dn_comm_rank(comm), dn_comm_size(comm), file,
            line, condition, dn_error_message());
    return 1;
}

bool ranks_close(const dn_comm *comm, const char *file, int line, const char *text, double got, double want,
                 double bound)
{
    if (fabs(got - want) <= bound)
        return true;
    fprintf(stderr, "# rank %d of %d, %s:%d: %s is %.17g, not %.17g: off by %.3g, bound %.3g\n",
            dn_comm_rank(comm), dn_comm_size(comm), file, line, text, got, want, fabs(got - want), bound);
    return false;
}

bool ranks_below(const dn_comm *comm, const char *file, int line, const char *text, double got, double bound)
{
    if (got < bound)
        return true;
    fprintf(stderr, "# rank %d of %d, %s:%d: %s is %.17g, not below %.17g\n", dn_comm_rank(comm),
            dn_comm_size(comm), file, line, text, got, bound);
    return false;
}

/* Fails the world in the name of a rank that is lost, so that the others need not wait for it. */
static void tell_others(dn_world *world, int rank, int signal)
{
    dn_failure failure = {.status = DN_ERR_PEER, .rank = rank, .signal = signal};
    snprintf(failure.message, sizeof failure.message, "rank %d of the test ended (signal %d)", rank, signal);
    dn_world_abort(world, &failure);
}

static int run_body(dn_world *world, int rank, ranks_body *body, void *argument)
{
    dn_comm *comm;
    if (dn_comm_create(world, rank, &comm) != DN_OK)
        return 1;
    dn_world_set_pid(world, rank, (int)getpid());
    int result = body(comm, argument);
    dn_comm_destroy(&comm);
    if (result != 0)
        tell_others(world, rank, 0);
    return result;
}

/* ---- threads ---- */

typedef struct thread_rank {
    dn_world *world;
    ranks_body *body;
    void *argument;
    int rank;
    ranks_end *end;
} thread_rank;

static void *thread_main(void *context)
{
    thread_rank *r = context;
    *r->end = (ranks_end){.result = run_body(r->world, r->rank, r->body, r->argument)};
    r->end->ended_s = dn_clock_s();
    return NULL;
}

static void run_threads(dn_world *world, ranks_body *body, void *argument, ranks_end *ends)
{
    pthread_t threads[DN_MAX_RANKS];
    thread_rank ranks[DN_MAX_RANKS];
    int n_ranks = dn_world_size(world), n_started = 0;
    alarm(RANKS_ALARM_S);
    for (int rank = 0; rank < n_ranks; rank++) {
        ranks[rank] = (thread_rank){world, body, argument, rank, &ends[rank]};
        ends[rank] = (ranks_end){.result = 255};
        if (pthread_create(&threads[rank], NULL, thread_main, &ranks[rank]) != 0)
            break;
        n_started++;
    }
    for (int rank = 0; rank < n_started; rank++)
        pthread_join(threads[rank], NULL);
    alarm(0);
}

/* ---- processes ---- */

/* delays: of each rank when the first was killed. */
static void reap_one(dn_world *world, const pid_t *pids, ranks_end *ends, double *delays)
{
    int status;
    siginfo_t end = {0};
    waitid(P_ALL, 0, &end, WEXITED | WNOWAIT);
    double own_delay_s = delay_s(end.si_pid);
    pid_t pid = waitpid(end.si_pid, &status, 0);
    for (int rank = 0; rank < dn_world_size(world); rank++) {
        if (pids[rank] != pid)
            continue;
        ends[rank].signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        ends[rank].result = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
        if (ends[rank].signal)
            tell_others(world, rank, ends[rank].signal);
        ends[rank].ended_s = dn_clock_s();
        ends[rank].delay_s = own_delay_s - delays[rank];
        for (int other = 0; ends[rank].signal && other < dn_world_size(world); other++)
            delays[other] = delays[other] > 0 ? delays[other] : delay_s(pids[other]);
    }
}

static void run_processes(dn_world *world, ranks_body *body, void *argument, ranks_end *ends)
{
    pid_t pids[DN_MAX_RANKS];
    double delays[DN_MAX_RANKS] = {0};
    int n_ranks = dn_world_size(world), n_started = 0;
    fflush(NULL);
    for (int rank = 0; rank < n_ranks; rank++) {
        ends[rank] = (ranks_end){.result = 255};
        pids[rank] = fork();
        if (pids[rank] == 0) {
            alarm(RANKS_ALARM_S);
            _exit(run_body(world, rank, body, argument));
        }
        n_started += pids[rank] > 0;
    }
    for (int i = 0; i < n_started; i++)
        reap_one(world, pids, ends, delays);
}

int ranks_run(const ranks_spec *spec, ranks_body *body, void *argument, ranks_end *ends)
{
    ranks_end own[DN_MAX_RANKS];
    ends = ends ? ends : own;
    dn_world *world;
    double deadline_s = spec->deadline_s > 0 ? spec->deadline_s : 120;
    if (dn_world_create(spec->n_ranks, spec->arena_bytes, USABLE_PUS, deadline_s, &world) != DN_OK) {
        fprintf(stderr, "# %s\n", dn_error_message());
        return -1;
    }
    if (spec->prepare)
        spec->prepare(world);
    if (spec->kind == AS_THREADS)
        run_threads(world, body, argument, ends);
    else
        run_processes(world, body, argument, ends);
    dn_world_destroy(&world);
    int n_failed = 0;
    for (int rank = 0; rank < spec->n_ranks; rank++)
        n_failed += ends[rank].result != 0 || ends[rank].signal != 0;
    return n_failed;
}
