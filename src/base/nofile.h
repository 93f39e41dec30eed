/* The limit on open files (RLIMIT_NOFILE). */
#ifndef BASE_NOFILE_H
#define BASE_NOFILE_H

#include "dionode/status.h"

#include <stddef.h>

/**
 * To be called before n files are opened that stay open. If n is more than a quarter of the soft limit
 * (usually 1,024), raises it to the hard one, which needs no privilege; the rest is for the run's other
 * files. Errors: DN_ERR_IO, naming `what` the files are, if n is more than half of the hard limit: better
 * here than at the first checkpoint.
 */
dn_status dn_nofile_allow(size_t n, const char *what) DN_MUST_USE;

#endif
