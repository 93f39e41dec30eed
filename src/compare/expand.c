/* From the options' lists to the runs of a comparison. */
#include "compare/compare.h"

#include "base/fail.h"
#include "dionode/optim.h"
#include "train/clients.h"
#include "train/config_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRIES = 64, SWEEP = 3, QUICK_STEPS = 100 };

/* ---- lists ---- */

typedef char entry[64];

/* The entries of a list; `option` names it in messages. */
static dn_status split(const char *option, const char *text, entry *entries, size_t *n)
{
    *n = 0;
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t length = strcspn(at, ",");
        if (length == 0 || length >= sizeof *entries || *n == MAX_ENTRIES)
            return dn_fail(DN_ERR_CONFIG, "%s: '%s': expected at most %d entries, separated by commas",
                           option, text, MAX_ENTRIES);
        memcpy(entries[*n], at, length);
        entries[(*n)++][length] = 0;
    }
    return DN_OK;
}

static bool read_number(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && isfinite(*out);
}

/* "0.25" or "1/4" */
static bool read_fraction(const char *text, double *out)
{
    entry above;
    double below;
    const char *slash = strchr(text, '/');
    if (!slash)
        return read_number(text, out);
    snprintf(above, sizeof above, "%.*s", (int)(slash - text), text);
    if (!read_number(above, out) || !read_number(slash + 1, &below) || below == 0)
        return false;
    *out /= below;
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static dn_status read_list(const char *option, const char *text, bool (*read)(const char *, double *),
                           double max, double *values, size_t *n)
{
    entry entries[MAX_ENTRIES];
    DN_TRY(split(option, text, entries, n));
    for (size_t i = 0; i < *n; i++) {
        if (!read(entries[i], &values[i]) || !(values[i] > 0 && values[i] <= max))
            return dn_fail(DN_ERR_CONFIG, "%s: '%s' must be a number above 0, at most %g", option, entries[i],
                           max);
        for (size_t k = 0; k < i; k++)
            if (fabs(values[k] - values[i]) <= 1e-8 * values[i]) /* folders are named with nine digits */
                return dn_fail(DN_ERR_CONFIG, "%s: '%s' is given twice; remove one", option, entries[i]);
    }
    return DN_OK;
}

/* ---- options ---- */

static dn_status read_optimizers(const dn_compare_options *o, entry *names, size_t *n)
{
    dn_config scratch = o->config;
    *n = 0;
    if (o->optimizers)
        DN_TRY(split("--optimizers", o->optimizers, names, n));
    for (; !o->optimizers && dn_rule_at(*n); ++*n)
        snprintf(names[*n], sizeof names[*n], "%s", dn_rule_at(*n)->name);
    for (size_t i = 0; i < *n; i++) {
        char assignment[96];
        snprintf(assignment, sizeof assignment, "optimizer=%.63s", names[i]);
        DN_TRY(dn_config_set(&scratch, assignment));
        for (size_t k = 0; k < i; k++)
            if (strcmp(names[k], names[i]) == 0)
                return dn_fail(DN_ERR_CONFIG, "--optimizers: '%s' is given twice; remove one", names[i]);
    }
    return DN_OK;
}

/* Of a strategy that takes the place of the rule, or NULL. */
static const dn_strategy *steps_itself(const char *strategy)
{
    const dn_strategy *row = dn_strategy_find(strategy);
    return row && row->family == DN_INSTEAD_OF_RULE ? row : NULL;
}

/* The list for an optimizer, or a strategy that steps itself: the last one that names it, else the last one that names none, else
 * factors of its default. */
static dn_status read_lrs(const dn_compare_options *o, const dn_contender *c, double *lrs, size_t *n)
{
    static const double factors[SWEEP] = {0.5, 1, 2};
    const dn_strategy *row = steps_itself(c->strategy);
    const char *general = NULL, *own = NULL, *name = row ? row->name : c->optimizer;
    size_t length = strlen(name);
    for (size_t i = 0; i < o->n_lrs; i++) {
        if (!strchr(o->lrs[i], '='))
            general = o->lrs[i];
        else if (strncmp(o->lrs[i], name, length) == 0 && o->lrs[i][length] == '=')
            own = o->lrs[i] + length + 1;
    }
    if (own || general) {
        DN_TRY(read_list("--lr", own ? own : general, read_number, 1e6, lrs, n));
        qsort(lrs, *n, sizeof *lrs, by_value);
        return DN_OK;
    }
    for (*n = 0; *n < (o->quick ? 1 : SWEEP); ++*n)
        lrs[*n] = (o->quick ? 1 : factors[*n]) * (row ? row->lr : dn_rule_find(c->optimizer)->lr);
    return DN_OK;
}

static bool is_among(const entry *names, size_t n, const char *name, size_t length, bool itself)
{
    bool found = false;
    for (size_t k = 0; k < n; k++)
        found = found || (strlen(names[k]) == length && strncmp(names[k], name, length) == 0 && (!itself || steps_itself(names[k])));
    return found;
}

/* Errors: a list for what is not compared. */
static dn_status check_lrs(const dn_compare_options *o, const entry *rules, size_t n_rules, const entry *strategies, size_t n_strategies)
{
    for (size_t i = 0; i < o->n_lrs; i++) {
        size_t length = strcspn(o->lrs[i], "=");
        if (o->lrs[i][length] && !is_among(rules, n_rules, o->lrs[i], length, false) &&
            !is_among(strategies, n_strategies, o->lrs[i], length, true))
            return dn_fail(DN_ERR_CONFIG, "--lr %s: '%.*s' is not among the optimizers compared", o->lrs[i],
                           (int)length, o->lrs[i]);
    }
    return DN_OK;
}

/* Of a client's training. */
static dn_status tokens_of_training(const dn_config *c, uint64_t *tokens)
{
    *tokens = (uint64_t)(c->batch_size * c->sequence_length * c->local_steps);
    return c->local_steps ? DN_OK : dn_fail(DN_ERR_CONFIG, "clients are compared after as many tokens: set local_steps, of each training");
}

/* A step is one of replicas, or a training of each client. */
static dn_status read_budget(const dn_compare_options *o, dn_comparison *out)
{
    const dn_config *c = &o->config;
    out->n_clients = (int)c->clients;
    out->step_tokens = (uint64_t)(c->batch_size * c->sequence_length);
    if (c->clients)
        DN_TRY(tokens_of_training(c, &out->step_tokens));
    out->step_tokens *= c->clients ? (uint64_t)c->clients : 1;
    if (o->steps && o->tokens)
        return dn_fail(DN_ERR_CONFIG, "--steps and --tokens both set the length: give only one of them");
    out->n_steps = o->steps ? (uint64_t)o->steps : (uint64_t)c->num_iterations;
    if (o->quick && !o->steps && out->n_steps > QUICK_STEPS)
        out->n_steps = QUICK_STEPS;
    if (o->tokens)
        out->n_steps = ((uint64_t)o->tokens + out->step_tokens - 1) / out->step_tokens;
    if (c->val_tokens > 0)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "optimizers are compared by validation loss: set val_tokens > 0");
}

