#include "cli/cli.h"

#include "dionode/config.h"
#include "dionode/launch.h"
#include "dionode/train.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    dn_config config;
    int n_workers, max_restarts;
    dn_status status;
} arguments;

enum { OPTION_KEYS = 1000, OPTION_RESTARTS };

/* " [dion, dion3]": the rules that have this option; nothing for other keys. */
static void print_rules(const char *key)
{
    const char *before = " [";
    for (size_t i = 0; dn_rule_at(i); i++)
        if (dn_rule_takes(dn_rule_at(i), key)) {
            printf("%s%s", before, dn_rule_at(i)->name);
            before = ", ";
        }
    printf("%s", *before == ' ' ? "" : "]");
}

/* "; other names: fron = dion2": choices that are names of the same rule in microsoft/dion's training script.
 */
static void print_aliases(const dn_key *key)
{
    const char *before = "; other names: ";
    for (const char *at = key->choices; at && *at; at += strcspn(at, "|"), at += *at == '|') {
        char name[DN_KEY_CHOICE_MAX];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "|"), at);
        const dn_rule_info *rule = dn_rule_find(name);
        if (!rule || strcmp(rule->name, name) == 0)
            continue;
        printf("%s%s = %s", before, name, rule->name);
        before = ", ";
    }
}

static void print_keys(void)
{
    char by_rule[512], strategies[512];
    printf("%-26s %-14s %s\n", "key", "default", "meaning");
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        printf("%-26s %-14s %s", key->name, key->initial, key->help);
        print_aliases(key);
        if (key->choices)
            printf(" (%s)", key->choices);
        print_rules(key->name);
        dn_config_strategies(key, strategies, sizeof strategies);
        if (*strategies)
            printf(" [%s]", strategies);
        dn_config_by_rule(key, by_rule, sizeof by_rule);
        if (*by_rule)
            printf("; null = %s", by_rule);
        putchar('\n');
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case 'n':
        a->n_workers = (int)cli_integer("--np", arg, 1, DN_MAX_RANKS);
        return 0;
    case OPTION_RESTARTS:
        a->max_restarts = (int)cli_integer("--max-restarts", arg, 0, 1000000);
        return 0;
    case ARGP_KEY_END:
        if (dn_launch_is_rank() && (a->n_workers || a->max_restarts))
            argp_error(state, "--np and --max-restarts are for workers that this program starts itself: here another launcher "
                              "has started the ranks");
        return 0;
    case OPTION_KEYS:
        print_keys();
        exit(0);
    case ARGP_KEY_ARG:
        cli_config_argument(state->arg_num, arg, &a->config, &a->status);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_train(int argc, char **argv, char **command_line)
{
    static const struct argp_option options[] = {
        {"np", 'n', "N", 0, "Workers (default: from dp_size, else one per NUMA domain)", 0},
        {"max-restarts", OPTION_RESTARTS, "K", 0,
         "If a worker dies or hangs, restart all workers from the last checkpoint, at most K times (default "
         "0)",
         0},
        {"keys", OPTION_KEYS, NULL, 0, "List all configuration keys with defaults and meaning", 0},
        {0},
    };
    static const struct argp argp = {options,
                                     parse,
                                     "CONFIG.yaml [key=value...]",
                                     "Trains the model of CONFIG.yaml; key=value overrides its keys.\v"
                                     "checkpoint_dir is the run's folder, with metrics.jsonl and "
                                     "checkpoints; training resumes from the newest "
                                     "checkpoint there. Ctrl-C saves a checkpoint and stops; a second Ctrl-C "
                                     "stops at once, without saving. SIGUSR1 "
                                     "saves a checkpoint and continues. Started by mpirun, each process is one "
                                     "worker, on one node or several.",
                                     NULL,
                                     NULL,
                                     NULL};
    arguments a = {.status = DN_OK};
    dn_config_init(&a.config);
    cli_parse(&argp, argc, argv, 0, &a);
    if (a.status != DN_OK)
        return cli_failure(a.status);
    if (dn_launch_is_worker() || dn_launch_is_rank()) {
        cli_tell_notices();
        return dn_train_worker(&a.config);
    }
    int signal = 0;
    dn_status status = dn_train(&a.config, a.n_workers, a.max_restarts, command_line, &signal);
    if (status != DN_OK)
        return cli_failure(status);
    return signal ? 128 + signal : 0;
}
