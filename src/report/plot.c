#include "report/plot.h"

#include "base/size.h"
#include "report/page.h"
#include "report/progress.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 760, HEIGHT = 340, LEFT = 88, RIGHT = 28, TOP = 32, BOTTOM = 64, TICKS = 5 };

static const char *const dashes[DN_PLOT_DASHES] = {"none", "7 4", "2 3", "10 3 2 3"};

double dn_plot_tick(double range, int n)
{
    double rough = range / n, power = pow(10, floor(log10(rough)));
    double digit = rough / power; /* bounds: geometric means of neighbours */
    return power * (digit < sqrt(2) ? 1 : digit < sqrt(10) ? 2 : digit < sqrt(50) ? 5 : 10);
}

double dn_plot_prefix(double most, const char **prefix)
{
    static const char *const names[] = {"", "k", "M", "G", "T", "P", "E"};
    int i = 0;
    double scale = 1;
    for (; i < 6 && most * scale >= 1000; i++)
        scale /= 1000;
    *prefix = names[i];
    return scale;
}

static void write_stroke(dn_plot_style style, FILE *out)
{
    fprintf(out, "style=\"stroke:var(--c%d)\" stroke-dasharray=\"%s\"", style.colour % DN_PAGE_COLOURS,
            dashes[style.dash % DN_PLOT_DASHES]);
}

/* ---- lines ---- */

/* What the axes span, x after scale and logarithm. */
typedef struct frame {
    const dn_plot *plot;
    double x_least, x_most, y_least, y_most;
} frame;

static double place(const frame *f, double x)
{
    return f->plot->log_x ? log10(x * f->plot->x_scale) : x * f->plot->x_scale;
}

static double at_x(const frame *f, double placed)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (placed - f->x_least) / (f->x_most - f->x_least);
}

static double at_y(const frame *f, double y)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - f->y_least) / (f->y_most - f->y_least);
}

static bool drawable(const frame *f, const dn_plot_line *line, size_t i)
{
    return isfinite(place(f, line->x[i])) && isfinite(line->y[i]);
}

static void widen(double value, double *least, double *most)
{
    *least = fmin(*least, value);
    *most = fmax(*most, value);
}

/* A range of nothing is made one; y gets a margin, and x where it does not begin at 0. */
static void settle(frame *f)
{
    if (!(f->x_least < f->x_most)) {
        double middle = isfinite(f->x_least) ? f->x_least : 0;
        f->x_least = middle - 0.5;
        f->x_most = middle + 0.5;
    }
    if (!isnan(f->plot->y_most))
        f->y_most = f->plot->y_most;
    if (!(f->y_least < f->y_most)) {
        f->y_least = isfinite(f->y_least) ? f->y_least - 0.5 : 0;
        f->y_most = f->y_least + 1;
    }
    double margin = 0.04 * (f->y_most - f->y_least), side = 0.03 * (f->x_most - f->x_least);
    f->y_least -= margin;
    f->y_most += margin;
    if (f->plot->log_x) {
        f->x_least -= side;
        f->x_most += side;
    }
}

static frame frame_of(const dn_plot *plot)
{
    frame f = {plot, plot->log_x ? INFINITY : 0, plot->log_x ? -INFINITY : 0, INFINITY, -INFINITY};
    for (size_t k = 0; k < plot->n_lines; k++)
        for (size_t i = 0; i < plot->lines[k].n; i++) {
            const dn_plot_line *line = &plot->lines[k];
            if (!drawable(&f, line, i))
                continue;
            widen(place(&f, line->x[i]), &f.x_least, &f.x_most);
            widen(line->y[i], &f.y_least, &f.y_most);
        }
    settle(&f);
    return f;
}

/* Round values from least on, at most twice TICKS of them, to ticks. Returns how many. */
static int round_values(double least, double most, double ticks[2 * TICKS])
{
    double step = dn_plot_tick(most - least, TICKS), first = ceil(least / step - 1e-9);
    int n = 0;
    while (n < 2 * TICKS && (first + n) * step <= most + 1e-9 * (most - least)) {
        ticks[n] = (first + n) * step;
        n++;
    }
    return n;
}

static void write_x_tick(const frame *f, double placed, double value, FILE *out)
{
    fprintf(out, "<text class=\"name\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>\n",
            at_x(f, placed), HEIGHT - BOTTOM + 24, value);
}

