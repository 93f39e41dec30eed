/* metrics.jsonl as columns: all values of a run, by name. */
#ifndef REPORT_SERIES_H
#define REPORT_SERIES_H

#include "dionode/status.h"
#include "report/gaps.h"

#include <stddef.h>

typedef struct dn_series {
    size_t n, n_columns; /* lines; names, "step" being the first, others as they first appear */
    char **names;        /* owned, as all of it */
    double **columns;    /* [n_columns][n]; missing values are NaN */
    dn_gaps gaps;        /* up to the last line */
} dn_series;

/** Reads path, ignoring a torn last line; a missing file has no lines. On failure *out is empty. Errors:
 * DN_ERR_IO; DN_ERR_DATA naming the line that is not an object with a step; DN_ERR_MEMORY. */
dn_status dn_series_read(const char *path, dn_series *out) DN_MUST_USE;
void dn_series_free(dn_series *series);

/** [n], or NULL if no line has such a value. */
const double *dn_series_column(const dn_series *series, const char *name);

#endif
