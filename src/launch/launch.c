#include "dionode/launch.h"

#include "base/fail.h"
#include "base/output.h"
#include "dionode/descriptors.h"
#include "launch/workers.h"
#include "launch/monitor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* How the calling thread deals with signals, kept while workers run. */
typedef struct signals {
    sigset_t ours; /* those that stop a run, have it saved, or stop a job (Ctrl-Z) */
    sigset_t old_mask;
    struct sigaction old_child;
    int descriptor; /* signalfd of ours */
} signals;

/* Signals the caller ignores (nohup, jobs in the background of a script) stay ignored. Ctrl-Z comes to this
 * process only and is passed on, unless the caller has plans of its own for it. */
static sigset_t our_signals(void)
{
    static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    sigset_t set;
    struct sigaction action;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (sigaction(all[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&set, all[i]);
    }
    if (sigaction(SIGTSTP, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        sigaddset(&set, SIGTSTP);
    return set;
}

/* Where SIGCHLD is ignored the kernel reaps children itself and their fate is lost. */
static dn_status signals_take(signals *s)
{
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    s->ours = our_signals();
    s->descriptor = signalfd(-1, &s->ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->descriptor < 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot open a signalfd");
    sigprocmask(SIG_BLOCK, &s->ours, &s->old_mask);
    sigaction(SIGCHLD, &standard, &s->old_child);
    return DN_OK;
}

/* Late signals of the kind that was handled are dropped: they were meant for the run that is over. */
static void signals_give_back(signals *s)
{
    struct signalfd_siginfo late;
    while (read(s->descriptor, &late, sizeof late) > 0)
        ;
    close(s->descriptor);
    sigaction(SIGCHLD, &s->old_child, NULL);
    sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
}

dn_status dn_launch_print(int pid, FILE *out)
{
    dn_world *world;
    DN_TRY(dn_world_attach_pid(pid, &world));
    dn_failure failure = dn_world_failure(world);
    int stop = dn_world_stop_requested(world);
    if (failure.status != DN_OK)
        fprintf(out, "failed: %s\n", failure.message);
    else if (stop)
        fprintf(out, "saving and stopping (%s)\n", strsignal(stop));
    else
        fprintf(out, "running\n");
    dn_world_print(world, out);
    dn_world_destroy(&world);
    return dn_flush(out);
}

bool dn_launch_is_worker(void)
{
    return dn_world_inherited();
}

/* One life of all workers. */
static dn_status run_workers(const dn_launch_spec *spec, int restart, const signals *s, int *stopped_by)
{
    dn_workers workers;
    dn_status status = dn_workers_start(&workers, spec, restart, &s->old_mask);
    if (status == DN_OK)
        status = dn_monitor(&workers, s->descriptor, spec, stopped_by);
    dn_workers_end(&workers);
    return status;
}

/* Only what may be better the next time is tried again. */
static bool worth_a_restart(dn_status status)
{
    return status == DN_ERR_PEER || status == DN_ERR_TIMEOUT;
}

dn_status dn_launch(const dn_launch_spec *spec, int *signal_out)
{
    signals s;
    int stopped_by = 0, n_restarts = 0;
    DN_TRY(dn_descriptors_occupy());
    DN_TRY(signals_take(&s));
    dn_status status = run_workers(spec, 0, &s, &stopped_by);
    while (worth_a_restart(status) && !stopped_by && n_restarts < spec->max_restarts) {
        n_restarts++;
        dn_log(DN_LOG_WARNING, "%s; restart %d of %d", dn_error_message(), n_restarts, spec->max_restarts);
        status = run_workers(spec, n_restarts, &s, &stopped_by);
    }
    signals_give_back(&s);
    if (signal_out)
        *signal_out = stopped_by;
    return status;
}
