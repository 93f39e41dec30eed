/* Tokens by their bytes, merges by their pair: two hash tables with linear probing, at most half full. */
#include "text/tokenizer.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static size_t room_for(size_t n)
{
    size_t room = 1024;
    while (room < 2 * n)
        room *= 2;
    return room;
}

/* ---- tokens ---- */

dn_status dn_tokenizer_add(dn_tokenizer *t, int64_t id, const char *bytes, size_t n, bool added)
{
    if (id < 0 || id >= DN_TOKENS_MAX || n > UINT32_MAX)
        return dn_fail(DN_ERR_DATA, "id %lld is not from 0 to %d", (long long)id, DN_TOKENS_MAX - 1);
    if ((size_t)id >= t->size) {
        /* Tokens mostly come in the order of their ids: grow by powers of 2. */
        size_t have = t->size ? room_for(t->size) : 0, need = room_for((size_t)id + 1);
        dn_token *tokens = have < need ? realloc(t->tokens, need * sizeof *tokens) : t->tokens;
        if (!tokens)
            return dn_fail(DN_ERR_MEMORY, "no memory for %zu tokens", need);
        t->tokens = tokens;
        memset(tokens + t->size, 0, ((size_t)id + 1 - t->size) * sizeof *tokens);
        t->size = (size_t)id + 1;
    }
    dn_token *token = &t->tokens[id];
    if (token->bytes)
        return dn_fail(DN_ERR_DATA, "id %lld stands for two tokens", (long long)id);
    token->bytes = malloc(n + 1);
    if (!token->bytes)
        return dn_fail(DN_ERR_MEMORY, "no memory for a token of %zu bytes", n);
    memcpy(token->bytes, bytes, n);
    token->bytes[n] = '\0';
    token->n = (uint32_t)n;
    token->added = added;
    t->longest = n > t->longest ? n : t->longest;
    return DN_OK;
}

/* Where a token with these bytes is, or would be: an added one, or one of words. */
static int32_t *place_of(const dn_tokenizer *t, const char *bytes, size_t n, bool added)
{
    for (size_t i = XXH3_64bits_withSeed(bytes, n, added);; i++) {
        int32_t *place = &t->by_bytes[i & (t->by_bytes_room - 1)];
        if (*place < 0)
            return place;
        const dn_token *token = &t->tokens[*place];
        if (token->added == added && token->n == n && memcmp(token->bytes, bytes, n) == 0)
            return place;
    }
}

int32_t dn_tokenizer_find(const dn_tokenizer *t, const char *bytes, size_t n)
{
    return *place_of(t, bytes, n, false);
}

int32_t dn_tokenizer_special(const dn_tokenizer *t, const char *text)
{
    return *place_of(t, text, strlen(text), true);
}

static dn_status make_merges(dn_tokenizer *t, size_t n_merges)
{
    t->merges_room = room_for(n_merges);
    t->merges = malloc(t->merges_room * sizeof *t->merges);
    if (!t->merges)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu merges", n_merges);
    for (size_t i = 0; i < t->merges_room; i++)
        t->merges[i].rank = -1;
    t->n_merges = 0;
    return DN_OK;
}

dn_status dn_tokenizer_index(dn_tokenizer *t, size_t n_merges)
{
    t->by_bytes_room = room_for(t->size);
    t->by_bytes = malloc(t->by_bytes_room * sizeof *t->by_bytes);
    if (!t->by_bytes)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu tokens", t->size);
    memset(t->by_bytes, 0xff, t->by_bytes_room * sizeof *t->by_bytes); /* -1 */
    for (size_t id = 0; id < t->size; id++) {
        const dn_token *token = &t->tokens[id];
        if (!token->bytes)
            continue;
        int32_t *place = place_of(t, token->bytes, token->n, token->added);
        if (*place < 0)
            *place = (int32_t)id;
        else if (!token->added && !t->decode_only)
            return dn_fail(DN_ERR_DATA, "'%s' is token %d and token %zu", token->bytes, *place, id);
    }
    return make_merges(t, n_merges);
}

/* ---- merges ---- */

static dn_merge *merge_place(const dn_tokenizer *t, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t i = (pair * 0x9E3779B97F4A7C15u) >> 32;; i++) {
        dn_merge *m = &t->merges[i & (t->merges_room - 1)];
        if (m->rank < 0 || (m->left == left && m->right == right))
            return m;
    }
}

const dn_merge *dn_tokenizer_merge(const dn_tokenizer *t, int32_t left, int32_t right)
{
    const dn_merge *m = merge_place(t, left, right);
    return m->rank < 0 ? NULL : m;
}

