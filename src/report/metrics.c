#include "report/metrics.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "report/gaps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct dn_metrics {
    char *path; /* owned */
    int fd;
    off_t end;     /* bytes of whole lines */
    uint64_t last; /* step of the last of them, where end > 0 */
    locale_t c;    /* "C": a decimal comma is not JSON */
    char line[DN_METRICS_LINE_MAX];
    size_t length; /* of the line being made; >= sizeof line: too long */
};

/* The step of a line; false if it is no JSON object with one. */
static bool get_step(const char *line, size_t length, uint64_t *step)
{
    json_t *object = json_loadb(line, length, 0, NULL);
    const json_t *value = json_object_get(object, "step");
    bool good = json_is_integer(value) && json_integer_value(value) >= 0;
    if (good)
        *step = (uint64_t)json_integer_value(value);
    json_decref(object);
    return good;
}

/* *end: where the first line to be removed begins, one of a later step or a torn one. After the last line to
 * be kept the file may contain anything, as it was not synced before a power cut. */
static dn_status find_end(FILE *file, const char *path, uint64_t next_step, off_t *end, uint64_t *last,
                          dn_gaps *gaps)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    dn_status status = DN_OK;
    *end = 0;
    bool complete = false;
    for (int number = 1;
         !complete && (length = getline(&line, &capacity, file)) > 0 && line[length - 1] == '\n'; number++) {
        uint64_t step = 0;
        if (next_step == 1 && !line[0]) /* a hole where a power cut took lines; none had to stay */
            break;
        bool is_one = get_step(line, (size_t)length, &step);
        bool removed = step >= next_step || next_step == 1; /* before the first step there is a validation */
        if (!is_one || (removed && strncmp(line, "{\"step\":", 8) != 0)) {
            status = dn_fail(DN_ERR_CHECKPOINT,
                             "%s:%d: not a line of metrics; move the file away to begin a new one, or use "
                             "another folder",
                             path, number);
            break;
        }
        if (removed)
            break;
        *end += length;
        dn_gaps_add(gaps, step);
        complete = step + 1 == next_step;
        *last = step;
    }
    if (status == DN_OK && ferror(file)) /* truncating here would lose lines */
        status = dn_fail_errno(DN_ERR_IO, errno, "cannot read metrics %s", path);
    free(line);
    return status;
}

