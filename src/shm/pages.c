#include "shm/pages.h"

#include "base/fail.h"

#include <errno.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB (1024.0 * 1024.0)

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static dn_status place(void *pages, size_t bytes, int os_node)
{
    enum { BITS = CHAR_BIT * sizeof(unsigned long) };
    unsigned long mask[DN_PAGES_NODES / BITS] = {0};
    if (os_node < 0)
        return DN_OK;
    if (os_node >= DN_PAGES_NODES)
        return dn_fail(DN_ERR_SYSTEM, "NUMA node %d: only nodes below %d can be measured", os_node,
                       DN_PAGES_NODES);
    mask[os_node / BITS] = 1ul << os_node % BITS;
    /* The kernel takes one bit less than it is told. */
    if (syscall(SYS_mbind, pages, bytes, MPOL_BIND, mask, (unsigned long)DN_PAGES_NODES + 1, 0u) == 0)
        return DN_OK;
    return dn_fail_errno(DN_ERR_SYSTEM, errno,
                         "cannot place memory on NUMA node %d (containers need CAP_SYS_NICE for it)",
                         os_node);
}

dn_status dn_pages_alloc(size_t bytes, int os_node, void **out)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return dn_fail_errno(DN_ERR_MEMORY, errno, "cannot allocate %.0f MiB of memory", (double)bytes / MIB);
    madvise(pages, bytes, MADV_HUGEPAGE); /* a refusal leaves small pages */
    dn_status status = place(pages, bytes, os_node);
    if (status != DN_OK) {
        munmap(pages, bytes);
        return status;
    }
    for (size_t i = 0; i < bytes; i += page_bytes()) /* MADV_POPULATE_WRITE needs Linux 5.14 */
        *((volatile char *)pages + i) = 0;
    *out = pages;
    return DN_OK;
}

void dn_pages_free(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, bytes);
}

dn_status dn_pages_locate(const void *start, size_t bytes, dn_pages_places *places)
{
    enum { AT_ONCE = 512 };
    void *pages[AT_ONCE];
    int nodes[AT_ONCE];
    size_t size = page_bytes(), n = (bytes + size - 1) / size;
    memset(places, 0, sizeof *places);
    for (size_t done = 0; done < n;) {
        size_t batch = n - done < AT_ONCE ? n - done : AT_ONCE;
        for (size_t i = 0; i < batch; i++)
            pages[i] = (char *)(size_t)start + (done + i) * size;
        if (syscall(SYS_move_pages, 0, batch, pages, NULL, nodes, 0) != 0)
            return dn_fail_errno(DN_ERR_SYSTEM, errno, "move_pages cannot report the NUMA nodes of pages");
        for (size_t i = 0; i < batch; i++)
            if (nodes[i] >= 0 && nodes[i] < DN_PAGES_NODES)
                places->on[nodes[i]]++;
            else
                places->nowhere++;
        done += batch;
    }
    places->n_pages = n;
    return DN_OK;
}

size_t dn_pages_huge_bytes(void)
{
    char line[256];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "AnonHugePages: %zu kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib << 10;
}
