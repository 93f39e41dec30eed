/* The HTML page of a comparison. It explains its own terms. */
#include "report/comparison.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/printable.h"
#include "dionode/tensor.h"
#include "report/page.h"
#include "report/plot.h"
#include "report/progress.h"
#include "report/strategies_html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CURVE_POINTS = 100, NAME = DN_CONTENDER_NAME };

typedef struct page {
    const dn_comparison *comparison;
    size_t n; /* contenders */
    char (*names)[NAME];
    dn_plot_style *styles;
    dn_curve *curves; /* empty where no learning rate was good */
    FILE *out;
} page;

/* ---- series ---- */

/* One colour per optimizer; its ranks differ in dash. */
static dn_plot_style style_of(const dn_comparison *c, size_t index)
{
    dn_plot_style style = {0, 0};
    for (size_t i = 1; i <= index; i++) {
        const dn_contender *a = &c->contenders[i - 1], *b = &c->contenders[i];
        bool same = c->by_strategy ? strcmp(a->strategy, b->strategy) == 0 : strcmp(a->optimizer, b->optimizer) == 0;
        style.colour += !same;
        style.dash = same ? style.dash + 1 : 0;
    }
    style.dash += 2 * (style.colour / DN_PAGE_COLOURS); /* colours come again */
    return style;
}

static bool has_best(const page *p, size_t i)
{
    return p->comparison->contenders[i].best < p->comparison->contenders[i].n_lrs;
}

static dn_status open_page(page *p)
{
    size_t room = p->n + 1; /* calloc of 0 may be NULL */
    p->names = calloc(room, sizeof *p->names);
    p->styles = calloc(room, sizeof *p->styles);
    p->curves = calloc(room, sizeof *p->curves);
    if (!p->names || !p->styles || !p->curves)
        return dn_fail(DN_ERR_MEMORY, "no memory for a page of %zu optimizers", p->n);
    for (size_t i = 0; i < p->n; i++) {
        dn_contender_name(&p->comparison->contenders[i], p->names[i], NAME);
        p->styles[i] = style_of(p->comparison, i);
        if (has_best(p, i))
            DN_TRY(dn_curve_make(p->comparison, &p->comparison->contenders[i], CURVE_POINTS, &p->curves[i]));
    }
    return DN_OK;
}

/* ---- introduction ---- */

static void write_head(const page *p)
{
    const dn_comparison *c = p->comparison;
    char tokens[32];
    dn_page_begin("dionode compare", p->out);
    fputs("<h1>Comparison of optimizers</h1>\n<p>The same language model was trained on the same data with each optimizer: ", p->out);
    if (c->n_clients > 0)
        fprintf(p->out, "each of %d clients %llu times on average", c->n_clients, (unsigned long long)c->n_steps);
    else
        fprintf(p->out, "%llu steps of %llu tokens", (unsigned long long)c->n_steps, (unsigned long long)c->step_tokens);
    fprintf(p->out,
            ", %s tokens in total, %zu seed%s. Results are shown at the learning rate with the lowest final "
            "validation loss of each optimizer. Lower is better for loss, time, traffic and memory.",
            dn_human((double)(c->n_steps * c->step_tokens), "", tokens, sizeof tokens), c->n_seeds,
            dn_plural((long long)c->n_seeds));
    fputs("</p>\n<p class=\"note\">", p->out);
    dn_page_text(c->machine, p->out);
    fprintf(p->out, "; mesh dp %d &#215; ", c->mesh[DN_DP]);
    if (c->mesh[DN_PP] > 1)
        fprintf(p->out, "pp %d &#215; ", c->mesh[DN_PP]);
    fprintf(p->out, "fs %d &#215; tp %d; dionode ", c->mesh[DN_FS], c->mesh[DN_TP]);
    dn_page_text(c->version, p->out);
    fputs("</p>\n", p->out);
}

/* ---- the table ---- */

static void cell(const char *text, FILE *out)
{
    fputs("<td>", out);
    dn_page_text(text, out);
    fputs("</td>", out);
}

static void number_cell(double value, const char *format, FILE *out) __attribute__((format(printf, 2, 0)));

static void number_cell(double value, const char *format, FILE *out)
{
    char text[48] = "-";
    if (!isnan(value))
        snprintf(text, sizeof text, format, value);
    cell(text, out);
}

