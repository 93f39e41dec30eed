/* Binding, and what the kernel says of it afterwards. */
#include "topo/topo.h"

#include "base/fail.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* A line to the log the first time only: 64 workers need not hear it 64 times. */
#define TELL_ONCE(...)                                                                                       \
    do {                                                                                                     \
        static atomic_flag told_ = ATOMIC_FLAG_INIT;                                                         \
        if (!atomic_flag_test_and_set(&told_))                                                               \
            dn_log(DN_LOG_WARNING, __VA_ARGS__);                                                             \
    } while (0)

/* Binds and reads back: the kernel may cut the set to a cpuset without saying so. errno says why not. */
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

/* Soft on purpose: when the domain is full, memory from the next one beats being killed. Nothing to do on a
 * machine with one domain, or for a worker that spans several (there the thread that first touches a page
 * places it). */
static void bind_memory_near(const dn_topo *topo, const dn_place *place)
{
    hwloc_obj_t node = dn_topo_node(topo, place);
    if (!node || topo->machine.n_numa < 2)
        return;
    if (!bind_memory(topo, node->nodeset, HWLOC_MEMBIND_BIND))
        TELL_ONCE(
            "memory policy refused (%s; containers need CAP_SYS_NICE for it): pages come from where they "
            "are first touched",
            strerror(errno));
}

bool dn_topo_bind(const dn_topo *topo, int rank)
{
    const struct hwloc_topology_support *can = hwloc_topology_get_support(topo->hwloc);
    if (!topo->machine.this_system) {
        TELL_ONCE("the topology is not this machine's: workers are planned but not bound");
        return false;
    }
    if (!can->cpubind->set_thisthread_cpubind) {
        TELL_ONCE("this system cannot bind threads: workers are planned but not bound");
        return false;
    }
    if (!bind_pus(topo, topo->seats[rank].pus)) {
        TELL_ONCE("binding to PUs %s refused (%s): workers run where the system puts them",
                  topo->seats[rank].place.os_pus, strerror(errno));
        dn_topo_unbind(topo);
        return false;
    }
    if (can->membind->set_thisthread_membind)
        bind_memory_near(topo, &topo->seats[rank].place);
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
