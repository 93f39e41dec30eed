/** The BLAS in use: its name, and its choice of kernels for this processor. */
#ifndef DIONODE_BLAS_H
#define DIONODE_BLAS_H

#include "dionode/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Corrects OpenBLAS's core type where its detection fails (Debian's 0.3.21 takes new processors for much
 * older ones). If OPENBLAS_CORETYPE is unset and cpuid reports wider vectors than the core type OpenBLAS
 * chose uses, sets the variable and executes this program again with the same arguments, because OpenBLAS
 * reads it only when it is loaded. Otherwise returns; a value set by the user is never changed. Call at the
 * start of main(), before threads are started. Logs a warning if OpenBLAS was built without OpenMP
 * (dn_log_set).
 */
DN_API void dn_blas_tune(char **argv);

/** The core type that dn_blas_tune would set; NULL if OPENBLAS_CORETYPE is set, or OpenBLAS's own choice uses vectors as wide.
 * Static string. For programs that cannot be executed again: they set it before they load this library. */
DN_API const char *dn_blas_better_core(void);

/**
 * Threads that wait for each other's parts of a kernel spin for some ten microseconds, then sleep. Generation forks them many
 * times a token, for about as long: waking them up would take longer than their work. But where other programs want the same
 * cores, one that goes on spinning keeps off the one that it waits for. Unless OMP_WAIT_POLICY or GOMP_SPINCOUNT is set, sets
 * both and executes this program again, because libgomp reads them only when it is loaded. Call as dn_blas_tune.
 */
DN_API void dn_threads_sleep(char **argv);

/** Name, version, core type and threads: "OpenBLAS 0.3.21 SkylakeX, 2 threads". Static storage. */
DN_API const char *dn_blas_describe(void);

#ifdef __cplusplus
}
#endif

#endif
