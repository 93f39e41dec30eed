#include "cli/cli.h"

#include "dionode/train.h"

#include <argp.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

typedef struct arguments {
    const char *run;
    const char *assignments[64];
    size_t n;
    bool json;
} arguments;

enum { OPTION_JSON = 1000 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case OPTION_JSON:
        a->json = true;
        return 0;
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
    static const struct argp_option options[] = {
        {"json", OPTION_JSON, NULL, 0, "Print one JSON object", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "RUN [key=value...]",
        "Mean validation loss of the newest checkpoint in RUN, a run's "
        "checkpoint_dir, or of a checkpoint file such as RUN/best.safetensors; or of the model of a Hugging Face folder, or of "
        "llm.c's file (.bin).\v"
        "key=value overrides the run's configuration: val_tokens=0 evaluates all "
        "tokens, val_files=GLOB other data.",
        NULL,
        NULL,
        NULL};
    arguments a = {0};
    cli_parse(&argp, argc, argv, 0, &a);
    dn_evaluation e;
    dn_status status = dn_evaluate(a.run, a.assignments, a.n, isatty(STDERR_FILENO) ? show : NULL, NULL, &e);
    if (status != DN_OK)
        return cli_failure(status);
    bool bytes = !isnan(e.bits_per_byte);
    if (a.json) {
        printf("{\"step\": %llu, \"loss\": %.17g, \"perplexity\": %.17g, \"tokens\": %llu",
               (unsigned long long)e.step, e.loss, exp(e.loss), (unsigned long long)e.n_tokens);
        if (bytes)
            printf(", \"bits_per_byte\": %.17g", e.bits_per_byte);
        printf("}\n");
        return 0;
    }
    printf("loss %.6f nats per token, perplexity %.3f, ", e.loss, exp(e.loss));
    if (bytes)
        printf("%.4f bits per byte, ", e.bits_per_byte);
    printf("over %llu tokens\n", (unsigned long long)e.n_tokens);
    return 0;
}
