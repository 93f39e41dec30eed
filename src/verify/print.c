/*
 * The table for people: a row a mesh, a column a line, headings broken over as many lines as they need.
 * Columns that do not fit beside each other go into a table of their own below, with the meshes again.
 */
#include "verify/inside.h"

#include "report/progress.h"
#include "tensor/axes.h"

#include <stdlib.h>
#include <string.h>

enum { VERDICT_WIDTH = 6, GAP = 2, PLAIN_COLUMNS = 100, CELL = 48, COMPLAINTS_MAX = 40 };

/* A column of the table: a line of the report, or what a cluster would move for a line of bytes. */
typedef struct column {
    size_t line;
    bool cluster;
    const char *heading;
    int width;
} column;

/* ---- cells ---- */

static const char *write_difference(double difference, char *text, size_t bytes)
{
    snprintf(text, bytes, difference == 0 ? "0" : "%.0e", difference);
    return text;
}

static void write_value(const dn_verify_check *f, dn_verify_kind kind, bool is_reference, char *text,
                        size_t bytes)
{
    switch (kind) {
    case DN_VERIFY_BLOCK:
    case DN_VERIFY_SCALAR:
        if (is_reference && f->holds)
            snprintf(text, bytes, "ref");
        else
            write_difference(f->difference, text, bytes);
        break;
    case DN_VERIFY_HOPS:
        snprintf(text, bytes, "%llu", (unsigned long long)f->counted);
        break;
    case DN_VERIFY_BYTES:
    case DN_VERIFY_AMOUNT:
        dn_human((double)f->counted, "B", text, bytes);
        break;
    default:
        snprintf(text, bytes, "%s", f->holds ? "ok" : "");
        break;
    }
}

static void write_cell(const dn_verify_report *report, const dn_verify_row *row, const column *c,
                       char text[CELL])
{
    const dn_verify_check *f = dn_verify_worst(row, c->line);
    char value[CELL - 8];
    if (!f) {
        strcpy(text, "-");
        return;
    }
    if (c->cluster) {
        dn_human(f->cluster, "B", text, CELL);
        return;
    }
    write_value(f, report->lines[c->line].kind, row->is_reference && !report->rounding, value, sizeof value);
    snprintf(text, CELL, "%s%s%s", value, f->holds || !*value ? "" : " ", f->holds ? "" : "FAILED");
}

/* ---- headings ---- */

/* Takes the next line of a heading off: as many words as fit into width, at least one. Returns its length. */
static int take_words(const char **heading, int width)
{
    const char *start = *heading, *end = start;
    for (const char *p = start;; p++) {
        if (*p != ' ' && *p != '\0')
            continue;
        if (end == start || p - start <= width)
            end = p;
        if (*p == '\0' || p - start > width)
            break;
    }
    *heading = end + (*end == ' ');
    return (int)(end - start);
}

static int longest_word(const char *heading)
{
    int longest = 0;
    while (*heading) {
        int n = take_words(&heading, 0);
        longest = n > longest ? n : longest;
    }
    return longest;
}

static int heading_lines(const column *c)
{
    int n = 0;
    for (const char *rest = c->heading; *rest; n++)
        take_words(&rest, c->width);
    return n;
}

/* Line `at` of `n` of a heading that stands at the bottom. */
static void print_heading(const column *c, int at, int n, FILE *out)
{
    const char *rest = c->heading, *start = rest;
    int length = 0;
    for (int i = n - heading_lines(c); i <= at; i++) {
        start = rest;
        length = take_words(&rest, c->width);
    }
    fprintf(out, "%*s%*.*s", GAP, "", c->width, length, start);
}

/* ---- columns ---- */

static column measure(const dn_verify_report *report, size_t line, bool cluster)
{
    column c = {line, cluster, cluster ? "on a cluster" : report->lines[line].name, 0};
    char text[CELL];
    c.width = longest_word(c.heading);
    for (size_t i = 0; i < report->n_rows; i++) {
        write_cell(report, &report->rows[i], &c, text);
        c.width = (int)strlen(text) > c.width ? (int)strlen(text) : c.width;
    }
    return c;
}

