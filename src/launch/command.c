#include "launch/command.h"

#include "base/clock.h"
#include "base/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANNOT_START 127

/* In the child: a group of its own, so that its children are killed with it. */
static _Noreturn void exec_child(const char *const *argv, int output)
{
    int nothing = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (dup2(output, STDOUT_FILENO) >= 0 && dup2(nothing, STDIN_FILENO) >= 0)
        execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(CANNOT_START);
}

/* Reads to the end of file. Returns false if the time is over. */
static bool read_all(int input, double end_s, char *text, size_t bytes, size_t *length)
{
    char dropped[256];
    for (*length = 0;;) {
        double left_s = end_s - dn_clock_s();
        struct pollfd fd = {.fd = input, .events = POLLIN};
        if (left_s <= 0)
            return false;
        if (poll(&fd, 1, (int)(left_s * 1000) + 1) <= 0)
            continue;
        size_t room = bytes - 1 - *length;
        ssize_t n = read(input, room ? text + *length : dropped, room ? room : sizeof dropped);
        if (n == 0 || (n < 0 && errno != EINTR))
            return true;
        *length += room && n > 0 ? (size_t)n : 0;
    }
}

static dn_status status_of_end(const char *name, int end)
{
    if (WIFEXITED(end) && WEXITSTATUS(end) == 0)
        return DN_OK;
    if (WIFEXITED(end) && WEXITSTATUS(end) == CANNOT_START)
        return dn_fail(DN_ERR_SYSTEM, "cannot start '%s': is it installed?", name);
    if (WIFEXITED(end))
        return dn_fail(DN_ERR_SYSTEM, "'%s' exited with status %d", name, WEXITSTATUS(end));
    return dn_fail(DN_ERR_SYSTEM, "'%s' was killed by signal %d", name, WTERMSIG(end));
}

/* A program may close its output before it exits. */
static bool wait_for_exit(pid_t pid, double end_s, int *end)
{
    while (waitpid(pid, end, WNOHANG) == 0) {
        if (dn_clock_s() > end_s)
            return false;
        poll(NULL, 0, 5);
    }
    return true;
}

dn_status dn_command_run(const char *const *argv, double limit_s, char *text, size_t bytes)
{
    int ends[2], end = 0;
    size_t length;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot open a pipe");
    pid_t pid = fork();
    if (pid == 0)
        exec_child(argv, ends[1]);
    int error = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return dn_fail_errno(DN_ERR_SYSTEM, error, "cannot start '%s'", argv[0]);
    }
    double end_s = dn_clock_s() + limit_s;
    bool in_time = read_all(ends[0], end_s, text, bytes, &length) && wait_for_exit(pid, end_s, &end);
    close(ends[0]);
    text[length] = 0;
    if (in_time)
        return length + 1 < bytes
                   ? status_of_end(argv[0], end)
                   : dn_fail(DN_ERR_SYSTEM, "'%s' printed more than %zu bytes", argv[0], bytes - 2);
    kill(-pid, SIGKILL); /* its group; not reaped yet, so that the number cannot be reused */
    waitpid(pid, &end, 0);
    return dn_fail(DN_ERR_TIMEOUT, "'%s' did not end within %.0f s", argv[0], limit_s);
}
