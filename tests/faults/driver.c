#include "driver.h"

#include "dionode/status.h"
#include "support/delay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 10.0

const char *program;

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Orphans of a killed launcher become children of this process, which can then reap them. */
int setup(void **state)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    run *r = calloc(1, sizeof *r);
    *state = r;
    return r ? 0 : -1;
}

int teardown(void **state)
{
    run *r = *state;
    if (r->launcher > 0) {
        kill(-r->launcher, SIGKILL);
        while (waitpid(-1, NULL, 0) > 0) /* and the workers, that die with it */
            ;
        close(r->output);
    }
    free(r);
    return 0;
}

static void become(const char *fault, int n_workers, const char *deadline_s, int output)
{
    char n[16];
    sigset_t none;
    snprintf(n, sizeof n, "%d", n_workers);
    setpgid(0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL); /* a test run in the background may have it ignored */
    signal(SIGTERM, SIG_DFL);
    dup2(output, 1);
    execl(program, program, fault, n, deadline_s, NULL);
    _exit(96);
}

void start(run *r, const char *fault, int n_workers, const char *deadline_s)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    r->n_workers = n_workers;
    r->launcher = fork();
    if (r->launcher == 0)
        become(fault, n_workers, deadline_s, ends[1]);
    close(ends[1]);
    r->output = ends[0];
    assert_true(r->launcher > 0);
    setpgid(r->launcher, r->launcher); /* whoever comes first */
}

/* The n-th line that starts with a word and a blank; NULL if there are fewer whole ones. */
static const char *find_line(const run *r, const char *word, int n)
{
    size_t length = strlen(word);
    for (const char *line = r->text; *line;) {
        const char *end = strchr(line, '\n');
        if (!end)
            return NULL;
        if (strncmp(line, word, length) == 0 && line[length] == ' ' && --n == 0)
            return line;
        line = end + 1;
    }
    return NULL;
}

const char *await_lines(run *r, const char *word, int n)
{
    double end_s = now_s() + PATIENCE_S;
    const char *line;
    while (!(line = find_line(r, word, n))) {
        struct pollfd fd = {.fd = r->output, .events = POLLIN};
        int left_ms = (int)((end_s - now_s()) * 1000);
        ssize_t got = 0;
        if (left_ms > 0 && poll(&fd, 1, left_ms) > 0)
            got = read(r->output, r->text + r->length, sizeof r->text - 1 - r->length);
        if (got <= 0) {
            print_message("# no %d lines '%s' in: %s\n", n, word, r->text);
            fail();
        }
        r->length += (size_t)got;
    }
    return line;
}

void await_ready(run *r)
{
    for (int i = 1; i <= r->n_workers; i++) {
        int rank, pid;
        assert_int_equal(sscanf(await_lines(r, "ready", i), "ready %d %d", &rank, &pid), 2);
        assert_in_range(rank, 0, r->n_workers - 1);
        r->pids[rank] = pid;
    }
}

static int names_in_shm(pid_t pid)
{
    char start_of_name[32];
    int n = 0;
    snprintf(start_of_name, sizeof start_of_name, "dionode-%d-", (int)pid);
    DIR *folder = opendir("/dev/shm");
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        n += strncmp(entry->d_name, start_of_name, strlen(start_of_name)) == 0;
    if (folder)
        closedir(folder);
    return n;
}

void nothing_is_left(run *r)
{
    double end_s = now_s() + 1.0;
    pid_t reaped; /* each in a group of its own; orphans come to us */
    while ((reaped = waitpid(-1, NULL, WNOHANG)) >= 0 && now_s() < end_s)
        if (reaped == 0)
            rest();
    assert_int_equal(reaped, -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(names_in_shm(r->launcher), 0);
}

result await_end(run *r)
{
    result end = {0};
    int n = 0, exit_status;
    const char *line = await_lines(r, "done", 1);
    assert_int_equal(sscanf(line, "done %d %d %d %n", &end.status, &end.signal, &end.leaks, &n), 3);
    end.message = line + n;
    assert_int_equal(waitpid(r->launcher, &exit_status, 0), r->launcher);
    assert_true(WIFEXITED(exit_status));
    assert_int_equal(WEXITSTATUS(exit_status), dn_status_exit((dn_status)end.status));
    assert_int_equal(end.leaks, 0);
    nothing_is_left(r);
    return end;
}

void note_delays(run *r)
{
    r->launcher_delay_s = delay_s(r->launcher);
    for (int rank = 0; rank < r->n_workers; rank++)
        r->delays_s[rank] = delay_s(r->pids[rank]);
}

double last_out_s(run *r, int dead)
{
    double last_s = 0;
    for (int i = 1; i < r->n_workers; i++) {
        int rank, status;
        long long ns, delay_ns;
        assert_int_equal(
            sscanf(await_lines(r, "out", i), "out %d %d %lld %lld", &rank, &status, &ns, &delay_ns), 4);
        assert_int_not_equal(rank, dead);
        assert_int_equal(status, DN_ERR_PEER);
        double out_s = 1e-9 * (double)ns - (1e-9 * (double)delay_ns - r->delays_s[rank]);
        last_s = out_s > last_s ? out_s : last_s;
    }
    return last_s - (delay_s(r->launcher) - r->launcher_delay_s);
}
