/*
 * As the trainer of huggingface/tokenizers does it, to the same merges: tokens are <|endoftext|>, the 256
 * bytes in the order of their stand-ins, then what merges. The pair that is most frequent in all words merges
 * next, of several the one with the smaller ids. A pair whose bytes are a token already becomes that token.
 *
 *     texts    each different word
 *     words    its count and its tokens, which shrink
 *     pairs    by hash: how often, and in which words (or once was)
 *     heap     pairs by count as it was when they were put there: what is out of date goes back with its new
 * one
 */
#include "text/train.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/heap.h"
#include "text/byte_set.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { FIRST_BYTE = 1 };
static const char end_of_text[] = "<|endoftext|>";

typedef struct word {
    uint64_t count;
    int32_t *ids; /* [n], owned */
    uint32_t n;
} word;

typedef struct pair {
    int32_t left, right;
    int64_t count;   /* < 0: the place is empty */
    uint32_t *words; /* [n], owned; some have it no longer */
    uint32_t n, room;
    bool raised; /* by the present merge */
} pair;

typedef struct entry {
    int64_t count;
    int32_t left, right;
} entry;

struct dn_bpe_trainer {
    dn_split split;
    dn_splitter *splitter;
    dn_byte_set texts;
    word *words; /* [texts.n] */
    size_t words_room;
    pair *pairs; /* [pairs_room] */
    size_t n_pairs, pairs_room;
    entry *heap;
    size_t n_heap, heap_room;
    dn_byte_set tokens; /* that of end_of_text is empty: no merge makes it */
    entry *merges; /* [n_merges] */
    size_t n_merges;
    entry *raised; /* [n_raised]: pairs that came with the present merge */
    size_t n_raised, raised_room;
    bool no_memory; /* something could not be stored: all is lost */
};

/* Room for one more element. */
static void *grown(dn_bpe_trainer *t, void *array, size_t n, size_t *room, size_t bytes)
{
    if (n < *room)
        return array;
    size_t more = *room ? 2 * *room : 1024;
    void *larger = realloc(array, more * bytes);
    if (!larger)
        t->no_memory = true;
    else
        *room = more;
    return larger ? larger : array;
}

static dn_status out_of_memory(const dn_bpe_trainer *t)
{
    return dn_fail(DN_ERR_MEMORY, "no memory for %zu words that differ and their %zu pairs", t->texts.n,
                   t->n_pairs);
}

dn_status dn_bpe_trainer_create(dn_bpe_trainer **out)
{
    *out = NULL;
    dn_bpe_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return dn_fail(DN_ERR_MEMORY, "no memory to train a tokenizer");
    dn_status status = dn_split_compile(DN_PATTERN_GPT2, DN_SPLIT_ISOLATED, &t->split);
    if (status == DN_OK && !(t->splitter = dn_splitter_create(&t->split)))
        status = dn_fail(DN_ERR_MEMORY, "no memory to train a tokenizer");
    if (status != DN_OK)
        dn_bpe_trainer_destroy(&t);
    *out = t;
    return status;
}

void dn_bpe_trainer_destroy(dn_bpe_trainer **trainer)
{
    dn_bpe_trainer *t = *trainer;
    *trainer = NULL;
    if (!t)
        return;
    for (size_t i = 0; i < t->texts.n; i++)
        free(t->words[i].ids);
    for (size_t i = 0; i < t->pairs_room; i++)
        free(t->pairs[i].words);
    dn_byte_set_free(&t->texts);
    dn_byte_set_free(&t->tokens);
    dn_splitter_destroy(t->splitter);
    dn_split_free(&t->split);
    free(t->words);
    free(t->pairs);
    free(t->heap);
    free(t->merges);
    free(t->raised);
    free(t);
}

/* ---- words ---- */

static void count_word(dn_bpe_trainer *t, const char *bytes, size_t n)
{
    size_t known = t->texts.n;
    t->words = grown(t, t->words, known, &t->words_room, sizeof *t->words);
    size_t i = t->no_memory ? SIZE_MAX : dn_byte_set_add(&t->texts, bytes, n);
    if (i == SIZE_MAX) {
        t->no_memory = true;
        return;
    }
    if (i == known)
        t->words[i] = (word){0};
    t->words[i].count++;
}

dn_status dn_bpe_trainer_count(dn_bpe_trainer *t, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t valid = 0; /* bytes from `at` on that are UTF-8 */
        utf8proc_int32_t c;
        for (utf8proc_ssize_t got; at + valid < n; valid += (size_t)got) {
            got = utf8proc_iterate((const utf8proc_uint8_t *)text + at + valid,
                                   (utf8proc_ssize_t)(n - at - valid), &c);
            if (got <= 0)
                break;
        }
        for (size_t from = 0, to; from < valid; from = to) {
            to = dn_split_next(t->splitter, text + at, valid, from);
            if (to == 0)
                return dn_fail(DN_ERR_MEMORY, "no memory to split a text of %zu bytes into words", valid);
            count_word(t, text + at + from, to - from);
        }
        at += valid + 1;
    }
    return t->no_memory ? out_of_memory(t) : DN_OK;
}

