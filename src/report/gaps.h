/* What a metrics.jsonl lacks, beside that of a run that was never stopped: steps without a line, and steps whose
 * line stands there more than once. */
#ifndef REPORT_GAPS_H
#define REPORT_GAPS_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: nothing was added. */
typedef struct dn_gaps {
    uint64_t last; /* the highest step that was added, or passed over; 0: none */
    uint64_t missing, repeated;
    char text[200]; /* which are missing, as "3, 7-9", truncated */
} dn_gaps;

/** Adds the line of a step. Steps count from 1 on: 0 is the validation before the first, which a run need not have. */
void dn_gaps_add(dn_gaps *gaps, uint64_t step);

/** There are no more lines, and the run has made the steps up to `last`. */
void dn_gaps_end(dn_gaps *gaps, uint64_t last);

/** Whether sums and means over all lines are those over all steps. */
bool dn_gaps_none(const dn_gaps *gaps);

/** Warnings that name path: "PATH lacks the lines of 4 steps WHERE: 3, 7-9", and one for lines that stand twice.
 * where: " before ..." or "". */
void dn_gaps_log(const dn_gaps *gaps, const char *path, const char *where);

#endif
