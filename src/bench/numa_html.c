/* One page: heat maps and a curve as inline SVG. Colours are of the page's style, so that they change with
 * the reader's light or dark scheme; a cell's heat is the opacity of its colour and never hides its number.
 */
#include "bench/numa.h"

#include "base/atomic_file.h"

#include <math.h>
#include <string.h>

enum { CELL_WIDTH = 64, CELL_HEIGHT = 34, MARGIN = 44 };

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>dionode bench "
    "numa</title>\n"
    "<style>\n"
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--faint:#59636e;--line:#d0d7de;--cold:#0969da;"
    "--hot:#d1480b}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--faint:#9198a1;--line:#3d444d;"
    "--cold:#4493f8;--hot:#f0813c}}\n"
    "body{background:var(--paper);color:var(--ink);font:16px/1.45 system-ui,sans-serif;max-width:60rem;"
    "margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}p{color:var(--faint);margin:.2rem 0 .6rem}\n"
    "figure{margin:0;overflow-x:auto}svg{display:block}\n"
    "svg text{font:13px system-ui,sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}\n"
    "svg .name{fill:var(--faint)}svg .cell{stroke:var(--line)}svg .axis{stroke:var(--faint);fill:none}\n"
    "svg .grid{stroke:var(--line)}svg .curve{stroke:var(--hot);fill:none;stroke-width:2}"
    "svg .point{fill:var(--hot)}\n"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:right;"
    "border-bottom:1px solid var(--line)}td:first-child,th:first-child{text-align:left}\n"
    "</style></head><body>\n";

/* Text from the system, as HTML. */
static void escape(const char *text, FILE *out)
{
    for (; *text; text++)
        if (strchr("<>&\"", *text))
            fprintf(out, "&#%d;", *text);
        else
            fputc(*text, out);
}

/* ---- heat maps ---- */

static void range(const dn_numa_matrix *m, double *least, double *most)
{
    *least = INFINITY;
    *most = -INFINITY;
    for (int i = 0; i < m->n; i++)
        for (int j = 0; j < m->n; j++)
            if (!isnan(m->at[i][j])) {
                *least = fmin(*least, m->at[i][j]);
                *most = fmax(*most, m->at[i][j]);
            }
}

static void cell(int i, int j, double value, double heat, double scale, int decimals, const char *colour,
                 FILE *out)
{
    int x = MARGIN + j * CELL_WIDTH, y = MARGIN + i * CELL_HEIGHT;
    fprintf(out,
            "<rect class=\"cell\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"var(--%s)\" "
            "fill-opacity=\"%.2f\"/>",
            x, y, CELL_WIDTH, CELL_HEIGHT, colour, isnan(value) ? 0 : 0.08 + 0.47 * heat);
    fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", x + CELL_WIDTH / 2,
            y + CELL_HEIGHT / 2 + 5);
    if (isnan(value))
        fprintf(out, "&#8211;");
    else
        fprintf(out, "%.*f", decimals, value * scale);
    fprintf(out, "</text>\n");
}

static void name(int x, int y, int label, FILE *out)
{
    fprintf(out, "<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", x, y, label);
}

static void heat_map(const dn_numa_matrix *m, const int *labels, double scale, int decimals,
                     const char *colour, const char *title, FILE *out)
{
    double least, most;
    range(m, &least, &most);
    int width = MARGIN + m->n * CELL_WIDTH + 2, height = MARGIN + m->n * CELL_HEIGHT + 2;
    fprintf(out,
            "<figure><svg role=\"img\" aria-label=\"%s\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n",
            title, width, height, width, height);
    for (int i = 0; i < m->n; i++) {
        name(MARGIN + i * CELL_WIDTH + CELL_WIDTH / 2, MARGIN - 10, labels ? labels[i] : i, out);
        name(MARGIN / 2, MARGIN + i * CELL_HEIGHT + CELL_HEIGHT / 2 + 5, labels ? labels[i] : i, out);
        for (int j = 0; j < m->n; j++)
            cell(i, j, m->at[i][j], most > least ? (m->at[i][j] - least) / (most - least) : 0.5, scale,
                 decimals, colour, out);
    }
    fprintf(out, "</svg></figure>\n");
}

