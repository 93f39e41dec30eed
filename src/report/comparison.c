#include "report/comparison.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double WORSE = 1; /* nats: so much above the first loss is no noise */

enum { WARM_UP = 2 }; /* first steps, in which caches and pages are made: not of the times */

void dn_comparison_free(dn_comparison *c)
{
    for (size_t i = 0; i < c->n_contenders; i++) {
        dn_contender *contender = &c->contenders[i];
        for (size_t k = 0; contender->trials && k < contender->n_lrs * c->n_seeds; k++)
            dn_record_free(&contender->trials[k].record);
        free(contender->trials);
    }
    free(c->contenders);
    free(c->config);
    *c = (dn_comparison){0};
}

/* ---- names ---- */

const char *dn_rank_name(double rank, char *text, size_t bytes)
{
    double parts = rank > 0 ? round(1 / rank) : 0;
    if (rank <= 0)
        snprintf(text, bytes, "%s", "");
    else if (rank == 1)
        snprintf(text, bytes, "1");
    else if (fabs(parts * rank - 1) < 1e-9)
        snprintf(text, bytes, "1/%.0f", parts);
    else
        snprintf(text, bytes, "%.4g", rank);
    return text;
}

const char *dn_contender_name(const dn_contender *contender, char *text, size_t bytes)
{
    char rank[32];
    dn_rank_name(contender->rank, rank, sizeof rank);
    snprintf(text, bytes, "%s%s%s%s%s%s%s", contender->strategy, *contender->strategy && *contender->optimizer ? " " : "", contender->optimizer,
             *rank ? " " : "", rank, *contender->settings ? " " : "", contender->settings);
    return text;
}

/* ---- one trial ---- */

void dn_trial_judge(dn_trial *trial, uint64_t n_steps)
{
    const dn_record *r = &trial->record;
    const dn_record_step *last = r->n > 0 ? &r->steps[r->n - 1] : NULL;
    *trial->message = '\0';
    trial->end = DN_TRIAL_OPEN;
    if (!last || last->step < n_steps)
        return;
    if (isnan(last->val_loss) && !isnan(last->loss))
        return;                     /* stopped before its last validation */
    trial->end = DN_TRIAL_DIVERGED; /* numbers that are not finite are left out of metrics.jsonl */
    if (isnan(last->loss))
        snprintf(trial->message, sizeof trial->message, "the loss was not finite at the end");
    else if (last->val_loss > r->steps[0].loss + WORSE)
        snprintf(trial->message, sizeof trial->message, "the loss rose from %.4g to %.4g", r->steps[0].loss,
                 last->val_loss);
    else
        trial->end = DN_TRIAL_DONE;
}

static double final_loss(const dn_trial *trial)
{
    return trial->end == DN_TRIAL_DONE ? trial->record.steps[trial->record.n - 1].val_loss : NAN;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of the values at byte `offset` of each step; NaN of none, and without memory. */
static double median_of(const dn_record *record, size_t offset)
{
    size_t first = record->n > 2 * WARM_UP ? WARM_UP : 0, n = record->n - first;
    double *values = n ? malloc(n * sizeof *values) : NULL;
    if (!values)
        return NAN;
    for (size_t i = 0; i < n; i++)
        values[i] = *(const double *)((const char *)&record->steps[first + i] + offset);
    qsort(values, n, sizeof *values, by_value);
    double median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    free(values);
    return median;
}

/* ---- a contender ---- */

static dn_spread spread_of(const double *values, size_t n)
{
    dn_spread spread = {.mean = NAN, .deviation = NAN};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    spread.mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - spread.mean) * (values[i] - spread.mean);
    if (n > 1)
        spread.deviation = sqrt(squares / (double)(n - 1));
    return spread;
}

dn_spread dn_contender_loss(const dn_contender *contender, size_t lr, size_t n_seeds)
{
    double *losses = malloc(n_seeds * sizeof *losses);
    dn_spread spread = {NAN, NAN};
    if (contender->seeds_at_best && lr != contender->best) { /* only the first */
        free(losses);
        return (dn_spread){final_loss(&contender->trials[lr * n_seeds]), NAN};
    }
    for (size_t k = 0; losses && k < n_seeds; k++)
        losses[k] = final_loss(&contender->trials[lr * n_seeds + k]);
    if (losses)
        spread = spread_of(losses, n_seeds);
    free(losses);
    return spread;
}

const dn_trial *dn_contender_failure(const dn_contender *contender, size_t n_seeds, size_t from)
{
    for (size_t k = from; k < contender->n_lrs * n_seeds; k++)
        if (contender->trials[k].end != DN_TRIAL_DONE && dn_contender_runs(contender, n_seeds, k))
            return &contender->trials[k];
    return NULL;
}

bool dn_contender_runs(const dn_contender *contender, size_t n_seeds, size_t index)
{
    return !contender->seeds_at_best || index % n_seeds == 0 || index / n_seeds == contender->chosen;
}

const char *dn_trial_message(const dn_trial *trial, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s: %s", trial->end == DN_TRIAL_DIVERGED ? "diverged" : "failed", trial->message);
    return text;
}

