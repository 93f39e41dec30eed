#include "train/prompt.h"

#include "base/fail.h"
#include "base/size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256 };

/* ---- its text ---- */

static dn_status read_all(FILE *file, const char *name, char **text, size_t *n)
{
    size_t room = 0, got = 1;
    for (*n = 0; got > 0; *n += got) {
        if (*n + 1 >= room) {
            room = 2 * room + 4096;
            char *larger = realloc(*text, room);
            if (!larger)
                return dn_fail(DN_ERR_MEMORY, "no memory for a prompt of more than %zu bytes", *n);
            *text = larger;
        }
        got = fread(*text + *n, 1, room - 1 - *n, file);
    }
    (*text)[*n] = 0;
    return ferror(file) ? dn_fail(DN_ERR_IO, "%s: %s", name, strerror(errno)) : DN_OK;
}

static dn_status read_text(dn_prompt *prompt, const dn_generation *what)
{
    if (!what->file) {
        prompt->text = strdup(what->prompt);
        prompt->n_text = strlen(what->prompt);
        return prompt->text ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for a prompt");
    }
    if (strcmp(what->file, "-") == 0)
        return read_all(stdin, "standard input", &prompt->text, &prompt->n_text);
    FILE *file = fopen(what->file, "rb");
    if (!file)
        return dn_fail(DN_ERR_IO, "%s: %s", what->file, strerror(errno));
    dn_status status = read_all(file, what->file, &prompt->text, &prompt->n_text);
    fclose(file);
    return status;
}

/* Rank 0 has read it. */
static dn_status share_text(dn_prompt *prompt, dn_comm *comm)
{
    uint64_t n = prompt->n_text;
    DN_TRY(dn_comm_broadcast(comm, &n, sizeof n, 0, DN_TRAFFIC_CONTROL));
    if (dn_comm_rank(comm) != 0)
        prompt->text = calloc(n + 1, 1);
    if (!prompt->text)
        return dn_fail(DN_ERR_MEMORY, "no memory for a prompt of %llu bytes", (unsigned long long)n);
    prompt->n_text = n;
    return dn_comm_broadcast(comm, prompt->text, n, 0, DN_TRAFFIC_CONTROL);
}

/* ---- its tokens ---- */

static dn_status append(dn_prompt *prompt, long long token, const dn_spec *spec)
{
    if (token < 0 || (size_t)token >= spec->V)
        return dn_fail(DN_ERR_CONFIG, "token %lld of the prompt is not in the model's vocabulary of %zu",
                       token, spec->V);
    prompt->tokens[prompt->n++] = (int32_t)token;
    return DN_OK;
}

static dn_status take_bytes(dn_prompt *prompt, const dn_spec *spec)
{
    for (size_t i = 0; i < prompt->n_text; i++) {
        int byte = (unsigned char)prompt->text[i];
        if ((size_t)byte >= spec->V)
            return dn_fail(DN_ERR_CONFIG, "the prompt's byte %d is not in the model's vocabulary of %zu",
                           byte, spec->V);
        DN_TRY(append(prompt, byte, spec));
    }
    return DN_OK;
}

static dn_status take_numbers(dn_prompt *prompt, const dn_spec *spec)
{
    char *end;
    for (const char *at = prompt->text;; at = end) {
        at += strspn(at, " \t\r\n,");
        if (!*at)
            return DN_OK;
        errno = 0;
        long long token = strtoll(at, &end, 10);
        if (end == at || errno)
            return dn_fail(DN_ERR_CONFIG, "'%.20s' in the prompt is no number of a token", at);
        DN_TRY(append(prompt, token, spec));
    }
}

static dn_status encode(dn_prompt *prompt, const dn_tokenizer *tokenizer, const dn_spec *spec)
{
    dn_encoder *encoder;
    const int32_t *ids = NULL;
    size_t n = 0;
    DN_TRY(dn_encoder_create(tokenizer, &encoder));
    dn_status status = dn_encode(encoder, prompt->text, prompt->n_text, &ids, &n);
    if (status == DN_OK && dn_tokenizer_begin(tokenizer) >= 0)
        status = append(prompt, dn_tokenizer_begin(tokenizer), spec);
    for (size_t i = 0; i < n && status == DN_OK; i++)
        status = append(prompt, ids[i], spec);
    dn_encoder_destroy(&encoder);
    return status;
}

/* A model continues something. */
static dn_status begin_empty(dn_prompt *prompt, const dn_tokenizer *tokenizer, const dn_spec *spec)
{
    int32_t end = tokenizer ? dn_tokenizer_end(tokenizer) : -1;
    return append(prompt, end >= 0 ? end : '\n', spec);
}

dn_status dn_prompt_read(dn_prompt *prompt, const dn_generation *what, const dn_tokenizer *tokenizer,
                         const dn_spec *spec, dn_comm *comm)
{
    if (!comm || dn_comm_rank(comm) == 0)
        DN_TRY(read_text(prompt, what));
    if (comm)
        DN_TRY(share_text(prompt, comm));
    prompt->tokens = calloc(prompt->n_text + 2, sizeof *prompt->tokens);
    if (!prompt->tokens)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tokens of a prompt of %zu bytes", prompt->n_text);
    DN_TRY(what->ids   ? take_numbers(prompt, spec)
           : tokenizer ? encode(prompt, tokenizer, spec)
                       : take_bytes(prompt, spec));
    if (prompt->n == 0)
        DN_TRY(begin_empty(prompt, tokenizer, spec));
    if (prompt->n > spec->T) {
        dn_log(DN_LOG_INFO, "of %zu tokens of the prompt the model sees the last %zu", prompt->n, spec->T);
        memmove(prompt->tokens, prompt->tokens + prompt->n - spec->T, spec->T * sizeof *prompt->tokens);
        prompt->n = spec->T;
    }
    return DN_OK;
}

void dn_prompt_free(dn_prompt *prompt)
{
    free(prompt->text);
    free(prompt->tokens);
    *prompt = (dn_prompt){0};
}
