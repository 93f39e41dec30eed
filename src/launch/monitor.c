#include "launch/monitor.h"

#include "base/clock.h"
#include "base/fail.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define GRACE_S   2.0  /* for survivors to leave after a failure, before they are killed */
#define TELL_S    0.05 /* what takes them longer than this is told without waiting for them */
#define AGAIN_S   0.25 /* a second stop signal sooner than this is the first one come twice */
#define LOOK_S    0.2  /* between two looks at the state table */
#define MARGIN_S  1.0  /* beyond the deadline: a rank that waits sees more of a hang, and shall tell of it */
#define LONGEST_S 1.0  /* a longer time between two looks was not ours: this process was stopped */

typedef struct monitor {
    dn_workers *workers;
    int signals;
    double deadline_s;
    int stopped_by;
    double stopped_at_s;
    bool forced; /* stopped a second time */
    /* The first failure as it was when it was noticed: from a worker's end or its own message. Workers can
     * write to the world, so nothing that is asked of it later changes this. */
    dn_failure failure;
    double failed_at_s;
    bool told; /* the failure is in the log */
    uint64_t progress;
    double last_look_s, idle_s;
} monitor;

/* ---- why a worker ended ---- */

static const char *hint(int signal)
{
    switch (signal) {
    case SIGKILL:
        return "; if nobody killed it, the system was out of memory (see dmesg)";
    case SIGBUS:
        return "; memory behind a file or /dev/shm went away";
    case SIGILL:
        return "; it met an instruction this processor lacks";
    case SIGSEGV:
    case SIGABRT:
    case SIGFPE:
        return "; that is a bug: a core dump (ulimit -c unlimited) shows where";
    default:
        return "";
    }
}

static __attribute__((format(printf, 2, 3))) void tell(dn_failure *failure, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(failure->message, sizeof failure->message, format, args);
    va_end(args);
}

/* The code a silent exit status stands for: ours, if it is one of ours. */
static dn_status status_of_exit(int code)
{
    return code >= dn_status_exit(DN_ERR_ARG) && code <= dn_status_exit(DN_ERR_UNCAUGHT) ? (dn_status)-code
                                                                                         : DN_ERR_PEER;
}

static void report_exit(dn_failure *failure, dn_workers *workers, int pid, int code)
{
    int error = dn_workers_start_error(workers);
    if (error) {
        failure->status = DN_ERR_SYSTEM;
        tell(failure, "worker %d could not be started from %s: %s", failure->rank, workers->program,
             strerror(error));
        return;
    }
    failure->status = status_of_exit(code);
    tell(failure, "worker %d (pid %d) exited with status %d in step %llu without saying why", failure->rank,
         pid, code, (unsigned long long)failure->step);
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

/* Who is not in the world yet has nothing to leave, and nowhere to hear that it should. */
static void kill_who_has_not_joined(dn_workers *workers)
{
    for (int rank = 0; rank < workers->n_workers; rank++)
        if (dn_world_progress(workers->world, rank) == 0)
            dn_workers_kill(workers, rank);
}

/* Survivors that compute leave at their next call. */
static void report_failure(monitor *w, double now_s)
{
    if (w->told || !has_failed(w) || now_s < w->failed_at_s + TELL_S)
        return;
    w->told = true;
    dn_log(DN_LOG_WARNING, "%s; waiting for the others to leave, at most %g s", w->failure.message, GRACE_S);
}

static void note_failure(monitor *w, const dn_failure *failure)
{
    if (failure->status == DN_OK || has_failed(w))
        return;
    w->failure = *failure;
    w->failed_at_s = dn_clock_s();
    kill_who_has_not_joined(w->workers);
    if (failure->status != DN_ERR_TIMEOUT)
        return;
    log_table(w->workers->world);
    dn_workers_kill(w->workers, failure->rank); /* it has had its time */
}

/* Fails the run for a worker that did not end well. A worker that told its own message did so before it
 * exited: then the message counts, if it is one that names somebody. */
static void note_end(monitor *w, int rank, const siginfo_t *end)
{
    dn_workers *workers = w->workers;
    int pid = (int)workers->processes[rank].pid;
    dn_failure failure = {.status = DN_ERR_PEER, .rank = rank, .step = dn_world_step(workers->world, rank)};
    if (end->si_pid == 0)
        tell(&failure,
             "the end of worker %d (pid %d) was taken by another wait in this process: let dn_launch alone "
             "wait for children",
             rank, pid);
    else if (end->si_code != CLD_EXITED) {
        failure.signal = end->si_status;
        tell(&failure, "worker %d (pid %d) was killed by signal %d (%s) in step %llu%s", rank, pid,
             failure.signal, strsignal(failure.signal), (unsigned long long)failure.step,
             hint(failure.signal));
    } else if (end->si_status != 0)
        report_exit(&failure, workers, pid, end->si_status);
    else
        return;
    if (!dn_world_abort(workers->world, &failure)) {
        dn_failure told = dn_world_failure(workers->world);
        if (told.status != DN_OK && told.rank >= 0)
            failure = told;
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
            dn_log(DN_LOG_INFO, "%s: saving what there is to save, and going on", strsignal(number));
        } else if (!w->stopped_by) {
            w->stopped_by = number;
            w->stopped_at_s = now_s;
            dn_world_request_stop(w->workers->world, number);
            dn_log(DN_LOG_INFO,
                   "%s: stopping, after saving what there is to save; once more to stop at once, unsaved",
                   strsignal(number));
        } else if (now_s - w->stopped_at_s >= AGAIN_S)
            w->forced = true;
    }
}

