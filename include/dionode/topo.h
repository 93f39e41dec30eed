/**
 * The machine, and a plan of which worker runs where.
 *
 * hwloc finds packages, NUMA domains, cores and the set this process may use (affinity mask, cgroup cpuset);
 * the cgroup tells its CPU quota. A plan gives each worker the same number of usable cores, disjoint and
 * closest together, within one NUMA domain where that costs no threads, and the same number of threads:
 * replicas compute redundantly and must round alike. One thread a core (dense kernels fill a core alone); a
 * core's other hardware threads belong to the same worker. HWLOC_SYNTHETIC and HWLOC_XMLFILE machines are
 * planned for, and never pretended to be bound.
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
    int n_usable;  /* PUs the plan may use: affinity mask and cpuset, cut by the CPU quota (rounded up) */
    int n_here;    /* PUs this process can really run on; n_usable unless another machine is planned */
    int n_allowed; /* PUs of the cpuset that processes can really run on together, cut by the quota */
    double quota;  /* CPUs the cgroup allows, 0 = no limit */
    bool bound;    /* the thread that asked had been bound before: its affinity mask leaves out allowed PUs */
    bool this_system; /* false for synthetic and recorded machines: plan only, binding is impossible */
} dn_machine;

typedef struct dn_place {
    int rank;
    int n_threads; /* OpenMP and BLAS threads; equal for all ranks of a plan */
    int numa;      /* logical index of its NUMA domain; -1 if its PUs span several, or have none (a node is
                      offline) */
    int package;   /* logical index of its package; -1 if several */
    const char *os_pus; /* PUs by operating-system number, as "0-3,8" */
    const char *cores;  /* cores by logical index, as "0-3"; not shared, unless workers outnumber cores */
} dn_place;

/**
 * Discovers the machine (also from HWLOC_SYNTHETIC, HWLOC_XMLFILE) and plans n_workers workers; 0 = one per
 * NUMA domain that has usable PUs, but no more than the CPU quota lets run at once. More workers than PUs
 * share them in turn. Remembers where the calling thread is bound now, for dn_topo_unbind. Owned by the
 * caller. Errors: DN_ERR_ARG n_workers < 0 or above DN_MAX_RANKS; DN_ERR_CONFIG HWLOC_SYNTHETIC or
 * HWLOC_XMLFILE that hwloc cannot read; DN_ERR_MEMORY; DN_ERR_SYSTEM.
 */
DN_API dn_status dn_topo_create(int n_workers, dn_topo **out) DN_MUST_USE;
DN_API void dn_topo_destroy(dn_topo **topo);

DN_API const dn_machine *dn_topo_machine(const dn_topo *topo);
DN_API int dn_topo_n_workers(const dn_topo *topo);
/** Place of one worker, 0 <= rank < n_workers; borrowed from topo. */
DN_API const dn_place *dn_topo_place(const dn_topo *topo, int rank);

/** Logs what people should know of a plan before workers start, a line each: more workers than processors,
 * processors that no worker gets, processors without a NUMA node. */
DN_API void dn_topo_warn(const dn_topo *topo);

/** Binds the calling thread, and all it starts or executes from then on, to the place of `rank`, and its
 * memory policy (soft: a full domain spills over) to the same NUMA domain. On a machine that is not this
 * system, or where the kernel refuses, the thread stays where it was when topo was created. Returns whether
 * its PUs are bound, as read back from the kernel. Errors: none that stop a worker; the reason goes to the
 * log, once a process. */
DN_API bool dn_topo_bind(const dn_topo *topo, int rank);

/** Undoes dn_topo_bind: the calling thread runs again where it did when topo was created. */
DN_API void dn_topo_unbind(const dn_topo *topo);

/** The NUMA domain, by logical index, in which the calling thread may run now; -1 if there are several, and
 * on a machine that is not this system. */
DN_API int dn_topo_numa_here(const dn_topo *topo);

/** The name of this system's processor, as "Intel(R) Xeon(R) Platinum"; "?" where the kernel does not say. */
DN_API void dn_topo_processor(char *text, size_t bytes);

/** Where the calling thread may really run now, as OS PU numbers ("0-1"), asked of the kernel, not of the
 * plan. "unknown" where the kernel does not say. */
DN_API void dn_topo_bound_pus(char *text, size_t bytes);

/** A report for people: machine, allowed set and quota, NUMA domains with their memory, two lines a worker
 * (its place in OS and logical numbers, the command that binds alike) and whether binding is possible.
 * roles [n_workers]: what each worker is to the caller, as a column of its own; its head is roles_head. NULL:
 * none. */
DN_API void dn_topo_print(const dn_topo *topo, const char *roles_head, const char *const *roles, FILE *out);

/** The same for programs, as one JSON object: caches, NUMA domains with distances, devices, and each worker's place. An
 * index of -1: several, or none. */
DN_API void dn_topo_write_json(const dn_topo *topo, FILE *out);

#ifdef __cplusplus
}
#endif

#endif
