/* What was printed for a person or a script: whether it arrived. */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include "dionode/status.h"

#include <stdio.h>

/** Hands everything printed to out so far to the system. Errors: DN_ERR_IO, also for a write that failed
 * earlier. */
dn_status dn_flush(FILE *out) DN_MUST_USE;

#endif
