#include "cli/cli.h"

#include "dionode/train.h"

#include <argp.h>

typedef struct arguments {
    const char *run, *folder;
    dn_export_options options;
} arguments;

enum { OPTION_TOKENIZER = 1000, OPTION_MERGE };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'o':
        a->folder = arg;
        return 0;
    case 'f':
        a->options.format = arg;
        return 0;
    case 'd':
        a->options.dtype = arg;
        return 0;
    case OPTION_TOKENIZER:
        a->options.tokenizer = arg;
        return 0;
    case OPTION_MERGE:
        a->options.merge = true;
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
        {"format", 'f', "FORMAT", 0,
         "hf: a Hugging Face folder; gguf: model.gguf, for programs on ggml; llmc: llm.c's model.bin, of gpt2 (hf)", 0},
        {"dtype", 'd', "TYPE", 0, "float32, float16, bfloat16 or, of hf, float64 (float32)", 0},
        {"tokenizer", OPTION_TOKENIZER, "PATH", 0,
         "File or folder of the model's tokenizer, which goes along (default: the one in the run's data_dir)", 0},
        {"merge", OPTION_MERGE, 0, 0,
         "Of a run with adapters (lora_rank): one model of both; otherwise they are written alone, as PEFT's folder", 0},
        {0},
    };
    static const struct argp argp = {options,
                                     parse,
                                     "RUN -o FOLDER",
                                     "Writes the weights of the newest checkpoint in RUN, a run's checkpoint_dir, or of a "
                                     "checkpoint file, in a format of other programs.",
                                     NULL,
                                     NULL,
                                     NULL};
    arguments a = {.options = {.format = "hf", .dtype = "float32"}};
    cli_parse(&argp, argc, argv, 0, &a);
    dn_status status = dn_export(a.run, a.folder, &a.options);
    return status == DN_OK ? 0 : cli_failure(status);
}
