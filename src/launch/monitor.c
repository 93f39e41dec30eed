#include "launch/monitor.h"

#include "base/clock.h"
#include "base/fail.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define GRACE_S    2.0  /* for the other workers to leave after a failure, before they are killed */
#define REPORT_S   0.05 /* if they take longer, the failure is logged before they have left */
#define AGAIN_S    0.25 /* a second stop signal sooner than this is a duplicate of the first */
#define CHECK_S    0.2  /* between two checks of the state table */
#define MARGIN_S   1.0  /* beyond the deadline: a waiting rank knows more of a hang and reports it first */
#define MAX_STEP_S 1.0  /* a longer time between two checks does not count: this process was stopped */

typedef struct monitor {
    dn_workers *workers;
    int signals;
    double deadline_s;
    int stopped_by;
    double stopped_at_s;
    bool forced; /* stopped a second time */
    /* A copy of the first failure, from a worker's end or its own message: workers can overwrite the world's
     * record later. */
    dn_failure failure;
    double failed_at_s;
    bool reported; /* in the log */
    uint64_t progress;
    double last_check_s, idle_s;
} monitor;

/* ---- why a worker ended ---- */

/* Whether a process that is not reaped has used what `ulimit -t` allows it: the kernel kills it then. */
static bool is_out_of_time(int pid)
{
    struct rlimit limit; /* this process's own, which its workers inherit */
    struct timespec used;
    clockid_t clock;
    return getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_max != RLIM_INFINITY &&
           clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &used) == 0 &&
           (rlim_t)used.tv_sec + 1 >= limit.rlim_max;
}

static const char *hint(int signal, int pid)
{
    switch (signal) {
    case SIGKILL:
        if (is_out_of_time(pid))
            return "; it has used its processor time (ulimit -t): at a soft limit below the hard one (ulimit -S -t) a run "
                   "saves and stops";
        return "; unless it was killed on purpose, the system ran out of memory (see dmesg)";
    case SIGBUS:
        return "; a mapped file was truncated, or /dev/shm is full";
    case SIGILL:
        return "; this processor lacks an instruction that it was built with";
    case SIGSEGV:
    case SIGABRT:
    case SIGFPE:
        return "; that is a bug: a core dump (ulimit -c unlimited) shows where";
    default:
        return "";
    }
}

static __attribute__((format(printf, 2, 3))) void set_message(dn_failure *failure, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(failure->message, sizeof failure->message, format, args);
    va_end(args);
}

static void log_table(const dn_world *world)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return;
    dn_world_print(world, out);
    fclose(out);
    char *rest = text;
    for (char *line; rest && (line = strsep(&rest, "\n"));)
        if (*line)
            dn_log(DN_LOG_WARNING, "%s", line);
    free(text);
}

static bool has_failed(const monitor *w)
{
    return w->failure.status != DN_OK;
}

static void report_failure(monitor *w, double now_s)
{
    if (w->reported || !has_failed(w) || now_s < w->failed_at_s + REPORT_S)
        return;
    w->reported = true;
    dn_log(DN_LOG_WARNING, "%s; waiting for the others to leave, at most %g s", w->failure.message, GRACE_S);
}

static void note_failure(monitor *w, const dn_failure *failure)
{
    dn_workers *workers = w->workers;
    if (failure->status == DN_OK || has_failed(w))
        return;
    w->failure = *failure;
    w->failed_at_s = dn_clock_s();
    for (int rank = 0; rank < workers->n_workers; rank++)
        if (dn_world_progress(workers->world, rank) == 0) /* not attached yet: it cannot see the failure */
            dn_workers_kill(workers, rank);
    if (failure->status != DN_ERR_TIMEOUT)
        return;
    log_table(workers->world);
    dn_workers_kill(workers, failure->rank);
}

/* Fails the run for a worker that did not end well. A message of the worker's own was written before it
 * exited, and takes precedence if it names a rank. */
static void note_end(monitor *w, int rank, const siginfo_t *end)
{
    dn_workers *workers = w->workers;
    int pid = (int)workers->processes[rank].pid, code = end->si_status;
    dn_failure failure = {.status = DN_ERR_PEER, .rank = rank, .step = dn_world_step(workers->world, rank)};
    unsigned long long step = failure.step;
    if (end->si_pid == 0)
        set_message(
            &failure,
            "worker %d (pid %d) was reaped by another wait in this process: only dn_launch may wait for "
            "child processes",
            rank, pid);
    else if (end->si_code != CLD_EXITED) {
        failure.signal = code;
        set_message(&failure, "worker %d (pid %d) was killed by signal %d (%s) in step %llu%s", rank, pid,
                    code, strsignal(code), step, hint(code, pid));
    } else if (code == 0)
        return;
    else {
        int error = dn_workers_start_error(workers);
        if (error) {
            failure.status = DN_ERR_SYSTEM;
            set_message(&failure, "worker %d could not be started from %s: %s", rank, workers->program,
                        strerror(error));
        } else {
            if (code >= dn_status_exit(DN_ERR_ARG) && code <= dn_status_exit(DN_ERR_UNCAUGHT))
                failure.status = (dn_status)-code;
            set_message(&failure,
                        "worker %d (pid %d) exited with status %d in step %llu without an error message",
                        rank, pid, code, step);
        }
    }
    if (!dn_world_abort(workers->world, &failure)) {
        dn_failure first = dn_world_failure(workers->world);
        if (first.status != DN_OK && first.rank >= 0)
            failure = first;
    }
    note_failure(w, &failure);
}

