/**
 * The machine's topology, and a placement plan: which worker runs on which cores.
 *
 * hwloc finds packages, NUMA domains, cores and the PUs that this process may use (affinity mask, cgroup
 * cpuset); the cgroup gives the CPU quota. A plan gives each worker a disjoint set of usable cores, as close
 * together as possible and within one NUMA domain unless that costs threads. All workers get equally many
 * cores and threads, because replicas compute redundantly and must round alike. One thread per core, as one
 * saturates it in dense kernels; a core's other hardware threads belong to the same worker. For a machine
 * described by HWLOC_SYNTHETIC or HWLOC_XMLFILE there is a plan, but binding is reported as impossible.
 */
#ifndef DIONODE_TOPO_H
#define DIONODE_TOPO_H

#include "dionode/status.h"
#include "dionode/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dn_topo dn_topo;

typedef struct dn_machine {
    int n_packages, n_numa, n_cores, n_pus; /* the whole machine; a PU is a hardware thread */
    int n_usable;  /* PUs the plan may use: in affinity mask and cpuset, at most the CPU quota (rounded up) */
    int n_here;    /* PUs this process can really run on; n_usable unless another machine is planned */
    int n_allowed; /* PUs of the cpuset that processes can really run on together, at most the quota */
    double quota;  /* CPU seconds per second that the cgroup allows; 0: no limit */
    bool bound;    /* the calling thread was already bound: its affinity mask leaves out allowed PUs */
    bool this_system; /* false for synthetic and recorded machines: plan only, binding is impossible */
} dn_machine;

typedef struct dn_place {
    int rank;
    int n_threads; /* OpenMP and BLAS threads; equal for all ranks of a plan */
    int numa;      /* logical index of its NUMA domain; -1 if its PUs span several or belong to none (the
                      node is offline) */
    int package;   /* logical index of its package; -1 if several */
    const char *os_pus; /* PUs by operating-system number, as "0-3,8" */
    const char *cores;  /* cores by logical index, as "0-3"; not shared, unless workers outnumber cores */
} dn_place;

/**
 * Discovers the machine (or the one of HWLOC_SYNTHETIC, HWLOC_XMLFILE) and places n_workers workers; 0: one
 * per NUMA domain with usable PUs, but no more than the CPU quota lets run at once. If workers outnumber PUs,
 * PUs are assigned round-robin. Saves the calling thread's current binding for dn_topo_unbind. The caller
 * owns *out. Errors: DN_ERR_ARG n_workers < 0 or above DN_MAX_RANKS; DN_ERR_CONFIG HWLOC_SYNTHETIC or
 * HWLOC_XMLFILE that hwloc cannot read; DN_ERR_MEMORY; DN_ERR_SYSTEM.
 */
DN_API dn_status dn_topo_create(int n_workers, dn_topo **out) DN_MUST_USE;
DN_API void dn_topo_destroy(dn_topo **topo);

DN_API const dn_machine *dn_topo_machine(const dn_topo *topo);
DN_API int dn_topo_n_workers(const dn_topo *topo);
/** Place of one worker, 0 <= rank < n_workers; borrowed from topo. */
DN_API const dn_place *dn_topo_place(const dn_topo *topo, int rank);

/** Logs one warning line each for more workers than PUs, PUs that no worker uses, and PUs without a NUMA
 * node. */
DN_API void dn_topo_warn(const dn_topo *topo);

/** Binds the calling thread, and all threads and processes it starts from then on, to the place of `rank`,
 * and their memory policy to the same NUMA domain (preferred: a full domain spills over). If the topology is
 * not this system's, or the kernel refuses, the thread keeps the binding it had when topo was created.
 * Returns whether the PUs are bound, as read back from the kernel. Failure is not an error:
 * the reason is logged, once per process. */
DN_API bool dn_topo_bind(const dn_topo *topo, int rank);

/** Undoes dn_topo_bind: restores the binding that the calling thread had when topo was created. */
DN_API void dn_topo_unbind(const dn_topo *topo);

/** Logical index of the NUMA domain that the calling thread is currently confined to; -1 if it may run in
 * several, or if the topology is not this system's. */
DN_API int dn_topo_numa_here(const dn_topo *topo);

/** This system's processor model, as "Intel(R) Xeon(R) Platinum"; "?" if unknown. text [bytes]. */
DN_API void dn_topo_processor(char *text, size_t bytes);

/** The calling thread's affinity mask as the kernel reports it, as OS PU numbers ("0-1"); "unknown" if it
 * cannot be read. text [bytes]. */
DN_API void dn_topo_bound_pus(char *text, size_t bytes);

/** Prints a report: machine, allowed set and quota, NUMA domains with their memory, two lines per worker (its
 * place in OS and logical numbers, an equivalent binding command), and whether binding is possible. roles
 * [n_workers]: an extra column with the caller's text for each worker, headed roles_head; NULL: none. */
DN_API void dn_topo_print(const dn_topo *topo, const char *roles_head, const char *const *roles, FILE *out);

/** Writes the topology and the plan as one JSON object: caches, NUMA domains with distances, devices, and
 * each worker's place. An index of -1: several, or none. */
DN_API void dn_topo_write_json(const dn_topo *topo, FILE *out);

#ifdef __cplusplus
}
#endif

#endif
