#include "cli/cli.h"

#include "dionode/topo.h"

#include <argp.h>
#include <stdio.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
    int *n_workers = state->input;
    switch (key) {
    case 'n':
        *n_workers = (int)cli_integer("--np", arg, 1, 256);
        return 0;
    case ARGP_KEY_ARG:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_topo(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp_option options[] = {
        {"np", 'n', "N", 0, "Plan N workers (default: one per NUMA domain)", 0}, {0}};
    static const struct argp argp = {
        options,
        parse,
        "",
        "Shows the machine and where workers would run.\v"
        "HWLOC_SYNTHETIC='pack:2 [numa] core:8 pu:2' or HWLOC_XMLFILE=FILE plan for another machine.",
        NULL,
        NULL,
        NULL};
    int n_workers = 0;
    argp_parse(&argp, argc, argv, 0, NULL, &n_workers);
    dn_topo *topo;
    dn_status status = dn_topo_create(n_workers, &topo);
    if (status != DN_OK)
        return cli_failure(status);
    dn_topo_print(topo, stdout);
    dn_topo_destroy(&topo);
    return 0;
}
