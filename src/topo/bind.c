/* Binding, and reading back what the kernel has done. */
#include "topo/topo.h"

#include "base/fail.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Logged once, not once per worker. */
#define WARN_ONCE(...)                                                                                       \
    do {                                                                                                     \
        static atomic_flag warned_ = ATOMIC_FLAG_INIT;                                                       \
        if (!atomic_flag_test_and_set(&warned_))                                                             \
            dn_log(DN_LOG_WARNING, __VA_ARGS__);                                                             \
    } while (0)

/* Binds and reads back, as the kernel silently restricts the set to the cpuset. Sets errno on failure. */
static bool bind_pus(const dn_topo *topo, hwloc_const_bitmap_t pus)
{
    if (hwloc_set_cpubind(topo->hwloc, pus, HWLOC_CPUBIND_THREAD) != 0)
        return false;
    hwloc_bitmap_t real = hwloc_bitmap_alloc();
    bool bound = real && hwloc_get_cpubind(topo->hwloc, real, HWLOC_CPUBIND_THREAD) == 0 &&
                 hwloc_bitmap_isequal(real, pus);
    hwloc_bitmap_free(real);
    if (!bound)
        errno = EINVAL;
    return bound;
}

static bool bind_memory(const dn_topo *topo, hwloc_const_bitmap_t nodes, hwloc_membind_policy_t policy)
{
    return hwloc_set_membind(topo->hwloc, nodes, policy, HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET) == 0;
}

/* Memory is bound softly: when the domain is full, memory of another one is better than being killed. A
 * worker that spans several domains has no policy, so that pages are placed by first touch. */
bool dn_topo_bind(const dn_topo *topo, int rank)
{
    const struct hwloc_topology_support *can = hwloc_topology_get_support(topo->hwloc);
    const dn_placement *placement = &topo->placements[rank];
    if (!topo->machine.this_system) {
        WARN_ONCE("workers are not bound: the topology is not this machine's");
        return false;
    }
    if (!can->cpubind->set_thisthread_cpubind) {
        WARN_ONCE("workers are not bound: this system cannot bind threads");
        return false;
    }
    if (!bind_pus(topo, placement->pus)) {
        WARN_ONCE("workers are not bound: binding to PUs %s failed (%s)", placement->place.os_pus,
                  strerror(errno));
        dn_topo_unbind(topo);
        return false;
    }
    hwloc_obj_t node = dn_topo_node(topo, &placement->place);
    if (can->membind->set_thisthread_membind && node && topo->machine.n_numa > 1 &&
        !bind_memory(topo, node->nodeset, HWLOC_MEMBIND_BIND))
        WARN_ONCE("the memory policy cannot be set (%s; containers need CAP_SYS_NICE): pages are placed by "
                  "first touch",
                  strerror(errno));
    return true;
}

void dn_topo_unbind(const dn_topo *topo)
{
    if (!topo->machine.this_system)
        return;
    bind_pus(topo, topo->home_pus);
    if (topo->machine.n_numa > 1)
        bind_memory(topo,
                    topo->home_policy == HWLOC_MEMBIND_DEFAULT
                        ? hwloc_topology_get_topology_nodeset(topo->hwloc)
                        : topo->home_nodes,
                    topo->home_policy);
}

int dn_topo_numa_here(const dn_topo *topo)
{
    int numa = -1;
    hwloc_obj_t node = NULL;
    hwloc_bitmap_t pus = hwloc_bitmap_alloc();
    bool known =
        pus && topo->machine.this_system && hwloc_get_cpubind(topo->hwloc, pus, HWLOC_CPUBIND_THREAD) == 0;
    while (known && numa < 0 && (node = hwloc_get_next_obj_by_type(topo->hwloc, HWLOC_OBJ_NUMANODE, node)))
        if (hwloc_bitmap_isincluded(pus, node->cpuset))
            numa = (int)node->logical_index;
    hwloc_bitmap_free(pus);
    return numa;
}

void dn_topo_bound_pus(char *text, size_t bytes)
{
    cpu_set_t set[64]; /* 65536 PUs; Linux knows fewer */
    hwloc_bitmap_t pus = hwloc_bitmap_alloc();
    snprintf(text, bytes, "unknown");
    if (pus && sched_getaffinity(0, sizeof set, set) == 0) {
        for (int pu = 0; pu < (int)(8 * sizeof set); pu++)
            if (CPU_ISSET_S((size_t)pu, sizeof set, set))
                hwloc_bitmap_set(pus, (unsigned)pu);
        hwloc_bitmap_list_snprintf(text, bytes, pus);
    }
    hwloc_bitmap_free(pus);
}
