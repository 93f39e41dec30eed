#include "text/tokenizer.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <xxhash.h>

/* Words seen before, with their ids: most words of a text. */
enum { CACHE = 1 << 16, CACHE_WORD = 22, CACHE_IDS = 8 };
typedef struct cached {
    uint8_t n, n_ids;
    char word[CACHE_WORD];
    int32_t ids[CACHE_IDS];
} cached;

struct dn_encoder {
    const dn_tokenizer *t;
    dn_splitter *splitters[DN_SPLITS_MAX]; /* [t->n_splits] */
    cached *cache;                         /* [CACHE] */
    dn_bpe_memory bpe;
    int32_t *ids; /* [room]; the first n are the text's */
    size_t n, room;
};

dn_status dn_encoder_create(const dn_tokenizer *t, dn_encoder **out)
{
    *out = NULL;
    if (t->decode_only)
        return dn_fail(DN_ERR_DATA,
                       "this tokenizer has no merges and can only decode: take the tokenizer.json or "
                       "*.tiktoken that it was made of");
    dn_encoder *e = calloc(1, sizeof *e);
    bool fine = e && (e->cache = calloc(CACHE, sizeof *e->cache));
    for (size_t i = 0; fine && i < t->n_splits; i++)
        fine = (e->splitters[i] = dn_splitter_create(&t->splits[i])) != NULL;
    if (!fine) {
        dn_encoder_destroy(&e);
        return dn_fail(DN_ERR_MEMORY, "no memory to encode text");
    }
    e->t = t;
    *out = e;
    return DN_OK;
}

void dn_encoder_destroy(dn_encoder **encoder)
{
    dn_encoder *e = *encoder;
    *encoder = NULL;
    if (!e)
        return;
    for (size_t i = 0; i < DN_SPLITS_MAX; i++)
        dn_splitter_destroy(e->splitters[i]);
    dn_bpe_free(&e->bpe);
    free(e->cache);
    free(e->ids);
    free(e);
}

static dn_status reserve(dn_encoder *e, size_t more)
{
    if (e->n + more <= e->room)
        return DN_OK;
    size_t room = 2 * (e->n + more);
    int32_t *ids = realloc(e->ids, room * sizeof *ids);
    if (!ids)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu tokens", room);
    e->ids = ids;
    e->room = room;
    return DN_OK;
}

/* ---- the model: one word ---- */

/* Characters of a word as tokens, in ids [n]. */
static dn_status characters(const dn_tokenizer *t, const char *word, size_t n, int32_t *ids, size_t *n_ids)
{
    size_t k = 0;
    for (size_t at = 0, bytes; at < n; at += bytes) {
        utf8proc_int32_t character;
        utf8proc_ssize_t got =
            utf8proc_iterate((const utf8proc_uint8_t *)word + at, (utf8proc_ssize_t)(n - at), &character);
        bytes = got > 0 ? (size_t)got : 1;
        int32_t id = got > 0 ? dn_tokenizer_find(t, word + at, bytes) : -1;
        bool by_byte = id < 0;
        for (size_t i = 0; by_byte && i < bytes; i++)
            by_byte = t->byte_ids[(unsigned char)word[at + i]] >= 0;
        if (by_byte) {
            for (size_t i = 0; i < bytes; i++)
                ids[k++] = t->byte_ids[(unsigned char)word[at + i]];
            continue;
        }
        if (id < 0)
            id = t->unknown;
        if (id < 0)
            return dn_fail(DN_ERR_DATA, "the vocabulary has neither the character '%.*s' nor its bytes",
                           (int)bytes, word + at);
        if (id != t->unknown || !t->fuse_unknown || k == 0 || ids[k - 1] != id)
            ids[k++] = id;
    }
    *n_ids = k;
    return DN_OK;
}

