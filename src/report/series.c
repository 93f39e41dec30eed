#include "report/series.h"

#include "base/atomic_file.h"
#include "base/fail.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static size_t find(const dn_series *series, const char *name)
{
    size_t i = 0;
    while (i < series->n_columns && strcmp(series->names[i], name) != 0)
        i++;
    return i;
}

const double *dn_series_column(const dn_series *series, const char *name)
{
    size_t i = find(series, name);
    return i < series->n_columns ? series->columns[i] : NULL;
}

/* A new column, not a number so far; NULL without memory. */
static double *add_column(dn_series *series, const char *name, size_t capacity)
{
    char **names = realloc(series->names, (series->n_columns + 1) * sizeof *names);
    if (!names)
        return NULL;
    series->names = names;
    double **columns = realloc(series->columns, (series->n_columns + 1) * sizeof *columns);
    if (!columns)
        return NULL;
    series->columns = columns;
    double *column = malloc(capacity * sizeof *column);
    char *copy = strdup(name);
    if (!column || !copy) {
        free(column);
        free(copy);
        return NULL;
    }
    for (size_t i = 0; i < capacity; i++)
        column[i] = NAN;
    names[series->n_columns] = copy;
    columns[series->n_columns++] = column;
    return column;
}

static bool grow(dn_series *series, size_t *capacity)
{
    size_t more = *capacity * 2;
    for (size_t i = 0; i < series->n_columns; i++) {
        double *column = realloc(series->columns[i], more * sizeof *column);
        if (!column)
            return false;
        for (size_t k = *capacity; k < more; k++)
            column[k] = NAN;
        series->columns[i] = column;
    }
    *capacity = more;
    return true;
}

/* Returns DN_ERR_DATA, without a message, for what is no object with a step. */
static dn_status add_line(dn_series *series, const char *line, size_t length, size_t *capacity)
{
    json_t *object = json_loadb(line, length, 0, NULL), *value;
    const json_t *step = json_object_get(object, "step");
    const char *name;
    dn_status status = json_is_integer(step) && json_integer_value(step) >= 0 ? DN_OK : DN_ERR_DATA;
    if (status == DN_OK && series->n == *capacity && !grow(series, capacity))
        status = DN_ERR_MEMORY;
    json_object_foreach(object, name, value)
    {
        if (status != DN_OK || !json_is_number(value))
            continue;
        size_t at = find(series, name);
        double *column = at < series->n_columns ? series->columns[at] : add_column(series, name, *capacity);
        if (column)
            column[series->n] = json_number_value(value);
        else
            status = DN_ERR_MEMORY;
    }
    if (status == DN_OK) {
        dn_gaps_add(&series->gaps, (uint64_t)json_integer_value(step));
        series->n++;
    }
    json_decref(object);
    return status;
}

static dn_status read_lines(FILE *file, const char *path, dn_series *series)
{
    char *line = NULL;
    size_t bytes = 0, capacity = 256;
    ssize_t length;
    dn_status status = add_column(series, "step", capacity) ? DN_OK : DN_ERR_MEMORY;
    while (status == DN_OK && (length = getline(&line, &bytes, file)) > 0 && line[length - 1] == '\n')
        status = add_line(series, line, (size_t)length, &capacity);
    free(line);
    if (status == DN_ERR_DATA)
        return dn_fail(status, "%s:%zu: not a line of metrics; move the run's folder away to make it anew", path,
                       series->n + 1);
    if (status == DN_ERR_MEMORY)
        return dn_fail(status, "%s: no memory for %zu lines", path, series->n + 1);
    return status;
}

dn_status dn_series_read(const char *path, dn_series *out)
{
    *out = (dn_series){0};
    FILE *file = dn_file_read(path);
    if (!file && errno == ENOENT)
        return DN_OK;
    if (!file)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot read metrics %s", path);
    struct stat st;
    dn_status status = DN_OK;
    if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode)) /* a device may have no end */
        status = dn_fail(DN_ERR_IO, "metrics %s is not a regular file; move it away", path);
    else
        status = read_lines(file, path, out);
    fclose(file);
    if (status != DN_OK)
        dn_series_free(out);
    return status;
}

void dn_series_free(dn_series *series)
{
    for (size_t i = 0; i < series->n_columns; i++) {
        free(series->names[i]);
        free(series->columns[i]);
    }
    free(series->names);
    free(series->columns);
    *series = (dn_series){0};
}
