/* For benchmarks: private memory on a chosen NUMA node, and the nodes on which pages really reside. */
#ifndef SHM_PAGES_H
#define SHM_PAGES_H

#include "dionode/status.h"

#include <stddef.h>

#define DN_PAGES_NODES 64

typedef struct dn_pages_places {
    size_t n_pages;            /* examined */
    size_t on[DN_PAGES_NODES]; /* pages on each node of the system */
    size_t nowhere;            /* not backed by memory, or on a node >= DN_PAGES_NODES */
} dn_pages_places;

/** `bytes` zeroed bytes, populated, on NUMA node os_node (-1: first touch by the calling thread). Huge pages
 * if the system grants them to madvise. To be freed with dn_pages_free and the same size. Errors:
 * DN_ERR_MEMORY; DN_ERR_SYSTEM if the placement is refused. */
dn_status dn_pages_alloc(size_t bytes, int os_node, void **out) DN_MUST_USE;
void dn_pages_free(void *pages, size_t bytes);

/** Queries the kernel (move_pages) for the nodes of the pages of [start, start + bytes); start is
 * page-aligned. Errors: DN_ERR_SYSTEM if the query fails. */
dn_status dn_pages_locate(const void *start, size_t bytes, dn_pages_places *places) DN_MUST_USE;

/** Bytes of this process's private memory in huge pages; 0 if unknown. */
size_t dn_pages_huge_bytes(void);

#endif
