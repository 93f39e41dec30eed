/* Discovery: the hardware through hwloc, the PUs that this process may use, and its CPU quota. */
#include "topo/topo.h"

#include "base/fail.h"
#include "topo/quota.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* hwloc ignores a description that it cannot parse and loads the running machine instead. */
static dn_status check_description(const char *variable)
{
    const char *description = getenv(variable);
    if (!description || !*description || getenv("HWLOC_THISSYSTEM"))
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s=%s: hwloc cannot parse it; correct or unset it", variable, description);
}

static dn_status load(dn_topo *topo)
{
    const char *file = getenv("HWLOC_XMLFILE");
    if (hwloc_topology_init(&topo->hwloc) ||
        hwloc_topology_set_flags(topo->hwloc, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) ||
        hwloc_topology_load(topo->hwloc)) {
        if (!file || !*file)
            return dn_fail_errno(DN_ERR_SYSTEM, errno, "hwloc cannot read this machine's topology");
        return dn_fail(
            DN_ERR_CONFIG,
            "HWLOC_XMLFILE=%s: hwloc %s cannot read it; correct or unset it (export it in the format of "
            "version 2 if it is from hwloc 3)",
            file, HWLOC_VERSION);
    }
    if (!hwloc_topology_is_thissystem(topo->hwloc))
        return DN_OK;
    DN_TRY(check_description("HWLOC_SYNTHETIC"));
    return check_description("HWLOC_XMLFILE");
}

/* Threads that can run at once on n_pus PUs under a CPU quota (0: none). */
static int limit_by_quota(int n_pus, double quota)
{
    int n = quota > 0 && quota < n_pus ? (int)ceil(quota) : n_pus;
    return n > 1 ? n : 1;
}

/* The PUs of the process's affinity mask, whatever topology is loaded. */
static int count_affinity(void)
{
    cpu_set_t set[64]; /* 65536 PUs; Linux supports fewer */
    return sched_getaffinity(0, sizeof set, set) == 0 ? CPU_COUNT_S(sizeof set, set) : 1;
}

static int count(const dn_topo *topo, hwloc_obj_type_t type)
{
    int n = hwloc_get_nbobjs_by_type(topo->hwloc, type);
    return n > 0 ? n : 0;
}

dn_status dn_topo_discover(dn_topo *topo)
{
    DN_TRY(load(topo));
    topo->usable = hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(topo->hwloc));
    topo->home_pus = hwloc_bitmap_alloc();
    topo->home_nodes = hwloc_bitmap_alloc();
    if (!topo->usable || !topo->home_pus || !topo->home_nodes)
        return dn_fail(DN_ERR_MEMORY, "no memory to describe the machine");

    dn_machine *machine = &topo->machine;
    machine->this_system = hwloc_topology_is_thissystem(topo->hwloc);
    machine->n_packages = count(topo, HWLOC_OBJ_PACKAGE);
    machine->n_numa = count(topo, HWLOC_OBJ_NUMANODE);
    machine->n_cores = count(topo, HWLOC_OBJ_CORE);
    machine->n_pus = count(topo, HWLOC_OBJ_PU);

    /* Where the calling thread is bound now; on another machine's topology: nowhere. */
    if (!machine->this_system || hwloc_get_cpubind(topo->hwloc, topo->home_pus, HWLOC_CPUBIND_THREAD) != 0)
        hwloc_bitmap_copy(topo->home_pus, hwloc_topology_get_topology_cpuset(topo->hwloc));
    if (!machine->this_system || hwloc_get_membind(topo->hwloc, topo->home_nodes, &topo->home_policy,
                                                   HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET) != 0)
        topo->home_policy = HWLOC_MEMBIND_DEFAULT;
    machine->bound = !hwloc_bitmap_isincluded(topo->usable, topo->home_pus);

    double quota = dn_quota_read("");
    machine->quota = machine->this_system ? quota : 0;
    machine->n_allowed =
        limit_by_quota(machine->this_system ? hwloc_bitmap_weight(topo->usable) : count_affinity(), quota);
    hwloc_bitmap_and(topo->usable, topo->usable, topo->home_pus);
    if (hwloc_bitmap_iszero(topo->usable))
        return dn_fail(DN_ERR_SYSTEM, "no usable processor: affinity mask and cgroup cpuset are disjoint");
    machine->n_usable = limit_by_quota(hwloc_bitmap_weight(topo->usable), machine->quota);
    machine->n_here = machine->this_system ? machine->n_usable : machine->n_allowed;
    return DN_OK;
}

void dn_topo_processor(char *text, size_t bytes)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(text, bytes, "?");
    while (file && fgets(line, sizeof line, file)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", strlen("model name")) != 0 || !value)
            continue;
        value += 1 + strspn(value + 1, " \t");
        snprintf(text, bytes, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (file)
        fclose(file);
}
