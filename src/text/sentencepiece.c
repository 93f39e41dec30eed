/* SentencePiece's tokenizer.model (google/sentencepiece, sentencepiece_model.proto), of BPE: a protobuf of
 * which three messages matter. Two tokens merge if they are a piece together, the one of the highest score
 * first. */
#include "text/tokenizer.h"

#include "base/fail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- protobuf: fields of a message, one after another ---- */

typedef struct field {
    uint64_t number, value; /* value: of a number; bits of a float */
    const char *bytes;      /* [n]: of a text or a message; NULL: it is a number */
    size_t n;
} field;

static bool read_varint(const char **at, const char *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        unsigned char byte = (unsigned char)*(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* 1: a field; 0: the end; -1: damaged. */
static int next_field(const char **at, const char *end, field *f)
{
    uint64_t tag;
    if (*at == end)
        return 0;
    if (!read_varint(at, end, &tag))
        return -1;
    *f = (field){.number = tag >> 3};
    uint64_t n;
    switch (tag & 7) {
    case 0:
        return read_varint(at, end, &f->value) ? 1 : -1;
    case 2:
        if (!read_varint(at, end, &n) || n > (uint64_t)(end - *at))
            return -1;
        f->bytes = *at;
        f->n = (size_t)n;
        break;
    case 1:
    case 5:
        n = (tag & 7) == 1 ? 8 : 4;
        if (n > (uint64_t)(end - *at))
            return -1;
        memcpy(&f->value, *at, n);
        break;
    default:
        return -1;
    }
    *at += n;
    return 1;
}

/* ---- the model ---- */

enum { UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 }; /* types of a piece; 1: normal */

typedef struct model {
    dn_tokenizer *t;
    float *scores; /* [room], owned; NaN: not made by merging */
    size_t room;
    uint64_t kind, begin, end;
    bool prefix, trims, suffix, map;
} model;

static int read_piece(model *m, const char *at, const char *end)
{
    field f, text = {.bytes = ""};
    uint64_t type = 1;
    float score = 0;
    int got;
    while ((got = next_field(&at, end, &f)) > 0) {
        if (f.number == 1 && f.bytes)
            text = f;
        else if (f.number == 2)
            memcpy(&score, &f.value, sizeof score);
        else if (f.number == 3)
            type = f.value;
    }
    if (got < 0)
        return dn_fail(DN_ERR_DATA, "is damaged within a piece");
    dn_tokenizer *t = m->t;
    size_t id = t->size;
    if (type == USER_DEFINED || type == UNUSED)
        return dn_fail(DN_ERR_DATA, "piece %zu '%.*s' is %s, which is not supported: take a tokenizer.json",
                       id, (int)text.n, text.bytes, type == UNUSED ? "unused" : "user-defined");
    if (id >= m->room) {
        m->room = 2 * id + 1024;
        float *scores = realloc(m->scores, m->room * sizeof *scores);
        if (!scores)
            return dn_fail(DN_ERR_MEMORY, "no memory for %zu pieces", m->room);
        m->scores = scores;
    }
    m->scores[id] = type == 1 ? score : NAN;
    char *bytes = malloc(text.n + 1);
    if (!bytes)
        return dn_fail(DN_ERR_MEMORY, "no memory for a piece of %zu bytes", text.n);
    memcpy(bytes, text.bytes, text.n);
    bytes[text.n] = '\0';
    size_t n = dn_replace_marks(bytes, text.n);
    unsigned char byte;
    dn_status status;
    if (type == BYTE && dn_byte_name(bytes, n, &byte)) {
        t->byte_ids[byte] = (int32_t)id;
        status = dn_tokenizer_add(t, (int64_t)id, (const char[]){(char)byte}, 1, true);
    } else if (type == UNKNOWN) {
        t->unknown = (int32_t)id;
        status = dn_tokenizer_add(t, (int64_t)id, " \xe2\x81\x87 ", 5, true);
    } else {
        status = dn_tokenizer_add(t, (int64_t)id, bytes, n, type != 1);
    }
    free(bytes);
    return status;
}

/* The trainer's (2) or the normalizer's (3) settings. */
static dn_status read_settings(model *m, const field *message)
{
    const char *at = message->bytes, *end = at + message->n;
    field f;
    int got;
    while ((got = next_field(&at, end, &f)) > 0) {
        if (message->number == 2 && f.number == 3)
            m->kind = f.value;
        else if (message->number == 2 && f.number == 24)
            m->suffix = f.value;
        else if (message->number == 2 && f.number == 41)
            m->begin = f.value;
        else if (message->number == 2 && f.number == 42)
            m->end = f.value;
        else if (message->number == 3 && f.number == 2)
            m->map = f.n > 0;
        else if (message->number == 3 && f.number == 3)
            m->prefix = f.value;
        else if (message->number == 3 && f.number == 4)
            m->trims = f.value;
    }
    return got < 0 ? dn_fail(DN_ERR_DATA, "is damaged within its settings") : DN_OK;
}

static dn_status read_model(model *m, const char *at, const char *end)
{
    field f;
    int got;
    while ((got = next_field(&at, end, &f)) > 0) {
        if (!f.bytes)
            continue; /* all are messages */
        if (f.number == 1)
            DN_TRY(read_piece(m, f.bytes, f.bytes + f.n));
        else if (f.number == 2 || f.number == 3)
            DN_TRY(read_settings(m, &f));
    }
    if (got < 0 || m->t->size == 0)
        return dn_fail(DN_ERR_DATA, "is damaged, or no model of SentencePiece");
    const char *not_held = m->kind != 2 ? "a model that is not of BPE"
                           : m->map     ? "a precompiled character map"
                           : m->trims   ? "removing extra white space"
                           : m->suffix  ? "white space as a suffix"
                                        : NULL;
    return not_held ? dn_fail(DN_ERR_DATA, "asks for %s, which is not supported", not_held) : DN_OK;
}

static int higher_first(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Ranks of the pieces: equal where scores are. */
static dn_status add_merges(model *m)
{
    size_t size = m->t->size, n = 0;
    int32_t *ranks = malloc(size * sizeof *ranks);
    float *sorted = malloc(size * sizeof *sorted);
    dn_status status = ranks && sorted ? dn_tokenizer_index(m->t, 4 * size)
                                       : dn_fail(DN_ERR_MEMORY, "no memory for %zu scores", size);
    if (status == DN_OK) {
        for (size_t id = 0; id < size; id++)
            if (!isnan(m->scores[id]))
                sorted[n++] = m->scores[id];
        qsort(sorted, n, sizeof *sorted, higher_first);
        for (size_t id = 0; id < size; id++) {
            size_t low = 0, high = n; /* the first with this score */
            while (low < high) {
                size_t middle = (low + high) / 2;
                if (sorted[middle] > m->scores[id])
                    low = middle + 1;
                else
                    high = middle;
            }
            ranks[id] = isnan(m->scores[id]) ? -1 : (int32_t)low;
        }
        status = dn_tokenizer_merge_all(m->t, ranks);
    }
    free(ranks);
    free(sorted);
    return status;
}

dn_status dn_tokenizer_read_sentencepiece(dn_tokenizer *t, const char *content, size_t n)
{
    model m = {
        .t = t, .kind = 1, .begin = 1, .end = 2, .prefix = true, .trims = true}; /* the format's defaults */
    dn_status status = read_model(&m, content, content + n);
    if (status == DN_OK)
        status = add_merges(&m);
    free(m.scores);
    DN_TRY(status);
    t->begin = m.begin < t->size ? (int32_t)m.begin : -1;
    t->end = m.end < t->size ? (int32_t)m.end : -1;
    t->fuse_unknown = true;
    t->space_first = m.prefix;
    DN_TRY(dn_tokenizer_add_marks(t));
    return m.prefix
               ? dn_tokenizer_add_normalizer(t, (dn_normalizer){DN_NORMALIZE_PREPEND, NULL, " ", false, true})
               : DN_OK;
}
