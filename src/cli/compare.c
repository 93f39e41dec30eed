#include "cli/cli.h"

#include "dionode/compare.h"
#include "dionode/optim.h"

#include <argp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_OPTIMIZERS = 1000,
    OPTION_RANKS,
    OPTION_LR,
    OPTION_SEEDS,
    OPTION_STEPS,
    OPTION_TOKENS,
    OPTION_JSON,
    OPTION_HTML,
    OPTION_STRATEGIES,
    OPTION_SET,
    OPTION_OUTER_LR,
    OPTION_QUICK,
    MAX_LRS = 64,
    LONGEST = 1000000000
};

typedef struct arguments {
    dn_compare_options options;
    const char *lrs[MAX_LRS], *settings[MAX_LRS], *outer_lrs[MAX_LRS];
    dn_status status;
} arguments;

static void add(const char *option, const char **list, size_t *n, const char *arg, struct argp_state *state)
{
    if (*n == MAX_LRS)
        argp_error(state, "%s: at most %d times", option, MAX_LRS);
    list[(*n)++] = arg;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    dn_compare_options *o = &a->options;
    switch (key) {
    case OPTION_OPTIMIZERS:
        o->optimizers = arg;
        return 0;
    case OPTION_RANKS:
        o->ranks = arg;
        return 0;
    case OPTION_LR:
        add("--lr", a->lrs, &o->n_lrs, arg, state);
        return 0;
    case OPTION_STRATEGIES:
        o->strategies = arg;
        return 0;
    case OPTION_SET:
        add("--set", a->settings, &o->n_settings, arg, state);
        return 0;
    case OPTION_OUTER_LR:
        add("--outer-lr", a->outer_lrs, &o->n_outer_lrs, arg, state);
        return 0;
    case OPTION_QUICK:
        o->quick = true;
        return 0;
    case OPTION_SEEDS:
        o->n_seeds = (int)cli_integer("--seeds", arg, 1, 1000);
        return 0;
    case OPTION_STEPS:
        o->steps = cli_integer("--steps", arg, 1, LONGEST);
        return 0;
    case OPTION_TOKENS:
        o->tokens = cli_integer("--tokens", arg, 1, LLONG_MAX / 2);
        return 0;
    case OPTION_JSON:
        o->json = arg;
        return 0;
    case OPTION_HTML:
        o->html = arg;
        return 0;
    case 'n':
        o->n_workers = (int)cli_integer("--np", arg, 1, DN_MAX_RANKS);
        return 0;
    case 'o':
        o->output = arg;
        return 0;
    case ARGP_KEY_ARG:
        cli_config_argument(state->arg_num, arg, &o->config, &a->status);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The command line, for the report. */
static char *join(char *const *words)
{
    size_t bytes = 1;
    for (int i = 0; words[i]; i++)
        bytes += strlen(words[i]) + 3;
    char *text = malloc(bytes), *end = text;
    for (int i = 0; text && words[i]; i++) {
        const char *quote = words[i][strcspn(words[i], " *?'\"\\$&;|<>()")] ? "'" : "";
        end += sprintf(end, "%s%s%s%s", i ? " " : "", quote, words[i], quote);
    }
    return text;
}

/* Appends the table of optimizers, from the registry, to the help. */
static char *add_optimizers(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    char *table = NULL;
    size_t bytes;
    FILE *out = open_memstream(&table, &bytes);
    if (!out)
        return (char *)text;
    fprintf(out, "%s\n\nOptimizers, with their learning rates:\n", text);
    const dn_rule_info *rule;
    for (size_t i = 0; (rule = dn_rule_at(i)) != NULL; i++)
        fprintf(out, "\n  %-8s %-7g %s%s", rule->name, rule->lr, rule->help,
                dn_rule_takes(rule, "ortho_fraction") ? " (has a rank)" : "");
    fclose(out);
    return table;
}

int cli_compare(int argc, char **argv, char **command_line)
{
    static const struct argp_option options[] = {
        {"optimizers", OPTION_OPTIMIZERS, "LIST", 0,
         "What to compare, as in dion,adamw (default: all optimizers)", 0},
        {"ranks", OPTION_RANKS, "LIST", 0,
         "Ranks as fractions of min(rows, columns), as in 1,1/2,1/4, for the optimizers below that have one "
         "(default: "
         "ortho_fraction of the configuration)",
         0},
        {"lr", OPTION_LR, "[OPTIMIZER=]LIST", 0,
         "Learning rates to try, for all optimizers or for one, or for a strategy that steps itself, as demo; may be repeated "
         "(default: 0.5, 1 and 2 times the optimizer's rate below)",
         0},
        {"strategies", OPTION_STRATEGIES, "LIST", 0,
         "Strategies to compare, each with each optimizer, as in average,local_sgd, or all: of replicas or, if the configuration has "
         "clients, of clients (default: that of the configuration)",
         0},
        {"set", OPTION_SET, "STRATEGY.KEY=LIST", 0,
         "Values of a strategy's key, each a contender, as in local_sgd.sync_every=8,30; may be repeated", 0},
        {"outer-lr", OPTION_OUTER_LR, "[STRATEGY=]LIST", 0,
         "Outer learning rates to try with each learning rate, for all strategies that have one or for one; may be "
         "repeated (default: the strategy's own)",
         0},
        {"quick", OPTION_QUICK, NULL, 0,
         "Only the optimizer's own learning rate where --lr gives none, and at most 100 steps where neither --steps nor --tokens "
         "gives their number",
         0},
        {"seeds", OPTION_SEEDS, "N", 0,
         "Seeds per learning rate, counting up from the configuration's seed (default 1)", 0},
        {"steps", OPTION_STEPS, "N", 0, "Steps of each run; of clients, trainings of each, on average (default: num_iterations)", 0},
        {"tokens", OPTION_TOKENS, "N", 0, "Tokens of each run, rounded up to whole steps", 0},
        {"np", 'n', "N", 0, "Workers (default: from dp_size, else one per NUMA domain)", 0},
        {"output", 'o', "DIR", 0, "Folder of the runs (default runs/compare)", 0},
        {"html", OPTION_HTML, "FILE", 0, "Where to write the page (default: compare.html in the folder)", 0},
        {"json", OPTION_JSON, "FILE", 0, "Write all numbers as JSON", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "CONFIG.yaml [key=value...]",
        "Trains the model of CONFIG.yaml with several optimizers, on the same data for the same number of "
        "tokens, and "
        "reports the quality and cost of each: loss by step, second and byte, time, traffic and memory.\v"
        "Optimizers are ranked by final validation loss at their best learning rate. Runs are executed one "
        "after "
        "another, each in its own folder in DIR: config.yaml, metrics.jsonl, log.txt. Ctrl-C saves a "
        "checkpoint and "
        "stops; the same command then resumes and skips complete runs. A run that diverges is shown as such.",
        NULL,
        add_optimizers,
        NULL};
    arguments a = {.options = dn_compare_defaults(), .status = DN_OK};
    a.options.lrs = a.lrs;
    a.options.settings = a.settings;
    a.options.outer_lrs = a.outer_lrs;
    cli_parse(&argp, argc, argv, 0, &a);
    if (a.status != DN_OK)
        return cli_failure(a.status);
    char *command = join(command_line);
    a.options.command = command;
    int signal = 0;
    dn_status status = dn_compare(&a.options, stdout, &signal);
    free(command);
    if (status != DN_OK)
        return cli_failure(status);
    return signal ? 128 + signal : 0;
}
