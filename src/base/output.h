/* Checking that printed output was written. */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include "dionode/status.h"

#include <stdio.h>

/** Flushes out, which the message calls `name`. Errors: DN_ERR_IO, also for an earlier write that failed, whose reason
 * stdio does not keep: error is the errno that the caller found behind it, 0 if it did not look. */
dn_status dn_flush_named(FILE *out, const char *name, int error) DN_MUST_USE;
/** The same of "the output". */
dn_status dn_flush(FILE *out) DN_MUST_USE;

#endif
