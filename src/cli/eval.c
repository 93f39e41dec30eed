#include "cli/cli.h"

#include "dionode/train.h"

#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

typedef struct arguments {
    const char *run;
    const char *assignments[64];
    size_t n;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            a->run = arg;
        else if (a->n < sizeof a->assignments / sizeof *a->assignments)
            a->assignments[a->n++] = arg;
        else
            argp_error(state, "too many key=value arguments");
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void show(uint64_t done, uint64_t total, void *context)
{
    (void)context;
    fprintf(stderr, "\r%3.0f%% of %llu tokens%s", 100.0 * (double)done / (double)total,
            (unsigned long long)total, done == total ? "\n" : "");
}

int cli_eval(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp argp = {NULL,
                                     parse,
                                     "RUN [key=value...]",
                                     "Mean validation loss of the newest checkpoint in RUN, a run's "
                                     "checkpoint_dir, or of a checkpoint file, as RUN/best.safetensors.\v"
                                     "key=value changes the run's configuration: val_tokens=0 measures all "
                                     "there are, val_files=GLOB other text.",
                                     NULL,
                                     NULL,
                                     NULL};
    arguments a = {0};
    cli_parse(&argp, argc, argv, 0, &a);
    double loss;
    uint64_t n_tokens;
    dn_status status =
        dn_evaluate(a.run, a.assignments, a.n, isatty(STDERR_FILENO) ? show : NULL, NULL, &loss, &n_tokens);
    if (status != DN_OK)
        return cli_failure(status);
    printf("loss %.6f nats a token, perplexity %.3f, over %llu tokens\n", loss, exp(loss),
           (unsigned long long)n_tokens);
    return 0;
}
