/* `dionode bench` and its commands. */
#include "cli/cli.h"

#include "dionode/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_entry benches[] = {
    {"comm", "collectives: time, bandwidth and bytes moved, results checked; compared with MPI",
     cli_bench_comm},
    {"numa", "memory: latency and bandwidth between NUMA domains, cores and under load", cli_bench_numa},
};

size_t cli_size(const char *option, const char *text)
{
    size_t bytes;
    if (dn_bench_parse_size(text, &bytes) && bytes <= (size_t)1 << 50) /* sums of it cannot overflow */
        return bytes;
    fprintf(stderr, "dionode: %s: '%s' is not a size such as 8, 32K, 1M or 2G\n", option, text);
    exit(dn_status_exit(DN_ERR_CONFIG));
}

static void usage(FILE *out)
{
    fprintf(out, "Usage: dionode bench COMMAND [OPTION...]\n\nCommands:\n");
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        fprintf(out, "  %-10s %s\n", benches[i].name, benches[i].summary);
    fprintf(out, "\n'dionode bench COMMAND --help' shows the options.\n");
}

int cli_bench(int argc, char **argv, char **command_line)
{
    static char name[64];
    if (argc < 2) {
        usage(stderr);
        return dn_status_exit(DN_ERR_CONFIG);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return 0;
    }
    const cli_entry *bench = cli_find(benches, sizeof benches / sizeof *benches, "bench ", argv[1]);
    if (!bench)
        return dn_status_exit(DN_ERR_CONFIG);
    snprintf(name, sizeof name, "dionode bench %s", bench->name);
    argv[1] = name; /* as argp prints it */
    return bench->run(argc - 1, argv + 1, command_line);
}