static dn_status encode_word(dn_encoder *e, const char *word, size_t n)
{
    const dn_tokenizer *t = e->t;
    cached *c = n <= CACHE_WORD ? &e->cache[XXH3_64bits(word, n) % CACHE] : NULL;
    DN_TRY(reserve(e, n + CACHE_IDS));
    int32_t *ids = e->ids + e->n, whole;
    if (c && c->n == n && memcmp(c->word, word, n) == 0) {
        memcpy(ids, c->ids, sizeof c->ids);
        e->n += c->n_ids;
        return DN_OK;
    }
    size_t n_ids;
    if (t->whole_first && (whole = dn_tokenizer_find(t, word, n)) >= 0) {
        ids[0] = whole;
        n_ids = 1;
    } else {
        n_ids = n;
        for (size_t i = 0; t->byte_level && i < n; i++) {
            ids[i] = t->byte_ids[(unsigned char)word[i]];
            if (ids[i] < 0)
                return dn_fail(DN_ERR_DATA, "the vocabulary has no token for the byte 0x%02x",
                               (unsigned char)word[i]);
        }
        if (!t->byte_level)
            DN_TRY(characters(t, word, n, ids, &n_ids));
        DN_TRY(dn_bpe(t, &e->bpe, ids, n_ids, &n_ids));
    }
    if (c && n_ids <= CACHE_IDS) {
        *c = (cached){.n = (uint8_t)n, .n_ids = (uint8_t)n_ids};
        memcpy(c->word, word, n);
        memcpy(c->ids, ids, n_ids * sizeof *ids);
    }
    e->n += n_ids;
    return DN_OK;
}

/* ---- pre-tokenization ---- */

/* Words of valid UTF-8, by the patterns from `level` on. */
static dn_status encode_words(dn_encoder *e, size_t level, const char *text, size_t n)
{
    if (level == e->t->n_splits)
        return encode_word(e, text, n);
    for (size_t at = 0, end; at < n; at = end) {
        end = dn_split_next(e->splitters[level], text, n, at);
        if (end == 0)
            return dn_fail(DN_ERR_MEMORY, "no memory to match a pattern in a text of %zu bytes", n);
        DN_TRY(encode_words(e, level + 1, text + at, end - at));
    }
    return DN_OK;
}

/* ---- normalization ---- */

static char *replace(const char *text, size_t n, const char *from, const char *to, size_t *n_out)
{
    size_t n_from = strlen(from), n_to = strlen(to), at = 0, k = 0;
    char *out = malloc(n * (n_to > n_from ? (n_to + n_from - 1) / n_from : 1) + n_to + 1);
    while (out && at < n) {
        if (n - at >= n_from && memcmp(text + at, from, n_from) == 0) {
            memcpy(out + k, to, n_to);
            k += n_to;
            at += n_from;
        } else {
            out[k++] = text[at++];
        }
    }
    *n_out = k;
    return out;
}

/* What the normalizer makes of a text of n > 0 bytes: owned by the caller; NULL: no memory. */
static char *normalized(const dn_normalizer *normalizer, const char *text, size_t n, size_t *n_out)
{
    switch (normalizer->what) {
    case DN_NORMALIZE_NFC: {
        utf8proc_uint8_t *out = NULL;
        utf8proc_ssize_t got = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &out,
                                            UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        *n_out = got > 0 ? (size_t)got : 0;
        return got >= 0 ? (char *)out : NULL;
    }
    case DN_NORMALIZE_PREPEND: {
        size_t n_to = strlen(normalizer->to);
        bool there = normalizer->unless_there && n >= n_to && memcmp(text, normalizer->to, n_to) == 0;
        char *out = malloc(n + n_to);
        if (out && !there)
            memcpy(out, normalizer->to, n_to);
        if (out)
            memcpy(out + (there ? 0 : n_to), text, n);
        *n_out = there ? n : n + n_to;
        return out;
    }
    case DN_NORMALIZE_REPLACE:
        return replace(text, n, normalizer->from, normalizer->to, n_out);
    }
    return NULL;
}

