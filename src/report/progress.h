/*
 * The progress display of a run. On a terminal: one line, redrawn in place, cut to its width, with a
 * bar, step, loss, speed and time left; elsewhere (a pipe, a file) plain lines, one every few seconds, no
 * control characters.
 */
#ifndef REPORT_PROGRESS_H
#define REPORT_PROGRESS_H

#include "dionode/status.h"

#include "base/human.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define DN_PROGRESS_TEXT 160 /* bytes of the caller's text that are kept, with its end */

typedef struct dn_progress {
    FILE *out;      /* borrowed */
    bool terminal;  /* draw in place */
    bool utf8;      /* the bar may use block characters */
    uint64_t first; /* where the work was when it started (a resumed run) */
    uint64_t total; /* where it ends; 0 = unknown */
    double started_s;
    double speed;    /* units a second, smoothed: the average at first, later of about the last 20 s */
    double marked_s; /* when speed was last brought up to date, */
    uint64_t marked; /* and where the work was then */
    uint64_t done;   /* the last state told, shown or not */
    char text[DN_PROGRESS_TEXT];
    double shown_s; /* when a state was last shown; negative: never */
    uint64_t shown;
    bool drawn; /* the cursor stands behind a bar */
} dn_progress;

/** Starts at `first` of `total` units of work. out is borrowed. Blocks are drawn if the environment's locale
 * is UTF-8 (setlocale is not needed and not called). */
void dn_progress_begin(dn_progress *progress, FILE *out, uint64_t first, uint64_t total);
/** Redraws (at most ten times a second; plain lines at most every 5 s; always the first call and the last
 * unit): done, percentage, time left (at the end: time taken) and the caller's text, as "loss 2.314  41.2k
 * tok/s". The line is as wide as the terminal is now. */
void dn_progress_show(dn_progress *progress, uint64_t done, const char *text);
/** A line of its own above the bar (a validation loss, a warning). */
void dn_progress_line(dn_progress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Leaves the last state on the screen and ends the line. */
void dn_progress_end(dn_progress *progress);

/** Columns of the terminal that out writes to, less one (some wrap as soon as the last is written);
 * `otherwise` if it is none. */
int dn_terminal_columns(FILE *out, int otherwise);

#endif
