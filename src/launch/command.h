/* Running another program to its end and reading what it prints. */
#ifndef LAUNCH_COMMAND_H
#define LAUNCH_COMMAND_H

#include "dionode/status.h"

#include <stddef.h>

/**
 * Runs argv[0], found as the shell finds it, without an input. text (bytes long, NUL-terminated) gets what
 * it prints to standard output, cut at its end; standard error goes where ours goes. The program dies with
 * the calling thread, and with its children after limit_s.
 *
 * Errors: DN_ERR_SYSTEM: it cannot be started, or did not exit with 0 (also: it printed more than fits);
 * DN_ERR_TIMEOUT.
 */
dn_status dn_command_run(const char *const *argv, double limit_s, char *text, size_t bytes) DN_MUST_USE;

#endif
