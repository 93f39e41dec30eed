/* Topology queries of benchmarks: NUMA domains, one PU of each usable core, cache sizes. */
#ifndef TOPO_DOMAINS_H
#define TOPO_DOMAINS_H

#include "dionode/topo.h"

#include <stdint.h>

typedef struct dn_domain {
    int os_node; /* operating-system number */
    uint64_t memory_bytes;
    int n_cores; /* usable ones */
} dn_domain;

/** NUMA domains by logical index, including those without usable cores or without memory. */
int dn_topo_n_domains(const dn_topo *topo);
dn_domain dn_topo_domain(const dn_topo *topo, int index);

/** The first usable PU of each usable core of a domain (-1: of the machine), by operating-system number, into
 * pus [max]. Returns how many there are, which may be more than max. */
int dn_topo_cores(const dn_topo *topo, int domain, int *pus, int max);

/** Bytes of the data caches above a PU by level, into bytes [max], the first level first; levels that hold no
 * more than the one before are left out. Returns how many there are, max at most; 0 if unknown. */
int dn_topo_caches_of(const dn_topo *topo, int pu, size_t *bytes, int max);

/** Total bytes of the machine's last-level caches; 0 if unknown. */
size_t dn_topo_cache_bytes(const dn_topo *topo);

/** Binds the calling thread to one PU. Errors: DN_ERR_SYSTEM if the kernel refuses, or if the topology
 * is not this system's. */
dn_status dn_topo_bind_pu(const dn_topo *topo, int pu) DN_MUST_USE;

#endif
