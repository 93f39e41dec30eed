#include "report/strategies_html.h"

#include "report/page.h"
#include "report/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const dn_contender *at(const dn_strategies_page *p, size_t i)
{
    return &p->comparison->contenders[i];
}

static bool won(const dn_strategies_page *p, size_t i)
{
    return at(p, i)->best < at(p, i)->n_lrs;
}

/* Of the best rate, with the first seed. */
static const dn_record *record_of(const dn_strategies_page *p, size_t i)
{
    return &at(p, i)->trials[at(p, i)->best * p->comparison->n_seeds].record;
}

/* ---- the table ---- */

/* Bytes over dp of plain averaging; NaN: it is not compared. */
static double full_bytes(const dn_strategies_page *p)
{
    for (size_t i = 0; i < p->comparison->n_contenders; i++)
        if (won(p, i) && strcmp(at(p, i)->strategy, "average") == 0)
            return at(p, i)->bytes[0];
    return NAN;
}

static void number_cell(double value, const char *format, FILE *out) __attribute__((format(printf, 2, 0)));

static void number_cell(double value, const char *format, FILE *out)
{
    fputs("<td>", out);
    if (isfinite(value))
        fprintf(out, format, value);
    else
        fputc('-', out);
    fputs("</td>", out);
}

static void bytes_cell(double bytes, FILE *out)
{
    char text[32];
    fprintf(out, "<td>%s</td>", isnan(bytes) ? "-" : dn_human(bytes, "B", text, sizeof text));
}

/* The cells up to the validation loss; false, and the row at its end, of one that no rate brought to the end: n_cells stand behind
 * the name. */
static bool begins_row(const dn_strategies_page *p, size_t i, int n_cells, FILE *out)
{
    const dn_contender *c = at(p, i);
    fprintf(out, "<tr><td>%zu ", i + 1);
    dn_page_text(p->names[i], out);
    fputs("</td>", out);
    if (!won(p, i)) {
        fprintf(out, "<td class=\"failed\" colspan=\"%d\">no rate brought all runs to their end</td></tr>\n", n_cells);
        return false;
    }
    const dn_trial *best = &c->trials[c->best * p->comparison->n_seeds];
    fprintf(out, "<td>%g%s</td>", best->lr, c->at_edge ? " *" : "");
    number_cell(best->outer_lr, "%g", out);
    number_cell(c->val_loss.mean, "%.4f", out);
    return true;
}

static void write_row(const dn_strategies_page *p, size_t i, FILE *out)
{
    const dn_contender *c = at(p, i);
    if (!begins_row(p, i, 8 + DN_N_LINKS, out))
        return;
    bytes_cell(c->bytes[0], out);
    number_cell(full_bytes(p) / c->bytes[0], "%.3g", out);
    number_cell(c->hops, "%.3g", out);
    bytes_cell(c->state_bytes, out);
    bytes_cell(c->memory_bytes, out);
    for (int link = 0; link < DN_N_LINKS; link++)
        number_cell(c->link_s[link], "%.4g", out);
    number_cell(c->reached ? (double)c->reached : NAN, "%.0f", out);
    fputs("</tr>\n", out);
}

static void write_table(const dn_strategies_page *p, FILE *out)
{
    dn_page_section("What replicas exchange, and how long it takes on a network",
                    "Bytes and hops of one worker over dp, mean of all steps; hops are messages that wait for one another. "
                    "Less: how many times fewer bytes than plain averaging. Times are seconds of all steps: as measured "
                    "here, and predicted for networks as measured computation plus hops times latency plus bytes by "
                    "bandwidth, less what overlaps. Target: the first step whose validation loss is as low as plain "
                    "averaging's at the end plus 0.03 nats. State is memory of the optimizer and the strategy, "
                    "memory all that is reserved, of all workers together. * best at the edge of the rates that were tried.",
                    out);
    fputs("<div class=\"wide\"><table><tr><th>strategy, rule</th><th>lr</th><th>outer lr</th><th>val loss</th>"
          "<th>bytes per step</th><th>less</th><th>hops per step</th><th>state</th><th>memory</th>",
          out);
    for (int link = 0; link < DN_N_LINKS; link++)
        fprintf(out, "<th>%s: s</th>", dn_links[link].name);
    fputs("<th>target: step</th></tr>\n", out);
    for (size_t i = 0; i < p->comparison->n_contenders; i++)
        write_row(p, i, out);
    fputs("</table></div>\n", out);
}

