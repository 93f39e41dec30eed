#include "base/arena.h"

#include "base/size.h"

#include <assert.h>

void *dn_arena_take(dn_arena *arena, size_t bytes)
{
    size_t start = arena->used;
    size_t rounded = dn_size_add(bytes, DN_ARENA_ALIGN - 1) / DN_ARENA_ALIGN * DN_ARENA_ALIGN;
    arena->used = dn_size_add(start, bytes > rounded ? SIZE_MAX : rounded);
    if (!arena->base)
        return NULL;
    assert(arena->used <= arena->capacity);
    return arena->base + start;
}
