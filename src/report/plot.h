/*
 * Plots as inline SVG, for pages of page.h: lines with bands, and bars. Colours are the page's; a series is
 * told apart by colour and dash, and names itself where the pointer rests on it.
 */
#ifndef REPORT_PLOT_H
#define REPORT_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { DN_PLOT_DASHES = 4, DN_PLOT_PARTS = 4 };

/* How a series looks: any numbers, taken modulo what there is. */
typedef struct dn_plot_style {
    int colour, dash;
} dn_plot_style;

typedef struct dn_plot_line {
    const char *name;
    dn_plot_style style;
    size_t n;
    const double *x, *y;      /* [n], borrowed; points that are not finite are left out */
    const double *low, *high; /* [n] edges of a band; NULL: none */
    bool dots;                /* a mark at each point */
    const char *label;        /* beside the last mark; NULL: none */
    bool raw;                 /* thin and faint: the raw data of a smoothed line */
} dn_plot_line;

typedef struct dn_plot {
    const char *name;              /* accessible name */
    const char *x_label, *y_label; /* with units */
    double x_scale;                /* x is multiplied by this; > 0 */
    bool log_x;                    /* points with x <= 0 are left out */
    double y_most;                 /* upper end of the y axis; NaN: the largest value */
    const dn_plot_line *lines;
    size_t n_lines;
} dn_plot;

/** Writes <svg>. Nothing to draw gives empty axes. */
void dn_plot_write(const dn_plot *plot, FILE *out);

typedef struct dn_bar {
    const char *name;
    dn_plot_style style;
    double parts[DN_PLOT_PARTS]; /* side by side; not finite or negative = 0 */
    const char *label;           /* what is written behind it */
} dn_bar;

/** Writes <svg> of horizontal bars; part_names [DN_PLOT_PARTS]: what the pointer shows; NULL: one part only.
 */
void dn_plot_bars(const char *name, const dn_bar *bars, size_t n, const char *const *part_names, FILE *out);

/** A short line of that style, for a legend. */
void dn_plot_swatch(dn_plot_style style, FILE *out);

/** The step of about `n` round ticks (1, 2 or 5 times a power of ten) over a range > 0. */
double dn_plot_tick(double range, int n);

/** The factor and prefix that bring `most` into 1 .. 1000, as 1e-6 and "M". Zero stays as it is. */
double dn_plot_prefix(double most, const char **prefix);

#endif
