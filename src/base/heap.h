/* A binary heap in an array: the element before which no other comes is the first. The array, and room in it,
 * are the caller's. Inlined, so that `bytes` and `before` are constants where it is used. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef bool dn_before_fn(const void *a, const void *b);

/** Adds *element, outside the heap, to *n elements of `bytes` each. */
static inline void dn_heap_push(void *heap, size_t *n, size_t bytes, dn_before_fn *before,
                                const void *element)
{
    char *at = heap;
    size_t i = (*n)++;
    for (size_t parent; i > 0 && before(element, at + (parent = (i - 1) / 2) * bytes); i = parent)
        memcpy(at + i * bytes, at + parent * bytes, bytes);
    memcpy(at + i * bytes, element, bytes);
}

/** Moves the first of *n > 0 elements to *first, outside the heap. */
static inline void dn_heap_pop(void *heap, size_t *n, size_t bytes, dn_before_fn *before, void *first)
{
    char *at = heap, *last = at + --*n * bytes;
    size_t i = 0;
    memcpy(first, at, bytes);
    for (size_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n && before(at + (child + 1) * bytes, at + child * bytes))
            child++;
        if (!before(at + child * bytes, last))
            break;
        memcpy(at + i * bytes, at + child * bytes, bytes);
    }
    if (i < *n)
        memcpy(at + i * bytes, last, bytes);
}

#endif
