/* Byte pair encoding of one word (Sennrich et al., arXiv 1508.07909): of all adjacent pairs that merge, the
 * one of the lowest rank, the leftmost of these, becomes one token, until no pair merges. */
#include "text/tokenizer.h"

#include "base/fail.h"
#include "base/heap.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT = 48 }; /* tokens of a word that is faster scanned for each merge */

/* ---- short words: the merge of each token with the next one, kept up to date ---- */

static size_t merge_short(const dn_tokenizer *t, int32_t *ids, size_t n)
{
    const dn_merge *merges[SHORT];
    for (size_t i = 0; i + 1 < n; i++)
        merges[i] = dn_tokenizer_merge(t, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = n;
        for (size_t i = 0; i + 1 < n; i++)
            if (merges[i] && (best == n || merges[i]->rank < merges[best]->rank))
                best = i;
        if (best == n)
            break;
        ids[best] = merges[best]->id;
        n--;
        memmove(&ids[best + 1], &ids[best + 2], (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(&merges[best + 1], &merges[best + 2], (n - best - 2) * sizeof *merges);
            merges[best] = dn_tokenizer_merge(t, ids[best], ids[best + 1]);
        }
        if (best > 0)
            merges[best - 1] = dn_tokenizer_merge(t, ids[best - 1], ids[best]);
    }
    return n;
}

/* ---- long words: tokens as a list, merges in a heap; those that are out of date are dropped when they come
 * up ---- */

typedef struct candidate {
    int32_t rank, at, left, right, id;
} candidate;

static bool before(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    return x->rank != y->rank ? x->rank < y->rank : x->at < y->at;
}

/* Two tokens that stand side by side, if they merge. */
static void push(const dn_tokenizer *t, const int32_t *ids, int32_t at, int32_t next, candidate *heap,
                 size_t *n)
{
    const dn_merge *m = dn_tokenizer_merge(t, ids[at], ids[next]);
    if (m)
        dn_heap_push(
            heap, n, sizeof *heap, before,
            &(candidate){.rank = m->rank, .at = at, .left = m->left, .right = m->right, .id = m->id});
}

static dn_status reserve(dn_bpe_memory *m, size_t n)
{
    if (n <= m->room)
        return DN_OK;
    dn_bpe_free(m);
    /* Each merge takes one pair off the heap and puts two on it. */
    m->heap_room = 3 * n;
    m->heap = malloc(m->heap_room * sizeof(candidate));
    m->next = malloc(n * sizeof *m->next);
    m->previous = malloc(n * sizeof *m->previous);
    m->room = n;
    return m->heap && m->next && m->previous
               ? DN_OK
               : dn_fail(DN_ERR_MEMORY, "no memory for a word of %zu tokens", n);
}

static size_t merge_long(const dn_tokenizer *t, const dn_bpe_memory *m, int32_t *ids, size_t n)
{
    int32_t *next = m->next, *previous = m->previous, end = (int32_t)n;
    candidate *heap = m->heap;
    size_t n_heap = 0;
    for (int32_t i = 0; i < end; i++) {
        next[i] = i + 1;
        previous[i] = i - 1;
        if (i + 1 < end)
            push(t, ids, i, i + 1, heap, &n_heap);
    }
    while (n_heap > 0) {
        candidate c;
        dn_heap_pop(heap, &n_heap, sizeof c, before, &c);
        int32_t right = ids[c.at] == c.left ? next[c.at] : end;
        if (right == end || ids[right] != c.right)
            continue;
        ids[c.at] = c.id;
        ids[right] = -1;
        next[c.at] = next[right];
        if (next[right] < end)
            previous[next[right]] = c.at;
        int32_t at = previous[c.at] >= 0 ? previous[c.at] : c.at;
        for (; at <= c.at && next[at] < end; at = next[at])
            push(t, ids, at, next[at], heap, &n_heap);
    }
    size_t left = 0;
    for (int32_t i = 0; i < end; i = next[i])
        ids[left++] = ids[i];
    return left;
}

dn_status dn_bpe(const dn_tokenizer *t, dn_bpe_memory *memory, int32_t *ids, size_t n, size_t *left)
{
    if (n <= SHORT) {
        *left = merge_short(t, ids, n);
        return DN_OK;
    }
    if (n > INT32_MAX)
        return dn_fail(DN_ERR_DATA, "a word of %zu bytes is too long to be split into tokens", n);
    DN_TRY(reserve(memory, n));
    *left = merge_long(t, memory, ids, n);
    return DN_OK;
}

void dn_bpe_free(dn_bpe_memory *m)
{
    free(m->heap);
    free(m->next);
    free(m->previous);
    *m = (dn_bpe_memory){0};
}
