#include "cli/cli.h"

#include "dionode/train.h"

#include <argp.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct arguments {
    dn_finetuning what;
    const char *hows;
    const char *assignments[64];
    bool json;
} arguments;

enum { OPTION_LABELS = 1000, OPTION_HOW, OPTION_JSON, OPTION_ENCODER, OPTION_DIMENSIONS, OPTION_ROUNDS };

/* All of them before the first one trains. */
static void check_ways(const char *hows, struct argp_state *state)
{
    static const char known[] = "|" DN_FINETUNE_HOWS "|";
    for (const char *at = hows;; at++) {
        int n = (int)strcspn(at, ",");
        char way[32];
        snprintf(way, sizeof way, "|%.*s|", n, at);
        if (n == 0 || !strstr(known, way))
            argp_error(state, "--how: '%.*s' is no way to fine-tune: name some of %s, apart by commas", n, at, DN_FINETUNE_HOWS);
        at += n;
        if (!*at)
            return;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case OPTION_LABELS:
        a->what.labels = arg;
        return 0;
    case OPTION_HOW:
        a->hows = arg;
        return 0;
    case OPTION_JSON:
        a->json = true;
        return 0;
    case OPTION_ENCODER:
        a->what.encoder = arg;
        return 0;
    case OPTION_DIMENSIONS:
        a->what.dimensions = cli_integer("--dimensions", arg, 1, 1 << 20);
        return 0;
    case OPTION_ROUNDS:
        a->what.rounds = cli_integer("--rounds", arg, 0, 1000000);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0 && arg[strspn(arg, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '=') /* a path may have one */
            a->what.run = arg;
        else if (a->what.n < sizeof a->assignments / sizeof *a->assignments)
            a->assignments[a->what.n++] = arg;
        else
            argp_error(state, "too many key=value arguments");
        return 0;
    case ARGP_KEY_END:
        if (!a->what.labels)
            argp_error(state, "--labels FILE says what to learn");
        check_ways(a->hows, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void show(uint64_t done, uint64_t total, double loss, void *how)
{
    fprintf(stderr, "\r%-8s %3.0f%%  %llu/%llu", (const char *)how, 100.0 * (double)done / (double)total,
            (unsigned long long)done, (unsigned long long)total);
    if (!isnan(loss))
        fprintf(stderr, "  loss %.4f", loss);
    fputs(done == total ? "\n" : "", stderr);
}

int cli_finetune(int argc, char **argv, char **command_line)
{
    (void)command_line;
    static const struct argp_option options[] = {
        {"labels", OPTION_LABELS, "FILE", 0, "Labelled texts: a line each, label, tab, text; gzip is read, too", 0},
        {"how", OPTION_HOW, "WAY,...", 0, "Ways to learn them, each from the same start: " DN_FINETUNE_HOWS " (default head)", 0},
        {"encoder", OPTION_ENCODER, "WHAT", 0, "hdc: hypervectors of " DN_FINETUNE_ENCODERS " (default ngram)", 0},
        {"dimensions", OPTION_DIMENSIONS, "D", 0, "hdc: signs of a hypervector (default 10000)", 0},
        {"rounds", OPTION_ROUNDS, "N", 0, "hdc: of retraining (default 20)", 0},
        {"json", OPTION_JSON, NULL, 0, "Print a JSON object for each way", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "[RUN] --labels FILE [key=value...]",
        "Teaches the model of RUN, a run's checkpoint_dir, a checkpoint, a Hugging Face folder or llm.c's file, to tell the "
        "classes of labelled texts apart, and prints a table: accuracy on every fifth text, which is held out, loss there, numbers "
        "that were trained, their bytes, memory and seconds.\v"
        "head trains a layer on the model's output at the last token; full all weights besides; sherl a module on the outputs of "
        "frozen blocks besides; prompt 20 keys and "
        "values in front of each attention besides; lora adapters besides; hdc "
        "adds up hypervectors, of texts themselves without RUN (docs/finetuning.md). key=value sets what train calls so, as lr=0.001 or num_iterations=500; without it three epochs of "
        "batch_size=32 by adamw. Nothing is written; interrupted, it starts anew.",
        NULL,
        NULL,
        NULL};
    arguments a = {.hows = "head", .what = {.encoder = "ngram", .dimensions = 10000, .rounds = 20}};
    a.what.assignments = a.assignments;
    cli_parse(&argp, argc, argv, 0, &a);
    bool first = true;
    for (const char *at = a.hows; *at; at += *at == ',') {
        char how[32];
        int n = (int)strcspn(at, ",");
        dn_finetuned result;
        snprintf(how, sizeof how, "%.*s", n, at);
        at += n;
        a.what.how = how;
        dn_status status = dn_finetune(&a.what, isatty(STDERR_FILENO) ? show : NULL, how, &result);
        if (status != DN_OK)
            return cli_failure(status);
        dn_finetuned_print(&result, how, a.json, first, stdout);
        if (!cli_flush_output())
            return dn_status_exit(DN_ERR_IO);
        first = false;
    }
    return 0;
}
