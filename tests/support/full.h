/*
 * Two tiers of tests. A test runs the smallest set that still catches its planted faults; the long run (`./check
 * --full`, `meson test --setup full`, DIONODE_FULL=1) goes through everything. A test that belongs to the long run
 * as a whole is in the suite 'full' instead.
 */
#ifndef SUPPORT_FULL_H
#define SUPPORT_FULL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool full_run(void)
{
    const char *full = getenv("DIONODE_FULL");
    return full && strcmp(full, "1") == 0;
}

#endif
