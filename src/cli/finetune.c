#include "cli/cli.h"

#include "dionode/blas.h"
#include "dionode/launch.h"
#include "dionode/train.h"

#include <argp.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct arguments {
    dn_finetuning what;
    const char *hows;
    char way_now[32];
    const char *way; /* of a worker: the one of hows that it trains */
    const char *assignments[64];
    char clients[32];
    int n_workers;
    bool json;
} arguments;

enum { OPTION_LABELS = 1000, OPTION_HOW, OPTION_JSON, OPTION_ENCODER, OPTION_DIMENSIONS, OPTION_ROUNDS, OPTION_PROMPT_LAYERS, OPTION_CLIENTS, OPTION_NP, OPTION_WAY };

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
    case OPTION_PROMPT_LAYERS:
        a->what.prompt_layers = strcmp(arg, "auto") == 0 ? DN_PROMPT_LAYERS_AUTO : cli_number("--prompt-layers", arg, 1e-6, 1);
        return 0;
    case OPTION_CLIENTS:
        snprintf(a->clients, sizeof a->clients, "clients=%lld", cli_integer("--clients", arg, 1, 1 << 16));
        return 0;
    case OPTION_NP:
        a->n_workers = (int)cli_integer("--np", arg, 1, 256);
        return 0;
    case OPTION_WAY:
        a->way = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0 && arg[strspn(arg, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '=') /* a path may have one */
            a->what.run = arg;
        else if (a->what.n + 1 < sizeof a->assignments / sizeof *a->assignments)
            a->assignments[a->what.n++] = arg;
        else
            argp_error(state, "too many key=value arguments");
        return 0;
    case ARGP_KEY_END:
        if (!a->what.labels)
            argp_error(state, "--labels FILE says what to learn");
        check_ways(a->hows, state);
        if (*a->clients)
            a->assignments[a->what.n++] = a->clients;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void show(uint64_t done, uint64_t total, double loss, void *context)
{
    const arguments *a = context;
    fprintf(stderr, "\r%-8s %3.0f%%  %llu/%llu", a->what.how, 100.0 * (double)done / (double)total,
            (unsigned long long)done, (unsigned long long)total);
    if (!isnan(loss))
        fprintf(stderr, "  loss %.4f", loss);
    fputs(done == total ? "\n" : "", stderr);
}

static void print(const dn_finetuned *result, void *context)
{
    const arguments *a = context;
    bool first = strncmp(a->hows, a->what.how, strlen(a->what.how)) == 0;
    dn_finetuned_print(result, a->what.how, a->json, first, stdout);
}

/* a->what.how: the way at `at`; returns where the next one begins. */
static const char *take_way(arguments *a, const char *at)
{
    int n = (int)strcspn(at, ",");
    snprintf(a->way_now, sizeof a->way_now, "%.*s", n, at);
    a->what.how = a->way_now;
    at += n;
    return *at ? at + 1 : at;
}

/* a->what.how, in this process or by workers, which are told which one of several it is. */
static int tune(arguments *a, char **command_line)
{
    dn_finetuned result;
    int n = 0, signal = 0;
    if (a->n_workers == 1) {
        dn_status status = dn_finetune(&a->what, isatty(STDERR_FILENO) ? show : NULL, a, &result);
        if (status != DN_OK)
            return cli_failure(status);
        print(&result, a);
        return cli_flush_output() ? 0 : dn_status_exit(DN_ERR_IO);
    }
    while (command_line[n])
        n++;
    char **argv = calloc((size_t)n + 3, sizeof *argv), way[64];
    if (!argv)
        return cli_failure(DN_ERR_MEMORY);
    snprintf(way, sizeof way, "--way=%s", a->what.how);
    memcpy(argv, command_line, (size_t)n * sizeof *argv);
    argv[n] = way;
    dn_status status = dn_finetune_launch(&a->what, a->n_workers, argv, &signal);
    free(argv);
    return status != DN_OK ? cli_failure(status) : signal ? 128 + signal : 0;
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
        {"prompt-layers", OPTION_PROMPT_LAYERS, "SHARE|auto", 0, "prompt: share of the blocks that get prompts, chosen by their outputs (default 1); auto: clients find it from the curvature of their loss", 0},
        {"clients", OPTION_CLIENTS, "N", 0, "Virtual clients that have the texts, by strategy=fedavg or another of clients", 0},
        {"np", OPTION_NP, "N", 0, "Workers (1), by dp_size, fs_size and tp_size", 0},
        {"way", OPTION_WAY, "WAY", OPTION_HIDDEN, NULL, 0},
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
    arguments a = {.hows = "head", .n_workers = 1, .what = {.encoder = "ngram", .dimensions = 10000, .rounds = 20, .prompt_layers = 1}};
    a.what.assignments = a.assignments;
    cli_parse(&argp, argc, argv, 0, &a);
    dn_threads_sleep(command_line);
    if (dn_launch_is_worker()) {
        cli_tell_notices();
        a.what.how = a.way;
        return dn_finetune_worker(&a.what, isatty(STDERR_FILENO) ? show : NULL, print, &a);
    }
    int status = 0;
    for (const char *at = a.hows; *at && status == 0;) { /* all of them before the first one trains */
        at = take_way(&a, at);
        dn_status taken = dn_finetune_check(&a.what);
        status = taken == DN_OK ? 0 : cli_failure(taken);
    }
    for (const char *at = a.hows; *at && status == 0;) {
        at = take_way(&a, at);
        status = tune(&a, command_line);
    }
    return status;
}
