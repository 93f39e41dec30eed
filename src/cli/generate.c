#include "cli/cli.h"

#include "dionode/train.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct arguments {
    const char *run, *prompt;
    dn_sampling sampling;
} arguments;

enum { OPTION_TOKENS = 1000 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'n': /* until the next minor version: -n was --tokens here */
        argp_error(state, "-n means workers (--np) in other commands; use --tokens %s", arg);
        return 0;
    case OPTION_TOKENS:
        a->sampling.n_tokens = cli_integer("--tokens", arg, 0, 1000000000);
        return 0;
    case 't':
        a->sampling.temperature = cli_number("--temperature", arg, 0, 1000);
        return 0;
    case 'k':
        a->sampling.top_k = cli_integer("--top-k", arg, 0, 1 << 24);
        return 0;
    case 's':
        a->sampling.seed = (uint64_t)cli_integer("--seed", arg, 0, 1000000000000000);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "expected one RUN and one PROMPT; quote the prompt");
        *(state->arg_num == 0 ? &a->run : &a->prompt) = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The prompt is printed with the first byte, so that a failure before it prints nothing. An output error ends
 * the program. */
static void emit(unsigned char byte, void *context)
{
    const char **prompt = context;
    fputs(*prompt, stdout);
    *prompt = "";
    fputc(byte, stdout);
    if (!cli_flush_output())
        exit(dn_status_exit(DN_ERR_IO));
}

int cli_generate(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp_option options[] = {
        {"tokens", OPTION_TOKENS, "N", 0, "Tokens to generate (400)", 0},
        {NULL, 'n', "N", OPTION_HIDDEN, NULL, 0},
        {"temperature", 't', "T", 0, "Logits are divided by this; 0: always the likeliest token (0.8)", 0},
        {"top-k", 'k', "K", 0, "Sample from the K likeliest tokens; 0: all (40)", 0},
        {"seed", 's', "S", 0, "The same seed gives the same text (0)", 0},
        {0},
    };
    static const struct argp argp = {options,
                                     parse,
                                     "RUN [PROMPT]",
                                     "Continues PROMPT with the newest checkpoint in RUN, a run's "
                                     "checkpoint_dir, or with a checkpoint file such as "
                                     "RUN/best.safetensors.",
                                     NULL,
                                     NULL,
                                     NULL};
    arguments a = {.prompt = "", .sampling = {.n_tokens = 400, .temperature = 0.8, .top_k = 40}};
    cli_parse(&argp, argc, argv, 0, &a);
    const char *unprinted = a.prompt;
    dn_status status = dn_generate(a.run, a.prompt, &a.sampling, emit, &unprinted);
    if (status != DN_OK)
        return cli_failure(status);
    fputc('\n', stdout);
    return 0;
}
