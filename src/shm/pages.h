/* Private memory on a NUMA node of choice, and on which nodes pages really lie. For measuring: what ranks
 * share lies in the world. */
#ifndef SHM_PAGES_H
#define SHM_PAGES_H

#include "dionode/status.h"

#include <stddef.h>

#define DN_PAGES_NODES 64

typedef struct dn_pages_places {
    size_t n_pages;            /* looked at */
    size_t on[DN_PAGES_NODES]; /* pages on each node of the system */
    size_t nowhere;            /* not backed by memory, or beyond the last node here */
} dn_pages_places;

/** `bytes` of zeros, all of them backed by memory, on node os_node of the system (-1: where they are first
 * touched, by the calling thread). Huge pages where the system gives them to those who ask. To be given back
 * with the same size. Errors: DN_ERR_MEMORY; DN_ERR_SYSTEM where the placement is refused. */
dn_status dn_pages_take(size_t bytes, int os_node, void **out) DN_MUST_USE;
void dn_pages_give_back(void *pages, size_t bytes);

/** Asks the kernel (move_pages) where the pages of [start, start + bytes) lie; start on a page. Errors:
 * DN_ERR_SYSTEM where it does not answer. */
dn_status dn_pages_locate(const void *start, size_t bytes, dn_pages_places *places) DN_MUST_USE;

/** Bytes of this process's private memory in huge pages; 0 if the kernel does not say. */
size_t dn_pages_huge_bytes(void);

#endif
