/* How many files a process may have open. */
#ifndef BASE_NOFILE_H
#define BASE_NOFILE_H

#include "dionode/status.h"

#include <stddef.h>

/**
 * Before n files are opened that stay open: where they are many, raises this process's soft limit on
 * descriptors (RLIMIT_NOFILE, usually 1,024) to the hard one, which everybody may. A run opens other files,
 * too, so they are many from a quarter of the limit on. Errors: DN_ERR_IO, naming `what` they are, where n is
 * more than half of the hard limit: better here than at the first checkpoint.
 */
dn_status dn_nofile_allow(size_t n, const char *what) DN_MUST_USE;

#endif
