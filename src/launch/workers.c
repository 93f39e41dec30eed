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

#define KILLED_S   5.0
#define LEFTOVER_S 0.5 /* for processes that a worker left running: a tee that writes its last lines */
#define POLL_MS    5

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

/* Killed with the launcher from here on; the parent is checked, as it may have died before. Signals are as
 * the launcher's caller has set them, but for two that are ignored: a worker, in a background group, may then
 * write to the terminal (stty tostop), and reading from it is an error instead of a stop that no one notices.
 */
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
    (void)ignored;
    _exit(127);
}

static dn_status fork_one(dn_workers *workers, int rank, const start *s)
{
    pid_t pid = fork();
    if (pid == 0)
        become_worker(s);
    if (pid < 0)
        return dn_fail_errno(
            DN_ERR_SYSTEM, errno,
            "cannot start worker %d of %d (limits on processes: ulimit -u, the cgroup's pids.max)", rank,
            workers->n_workers);
    setpgid(pid, pid); /* parent and child both: whichever runs first */
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        int error = errno;
        kill(pid, SIGKILL); /* a child that is not reaped: the pid cannot be reused */
        waitpid(pid, NULL, 0);
        return dn_fail_errno(
            DN_ERR_SYSTEM, error,
            "cannot monitor worker %d of %d (pidfd_open needs Linux 5.3 and free descriptors: ulimit -n)",
            rank, workers->n_workers);
    }
    workers->processes[rank] = (dn_worker){.pid = pid, .group = pid, .pidfd = pidfd};
    workers->n_alive++;
    dn_world_set_pid(workers->world, rank, (int)pid);
    return DN_OK;
}

/* Whether a started worker has failed already; its end is noted later, as any other. */
static bool any_has_failed(const dn_workers *workers)
{
    for (int rank = 0; rank < workers->n_workers && workers->processes[rank].pidfd >= 0; rank++) {
        siginfo_t end = {0};
        if (waitid(P_PIDFD, (id_t)workers->processes[rank].pidfd, &end, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            end.si_pid != 0 && (end.si_code != CLD_EXITED || end.si_status != 0))
            return true;
    }
    return false;
}

/* The launcher binds itself to the worker's place for the fork: the child inherits the binding, so that
 * nothing but system calls happens between fork and exec, and a refusal is logged once. Stops early if a
 * worker has failed: starting many takes time. */
static dn_status start_all(dn_workers *workers, const dn_launch_spec *spec, start *s)
{
    dn_status status = DN_OK;
    for (int rank = 0; rank < workers->n_workers && status == DN_OK && !any_has_failed(workers); rank++) {
        dn_environment environment;
        status = dn_environment_make(spec->topo, rank, workers->restart, workers->world, &environment);
        if (status != DN_OK)
            break;
        dn_topo_bind(spec->topo, rank);
        s->environment = environment.entries;
        status = fork_one(workers, rank, s);
        dn_environment_free(&environment);
    }
    dn_topo_unbind(spec->topo);
    return status;
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
    for (int rank = 0; rank < workers->n_workers; rank++) { /* -1, several domains, counts as the first */
        int numa = dn_topo_place(spec->topo, rank)->numa;
        dn_world_set_domain(workers->world, rank, numa < 0 ? 0 : numa);
    }
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

/* By the pidfd too, in case it has changed its group. */
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
    sigprocmask(SIG_UNBLOCK, &stop, &old); /* this process stops here */
    sigprocmask(SIG_SETMASK, &old, NULL);
    for (int rank = 0; rank < workers->n_workers; rank++)
        send(&workers->processes[rank], SIGCONT);
}

static void wait_for_killed(dn_workers *workers)
{
    double end_s = dn_clock_s() + KILLED_S;
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
                   "worker %d (pid %d) cannot be killed (uninterruptible, waiting for a device): it is left "
                   "running",
                   rank, (int)member->pid);
    }
}

/* Returns whether the group is gone. */
static bool await_group(pid_t group, double end_s)
{
    while (dn_process_group_lives(group)) {
        if (dn_clock_s() >= end_s)
            return false;
        poll(NULL, 0, POLL_MS);
    }
    return true;
}

static void kill_leftovers(dn_workers *workers)
{
    double end_s = dn_clock_s() + LEFTOVER_S;
    for (int rank = 0; rank < workers->n_workers; rank++) {
        pid_t group = workers->processes[rank].group;
        if (group == 0 || await_group(group, end_s))
            continue;
        kill(-group, SIGKILL);
        if (await_group(group, end_s + KILLED_S))
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
    wait_for_killed(workers);
    for (int rank = 0; rank < workers->n_workers; rank++) {
        dn_worker *member = &workers->processes[rank];
        siginfo_t end;
        if (member->ended)
            waitid(P_PIDFD, (id_t)member->pidfd, &end, WEXITED | WNOHANG);
        if (member->pidfd >= 0)
            close(member->pidfd);
        member->pidfd = -1;
    }
    /* All workers are reaped: the number of a group now belongs to living processes only. */
    kill_leftovers(workers);
    if (workers->failed_starts >= 0)
        close(workers->failed_starts);
    dn_world_destroy(&workers->world);
}
