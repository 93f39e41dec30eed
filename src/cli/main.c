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

static const struct {
    const char *name, *summary;
    cli_command *run;
} commands[] = {
    {"train", "train a model, or go on with a run", cli_train},
    {"compare", "train with several optimizers, and show what each reaches and costs", cli_compare},
    {"eval", "validation loss of a run", cli_eval},
    {"generate", "continue a text with a run's model", cli_generate},
    {"verify", "prove that sharded training is what one rank does", cli_verify},
    {"prepare", "make token shards from text", cli_prepare},
    {"launch", "start a program of yours as workers and watch over them", cli_launch},
    {"stat", "show where each worker of a running launch is", cli_stat},
    {"topo", "show the machine and where workers would run", cli_topo},
    {"bench", "measure collectives and this machine's memory", cli_bench},
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
        "\n'dionode COMMAND --help' tells more.\n\n"
        "Exit status: 0 success; 1 bad argument to the library; 2 configuration or command line; 3 data;\n"
        "4 checkpoint; 5 files, disk full, folder in use; 6 memory; 7 a worker died; 8 a worker hung;\n"
        "9 not-a-number; 10 operating system; 11 verify: planted bug not caught; 128+N stopped by signal N\n"
        "after saving a checkpoint.\n");
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
    fprintf(stderr, "dionode: %s: '%s' is not a whole number from %lld to %lld\n", option, text, min, max);
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

void cli_config_argument(unsigned number, const char *arg, dn_config *config, dn_status *status)
{
    if (number == 0)
        *status = dn_config_read(config, arg);
    else if (*status == DN_OK)
        *status = dn_config_set(config, arg);
}

static void print_notice(void *context, dn_log_level level, const char *line)
{
    (void)context;
    fprintf(stderr, "dionode: %s%s\n", level == DN_LOG_WARNING ? "warning: " : "", line);
}

void cli_tell_notices(void)
{
    dn_log_set(print_notice, NULL);
}

static void do_nothing(int signal)
{
    (void)signal;
}

/* A reader that went away (| head, a killed tee) and a file at its limit (ulimit -f) are errors of the write
 * that meets them, not the end of the run. Handlers rather than SIG_IGN: what this program executes (dionode
 * launch) starts with the default again, or with what we were started with. */
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
    dn_blas_tune(argv);
    cli_check_output_at_exit();
    if (!dn_launch_is_worker()) /* what a worker notices of the command line, its launcher has told */
        cli_tell_notices();
    argp_err_exit_status = dn_status_exit(DN_ERR_CONFIG);
    if (argc < 2) {
        usage(stderr);
        return dn_status_exit(DN_ERR_CONFIG);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("dionode %s\n%s\n", dn_version(), dn_blas_describe());
        return 0;
    }
    for (size_t i = 0; i < n_commands; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        static char name[64];
        snprintf(name, sizeof name, "dionode %s", commands[i].name);
        char **command_argv = calloc((size_t)argc, sizeof *command_argv);
        if (!command_argv)
            return dn_status_exit(DN_ERR_MEMORY);
        memcpy(command_argv, argv + 1, sizeof *argv * (size_t)(argc - 1));
        command_argv[0] = name; /* as argp prints it */
        int code = commands[i].run(argc - 1, command_argv, argv);
        free(command_argv);
        return code;
    }
    fprintf(stderr, "dionode: no command '%s'; 'dionode --help' lists them\n", argv[1]);
    return dn_status_exit(DN_ERR_CONFIG);
}
