/* From the options' lists to the runs of a comparison. */
#include "compare/compare.h"

#include "base/fail.h"
#include "dionode/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRIES = 64, SWEEP = 3 };

/* ---- lists ---- */

typedef char entry[64];

/* The entries of a list; `option` names it in messages. */
static dn_status split(const char *option, const char *text, char separator, entry *entries, size_t *n)
{
    *n = 0;
    for (const char *at = text; at; at = strchr(at, separator) ? strchr(at, separator) + 1 : NULL) {
        size_t length = strcspn(at, (char[]){separator, 0});
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
    DN_TRY(split(option, text, ',', entries, n));
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
        DN_TRY(split("--optimizers", o->optimizers, ',', names, n));
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

/* The list for an optimizer: the last one that names it, else the last one that names none, else factors of
 * its default. */
static dn_status read_lrs(const dn_compare_options *o, const char *optimizer, double *lrs, size_t *n)
{
    static const double factors[SWEEP] = {0.5, 1, 2};
    const char *general = NULL, *own = NULL;
    size_t length = strlen(optimizer);
    for (size_t i = 0; i < o->n_lrs; i++) {
        if (!strchr(o->lrs[i], '='))
            general = o->lrs[i];
        else if (strncmp(o->lrs[i], optimizer, length) == 0 && o->lrs[i][length] == '=')
            own = o->lrs[i] + length + 1;
    }
    if (own || general) {
        DN_TRY(read_list("--lr", own ? own : general, read_number, 1e6, lrs, n));
        qsort(lrs, *n, sizeof *lrs, by_value);
        return DN_OK;
    }
    for (*n = 0; *n < SWEEP; ++*n)
        lrs[*n] = factors[*n] * dn_rule_find(optimizer)->lr;
    return DN_OK;
}

/* Errors: a list for an optimizer that is not compared. */
static dn_status check_lrs(const dn_compare_options *o, entry *names, size_t n)
{
    for (size_t i = 0; i < o->n_lrs; i++) {
        size_t length = strcspn(o->lrs[i], "=");
        bool known = o->lrs[i][length] == 0;
        for (size_t k = 0; k < n; k++)
            known = known || (strlen(names[k]) == length && strncmp(names[k], o->lrs[i], length) == 0);
        if (!known)
            return dn_fail(DN_ERR_CONFIG, "--lr %s: '%.*s' is not among the optimizers compared", o->lrs[i],
                           (int)length, o->lrs[i]);
    }
    return DN_OK;
}

static dn_status read_budget(const dn_compare_options *o, dn_comparison *out)
{
    const dn_config *c = &o->config;
    out->step_tokens = (uint64_t)(c->batch_size * c->sequence_length);
    if (o->steps && o->tokens)
        return dn_fail(DN_ERR_CONFIG, "--steps and --tokens both set the length: give only one of them");
    out->n_steps = o->steps ? (uint64_t)o->steps : (uint64_t)c->num_iterations;
    if (o->tokens)
        out->n_steps = ((uint64_t)o->tokens + out->step_tokens - 1) / out->step_tokens;
    if (c->val_tokens > 0)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "optimizers are compared by validation loss: set val_tokens > 0");
}

/* ---- contenders ---- */

static dn_status add_contender(const dn_compare_options *o, const char *optimizer, double rank,
                               dn_comparison *out)
{
    char rank_text[32] = "";
    double lrs[MAX_ENTRIES];
    dn_contender *c = &out->contenders[out->n_contenders];
    DN_TRY(read_lrs(o, optimizer, lrs, &c->n_lrs));
    c->rank = rank;
    if (rank > 0)
        snprintf(rank_text, sizeof rank_text, "-r%.9g", rank);
    snprintf(c->optimizer, sizeof c->optimizer, "%s", optimizer);
    c->trials = calloc(c->n_lrs * out->n_seeds, sizeof *c->trials);
    if (!c->trials)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu runs", c->n_lrs * out->n_seeds);
    out->n_contenders++;
    for (size_t i = 0; i < c->n_lrs * out->n_seeds; i++) {
        c->trials[i].lr = lrs[i / out->n_seeds];
        c->trials[i].seed = o->config.seed + (int64_t)(i % out->n_seeds);
        int length = snprintf(c->trials[i].dir, sizeof c->trials[i].dir, "%s/%s%s-lr%.9g-s%lld", o->output,
                              optimizer, rank_text, c->trials[i].lr, (long long)c->trials[i].seed);
        if (length < 0 || (size_t)length >= sizeof c->trials[i].dir)
            return dn_fail(DN_ERR_CONFIG, "--output: '%.100s...' is too long", o->output);
    }
    return DN_OK;
}

dn_status dn_compare_expand(const dn_compare_options *o, dn_comparison *out)
{
    entry names[MAX_ENTRIES];
    double ranks[MAX_ENTRIES] = {o->config.optim.rank_fraction};
    size_t n_names, n_ranks = 1;
    *out = (dn_comparison){.n_seeds = (size_t)o->n_seeds};
    DN_TRY(read_optimizers(o, names, &n_names));
    if (o->ranks)
        DN_TRY(read_list("--ranks", o->ranks, read_fraction, 1, ranks, &n_ranks));
    DN_TRY(check_lrs(o, names, n_names));
    DN_TRY(read_budget(o, out));
    out->contenders = calloc(n_names * n_ranks, sizeof *out->contenders);
    if (!out->contenders)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu optimizers", n_names * n_ranks);
    for (size_t i = 0; i < n_names; i++) {
        bool has_rank = dn_rule_takes(dn_rule_find(names[i]), "ortho_fraction");
        for (size_t k = 0; k < (has_rank ? n_ranks : 1); k++)
            DN_TRY(add_contender(o, names[i], has_rank ? ranks[k] : 0, out));
    }
    return DN_OK;
}

void dn_compare_config(const dn_config *common, const dn_comparison *comparison,
                       const dn_contender *contender, const dn_trial *trial, dn_config *out)
{
    *out = *common;
    memcpy(out->optimizer, contender->optimizer, sizeof out->optimizer);
    if (contender->rank > 0)
        out->optim.rank_fraction = contender->rank;
    out->lr = trial->lr;
    out->seed = trial->seed;
    out->num_iterations = (int64_t)comparison->n_steps;
    out->stop_after = 0;
    snprintf(out->checkpoint_dir, sizeof out->checkpoint_dir, "%s", trial->dir);
}
