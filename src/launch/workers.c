#include "launch/workers.h"

#include "base/clock.h"
#include "base/fail.h"
#include "launch/environment.h"
#include "launch/process_group.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAST_WAIT_S 5.0
#define LEFT_S      0.5 /* for what a worker left running: a tee that still writes its last lines */
#define NAP_MS      5

/* ---- starting ---- */

/* What a child needs; prepared before the fork, because after it only async-signal-safe calls are allowed. */
typedef struct start {
    const char *program;
    char *const *argv;
    char *const *environment;
    pid_t launcher;
    const sigset_t *mask;
    int failed_starts;
    int error_output; /* 0: as it is */
} start;

/* Dies with the launcher from here on, even if the launcher died before it was asked for. Signals are dealt
 * with as the launcher's caller does, but for two: with them ignored a worker may write to the terminal though
 * it is in the background (stty tostop), and reading from it is an error and not a stop that nobody sees. */
static _Noreturn void become_worker(const start *s)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == s->launcher && setpgid(0, 0) == 0 &&
        sigaction(SIGTTIN, &ignore, NULL) == 0 && sigaction(SIGTTOU, &ignore, NULL) == 0 &&
        sigprocmask(SIG_SETMASK, s->mask, NULL) == 0 &&
        (s->error_output == 0 || dup2(s->error_output, STDERR_FILENO) >= 0))
        execvpe(s->program, s->argv, s->environment);
    int error = errno;
    ssize_t ignored = write(s->failed_starts, &error, sizeof error);
    (void)ignored; /* nobody is left to tell */
    _exit(127);
}

static dn_status fork_one(dn_workers *workers, int rank, const start *s)
{
    pid_t pid = fork();
    if (pid == 0)
        become_worker(s);
    if (pid < 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno,
                             "cannot start worker %d of %d (is a limit on processes reached: ulimit -u, the "
                             "cgroup's pids.max?)",
                             rank, workers->n_workers);
    setpgid(pid, pid); /* whoever comes first */
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        int error = errno;
        kill(pid, SIGKILL); /* our own child, not reaped: the number is still its own */
        waitpid(pid, NULL, 0);
        return dn_fail_errno(DN_ERR_SYSTEM, error,
                             "cannot watch worker %d of %d (pidfd_open, Linux 5.3; ulimit -n)", rank,
                             workers->n_workers);
    }
    workers->processes[rank] = (dn_worker){.pid = pid, .group = pid, .pidfd = pidfd};
    workers->n_alive++;
    dn_world_set_pid(workers->world, rank, (int)pid);
    return DN_OK;
}

/* The launcher takes a worker's place for the moment of the fork: the child inherits it, nothing but system
 * calls happens between fork and exec, and a refusal is told once, by us. */
static dn_status start_one(dn_workers *workers, int rank, const dn_launch_spec *spec, start *s)
{
    dn_environment environment;
    DN_TRY(dn_environment_make(spec->topo, rank, workers->restart, workers->world, &environment));
    dn_topo_bind(spec->topo, rank);
    s->environment = environment.entries;
    dn_status status = fork_one(workers, rank, s);
    dn_environment_free(&environment);
    return status;
}

