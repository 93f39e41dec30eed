/* Rank files of tiktoken: "BASE64 RANK" a line; a token's rank is its id, and any two tokens that are a third
 * one together merge. Such a file says nothing of how texts are split, or of special tokens: both are those
 * of the known vocabularies, which differ in their number of ranks. */
#include "text/tokenizer.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

#define LLAMA3 DN_PATTERN_CL100K("{1,3}")
#define QWEN   DN_PATTERN_CL100K("")

static const struct vocabulary {
    int32_t ranks;
    const char *pattern;
    bool nfc;
    struct {
        int32_t id;
        const char *text;
    } special[6];
    const char *begin;
} vocabularies[] = {
    {50256, DN_PATTERN_GPT2, false, {{50256, "<|endoftext|>"}}, NULL},
    {100256,
     LLAMA3,
     false,
     {{100257, "<|endoftext|>"},
      {100258, "<|fim_prefix|>"},
      {100259, "<|fim_middle|>"},
      {100260, "<|fim_suffix|>"},
      {100276, "<|endofprompt|>"}},
     NULL},
    {128000,
     LLAMA3,
     false,
     {{128000, "<|begin_of_text|>"},
      {128001, "<|end_of_text|>"},
      {128006, "<|start_header_id|>"},
      {128007, "<|end_header_id|>"},
      {128009, "<|eot_id|>"}},
     "<|begin_of_text|>"},
    {151643, QWEN, true, {{151643, "<|endoftext|>"}, {151644, "<|im_start|>"}, {151645, "<|im_end|>"}}, NULL},
};

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Decodes base64 up to what is no digit; out has room for as many bytes. */
static size_t decode(const char **text, char *out)
{
    size_t n = 0;
    unsigned bits = 0, value = 0;
    for (int d; (d = digit(**text)) >= 0; ++*text) {
        value = value << 6 | (unsigned)d;
        bits += 6;
        if (bits >= 8)
            out[n++] = (char)(value >> (bits -= 8));
    }
    while (**text == '=')
        ++*text;
    return n;
}

static dn_status read_ranks(dn_tokenizer *t, const char *content)
{
    size_t line = 1;
    for (const char *at = content; *at; line++) {
        char bytes[1024], *end;
        size_t digits = strcspn(at, " \n");
        if (digits > sizeof bytes)
            return dn_fail(DN_ERR_DATA, "line %zu: a token of more than %zu digits", line, sizeof bytes);
        size_t n = decode(&at, bytes);
        long rank = *at == ' ' ? strtol(at, &end, 10) : -1;
        if (n == 0 || rank < 0 || (*end != '\n' && *end != '\0'))
            return dn_fail(DN_ERR_DATA,
                           "line %zu is not a token in base64 and its rank: no tokenizer that is known here",
                           line);
        DN_TRY(dn_tokenizer_add(t, rank, bytes, n, false));
        at = end + (*end == '\n');
    }
    return DN_OK;
}

dn_status dn_tokenizer_read_tiktoken(dn_tokenizer *t, const char *content, size_t n)
{
    if (memchr(content, '\0', n))
        return dn_fail(DN_ERR_DATA, "is no tokenizer that is known here");
    DN_TRY(read_ranks(t, content));
    const struct vocabulary *v = vocabularies,
                            *all_end = vocabularies + sizeof vocabularies / sizeof *vocabularies;
    while (v < all_end && (size_t)v->ranks != t->size)
        v++;
    if (v == all_end)
        return dn_fail(
            DN_ERR_DATA,
            "%zu ranks are of no vocabulary whose pattern is known (GPT-2 50256, cl100k 100256, Llama 3 "
            "128000, Qwen 151643): convert it to tokenizer.json",
            t->size);
    size_t n_ranks = t->size;
    for (size_t i = 0; i < sizeof v->special / sizeof *v->special && v->special[i].text; i++) {
        DN_TRY(dn_tokenizer_add(t, v->special[i].id, v->special[i].text, strlen(v->special[i].text), true));
        DN_TRY(dn_tokenizer_add_added(t, (dn_added){.id = v->special[i].id, .special = true}));
    }
    int32_t *ranks = malloc(t->size * sizeof *ranks);
    if (!ranks)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu ranks", t->size);
    for (size_t id = 0; id < t->size; id++)
        ranks[id] = id < n_ranks && t->tokens[id].bytes ? (int32_t)id : -1;
    dn_status status = dn_tokenizer_index(t, 8 * n_ranks);
    if (status == DN_OK)
        status = dn_tokenizer_merge_all(t, ranks);
    free(ranks);
    DN_TRY(status);
    for (size_t b = 0; b < 256; b++)
        t->byte_ids[b] = dn_tokenizer_find(t, (const char[]){(char)b}, 1);
    t->byte_level = t->whole_first = true;
    t->begin = v->begin ? dn_tokenizer_special(t, v->begin) : -1;
    if (v->nfc)
        DN_TRY(dn_tokenizer_add_normalizer(t, (dn_normalizer){.what = DN_NORMALIZE_NFC}));
    return dn_tokenizer_add_split(t, v->pattern, DN_SPLIT_ISOLATED);
}