static void section(const char *title, const char *note, FILE *out)
{
    fprintf(out, "<h2>%s</h2>\n<p>%s</p>\n", title, note);
}

/* ---- latency under load ---- */

enum { PLOT_WIDTH = 560, PLOT_HEIGHT = 260, PLOT_LEFT = 56, PLOT_BOTTOM = 40, TICKS = 4 };

/* A round number not below value: 1, 2 or 5 times a power of ten. */
static double round_up(double value)
{
    double power = pow(10, floor(log10(value > 0 ? value : 1)));
    return value <= power       ? power
           : value <= 2 * power ? 2 * power
           : value <= 5 * power ? 5 * power
                                : 10 * power;
}

static double plot_x(double value, double most)
{
    return PLOT_LEFT + (PLOT_WIDTH - PLOT_LEFT - 16) * value / most;
}

static double plot_y(double value, double most)
{
    return PLOT_HEIGHT - PLOT_BOTTOM - (PLOT_HEIGHT - PLOT_BOTTOM - 16) * value / most;
}

static void axes(double most_x, double most_y, FILE *out)
{
    for (int i = 0; i <= TICKS; i++) {
        double x = plot_x(most_x * i / TICKS, most_x), y = plot_y(most_y * i / TICKS, most_y);
        fprintf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", PLOT_LEFT,
                PLOT_WIDTH - 16, y, y);
        fprintf(out, "<text class=\"name\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>",
                PLOT_LEFT - 8, y + 4, most_y * i / TICKS);
        fprintf(out, "<text class=\"name\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>\n", x,
                PLOT_HEIGHT - PLOT_BOTTOM + 18, most_x * i / TICKS);
    }
    fprintf(out, "<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"end\">GB/s of the readers</text>\n",
            PLOT_WIDTH - 16, PLOT_HEIGHT - 4);
    fprintf(out, "<text class=\"name\" x=\"%d\" y=\"12\">ns</text>\n", PLOT_LEFT);
}

static void curve(const dn_numa_results *r, FILE *out)
{
    double most_x = 0, most_y = 0;
    for (int i = 0; i < r->n_loads; i++) {
        most_x = fmax(most_x, 1e-9 * r->loads[i].bytes_s);
        most_y = fmax(most_y, r->loads[i].ns);
    }
    most_x = round_up(most_x);
    most_y = round_up(most_y);
    fprintf(out,
            "<figure><svg role=\"img\" aria-label=\"latency under load\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\">\n",
            PLOT_WIDTH, PLOT_HEIGHT, PLOT_WIDTH, PLOT_HEIGHT);
    axes(most_x, most_y, out);
    fprintf(out, "<polyline class=\"curve\" points=\"");
    for (int i = 0; i < r->n_loads; i++)
        fprintf(out, "%.1f,%.1f ", plot_x(1e-9 * r->loads[i].bytes_s, most_x),
                plot_y(r->loads[i].ns, most_y));
    fprintf(out, "\"/>\n");
    for (int i = 0; i < r->n_loads; i++)
        fprintf(out, "<circle class=\"point\" r=\"3.5\" cx=\"%.1f\" cy=\"%.1f\"/>\n",
                plot_x(1e-9 * r->loads[i].bytes_s, most_x), plot_y(r->loads[i].ns, most_y));
    fprintf(out, "</svg></figure>\n");
}

/* ---- the page ---- */

static void rate_cell(double bytes_s, FILE *out)
{
    if (isnan(bytes_s))
        fprintf(out, "<td>&#8211;</td>");
    else
        fprintf(out, "<td>%.2f</td>", 1e-9 * bytes_s);
}

