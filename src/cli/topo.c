#include "cli/cli.h"

#include "dionode/bench.h"
#include "dionode/launch.h"
#include "dionode/mesh.h"
#include "dionode/topo.h"
#include "dionode/train.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTION_JSON = 1000, OPTION_MEASURE };

typedef struct arguments {
    int n_workers;       /* 0: one per NUMA domain */
    int size[DN_N_AXES]; /* of the mesh; 0: none */
    bool json, measure;
    bool configured; /* there is a configuration: its model is cut into the mesh's stages */
    dn_config config;
    dn_status status;
} arguments;

static int workers_of_mesh(const arguments *a)
{
    return a->size[DN_DP] * a->size[DN_PP] * a->size[DN_FS] * a->size[DN_TP];
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    int n;
    switch (key) {
    case 'n':
        a->n_workers = (int)cli_integer("--np", arg, 1, DN_MAX_RANKS);
        return 0;
    case 'm':
        if (dn_mesh_parse(arg, a->size) != DN_OK)
            exit(cli_failure(DN_ERR_CONFIG));
        return 0;
    case OPTION_JSON:
        a->json = true;
        return 0;
    case OPTION_MEASURE:
        a->measure = true;
        return 0;
    case ARGP_KEY_ARG:
        a->configured = true;
        cli_config_argument(state->arg_num, arg, &a->config, &a->status);
        return 0;
    case ARGP_KEY_END:
        n = workers_of_mesh(a);
        if (dn_launch_is_rank() && (n > 0 || a->n_workers || a->json || a->configured))
            argp_error(state, "ranks of another launcher are shown as they are: leave out all options, or run without it");
        if (n > 0 && a->n_workers > 0 && a->n_workers != n)
            argp_error(state, "--np says %d and --mesh has %d: omit one of them", a->n_workers, n);
        if (a->configured && n == 0)
            argp_error(state, "a configuration's model is shown as --mesh cuts it: give --mesh, as pp=4");
        if (a->measure && (!a->configured || a->json))
            argp_error(state, "--measure is of a configuration's model: give one, and no --json");
        if (n > 0)
            a->n_workers = n;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print(const dn_topo *topo, const arguments *a)
{
    char texts[DN_MAX_RANKS][DN_N_AXES * sizeof "-2147483648"];
    bool staged = a->size[DN_PP] > 1;
    const char *roles[DN_MAX_RANKS];
    for (int rank = 0; rank < workers_of_mesh(a); rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(a->size, rank, at);
        int n = snprintf(texts[rank], sizeof texts[rank], "%d", at[DN_DP]);
        if (staged)
            n += snprintf(texts[rank] + n, sizeof texts[rank] - (size_t)n, ",%d", at[DN_PP]);
        snprintf(texts[rank] + n, sizeof texts[rank] - (size_t)n, ",%d,%d", at[DN_FS], at[DN_TP]);
        roles[rank] = texts[rank];
    }
    dn_topo_print(topo, staged ? "dp,pp,fs,tp" : "dp,fs,tp", workers_of_mesh(a) ? roles : NULL, stdout);
}

/* *signal: that stopped workers who measure. */
static dn_status print_stages(const arguments *a, char **command_line, int *signal)
{
    *signal = 0;
    if (!a->configured || a->json)
        return DN_OK;
    if (!a->measure)
        return dn_train_print_stages(&a->config, a->size, stdout);
    return cli_flush_output() ? dn_train_measure_stages(&a->config, a->size, command_line, signal) : DN_OK;
}

int cli_topo(int argc, char **argv, char **command_line)
{
    static const struct argp_option options[] = {
        {"np", 'n', "N", 0, "Plan N workers (default: one per NUMA domain)", 0},
        {"mesh", 'm', "dp=D,pp=P,fs=F,tp=T", 0, "Plan D x P x F x T workers and show the coordinates of each", 0},
        {"json", OPTION_JSON, NULL, 0, "Print one JSON object", 0},
        {"measure", OPTION_MEASURE, NULL, 0,
         "Measure embedding, a block and head of the model, and messages between its stages, print the keys pp_times and pp_link_times, and "
         "cut by them",
         0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "[CONFIG.yaml [key=value...]]",
        "Shows the machine and where workers would run; with a configuration also how --mesh cuts its model into stages. "
        "Started by mpirun, the nodes and ranks of the job, and latency and bandwidth between and inside nodes.\v"
        "To plan for another machine, set HWLOC_SYNTHETIC='pack:2 [numa] core:8 pu:2' or HWLOC_XMLFILE=FILE.",
        NULL,
        NULL,
        NULL};
    arguments a = {.status = DN_OK};
    dn_config_init(&a.config);
    cli_parse(&argp, argc, argv, 0, &a);
    if (a.status != DN_OK)
        return cli_failure(a.status);
    if (dn_launch_is_rank())
        return dn_bench_nodes();
    if (dn_launch_is_worker()) {
        cli_tell_notices();
        return dn_train_measure_stages_worker(&a.config, a.size);
    }
    dn_topo *topo;
    int signal;
    dn_status status = dn_topo_create(a.n_workers, &topo);
    if (status != DN_OK)
        return cli_failure(status);
    dn_topo_warn(topo);
    if (a.json)
        dn_topo_write_json(topo, stdout);
    else
        print(topo, &a);
    status = print_stages(&a, command_line, &signal);
    dn_topo_destroy(&topo);
    if (status != DN_OK)
        return cli_failure(status);
    if (signal)
        return 128 + signal;
    if (!a.json)
        dn_train_print_gpus(stdout); /* takes hold of one: workers that measured have ended */
    return 0;
}
