/*
 * A bump allocator over memory that somebody else owns. One arena a lifetime (a run's parameters, its
 * activations, its optimizer state): nothing is freed alone, so a training step allocates nothing.
 *
 * With base NULL an arena only measures: takes return NULL and `used` grows, so the code that lays memory out
 * also says how much it needs, before there is any.
 *
 *     base |<-- take 0 -->|pad|<-- take 1 -->|pad| ... free ... | capacity
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#define DN_ARENA_ALIGN 128 /* bytes; two cache lines, so that adjacent-line prefetch never shares a take */

typedef struct dn_arena {
    char *base;      /* borrowed; NULL = measuring */
    size_t capacity; /* bytes */
    size_t used;     /* bytes, a multiple of DN_ARENA_ALIGN; SIZE_MAX: more than can be counted */
} dn_arena;

/** The next `bytes` bytes, aligned to DN_ARENA_ALIGN; NULL when measuring. Running past capacity is our bug:
 * aborts through assert, because a layout is always measured first. */
void *dn_arena_take(dn_arena *arena, size_t bytes);

#endif