static bool is_visible(char c)
{
    return c > ' ' && c < 0x7f;
}

size_t dn_text_cut(const char *text, size_t n)
{
    for (size_t at = n; at-- > 2;) /* where the second part would begin */
        if (text[at - 1] == '\n' && is_visible(text[at - 2]) && is_visible(text[at]))
            return at;
    return 0;
}

/* ---- pairs ---- */

static pair *pair_place(const dn_bpe_trainer *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t i = (key * 0x9E3779B97F4A7C15u) >> 32;; i++) {
        pair *p = &t->pairs[i & (t->pairs_room - 1)];
        if (p->count < 0 || (p->left == left && p->right == right))
            return p;
    }
}

static void index_pairs(dn_bpe_trainer *t, size_t room)
{
    pair *old = t->pairs, *pairs = calloc(room, sizeof *pairs);
    size_t old_room = t->pairs_room;
    if (!pairs) {
        t->no_memory = true;
        return;
    }
    for (size_t i = 0; i < room; i++)
        pairs[i].count = -1;
    t->pairs = pairs;
    t->pairs_room = room;
    for (size_t i = 0; i < old_room; i++)
        if (old[i].count >= 0)
            *pair_place(t, old[i].left, old[i].right) = old[i];
    free(old);
}

/* count more (or less) of a pair; a pair that is new in a word gets the word on its list. */
static void count_pair(dn_bpe_trainer *t, int32_t left, int32_t right, int64_t count, size_t index,
                       bool is_new)
{
    if (2 * (t->n_pairs + 1) > t->pairs_room)
        index_pairs(t, t->pairs_room ? 2 * t->pairs_room : 1 << 16);
    if (t->no_memory)
        return;
    pair *p = pair_place(t, left, right);
    if (p->count < 0) {
        *p = (pair){.left = left, .right = right};
        t->n_pairs++;
    }
    p->count += count;
    if (!is_new || (p->n > 0 && p->words[p->n - 1] == index))
        return;
    size_t room = p->room;
    p->words = grown(t, p->words, p->n, &room, sizeof *p->words);
    p->room = (uint32_t)room;
    if (!t->no_memory)
        p->words[p->n++] = (uint32_t)index;
    if (!p->raised) {
        p->raised = true;
        t->raised = grown(t, t->raised, t->n_raised, &t->raised_room, sizeof *t->raised);
        if (!t->no_memory)
            t->raised[t->n_raised++] = (entry){0, left, right};
    }
}

/* newest: pairs with this token are new in the word; ANY: all are; NONE: all go. */
enum { ANY = -1, NONE = -2 };
static void count_pairs(dn_bpe_trainer *t, size_t index, int32_t newest)
{
    const word *w = &t->words[index];
    int64_t count = newest == NONE ? -(int64_t)w->count : (int64_t)w->count;
    for (uint32_t i = 0; i + 1 < w->n; i++)
        count_pair(t, w->ids[i], w->ids[i + 1], count, index,
                   newest == ANY || w->ids[i] == newest || w->ids[i + 1] == newest);
}

/* ---- the heap ---- */

