#include "data/jsonl.h"

#include "base/fail.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES ((size_t)64 << 20)

struct dn_jsonl {
    dn_text *text;
    char *buffer; /* [n], with room for `room`; what is before `at` has been used */
    size_t at, n, room;
    const char *file; /* that the buffer is from */
    size_t line;      /* the last one of it, from 1 */
    bool file_ended;
    json_t *object;
};

dn_status dn_jsonl_open(dn_text *text, dn_jsonl **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return dn_fail(DN_ERR_MEMORY, "no memory to read examples");
    (*out)->text = text;
    (*out)->file_ended = true;
    return DN_OK;
}

void dn_jsonl_close(dn_jsonl **jsonl)
{
    dn_jsonl *j = *jsonl;
    *jsonl = NULL;
    if (!j)
        return;
    json_decref(j->object);
    free(j->buffer);
    free(j);
}

/* More of the present file, behind what is there. */
static dn_status read_on(dn_jsonl *j)
{
    size_t got;
    j->n -= j->at;
    if (j->n > 0)
        memmove(j->buffer, j->buffer + j->at, j->n);
    j->at = 0;
    if (j->n == LINE_MAX_BYTES)
        return dn_fail(DN_ERR_DATA, "%s:%zu: longer than %zu MiB: a file of examples has one object a line", j->file,
                       j->line + 1, LINE_MAX_BYTES >> 20);
    if (j->n == j->room) {
        size_t room = j->room ? 2 * j->room : (size_t)1 << 16;
        char *buffer = realloc(j->buffer, room);
        if (!buffer)
            return dn_fail(DN_ERR_MEMORY, "%s:%zu: no memory for the line", j->file, j->line + 1);
        j->buffer = buffer;
        j->room = room;
    }
    DN_TRY(dn_text_read_file(j->text, j->buffer + j->n, j->room - j->n, &got, &j->file_ended));
    j->n += got;
    return DN_OK;
}

/* *line NULL: all files have been read. */
static dn_status read_line(dn_jsonl *j, const char **line, size_t *length)
{
    for (;;) {
        const char *begin = j->buffer + j->at, *end = j->at < j->n ? memchr(begin, '\n', j->n - j->at) : NULL;
        if (end || (j->file_ended && j->at < j->n)) {
            *line = begin;
            *length = end ? (size_t)(end - begin) : j->n - j->at;
            j->at += *length + (end != NULL);
            j->line++;
            return DN_OK;
        }
        *line = NULL;
        if (j->file_ended && j->text->current == j->text->n_files)
            return DN_OK;
        if (j->file_ended) {
            j->file = j->text->files[j->text->current];
            j->line = 0;
        }
        DN_TRY(read_on(j));
    }
}

static dn_status wrong(const dn_jsonl *j, const char *what)
{
    return dn_fail(DN_ERR_DATA,
                   "%s:%zu: %s; a line is {\"prompt\": \"...\", \"completion\": \"...\"} or {\"text\": \"...\"}", j->file,
                   j->line, what);
}

/* The strings of the present object. */
static dn_status take(const dn_jsonl *j, dn_example *out)
{
    const json_t *prompt = json_object_get(j->object, "prompt"), *text = json_object_get(j->object, "text");
    const json_t *completion = json_object_get(j->object, "completion");
    if (text && (prompt || completion))
        return wrong(j, "has a text beside prompt or completion");
    if (!text && (!prompt || !completion))
        return wrong(j, completion ? "has no prompt" : prompt ? "has no completion" : "has neither prompt and completion nor text");
    if (prompt && !json_is_string(prompt))
        return wrong(j, "prompt is not a string");
    if (!json_is_string(text ? text : completion))
        return wrong(j, text ? "text is not a string" : "completion is not a string");
    *out = (dn_example){json_string_value(prompt), json_string_value(text ? text : completion), json_string_length(prompt),
                        json_string_length(text ? text : completion)};
    return out->n_completion > 0 ? DN_OK : wrong(j, text ? "text is empty" : "completion is empty");
}

static bool is_blank(const char *line, size_t n)
{
    while (n > 0 && memchr(" \t\r", line[n - 1], 3))
        n--;
    return n == 0;
}

dn_status dn_jsonl_next(dn_jsonl *j, dn_example *example)
{
    const char *line;
    size_t n;
    char why[DN_JSON_WHY];
    *example = (dn_example){0};
    do
        DN_TRY(read_line(j, &line, &n));
    while (line && is_blank(line, n));
    json_decref(j->object);
    j->object = line ? dn_json_object(line, n, why) : NULL;
    if (!line)
        return DN_OK;
    if (!j->object)
        return wrong(j, why);
    return take(j, example);
}
