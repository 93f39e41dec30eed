/* dionode: the commands by name. */
#include "cli/cli.h"

#include "dionode/blas.h"
#include "dionode/descriptors.h"
#include "dionode/launch.h"
#include "dionode/version.h"

#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_entry commands[] = {
    {"train", "train a model, or resume a run", cli_train},
    {"compare", "train with several optimizers and compare their loss and cost", cli_compare},
    {"eval", "validation loss of a run", cli_eval},
    {"finetune", "teach a run's model to classify labelled texts", cli_finetune},
    {"export", "a run's weights as a folder that other programs open", cli_export},
    {"report", "metrics of runs as an HTML page or comma-separated values", cli_report},
    {"generate", "generate text with a run's model", cli_generate},
    {"verify", "verify that sharded training equals training on one rank", cli_verify},
    {"prepare", "tokenize text into shards", cli_prepare},
    {"tokenizer", "train a tokenizer on text", cli_tokenizer},
    {"launch", "start your own program as workers and monitor them", cli_launch},
    {"stat", "show the state of each worker of a running launch", cli_stat},
    {"topo", "show the machine and where workers would run", cli_topo},
    {"bench", "benchmark collectives and this machine's memory", cli_bench},
};

static const size_t n_commands = sizeof commands / sizeof *commands;

static void usage(FILE *out)
{
    fprintf(out, "Usage: dionode COMMAND [ARGUMENT...]\n"
                 "Trains neural networks on one node with low-rank exchange through shared memory.\n\n"
                 "Commands:\n");
    for (size_t i = 0; i < n_commands; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(
        out,
        "\n'dionode COMMAND --help' shows the options.\n\n"
        "Exit status: 0 success; 1 bad argument to the library; 2 configuration or command line; 3 data;\n"
        "4 checkpoint; 5 files, disk full, folder in use; 6 memory; 7 a worker died; 8 a worker hung;\n"
        "9 not-a-number; 10 operating system; 11 verify: planted bug not caught; 128+N stopped by signal N\n"
        "after saving a checkpoint.\n");
}

const cli_entry *cli_find(const cli_entry *entries, size_t n, const char *parent, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(entries[i].name, name) == 0)
            return &entries[i];
    const char *nearest = dn_nearest_name(name, &entries->name, n, sizeof *entries);
    fprintf(stderr, "dionode: no command '%s%s'; ", parent, name);
    if (nearest)
        fprintf(stderr, "did you mean '%s%s'?\n", parent, nearest);
    else
        fprintf(stderr, "'dionode %s--help' lists them\n", parent);
    return NULL;
}

static char help[] = "--help";

/* Not after "--"; with ARGP_IN_ORDER a later -h may belong to another program. */
void cli_parse(const struct argp *argp, int argc, char **argv, unsigned flags, void *input)
{
    int end = flags & ARGP_IN_ORDER && argc > 2 ? 2 : argc;
    for (int i = 1; i < end && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "-h") == 0)
            argv[i] = help;
    argp_parse(argp, argc, argv, flags, NULL, input);
}

int cli_failure(dn_status status)
{
    const char *message = dn_error_message();
    fprintf(stderr, "dionode: %s\n", *message ? message : dn_status_name(status));
    return dn_status_exit(status);
}

long long cli_integer(const char *option, const char *text, long long min, long long max)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    if (end != text && !*end && value >= min && value <= max)
        return value;
    fprintf(stderr, "dionode: %s: '%s' is not an integer from %lld to %lld\n", option, text, min, max);
    exit(dn_status_exit(DN_ERR_CONFIG));
}

double cli_number(const char *option, const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (end != text && !*end && value >= min && value <= max)
        return value;
    fprintf(stderr, "dionode: %s: '%s' is not a number from %g to %g\n", option, text, min, max);
    exit(dn_status_exit(DN_ERR_CONFIG));
}

void cli_nodes(const char *option, const char *text, int nodes[2])
{
    char end;
    if (sscanf(text, "%dx%d%c", &nodes[0], &nodes[1], &end) == 2 && nodes[0] >= 1 && nodes[1] >= 1 && nodes[0] <= DN_MAX_RANKS &&
        nodes[1] <= DN_MAX_RANKS && nodes[0] * nodes[1] >= 2 && nodes[0] * nodes[1] <= DN_MAX_RANKS)
        return;
    fprintf(stderr, "dionode: %s: '%s' is not nodes x ranks of each, as 2x3, of 2 to %d ranks in all\n", option, text, DN_MAX_RANKS);
    exit(dn_status_exit(DN_ERR_CONFIG));
}

void cli_config_argument(unsigned number, const char *arg, dn_config *config, dn_status *status)
{
    if (number == 0)
        *status = dn_config_read(config, arg);
    else if (*status == DN_OK)
        *status = dn_config_set(config, arg);
}

/* What dn_comm_leave logs is why this process fails, where no launcher of ours says so: no warning. */
static void print_notice(void *context, dn_log_level level, const char *line)
{
    (void)context;
    bool failure = strcmp(line, dn_error_message()) == 0;
    fprintf(stderr, "dionode: %s%s\n", level == DN_LOG_WARNING && !failure ? "warning: " : "", line);
}

void cli_tell_notices(void)
{
    dn_log_set(print_notice, NULL);
}

static void do_nothing(int signal)
{
    (void)signal;
}

/* A closed pipe (| head, a killed tee) and a file at its limit (ulimit -f) are errors of the write, not the
 * end of the run. Handlers instead of SIG_IGN, which would be inherited by programs that this one executes
 * (dionode launch). */
static void survive_failed_writes(void)
{
    static const int signals[] = {SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;
        if (sigaction(signals[i], NULL, &action) != 0 || action.sa_handler != SIG_DFL)
            continue;
        action = (struct sigaction){.sa_handler = do_nothing, .sa_flags = SA_RESTART};
        sigaction(signals[i], &action, NULL);
    }
}

int main(int argc, char **argv)
{
    dn_status status = dn_descriptors_occupy();
    if (status != DN_OK)
        return cli_failure(status);
    survive_failed_writes();
    if (!dn_launch_is_worker()) /* the launcher has printed the notices of the command line */
        cli_tell_notices();
    dn_blas_tune(argv);
    cli_check_output_at_exit();
    argp_err_exit_status = dn_status_exit(DN_ERR_CONFIG);
    if (argc < 2) {
        usage(stderr);
        return dn_status_exit(DN_ERR_CONFIG);
    }
    bool is_help = strcmp(argv[1], "help") == 0;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (is_help && argc == 2)) {
        usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("dionode %s\n%s\n", dn_version(), dn_blas_describe());
        return 0;
    }
    /* The command's arguments; 'help COMMAND' is 'COMMAND --help'. */
    char **command_argv = calloc((size_t)argc + 1, sizeof *command_argv);
    if (!command_argv)
        return dn_status_exit(DN_ERR_MEMORY);
    int first = is_help ? 2 : 1, n = argc - first;
    memcpy(command_argv, argv + first, sizeof *argv * (size_t)n);
    if (is_help)
        command_argv[n++] = help;
    const cli_entry *command = cli_find(commands, n_commands, "", command_argv[0]);
    int code = dn_status_exit(DN_ERR_CONFIG);
    if (command) {
        static char name[64];
        snprintf(name, sizeof name, "dionode %s", command->name);
        command_argv[0] = name; /* as argp prints it */
        code = command->run(n, command_argv, argv);
    }
    free(command_argv);
    return code;
}
