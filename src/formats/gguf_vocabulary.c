/*
 * A tokenizer as GGUF files hold it. Model "gpt2": byte-level tokens as their printable stand-ins, the list of merges, and the
 * name of a known way to split texts into words. Model "llama": tokens of characters with scores, where the two neighbours
 * merge that make the token of the highest score. A tokenizer that neither says is refused: with another way to split, words
 * would become other tokens, and nobody would notice.
 */
#include "formats/gguf.h"

#include "base/fail.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Kinds of tokens, by their numbers in the format. */
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

static const char mark[] = "\xe2\x96\x81"; /* for a space */

/* ---- a token's text and kind ---- */

static void put_character(FILE *out, uint32_t c)
{
    if (c >= 0x80)
        fputc((int)(0xc0 | c >> 6), out);
    fputc((int)(c < 0x80 ? c : 0x80 | (c & 0x3f)), out);
}

/* Bytes of a word as the file shows them. */
static void put_word(FILE *out, const char *bytes, size_t n, bool byte_level)
{
    uint32_t stand_ins[256];
    dn_stand_ins(stand_ins);
    for (size_t i = 0; i < n; i++)
        if (byte_level)
            put_character(out, stand_ins[(unsigned char)bytes[i]]);
        else if (bytes[i] == ' ')
            fputs(mark, out);
        else
            fputc(bytes[i], out);
}

static const dn_added *added_of(const dn_tokenizer *t, int32_t id)
{
    for (size_t i = 0; i < t->n_added; i++)
        if (t->added[i].id == id)
            return &t->added[i];
    return NULL;
}

static int kind_of(const dn_tokenizer *t, int32_t id)
{
    if ((size_t)id >= t->size || !t->tokens[id].bytes)
        return UNUSED;
    const dn_added *added = added_of(t, id);
    if (id == t->unknown && !t->byte_level)
        return UNKNOWN;
    if (added)
        return added->special ? CONTROL : USER_DEFINED;
    if (!t->tokens[id].added)
        return NORMAL;
    return t->tokens[id].n == 1 && t->byte_ids[(unsigned char)t->tokens[id].bytes[0]] == id ? BYTE : CONTROL;
}

static void put_token(FILE *out, const dn_tokenizer *t, int32_t id)
{
    const dn_token *token = (size_t)id < t->size ? &t->tokens[id] : NULL;
    switch (kind_of(t, id)) {
    case UNUSED: fprintf(out, "[PAD%d]", id); break;
    case UNKNOWN: fputs("<unk>", out); break;
    case BYTE: fprintf(out, "<0x%02X>", (unsigned char)token->bytes[0]); break;
    case NORMAL: put_word(out, token->bytes, token->n, t->byte_level); break;
    default: fwrite(token->bytes, 1, token->n, out);
    }
}

/* A text of memory, of which only one is under way. */
static dn_status put_tokens(dn_gguf_keys *keys, const dn_tokenizer *t, size_t V)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *one = open_memstream(&text, &bytes);
    if (!one)
        return dn_fail(DN_ERR_MEMORY, "no memory for a token");
    dn_gguf_array(keys, "tokens", DN_GGUF_TEXT, V);
    for (int32_t id = 0; (size_t)id < V; id++) {
        rewind(one);
        put_token(one, t, id);
        fflush(one);
        dn_gguf_string(keys->out, text, bytes);
    }
    fclose(one);
    free(text);
    dn_gguf_array(keys, "token_type", DN_GGUF_I32, V);
    for (int32_t id = 0; (size_t)id < V; id++)
        fwrite(&(int32_t){kind_of(t, id)}, sizeof(int32_t), 1, keys->out);
    return DN_OK;
}

/* ---- merges ---- */

static int by_rank(const void *a, const void *b)
{
    const dn_merge *x = a, *y = b;
    if (x->rank != y->rank)
        return (x->rank > y->rank) - (x->rank < y->rank);
    if (x->left != y->left)
        return (x->left > y->left) - (x->left < y->left);
    return (x->right > y->right) - (x->right < y->right);
}

