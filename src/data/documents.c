#include "data/documents.h"

#include "base/fail.h"
#include "text/tokenizer.h"
#include "text/train.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 << 10, BLOCKS = 64, THREADS_MAX = 64 };

typedef struct block {
    char *text; /* [n], with room for BLOCK; owned */
    size_t n;
    bool starts, ends; /* a document */
    int32_t *ids;      /* [n_ids], with room for n_room; owned */
    size_t n_ids, room;
    dn_status status;
    char message[256]; /* of a failure: messages belong to the thread that failed */
} block;

struct dn_documents {
    const dn_tokenizer *tokenizer;
    dn_text *text;
    const char *separator;
    dn_encoder *encoders[THREADS_MAX];
    int n_encoders;
    char held[BLOCK]; /* [n_held]: read, and of a block to come */
    size_t n_held;
    bool file_ended, in_document;
    block blocks[BLOCKS];
    size_t n_blocks, next;
};

dn_status dn_documents_open(const dn_tokenizer *tokenizer, dn_text *text, const char *separator,
                            dn_documents **out)
{
    cpu_set_t usable;
    *out = NULL;
    dn_documents *d = calloc(1, sizeof *d);
    if (!d)
        return dn_fail(DN_ERR_MEMORY, "no memory to read documents");
    d->tokenizer = tokenizer;
    d->text = text;
    d->separator = separator;
    d->n_encoders = sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable) : 1;
    d->n_encoders = d->n_encoders < THREADS_MAX ? d->n_encoders : THREADS_MAX;
    dn_status status = DN_OK;
    for (int i = 0; i < d->n_encoders && status == DN_OK; i++)
        status = dn_encoder_create(tokenizer, &d->encoders[i]);
    for (int i = 0; i < BLOCKS && status == DN_OK; i++)
        if (!(d->blocks[i].text = malloc(BLOCK)))
            status = dn_fail(DN_ERR_MEMORY, "no memory to read documents");
    if (status != DN_OK)
        dn_documents_close(&d);
    *out = d;
    return status;
}

void dn_documents_close(dn_documents **documents)
{
    dn_documents *d = *documents;
    *documents = NULL;
    if (!d)
        return;
    for (int i = 0; i < d->n_encoders; i++)
        dn_encoder_destroy(&d->encoders[i]);
    for (int i = 0; i < BLOCKS; i++) {
        free(d->blocks[i].text);
        free(d->blocks[i].ids);
    }
    free(d);
}

/* ---- blocks of text ---- */

/* Fills b->text from the present file; b->n = 0 and b->ends at its end. */
static dn_status read_block(dn_documents *d, block *b)
{
    size_t got = 0;
    memcpy(b->text, d->held, d->n_held);
    b->n = d->n_held;
    d->n_held = 0;
    if (!d->file_ended && b->n < BLOCK)
        DN_TRY(dn_text_read_file(d->text, b->text + b->n, BLOCK - b->n, &got, &d->file_ended));
    b->n += got;
    b->starts = !d->in_document;
    b->ends = d->file_ended;
    size_t end = b->n, next = b->n, n_separator = d->separator ? strlen(d->separator) : 0;
    const char *found = d->separator ? memmem(b->text, b->n, d->separator, n_separator) : NULL;
    if (found) {
        end = (size_t)(found - b->text);
        next = end + n_separator;
        b->ends = true;
    } else if (!d->file_ended) {
        /* A separator may have begun within the last bytes. */
        size_t certain = b->n > n_separator ? b->n - n_separator : b->n;
        end = dn_text_cut(b->text, certain);
        next = end = end ? end : certain;
    }
    d->n_held = b->n - next;
    memcpy(d->held, b->text + next, d->n_held);
    b->n = end;
    d->in_document = !b->ends;
    if (d->file_ended && d->n_held == 0)
        d->file_ended = false; /* on to the next file */
    return DN_OK;
}

/* Reads up to BLOCKS blocks that are not empty. */
static dn_status read_blocks(dn_documents *d)
{
    d->n_blocks = d->next = 0;
    while (d->n_blocks < BLOCKS && (d->n_held > 0 || d->file_ended || d->text->current < d->text->n_files)) {
        block *b = &d->blocks[d->n_blocks];
        DN_TRY(read_block(d, b));
        d->n_blocks += b->n > 0 || (b->ends && !b->starts);
    }
    return DN_OK;
}

/* ---- their ids ---- */

static dn_status encode_block(const dn_documents *d, dn_encoder *encoder, block *b)
{
    const int32_t *ids;
    size_t n;
    int32_t end = dn_tokenizer_end(d->tokenizer);
    DN_TRY(dn_encode_part(encoder, b->text, b->n, !b->starts, &ids, &n));
    if (n + 1 > b->room) {
        free(b->ids);
        b->room = 2 * (n + 1);
        b->ids = malloc(b->room * sizeof *b->ids);
        if (!b->ids) {
            b->room = 0;
            return dn_fail(DN_ERR_MEMORY, "no memory for %zu tokens", n);
        }
    }
    for (size_t i = 0; i < n; i++)
        b->ids[i] = ids[i];
    b->n_ids = n;
    if (b->ends && end >= 0)
        b->ids[b->n_ids++] = end;
    return DN_OK;
}

static void encode_blocks(dn_documents *d)
{
#pragma omp parallel for schedule(static, 1) num_threads(d->n_encoders)
    for (int thread = 0; thread < d->n_encoders; thread++)
        for (size_t i = (size_t)thread; i < d->n_blocks; i += (size_t)d->n_encoders) {
            block *b = &d->blocks[i];
            b->status = encode_block(d, d->encoders[thread], b);
            if (b->status != DN_OK)
                snprintf(b->message, sizeof b->message, "%s", dn_error_message());
        }
}

dn_status dn_documents_next(dn_documents *d, const int32_t **ids, size_t *n_ids, size_t *bytes)
{
    *ids = NULL;
    if (d->next == d->n_blocks) {
        DN_TRY(read_blocks(d));
        encode_blocks(d);
    }
    if (d->next == d->n_blocks)
        return DN_OK;
    block *b = &d->blocks[d->next++];
    if (b->status != DN_OK)
        return dn_fail(b->status, "%s", b->message);
    *ids = b->ids;
    *n_ids = b->n_ids;
    *bytes = b->n;
    return DN_OK;
}
