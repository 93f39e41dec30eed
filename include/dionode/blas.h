/** The BLAS underneath: which one, and making it use this processor. */
#ifndef DIONODE_BLAS_H
#define DIONODE_BLAS_H

#include "dionode/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Gives OpenBLAS its core type where its own detection falls short (Debian's 0.3.21 takes new processors for
 * much older ones). If OPENBLAS_CORETYPE is unset and cpuid offers wider vectors than the core OpenBLAS
 * chose, sets it and executes this program again with the same arguments: the library reads it only while
 * loading. Call first thing in main(), before threads. Returns when there is nothing to change; a user's own
 * setting is never touched. Where OpenBLAS was not built with OpenMP, a warning goes to the log (dn_log_set).
 */
DN_API void dn_blas_tune(char **argv);

/** "OpenBLAS 0.3.21 SkylakeX, 2 threads"; static storage, for reports. */
DN_API const char *dn_blas_describe(void);

#ifdef __cplusplus
}
#endif

#endif
