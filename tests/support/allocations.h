/*
 * Counts every request to the allocator of this process, that of shared libraries included, by standing in
 * for it in the test program that allocations.c is linked into. AddressSanitizer and ThreadSanitizer stand there
 * themselves: under them `can_count` is false and every count stays 0.
 */
#ifndef SUPPORT_ALLOCATIONS_H
#define SUPPORT_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct allocations {
    size_t requests, bytes;
} allocations;

extern allocations allocations_so_far;
extern const bool can_count;

#endif
