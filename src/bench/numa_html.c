/* One page: heat maps and a curve as inline SVG. Colours are of the page's style, so that they change with
 * the reader's light or dark scheme; a cell's heat is the opacity of its colour and never hides its number.
 */
#include "bench/numa.h"

#include "base/atomic_file.h"
#include "base/human.h"
#include "base/printable.h"

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
    fprintf(out, "<table><tr><th>domain</th><th>node</th><th>cores</th><th>memory</th><th>copy GB/s</th>"
                 "<th>triad GB/s</th></tr>\n");
    for (int i = 0; i < r->n_domains; i++) {
        const dn_domain *d = &r->domains[i];
        char memory[24];
        fprintf(out, "<tr><td>%d</td><td>%d</td><td>%d</td><td>%s</td>", i, d->os_node, d->n_cores,
                dn_human_size((double)d->memory_bytes, memory, sizeof memory));
        rate_cell(r->copy_bytes_s[i], out);
        rate_cell(r->triad_bytes_s[i], out);
        fprintf(out, "</tr>\n");
    }
    fprintf(out, "</table>\n");
}

static void mix_table(const dn_numa_results *r, FILE *out)
{
    fprintf(out, "<figure><table><tr><th>domain</th>");
    for (int mix = 0; mix < DN_NUMA_MIXES; mix++)
        fprintf(out, "<th>%s</th>%s", dn_numa_mixes[mix].title, mix ? "<th>of reads</th>" : "");
    fprintf(out, "</tr>\n");
    for (int i = 0; i < r->n_domains; i++) {
        fprintf(out, "<tr><td>%d</td>", i);
        for (int mix = 0; mix < DN_NUMA_MIXES; mix++) {
            double rate = r->mix_bytes_s[i][mix];
            rate_cell(rate, out);
            if (mix && isnan(rate))
                fprintf(out, "<td></td>");
            else if (mix)
                fprintf(out, "<td>%.0f%%</td>", 100 * rate / r->mix_bytes_s[i][0]);
        }
        fprintf(out, "</tr>\n");
    }
    fprintf(out, "</table></figure>\n");
}

static void ladder_table(const dn_numa_results *r, FILE *out)
{
    fprintf(out, "<figure><table><tr><th>size</th><th>held by</th><th>ns</th><th>GB/s</th><th>of first</th></tr>\n");
    for (int i = 0; i < r->n_rungs; i++) {
        const dn_numa_rung *rung = &r->rungs[i];
        char size[24], holder[16];
        fprintf(out, "<tr><td>%s</td><td>%s</td><td>%.1f</td><td>%.2f</td><td>%.0f%%</td></tr>\n",
                dn_human_size((double)rung->bytes, size, sizeof size), dn_numa_holder(r, rung, holder),
                rung->ns, 1e-9 * rung->bytes_s, 100 * rung->bytes_s / r->rungs[0].bytes_s);
    }
    fprintf(out, "</table></figure>\n");
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
    char huge[24], all[24];
    fprintf(out, "<tr><td>in huge pages</td><td>%s of %s</td></tr>\n",
            dn_human_size((double)r->huge_bytes, huge, sizeof huge),
            dn_human_size((double)r->buffer_bytes * r->n_domains, all, sizeof all));
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
    char buffer[24];
    const dn_machine *m = &r->machine;
    fprintf(out, "; %d package%s, %d NUMA domain%s, %d core%s, %d usable PU%s; buffers of %s; dionode ",
            m->n_packages, dn_plural(m->n_packages), m->n_numa, dn_plural(m->n_numa), m->n_cores,
            dn_plural(m->n_cores), m->n_usable, dn_plural(m->n_usable),
            dn_human_size((double)r->buffer_bytes, buffer, sizeof buffer));
    escape(r->version, out);
    fprintf(out, "</p>\n");
    section("Idle latency (ns)", "Rows: whose core asks; columns: whose memory answers.", out);
    heat_map(&r->latency_ns, NULL, 1, 1, "hot", "idle latency", out);
    section("Read bandwidth (GB/s)", "All cores of the row's domain read the column's memory.", out);
    heat_map(&r->read_bytes_s, NULL, 1e-9, 1, "cold", "read bandwidth", out);
    section("Reads and writes (GB/s)",
            "All cores of a domain in its own memory, and their share of reads alone.", out);
    mix_table(r, out);
    section("Copy and triad", "Each domain's cores in its own memory.", out);
    domain_table(r, out);
    section("Working sets",
            "One core follows pointers through, and reads, ever more; the first cache that holds it all.",
            out);
    ladder_table(r, out);
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