/* ---- events ---- */

static void take_signals(monitor *w, double now_s)
{
    struct signalfd_siginfo info;
    while (read(w->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        int number = (int)info.ssi_signo;
        if (number == SIGTSTP)
            dn_workers_suspend(w->workers);
        else if (number == SIGUSR1) {
            dn_world_request_save(w->workers->world);
            dn_log(DN_LOG_INFO, "%s: asking workers to save and continue", strsignal(number));
        } else if (!w->stopped_by) {
            w->stopped_by = number;
            w->stopped_at_s = now_s;
            dn_world_request_stop(w->workers->world, number);
            dn_log(DN_LOG_INFO,
                   "%s: asking workers to save and stop; a second signal stops at once, without saving",
                   strsignal(number));
        } else if (number != SIGXCPU /* comes every second */ && now_s - w->stopped_at_s >= AGAIN_S)
            w->forced = true;
    }
}

/* Sleeps until a worker ends, a signal arrives or the next check is due; then notes the workers that have
 * ended. */
static void wait_for_events(monitor *w)
{
    struct pollfd fds[DN_MAX_RANKS + 1];
    dn_workers *workers = w->workers;
    for (int rank = 0; rank < workers->n_workers; rank++) /* poll ignores negative descriptors */
        fds[rank] = (struct pollfd){
            .fd = workers->processes[rank].ended ? -1 : workers->processes[rank].pidfd, .events = POLLIN};
    fds[workers->n_workers] = (struct pollfd){.fd = w->signals, .events = POLLIN};
    double rest_s = has_failed(w) && !w->reported ? REPORT_S : CHECK_S;
    if (poll(fds, (nfds_t)workers->n_workers + 1, (int)(rest_s * 1000)) <= 0)
        return;
    for (int rank = 0; rank < workers->n_workers; rank++) {
        siginfo_t end;
        if (fds[rank].revents && dn_workers_note_end(workers, rank, &end))
            note_end(w, rank, &end);
    }
}

/* ---- progress ---- */

/* A rank whose wait times out fails the world itself. This covers hangs without a wait: a single worker, or
 * all workers stopped or hung in computation. */
static void check_progress(monitor *w, double now_s)
{
    uint64_t progress = 0;
    for (int rank = 0; rank < w->workers->n_workers; rank++)
        progress += dn_world_progress(w->workers->world, rank);
    double step_s = now_s - w->last_check_s;
    w->idle_s = progress != w->progress ? 0 : w->idle_s + (step_s < MAX_STEP_S ? step_s : MAX_STEP_S);
    w->progress = progress;
    w->last_check_s = now_s;
    if (has_failed(w) || w->idle_s < w->deadline_s + MARGIN_S)
        return;
    dn_failure failure = {.status = DN_ERR_TIMEOUT, .rank = w->workers->n_workers == 1 ? 0 : -1};
    set_message(&failure,
                "no worker made progress for %g s (the log shows each rank's state); raise the deadline if "
                "they were only slow",
                w->deadline_s);
    dn_world_abort(w->workers->world, &failure);
    note_failure(w, &failure);
}

static dn_status fail_forced(const monitor *w)
{
    uint64_t step;
    const char *signal = strsignal(w->stopped_by);
    if (!dn_world_saved(w->workers->world, &step))
        return dn_fail(DN_ERR_PEER, "stopped by force, by a second signal after %s", signal);
    return dn_fail(
        DN_ERR_PEER,
        "stopped by force in step %llu, by a second signal after %s; nothing was saved since step %llu",
        (unsigned long long)dn_world_step(w->workers->world, 0), signal, (unsigned long long)step);
}

dn_status dn_monitor(dn_workers *workers, int signals, const dn_launch_spec *spec, int *stopped_by)
{
    monitor w = {
        .workers = workers, .signals = signals, .deadline_s = spec->deadline_s, .last_check_s = dn_clock_s()};
    while (workers->n_alive > 0) {
        wait_for_events(&w);
        double now_s = dn_clock_s();
        take_signals(&w, now_s);
        if (w.forced || (has_failed(&w) && now_s >= w.failed_at_s + GRACE_S))
            break;
        if (spec->progress)
            spec->progress(dn_world_step(workers->world, 0), spec->progress_context);
        dn_failure failure = dn_world_failure(workers->world); /* of a worker that has not exited */
        note_failure(&w, &failure);
        report_failure(&w, now_s);
        check_progress(&w, now_s);
    }
    *stopped_by = w.stopped_by;
    if (has_failed(&w))
        return dn_fail(w.failure.status, "%s", w.failure.message);
    return w.forced ? fail_forced(&w) : DN_OK;
}
