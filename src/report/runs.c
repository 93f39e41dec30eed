/* Runs laid over each other: a page, and comma-separated values. */
#include "dionode/report.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/size.h"
#include "dionode/version.h"
#include "report/page.h"
#include "report/plot.h"
#include "report/progress.h"
#include "report/record.h"
#include "report/series.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { RAW_POINTS = 1000, WINDOWS = 20 /* of smoothing, in a run */, BAR_NAME = 30 /* letters, as plot.c has room for */ };
#define ELLIPSIS "\xe2\x80\xa6"

typedef struct runs {
    const char *const *names; /* [n], borrowed */
    size_t n;
    dn_series *series; /* [n] */
} runs;

static void close_runs(runs *r)
{
    for (size_t i = 0; i < r->n; i++)
        dn_series_free(&r->series[i]);
    free(r->series);
}

static dn_status open_runs(const char *const *names, size_t n, runs *out)
{
    *out = (runs){names, n, calloc(n + 1, sizeof *out->series)};
    dn_status status = out->series ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for %zu runs", n);
    for (size_t i = 0; status == DN_OK && i < n; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/metrics.jsonl", names[i]);
        status = dn_series_read(path, &out->series[i]);
        if (status == DN_OK && out->series[i].n == 0)
            status = dn_fail(DN_ERR_DATA, "%s has no metrics: %s has no lines", names[i], path);
        if (status == DN_OK)
            dn_gaps_log(&out->series[i].gaps, path, "");
    }
    if (status != DN_OK)
        close_runs(out);
    return status;
}

/* ---- comma-separated values ---- */

static void write_field(const char *text, FILE *out)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++)
        fputs(*text == '"' ? "\"\"" : (char[]){*text, 0}, out);
    fputc('"', out);
}