static void domain_table(const dn_numa_results *r, FILE *out)
{
    fprintf(out, "<table><tr><th>domain</th><th>node</th><th>cores</th><th>GiB</th><th>copy GB/s</th>"
                 "<th>triad GB/s</th></tr>\n");
    for (int i = 0; i < r->n_domains; i++) {
        const dn_domain *d = &r->domains[i];
        fprintf(out, "<tr><td>%d</td><td>%d</td><td>%d</td><td>%.1f</td>", i, d->os_node, d->n_cores,
                (double)d->memory_bytes / (1 << 30));
        rate_cell(r->copy_bytes_s[i], out);
        rate_cell(r->triad_bytes_s[i], out);
        fprintf(out, "</tr>\n");
    }
    fprintf(out, "</table>\n");
}

static void place_row(const char *what, int number, const dn_pages_places *places, FILE *out)
{
    fprintf(out, "<tr><td>%s", what);
    if (number >= 0)
        fprintf(out, " %d", number);
    fprintf(out, "</td><td>");
    for (int node = 0; node < DN_PAGES_NODES; node++)
        if (places->on[node])
            fprintf(out, "node %d: %.1f%% ", node,
                    100.0 * (double)places->on[node] / (double)places->n_pages);
    fprintf(out, "%s</td></tr>\n", places->n_pages ? "" : "the system does not tell");
}

static void setting_row(const char *what, const char *value, FILE *out)
{
    fprintf(out, "<tr><td>%s</td><td>", what);
    escape(value, out);
    fprintf(out, "</td></tr>\n");
}

static void placement(const dn_numa_results *r, FILE *out)
{
    fprintf(out, "<table>\n");
    for (int i = 0; i < r->n_domains; i++)
        place_row("buffer of domain", i, &r->places[i], out);
    place_row("arena of shared memory", -1, &r->shared, out);
    fprintf(out, "<tr><td>in huge pages</td><td>%zu of %zu MiB</td></tr>\n", r->huge_bytes >> 20,
            (r->buffer_bytes >> 20) * (size_t)r->n_domains);
    setting_row("kernel.numa_balancing", r->numa_balancing, out);
    setting_row("transparent huge pages", r->huge_private, out);
    setting_row("... of shared memory", r->huge_shared, out);
    fprintf(out, "</table>\n");
}

static void page(FILE *out, void *results)
{
    const dn_numa_results *r = results;
    fputs(head, out);
    fprintf(out, "<h1>NUMA, measured</h1>\n<p>");
    escape(r->processor, out);
    fprintf(out, ", ");
    escape(r->system, out);
    fprintf(out, "; %d packages, %d NUMA domains, %d cores, %d usable PUs; buffers of %zu MiB; dionode ",
            r->machine.n_packages, r->machine.n_numa, r->machine.n_cores, r->machine.n_usable,
            r->buffer_bytes >> 20);
    escape(r->version, out);
    fprintf(out, "</p>\n");
    section("Idle latency (ns)", "Rows: whose core asks; columns: whose memory answers.", out);
    heat_map(&r->latency_ns, NULL, 1, 1, "hot", "idle latency", out);
    section("Read bandwidth (GB/s)", "All cores of the row's domain read the column's memory.", out);
    heat_map(&r->read_bytes_s, NULL, 1e-9, 1, "cold", "read bandwidth", out);
    section("Copy and triad", "Each domain's cores in its own memory.", out);
    domain_table(r, out);
    section("A cache line from core to core (ns)", "Half a round trip; cores by PU of the system.", out);
    heat_map(&r->line_ns, r->pus, 1, 0, "hot", "cache line from core to core", out);
    section("Latency under load",
            "One core chases pointers while the others of its domain read and pause ever longer.", out);
    if (r->n_loads)
        curve(r, out);
    else
        fprintf(out, "<p>No domain has two usable cores.</p>\n");
    section("Placement", "Where the pages really lie, and the kernel's settings.", out);
    placement(r, out);
    fprintf(out, "</body></html>\n");
}

dn_status dn_numa_write_html(const dn_numa_results *results, const char *path)
{
    return dn_atomic_file_print(path, page, (void *)results);
}
