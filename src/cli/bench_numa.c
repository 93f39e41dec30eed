#include "cli/cli.h"

#include "dionode/bench.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTION_BUFFER = 1000, OPTION_SECONDS, OPTION_JSON, OPTION_HTML };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    dn_bench_numa_options *o = state->input;
    switch (key) {
    case OPTION_BUFFER:
        o->buffer_bytes = cli_size("--buffer", arg);
        return 0;
    case OPTION_SECONDS:
        o->seconds = cli_number("--seconds", arg, 1e-6, 60);
        return 0;
    case OPTION_JSON:
        o->json = arg;
        return 0;
    case OPTION_HTML:
        o->html = arg;
        return 0;
    case ARGP_KEY_ARG:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_bench_numa(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp_option options[] = {
        {"buffer", OPTION_BUFFER, "SIZE", 0, "Memory per domain (default: four times its last-level caches)",
         0},
        {"seconds", OPTION_SECONDS, "S", 0, "Duration of one repetition of a measurement (0.2)", 0},
        {"json", OPTION_JSON, "FILE", 0, "Write all numbers as JSON", 0},
        {"html", OPTION_HTML, "FILE", 0, "Write an HTML page with heat maps", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "",
        "Measures this machine's memory: idle latency and bandwidth between all "
        "pairs of NUMA domains, mixes of reads and writes, copy and triad in each, "
        "working sets from the first cache to memory, core-to-core latency, latency "
        "under load, and the placement of pages.",
        NULL,
        NULL,
        NULL};
    dn_bench_numa_options o = dn_bench_numa_defaults();
    cli_parse(&argp, argc, argv, 0, &o);
    dn_status status = dn_bench_numa(&o);
    return status == DN_OK ? 0 : cli_failure(status);
}
