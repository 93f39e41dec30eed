/*
 * Loaded before everything else (LD_PRELOAD) where coverage is measured: processes write their counters also where
 * they leave without running their destructors - by _exit, by a crash, or because they are killed. Who is to be
 * killed by one of the processes that have this loaded is asked to write first. What a dying parent takes along
 * (PR_SET_PDEATHSIG), and what is stopped, is lost.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

enum { MOST_UNITS = 16, PLEASE_WRITE = 63, PATIENCE_MS = 500 };

static void (*units[MOST_UNITS])(void);
static int n_units;

static void write_counters(void)
{
    static volatile sig_atomic_t busy;
    if (busy)
        return;
    busy = 1;
    for (int i = 0; i < n_units; i++)
        units[i]();
    busy = 0;
}

/* ---- the one that dies ---- */

/* That it is ignored from now on says that it is done. */
static void on_request(int number)
{
    write_counters();
    signal(number, SIG_IGN);
}

static void on_crash(int number)
{
    signal(number, SIG_DFL);
    write_counters();
    raise(number);
}

/* Crashes that the program has handlers of its own for are its affair. */
void coverage_register(void (*dump)(void))
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    if (n_units < MOST_UNITS)
        units[n_units++] = dump;
    signal(PLEASE_WRITE, on_request);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        signal(crashes[i], on_crash);
}

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (!function)
        abort();
    return function;
}

__attribute__((noreturn)) void _exit(int status)
{
    write_counters();
    ((void (*)(int))next("_exit"))(status);
    __builtin_unreachable();
}

__attribute__((noreturn)) void _Exit(int status)
{
    _exit(status);
}

/* ---- the one that kills ---- */

/* A line of /proc/PID/status that holds signals. */
static unsigned long long signals_of(int pid, const char *line)
{
    char path[64], text[256];
    unsigned long long mask = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(text, sizeof text, file))
        if (strncmp(text, line, strlen(line)) == 0)
            mask = strtoull(text + strlen(line) + 1, NULL, 16);
    if (file)
        fclose(file);
    return mask;
}

static bool holds(unsigned long long mask, int number)
{
    return mask >> (number - 1) & 1;
}

static bool is_deadly(int pid, int number)
{
    static const int harmless[] = {SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (number == harmless[i])
            return false;
    return number > 0 && (number == SIGKILL || (!holds(signals_of(pid, "SigCgt:"), number) &&
                                                !holds(signals_of(pid, "SigIgn:"), number) &&
                                                !holds(signals_of(pid, "SigBlk:"), number)));
}

static void let_write(int pid, int number)
{
    const struct timespec ms = {0, 1000000};
    int (*plain)(pid_t, int) = next("kill");
    if (pid == getpid()) {
        if (is_deadly(pid, number))
            write_counters();
        return;
    }
    if (!holds(signals_of(pid, "SigCgt:"), PLEASE_WRITE) || !is_deadly(pid, number))
        return; /* not one of ours, or it lives on */
    plain(pid, PLEASE_WRITE);
    for (int i = 0; i < PATIENCE_MS && holds(signals_of(pid, "SigCgt:"), PLEASE_WRITE); i++)
        nanosleep(&ms, NULL);
}

static void let_group_write(int group, int number)
{
    DIR *all = opendir("/proc");
    for (struct dirent *entry; all && (entry = readdir(all));) {
        int pid = atoi(entry->d_name);
        if (pid > 0 && getpgid(pid) == group)
            let_write(pid, number);
    }
    if (all)
        closedir(all);
}

int kill(pid_t pid, int number)
{
    if (pid > 0)
        let_write(pid, number);
    else if (pid < -1)
        let_group_write(-pid, number);
    return ((int (*)(pid_t, int))next("kill"))(pid, number);
}

int raise(int number)
{
    let_write(getpid(), number);
    return ((int (*)(int))next("raise"))(number);
}

static int pid_behind(int pidfd)
{
    char path[64], text[256];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    FILE *file = fopen(path, "re");
    while (file && fgets(text, sizeof text, file))
        sscanf(text, "Pid: %d", &pid);
    if (file)
        fclose(file);
    return pid;
}

int pidfd_send_signal(int pidfd, int number, siginfo_t *info, unsigned int flags)
{
    int pid = pid_behind(pidfd);
    if (pid > 0)
        let_write(pid, number);
    return ((int (*)(int, int, siginfo_t *, unsigned int))next("pidfd_send_signal"))(pidfd, number, info, flags);
}
