#include "cli/cli.h"

#include "dionode/bench.h"
#include "dionode/launch.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_NP = 1000, OPTION_OP, OPTION_CLEAN, OPTION_JSON, OPTION_VERSUS, OPTION_TRIAD, OPTION_NODES, OPTION_DEVICE };

typedef struct arguments {
    dn_bench_comm_options options;
    int n_workers;
} arguments;

static error_t parse_long(int key, char *arg, arguments *a, struct argp_state *state)
{
    dn_bench_comm_options *o = &a->options;
    switch (key) {
    case OPTION_NP:
        a->n_workers = (int)cli_integer("--np", arg, 1, DN_MAX_RANKS);
        return 0;
    case OPTION_OP:
        o->op = arg;
        return 0;
    case OPTION_CLEAN:
        o->clean_buffers = true;
        return 0;
    case OPTION_JSON:
        o->json = arg;
        return 0;
    case OPTION_VERSUS:
        if (strcmp(arg, "mpi") != 0)
            argp_error(state, "--versus: only mpi is supported");
        o->versus_mpi = true;
        return 0;
    case OPTION_NODES:
        cli_nodes("--nodes", arg, o->nodes);
        return 0;
    case OPTION_DEVICE:
        o->device = arg;
        return 0;
    case OPTION_TRIAD:
        o->triad_bytes = cli_size("--triad", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    dn_bench_comm_options *o = &a->options;
    switch (key) {
    case 'b':
        o->min_bytes = cli_size("-b", arg);
        return 0;
    case 'e':
        o->max_bytes = cli_size("-e", arg);
        return 0;
    case 'f':
        o->factor = (int)cli_integer("-f", arg, 2, 1 << 20);
        return 0;
    case 'i':
        o->step_bytes = cli_size("-i", arg);
        return 0;
    case 'n':
        o->n_samples = (int)cli_integer("-n", arg, 1, 1 << 20);
        return 0;
    case 'w':
        o->n_warmup = (int)cli_integer("-w", arg, 0, 1 << 20);
        return 0;
    case 'd':
        o->type = arg;
        return 0;
    case 'o':
        o->redop = arg;
        return 0;
    case 'r':
        o->root = (int)cli_integer("-r", arg, 0, 255);
        return 0;
    case 'c':
        o->check = cli_integer("-c", arg, 0, 1);
        return 0;
    case ARGP_KEY_ARG:
        argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        if (o->nodes[0] && a->n_workers)
            argp_error(state, "--np and --nodes both say how many: omit one of them");
        return 0;
    default:
        return parse_long(key, arg, a, state);
    }
}

static const struct argp_option options[] = {
    {"np", OPTION_NP, "N", 0, "Ranks (default: one per usable PU)", 0},
    {"nodes", OPTION_NODES, "NxM", 0, "N pretended nodes of M ranks each on this machine, under Open MPI's mpirun", 0},
    {"op", OPTION_OP, "NAME", 0, "One collective only (default: all)", 0},
    {"minbytes", 'b', "SIZE", 0, "Smallest size (4); sizes take K, M, G", 1},
    {"maxbytes", 'e', "SIZE", 0, "Largest size (64M)", 1},
    {"stepfactor", 'f', "N", 0, "Multiply by this from size to size (4)", 1},
    {"stepbytes", 'i', "SIZE", 0, "Add this instead of multiplying", 1},
    {"iters", 'n', "N", 0, "Timed samples per size (50)", 2},
    {"warmup_iters", 'w', "N", 0, "Untimed samples before them (5)", 2},
    {"datatype", 'd', "TYPE", 0, "float, double, bfloat16, int32 or int64 (float)", 2},
    {"op-reduce", 'o', "OP", 0, "sum, avg, min or max (sum)", 2},
    {"root", 'r', "RANK", 0, "Root of broadcast and reduce (0)", 2},
    {"check", 'c', "0|1", 0, "Compare results with the expected ones (1)", 2},
    {"clean-buffers", OPTION_CLEAN, NULL, 0,
     "Do not rewrite the buffers before each sample: higher bandwidth, as they are then in cache, which is "
     "rare in "
     "programs",
     3},
    {"device", OPTION_DEVICE, "NAME", 0, "Buffers in the memory of this device (cpu)", 3},
    {"triad", OPTION_TRIAD, "SIZE", 0, "Size of each array of the triad (default: from the caches)", 3},
    {"json", OPTION_JSON, "FILE", 0, "Write the rows as JSON", 4},
    {"versus", OPTION_VERSUS, "mpi", 0, "Also measure the installed MPI in the same way", 4},
    {0},
};

static char *describe(void)
{
    static char text[1024] =
        "Measures the collectives over shared memory, in place and out of place, messages between two ranks, "
        "and "
        "what computing hides of a nonblocking collective; options and columns are those of nccl-tests, plus "
        "the "
        "bytes "
        "moved as a fraction of the memory bandwidth that the same ranks reach in a triad. Started by mpirun, each process is one "
        "rank, on one node or several.\vNames for --op:";
    size_t length = strlen(text);
    for (const char *const *name = dn_bench_comm_ops(); *name && length < sizeof text; name++)
        length += (size_t)snprintf(text + length, sizeof text - length, " %s", *name);
    return text;
}

int cli_bench_comm(int argc, char **argv, char **command_line)
{
    const struct argp argp = {options, parse, "", describe(), NULL, NULL, NULL};
    arguments a = {.options = dn_bench_comm_defaults()};
    cli_parse(&argp, argc, argv, 0, &a);
    if (dn_launch_is_worker() || dn_launch_is_rank()) {
        cli_tell_notices();
        return dn_bench_comm_worker(&a.options);
    }
    int signal = 0;
    dn_status status = dn_bench_comm(&a.options, a.n_workers, command_line, &signal);
    if (status != DN_OK)
        return cli_failure(status);
    return signal ? 128 + signal : 0;
}