/* All merges in their order; the caller frees them. */
static dn_status sort_merges(const dn_tokenizer *t, dn_merge **out)
{
    size_t n = 0;
    *out = calloc(t->n_merges + 1, sizeof **out);
    if (!*out)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu merges", t->n_merges);
    for (size_t i = 0; i < t->merges_room; i++)
        if (t->merges[i].rank >= 0)
            (*out)[n++] = t->merges[i];
    qsort(*out, n, sizeof **out, by_rank);
    return DN_OK;
}

static dn_status put_merges(dn_gguf_keys *keys, const dn_tokenizer *t)
{
    dn_merge *merges;
    DN_TRY(sort_merges(t, &merges));
    dn_gguf_array(keys, "merges", DN_GGUF_TEXT, t->n_merges);
    for (size_t i = 0; i < t->n_merges; i++) {
        char *text = NULL;
        size_t bytes = 0;
        FILE *one = open_memstream(&text, &bytes);
        if (!one) {
            free(merges);
            return dn_fail(DN_ERR_MEMORY, "no memory for a merge");
        }
        put_token(one, t, merges[i].left);
        fputc(' ', one);
        put_token(one, t, merges[i].right);
        fclose(one);
        dn_gguf_string(keys->out, text, bytes);
        free(text);
    }
    free(merges);
    return DN_OK;
}

/* Scores are less the ranks of merges. That is the same only if whatever two tokens make a third merges, at one place in the
 * order of thirds. */
static dn_status put_scores(dn_gguf_keys *keys, const dn_tokenizer *t, size_t V)
{
    dn_merge *merges;
    float *scores = calloc(V + 1, sizeof *scores);
    size_t n_pairs = 0, n_broken = 0;
    for (size_t id = 0; id < t->size; id++)
        for (size_t n = 1; !t->tokens[id].added && n < t->tokens[id].n; n++)
            n_pairs += dn_tokenizer_find(t, t->tokens[id].bytes, n) >= 0 &&
                       dn_tokenizer_find(t, t->tokens[id].bytes + n, t->tokens[id].n - n) >= 0;
    dn_status status = scores ? sort_merges(t, &merges) : dn_fail(DN_ERR_MEMORY, "no memory for %zu scores", V);
    if (status != DN_OK) {
        free(scores);
        return status;
    }
    for (size_t i = 0; i < t->n_merges; i++) {
        bool first = scores[merges[i].id] == 0;
        n_broken += !first && merges[i - 1].id != merges[i].id && merges[i - 1].rank != merges[i].rank;
        if (first)
            scores[merges[i].id] = -1 - (float)merges[i].rank;
    }
    for (int32_t id = 0; (size_t)id < V; id++)
        if (scores[id] == 0 && kind_of(t, id) == NORMAL) /* which merges make no more */
            scores[id] = -2 - (float)t->n_merges;
    dn_gguf_array(keys, "scores", DN_GGUF_F32, V);
    fwrite(scores, sizeof *scores, V, keys->out);
    free(scores);
    free(merges);
    if (n_pairs == t->n_merges && n_broken == 0)
        return DN_OK;
    return dn_fail(DN_ERR_DATA,
                   "%s: its merges are not those of a SentencePiece vocabulary (%zu of %zu pairs, %zu out of order), and GGUF has "
                   "no other of characters; export as hf",
                   t->path, t->n_merges, n_pairs, n_broken);
}

/* ---- all of it ---- */

/* What the same way to split is called there; NULL: it has no name. */
static const char *name_of_split(const dn_tokenizer *t)
{
    static const struct {
        const char *name, *patterns[2];
    } known[] = {{"gpt-2", {DN_PATTERN_GPT2}},
                 {"llama-bpe", {DN_PATTERN_CL100K("{1,3}")}},
                 {"qwen2", {DN_PATTERN_CL100K("")}},
                 {"smollm", {"\\p{N}", DN_PATTERN_GPT2}}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = known[i].patterns[1] ? 2 : 1;
        bool same = t->n_splits == n;
        for (size_t k = 0; same && k < n; k++)
            same = t->splits[k].keep == DN_SPLIT_ISOLATED && strcmp(t->splits[k].pattern, known[i].patterns[k]) == 0;
        if (same)
            return known[i].name;
    }
    return NULL;
}