static bool is_ascii(const char *text, size_t n)
{
    unsigned char all = 0;
    for (size_t i = 0; i < n; i++)
        all |= (unsigned char)text[i];
    return all < 0x80;
}

/* Valid UTF-8, of a text or of what lies between its added tokens; prefixed: a prefix is due here. */
static dn_status encode_valid(dn_encoder *e, const char *text, size_t n, bool prefixed)
{
    char *own = NULL;
    const dn_tokenizer *t = e->t;
    for (size_t i = 0; i < t->n_normalizers && n > 0; i++) {
        const dn_normalizer *normalizer = &t->normalizers[i];
        if ((normalizer->what == DN_NORMALIZE_NFC && is_ascii(text, n)) ||
            (normalizer->what == DN_NORMALIZE_PREPEND &&
             (!prefixed || (normalizer->at_start_only && e->n > 0))))
            continue;
        char *next = normalized(normalizer, text, n, &n);
        free(own);
        own = next;
        text = next;
        if (!next)
            return dn_fail(DN_ERR_MEMORY, "no memory to normalize a text of %zu bytes", n);
    }
    dn_status status = DN_OK;
    if (n > 0)
        status = encode_words(e, 0, text, n);
    free(own);
    return status;
}

/* What lies between added tokens: each byte that is not UTF-8 is a word. */
static dn_status encode_piece(dn_encoder *e, const char *text, size_t n, bool prefixed)
{
    size_t first = 0;
    for (size_t at = 0; at <= n; at++) {
        utf8proc_int32_t character;
        utf8proc_ssize_t got = at < n ? utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                         (utf8proc_ssize_t)(n - at), &character)
                                      : -1;
        if (got > 0) {
            at += (size_t)got - 1;
            continue;
        }
        if (at > first)
            DN_TRY(encode_valid(e, text + first, at - first, prefixed && first == 0));
        if (at < n)
            DN_TRY(encode_word(e, text + at, 1));
        first = at + 1;
    }
    return DN_OK;
}

/* ---- added tokens ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The longest added token that begins at `at`, or NULL. */
static const dn_added *added_at(const dn_tokenizer *t, const char *text, size_t n, size_t at)
{
    const dn_added *found = NULL;
    for (size_t i = 0; i < t->n_added; i++) {
        const dn_token *token = &t->tokens[t->added[i].id];
        if (token->n <= n - at && memcmp(token->bytes, text + at, token->n) == 0 &&
            (!found || token->n > t->tokens[found->id].n))
            found = &t->added[i];
    }
    return found;
}

dn_status dn_encode(dn_encoder *e, const char *text, size_t n, const int32_t **ids, size_t *n_ids)
{
    return dn_encode_part(e, text, n, false, ids, n_ids);
}

dn_status dn_encode_part(dn_encoder *e, const char *text, size_t n, bool continues, const int32_t **ids,
                         size_t *n_ids)
{
    const dn_tokenizer *t = e->t;
    bool starts[256] = {false}; /* whether an added token begins with this byte */
    for (size_t i = 0; i < t->n_added; i++)
        starts[(unsigned char)t->tokens[t->added[i].id].bytes[0]] = true;
    e->n = 0;
    size_t first = 0;
    for (size_t at = 0; at < n;) {
        const dn_added *added = starts[(unsigned char)text[at]] ? added_at(t, text, n, at) : NULL;
        if (!added) {
            at++;
            continue;
        }
        size_t end = at + t->tokens[added->id].n, before = at;
        while (added->lstrip && before > first && is_space(text[before - 1]))
            before--;
        while (added->rstrip && end < n && is_space(text[end]))
            end++;
        if (before > first)
            DN_TRY(encode_piece(e, text + first, before - first, !continues || first > 0));
        DN_TRY(reserve(e, 1));
        e->ids[e->n++] = added->id;
        first = at = end;
    }
    if (n > first)
        DN_TRY(encode_piece(e, text + first, n - first, !continues || first > 0));
    *ids = e->ids;
    *n_ids = e->n;
    return DN_OK;
}