/* ---- strategies ---- */

/* All of replicas, or of clients where the configuration has such, or those that are named; without a list one without a name. */
static dn_status read_strategies(const dn_compare_options *o, entry *names, size_t *n)
{
    dn_config scratch = o->config;
    const dn_strategy *row;
    **names = 0;
    *n = 1;
    if (!o->strategies)
        return DN_OK;
    if (strcmp(o->strategies, "all") == 0) {
        *n = 0;
        for (size_t i = 0; (row = dn_strategy_at(i)); i++)
            if (!row->clients == !o->config.clients)
                snprintf(names[(*n)++], sizeof *names, "%s", row->name);
        return DN_OK;
    }
    DN_TRY(split("--strategies", o->strategies, names, n));
    for (size_t i = 0; i < *n; i++) {
        char assignment[96];
        snprintf(assignment, sizeof assignment, "strategy=%.63s", names[i]);
        DN_TRY(dn_config_set(&scratch, assignment));
        for (size_t k = 0; k < i; k++)
            if (strcmp(names[k], names[i]) == 0)
                return dn_fail(DN_ERR_CONFIG, "--strategies: '%s' is given twice; remove one", names[i]);
    }
    return DN_OK;
}

static bool is_of(const char *argument, char end, const char *strategy)
{
    size_t length = strlen(strategy);
    return length > 0 && strncmp(argument, strategy, length) == 0 && argument[length] == end;
}

