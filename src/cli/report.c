#include "cli/cli.h"

#include "dionode/report.h"

#include <limits.h>
#include <stdio.h>

enum { OPTION_CSV = 1000 };

typedef struct arguments {
    const char *const *runs;
    size_t n;
    const char *path;
    bool csv;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'o':
        a->path = arg;
        return 0;
    case OPTION_CSV:
        a->csv = true;
        return 0;
    case ARGP_KEY_ARGS:
        a->runs = (const char *const *)state->argv + state->next;
        a->n = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        if (a->csv && a->path)
            argp_error(state, "--csv prints, and --output names the page: leave one of them out");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_report(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp_option options[] = {
        {"output", 'o', "FILE", 0, "Where to write the page (default: report.html in the first RUN)", 0},
        {"csv", OPTION_CSV, NULL, 0, "Print all metrics as comma-separated values instead", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "RUN...",
        "Writes an HTML page of the metrics of each RUN, a run's checkpoint_dir, with "
        "several runs in the same plots: losses, learning rates, speed, time by phase, "
        "bytes by axis, norms.\vThe page is one self-contained file. A run in progress is "
        "shown up to its last step.",
        NULL,
        NULL,
        NULL};
    arguments a = {0};
    cli_parse(&argp, argc, argv, 0, &a);
    if (a.csv) {
        dn_status status = dn_report_write_csv(a.runs, a.n, stdout);
        return status == DN_OK ? 0 : cli_failure(status);
    }
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/report.html", a.runs[0]);
    dn_status status = dn_report_write_page(a.runs, a.n, a.path ? a.path : path);
    if (status != DN_OK)
        return cli_failure(status);
    printf("the page is %s\n", a.path ? a.path : path);
    return 0;
}
