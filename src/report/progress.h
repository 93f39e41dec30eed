/*
 * What people see while a run goes on. On a terminal: one line, redrawn in place, cut to its width, with a
 * bar, step, loss, speed and time left; elsewhere (a pipe, a file) plain lines, one every few seconds, no
 * control characters.
 */
#ifndef REPORT_PROGRESS_H
#define REPORT_PROGRESS_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct dn_progress {
    FILE *out;
    bool terminal;
    uint64_t first,
        total; /* work was at `first` when it started (a resumed run), ends at `total`; 0 = unknown */
    double started_s, shown_s;
    int width; /* characters drawn on the current line */
} dn_progress;

/** Starts at `first` of `total` units of work. out is borrowed. */
void dn_progress_begin(dn_progress *progress, FILE *out, uint64_t first, uint64_t total);
/** Redraws (at most ten times a second; plain lines at most every 5 s and always the first and the last
 * unit): done, percentage, ETA and the caller's text, as "loss 2.314  41.2k tok/s". */
void dn_progress_show(dn_progress *progress, uint64_t done, const char *text);
/** A line of its own above the bar (a validation loss, a warning). */
void dn_progress_line(dn_progress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Leaves the last state on the screen and ends the line. */
void dn_progress_end(dn_progress *progress);

/** "1.25 MB", "41.2k": three digits, decimal units. Returns text. */
const char *dn_human(double value, const char *unit, char *text, size_t bytes);
/** "1:02:03", "4:05", "12 s". Returns text. */
const char *dn_human_time(double seconds, char *text, size_t bytes);

#endif
