#include "cli/cli.h"

#include "dionode/data.h"

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

typedef struct arguments {
    cli_texts texts;
    dn_prepare_options options;
} arguments;

enum { OPTION_SPLIT = 1000 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'v':
        a->options.val_fraction = cli_number("--val", arg, 1e-6, 0.5);
        return 0;
    case 't':
        a->options.tokenizer = arg;
        return 0;
    case OPTION_SPLIT:
        cli_unescape(arg);
        a->options.separator = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->options.separator && (!*a->options.separator || !a->options.tokenizer))
            argp_error(state, "--split needs a text, and --tokenizer: bytes have no token between documents");
        break;
    }
    return cli_parse_texts(key, arg, state, &a->texts);
}

static void show(uint64_t done, uint64_t total, void *context)
{
    (void)context;
    if (total)
        fprintf(stderr, "\rpreparing %3.0f%%", 100.0 * (double)done / (double)total);
    else
        fprintf(stderr, "\rpreparing %.1f MB", (double)done * 1e-6);
}

int cli_prepare(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp_option options[] = {
        {"output", 'o', "DIR", 0, "Folder for the shards (created if missing)", 0},
        {"val", 'v', "FRACTION", 0, "Fraction for validation, in blocks spread over the text (0.01)", 0},
        {"tokenizer", 't', "FILE", 0,
         "tokenizer.json, tokenizer.model, *.tiktoken or a folder with one: its tokens instead of bytes", 0},
        {"split", OPTION_SPLIT, "TEXT", 0,
         "What separates documents within a file, as '\\n\\n\\n'; otherwise a file is one", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "TEXT... -o DIR",
        "Tokenizes text files, in order, to bytes (vocabulary 256), and writes llm.c shards train_*.bin and "
        "val_*.bin.\vA folder stands for all files in it, recursively; gzip files are unpacked (others must "
        "be before); - reads standard input. Files named .jsonl hold examples to fine-tune with, one a line: {\"prompt\": "
        "..., \"completion\": ...} or {\"text\": ...}; of these the tokens of prompts do not count as targets.",
        NULL,
        NULL,
        NULL};
    arguments a = {.options = {.val_fraction = 0.01}};
    cli_parse(&argp, argc, argv, 0, &a);
    dn_prepare_result result;
    bool terminal = isatty(STDERR_FILENO);
    const char *dir = a.texts.path;
    dn_status status =
        dn_prepare(a.texts.files, a.texts.n, dir, &a.options, terminal ? show : NULL, NULL, &result);
    if (terminal)
        fputc('\n', stderr);
    if (status != DN_OK)
        return cli_failure(status);
    if (result.n_examples)
        printf("%llu examples; %.1f%% of their tokens are of completions, and count\n", (unsigned long long)result.n_examples,
               100 * (double)result.counted / (double)(result.train_tokens + result.val_tokens));
    printf("%llu training and %llu validation tokens in %s; use them with data_dir=%s vocab_size=%zu\n",
           (unsigned long long)result.train_tokens, (unsigned long long)result.val_tokens, dir, dir,
           result.vocab_size);
    return 0;
}
