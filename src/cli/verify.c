#include "cli/cli.h"

#include "dionode/launch.h"
#include "dionode/train.h"
#include "dionode/verify.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    dn_config config;
    dn_verification what;
    dn_status status;
} arguments;

enum { OPTION_STEPS = 1000, OPTION_STAGES, OPTION_REFERENCE, OPTION_PRECISION, OPTION_JSON, OPTION_INJECT, OPTION_NODES };

static void read_precision(struct argp_state *state, const char *text, dn_verification *what)
{
    bool both = strcmp(text, "both") == 0;
    what->in_float = both || strcmp(text, "float") == 0;
    what->in_double = both || strcmp(text, "double") == 0;
    if (!what->in_float && !what->in_double)
        argp_error(state, "--precision: '%s' is not float, double or both", text);
}

static void read_reference(struct argp_state *state, const char *text, dn_verification *what)
{
    what->by_replicas = strcmp(text, "dp") == 0;
    if (!what->by_replicas && strcmp(text, "rank") != 0)
        argp_error(state, "--reference: '%s' is not rank or dp", text);
}

static void read_bug(const char *name, dn_verification *what)
{
    if (strcmp(name, "list") == 0) {
        dn_verify_inject_list(stdout);
        exit(0);
    }
    dn_status status = dn_verify_inject(name);
    if (status != DN_OK)
        exit(cli_failure(status));
    what->inject = name;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'n':
        a->what.max_ranks = (int)cli_integer("--ranks", arg, 2, DN_MAX_RANKS);
        return 0;
    case 'm':
        if (dn_mesh_parse(arg, a->what.mesh) != DN_OK)
            exit(cli_failure(DN_ERR_CONFIG));
        return 0;
    case OPTION_NODES:
        cli_nodes("--nodes", arg, a->what.nodes);
        return 0;
    case OPTION_STAGES:
        a->what.max_stages = (int)cli_integer("--stages", arg, 1, DN_MAX_RANKS);
        return 0;
    case OPTION_STEPS:
        a->what.n_steps = (int)cli_integer("--steps", arg, 1, 1000);
        return 0;
    case OPTION_REFERENCE:
        read_reference(state, arg, &a->what);
        return 0;
    case OPTION_PRECISION:
        read_precision(state, arg, &a->what);
        return 0;
    case OPTION_JSON:
        a->what.json = arg;
        return 0;
    case OPTION_INJECT:
        read_bug(arg, &a->what);
        return 0;
    case ARGP_KEY_END:
        if (a->what.nodes[0] && a->what.max_ranks)
            argp_error(state, "--ranks and --nodes both say how many: omit one of them");
        a->what.max_ranks = a->what.max_ranks ? a->what.max_ranks : 8;
        return 0;
    case ARGP_KEY_ARG:
        cli_config_argument(state->arg_num, arg, &a->config, &a->status);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_verify(int argc, char **argv, char **command_line)
{
    static const struct argp_option options[] = {
        {"ranks", 'n', "N", 0, "Every mesh dp x fs x tp of up to N ranks (8)", 0},
        {"stages", OPTION_STAGES, "N", 0, "Meshes dp x pp x fs x tp with up to N pipeline stages, too (1)", 0},
        {"mesh", 'm', "dp=D,pp=P,fs=F,tp=T", 0,
         "Only this mesh; with several NUMA domains (also of HWLOC_SYNTHETIC) also the bytes between them",
         0},
        {"nodes", OPTION_NODES, "NxM", 0,
         "N pretended nodes of M ranks each on this machine, under Open MPI's mpirun: every mesh of up to N x M ranks that has "
         "replicas on one node each",
         0},
        {"steps", OPTION_STEPS, "N", 0, "Training steps; the first and the last are shown (20)", 0},
        {"reference", OPTION_REFERENCE, "rank|dp", 0,
         "What a mesh is compared with: one rank, or as many replicas (dp) of one rank each, under the same strategy; of clients, one "
         "worker that trains them under the same strategy (rank)",
         0},
        {"precision", OPTION_PRECISION, "float|double|both", 0, "Precision of the model (both)", 0},
        {"json", OPTION_JSON, "FILE", 0, "Write all results to FILE", 0},
        {"inject", OPTION_INJECT, "BUG", 0, "Plant a sharding bug, which must be caught; 'list' lists them",
         0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "CONFIG.yaml [key=value...]",
        "Trains the model of CONFIG.yaml for a few steps on one rank, then from the same state on every "
        "mesh, and "
        "compares. Started by mpirun, each process is one rank, on one node or several.\v"
        "One row per mesh: the largest relative differences of losses, gradients, weights, momenta and "
        "Dion's Q to one "
        "rank; whether replicas are bitwise equal; the bytes that a rank contributes to each kind of "
        "exchange in a step, "
        "which must equal the traffic model, and the bytes that a cluster would move; memory per rank. Data "
        "are at most N "
        "rows of 32 random tokens per step. configs/verify.yaml is a small model for it.\n"
        "Exit status 0 only if everything holds, within 1e-12 for double and 1e-4 for float; 9 if not; 11 if "
        "a bug was "
        "planted and everything holds nevertheless.",
        NULL,
        NULL,
        NULL};
    arguments a = {.what = {.n_steps = 20, .in_float = true, .in_double = true},
                   .status = DN_OK};
    dn_config_init(&a.config);
    cli_parse(&argp, argc, argv, 0, &a);
    if (a.status != DN_OK)
        return cli_failure(a.status);
    if (dn_launch_is_worker() || dn_launch_is_rank()) {
        cli_tell_notices();
        return dn_verify_training_worker(&a.config, &a.what);
    }
    int signal = 0;
    dn_status status = dn_verify_training(&a.config, &a.what, command_line, &signal);
    if (status != DN_OK && signal == 0)
        return cli_failure(status);
    return signal ? 128 + signal : 0;
}