static void human_cell(double value, const char *unit, FILE *out)
{
    char text[32];
    cell(isnan(value) ? "unknown" : dn_human(value, unit, text, sizeof text), out);
}

static void write_good_row(const page *p, const dn_contender *c)
{
    char lr[32];
    snprintf(lr, sizeof lr, "%g%s", c->trials[c->best * p->comparison->n_seeds].lr, c->at_edge ? " *" : "");
    cell(lr, p->out);
    number_cell(c->val_loss.mean, "%.4f", p->out);
    number_cell(c->val_loss.deviation, "%.4f", p->out);
    number_cell(1e3 * c->step_s, "%.4g", p->out);
    number_cell(1e3 * c->optimizer_s, "%.4g", p->out);
    for (int axis = 0; axis < DN_RECORD_AXES; axis++)
        if (dn_comparison_uses(p->comparison, axis))
            human_cell(c->bytes[axis], "B", p->out);
    human_cell(c->state_bytes, "B", p->out);
    human_cell(c->tokens_per_s, "", p->out);
}

/* The contender with the lowest loss; n if there is none. */
static size_t winner(const page *p)
{
    size_t best = p->n;
    for (size_t i = 0; i < p->n; i++)
        if (has_best(p, i) && (best == p->n || p->comparison->contenders[i].val_loss.mean <
                                                   p->comparison->contenders[best].val_loss.mean))
            best = i;
    return best;
}

static void write_table(const page *p)
{
    bool edge = false;
    int n_columns = 7;
    dn_page_section(
        "Result",
        "Final validation loss in nats per token, mean over seeds; \xc2\xb1 is the sample standard "
        "deviation. Times are medians. Bytes are what one worker contributes to exchanges in a step, over "
        "replicas (dp), fully sharded ranks (fs), tensor-parallel ranks (tp) and stages of a pipeline (pp). State is the optimizer's "
        "memory "
        "on all workers. The row with the lowest loss is marked.",
        p->out);
    fprintf(p->out, "<div class=\"wide\"><table><tr>%s<th>best lr</th><th>val loss</th>"
            "<th>&#177;</th><th>ms per step</th><th>optimizer ms</th>",
            p->comparison->by_strategy ? "<th>strategy, rule</th>" : "<th>optimizer</th><th>rank</th>");
    for (int axis = 0; axis < DN_RECORD_AXES; axis++)
        if (dn_comparison_uses(p->comparison, axis)) {
            fprintf(p->out, "<th>%.2s per step</th>", dn_record_axes[axis]);
            n_columns++;
        }
    fputs("<th>state</th><th>tokens/s</th></tr>\n", p->out);
    for (size_t i = 0; i < p->n; i++) {
        const dn_contender *c = &p->comparison->contenders[i];
        char rank[32];
        fputs(i == winner(p) ? "<tr class=\"best\">" : "<tr>", p->out);
        cell(p->comparison->by_strategy ? p->names[i] : c->optimizer, p->out);
        if (!p->comparison->by_strategy)
            cell(*dn_rank_name(c->rank, rank, sizeof rank) ? rank : "-", p->out);
        if (has_best(p, i))
            write_good_row(p, c);
        else
            fprintf(p->out, "<td class=\"message\" colspan=\"%d\">no learning rate completed all runs</td>",
                    n_columns);
        fputs("</tr>\n", p->out);
        edge = edge || c->at_edge;
    }
    fputs("</table></div>\n", p->out);
    if (edge)
        fputs("<p class=\"note\">* the lowest or highest learning rate tried: a better one may be outside "
              "the range.</p>\n",
              p->out);
}

/* ---- curves ---- */

static void write_legend(const page *p)
{
    fputs("<div class=\"legend\">", p->out);
    for (size_t i = 0; i < p->n; i++) {
        fputs("<span>", p->out);
        dn_plot_swatch(p->styles[i], p->out);
        dn_page_text(p->names[i], p->out);
        fputs("</span>\n", p->out);
    }
    fputs("</div>\n", p->out);
}

/* The upper end of the y axis: the highest loss after a tenth of the run, as the initial fall would compress
 * the rest. */
static double upper_edge(const page *p)
{
    double most = NAN;
    for (size_t i = 0; i < p->n; i++)
        if (has_best(p, i))
            most = fmax(most, p->curves[i].high[p->curves[i].n / 10]);
    return most;
}