dn_status dn_tokenizer_add_merge(dn_tokenizer *t, int32_t left, int32_t right, int32_t rank, int32_t id)
{
    if (2 * (t->n_merges + 1) > t->merges_room) {
        dn_merge *old = t->merges;
        size_t room = t->merges_room, n = t->n_merges;
        dn_status status = make_merges(t, room);
        if (status != DN_OK) {
            t->merges = old;
            return status;
        }
        for (size_t i = 0; i < room; i++)
            if (old[i].rank >= 0)
                *merge_place(t, old[i].left, old[i].right) = old[i];
        t->n_merges = n;
        free(old);
    }
    dn_merge *m = merge_place(t, left, right);
    if (m->rank >= 0)
        return DN_OK;
    *m = (dn_merge){left, right, rank, id};
    t->n_merges++;
    return DN_OK;
}

dn_status dn_tokenizer_merge_all(dn_tokenizer *t, const int32_t *ranks)
{
    for (size_t id = 0; id < t->size; id++) {
        const dn_token *token = &t->tokens[id];
        for (size_t n = 1; ranks[id] >= 0 && n < token->n; n++) {
            int32_t left = dn_tokenizer_find(t, token->bytes, n);
            int32_t right = left < 0 ? -1 : dn_tokenizer_find(t, token->bytes + n, token->n - n);
            if (right >= 0)
                DN_TRY(dn_tokenizer_add_merge(t, left, right, ranks[id], (int32_t)id));
        }
    }
    return DN_OK;
}

/* ---- what stands before the model ---- */

dn_status dn_tokenizer_add_added(dn_tokenizer *t, dn_added added)
{
    dn_added *all = realloc(t->added, (t->n_added + 1) * sizeof *all);
    if (!all)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu added tokens", t->n_added + 1);
    t->added = all;
    t->added[t->n_added++] = added;
    return DN_OK;
}

dn_status dn_tokenizer_add_normalizer(dn_tokenizer *t, dn_normalizer normalizer)
{
    if (normalizer.from && !*normalizer.from)
        return dn_fail(DN_ERR_DATA, "a normalizer replaces nothing");
    if (t->n_normalizers == DN_NORMALIZERS_MAX)
        return dn_fail(DN_ERR_DATA, "more than %d normalizers", DN_NORMALIZERS_MAX);
    dn_normalizer *n = &t->normalizers[t->n_normalizers++];
    *n = normalizer;
    n->from = normalizer.from ? strdup(normalizer.from) : NULL;
    n->to = normalizer.to ? strdup(normalizer.to) : NULL;
    return !n->from == !normalizer.from && !n->to == !normalizer.to
               ? DN_OK
               : dn_fail(DN_ERR_MEMORY, "no memory for a normalizer");
}

dn_status dn_tokenizer_add_split(dn_tokenizer *t, const char *pattern, dn_split_keep keep)
{
    if (t->n_splits == DN_SPLITS_MAX)
        return dn_fail(DN_ERR_DATA, "more than %d pre-tokenizers", DN_SPLITS_MAX);
    DN_TRY(dn_split_compile(pattern, keep, &t->splits[t->n_splits]));
    t->n_splits++;
    return DN_OK;
}

bool dn_byte_name(const char *name, size_t n, unsigned char *byte)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *high = n == 6 ? strchr(digits, name[3]) : NULL,
               *low = n == 6 ? strchr(digits, name[4]) : NULL;
    if (!high || !low || !*high || !*low || memcmp(name, "<0x", 3) != 0 || name[5] != '>')
        return false;
    *byte = (unsigned char)(16 * (high - digits) + (low - digits));
    return true;
}

static const char mark[] = "\xe2\x96\x81";

size_t dn_replace_marks(char *text, size_t n)
{
    size_t k = 0;
    for (size_t at = 0; at < n; k++) {
        bool here = n - at >= 3 && memcmp(text + at, mark, 3) == 0;
        text[k] = here ? ' ' : text[at];
        at += here ? 3 : 1;
    }
    return k;
}

dn_status dn_tokenizer_add_marks(dn_tokenizer *t)
{
    DN_TRY(dn_tokenizer_add_normalizer(t, (dn_normalizer){DN_NORMALIZE_REPLACE, mark, " ", false, false}));
    for (size_t id = 0; id < t->size; id++) {
        const dn_token *token = &t->tokens[id];
        for (uint32_t i = 1; !token->added && i < token->n; i++)
            if (token->bytes[i] == ' ' && token->bytes[i - 1] != ' ')
                return DN_OK; /* it joins words */
    }
    return dn_tokenizer_add_split(t, " +", DN_SPLIT_WITH_NEXT);
}

void dn_stand_ins(uint32_t of[256])
{
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; b++)
        of[b] = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : next++;
}
