#include "cli/cli.h"

#include "dionode/tokenizer.h"

#include <argp.h>
#include <stdio.h>
#include <unistd.h>

typedef struct arguments {
    cli_texts texts;
    size_t size;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    if (key != 's')
        return cli_parse_texts(key, arg, state, &a->texts);
    a->size = (size_t)cli_integer("--size", arg, 257, 1 << 20);
    return 0;
}

static void show(uint64_t done, uint64_t total, void *context)
{
    fprintf(stderr, "\rtraining %3.0f%%", total ? 100.0 * (double)done / (double)total : 0);
}

static int train(int argc, char **argv, char **command_line)
{
    static const struct argp_option options[] = {
        {"size", 's', "TOKENS", 0, "Tokens in all (4096)", 0},
        {"output", 'o', "FILE", 0, "The file to write, in the format of tokenizer.json", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "TEXT... -o FILE",
        "Trains a tokenizer on text: byte-level BPE on words as GPT-2's.\vA folder stands for all files in "
        "it and below it; gzip files are unpacked; - reads standard input. Use it with dionode prepare "
        "--tokenizer FILE.",
        NULL,
        NULL,
        NULL};
    arguments a = {.size = 4096};
    cli_parse(&argp, argc, argv, 0, &a);
    bool terminal = isatty(STDERR_FILENO);
    size_t made = 0;
    dn_status status = dn_tokenizer_train(a.texts.files, a.texts.n, a.size, a.texts.path,
                                          terminal ? show : NULL, NULL, &made);
    if (terminal)
        fputc('\n', stderr);
    if (status != DN_OK)
        return cli_failure(status);
    printf("%zu tokens in %s%s\n", made, a.texts.path, made < a.size ? ": the text has no more pairs" : "");
    return 0;
}

static const cli_entry commands[] = {{"train", "train a tokenizer on text", train}};

int cli_tokenizer(int argc, char **argv, char **command_line)
{
    return cli_group("tokenizer", commands, sizeof commands / sizeof *commands, argc, argv, command_line);
}
