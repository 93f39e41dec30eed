/* What a report answers. */
#include "verify/inside.h"

#include "base/fail.h"
#include "tensor/axes.h"

#include <math.h>
#include <stdlib.h>

static double size_of(const dn_verify_check *check)
{
    double size = check->difference + (double)check->counted; /* one of them is 0 */
    return isnan(size) ? INFINITY : size;
}

const dn_verify_check *dn_verify_worst(const dn_verify_row *row, size_t line)
{
    const dn_verify_check *worst = NULL;
    for (size_t i = 0; i < row->n; i++) {
        const dn_verify_check *f = &row->checks[i];
        if (f->line != (int)line)
            continue;
        bool worse = !worst || (worst->holds && !f->holds) ||
                     (worst->holds == f->holds && size_of(f) > size_of(worst));
        worst = worse ? f : worst;
    }
    return worst;
}

size_t dn_verify_count_failed(const dn_verify_row *row, size_t line)
{
    size_t n = 0;
    for (size_t i = 0; i < row->n; i++)
        n += row->checks[i].line == (int)line && !row->checks[i].holds;
    return n;
}

size_t dn_verify_failed_meshes(const dn_verify_report *report)
{
    size_t n = 0;
    for (size_t i = 0; i < report->n_rows; i++)
        n += !report->rows[i].holds;
    return n;
}

bool dn_verify_holds(const dn_verify_report *report)
{
    return report->n_rows > 0 && dn_verify_failed_meshes(report) == 0;
}

/* The first line that fails on a mesh; what stopped the operation there, if it did not come to an end. */
static const char *first_failure(const dn_verify_report *report, const dn_verify_row *row)
{
    for (size_t line = 0; line < report->n_lines; line++)
        if (dn_verify_count_failed(row, line) > 0)
            return report->lines[line].name;
    return row->message;
}

const char *dn_verify_mesh_text(const int size[DN_N_AXES], char text[DN_VERIFY_MESH_TEXT])
{
    char stages[16] = "";
    if (dn_axis_size(size, DN_PP) > 1)
        snprintf(stages, sizeof stages, "%d x ", size[DN_PP]);
    snprintf(text, DN_VERIFY_MESH_TEXT, "%d x %s%d x %d", size[DN_DP], stages, size[DN_FS], size[DN_TP]);
    return text;
}

dn_status dn_verify_status(const dn_verify_report *report)
{
    const dn_verify_row *row = report->rows;
    char mesh[DN_VERIFY_MESH_TEXT];
    if (dn_verify_holds(report))
        return DN_OK;
    while (row->holds)
        row++;
    return dn_fail(DN_ERR_NUMERIC, "verify failed on %zu of %zu meshes, first on %s: %s", dn_verify_failed_meshes(report),
                   report->n_rows, dn_verify_mesh_text(row->size, mesh), first_failure(report, row));
}

void dn_verify_report_destroy(dn_verify_report **report)
{
    if (!*report)
        return;
    for (size_t i = 0; i < (*report)->n_rows; i++)
        free((*report)->rows[i].checks);
    free((*report)->rows);
    free((*report)->lines);
    free(*report);
    *report = NULL;
}
