#include "cli/cli.h"

#include "dionode/launch.h"

#include <argp.h>
#include <limits.h>
#include <stdio.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
    int *pid = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_usage(state);
        *pid = (int)cli_integer("PID", arg, 1, INT_MAX);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_stat(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp argp = {NULL,
                                     parse,
                                     "PID",
                                     "Shows the state of each worker of a running launch: step, phase, "
                                     "barriers, and the rank it waits for.\v"
                                     "PID is the process id of the launcher (dionode train, dionode launch) "
                                     "or of any of its workers. The run is only "
                                     "read. 'watch -n 1 dionode stat PID' refreshes it every second.",
                                     NULL,
                                     NULL,
                                     NULL};
    int pid = 0;
    cli_parse(&argp, argc, argv, 0, &pid);
    dn_status status = dn_launch_print(pid, stdout);
    return status == DN_OK ? 0 : cli_failure(status);
}
