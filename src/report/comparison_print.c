#include "report/comparison.h"

#include "report/progress.h"

#include <math.h>

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

static const char *const axis_heads[DN_RECORD_AXES] = {"dp/step", "fs/step", "tp/step"};

static void print_row(const dn_comparison *comparison, const dn_contender *c, FILE *out)
{
    size_t n_seeds = comparison->n_seeds;
    char rank[32], lr[32], deviation[32] = "-";
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
    char name[64], message[640];
    const dn_trial *t;
    for (size_t from = 0; (t = dn_contender_failure(c, n_seeds, from)) != NULL;
         from = (size_t)(t - c->trials) + 1)
        fprintf(out, "# %s, lr %g, seed %lld: %s\n", dn_contender_name(c, name, sizeof name), t->lr,
                (long long)t->seed, dn_trial_message(t, message, sizeof message));
}

void dn_comparison_print(const dn_comparison *comparison, FILE *out)
{
    char tokens[32];
    bool edge = false;
    fprintf(out,
            "# dionode %s compare: %llu steps = %s tokens, %zu seed%s, mesh dp %d x fs %d x tp %d\n# %s\n",
            comparison->version, (unsigned long long)comparison->n_steps,
            dn_human((double)(comparison->n_steps * comparison->step_tokens), "", tokens, sizeof tokens),
            comparison->n_seeds, comparison->n_seeds == 1 ? "" : "s", comparison->mesh[0],
            comparison->mesh[1], comparison->mesh[2], comparison->machine);
    fprintf(out, "%-10s %6s %9s %9s %7s %9s %9s", "optimizer", "rank", "best lr", "val loss", "+-", "ms/step",
            "opt ms");
    for (int axis = 0; axis < DN_RECORD_AXES; axis++)
        if (dn_comparison_uses(comparison, axis))
            fprintf(out, " %9s", axis_heads[axis]);
    fprintf(out, " %9s %9s\n", "state", "tokens/s");
    for (size_t i = 0; i < comparison->n_contenders; i++) {
        print_row(comparison, &comparison->contenders[i], out);
        edge = edge || comparison->contenders[i].at_edge;
    }
    if (edge)
        fprintf(
            out,
            "* the lowest or highest learning rate tried: a better one may be outside the range; see --lr\n");
    for (size_t i = 0; i < comparison->n_contenders; i++)
        print_failures(&comparison->contenders[i], comparison->n_seeds, out);
}