/* NaN: not known of any. */
static double farthest(const page *p, dn_curve_by by)
{
    double most = NAN;
    for (size_t i = 0; i < p->n; i++)
        if (has_best(p, i))
            most = fmax(most, p->curves[i].x[by][p->curves[i].n - 1]);
    return most;
}

static void write_curves(const page *p, dn_curve_by by, const char *name, const char *label, double scale)
{
    dn_plot_line *lines = calloc(p->n + 1, sizeof *lines);
    dn_plot plot = {.name = name,
                    .x_label = label,
                    .y_label = "training loss (nats per token)",
                    .x_scale = scale,
                    .y_most = upper_edge(p),
                    .lines = lines};
    for (size_t i = 0; lines && i < p->n; i++) {
        const dn_curve *curve = &p->curves[i];
        bool band = p->comparison->n_seeds > 1;
        if (has_best(p, i))
            lines[plot.n_lines++] = (dn_plot_line){.name = p->names[i],
                                                   .style = p->styles[i],
                                                   .n = curve->n,
                                                   .x = curve->x[by],
                                                   .y = curve->loss,
                                                   .low = band ? curve->low : NULL,
                                                   .high = band ? curve->high : NULL};
    }
    write_legend(p);
    fputs("<figure>", p->out);
    dn_plot_write(&plot, p->out);
    fputs("</figure>\n", p->out);
    free(lines);
}

/* Means over seeds, at the steps at which the run of the first seed was validated. Versions of clients, of which there are not as many
 * of each contender, by their time. */
static void write_validation(const page *p)
{
    bool clients = p->comparison->n_clients > 0;
    dn_plot_line *lines = calloc(p->n + 1, sizeof *lines);
    double **points = calloc(p->n + 1, sizeof *points), most = NAN;
    dn_page_section(clients ? "Validation loss by virtual second" : "Validation loss by step",
                    "The quantity by which the table ranks, during training.", p->out);
    size_t n_lines = 0;
    for (size_t i = 0; lines && points && i < p->n; i++) {
        const dn_contender *c = &p->comparison->contenders[i];
        if (!has_best(p, i))
            continue;
        const dn_trial *trials = &c->trials[c->best * p->comparison->n_seeds];
        size_t n_steps = trials[0].record.n, n = 0;
        points[i] = calloc(2 * n_steps + 1, sizeof **points);
        for (size_t k = 0; points[i] && k < n_steps; k++) {
            uint64_t step = trials[0].record.steps[k].step;
            double sum = 0;
            for (size_t seed = 0; seed < p->comparison->n_seeds; seed++)
                sum += dn_record_val_loss(&trials[seed].record, step);
            if (isnan(sum))
                continue;
            points[i][n] = clients ? trials[0].record.steps[k].virtual_s : (double)step;
            points[i][n_steps + n++] = sum / (double)p->comparison->n_seeds;
        }
        if (points[i])
            lines[n_lines++] = (dn_plot_line){.name = p->names[i],
                                              .style = p->styles[i],
                                              .n = n,
                                              .x = points[i],
                                              .y = points[i] + n_steps,
                                              .dots = true};
        if (points[i] && n > 1) /* the first would compress the rest */
            most = fmax(most, points[i][n_steps + 1]);
    }
    dn_plot plot = {.name = clients ? "validation loss by virtual second" : "validation loss by step",
                    .x_label = clients ? "virtual seconds" : "step",
                    .y_label = "validation loss (nats per token)",
                    .x_scale = 1,
                    .y_most = most,
                    .lines = lines,
                    .n_lines = n_lines};
    write_legend(p);
    fputs("<figure>", p->out);
    dn_plot_write(&plot, p->out);
    fputs("</figure>\n", p->out);
    for (size_t i = 0; points && i < p->n; i++)
        free(points[i]);
    free(points);
    free(lines);
}

static void write_unknown(const page *p)
{
    fputs("<p>Unknown: lines of metrics are missing, or there is no complete run.</p>\n", p->out);
}