/* 1, 2 and 5 of every decade; of many decades 1 only, of less than one all digits that have room, also for a phone's letters. */
static void write_log_ticks(const frame *f, FILE *out)
{
    static const double few[] = {1, 2, 5}, many[] = {1, 2, 3, 4, 6, 8};
    const double span = f->x_most - f->x_least, *digits = span < 0.9 ? many : few;
    int n_digits = span > 3 ? 1 : span < 0.9 ? 6 : 3;
    for (int decade = (int)floor(f->x_least); decade <= f->x_most; decade++)
        for (int i = 0; i < n_digits; i++) {
            double x = decade + log10(digits[i]);
            if (x >= f->x_least - 1e-9 && x <= f->x_most + 1e-9)
                write_x_tick(f, x, digits[i] * pow(10, decade), out);
        }
}

static void write_axes(const frame *f, FILE *out)
{
    double ticks[2 * TICKS];
    int n = round_values(f->y_least, f->y_most, ticks);
    for (int i = 0; i < n; i++) {
        char text[32];
        if (fabs(ticks[i]) >= 1e4)
            dn_human(ticks[i], "", text, sizeof text);
        else
            snprintf(text, sizeof text, "%.4g", ticks[i]);
        fprintf(out,
                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text class=\"name\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                LEFT, WIDTH - RIGHT, at_y(f, ticks[i]), at_y(f, ticks[i]), LEFT - 8, at_y(f, ticks[i]) + 4, text);
    }
    n = f->plot->log_x ? 0 : round_values(f->x_least, f->x_most, ticks);
    for (int i = 0; i < n; i++)
        write_x_tick(f, ticks[i], ticks[i], out);
    if (f->plot->log_x)
        write_log_ticks(f, out);
    fprintf(out, "<path class=\"frame\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT);
    fprintf(out, "<text class=\"name\" x=\"4\" y=\"18\">");
    dn_page_text(f->plot->y_label, out);
    fprintf(out, "</text><text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT,
            HEIGHT - 8);
    dn_page_text(f->plot->x_label, out);
    fprintf(out, "</text>\n");
}

static void write_band(const frame *f, const dn_plot_line *line, FILE *out)
{
    if (!line->low)
        return;
    fprintf(out, "<polygon class=\"band\" style=\"fill:var(--c%d)\" points=\"",
            line->style.colour % DN_PAGE_COLOURS);
    for (size_t i = 0; i < line->n; i++)
        if (drawable(f, line, i))
            fprintf(out, "%.1f,%.1f ", at_x(f, place(f, line->x[i])), at_y(f, line->low[i]));
    for (size_t i = line->n; i-- > 0;)
        if (drawable(f, line, i))
            fprintf(out, "%.1f,%.1f ", at_x(f, place(f, line->x[i])), at_y(f, line->high[i]));
    fprintf(out, "\"/>\n");
}

static void write_line(const frame *f, const dn_plot_line *line, FILE *out)
{
    fprintf(out, "<g><title>");
    dn_page_text(line->name, out);
    fprintf(out, "</title>\n<polyline class=\"curve%s\" ", line->raw ? " raw" : "");
    write_stroke(line->style, out);
    fprintf(out, " points=\"");
    for (size_t i = 0; i < line->n; i++)
        if (drawable(f, line, i))
            fprintf(out, "%.1f,%.1f ", at_x(f, place(f, line->x[i])), at_y(f, line->y[i]));
    fprintf(out, "\"/>\n");
    for (size_t i = 0; line->dots && i < line->n; i++)
        if (drawable(f, line, i))
            fprintf(out, "<circle r=\"3.5\" style=\"fill:var(--c%d)\" cx=\"%.1f\" cy=\"%.1f\"/>\n",
                    line->style.colour % DN_PAGE_COLOURS, at_x(f, place(f, line->x[i])), at_y(f, line->y[i]));
    if (line->label && line->n > 0 && drawable(f, line, line->n - 1)) {
        fprintf(out, "<text x=\"%.1f\" y=\"%.1f\">", at_x(f, place(f, line->x[line->n - 1])) + 6,
                at_y(f, line->y[line->n - 1]) + 4);
        dn_page_text(line->label, out);
        fprintf(out, "</text>\n");
    }
    fprintf(out, "</g>\n");
}

static void open_svg(const char *name, int width, int height, FILE *out)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" aria-label=\"",
            width, height, width, height);
    dn_page_text(name, out);
    fprintf(out, "\">\n");
}

