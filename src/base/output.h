/* Checking that printed output was written. */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include "dionode/status.h"

#include <stdio.h>

/** Flushes out. Errors: DN_ERR_IO, also for an earlier write that failed. */
dn_status dn_flush(FILE *out) DN_MUST_USE;

#endif