void dn_contender_choose(dn_contender *c, size_t n_seeds)
{
    c->best = c->n_lrs;
    c->val_loss = (dn_spread){NAN, NAN};
    for (size_t i = 0; i < c->n_lrs; i++) {
        dn_spread loss = dn_contender_loss(c, i, n_seeds);
        if (!isnan(loss.mean) && !(loss.mean >= c->val_loss.mean)) {
            c->best = i;
            c->val_loss = loss;
        }
    }
    c->chosen = c->best;
    if (c->best < c->n_lrs) /* with all its seeds */
        c->val_loss = dn_contender_loss(c, c->best, n_seeds);
    if (isnan(c->val_loss.mean))
        c->best = c->n_lrs;
    size_t n_outer = c->n_outer ? c->n_outer : 1, n_inner = c->n_lrs / n_outer;
    size_t inner = c->best / n_outer, outer = c->best % n_outer;
    c->at_edge = c->best < c->n_lrs && ((n_inner > 1 && (inner == 0 || inner == n_inner - 1)) ||
                                        (n_outer > 1 && (outer == 0 || outer == n_outer - 1)));
}

/* Of the values at byte `offset` of each step. NaN where lines are missing: not every step exchanges the same. */
static double mean_of(const dn_trial *trials, size_t n_seeds, size_t offset)
{
    double sum = 0, n = 0;
    for (size_t k = 0; k < n_seeds; k++) {
        if (!dn_gaps_none(&trials[k].record.gaps))
            return NAN;
        for (size_t i = 0; i < trials[k].record.n; i++, n++)
            sum += *(const double *)((const char *)&trials[k].record.steps[i] + offset);
    }
    return sum / n;
}

static double mean_median(const dn_trial *trials, size_t n_seeds, size_t offset)
{
    double sum = 0;
    for (size_t k = 0; k < n_seeds; k++)
        sum += median_of(&trials[k].record, offset);
    return sum / (double)n_seeds;
}

/* Over dp, and of the whole run on networks. */
static void measure_exchange(dn_contender *c, const dn_trial *trials, size_t n_seeds)
{
    for (int axis = 0; axis < DN_RECORD_AXES; axis++)
        c->bytes[axis] = mean_of(trials, n_seeds, offsetof(dn_record_step, bytes) + (size_t)axis * sizeof(double));
    c->hops = mean_of(trials, n_seeds, offsetof(dn_record_step, hops));
    c->cluster_bytes = mean_of(trials, n_seeds, offsetof(dn_record_step, cluster_bytes));
    for (int link = 0; link < DN_N_LINKS; link++) {
        c->link_s[link] = 0;
        for (size_t k = 0; k < n_seeds; k++)
            c->link_s[link] +=
                dn_record_link_s(&trials[k].record, UINT64_MAX, &dn_links[link].link) / (double)n_seeds;
    }
}

static void measure_clients(dn_contender *c, const dn_trial *trials, size_t n_seeds)
{
    double n = (double)c->n_steps;
    c->client_bytes_down = n * mean_of(trials, n_seeds, offsetof(dn_record_step, client_bytes_down));
    c->client_bytes_up = n * mean_of(trials, n_seeds, offsetof(dn_record_step, client_bytes_up));
    c->virtual_s = 0;
    for (size_t k = 0; k < n_seeds; k++)
        c->virtual_s += trials[k].record.steps[trials[k].record.n - 1].virtual_s / (double)n_seeds;
}

static void measure(dn_contender *c, size_t n_seeds, bool clients)
{
    const dn_trial *trials = &c->trials[c->best * n_seeds];
    c->step_s = mean_median(trials, n_seeds, offsetof(dn_record_step, step_s));
    c->optimizer_s = mean_median(trials, n_seeds, offsetof(dn_record_step, optimizer_s));
    c->tokens_per_s = mean_median(trials, n_seeds, offsetof(dn_record_step, tokens_per_s));
    c->state_bytes = trials[0].record.steps[0].state_bytes;
    c->memory_bytes = trials[0].record.steps[0].memory_bytes;
    if (clients)
        measure_clients(c, trials, n_seeds);
    else
        measure_exchange(c, trials, n_seeds);
}

double dn_contender_client_bytes(const dn_contender *c)
{
    return c->client_bytes_down + c->client_bytes_up;
}

/* The lowest loss of a strategy; NULL: of all. */
static double lowest(const dn_comparison *comparison, const char *strategy)
{
    double least = NAN;
    for (size_t i = 0; i < comparison->n_contenders; i++) {
        const dn_contender *c = &comparison->contenders[i];
        if (c->best < c->n_lrs && (!strategy || strcmp(c->strategy, strategy) == 0))
            least = fmin(least, c->val_loss.mean);
    }
    return least;
}

void dn_comparison_judge(dn_comparison *comparison)
{
    for (size_t i = 0; i < comparison->n_contenders; i++) {
        dn_contender *c = &comparison->contenders[i];
        dn_contender_choose(c, comparison->n_seeds);
        if (c->best < c->n_lrs)
            measure(c, comparison->n_seeds, comparison->n_clients > 0);
    }
    double plain = lowest(comparison, comparison->n_clients > 0 ? "fedavg" : "average");
    comparison->target = (isnan(plain) ? lowest(comparison, NULL) : plain) + DN_COMPARISON_SLACK;
    for (size_t i = 0; i < comparison->n_contenders; i++) {
        dn_contender *c = &comparison->contenders[i];
        const dn_record *first = &c->trials[c->best < c->n_lrs ? c->best * comparison->n_seeds : 0].record;
        c->reached = c->best < c->n_lrs ? dn_record_reaches(first, comparison->target) : 0;
        c->reached_s = NAN;
        for (size_t k = 0; k < first->n && c->reached; k++)
            if (first->steps[k].step == c->reached)
                c->reached_s = first->steps[k].virtual_s;
    }
}

bool dn_comparison_uses(const dn_comparison *comparison, int axis)
{
    for (size_t i = 0; i < comparison->n_contenders; i++)
        if (comparison->contenders[i].bytes[axis] != 0) /* NaN: it may */
            return true;
    return false;
}
