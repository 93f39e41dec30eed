#include "base/arena.h"

#include <assert.h>

void *dn_arena_take(dn_arena *arena, size_t bytes)
{
    size_t start = arena->used;
    arena->used += (bytes + DN_ARENA_ALIGN - 1) / DN_ARENA_ALIGN * DN_ARENA_ALIGN;
    if (!arena->base)
        return NULL;
    assert(arena->used <= arena->capacity);
    return arena->base + start;
}
