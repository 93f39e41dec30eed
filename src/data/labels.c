#include "data/labels.h"

#include "base/fail.h"
#include "base/size.h"
#include "data/text.h"
#include "shm/limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static dn_status read_all(dn_text *text, char **memory, size_t *n)
{
    size_t room = 1 << 16, got;
    *n = 0;
    do {
        room = dn_size_mul(room, 2);
        /* Asked first: the system promises more than there is, and ends who then touches it. */
        char *larger = room / 2 <= dn_limits_memory("") ? realloc(*memory, room) : NULL;
        if (!larger)
            return dn_fail(DN_ERR_MEMORY, "%s: no memory for more than %zu bytes of it", text->files[0], *n);
        *memory = larger;
        DN_TRY(dn_text_read(text, *memory + *n, room - 1 - *n, &got));
        *n += got;
    } while (*n == room - 1);
    (*memory)[*n] = 0;
    return DN_OK;
}

/* Ends labels with a zero. labels [n]: of each row. */
static dn_status split(const char *path, size_t bytes, dn_labels *out, const char **labels)
{
    char *at = out->memory, *end = at + bytes;
    for (size_t line = 1; at < end; line++) {
        char *stop = memchr(at, '\n', (size_t)(end - at)), *tab;
        stop = stop ? stop : end;
        tab = memchr(at, '\t', (size_t)(stop - at));
        if (!tab || tab == at || tab + 1 == stop)
            return dn_fail(DN_ERR_DATA, "%s:%zu: no label, tab and text: every line has them", path, line);
        *tab = 0;
        if (strlen(at) != (size_t)(tab - at))
            return dn_fail(DN_ERR_DATA, "%s:%zu: a zero byte in the label", path, line);
        labels[out->n] = at;
        out->rows[out->n++] = (dn_labelled){.text = tab + 1, .n = (size_t)(stop - tab - 1)};
        at = stop + 1;
    }
    return DN_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static dn_status name_classes(const char *path, dn_labels *out, const char **labels)
{
    memcpy(out->names, labels, out->n * sizeof *labels);
    qsort(out->names, out->n, sizeof *out->names, by_bytes);
    for (size_t i = 0; i < out->n; i++)
        if (i == 0 || strcmp(out->names[i], out->names[out->n_classes - 1]) != 0)
            out->names[out->n_classes++] = out->names[i];
    for (size_t i = 0; i < out->n; i++) {
        const char **found = bsearch(&labels[i], out->names, out->n_classes, sizeof *out->names, by_bytes);
        out->rows[i].class = (int32_t)(found - out->names);
    }
    if (out->n_classes >= 2 && out->n_classes <= DN_CLASSES_MAX)
        return DN_OK;
    return dn_fail(DN_ERR_DATA, "%s: %zu different labels: it takes 2 to %d to tell apart", path, out->n_classes,
                   DN_CLASSES_MAX);
}

dn_status dn_labels_read(const char *path, dn_labels *out)
{
    dn_text text;
    struct stat st;
    size_t bytes = 0, lines = 1;
    *out = (dn_labels){0};
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return dn_fail(DN_ERR_DATA, "%s is not a regular file: each way to learn its labels reads it anew", path);
    DN_TRY(dn_text_open(&path, 1, &text));
    dn_status status = read_all(&text, &out->memory, &bytes);
    dn_text_close(&text);
    DN_TRY(status);
    for (const char *at = out->memory; (at = memchr(at, '\n', (size_t)(out->memory + bytes - at))); at++)
        lines++;
    bool is_room = dn_size_mul(lines, 2 * sizeof(char *) + sizeof *out->rows) <= dn_limits_memory("");
    const char **labels = is_room ? calloc(lines, sizeof *labels) : NULL;
    out->rows = is_room ? calloc(lines, sizeof *out->rows) : NULL;
    out->names = is_room ? calloc(lines, sizeof *out->names) : NULL;
    status = labels && out->rows && out->names ? split(path, bytes, out, labels)
                                               : dn_fail(DN_ERR_MEMORY, "%s: no memory for %zu lines", path, lines);
    if (status == DN_OK)
        status = name_classes(path, out, labels);
    free(labels);
    return status;
}

void dn_labels_close(dn_labels *labels)
{
    free(labels->memory);
    free(labels->rows);
    free(labels->names);
    *labels = (dn_labels){0};
}
