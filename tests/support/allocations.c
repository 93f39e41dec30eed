#include "support/allocations.h"

#include <errno.h>
#include <stdlib.h>

allocations allocations_so_far;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
const bool can_count = false;
#else
const bool can_count = true;

/* glibc's own names for what the functions below replace. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

static void count(size_t bytes)
{
    __atomic_add_fetch(&allocations_so_far.requests, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&allocations_so_far.bytes, bytes, __ATOMIC_RELAXED);
}

void *malloc(size_t bytes)
{
    count(bytes);
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    count(n * bytes);
    return __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes)
{
    count(bytes);
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    count(bytes);
    return __libc_memalign(align, bytes);
}

int posix_memalign(void **out, size_t align, size_t bytes)
{
    count(bytes);
    *out = __libc_memalign(align, bytes);
    return *out ? 0 : ENOMEM;
}
#endif
