#include "cli/cli.h"

#include "dionode/mesh.h"
#include "dionode/topo.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTION_JSON = 1000 };

typedef struct wish {
    int n_workers;       /* 0: one per NUMA domain */
    int size[DN_N_AXES]; /* of the mesh; 0: none */
    bool json;
} wish;

static int workers_of_mesh(const wish *w)
{
    return w->size[DN_DP] * w->size[DN_FS] * w->size[DN_TP];
}

static void read_mesh(const char *text, wish *w)
{
    dn_status status = dn_mesh_parse(text, w->size);
    if (status != DN_OK)
        exit(cli_failure(status));
}

static void check_together(struct argp_state *state, wish *w)
{
    int n = workers_of_mesh(w);
    if (n > 0 && w->n_workers > 0 && w->n_workers != n)
        argp_error(state, "--np says %d workers and --mesh %d: leave one of them out", w->n_workers, n);
    if (n > 0)
        w->n_workers = n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    wish *w = state->input;
    switch (key) {
    case 'n':
        w->n_workers = (int)cli_integer("--np", arg, 1, DN_MAX_RANKS);
        return 0;
    case 'm':
        read_mesh(arg, w);
        return 0;
    case OPTION_JSON:
        w->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        check_together(state, w);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print(const dn_topo *topo, const wish *w)
{
    char texts[DN_MAX_RANKS][3 * sizeof "-2147483648"];
    const char *roles[DN_MAX_RANKS];
    for (int rank = 0; rank < workers_of_mesh(w); rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(w->size, rank, at);
        snprintf(texts[rank], sizeof texts[rank], "%d,%d,%d", at[DN_DP], at[DN_FS], at[DN_TP]);
        roles[rank] = texts[rank];
    }
    dn_topo_print(topo, "dp,fs,tp", workers_of_mesh(w) ? roles : NULL, stdout);
}

int cli_topo(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp_option options[] = {
        {"np", 'n', "N", 0, "Plan N workers (default: one per NUMA domain)", 0},
        {"mesh", 'm', "dp=D,fs=F,tp=T", 0, "Plan D x F x T workers and show each one's coordinates", 0},
        {"json", OPTION_JSON, NULL, 0, "Print one JSON object", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "",
        "Shows the machine and where workers would run.\v"
        "HWLOC_SYNTHETIC='pack:2 [numa] core:8 pu:2' or HWLOC_XMLFILE=FILE plan for another machine.",
        NULL,
        NULL,
        NULL};
    wish w = {0};
    cli_parse(&argp, argc, argv, 0, &w);
    dn_topo *topo;
    dn_status status = dn_topo_create(w.n_workers, &topo);
    if (status != DN_OK)
        return cli_failure(status);
    dn_topo_warn(topo);
    if (w.json)
        dn_topo_write_json(topo, stdout);
    else
        print(topo, &w);
    dn_topo_destroy(&topo);
    return 0;
}
