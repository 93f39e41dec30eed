#include "dionode/launch.h"

#include "base/fail.h"
#include "base/output.h"
#include "dionode/descriptors.h"
#include "launch/environment.h"
#include "launch/workers.h"
#include "launch/monitor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <stdlib.h>
#include <unistd.h>

/* The signals that dn_launch handles while workers run, and what it restores afterwards. */
typedef struct signals {
    sigset_t handled; /* stop the run, save a checkpoint, suspend the job (Ctrl-Z) */
    sigset_t old_mask;
    struct sigaction old_child;
    int descriptor; /* signalfd of handled */
} signals;

/* Signals that the caller ignores (nohup, background jobs of a script) stay ignored. Ctrl-Z reaches this
 * process only and is forwarded, unless the caller handles it. SIGCHLD must not be ignored: the kernel would
 * reap the workers. */
static dn_status signals_block(signals *s)
{
    static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR1};
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    struct sigaction action;
    sigemptyset(&s->handled);
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        if (sigaction(handled[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&s->handled, handled[i]);
    if (sigaction(SIGTSTP, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        sigaddset(&s->handled, SIGTSTP);
    s->descriptor = signalfd(-1, &s->handled, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->descriptor < 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot open a signalfd");
    sigprocmask(SIG_BLOCK, &s->handled, &s->old_mask);
    sigaction(SIGCHLD, &standard, &s->old_child);
    return DN_OK;
}

/* Handled signals that are still pending are dropped: they were meant for the run that is over. */
static void signals_restore(signals *s)
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

bool dn_launch_is_rank(void)
{
    const char *size = getenv("OMPI_COMM_WORLD_SIZE"), *transport = getenv("DIONODE_TRANSPORT");
    return !dn_world_inherited() && ((size && atoi(size) > 1) || (transport && *transport) || dn_environment_of_srun());
}

/* Starts all workers and monitors them to their end. */
static dn_status run_workers(const dn_launch_spec *spec, int restart, const signals *s, int *stopped_by)
{
    dn_workers workers;
    dn_status status = dn_workers_start(&workers, spec, restart, &s->old_mask);
    if (status == DN_OK)
        status = dn_monitor(&workers, s->descriptor, spec, stopped_by);
    dn_workers_end(&workers);
    return status;
}

dn_status dn_launch(const dn_launch_spec *spec, int *signal_out)
{
    signals s;
    int stopped_by = 0, n_restarts = 0;
    DN_TRY(dn_descriptors_occupy());
    DN_TRY(signals_block(&s));
    dn_status status = run_workers(spec, 0, &s, &stopped_by);
    /* Other errors would only be repeated. */
    while ((status == DN_ERR_PEER || status == DN_ERR_TIMEOUT) && !stopped_by &&
           n_restarts < spec->max_restarts) {
        n_restarts++;
        dn_log(DN_LOG_WARNING, "%s; restart %d of %d", dn_error_message(), n_restarts, spec->max_restarts);
        status = run_workers(spec, n_restarts, &s, &stopped_by);
    }
    signals_restore(&s);
    if (signal_out)
        *signal_out = stopped_by;
    return status;
}