/* Of clients. */
static void write_client_row(const dn_strategies_page *p, size_t i, FILE *out)
{
    const dn_contender *c = at(p, i);
    if (!begins_row(p, i, 8, out))
        return;
    fprintf(out, "<td>%llu</td>", (unsigned long long)c->n_steps);
    bytes_cell(c->client_bytes_down, out);
    bytes_cell(c->client_bytes_up, out);
    number_cell(c->virtual_s, "%.4g", out);
    number_cell(c->reached_s, "%.4g", out);
    fputs("</tr>\n", out);
}

static void write_client_table(const dn_strategies_page *p, FILE *out)
{
    dn_page_section("What clients got and sent, and how long it took",
                    "Of the whole run: versions that the server made, weights that all clients together got, what they sent, and virtual "
                    "seconds, of clients' speeds and links (client_speeds, client_links). Target: those until the validation loss is as "
                    "low as that of federated averaging at its end plus 0.03 nats. * best at the edge of the rates that were tried.",
                    out);
    fputs("<div class=\"wide\"><table><tr><th>strategy, rule</th><th>lr</th><th>outer lr</th><th>val loss</th><th>versions</th>"
          "<th>to clients</th><th>from clients</th><th>virtual s</th><th>target: s</th></tr>\n",
          out);
    for (size_t i = 0; i < p->comparison->n_contenders; i++)
        write_client_row(p, i, out);
    fputs("</table></div>\n", out);
}

/* ---- the front ---- */

/* Over dp in a step; of clients, of all of them in the whole run. */
static double traffic(const dn_strategies_page *p, size_t i)
{
    return p->comparison->n_clients > 0 ? dn_contender_client_bytes(at(p, i)) : at(p, i)->bytes[0];
}

static void write_plot(const dn_plot *plot, FILE *out)
{
    fputs("<figure>", out);
    dn_plot_write(plot, out);
    fputs("</figure>\n", out);
}

static void write_legend(const dn_strategies_page *p, FILE *out)
{
    fputs("<div class=\"legend\">", out);
    for (size_t i = 0; i < p->comparison->n_contenders; i++) {
        fputs("<span>", out);
        dn_plot_swatch(p->styles[i], out);
        fprintf(out, "%zu ", i + 1);
        dn_page_text(p->names[i], out);
        fputs("</span>\n", out);
    }
    fputs("</div>\n", out);
}

size_t dn_pareto_front(const double *x, const double *y, size_t n, size_t *front)
{
    size_t n_front = 0;
    double lowest = INFINITY;
    for (;;) { /* next to the right among those that are lower than all before */
        size_t next = n;
        for (size_t i = 0; i < n; i++)
            if (isfinite(x[i]) && y[i] < lowest &&
                (next == n || x[i] < x[next] || (x[i] == x[next] && y[i] < y[next])))
                next = i;
        if (next == n)
            return n_front;
        front[n_front++] = next;
        lowest = y[next];
    }
}