/* Errors: an argument for a strategy that is not compared. */
static dn_status check_strategies(const char *option, const char *const *arguments, size_t n_arguments, char end,
                                  entry *names, size_t n)
{
    for (size_t i = 0; i < n_arguments; i++) {
        bool known = end == '=' && !strchr(arguments[i], end); /* for all */
        for (size_t k = 0; k < n; k++)
            known = known || is_of(arguments[i], end, names[k]);
        if (!known)
            return dn_fail(DN_ERR_CONFIG, "%s %s: begin with one of the strategies compared and '%c'", option, arguments[i],
                           end);
    }
    return DN_OK;
}

static bool has_outer_lr(const char *strategy)
{
    char names[512];
    const dn_key *key = dn_config_keys();
    while (strcmp(key->name, "outer_lr") != 0)
        key++;
    dn_config_strategies(key, names, sizeof names);
    for (char *rest, *name = strtok_r(names, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest))
        if (strcmp(name, strategy) == 0)
            return true;
    return false;
}

/* The rates of a strategy's outer step: the last list that is for it, or for all that have one; NAN: its default. */
static dn_status read_outer_lrs(const dn_compare_options *o, const char *strategy, double *lrs, size_t *n)
{
    lrs[0] = NAN;
    *n = 1;
    for (size_t i = 0; i < o->n_outer_lrs; i++)
        if (strchr(o->outer_lrs[i], '=') ? is_of(o->outer_lrs[i], '=', strategy) : has_outer_lr(strategy)) {
            const char *equals = strchr(o->outer_lrs[i], '=');
            DN_TRY(read_list("--outer-lr", equals ? equals + 1 : o->outer_lrs[i], read_number, 1e6, lrs, n));
            qsort(lrs, *n, sizeof *lrs, by_value);
        }
    return DN_OK;
}

typedef char assignments[sizeof((dn_contender *)0)->settings];

/* Every combination of the values that --set gives for a strategy; without any, one that is empty. */
static dn_status read_settings(const dn_compare_options *o, const char *strategy, assignments *out, size_t *n)
{
    **out = 0;
    *n = 1;
    for (size_t i = 0; i < o->n_settings; i++) {
        const char *key = o->settings[i] + strlen(strategy) + 1, *equals = strchr(o->settings[i], '=');
        entry values[MAX_ENTRIES];
        size_t n_values;
        if (!is_of(o->settings[i], '.', strategy))
            continue;
        if (!equals)
            return dn_fail(DN_ERR_CONFIG, "--set %s: expected STRATEGY.KEY=LIST", o->settings[i]);
        DN_TRY(split("--set", equals + 1, values, &n_values));
        if (*n * n_values > MAX_ENTRIES)
            return dn_fail(DN_ERR_CONFIG, "--set: more than %d settings of %s", MAX_ENTRIES, strategy);
        for (size_t k = *n * n_values; k-- > 0;) { /* from the last: the first are still to be read */
            assignments old;
            memcpy(old, out[k / n_values], sizeof old);
            int length = snprintf(out[k], sizeof *out, "%s%s%.*s=%s", old, *old ? " " : "", (int)(equals - key), key,
                                  values[k % n_values]);
            if (length < 0 || (size_t)length >= sizeof *out)
                return dn_fail(DN_ERR_CONFIG, "--set %s: too long together with the others", o->settings[i]);
        }
        *n *= n_values;
    }
    return DN_OK;
}

