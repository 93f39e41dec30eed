#include "launch/crew.h"

#include "base/clock.h"
#include "base/fail.h"
#include "launch/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAST_WAIT_S 5.0

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

/* Dies with the launcher from here on, even if the launcher died before it was asked for. Signals that stop a
 * run are ignored through the exec, so that an early Ctrl-C cannot kill a worker that has not yet joined. */
static _Noreturn void become_worker(const start *s)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == s->launcher &&
        sigaction(SIGINT, &ignore, NULL) == 0 && sigaction(SIGTERM, &ignore, NULL) == 0 &&
        sigaction(SIGHUP, &ignore, NULL) == 0 && sigprocmask(SIG_SETMASK, s->mask, NULL) == 0 &&
        (s->error_output == 0 || dup2(s->error_output, STDERR_FILENO) >= 0))
        execvpe(s->program, s->argv, s->environment);
    int error = errno;
    ssize_t ignored = write(s->failed_starts, &error, sizeof error);
    (void)ignored; /* nobody is left to tell */
    _exit(127);
}

static dn_status fork_one(dn_crew *crew, int rank, const start *s)
{
    pid_t pid = fork();
    if (pid == 0)
        become_worker(s);
    if (pid < 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno,
                             "cannot start worker %d of %d (is a limit on processes reached: ulimit -u, the "
                             "cgroup's pids.max?)",
                             rank, crew->n_members);
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        int error = errno;
        kill(pid, SIGKILL); /* our own child, not reaped: the number is still its own */
        waitpid(pid, NULL, 0);
        return dn_fail_errno(DN_ERR_SYSTEM, error,
                             "cannot watch worker %d of %d (pidfd_open, Linux 5.3; ulimit -n)", rank,
                             crew->n_members);
    }
    crew->members[rank] = (dn_member){.pid = pid, .pidfd = pidfd};
    crew->n_alive++;
    dn_world_set_pid(crew->world, rank, (int)pid);
    return DN_OK;
}

/* The launcher takes a worker's place for the moment of the fork: the child inherits it, nothing but system
 * calls happens between fork and exec, and a refusal is told once, by us. */
static dn_status start_one(dn_crew *crew, int rank, const dn_launch_spec *spec, start *s)
{
    dn_environment environment;
    DN_TRY(dn_environment_make(spec->topo, rank, crew->restart, crew->world, &environment));
    dn_topo_bind(spec->topo, rank);
    s->environment = environment.entries;
    dn_status status = fork_one(crew, rank, s);
    dn_environment_free(&environment);
    return status;
}

static dn_status start_all(dn_crew *crew, const dn_launch_spec *spec, start *s)
{
    dn_status status = DN_OK;
    for (int rank = 0; rank < crew->n_members && status == DN_OK; rank++)
        status = start_one(crew, rank, spec, s);
    dn_topo_unbind(spec->topo);
    return status;
}

/* Workers that span several domains (numa -1) all count as of the first. */
static void tell_domains(dn_crew *crew, const dn_topo *topo)
{
    for (int rank = 0; rank < crew->n_members; rank++) {
        int numa = dn_topo_place(topo, rank)->numa;
        dn_world_set_domain(crew->world, rank, numa < 0 ? 0 : numa);
    }
}

dn_status dn_crew_start(dn_crew *crew, const dn_launch_spec *spec, int restart, const sigset_t *mask)
{
    *crew = (dn_crew){.program = spec->program ? spec->program : "/proc/self/exe",
                      .restart = restart,
                      .n_members = dn_topo_n_workers(spec->topo),
                      .failed_starts = -1};
    for (int rank = 0; rank < crew->n_members; rank++)
        crew->members[rank].pidfd = -1;
    DN_TRY(dn_world_create(crew->n_members, spec->arena_bytes, dn_topo_machine(spec->topo)->n_here,
                           spec->deadline_s, &crew->world));
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot open a pipe");
    crew->failed_starts = ends[0];
    start s = {.program = crew->program,
               .argv = spec->argv,
               .launcher = getpid(),
               .mask = mask,
               .failed_starts = ends[1],
               .error_output = spec->error_output};
    tell_domains(crew, spec->topo);
    dn_status status = start_all(crew, spec, &s);
    close(ends[1]);
    return status;
}

int dn_crew_start_error(dn_crew *crew)
{
    int error;
    return read(crew->failed_starts, &error, sizeof error) == (ssize_t)sizeof error ? error : 0;
}

/* ---- ending ---- */

bool dn_crew_reap(dn_crew *crew, int rank, siginfo_t *end)
{
    dn_member *member = &crew->members[rank];
    *end = (siginfo_t){0};
    int result = waitid(P_PIDFD, (id_t)member->pidfd, end, WEXITED | WNOHANG);
    if (result == 0 ? end->si_pid == 0 : errno != ECHILD)
        return false;
    close(member->pidfd);
    member->pidfd = -1;
    crew->n_alive--;
    return true;
}

void dn_crew_kill(dn_crew *crew, int rank)
{
    if (rank >= 0 && crew->members[rank].pidfd >= 0)
        pidfd_send_signal(crew->members[rank].pidfd, SIGKILL, NULL, 0);
}

static void wait_for_the_killed(dn_crew *crew)
{
    double end_s = dn_clock_s() + LAST_WAIT_S;
    for (int rank = 0; rank < crew->n_members; rank++) {
        dn_member *member = &crew->members[rank];
        siginfo_t end;
        while (member->pidfd >= 0 && !dn_crew_reap(crew, rank, &end)) {
            double left_s = end_s - dn_clock_s();
            if (left_s <= 0)
                break;
            struct pollfd fd = {.fd = member->pidfd, .events = POLLIN};
            poll(&fd, 1, (int)(left_s * 1000) + 1);
        }
        if (member->pidfd < 0)
            continue;
        dn_log(DN_LOG_WARNING,
               "worker %d (pid %d) cannot be killed (it waits in the kernel for a device): left behind", rank,
               (int)member->pid);
        close(member->pidfd);
        member->pidfd = -1;
    }
}

void dn_crew_end(dn_crew *crew)
{
    for (int rank = 0; rank < crew->n_members; rank++)
        dn_crew_kill(crew, rank);
    wait_for_the_killed(crew);
    if (crew->failed_starts >= 0)
        close(crew->failed_starts);
    dn_world_destroy(&crew->world);
}