static void write_front(const dn_strategies_page *p, FILE *out)
{
    size_t n = p->comparison->n_contenders;
    char(*labels)[8] = calloc(n + 1, sizeof *labels);
    double *numbers = calloc(4 * n + 1, sizeof *numbers), *x = numbers, *y = numbers + n;
    size_t *front = calloc(n + 1, sizeof *front);
    dn_plot_line *lines = calloc(n + 1, sizeof *lines);
    bool clients = p->comparison->n_clients > 0;
    dn_page_section(clients ? "Validation loss by bytes" : "Validation loss by bytes per step",
                    "One mark a contender: to the left is less traffic, below is a better model. The line joins those "
                    "that no other one beats in both.",
                    out);
    write_legend(p, out);
    for (size_t i = 0; numbers && lines && labels && i < n; i++) {
        snprintf(labels[i], sizeof labels[i], "%u", (unsigned)(i + 1) % 10000);
        x[i] = won(p, i) && traffic(p, i) > 0 ? traffic(p, i) : NAN;
        y[i] = won(p, i) ? at(p, i)->val_loss.mean : NAN;
        lines[i + 1] = (dn_plot_line){
            .name = p->names[i], .style = p->styles[i], .n = 1, .x = &x[i], .y = &y[i], .dots = true, .label = labels[i]};
    }
    if (numbers && lines && labels && front) {
        size_t n_front = dn_pareto_front(x, y, n, front);
        double most = 0;
        for (size_t i = 0; i < n; i++)
            most = fmax(most, x[i]);
        const char *prefix;
        char label[64];
        double scale = dn_plot_prefix(most, &prefix);
        snprintf(label, sizeof label, clients ? "%sB to and from all clients" : "%sB per step of one worker over dp", prefix);
        for (size_t k = 0; k < n_front; k++) {
            numbers[2 * n + k] = x[front[k]];
            numbers[3 * n + k] = y[front[k]];
        }
        lines[0] = (dn_plot_line){
            .name = "front", .style = {7, 1}, .n = n_front, .x = numbers + 2 * n, .y = numbers + 3 * n};
        write_plot(&(dn_plot){.name = clients ? "validation loss by bytes" : "validation loss by bytes per step",
                              .x_label = label,
                              .y_label = "final validation loss (nats per token)",
                              .x_scale = scale,
                              .log_x = true,
                              .y_most = NAN,
                              .lines = lines,
                              .n_lines = n + 1},
                   out);
    }
    free(numbers);
    free(front);
    free(labels);
    free(lines);
}

/* ---- loss by predicted time ---- */

static void write_panel(const dn_strategies_page *p, const dn_named_link *link, double y_most, FILE *out)
{
    size_t n = p->comparison->n_contenders, n_points = 0, used = 0;
    char name[96], label[96];
    for (size_t i = 0; i < n; i++)
        n_points += p->curves[i].n;
    double *x = calloc(n_points + 1, sizeof *x);
    dn_plot_line *lines = calloc(n + 1, sizeof *lines);
    snprintf(name, sizeof name, "loss by second, %s", link->name);
    snprintf(label, sizeof label, "training loss, %s", link->name);
    dn_plot plot = {.name = name,
                    .x_label = "seconds of steps",
                    .y_label = label,
                    .x_scale = 1,
                    .log_x = true,
                    .y_most = y_most,
                    .lines = lines};
    for (size_t i = 0; x && lines && i < n; i++) {
        const dn_curve *curve = &p->curves[i];
        for (size_t k = 0; k < curve->n; k++)
            x[used + k] = dn_record_link_s(record_of(p, i), (uint64_t)curve->x[DN_CURVE_STEP][k], &link->link);
        lines[plot.n_lines++] = (dn_plot_line){
            .name = p->names[i], .style = p->styles[i], .n = curve->n, .x = x + used, .y = curve->loss};
        used += curve->n;
    }
    write_plot(&plot, out);
    free(x);
    free(lines);
}

static void write_panels(const dn_strategies_page *p, FILE *out)
{
    double most = NAN; /* as the other plots by step: what the worst has left after a tenth of the way */
    for (size_t i = 0; i < p->comparison->n_contenders; i++)
        if (p->curves[i].n > 0)
            most = fmax(most, p->curves[i].loss[p->curves[i].n / 10]);
    dn_page_section("Training loss by second on four networks",
                    "The same runs; only the time that exchanges between replicas take differs: as measured here, then "
                    "predicted.",
                    out);
    write_legend(p, out);
    for (int link = 0; link < DN_N_LINKS; link++)
        write_panel(p, &dn_links[link], most, out);
}

