#include "topo/domains.h"

#include "base/fail.h"
#include "topo/topo.h"

#include <assert.h>
#include <errno.h>

static hwloc_obj_t node_of(const dn_topo *topo, int index)
{
    return hwloc_get_obj_by_type(topo->hwloc, HWLOC_OBJ_NUMANODE, (unsigned)index);
}

int dn_topo_n_domains(const dn_topo *topo)
{
    return topo->machine.n_numa;
}

dn_domain dn_topo_domain(const dn_topo *topo, int index)
{
    hwloc_obj_t node = node_of(topo, index);
    assert(node);
    return (dn_domain){.os_node = (int)node->os_index,
                       .memory_bytes = node->attr->numanode.local_memory,
                       .n_cores = dn_topo_cores(topo, index, NULL, 0)};
}

int dn_topo_cores(const dn_topo *topo, int domain, int *pus, int max)
{
    hwloc_const_bitmap_t within =
        domain < 0 ? hwloc_topology_get_topology_cpuset(topo->hwloc) : node_of(topo, domain)->cpuset;
    /* Without cores in the topology, each PU counts as one. */
    hwloc_obj_type_t type =
        hwloc_get_nbobjs_by_type(topo->hwloc, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    int n = 0;
    for (hwloc_obj_t core = NULL; (core = hwloc_get_next_obj_by_type(topo->hwloc, type, core));) {
        int pu = hwloc_bitmap_first(core->cpuset);
        while (pu >= 0 &&
               !(hwloc_bitmap_isset(within, (unsigned)pu) && hwloc_bitmap_isset(topo->usable, (unsigned)pu)))
            pu = hwloc_bitmap_next(core->cpuset, pu);
        if (pu >= 0 && n < max)
            pus[n] = pu;
        n += pu >= 0;
    }
    return n;
}

int dn_topo_caches_of(const dn_topo *topo, int pu, size_t *bytes, int max)
{
    int n = 0;
    for (hwloc_obj_t at = hwloc_get_pu_obj_by_os_index(topo->hwloc, (unsigned)pu); at && n < max;
         at = at->parent)
        if (hwloc_obj_type_is_dcache(at->type) && at->attr->cache.size > (n ? bytes[n - 1] : 0))
            bytes[n++] = at->attr->cache.size;
    return n;
}

size_t dn_topo_cache_bytes(const dn_topo *topo)
{
    static const hwloc_obj_type_t types[] = {HWLOC_OBJ_L5CACHE, HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L3CACHE,
                                             HWLOC_OBJ_L2CACHE};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types && bytes == 0; i++)
        for (hwloc_obj_t cache = NULL; (cache = hwloc_get_next_obj_by_type(topo->hwloc, types[i], cache));)
            bytes += cache->attr->cache.size;
    return bytes;
}

dn_status dn_topo_bind_pu(const dn_topo *topo, int pu)
{
    if (!topo->machine.this_system)
        return dn_fail(
            DN_ERR_SYSTEM,
            "cannot bind: the topology is not this machine's; unset HWLOC_SYNTHETIC and HWLOC_XMLFILE");
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (!set || hwloc_bitmap_only(set, (unsigned)pu) != 0) {
        hwloc_bitmap_free(set);
        return dn_fail(DN_ERR_MEMORY, "no memory for a set of processors");
    }
    int failed = hwloc_set_cpubind(topo->hwloc, set, HWLOC_CPUBIND_THREAD | HWLOC_CPUBIND_STRICT);
    int error = errno;
    hwloc_bitmap_free(set);
    return failed ? dn_fail_errno(DN_ERR_SYSTEM, error, "cannot bind a thread to PU %d", pu) : DN_OK;
}