/* NFC is left to those who write texts: programs on ggml do not normalize. */
static dn_status put_byte_level(dn_gguf_keys *keys, const dn_tokenizer *t, size_t V)
{
    const char *split = name_of_split(t);
    if (!split)
        return dn_fail(DN_ERR_DATA,
                       "%s: it splits texts into words in a way that has no name here in GGUF (gpt-2, llama-bpe, qwen2, "
                       "smollm); export as hf",
                       t->path);
    for (size_t i = 0; i < t->n_normalizers; i++)
        if (t->normalizers[i].what != DN_NORMALIZE_NFC)
            return dn_fail(DN_ERR_DATA, "%s: GGUF cannot say that texts are changed before they are split; export as hf", t->path);
    dn_gguf_text(keys, "model", "gpt2");
    dn_gguf_text(keys, "pre", split);
    DN_TRY(put_tokens(keys, t, V));
    return put_merges(keys, t);
}

static dn_status put_characters(dn_gguf_keys *keys, const dn_tokenizer *t, size_t V)
{
    bool prefix = false;
    for (size_t i = 0; i < t->n_normalizers; i++) {
        const dn_normalizer *n = &t->normalizers[i];
        prefix = prefix || n->what == DN_NORMALIZE_PREPEND;
        if (n->what == DN_NORMALIZE_NFC || (n->what == DN_NORMALIZE_REPLACE && strcmp(n->from, mark) != 0))
            return dn_fail(DN_ERR_DATA, "%s: GGUF cannot say that texts are changed before they are split; export as hf", t->path);
    }
    dn_gguf_text(keys, "model", "llama");
    dn_gguf_text(keys, "pre", "default");
    dn_gguf_bool(keys, "add_space_prefix", prefix);
    DN_TRY(put_tokens(keys, t, V));
    return put_scores(keys, t, V);
}

static void put_ends(dn_gguf_keys *keys, const dn_tokenizer *t)
{
    if (t->begin >= 0)
        dn_gguf_u32(keys, "bos_token_id", (size_t)t->begin);
    if (t->end >= 0)
        dn_gguf_u32(keys, "eos_token_id", (size_t)t->end);
    if (t->unknown >= 0 && !t->byte_level)
        dn_gguf_u32(keys, "unknown_token_id", (size_t)t->unknown);
    dn_gguf_bool(keys, "add_bos_token", t->begin >= 0);
    dn_gguf_bool(keys, "add_eos_token", false);
}

/* A vocabulary of bytes is a byte-level one without merges. */
static dn_status put_bytes(dn_gguf_keys *keys, size_t V)
{
    char bytes[256];
    dn_token tokens[256];
    dn_merge none = {.rank = -1};
    dn_tokenizer t = {.tokens = tokens, .size = V, .merges = &none, .merges_room = 1, .byte_level = true, .begin = -1, .end = -1,
                      .unknown = -1};
    for (size_t b = 0; b < V; b++) {
        bytes[b] = (char)b;
        tokens[b] = (dn_token){.bytes = &bytes[b], .n = 1};
    }
    dn_gguf_text(keys, "model", "gpt2");
    dn_gguf_text(keys, "pre", "gpt-2");
    DN_TRY(put_tokens(keys, &t, V));
    DN_TRY(put_merges(keys, &t));
    put_ends(keys, &t);
    return DN_OK;
}

dn_status dn_gguf_vocabulary(dn_gguf_keys *keys, const dn_tokenizer *t, size_t V)
{
    if (!t && V <= 256)
        return put_bytes(keys, V);
    if (!t) {
        dn_gguf_text(keys, "model", "no_vocab");
        return DN_OK;
    }
    if (t->decode_only)
        return dn_fail(DN_ERR_DATA, "%s can only decode: GGUF needs a tokenizer that encodes", t->path);
    DN_TRY(t->byte_level ? put_byte_level(keys, t, V) : put_characters(keys, t, V));
    put_ends(keys, t);
    return DN_OK;
}