/* Sleeps until a worker ends, a signal comes or it is time to look around; then reaps who has ended. */
static void wait_for_events(monitor *w)
{
    struct pollfd fds[DN_MAX_RANKS + 1];
    dn_workers *workers = w->workers;
    for (int rank = 0; rank < workers->n_workers; rank++) /* poll passes over negative descriptors */
        fds[rank] = (struct pollfd){
            .fd = workers->processes[rank].ended ? -1 : workers->processes[rank].pidfd, .events = POLLIN};
    fds[workers->n_workers] = (struct pollfd){.fd = w->signals, .events = POLLIN};
    double rest_s = has_failed(w) && !w->told ? TELL_S : LOOK_S;
    if (poll(fds, (nfds_t)workers->n_workers + 1, (int)(rest_s * 1000)) <= 0)
        return;
    for (int rank = 0; rank < workers->n_workers; rank++) {
        siginfo_t end;
        if (fds[rank].revents && dn_workers_note_end(workers, rank, &end))
            note_end(w, rank, &end);
    }
}

/* ---- looking around ---- */

/* A rank that waits in vain fails the world itself; this is for when none can: a single worker, or all of
 * them stopped or caught outside of any wait. */
static void notice_standstill(monitor *w, double now_s)
{
    uint64_t progress = 0;
    for (int rank = 0; rank < w->workers->n_workers; rank++)
        progress += dn_world_progress(w->workers->world, rank);
    double step_s = now_s - w->last_look_s;
    w->idle_s = progress != w->progress ? 0 : w->idle_s + (step_s < LONGEST_S ? step_s : LONGEST_S);
    w->progress = progress;
    w->last_look_s = now_s;
    if (has_failed(w) || w->idle_s < w->deadline_s + MARGIN_S)
        return;
    dn_failure failure = {.status = DN_ERR_TIMEOUT, .rank = w->workers->n_workers == 1 ? 0 : -1};
    tell(&failure,
         "no worker made progress for %g s (the log shows where each is); raise the deadline if they were "
         "only slow",
         w->deadline_s);
    dn_world_abort(w->workers->world, &failure);
    note_failure(w, &failure);
}

/* A failure that a worker tells of and outlives. */
static void notice_failure(monitor *w)
{
    if (has_failed(w))
        return;
    dn_failure failure = dn_world_failure(w->workers->world);
    note_failure(w, &failure);
}

static dn_status forced(const monitor *w)
{
    uint64_t step;
    if (!dn_world_saved(w->workers->world, &step))
        return dn_fail(DN_ERR_PEER, "stopped by force, by a second signal after %s",
                       strsignal(w->stopped_by));
    return dn_fail(
        DN_ERR_PEER,
        "stopped by force in step %llu, by a second signal after %s; nothing was saved since step %llu",
        (unsigned long long)dn_world_step(w->workers->world, 0), strsignal(w->stopped_by),
        (unsigned long long)step);
}

static dn_status outcome(const monitor *w)
{
    if (has_failed(w))
        return dn_fail(w->failure.status, "%s", w->failure.message);
    return w->forced ? forced(w) : DN_OK;
}

dn_status dn_monitor(dn_workers *workers, int signals, const dn_launch_spec *spec, int *stopped_by)
{
    monitor w = {
        .workers = workers, .signals = signals, .deadline_s = spec->deadline_s, .last_look_s = dn_clock_s()};
    while (workers->n_alive > 0) {
        wait_for_events(&w);
        double now_s = dn_clock_s();
        take_signals(&w, now_s);
        if (w.forced || (has_failed(&w) && now_s >= w.failed_at_s + GRACE_S))
            break;
        if (spec->look)
            spec->look(dn_world_step(workers->world, 0), spec->look_context);
        notice_failure(&w);
        report_failure(&w, now_s);
        notice_standstill(&w, now_s);
    }
    *stopped_by = w.stopped_by;
    return outcome(&w);
}