void dn_plot_write(const dn_plot *plot, FILE *out)
{
    frame f = frame_of(plot);
    open_svg(plot->name, WIDTH, HEIGHT, out);
    /* A nested viewport cuts off what lies outside the axes, without a name that two plots could share. */
    write_axes(&f, out);
    fprintf(out, "<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" viewBox=\"%d %d %d %d\">\n", LEFT, TOP,
            WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM, LEFT, TOP, WIDTH - LEFT - RIGHT,
            HEIGHT - TOP - BOTTOM);
    for (size_t k = 0; k < plot->n_lines; k++) /* below all lines */
        write_band(&f, &plot->lines[k], out);
    for (size_t k = 0; k < plot->n_lines; k++)
        write_line(&f, &plot->lines[k], out);
    fprintf(out, "</svg></svg>\n");
}

void dn_plot_swatch(dn_plot_style style, FILE *out)
{
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"34\" height=\"10\"><line class=\"curve\" "
                 "x1=\"1\" x2=\"33\" y1=\"5\" y2=\"5\" ");
    write_stroke(style, out);
    fprintf(out, "/></svg>");
}

/* ---- bars ---- */

/* Widths of letters are those on a phone, where text is largest (page.c): of 22 and, where a name is long, of 15 units. */
enum { BAR_ROW = 30, BAR_LEFT = 130, BAR_LEFT_MOST = 300, BAR_NAMES_AND_BARS = 580, BAR_LABEL = 180, LETTER = 13, SMALL_LETTER = 9 };

static double length_of(double part)
{
    return isfinite(part) && part > 0 ? part : 0;
}

static size_t letters_of(const char *utf8)
{
    size_t n = 0;
    for (; *utf8; utf8++)
        n += (*utf8 & 0xc0) != 0x80;
    return n;
}

static void write_bar(const dn_bar *bar, int left, bool small, int top, double unit, const char *const *part_names, FILE *out)
{
    double x = left;
    fprintf(out, "<text%s x=\"%d\" y=\"%d\" text-anchor=\"end\"", small ? " class=\"long\"" : "", left - 10, top + 20);
    if (letters_of(bar->name) * SMALL_LETTER + 10 > BAR_LEFT_MOST) /* squeezed */
        fprintf(out, " textLength=\"%d\" lengthAdjust=\"spacingAndGlyphs\"", BAR_LEFT_MOST - 10);
    fputs(">", out);
    dn_page_text(bar->name, out);
    fprintf(out, "</text>");
    for (int k = 0; k < DN_PLOT_PARTS; k++) {
        double width = unit * length_of(bar->parts[k]);
        if (width == 0)
            continue;
        fprintf(out,
                "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" style=\"fill:var(--c%d)\" "
                "fill-opacity=\"%.2f\"><title>",
                x, top + 4, width, BAR_ROW - 8, bar->style.colour % DN_PAGE_COLOURS, 0.85 - 0.2 * k);
        dn_page_text(part_names ? part_names[k] : bar->name, out);
        fprintf(out, "</title></rect>");
        x += width;
    }
    fprintf(out, "<text class=\"name\" x=\"%.1f\" y=\"%d\">", x + 8, top + 20);
    dn_page_text(bar->label, out);
    fprintf(out, "</text>\n");
}

void dn_plot_bars(const char *name, const dn_bar *bars, size_t n, const char *const *part_names, FILE *out)
{
    double most = 0;
    size_t letters = 0;
    for (size_t i = 0; i < n; i++) {
        double whole = 0;
        for (int k = 0; k < DN_PLOT_PARTS; k++)
            whole += length_of(bars[i].parts[k]);
        most = fmax(most, whole);
        letters = letters_of(bars[i].name) > letters ? letters_of(bars[i].name) : letters;
    }
    bool small = letters * LETTER + 10 > BAR_LEFT;
    size_t needed = dn_min(letters * SMALL_LETTER + 10, BAR_LEFT_MOST);
    int left = needed > BAR_LEFT ? (int)needed : BAR_LEFT;
    open_svg(name, BAR_NAMES_AND_BARS + BAR_LABEL, (int)n * BAR_ROW + 8, out);
    for (size_t i = 0; i < n; i++)
        write_bar(&bars[i], left, small, (int)i * BAR_ROW + 4, most > 0 ? (BAR_NAMES_AND_BARS - left) / most : 0, part_names, out);
    fprintf(out, "</svg>\n");
}