/* With as few digits as read back to the same number. */
static void write_number(double value, FILE *out)
{
    char text[40] = "";
    for (int digits = 15; !isnan(value) && digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fputs(text, out);
}

/* Names of all runs' columns, each once; owned by the caller, the texts by the series. */
static const char **all_columns(const runs *r, size_t *n)
{
    size_t most = 1;
    for (size_t i = 0; i < r->n; i++)
        most += r->series[i].n_columns;
    const char **names = calloc(most, sizeof *names);
    *n = 0;
    for (size_t i = 0; names && i < r->n; i++)
        for (size_t k = 0; k < r->series[i].n_columns; k++) {
            size_t at = 0;
            while (at < *n && strcmp(names[at], r->series[i].names[k]) != 0)
                at++;
            if (at == *n)
                names[(*n)++] = r->series[i].names[k];
        }
    return names;
}

dn_status dn_report_write_csv(const char *const *names, size_t n, FILE *out)
{
    runs r;
    DN_TRY(open_runs(names, n, &r));
    size_t n_columns;
    const char **columns = all_columns(&r, &n_columns);
    if (columns)
        fputs("run", out);
    for (size_t k = 0; k < n_columns; k++) {
        fputc(',', out);
        write_field(columns[k], out);
    }
    fputc('\n', out);
    for (size_t i = 0; columns && i < n; i++)
        for (size_t line = 0; line < r.series[i].n; line++) {
            write_field(names[i], out);
            for (size_t k = 0; k < n_columns; k++) {
                const double *column = dn_series_column(&r.series[i], columns[k]);
                fputc(',', out);
                write_number(column ? column[line] : NAN, out);
            }
            fputc('\n', out);
        }
    close_runs(&r);
    if (!columns)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu runs", n);
    free(columns);
    return DN_OK;
}

/* ---- numbers of a run ---- */

static double last(const double *column, size_t n)
{
    while (column && n > 0 && isnan(column[n - 1]))
        n--;
    return column && n > 0 ? column[n - 1] : NAN;
}

static double least(const double *column, size_t n)
{
    double found = NAN;
    for (size_t i = 0; column && i < n; i++)
        found = fmin(found, column[i]);
    return found;
}

/* Of all steps; NaN where lines are missing. */
static double bytes(const dn_series *s, const char *axis)
{
    const double *column = dn_series_column(s, axis);
    double total = dn_gaps_none(&s->gaps) ? 0 : NAN;
    for (size_t i = 0; column && i < s->n; i++)
        total += isnan(column[i]) ? 0 : column[i];
    return total;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *column, size_t n)
{
    double *sorted = column ? malloc((n + 1) * sizeof *sorted) : NULL, middle = NAN;
    size_t there = 0;
    for (size_t i = 0; sorted && i < n; i++)
        if (!isnan(column[i]))
            sorted[there++] = column[i];
    if (there > 0) {
        qsort(sorted, there, sizeof *sorted, by_value);
        middle = (sorted[(there - 1) / 2] + sorted[there / 2]) / 2;
    }
    free(sorted);
    return middle;
}

/* ---- the page ---- */

static size_t length_of_path(const char *name)
{
    size_t n = strlen(name);
    while (n > 1 && name[n - 1] == '/')
        n--;
    return n;
}

/* Bytes at the beginning that are folders of all names. */
static size_t common_folders(const char *const *names, size_t n)
{
    size_t common = 0;
    for (size_t at = 0;; at++) {
        for (size_t i = 0; i < n; i++)
            if (at + 1 >= length_of_path(names[i]) || names[i][at] != names[0][at])
                return common;
        if (names[0][at] == '/')
            common = at + 1;
    }
}

/* Bytes at the end that all names have in common: -lr0.02-s0 of what compare has made. One name has nothing in common. */
static size_t common_end(const char *const *names, size_t n)
{
    size_t whole = length_of_path(names[0]), common = n > 1 ? whole : 0;
    for (size_t i = 1; i < n; i++) {
        size_t length = length_of_path(names[i]), same = 0;
        while (same < dn_min(common, length) && names[i][length - 1 - same] == names[0][whole - 1 - same])
            same++;
        common = same;
    }
    while (common > 0 && (names[0][whole - common] & 0xc0) == 0x80) /* not within a character */
        common--;
    return common;
}

/* A path from `begin` on; where there is no room for that, the end of it before `common` bytes, if there is one. */
static const char *short_name(const char *name, size_t begin, size_t common, char text[BAR_NAME + 8])
{
    size_t end = length_of_path(name);
    bool is_short = end - begin <= BAR_NAME, cut = !is_short && common < end - begin;
    end -= cut ? common : 0;
    bool fits = end - begin <= BAR_NAME;
    if (!fits)
        begin = end - BAR_NAME + 1;
    while (!fits && (name[begin] & 0xc0) == 0x80)
        begin++;
    snprintf(text, BAR_NAME + 8, "%s%.*s%s", fits ? "" : ELLIPSIS, (int)(end - begin), name + begin, cut && common > 0 ? ELLIPSIS : "");
    return text;
}

typedef struct page {
    const runs *runs;
    FILE *out;
} page;

static dn_plot_style style_of(size_t run)
{
    return (dn_plot_style){(int)run, (int)(run / DN_PAGE_COLOURS)};
}

static void number_cell(double value, const char *unit, FILE *out)
{
    char text[32];
    fprintf(out, "<td>%s</td>", isnan(value) ? "unknown" : dn_human(value, unit, text, sizeof text));
}

static void loss_cell(double value, FILE *out)
{
    if (isnan(value))
        fputs("<td>-</td>", out);
    else
        fprintf(out, "<td>%.4f</td>", value);
}

static void write_table(const page *p)
{
    dn_page_begin("dionode report", p->out);
    fprintf(p->out,
            "<h1>%s</h1>\n<p class=\"note\">dionode %s. Losses in nats per token; times and speeds are "
            "medians over steps.</p>\n",
            p->runs->n == 1 ? "A training run" : "Training runs", dn_version());
    fputs("<div class=\"wide\"><table><tr><th>run</th><th>steps</th><th>training loss, last</th>"
          "<th>validation loss, last</th><th>lowest</th><th>tokens/s</th><th>ms per step</th><th>optimizer "
          "ms</th>"
          "<th>exchanged per worker</th><th>optimizer state</th></tr>\n",
          p->out);
    for (size_t i = 0; i < p->runs->n; i++) {
        const dn_series *s = &p->runs->series[i];
        const double *val_loss = dn_series_column(s, "val_loss");
        fputs("<tr><td class=\"run\">", p->out);
        dn_plot_swatch(style_of(i), p->out);
        fputc(' ', p->out);
        dn_page_text(p->runs->names[i], p->out);
        fprintf(p->out, "</td><td>%.0f</td>", s->columns[0][s->n - 1]);
        loss_cell(last(dn_series_column(s, "loss"), s->n), p->out);
        loss_cell(last(val_loss, s->n), p->out);
        loss_cell(least(val_loss, s->n), p->out);
        number_cell(median(dn_series_column(s, "tokens_per_s"), s->n), "", p->out);
        fprintf(p->out, "<td>%.4g</td><td>%.4g</td>", 1e3 * median(dn_series_column(s, "step_s"), s->n),
                1e3 * median(dn_series_column(s, "optimizer_s"), s->n));
        double exchanged = 0;
        for (int axis = 0; axis < DN_N_AXES; axis++)
            exchanged += bytes(s, dn_record_bytes[axis]);
        number_cell(exchanged, "B", p->out);
        number_cell(last(dn_series_column(s, "state_bytes"), s->n), "B", p->out);
        fputs("</tr>\n", p->out);
    }
    fputs("</table></div>\n", p->out);
}

/* Means over a window around each step, what is not a number left out. */
static void smooth(const double *y, size_t n, double *out)
{
    size_t half = n / WINDOWS / 2 + 1;
    for (size_t i = 0; i < n; i++) {
        double total = 0;
        size_t there = 0, reach = half < i ? half : i;
        reach = reach < n - 1 - i ? reach : n - 1 - i; /* as far to both sides */
        for (size_t k = i - reach; k <= i + reach; k++)
            if (!isnan(y[k])) {
                total += y[k];
                there++;
            }
        out[i] = there > 0 ? total / (double)there : NAN;
    }
}

typedef enum shape { AS_IS, SMOOTHED, POINTS } shape;

/* Adds what a run has of a metric; *memory, owned by the caller, gets what the lines point to. */
static size_t add_lines(const page *p, size_t run, const char *metric, shape how, dn_plot_line *lines,
                        double **memory)
{
    const dn_series *s = &p->runs->series[run];
    const double *y = dn_series_column(s, metric);
    size_t n_lines = 0, stride = s->n / RAW_POINTS + 1, n = 0;
    *memory = y ? malloc((4 * s->n + 1) * sizeof **memory) : NULL;
    if (!*memory)
        return 0;
    double *x = *memory, *raw = x + s->n, *smoothed = raw + s->n, *all = smoothed + s->n;
    smooth(y, s->n, all);
    for (size_t i = 0; i < s->n; i += how == POINTS ? 1 : stride) {
        if (isnan(y[i]) && how == POINTS)
            continue;
        x[n] = s->columns[0][i];
        raw[n] = y[i];
        smoothed[n++] = all[i];
    }
    dn_plot_line line = {
        .name = p->runs->names[run], .style = style_of(run), .n = n, .x = x, .y = raw, .dots = how == POINTS};
    line.style.dash += how == POINTS;
    line.raw = how == SMOOTHED;
    lines[n_lines++] = line;
    if (how == SMOOTHED) {
        line.raw = false;
        line.y = smoothed;
        lines[n_lines++] = line;
    }
    return n_lines;
}

/* A plot of metrics by step: first smoothed or as it is, second (may be NULL) as points. */
static void write_plot(const page *p, const char *title, const char *note, const char *first, shape how,
                       const char *second, const char *label)
{
    size_t n = p->runs->n;
    dn_plot_line *lines = calloc(3 * n + 1, sizeof *lines);
    double **memory = calloc(2 * n + 1, sizeof *memory);
    dn_plot plot = {
        .name = title, .x_label = "step", .y_label = label, .x_scale = 1, .y_most = NAN, .lines = lines};
    for (size_t i = 0; lines && memory && i < n; i++) {
        plot.n_lines += add_lines(p, i, first, how, lines + plot.n_lines, &memory[2 * i]);
        if (second)
            plot.n_lines += add_lines(p, i, second, POINTS, lines + plot.n_lines, &memory[2 * i + 1]);
    }
    /* The fall from the first steps would press everything else together: what is left of it after a tenth.
     */
    for (size_t k = 0; how == SMOOTHED && k < plot.n_lines; k++)
        if (!lines[k].raw && !lines[k].dots)
            for (size_t i = lines[k].n / 10; i < lines[k].n; i++)
                plot.y_most = fmax(plot.y_most, lines[k].y[i]);
    if (plot.n_lines > 0) {
        dn_page_section(title, note, p->out);
        fputs("<figure>", p->out);
        dn_plot_write(&plot, p->out);
        fputs("</figure>\n", p->out);
    }
    for (size_t i = 0; memory && i < 2 * n; i++)
        free(memory[i]);
    free(memory);
    free(lines);
}

/* A bar a run, of up to DN_PLOT_PARTS metrics a step side by side. */
static void write_bars(const page *p, const char *title, const char *note, const char *const *part_names,
                       const char *unit, void (*measure)(const dn_series *s, double parts[DN_PLOT_PARTS]))
{
    dn_bar *bars = calloc(p->runs->n + 1, sizeof *bars);
    char(*labels)[40] = calloc(p->runs->n + 1, sizeof *labels);
    char(*names)[BAR_NAME + 8] = calloc(p->runs->n + 1, sizeof *names);
    size_t begin = common_folders(p->runs->names, p->runs->n), common = common_end(p->runs->names, p->runs->n);
    dn_page_section(title, note, p->out);
    for (size_t i = 0; bars && labels && names && i < p->runs->n; i++) {
        double total = 0;
        bars[i] = (dn_bar){
            .name = short_name(p->runs->names[i], begin, common, names[i]), .style = style_of(i), .label = labels[i]};
        measure(&p->runs->series[i], bars[i].parts);
        for (int part = 0; part < DN_PLOT_PARTS; part++)
            total += isnan(bars[i].parts[part]) ? 0 : bars[i].parts[part];
        if (isnan(bars[i].parts[0]))
            snprintf(labels[i], sizeof labels[i], "unknown");
        else
            dn_human(total, unit, labels[i], sizeof labels[i]);
    }
    fputs("<figure>", p->out);
    if (bars && labels && names)
        dn_plot_bars(title, bars, p->runs->n, part_names, p->out);
    fputs("</figure>\n", p->out);
    free(bars);
    free(labels);
    free(names);
}

static void phases(const dn_series *s, double parts[DN_PLOT_PARTS])
{
    double step_ms = 1e3 * median(dn_series_column(s, "step_s"), s->n);
    parts[1] = 1e3 * median(dn_series_column(s, "optimizer_s"), s->n);
    parts[0] = step_ms - (isnan(parts[1]) ? 0 : parts[1]);
}

static void axes(const dn_series *s, double parts[DN_PLOT_PARTS])
{
    size_t n = 0; /* the validation before the first step has no bytes */
    const double *any = dn_series_column(s, dn_record_bytes[DN_DP]);
    for (size_t i = 0; any && i < s->n; i++)
        n += !isnan(any[i]);
    for (int axis = 0; axis < DN_N_AXES; axis++)
        parts[axis] = n > 0 ? bytes(s, dn_record_bytes[axis]) / (double)n : 0;
}

static void write_page(const page *p)
{
    static const char *const phase_names[] = {"forward, backward and the rest",
                                              "optimizer, with its exchange", "", ""};
    write_table(p);
    write_plot(p, "Loss", "Training loss: smoothed, with single steps faint; validation loss: dots.", "loss",
               SMOOTHED, "val_loss", "nats per token");
    write_plot(p, "Learning rate", NULL, "lr", AS_IS, NULL, "learning rate");
    write_plot(p, "Speed", "Smoothed, with single steps faint.", "tokens_per_s", SMOOTHED, NULL, "tokens/s");
    write_plot(p, "Gradient norm", "Over all gradients; smoothed, with single steps faint.", "grad_norm",
               SMOOTHED, NULL, "norm");
    write_bars(p, "Milliseconds per step by phase",
               "Dark: forward and backward. Light: the optimizer, with its exchange.", phase_names, "ms",
               phases);
    write_bars(p, "Bytes per step by axis", "Contributed by one worker: dp dark, then fs, tp and pp, each lighter.",
               dn_record_axes, "B", axes);
    dn_page_end(p->out);
}

static void print_page(FILE *out, void *of_runs)
{
    write_page(&(page){of_runs, out});
}

dn_status dn_report_write_page(const char *const *names, size_t n, const char *path)
{
    runs r;
    DN_TRY(open_runs(names, n, &r));
    dn_status status = dn_atomic_file_print(path, print_page, &r);
    close_runs(&r);
    return status;
}
