/**
 * The machine, and a plan of which worker runs where.
 *
 * hwloc finds packages, NUMA domains, cores and the set this process may use (affinity mask, cgroup cpuset)
 * and the cgroup's CPU quota. A plan gives each worker a disjoint share of the usable processing units (PUs),
 * closest together, never straddling a NUMA domain when it can be avoided, and the same number of threads
 * each: replicas compute redundantly and must round alike. HWLOC_SYNTHETIC and HWLOC_XMLFILE machines are
 * planned for, and never pretended to be bound.
 */
#ifndef DIONODE_TOPO_H
#define DIONODE_TOPO_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct dn_topo dn_topo;

typedef struct dn_machine {
    int n_packages, n_numa, n_cores, n_pus; /* the whole machine */
    int n_usable; /* PUs this process may use: affinity mask and cpuset, cut by the CPU quota (rounded up) */
    double quota; /* CPUs the cgroup allows, 0 = no limit */
    bool this_system; /* false for synthetic and recorded machines: plan only, binding is impossible */
} dn_machine;

typedef struct dn_place {
    int rank;
    int n_threads;    /* OpenMP and BLAS threads; equal for all ranks of a plan */
    int numa;         /* logical index of its NUMA domain; -1 if its PUs span several */
    int package;      /* logical index of its package; -1 if several */
    char os_pus[256]; /* PUs by operating-system number, as "0-3,8" */
    char cores[256];  /* cores by logical index, as "0-3" */
} dn_place;

/** Discovers the machine (also from HWLOC_SYNTHETIC, HWLOC_XMLFILE) and plans n_workers workers; 0 = one per
 * NUMA domain that has usable PUs. More workers than PUs share them in turn. Owned by the caller. Errors:
 * DN_ERR_ARG n_workers < 0 or above 256; DN_ERR_SYSTEM. */
DN_API dn_status dn_topo_create(int n_workers, dn_topo **out) DN_MUST_USE;
DN_API void dn_topo_destroy(dn_topo **topo);

DN_API const dn_machine *dn_topo_machine(const dn_topo *topo);
DN_API int dn_topo_n_workers(const dn_topo *topo);
/** Place of one worker, 0 <= rank < n_workers; borrowed from topo. */
DN_API const dn_place *dn_topo_place(const dn_topo *topo, int rank);

/** Binds the calling process to the place of `rank` and its memory policy to the same NUMA domain (survives
 * exec). On a machine that is not this system, or where the kernel refuses, nothing is bound: *bound says
 * which. Errors: none that stop a worker; the reason goes to the log once. */
DN_API void dn_topo_bind(const dn_topo *topo, int rank, bool *bound);

/** Where the calling process may really run now, as OS PU numbers ("0-1"), asked of the kernel, not of the
 * plan. */
DN_API void dn_topo_bound_pus(char *text, size_t bytes);

/** A report for people: machine, allowed set and quota, one line a worker with OS and logical ids, and
 * whether binding is possible. */
DN_API void dn_topo_print(const dn_topo *topo, FILE *out);

#endif