static void write_all_curves(const page *p)
{
    char label[64];
    const char *prefix;
    bool clients = p->comparison->n_clients > 0;
    write_validation(p);
    dn_page_section("Training loss by step", "Bands span the minimum and maximum over seeds.", p->out);
    write_curves(p, DN_CURVE_STEP, "loss by step", "step", 1);
    dn_page_section("Training loss by second",
                    clients ? "The same runs by virtual time, of clients' speeds and links."
                            : "The same runs by the time of their steps, without validation and checkpoints.",
                    p->out);
    if (isnan(farthest(p, DN_CURVE_SECOND)))
        write_unknown(p);
    else
        write_curves(p, DN_CURVE_SECOND, "loss by second", clients ? "virtual seconds" : "seconds", 1);
    dn_page_section("Training loss by byte",
                    clients ? "The same runs by the bytes that all clients together got and sent."
                            : "The same runs by the bytes that one worker has contributed to exchanges, over all axes.",
                    p->out);
    double bytes = farthest(p, DN_CURVE_BYTE), scale = dn_plot_prefix(bytes, &prefix);
    snprintf(label, sizeof label, "%sB exchanged", prefix);
    if (isnan(bytes))
        write_unknown(p);
    else if (bytes > 0)
        write_curves(p, DN_CURVE_BYTE, "loss by byte", label, scale);
    else
        fputs("<p>One worker exchanges nothing. Use -n 2 or more for this plot.</p>\n", p->out);
}

/* ---- bars ---- */

typedef double measure_fn(const dn_contender *c, int part);

static double optimizer_ms(const dn_contender *c, int part)
{
    return part == 0 ? 1e3 * c->optimizer_s : 0;
}

static double step_bytes(const dn_contender *c, int part)
{
    return c->bytes[part];
}

static double state_bytes(const dn_contender *c, int part)
{
    return part == 0 ? c->state_bytes : 0;
}

static void write_bars(const page *p, const char *name, measure_fn *measure, const char *unit,
                       const char *const *part_names)
{
    dn_bar *bars = calloc(p->n + 1, sizeof *bars);
    char(*labels)[40] = calloc(p->n + 1, sizeof *labels);
    for (size_t i = 0; bars && labels && i < p->n; i++) {
        double sum = 0;
        bars[i] = (dn_bar){.name = p->names[i], .style = p->styles[i], .label = labels[i]};
        for (int part = 0; has_best(p, i) && part < DN_PLOT_PARTS; part++) {
            bars[i].parts[part] = measure(&p->comparison->contenders[i], part);
            sum += bars[i].parts[part];
        }
        if (!has_best(p, i) || isnan(sum))
            snprintf(labels[i], sizeof labels[i], has_best(p, i) ? "unknown" : "no complete run");
        else
            dn_human(sum, unit, labels[i], sizeof labels[i]);
    }
    fputs("<figure>", p->out);
    if (bars && labels)
        dn_plot_bars(name, bars, p->n, part_names, p->out);
    fputs("</figure>\n", p->out);
    free(bars);
    free(labels);
}

static void write_costs(const page *p)
{
    bool any = false;
    for (int axis = 0; axis < DN_RECORD_AXES; axis++)
        any = any || dn_comparison_uses(p->comparison, axis);
    dn_page_section("Optimizer: milliseconds per step",
                    "From gradients to updated weights on all workers: exchange, waiting and computation.",
                    p->out);
    write_bars(p, "optimizer milliseconds per step", optimizer_ms, "ms", NULL);
    if (any) {
        dn_page_section("Bytes per step", "Contributed by one worker: dp dark, then fs, tp and pp, each lighter.", p->out);
        write_bars(p, "bytes per step", step_bytes, "B", dn_record_axes);
    }
    dn_page_section("Bytes of optimizer state", "On all workers. Checkpoints contain it, too.", p->out);
    write_bars(p, "bytes of optimizer state", state_bytes, "B", NULL);
}

/* ---- learning rates and provenance ---- */

/* One line of the plot of losses by learning rate; x and y [n_lrs]. */
static dn_plot_line sweep_of(const page *p, size_t index, double *x, double *y)
{
    const dn_contender *c = &p->comparison->contenders[index];
    for (size_t i = 0; i < c->n_lrs; i++) {
        x[i] = c->trials[i * p->comparison->n_seeds].lr;
        y[i] = dn_contender_loss(c, i, p->comparison->n_seeds).mean;
    }
    return (dn_plot_line){
        .name = p->names[index], .style = p->styles[index], .n = c->n_lrs, .x = x, .y = y, .dots = true};
}

