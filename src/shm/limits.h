/* Memory that is still available, so that a run that is too large fails at its start, instead of being killed
 * later. */
#ifndef SHM_LIMITS_H
#define SHM_LIMITS_H

#include <stdint.h>

/**
 * Bytes of memory that this process can still allocate: the smaller of MemAvailable and what the tightest of
 * its memory control groups (version 1 or 2) leaves; with vm.overcommit_memory 2 also of what may still be committed.
 * Reclaimable file cache of the group counts as free.
 * UINT64_MAX if unknown. root is prepended to every path: "" for this machine, a directory in tests.
 */
uint64_t dn_limits_memory(const char *root);

#endif