/* Errors: DN_ERR_CONFIG: a setting that is none, or a rule that the strategy does not take. */
static dn_status configure(const dn_contender *c, dn_config *config)
{
    const dn_strategy *strategy;
    char settings[sizeof c->settings], *rest, assignment[64];
    if (*c->optimizer)
        memcpy(config->optimizer, c->optimizer, sizeof config->optimizer);
    if (!*c->strategy)
        return DN_OK;
    snprintf(assignment, sizeof assignment, "strategy=%s", c->strategy);
    DN_TRY(dn_config_set(config, assignment));
    memcpy(settings, c->settings, sizeof settings);
    for (char *one = strtok_r(settings, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
        DN_TRY(dn_config_set(config, one));
    DN_TRY(dn_plan_strategy(config, &strategy));
    return dn_clients_check_strategy(config, strategy);
}

/* Of clients as many versions as take the tokens of all steps. */
static dn_status count_steps(const dn_config *config, const dn_comparison *comparison, uint64_t *n)
{
    const dn_strategy *strategy;
    dn_strategy_config settings;
    uint64_t tokens;
    dn_config c = *config;
    DN_TRY(dn_plan_strategy(&c, &strategy));
    *n = comparison->n_steps;
    if (!strategy->clients)
        return DN_OK;
    DN_TRY(dn_config_resolve_strategy(&c, strategy, &settings));
    DN_TRY(tokens_of_training(&c, &tokens));
    tokens *= (uint64_t)dn_client_quorum(strategy->clients, &settings, (int)c.clients);
    *n = (comparison->n_steps * comparison->step_tokens + tokens - 1) / tokens;
    return DN_OK;
}

/* ---- contenders ---- */

static dn_status name_dir(const dn_compare_options *o, const dn_contender *c, dn_trial *trial)
{
    char rank[32] = "", outer[32] = "", settings[sizeof c->settings];
    if (c->rank > 0)
        snprintf(rank, sizeof rank, "-r%.9g", c->rank);
    if (!isnan(trial->outer_lr))
        snprintf(outer, sizeof outer, "-o%.9g", trial->outer_lr);
    memcpy(settings, c->settings, sizeof settings);
    for (char *at = settings; *at; at++)
        *at = strchr(" /", *at) ? '-' : *at;
    int length = snprintf(trial->dir, sizeof trial->dir, "%s/%s%s%s%s%s%s-lr%.9g%s-s%lld", o->output, c->strategy,
                          *c->strategy && *settings ? "-" : "", settings, *c->strategy && *c->optimizer ? "-" : "", c->optimizer,
                          rank, trial->lr, outer, (long long)trial->seed);
    if (length >= 0 && (size_t)length < sizeof trial->dir)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "--output: '%.100s...' is too long", o->output);
}

/* A contender with all its rates and seeds. */
static dn_status add_contender(const dn_compare_options *o, const dn_contender *contender, dn_comparison *out)
{
    double lrs[MAX_ENTRIES], outer_lrs[MAX_ENTRIES];
    size_t n_lrs, n_seeds = out->n_seeds;
    dn_contender *c = &out->contenders[out->n_contenders];
    *c = *contender;
    DN_TRY(read_lrs(o, c, lrs, &n_lrs));
    DN_TRY(read_outer_lrs(o, c->strategy, outer_lrs, &c->n_outer));
    c->n_lrs = n_lrs * c->n_outer;
    c->trials = calloc(c->n_lrs * n_seeds, sizeof *c->trials);
    if (!c->trials)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu runs", c->n_lrs * n_seeds);
    out->n_contenders++;
    for (size_t i = 0; i < c->n_lrs * n_seeds; i++) {
        c->trials[i].lr = lrs[i / n_seeds / c->n_outer];
        c->trials[i].outer_lr = outer_lrs[i / n_seeds % c->n_outer];
        c->trials[i].seed = o->config.seed + (int64_t)(i % n_seeds);
        DN_TRY(name_dir(o, c, &c->trials[i]));
    }
    return DN_OK;
}

/* All rules, ranks and settings of one strategy. A rule that it does not take is left out, unless it takes none. */
static dn_status add_strategy(const dn_compare_options *o, const char *strategy, entry *rules, size_t n_rules,
                              dn_comparison *out)
{
    assignments settings[MAX_ENTRIES];
    double ranks[MAX_ENTRIES] = {o->config.optim.rank_fraction};
    size_t n_ranks = 1, n_settings, before = out->n_contenders;
    if (o->ranks)
        DN_TRY(read_list("--ranks", o->ranks, read_fraction, 1, ranks, &n_ranks));
    DN_TRY(read_settings(o, strategy, settings, &n_settings));
    dn_contender *more = realloc(out->contenders, (before + n_rules * n_ranks * n_settings) * sizeof *more);
    if (!more)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu optimizers", n_rules * n_ranks * n_settings);
    out->contenders = more;
    dn_status refused = DN_OK;
    bool ruled = !steps_itself(strategy);
    for (size_t i = 0; i < (ruled ? n_rules : 1); i++) { /* all would be the same run without */
        bool has_rank = ruled && dn_rule_takes(dn_rule_find(rules[i]), "ortho_fraction");
        for (size_t k = 0; k < n_settings * (has_rank ? n_ranks : 1); k++) {
            dn_config scratch = o->config;
            dn_contender c = {.seeds_at_best = *strategy, .rank = has_rank ? ranks[k / n_settings] : 0};
            snprintf(c.strategy, sizeof c.strategy, "%.*s", (int)sizeof c.strategy - 1, strategy); /* the name of a row */
            snprintf(c.optimizer, sizeof c.optimizer, "%.*s", (int)sizeof c.optimizer - 1, ruled ? rules[i] : ""); /* likewise */
            memcpy(c.settings, settings[k % n_settings], sizeof c.settings);
            dn_status status = configure(&c, &scratch);
            if (status == DN_OK)
                status = count_steps(&scratch, out, &c.n_steps);
            if (status == DN_OK)
                DN_TRY(add_contender(o, &c, out));
            else
                refused = status;
            if (status != DN_OK && *c.settings)
                return status;
        }
    }
    return out->n_contenders > before ? DN_OK : refused;
}

dn_status dn_compare_expand(const dn_compare_options *o, dn_comparison *out)
{
    entry rules[MAX_ENTRIES], strategies[MAX_ENTRIES];
    size_t n_rules, n_strategies;
    *out = (dn_comparison){.n_seeds = (size_t)o->n_seeds, .by_strategy = o->strategies != NULL};
    DN_TRY(read_optimizers(o, rules, &n_rules));
    DN_TRY(read_strategies(o, strategies, &n_strategies));
    DN_TRY(check_lrs(o, rules, n_rules, strategies, n_strategies));
    DN_TRY(check_strategies("--set", o->settings, o->n_settings, '.', strategies, n_strategies));
    DN_TRY(check_strategies("--outer-lr", o->outer_lrs, o->n_outer_lrs, '=', strategies, n_strategies));
    DN_TRY(read_budget(o, out));
    bool all = o->strategies && strcmp(o->strategies, "all") == 0;
    dn_status status = DN_OK;
    for (size_t i = 0; i < n_strategies; i++) {
        status = add_strategy(o, strategies[i], rules, n_rules, out);
        if (status != DN_OK && !(all && status == DN_ERR_CONFIG && !o->n_settings))
            return status;
    }
    return out->n_contenders > 0 ? DN_OK : status;
}

dn_status dn_compare_config(const dn_config *common, const dn_contender *contender, const dn_trial *trial, dn_config *out)
{
    char outer_lr[48];
    *out = *common;
    DN_TRY(configure(contender, out));
    if (contender->rank > 0)
        out->optim.rank_fraction = contender->rank;
    out->lr = trial->lr;
    snprintf(outer_lr, sizeof outer_lr, "outer_lr=%.17g", trial->outer_lr);
    if (!isnan(trial->outer_lr))
        DN_TRY(dn_config_set(out, outer_lr));
    out->seed = trial->seed;
    out->num_iterations = (int64_t)contender->n_steps;
    out->stop_after = 0;
    snprintf(out->checkpoint_dir, sizeof out->checkpoint_dir, "%s", trial->dir);
    return DN_OK;
}