static dn_status open_file(dn_metrics *metrics, uint64_t next_step)
{
    struct stat st;
    metrics->fd = open(metrics->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (metrics->fd < 0 || fstat(metrics->fd, &st) != 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot write metrics %s", metrics->path);
    if (!S_ISREG(st.st_mode)) /* a pipe or device might never end */
        return dn_fail(DN_ERR_IO, "%s is not a regular file; move it away", metrics->path);
    dn_gaps gaps = {.last = 0};
    if (next_step > 0) {
        FILE *file = fopen(metrics->path, "re");
        if (!file)
            return dn_fail_errno(DN_ERR_IO, errno, "cannot read metrics %s", metrics->path);
        dn_status status = find_end(file, metrics->path, next_step, &metrics->end, &metrics->last, &gaps);
        fclose(file);
        DN_TRY(status);
        dn_gaps_end(&gaps, next_step - 1);
    }
    dn_gaps_log(&gaps, metrics->path, " before the checkpoint");
    if (ftruncate(metrics->fd, metrics->end) != 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot write metrics %s", metrics->path);
    return dn_name_sync(metrics->path);
}

static void release(dn_metrics *metrics)
{
    if (metrics->fd >= 0)
        close(metrics->fd);
    if (metrics->c)
        freelocale(metrics->c);
    free(metrics->path);
    free(metrics);
}

dn_status dn_metrics_open(const char *path, uint64_t next_step, dn_metrics **out)
{
    dn_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    metrics->fd = -1;
    metrics->path = strdup(path);
    metrics->c = newlocale(LC_ALL_MASK, "C", 0);
    dn_status status = metrics->path && metrics->c ? open_file(metrics, next_step)
                                                   : dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    if (status == DN_OK)
        *out = metrics;
    else
        release(metrics);
    return status;
}

static void add(dn_metrics *metrics, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(dn_metrics *metrics, const char *format, ...)
{
    if (metrics->length >= sizeof metrics->line)
        return;
    va_list args;
    va_start(args, format);
    metrics->length += (size_t)vsnprintf(metrics->line + metrics->length,
                                         sizeof metrics->line - metrics->length, format, args);
    va_end(args);
}

/* The shortest of 15 to 17 digits that reads back to the same bits. -0 is no integer: as one it would lose
 * its sign. */
static void add_number(dn_metrics *metrics, double value)
{
    char text[40];
    if (value == trunc(value) && fabs(value) < 0x1p53) {
        add(metrics, value == 0 && signbit(value) ? "-0.0" : "%.0f", value);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    add(metrics, "%s", text);
}

/* `begin` ("" to continue a line), the values, the end of the line. */
static void make_line(dn_metrics *metrics, const char *begin, const dn_metric *values, size_t n)
{
    locale_t before = uselocale(metrics->c);
    metrics->length = 0;
    add(metrics, "%s", begin);
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i].value)) {
            add(metrics, ", \"%s\": ", values[i].key);
            add_number(metrics, values[i].value);
        }
    add(metrics, "}\n");
    uselocale(before);
}

/* Appends the line; after a failure the file ends at `end` as before. */
static dn_status append_line(dn_metrics *metrics)
{
    for (size_t at = 0; at < metrics->length;) {
        ssize_t written = write(metrics->fd, metrics->line + at, metrics->length - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            int error = written < 0 ? errno : ENOSPC;
            if (ftruncate(metrics->fd, metrics->end) != 0)
                error = errno;
            return dn_fail_errno(DN_ERR_IO, error, "cannot write metrics %s", metrics->path);
        }
        at += (size_t)written;
    }
    metrics->end += (off_t)metrics->length;
    return DN_OK;
}

dn_status dn_metrics_sync(dn_metrics *metrics)
{
    if (fsync(metrics->fd) == 0 || errno == EINVAL) /* EINVAL: nothing to sync there */
        return DN_OK;
    return dn_fail_errno(DN_ERR_IO, errno, "cannot write metrics %s", metrics->path);
}

dn_status dn_metrics_write(dn_metrics *metrics, uint64_t step, const dn_metric *values, size_t n)
{
    char begin[40];
    snprintf(begin, sizeof begin, "{\"step\": %" PRIu64, step);
    make_line(metrics, begin, values, n);
    if (metrics->length >= sizeof metrics->line)
        return dn_fail(DN_ERR_ARG, "%s: the line of step %" PRIu64 " is longer than %d bytes", metrics->path,
                       step, DN_METRICS_LINE_MAX);
    DN_TRY(append_line(metrics));
    metrics->last = step;
    return DN_OK;
}

/* The first `bytes` bytes of the metrics, to f. */
static dn_status copy_lines(const dn_metrics *metrics, off_t bytes, dn_atomic_file *f)
{
    char buffer[1 << 14];
    for (off_t at = 0; at < bytes;) {
        size_t wanted = bytes - at < (off_t)sizeof buffer ? (size_t)(bytes - at) : sizeof buffer;
        ssize_t n = pread(metrics->fd, buffer, wanted, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return dn_fail_errno(DN_ERR_IO, n < 0 ? errno : EIO, "cannot read metrics %s", metrics->path);
        DN_TRY(dn_atomic_file_append(f, buffer, (size_t)n));
        at += n;
    }
    return DN_OK;
}

/* A checkpoint may stand for the line that changes: changed in place, a power cut could tear it. */
dn_status dn_metrics_amend(dn_metrics *metrics, uint64_t step, const dn_metric *value)
{
    if (metrics->end == 0 || metrics->last != step)
        return dn_metrics_write(metrics, step, value, 1);
    dn_atomic_file f;
    DN_TRY(dn_atomic_file_open(metrics->path, 0, &f));
    make_line(metrics, "", value, 1);
    dn_status status = copy_lines(metrics, metrics->end - 2, &f); /* without }, new line */
    if (status == DN_OK)
        status = dn_atomic_file_append(&f, metrics->line, metrics->length);
    DN_TRY(dn_atomic_file_end(&f, status));
    int fd = open(metrics->path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot write metrics %s", metrics->path);
    close(metrics->fd);
    metrics->fd = fd;
    metrics->end += (off_t)metrics->length - 2;
    return DN_OK;
}

dn_status dn_metrics_close(dn_metrics **metrics)
{
    dn_metrics *m = *metrics;
    if (!m)
        return DN_OK;
    int fd = m->fd;
    m->fd = -1;
    dn_status status =
        close(fd) == 0 ? DN_OK : dn_fail_errno(DN_ERR_IO, errno, "cannot write metrics %s", m->path);
    release(m);
    *metrics = NULL;
    return status;
}
