#include "cli/cli.h"

#include "dionode/launch.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_MIB_DEFAULT 64
#define TIMEOUT_DEFAULT   60.0

typedef struct arguments {
    int n_workers;
    dn_launch_spec spec;
} arguments;

enum { OPTION_RESTARTS = 1000, OPTION_ARENA, OPTION_TIMEOUT };

/* "65536", "64K", "64M", "2G" */
static size_t parse_size(const char *option, const char *text)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (end != text && value >= 0 && value <= (1LL << 50) >> shift && !end[shift != 0])
        return (size_t)value << shift;
    fprintf(stderr, "dionode: %s: '%s' is not a size (bytes, or with K, M or G)\n", option, text);
    exit(dn_status_exit(DN_ERR_CONFIG));
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'n':
        a->n_workers = (int)cli_integer("-n", arg, 1, DN_MAX_RANKS);
        return 0;
    case OPTION_RESTARTS:
        a->spec.max_restarts = (int)cli_integer("--max-restarts", arg, 0, 1000000);
        return 0;
    case OPTION_ARENA:
        a->spec.arena_bytes = parse_size("--arena", arg);
        return 0;
    case OPTION_TIMEOUT:
        a->spec.deadline_s = cli_number("--timeout", arg, 0.01, 1e9);
        return 0;
    case ARGP_KEY_ARG: /* the rest belongs to the program */
        a->spec.program = arg;
        a->spec.argv = state->argv + state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int run(arguments *a)
{
    dn_topo *topo;
    int signal = 0;
    dn_status status = dn_topo_create(a->n_workers, &topo);
    if (status != DN_OK)
        return cli_failure(status);
    a->spec.topo = topo;
    dn_topo_warn(topo);
    status = dn_launch(&a->spec, &signal);
    dn_topo_destroy(&topo);
    if (status != DN_OK)
        return cli_failure(status);
    return signal ? 128 + signal : 0;
}

int cli_launch(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp_option options[] = {
        {"np", 'n', "N", 0, "Workers (default: one per NUMA domain)", 0},
        {"max-restarts", OPTION_RESTARTS, "K", 0,
         "If a worker dies or hangs, restart all workers, at most K times (default 0)", 0},
        {"arena", OPTION_ARENA, "SIZE", 0,
         "Shared memory per worker, the limit of dn_comm_join's heap: bytes, or with K, M, G (default 64M)",
         0},
        {"timeout", OPTION_TIMEOUT, "S", 0,
         "Seconds without progress (a barrier or a tick) after which a worker counts as hung (default 60)",
         0},
        {0},
    };
    static const struct argp argp = {options,
                                     parse,
                                     "PROGRAM [ARG...]",
                                     "Starts N workers of PROGRAM, which calls dn_comm_join "
                                     "(dionode/comm.h), binds each to its cores, and monitors "
                                     "them.\v"
                                     "RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, OMP_NUM_THREADS and "
                                     "DIONODE_RESTART are set in the environment "
                                     "of each. Ctrl-C asks workers to stop (dn_comm_stop_requested); a "
                                     "second one kills them. They run in the "
                                     "background of the terminal: reading from it is an error. Their child "
                                     "processes end with them. The exit status "
                                     "is that of the first failure, as for every command.",
                                     NULL,
                                     NULL,
                                     NULL};
    arguments a = {.spec = {.arena_bytes = (size_t)ARENA_MIB_DEFAULT << 20, .deadline_s = TIMEOUT_DEFAULT}};
    cli_parse(&argp, argc, argv, ARGP_IN_ORDER, &a);
    return run(&a);
}
