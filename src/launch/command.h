/* Running another program to its end and reading what it prints. */
#ifndef LAUNCH_COMMAND_H
#define LAUNCH_COMMAND_H

#include "dionode/status.h"

#include <stddef.h>

/**
 * Runs argv[0], searched for in PATH, with an empty standard input. text [bytes] gets its standard output,
 * truncated and NUL-terminated; standard error is inherited. The program dies with the calling thread; after
 * limit_s it and its children are killed.
 *
 * Errors: DN_ERR_SYSTEM: it cannot be started, or did not exit with 0 (also: it printed more than fits);
 * DN_ERR_TIMEOUT.
 */
dn_status dn_command_run(const char *const *argv, double limit_s, char *text, size_t bytes) DN_MUST_USE;

#endif
