#include "launch/nodes.h"

#include "base/fail.h"
#include "base/output.h"
#include "dionode/types.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANNOT_START 127

/* mpirun ... -np 2 -x DIONODE_NODE=0 PROGRAM ARGUMENTS : -np 2 -x DIONODE_NODE=1 PROGRAM ARGUMENTS. Pretended nodes share cores;
 * containers know one user. */
static dn_status make_line(const int nodes[2], const char *program, char *const *argv, char *np, char (*node)[32], const char ***out)
{
    static const char *const head[] = {"mpirun", "--quiet", "--oversubscribe", "--allow-run-as-root", "--bind-to", "none"};
    size_t n = 0, n_arguments = 0;
    while (argv[n_arguments])
        n_arguments++;
    const char **line = calloc(sizeof head / sizeof *head + (size_t)nodes[0] * (n_arguments + 6) + 1, sizeof *line);
    if (!line)
        return dn_fail(DN_ERR_MEMORY, "no memory for a command line of mpirun");
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        line[n++] = head[i];
    for (int k = 0; k < nodes[0]; k++) {
        if (k > 0)
            line[n++] = ":";
        line[n++] = "-np";
        line[n++] = np;
        line[n++] = "-x";
        line[n++] = node[k];
        line[n++] = program;
        for (size_t i = 1; i < n_arguments; i++)
            line[n++] = argv[i];
    }
    *out = line;
    return DN_OK;
}

static dn_status status_of_end(int end)
{
    int code = WIFEXITED(end) ? WEXITSTATUS(end) : 0;
    if (WIFEXITED(end) && code == 0)
        return DN_OK;
    if (code == CANNOT_START)
        return dn_fail(DN_ERR_SYSTEM, "cannot start mpirun: pretended nodes need Open MPI (Debian: openmpi-bin and libopenmpi-dev)");
    for (dn_status status = DN_ERR_ARG; code && status >= DN_ERR_UNCAUGHT; status--)
        if (dn_status_exit(status) == code)
            return dn_fail(status, "a rank ended with exit status %d, as told above", code);
    return dn_fail(DN_ERR_PEER, "ranks on several nodes ended with %s %d", WIFEXITED(end) ? "exit status" : "signal",
                   WIFEXITED(end) ? code : WTERMSIG(end));
}

dn_status dn_launch_nodes(const int nodes[2], const char *program, char *const *argv, pid_t *pid)
{
    char own[PATH_MAX], np[16], node[DN_MAX_RANKS][32];
    const char **line = NULL;
    int end = 0;
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    own[n > 0 ? n : 0] = '\0';
    snprintf(np, sizeof np, "%d", nodes[1]);
    for (int k = 0; k < nodes[0]; k++)
        snprintf(node[k], sizeof node[k], "DIONODE_NODE=%d", k);
    DN_TRY(make_line(nodes, program ? program : own, argv, np, node, &line));
    dn_status status = dn_flush(stdout); /* before what the ranks print */
    *pid = status == DN_OK ? fork() : 0;
    if (status == DN_OK && *pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        execvp(line[0], (char *const *)(uintptr_t)line);
        _exit(CANNOT_START);
    }
    if (status == DN_OK && *pid < 0)
        status = dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot start mpirun");
    while (status == DN_OK && waitpid(*pid, &end, 0) < 0 && errno == EINTR)
        ;
    free(line);
    return status == DN_OK ? status_of_end(end) : status;
}