/* What is compared comes first, then what is counted. */
static size_t make_columns(const dn_verify_report *report, column *columns)
{
    static const int order[DN_VERIFY_N_KINDS] = {
        [DN_VERIFY_SAME] = 1, [DN_VERIFY_COVERAGE] = 2, [DN_VERIFY_BYTES] = 3, [DN_VERIFY_HOPS] = 3, [DN_VERIFY_AMOUNT] = 4};
    size_t n = 0;
    for (int turn = 0; turn <= 4; turn++) {
        for (size_t line = 0; line < report->n_lines; line++) {
            dn_verify_kind kind = report->lines[line].kind;
            if (order[kind] != turn)
                continue;
            columns[n++] = measure(report, line, false);
            if (kind == DN_VERIFY_BYTES)
                columns[n++] = measure(report, line, true);
        }
    }
    return n;
}

/* ---- tables ---- */

static bool has_stages(const dn_verify_report *report)
{
    for (size_t i = 0; i < report->n_rows; i++)
        if (dn_axis_size(report->rows[i].size, DN_PP) > 1)
            return true;
    return false;
}

/* The sizes of axes have two digits; that of pp stands where some mesh has stages. */
static const char *mesh_heading(const dn_verify_report *report)
{
    return has_stages(report) ? "dp pp fs tp" : "dp fs tp";
}

static void print_headings(const dn_verify_report *report, const column *columns, size_t n, FILE *out)
{
    int lines = 1;
    const char *mesh = mesh_heading(report);
    for (size_t i = 0; i < n; i++)
        lines = heading_lines(&columns[i]) > lines ? heading_lines(&columns[i]) : lines;
    for (int at = 0; at < lines; at++) {
        fprintf(out, "%-*s%*s%*s", (int)strlen(mesh), at == lines - 1 ? mesh : "", GAP, "", VERDICT_WIDTH, "");
        for (size_t i = 0; i < n; i++)
            print_heading(&columns[i], at, lines, out);
        fputc('\n', out);
    }
}

static void print_row(const dn_verify_report *report, const dn_verify_row *row, const column *columns,
                      size_t n, FILE *out)
{
    char text[CELL], stages[16] = "";
    if (has_stages(report))
        snprintf(stages, sizeof stages, "%2d ", row->size[DN_PP]);
    fprintf(out, "%2d %s%2d %2d%*s%-*s", row->size[DN_DP], stages, row->size[DN_FS], row->size[DN_TP], GAP, "", VERDICT_WIDTH,
            row->holds ? "ok" : "FAILED");
    if (row->status != DN_OK)
        fprintf(out, "%*s%s", GAP, "", dn_status_name(row->status));
    for (size_t i = 0; row->status == DN_OK && i < n; i++) {
        write_cell(report, row, &columns[i], text);
        fprintf(out, "%*s%*s", GAP, "", columns[i].width, text);
    }
    fputc('\n', out);
}

static void print_tables(const dn_verify_report *report, const column *columns, size_t n, int width,
                         FILE *out)
{
    for (size_t first = 0, end; first < n; first = end) {
        int used = (int)strlen(mesh_heading(report)) + GAP + VERDICT_WIDTH;
        for (end = first; end < n && (end == first || used + GAP + columns[end].width <= width); end++)
            used += GAP + columns[end].width;
        print_headings(report, columns + first, end - first, out);
        for (size_t i = 0; i < report->n_rows; i++)
            print_row(report, &report->rows[i], columns + first, end - first, out);
        fputc('\n', out);
    }
}

/* ---- what failed ---- */

