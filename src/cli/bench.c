/* `dionode bench` and its commands. */
#include "cli/cli.h"

#include "dionode/bench.h"

#include <stdio.h>
#include <stdlib.h>

static const cli_entry benches[] = {
    {"comm", "collectives and messages: time, bandwidth, overlap and bytes moved, results checked; compared with MPI",
     cli_bench_comm},
    {"numa", "memory: latency and bandwidth between NUMA domains and cores, of caches and under load", cli_bench_numa},
};

size_t cli_size(const char *option, const char *text)
{
    size_t bytes;
    if (dn_bench_parse_size(text, &bytes) && bytes <= (size_t)1 << 50) /* sums of it cannot overflow */
        return bytes;
    fprintf(stderr, "dionode: %s: '%s' is not a size such as 8, 32K, 1M or 2G\n", option, text);
    exit(dn_status_exit(DN_ERR_CONFIG));
}

int cli_bench(int argc, char **argv, char **command_line)
{
    return cli_group("bench", benches, sizeof benches / sizeof *benches, argc, argv, command_line);
}