static void write_failures(const page *p)
{
    fputs("<ul>", p->out);
    for (size_t i = 0; i < p->n; i++) {
        const dn_contender *c = &p->comparison->contenders[i];
        const dn_trial *t;
        for (size_t k = 0; (t = dn_contender_failure(c, p->comparison->n_seeds, k)) != NULL;
             k = (size_t)(t - c->trials) + 1) {
            char message[640];
            fputs("<li>", p->out);
            dn_page_text(p->names[i], p->out);
            fprintf(p->out, ", lr %g, seed %lld: ", t->lr, (long long)t->seed);
            dn_page_text(dn_trial_message(t, message, sizeof message), p->out);
            fputs("</li>\n", p->out);
        }
    }
    fputs("</ul>\n", p->out);
}

static void write_sweeps(const page *p)
{
    size_t n_points = 0, at = 0;
    for (size_t i = 0; i < p->n; i++)
        n_points += p->comparison->contenders[i].n_lrs;
    double *points = calloc(2 * n_points + 1, sizeof *points);
    dn_plot_line *lines = calloc(p->n + 1, sizeof *lines);
    dn_page_section(
        "Learning rates",
        "Final validation loss of each learning rate that was tried; one that diverged has no point. A "
        "fair comparison has the lowest point of a line inside, not at its end.",
        p->out);
    for (size_t i = 0; points && lines && i < p->n; i++) {
        lines[i] = sweep_of(p, i, points + at, points + n_points + at);
        at += p->comparison->contenders[i].n_lrs;
    }
    dn_plot plot = {.name = "loss by learning rate",
                    .x_label = "learning rate",
                    .y_label = "final validation loss (nats per token)",
                    .x_scale = 1,
                    .log_x = true,
                    .y_most = NAN,
                    .lines = lines,
                    .n_lines = lines && points ? p->n : 0};
    write_legend(p);
    fputs("<figure>", p->out);
    dn_plot_write(&plot, p->out);
    fputs("</figure>\n", p->out);
    free(points);
    free(lines);
    write_failures(p);
}

static void write_words(FILE *out)
{
    fputs("<h2>Words</h2>\n<dl>"
          "<dt>rank</dt><dd>Dion and its relatives update each weight matrix by a matrix of lower rank: 1/4 "
          "means a "
          "quarter of its smaller side. Lower rank is cheaper and exchanges less.</dd>\n"
          "<dt>validation loss</dt><dd>How surprised the model is by text it was not trained on, in nats a "
          "token; "
          "0.01 less is 1 % less perplexity.</dd>\n"
          "<dt>seed</dt><dd>Decides initial weights and the order of data. A difference smaller than the "
          "spread over "
          "seeds (&#177;) may be chance.</dd></dl>\n",
          out);
}

static void write_origin(const page *p)
{
    dn_page_section("How it was made", "Every run's numbers are in metrics.jsonl of its folder.", p->out);
    fputs("<pre>", p->out);
    dn_page_text(p->comparison->command, p->out);
    fputs("</pre>\n<details><summary>Configuration that all runs share</summary><pre>", p->out);
    dn_page_text(p->comparison->config, p->out);
    fputs("</pre></details>\n", p->out);
}

static void print_page(FILE *out, void *of_page)
{
    page *p = of_page;
    p->out = out;
    write_head(p);
    write_table(p);
    if (p->comparison->by_strategy || p->comparison->n_clients > 0)
        dn_strategies_write(&(dn_strategies_page){p->comparison, p->names, p->styles, p->curves}, p->out);
    write_all_curves(p);
    write_costs(p);
    write_sweeps(p);
    write_words(p->out);
    write_origin(p);
    dn_page_end(p->out);
}

dn_status dn_comparison_write_html(const dn_comparison *comparison, const char *path)
{
    page p = {.comparison = comparison, .n = comparison->n_contenders};
    dn_status status = open_page(&p);
    if (status == DN_OK)
        status = dn_atomic_file_print(path, print_page, &p);
    for (size_t i = 0; p.curves && i < p.n; i++)
        dn_curve_free(&p.curves[i]);
    free(p.names);
    free(p.styles);
    free(p.curves);
    return status;
}
