/* Running a function on several PUs at once, in one bound thread each, for measurements in one process. */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

#include "dionode/topo.h"

#define DN_THREADS_MAX 1024

/* What member `index` (0 .. n-1) does. */
typedef void dn_threads_fn(int index, void *argument);

/** Runs fn on n threads, thread i bound to pus[i], and waits for all. None runs before all are bound; if one
 * cannot be, none runs. Errors: those of dn_topo_bind_pu; DN_ERR_SYSTEM where threads cannot be made. */
dn_status dn_threads_run(const dn_topo *topo, const int *pus, int n, dn_threads_fn *fn,
                         void *argument) DN_MUST_USE;

#endif
