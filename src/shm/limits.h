/* How much memory a run may still take, so that too large a run is an error at its start and not a kill in
 * its middle. Knows files of the kernel only. */
#ifndef SHM_LIMITS_H
#define SHM_LIMITS_H

#include <stdint.h>

/**
 * Bytes of memory this process can still get: MemAvailable, or what the tightest memory control group above
 * it (version 1 or 2) leaves, whichever is less. File cache that the group could drop counts as free.
 * UINT64_MAX if the kernel says nothing. root is put before every path: "" for this machine, a folder for
 * tests.
 */
uint64_t dn_limits_memory(const char *root);

#endif
