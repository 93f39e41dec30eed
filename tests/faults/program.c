/*
 * A program that launches itself and goes through a made-up fault.
 *
 *     faults_program FAULT N_WORKERS DEADLINE_S
 *
 * Everyone tells what happens, a line each, on standard output:
 *     early RANK                     a worker runs, and has not joined the world
 *     ready RANK PID THREADS BOUND   it has met all others (OMP_NUM_THREADS; PUs it may run on)
 *     out RANK STATUS NANOSECONDS DELAY   it left its loop, with this status, at this moment of the monotonic
 *                                    clock; nanoseconds in which it was kept from running (support/delay.h)
 *     log TEXT                       a notice of the library
 *     done STATUS SIGNAL LEAKS TEXT  the launcher is back: result, descriptors and children and signals left behind
 */
#include "base/fail.h"
#include "dionode/launch.h"
#include "comm/world.h"
#include "support/delay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAULTY_RANK 1
#define FAULTY_STEP 5

/* One write a line, so that lines of several processes do not mix. */
static __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
    char line[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    if (write(1, line, (size_t)n) != n)
        _exit(99);
}

static void say_log(void *context, dn_log_level level, const char *line)
{
    (void)context, (void)level;
    say("log %s", line);
}

static bool is(const char *fault, const char *name)
{
    return strcmp(fault, name) == 0;
}

/* ---- worker ---- */

static void rest(long nanoseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

/* Waits for nobody and makes no progress, for ever. */
static _Noreturn void get_lost(int rank)
{
    say("lost %d", rank);
    for (;;)
        pause();
}

/* What the faulty rank does in its faulty step. */
static dn_status suffer(const char *fault)
{
    if (is(fault, "segv")) {
        signal(SIGSEGV, SIG_DFL); /* sanitizers catch it otherwise */
        raise(SIGSEGV);
    } else if (is(fault, "fail"))
        return dn_fail(DN_ERR_DATA, "made-up failure 17");
    else if (is(fault, "exit"))
        _exit(3);
    return DN_OK;
}

/* Meets the others step after step until they agree that one of them was asked to stop. */
static dn_status step_on(const char *fault, dn_comm *comm)
{
    for (uint64_t step = 1;; step++) {
        dn_comm_tick(comm, step, "step");
        double stop = dn_comm_stop_requested(comm) != 0 && !is(fault, "deaf");
        if (is(fault, "finish") && step == 10)
            stop = 1;
        if (step == FAULTY_STEP && dn_comm_rank(comm) == FAULTY_RANK)
            DN_TRY(suffer(fault));
        DN_TRY(dn_comm_all_reduce_scalars(comm, &stop, 1, DN_MAX));
        if (stop)
            return DN_OK;
        if (is(fault, "lost") || (is(fault, "stubborn") && dn_comm_rank(comm) != FAULTY_RANK))
            get_lost(dn_comm_rank(comm));
        rest(1000000);
    }
}

static dn_status work(const char *fault, dn_comm **comm)
{
    char pus[256];
    if (is(fault, "early")) {
        say("early %s", getenv("RANK"));
        rest(300000000);
    }
    DN_TRY(dn_comm_join(0, 10, comm));
    DN_TRY(dn_comm_barrier(*comm));
    dn_topo_bound_pus(pus, sizeof pus);
    say("ready %d %d %s %s", dn_comm_rank(*comm), (int)getpid(), getenv("OMP_NUM_THREADS"), pus);
    dn_status status = step_on(fault, *comm);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    say("out %d %d %lld %.0f", dn_comm_rank(*comm), status, (long long)now.tv_sec * 1000000000 + now.tv_nsec,
        1e9 * delay_s(0));
    return status;
}

static int worker(const char *fault)
{
    dn_comm *comm = NULL;
    dn_status status = work(fault, &comm);
    return dn_comm_leave(&comm, status);
}

/* ---- launcher ---- */

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int count_blocked(void)
{
    sigset_t mask;
    int n = 0;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int i = 1; i < 32; i++)
        n += sigismember(&mask, i);
    return n;
}

static int has_child(void)
{
    return waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD;
}

/* Room for a signalfd, the world, a pipe and two pidfds. */
static void leave_six_descriptors(void)
{
    int lowest = dup(1);
    close(lowest);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)lowest + 6;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static dn_status launch(const char *fault, dn_topo *topo, double deadline_s, char **argv, int *stopped_by)
{
    /* One argument may have 128 KiB: execve refuses more. */
    char *huge = NULL;
    if (is(fault, "huge")) {
        huge = malloc(1 << 18);
        memset(huge, 'x', 1 << 18);
        huge[(1 << 18) - 1] = '\0';
        argv[3] = huge;
    }
    if (is(fault, "descriptors"))
        leave_six_descriptors();
    dn_launch_spec spec = {.topo = topo, .argv = argv, .arena_bytes = 1 << 16, .deadline_s = deadline_s};
    dn_status status = dn_launch(&spec, stopped_by);
    free(huge);
    return status;
}

static int launcher(char **argv)
{
    dn_topo *topo;
    int stopped_by = -1;
    if (dn_topo_create(atoi(argv[2]), &topo) != DN_OK)
        return 98;
    char before[256], after[256];
    dn_topo_bound_pus(before, sizeof before);
    int n_descriptors = count_descriptors(), n_blocked = count_blocked();
    dn_status status = launch(argv[1], topo, atof(argv[3]), argv, &stopped_by);
    dn_topo_bound_pus(after, sizeof after);
    int leaks = abs(count_descriptors() - n_descriptors) + abs(count_blocked() - n_blocked) + has_child() +
                (strcmp(before, after) != 0);
    say("done %d %d %d %s", status, stopped_by, leaks, status == DN_OK ? "" : dn_error_message());
    dn_topo_destroy(&topo);
    return dn_status_exit(status);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 97;
    dn_log_set(say_log, NULL);
    return dn_launch_is_worker() ? worker(argv[1]) : launcher(argv);
}
