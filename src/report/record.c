#include "report/record.h"

#include "base/atomic_file.h"
#include "base/fail.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool read_line(const char *line, size_t length, dn_record_step *step)
{
    json_t *object = json_loadb(line, length, 0, NULL);
    const json_t *index = json_object_get(object, "step");
    bool good = json_is_integer(index) && json_integer_value(index) >= 0;
    if (good)
        *step = (dn_record_step){
            .step = (uint64_t)json_integer_value(index),
            .loss = number(object, "loss"),
            .val_loss = number(object, "val_loss"),
            .step_s = number(object, "step_s"),
            .optimizer_s = number(object, "optimizer_s"),
            .tokens_per_s = number(object, "tokens_per_s"),
            .bytes = {number(object, "bytes_dp"), number(object, "bytes_fs"), number(object, "bytes_tp")},
            .state_bytes = number(object, "state_bytes"),
        };
    json_decref(object);
    return good;
}

/* One more step at the end; NULL without memory. */
static dn_record_step *append(dn_record *record)
{
    bool full = (record->n & (record->n - 1)) == 0; /* room grows at powers of two */
    if (full) {
        size_t room = record->n ? 2 * record->n : 1;
        dn_record_step *steps = realloc(record->steps, room * sizeof *steps);
        if (!steps)
            return NULL;
        record->steps = steps;
    }
    return &record->steps[record->n++];
}

static dn_status read_lines(FILE *file, const char *path, dn_record *record)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    dn_status status = DN_OK;
    while (status == DN_OK && (length = getline(&line, &capacity, file)) > 0 && line[length - 1] == '\n') {
        dn_record_step *step = append(record);
        if (!step)
            status = dn_fail(DN_ERR_MEMORY, "%s: no memory for %zu lines", path, record->n);
        else if (!read_line(line, (size_t)length, step))
            status =
                dn_fail(DN_ERR_DATA, "%s:%zu: not a line of metrics; move the run's folder away to make it anew",
                        path, record->n);
    }
    free(line);
    return status;
}

dn_status dn_record_read(const char *path, dn_record *out)
{
    *out = (dn_record){0};
    FILE *file = dn_file_read(path);
    if (!file && errno == ENOENT)
        return DN_OK;
    if (!file)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot read metrics %s", path);
    dn_status status = read_lines(file, path, out);
    fclose(file);
    if (status != DN_OK)
        dn_record_free(out);
    return status;
}

void dn_record_free(dn_record *record)
{
    free(record->steps);
    *record = (dn_record){0};
}
