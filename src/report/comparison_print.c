#include "report/comparison.h"

#include "base/printable.h"
#include "report/progress.h"

#include <math.h>
#include <string.h>

/* "5.24 MB" */
static void print_human(double value, const char *unit, FILE *out)
{
    char text[32];
    fprintf(out, " %9s", isnan(value) ? "unknown" : dn_human(value, unit, text, sizeof text));
}

static void print_ms(double seconds, FILE *out)
{
    if (isnan(seconds))
        fprintf(out, " %9s", "unknown");
    else
        fprintf(out, " %9.4g", 1e3 * seconds);
}

enum { NAME_WIDTH = 32 }; /* of strategies with their rules */

static void print_row(const dn_comparison *comparison, const dn_contender *c, FILE *out)
{
    size_t n_seeds = comparison->n_seeds;
    char name[DN_CONTENDER_NAME], rank[32], lr[32], deviation[32] = "-";
    if (comparison->by_strategy)
        fprintf(out, "%-*s", NAME_WIDTH, dn_contender_name(c, name, sizeof name));
    else
        fprintf(out, "%-10s %6s", c->optimizer, *dn_rank_name(c->rank, rank, sizeof rank) ? rank : "-");
    if (c->best == c->n_lrs) {
        fprintf(out, " %9s %9s   no learning rate completed all runs\n", "-", "-");
        return;
    }
    snprintf(lr, sizeof lr, "%g%s", c->trials[c->best * n_seeds].lr, c->at_edge ? "*" : "");
    if (!isnan(c->val_loss.deviation))
        snprintf(deviation, sizeof deviation, "%.4f", c->val_loss.deviation);
    fprintf(out, " %9s %9.4f %7s", lr, c->val_loss.mean, deviation);
    print_ms(c->step_s, out);
    print_ms(c->optimizer_s, out);
    for (int axis = 0; axis < DN_RECORD_AXES; axis++)
        if (dn_comparison_uses(comparison, axis))
            print_human(c->bytes[axis], "B", out);
    print_human(c->state_bytes, "B", out);
    print_human(c->tokens_per_s, "", out);
    fputc('\n', out);
}

static void print_failures(const dn_contender *c, size_t n_seeds, FILE *out)
{
    char name[DN_CONTENDER_NAME], message[640];
    const dn_trial *t;
    for (size_t from = 0; (t = dn_contender_failure(c, n_seeds, from)) != NULL;
         from = (size_t)(t - c->trials) + 1)
        fprintf(out, "# %s, lr %g, seed %lld: %s\n", dn_contender_name(c, name, sizeof name), t->lr,
                (long long)t->seed, dn_trial_message(t, message, sizeof message));
}

static void print_number(double value, const char *format, FILE *out) __attribute__((format(printf, 2, 0)));

static void print_number(double value, const char *format, FILE *out)
{
    char text[32] = "-";
    if (!isnan(value))
        snprintf(text, sizeof text, format, value);
    fprintf(out, " %9s", text);
}

/* Its name and its outer rate; false, and nothing printed, of one that no rate brought to the end. */
static bool begins_row(const dn_comparison *comparison, const dn_contender *c, FILE *out)
{
    char name[DN_CONTENDER_NAME];
    if (c->best == c->n_lrs)
        return false;
    fprintf(out, "%-*s", NAME_WIDTH, dn_contender_name(c, name, sizeof name));
    print_number(c->trials[c->best * comparison->n_seeds].outer_lr, "%g", out);
    return true;
}

/* What replicas exchange, and seconds of the steps as measured and on networks. */
static void print_links(const dn_comparison *comparison, FILE *out)
{
    fprintf(out, "\n%-*s %9s %9s %9s", NAME_WIDTH, "seconds", "outer lr", "hops/step", "target at");
    for (int link = 0; link < DN_N_LINKS; link++)
        fprintf(out, "  %s", dn_links[link].name);
    fputc('\n', out);
    for (size_t i = 0; i < comparison->n_contenders; i++) {
        const dn_contender *c = &comparison->contenders[i];
        if (!begins_row(comparison, c, out))
            continue;
        fprintf(out, " %9.3g", c->hops);
        print_number(c->reached ? (double)c->reached : NAN, "%.0f", out);
        for (int link = 0; link < DN_N_LINKS; link++)
            fprintf(out, "  %*.4g", (int)strlen(dn_links[link].name), c->link_s[link]);
        fputc('\n', out);
    }
    fprintf(out, "target: validation loss %.4f\n", comparison->target);
}

/* What clients got and sent, and how long it took them. */
static void print_clients(const dn_comparison *comparison, FILE *out)
{
    fprintf(out, "\n%-*s %9s %9s %9s %9s %9s %9s\n", NAME_WIDTH, "of all clients", "outer lr", "versions", "to them", "from them",
            "virtual s", "target s");
    for (size_t i = 0; i < comparison->n_contenders; i++) {
        const dn_contender *c = &comparison->contenders[i];
        if (!begins_row(comparison, c, out))
            continue;
        fprintf(out, " %9llu", (unsigned long long)c->n_steps);
        print_human(c->client_bytes_down, "B", out);
        print_human(c->client_bytes_up, "B", out);
        fprintf(out, " %9.4g", c->virtual_s);
        print_number(c->reached_s, "%.4g", out);
        fputc('\n', out);
    }
    fprintf(out, "target: validation loss %.4f\n", comparison->target);
}

void dn_comparison_print(const dn_comparison *comparison, FILE *out)
{
    char tokens[32], stages[32] = "", clients[64] = "";
    const int *mesh = comparison->mesh;
    bool edge = false;
    if (mesh[DN_PP] > 1)
        snprintf(stages, sizeof stages, "pp %d x ", mesh[DN_PP]);
    if (comparison->n_clients > 0)
        snprintf(clients, sizeof clients, " of each of %d clients, on average,", comparison->n_clients);
    fprintf(out,
            "# dionode %s compare: %llu %s%s = %s tokens, %zu seed%s, mesh dp %d x %sfs %d x tp %d\n# %s\n",
            comparison->version, (unsigned long long)comparison->n_steps, comparison->n_clients > 0 ? "trainings" : "steps", clients,
            dn_human((double)(comparison->n_steps * comparison->step_tokens), "", tokens, sizeof tokens),
            comparison->n_seeds, dn_plural((long long)comparison->n_seeds), mesh[DN_DP], stages,
            mesh[DN_FS], mesh[DN_TP], comparison->machine);
    if (comparison->by_strategy)
        fprintf(out, "%-*s", NAME_WIDTH, "strategy");
    else
        fprintf(out, "%-10s %6s", "optimizer", "rank");
    fprintf(out, " %9s %9s %7s %9s %9s", "best lr", "val loss", "+-", "ms/step",
            "opt ms");
    for (int axis = 0; axis < DN_RECORD_AXES; axis++)
        if (dn_comparison_uses(comparison, axis))
            fprintf(out, "   %.2s/step", dn_record_axes[axis]);
    fprintf(out, " %9s %9s\n", "state", "tokens/s");
    for (size_t i = 0; i < comparison->n_contenders; i++) {
        print_row(comparison, &comparison->contenders[i], out);
        edge = edge || comparison->contenders[i].at_edge;
    }
    if (edge)
        fprintf(
            out,
            "* the lowest or highest learning rate tried: a better one may be outside the range; see --lr\n");
    if (comparison->n_clients > 0)
        print_clients(comparison, out);
    else if (comparison->by_strategy)
        print_links(comparison, out);
    for (size_t i = 0; i < comparison->n_contenders; i++)
        print_failures(&comparison->contenders[i], comparison->n_seeds, out);
}
