#include "cli/cli.h"

#include "dionode/train.h"

#include <argp.h>
#include <string.h>

typedef struct arguments {
    const char *run, *folder, *dtype;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'o':
        a->folder = arg;
        return 0;
    case 'f':
        if (strcmp(arg, "hf") != 0)
            argp_error(state, "--format: '%s' is not hf", arg);
        return 0;
    case 'd':
        a->dtype = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (a->run)
            argp_error(state, "expected one RUN");
        a->run = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->run || !a->folder)
            argp_error(state, "expected RUN and -o FOLDER");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_export(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp_option options[] = {
        {"output", 'o', "FOLDER", 0, "Folder to write; it must not hold a model", 0},
        {"format", 'f', "FORMAT", 0, "hf: Hugging Face (the only one)", 0},
        {"dtype", 'd', "TYPE", 0, "float32, float16, bfloat16 or float64 (float32)", 0},
        {0},
    };
    static const struct argp argp = {options,
                                     parse,
                                     "RUN -o FOLDER",
                                     "Writes the weights of the newest checkpoint in RUN, a run's checkpoint_dir, or of a "
                                     "checkpoint file, as a folder that transformers opens.",
                                     NULL,
                                     NULL,
                                     NULL};
    arguments a = {.dtype = "float32"};
    cli_parse(&argp, argc, argv, 0, &a);
    dn_status status = dn_export(a.run, a.folder, a.dtype);
    return status == DN_OK ? 0 : cli_failure(status);
}