static void complain(const dn_verify_report *report, const dn_verify_row *row, size_t line, FILE *out)
{
    const dn_verify_check *f = dn_verify_worst(row, line);
    size_t n = dn_verify_count_failed(row, line);
    char mesh[DN_VERIFY_MESH_TEXT];
    fprintf(out, "FAILED %s, %s: %s: %s", dn_verify_mesh_text(row->size, mesh), report->lines[line].name, f->name, f->why);
    if (n > 1)
        fprintf(out, " (and %zu more)", n - 1);
    fputc('\n', out);
}

static void print_failures(const dn_verify_report *report, FILE *out)
{
    int n = 0;
    char mesh[DN_VERIFY_MESH_TEXT];
    for (size_t i = 0; i < report->n_rows; i++) {
        const dn_verify_row *row = &report->rows[i];
        if (row->status != DN_OK && n++ < COMPLAINTS_MAX)
            fprintf(out, "FAILED %s: %s\n", dn_verify_mesh_text(row->size, mesh), row->message);
        for (size_t line = 0; line < report->n_lines; line++)
            if (dn_verify_count_failed(row, line) > 0 && n++ < COMPLAINTS_MAX)
                complain(report, row, line, out);
    }
    if (n > COMPLAINTS_MAX)
        fprintf(out, "and %d more of these\n", n - COMPLAINTS_MAX);
}

/* ---- summary ---- */

/* The largest difference of all; NULL: nothing was compared. */
static const dn_verify_check *largest(const dn_verify_report *report, const dn_verify_row **where)
{
    const dn_verify_check *worst = NULL;
    for (size_t i = 0; i < report->n_rows; i++) {
        for (size_t line = 0; line < report->n_lines && !report->rows[i].is_reference; line++) {
            dn_verify_kind kind = report->lines[line].kind;
            const dn_verify_check *f = dn_verify_worst(&report->rows[i], line);
            if (!f || (kind != DN_VERIFY_BLOCK && kind != DN_VERIFY_SCALAR))
                continue;
            if (!worst || !(f->difference <= worst->difference)) {
                worst = f;
                *where = &report->rows[i];
            }
        }
    }
    return worst;
}

static void print_summary(const dn_verify_report *report, FILE *out)
{
    char text[32], time[32], mesh[DN_VERIFY_MESH_TEXT];
    const dn_verify_row *where = NULL;
    const dn_verify_check *f = largest(report, &where);
    size_t n_failed = dn_verify_failed_meshes(report);
    double seconds = 0;
    for (size_t i = 0; i < report->n_rows; i++)
        seconds += report->rows[i].seconds;
    if (n_failed)
        fprintf(out, "FAILED on %zu of %zu mesh%s", n_failed, report->n_rows,
                report->n_rows == 1 ? "" : "es");
    else
        fprintf(out, "Holds on %zu mesh%s", report->n_rows, report->n_rows == 1 ? "" : "es");
    if (f)
        fprintf(out, "; largest difference %s (%s: %s on %s)", write_difference(f->difference, text, sizeof text),
                report->lines[f->line].name, f->name, dn_verify_mesh_text(where->size, mesh));
    fprintf(out, "; tolerance %s; %s\n", write_difference(report->tolerance, text, sizeof text),
            dn_human_time(seconds, time, sizeof time));
}

void dn_verify_print(const dn_verify_report *report, FILE *out)
{
    column *columns = calloc(2 * report->n_lines + 1, sizeof *columns);
    if (columns) /* without memory for it there is no table, but still an answer */
        print_tables(report, columns, make_columns(report, columns), dn_terminal_columns(out, PLAIN_COLUMNS),
                     out);
    free(columns);
    if (report->rounding)
        fprintf(out,
                "%s with and without a change in the last bits: what rounding alone "
                "does.\nMeshes%s may differ %g times as much, or by the tolerance.\n",
                report->by_replicas ? "Rows of fs 1 and tp 1 are replicas of one rank each" : "The first row is one rank",
                report->by_replicas ? " of as many replicas" : "", DN_VERIFY_MARGIN);
    print_failures(report, out);
    print_summary(report, out);
    fflush(out);
}