/* ---- who wins where ---- */

enum { COLUMNS = 11, ROWS = 9, CELL_WIDTH = 58, CELL_HEIGHT = 30, MAP_LEFT = 88, MAP_TOP = 30, MAP_BOTTOM = 44 };

/* The contender that reaches the target first on a network; n: nobody does. */
static size_t fastest(const dn_strategies_page *p, const dn_link *link)
{
    size_t n = p->comparison->n_contenders, best = n;
    double least = INFINITY;
    for (size_t i = 0; i < n; i++) {
        double s = at(p, i)->reached ? dn_record_link_s(record_of(p, i), at(p, i)->reached, link) : NAN;
        if (s < least) {
            least = s;
            best = i;
        }
    }
    return best;
}

static void write_cell(const dn_strategies_page *p, int column, int row, FILE *out)
{
    dn_link link = {pow(10, -5 + row / 2.0), pow(10, 6 + column / 2.0) / 8};
    size_t i = fastest(p, &link);
    int x = MAP_LEFT + column * CELL_WIDTH, y = MAP_TOP + (ROWS - 1 - row) * CELL_HEIGHT;
    if (i == p->comparison->n_contenders)
        return;
    fprintf(out, "<g><title>");
    dn_page_text(p->names[i], out);
    fprintf(out,
            "</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" style=\"fill:var(--c%d)\" fill-opacity=\"0.35\"/>"
            "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%zu</text></g>\n",
            x, y, CELL_WIDTH - 1, CELL_HEIGHT - 1, p->styles[i].colour % DN_PAGE_COLOURS, x + CELL_WIDTH / 2,
            y + CELL_HEIGHT / 2 + 5, i + 1);
}

static void write_map(const dn_strategies_page *p, FILE *out)
{
    static const char *const bandwidths[] = {"1 Mb/s", "10 Mb/s", "100 Mb/s", "1 Gb/s", "10 Gb/s", "100 Gb/s"};
    static const char *const latencies[] = {"10 us", "100 us", "1 ms", "10 ms", "100 ms"};
    int width = MAP_LEFT + COLUMNS * CELL_WIDTH + 8, height = MAP_TOP + ROWS * CELL_HEIGHT + MAP_BOTTOM;
    dn_page_section("Who reaches the target first",
                    "By bandwidth (across) and latency (up) of the network between replicas: the number and colour of the "
                    "contender that needs the least time to the target loss. Empty where nobody reaches it.",
                    out);
    write_legend(p, out);
    fprintf(out,
            "<figure><svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "aria-label=\"who reaches the target first\">\n<text class=\"name\" x=\"4\" y=\"18\">latency</text>"
            "<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"end\">bandwidth</text>\n",
            width, height, width, height, width - 8, height - 2);
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < COLUMNS; column++)
            write_cell(p, column, row, out);
    for (int k = 0; 2 * k < COLUMNS; k++)
        fprintf(out, "<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                MAP_LEFT + 2 * k * CELL_WIDTH + CELL_WIDTH / 2, height - MAP_BOTTOM + 20, bandwidths[k]);
    for (int k = 0; 2 * k < ROWS; k++)
        fprintf(out, "<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", MAP_LEFT - 8,
                MAP_TOP + (ROWS - 1 - 2 * k) * CELL_HEIGHT + CELL_HEIGHT / 2 + 5, latencies[k]);
    fputs("</svg></figure>\n", out);
}

void dn_strategies_write(const dn_strategies_page *p, FILE *out)
{
    if (p->comparison->n_clients > 0) {
        write_client_table(p, out);
        write_front(p, out);
        return;
    }
    write_table(p, out);
    write_front(p, out);
    write_panels(p, out);
    write_map(p, out);
}