/* Whether a worker that was started has failed already; it is noted later, as any other end. */
static bool has_casualties(const dn_workers *workers)
{
    for (int rank = 0; rank < workers->n_workers && workers->processes[rank].pidfd >= 0; rank++) {
        siginfo_t end = {0};
        if (waitid(P_PIDFD, (id_t)workers->processes[rank].pidfd, &end, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            end.si_pid != 0 && (end.si_code != CLD_EXITED || end.si_status != 0))
            return true;
    }
    return false;
}

/* Many workers take their time to start: one that dies meanwhile is not kept waiting for the rest. */
static dn_status start_all(dn_workers *workers, const dn_launch_spec *spec, start *s)
{
    dn_status status = DN_OK;
    for (int rank = 0; rank < workers->n_workers && status == DN_OK && !has_casualties(workers); rank++)
        status = start_one(workers, rank, spec, s);
    dn_topo_unbind(spec->topo);
    return status;
}

/* Workers that span several domains (numa -1) all count as of the first. */
static void set_domains(dn_workers *workers, const dn_topo *topo)
{
    for (int rank = 0; rank < workers->n_workers; rank++) {
        int numa = dn_topo_place(topo, rank)->numa;
        dn_world_set_domain(workers->world, rank, numa < 0 ? 0 : numa);
    }
}

dn_status dn_workers_start(dn_workers *workers, const dn_launch_spec *spec, int restart, const sigset_t *mask)
{
    *workers = (dn_workers){.program = spec->program ? spec->program : "/proc/self/exe",
                            .restart = restart,
                            .n_workers = dn_topo_n_workers(spec->topo),
                            .failed_starts = -1};
    for (int rank = 0; rank < workers->n_workers; rank++)
        workers->processes[rank].pidfd = -1;
    DN_TRY(dn_world_create(workers->n_workers, spec->arena_bytes, dn_topo_machine(spec->topo)->n_here,
                           spec->deadline_s, &workers->world));
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot open a pipe");
    workers->failed_starts = ends[0];
    start s = {.program = workers->program,
               .argv = spec->argv,
               .launcher = getpid(),
               .mask = mask,
               .failed_starts = ends[1],
               .error_output = spec->error_output};
    set_domains(workers, spec->topo);
    dn_status status = start_all(workers, spec, &s);
    close(ends[1]);
    return status;
}

int dn_workers_start_error(dn_workers *workers)
{
    int error;
    return read(workers->failed_starts, &error, sizeof error) == (ssize_t)sizeof error ? error : 0;
}

/* ---- ending ---- */

bool dn_workers_note_end(dn_workers *workers, int rank, siginfo_t *end)
{
    dn_worker *member = &workers->processes[rank];
    *end = (siginfo_t){0};
    int result = waitid(P_PIDFD, (id_t)member->pidfd, end, WEXITED | WNOHANG | WNOWAIT);
    if (result == 0 ? end->si_pid == 0 : errno != ECHILD)
        return false;
    if (result != 0)
        member->group = 0;
    member->ended = true;
    workers->n_alive--;
    return true;
}

static bool is_running(const dn_worker *member)
{
    return member->pidfd >= 0 && !member->ended;
}

/* By the pidfd too, for one that has gone to another group. */
static void send(const dn_worker *member, int signal)
{
    if (!is_running(member))
        return;
    kill(-member->group, signal);
    pidfd_send_signal(member->pidfd, signal, NULL, 0);
}

void dn_workers_kill(dn_workers *workers, int rank)
{
    if (rank >= 0)
        send(&workers->processes[rank], SIGKILL);
}

void dn_workers_suspend(dn_workers *workers)
{
    sigset_t stop, old;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    for (int rank = 0; rank < workers->n_workers; rank++)
        send(&workers->processes[rank], SIGSTOP);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &stop, &old); /* here this process stands still */
    sigprocmask(SIG_SETMASK, &old, NULL);
    for (int rank = 0; rank < workers->n_workers; rank++)
        send(&workers->processes[rank], SIGCONT);
}

static void wait_for_the_killed(dn_workers *workers)
{
    double end_s = dn_clock_s() + LAST_WAIT_S;
    for (int rank = 0; rank < workers->n_workers; rank++) {
        dn_worker *member = &workers->processes[rank];
        siginfo_t end;
        while (is_running(member) && !dn_workers_note_end(workers, rank, &end)) {
            double left_s = end_s - dn_clock_s();
            if (left_s <= 0)
                break;
            struct pollfd fd = {.fd = member->pidfd, .events = POLLIN};
            poll(&fd, 1, (int)(left_s * 1000) + 1);
        }
        if (is_running(member))
            dn_log(DN_LOG_WARNING,
                   "worker %d (pid %d) cannot be killed (it waits in the kernel for a device): left behind",
                   rank, (int)member->pid);
    }
}

/* From here on only living processes hold the number of a group. */
static void reap(dn_worker *member)
{
    siginfo_t end;
    if (member->pidfd < 0)
        return;
    if (member->ended)
        waitid(P_PIDFD, (id_t)member->pidfd, &end, WEXITED | WNOHANG);
    close(member->pidfd);
    member->pidfd = -1;
}

/* Returns whether the group is gone. */
static bool await_group(pid_t group, double end_s)
{
    while (dn_process_group_lives(group)) {
        if (dn_clock_s() >= end_s)
            return false;
        poll(NULL, 0, NAP_MS);
    }
    return true;
}

static void end_what_is_left(dn_workers *workers)
{
    double end_s = dn_clock_s() + LEFT_S;
    for (int rank = 0; rank < workers->n_workers; rank++) {
        pid_t group = workers->processes[rank].group;
        if (group == 0 || await_group(group, end_s))
            continue;
        kill(-group, SIGKILL);
        if (await_group(group, end_s + LAST_WAIT_S))
            dn_log(DN_LOG_WARNING, "worker %d left processes running when it ended: killed", rank);
        else
            dn_log(DN_LOG_WARNING, "worker %d left processes running that cannot be killed (group %d)", rank,
                   (int)group);
    }
}

void dn_workers_end(dn_workers *workers)
{
    for (int rank = 0; rank < workers->n_workers; rank++)
        dn_workers_kill(workers, rank);
    wait_for_the_killed(workers);
    for (int rank = 0; rank < workers->n_workers; rank++)
        reap(&workers->processes[rank]);
    end_what_is_left(workers);
    if (workers->failed_starts >= 0)
        close(workers->failed_starts);
    dn_world_destroy(&workers->world);
}