static bool before(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count;
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static void push(dn_bpe_trainer *t, entry e)
{
    t->heap = grown(t, t->heap, t->n_heap, &t->heap_room, sizeof *t->heap);
    if (!t->no_memory)
        dn_heap_push(t->heap, &t->n_heap, sizeof e, before, &e);
}

/* Pairs whose count has risen, with what it is now. */
static void push_raised(dn_bpe_trainer *t)
{
    for (size_t i = 0; i < t->n_raised && !t->no_memory; i++) {
        pair *p = pair_place(t, t->raised[i].left, t->raised[i].right);
        p->raised = false;
        push(t, (entry){p->count, p->left, p->right});
    }
    t->n_raised = 0;
}

/* ---- training ---- */

static int32_t token(dn_bpe_trainer *t, const char *bytes, size_t n)
{
    size_t id = dn_byte_set_add(&t->tokens, bytes, n);
    t->no_memory |= id == SIZE_MAX;
    return (int32_t)id;
}

/* <|endoftext|> and all bytes; words as bytes. */
static void begin(dn_bpe_trainer *t)
{
    uint32_t of[256];
    int32_t id_of[256];
    dn_stand_ins(of);
    token(t, "", 0);
    for (uint32_t stand_in = 0; stand_in < DN_STAND_INS; stand_in++)
        for (int b = 0; b < 256; b++)
            if (of[b] == stand_in)
                id_of[b] = token(t, (const char[]){(char)b}, 1);
    for (size_t i = 0; i < t->texts.n && !t->no_memory; i++) {
        const dn_bytes *text = &t->texts.all[i];
        word *w = &t->words[i];
        w->n = text->n;
        w->ids = malloc(w->n * sizeof *w->ids);
        t->no_memory = !w->ids;
        for (uint32_t j = 0; w->ids && j < w->n; j++)
            w->ids[j] = id_of[(unsigned char)text->at[j]];
        if (w->ids)
            count_pairs(t, i, ANY);
    }
    push_raised(t);
}

/* The token with the bytes of both; a new one if there is none. */
static int32_t joined(dn_bpe_trainer *t, int32_t left, int32_t right)
{
    const dn_bytes *l = &t->tokens.all[left], *r = &t->tokens.all[right];
    char *both = malloc((size_t)l->n + r->n);
    int32_t id = 0;
    t->no_memory |= !both;
    if (both) {
        memcpy(both, l->at, l->n);
        memcpy(both + l->n, r->at, r->n);
        id = token(t, both, (size_t)l->n + r->n);
    }
    free(both);
    return id;
}

static void merge_in(dn_bpe_trainer *t, size_t index, const entry *e, int32_t id)
{
    word *w = &t->words[index];
    uint32_t n = 0;
    count_pairs(t, index, NONE);
    for (uint32_t i = 0; i < w->n; i++) {
        bool here = i + 1 < w->n && w->ids[i] == e->left && w->ids[i + 1] == e->right;
        w->ids[n++] = here ? id : w->ids[i];
        i += here;
    }
    w->n = n;
    count_pairs(t, index, id);
}

static void train(dn_bpe_trainer *t, size_t size, void (*progress)(uint64_t, uint64_t, void *), void *context)
{
    size_t merges_room = 0;
    while (t->tokens.n < size && t->n_heap > 0 && !t->no_memory) {
        entry e;
        dn_heap_pop(t->heap, &t->n_heap, sizeof e, before, &e);
        pair *p = pair_place(t, e.left, e.right);
        if (p->count != e.count || e.count == 0) {
            if (p->count > 0 && p->count < e.count)
                push(t, (entry){p->count, e.left, e.right});
            continue;
        }
        int32_t id = joined(t, e.left, e.right);
        t->merges = grown(t, t->merges, t->n_merges, &merges_room, sizeof *t->merges);
        if (t->no_memory)
            return;
        t->merges[t->n_merges++] = e;
        uint32_t *words = p->words, n = p->n;
        p->words = NULL;
        p->n = p->room = 0;
        for (uint32_t i = 0; i < n; i++)
            merge_in(t, words[i], &e, id);
        free(words);
        push_raised(t);
        if (progress)
            progress(t->tokens.n, size, context);
    }
}

/* ---- the file ---- */

static json_t *stand_ins(const uint32_t of[256], const dn_bytes *token)
{
    char *text = malloc(2 * (size_t)token->n + 4); /* what is written last may take 4 bytes */
    size_t k = 0;
    for (size_t i = 0; text && i < token->n; i++)
        k += (size_t)utf8proc_encode_char((utf8proc_int32_t)of[(unsigned char)token->at[i]],
                                          (utf8proc_uint8_t *)text + k);
    json_t *string = text ? json_stringn(text, k) : NULL;
    free(text);
    return string;
}

static json_t *describe(const dn_bpe_trainer *t)
{
    uint32_t of[256];
    dn_stand_ins(of);
    json_t *vocabulary = json_object(), *merges = json_array();
    json_object_set_new(vocabulary, end_of_text, json_integer(0));
    for (size_t id = FIRST_BYTE; id < t->tokens.n; id++) {
        json_t *text = stand_ins(of, &t->tokens.all[id]);
        json_object_set_new(vocabulary, json_string_value(text), json_integer((json_int_t)id));
        json_decref(text);
    }
    for (size_t i = 0; i < t->n_merges; i++) {
        const entry *m = &t->merges[i];
        json_t *both = json_array();
        json_array_append_new(both, stand_ins(of, &t->tokens.all[m->left]));
        json_array_append_new(both, stand_ins(of, &t->tokens.all[m->right]));
        json_array_append_new(merges, both);
    }
    return json_pack(
        "{s:s, s:n, s:n, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:n, s:{s:s, s:b, s:b, s:b}, s:n,"
        " s:{s:s, s:b, s:b, s:b}, s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}}",
        "version", "1.0", "truncation", "padding", "added_tokens", "id", 0, "content", end_of_text,
        "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1, "normalizer",
        "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1,
        "post_processor", "decoder", "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1,
        "use_regex", 1, "model", "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix",
        "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0, "vocab", vocabulary,
        "merges", merges);
}

static void print_text(FILE *out, void *text)
{
    fputs(text, out);
}

dn_status dn_bpe_trainer_write(dn_bpe_trainer *t, size_t size, const char *path,
                               void (*progress)(uint64_t, uint64_t, void *), void *context, size_t *made)
{
    begin(t);
    train(t, size, progress, context);
    if (t->no_memory)
        return out_of_memory(t);
    json_t *root = describe(t);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(root);
    if (!text)
        return out_of_memory(t);
    dn_status status = dn_atomic_file_print(path, print_text, text);
    free(text);
    *made = t->tokens.n;
    return status;
}
