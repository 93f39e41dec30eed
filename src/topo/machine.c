/* Discovery: the hardware through hwloc, what of it this process may use, and how much time it gets. */
#include "topo/topo.h"

#include "base/fail.h"
#include "topo/quota.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* hwloc passes over a description it cannot read and shows the running machine instead. */
static dn_status check_description(const char *variable)
{
    const char *description = getenv(variable);
    if (!description || !*description || getenv("HWLOC_THISSYSTEM"))
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s=%s describes no machine that hwloc understands: correct or unset it",
                   variable, description);
}

static dn_status cannot_load(int error)
{
    const char *file = getenv("HWLOC_XMLFILE");
    if (!file || !*file)
        return dn_fail_errno(DN_ERR_SYSTEM, error, "hwloc cannot read this machine's topology");
    return dn_fail(DN_ERR_CONFIG,
                   "HWLOC_XMLFILE=%s: hwloc %s cannot read it; correct or unset it (what hwloc 3 exported "
                   "must be exported "
                   "again in the format of version 2)",
                   file, HWLOC_VERSION);
}

static dn_status load(dn_topo *topo)
{
    if (hwloc_topology_init(&topo->hwloc) ||
        hwloc_topology_set_flags(topo->hwloc, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) ||
        hwloc_topology_load(topo->hwloc))
        return cannot_load(errno);
    if (!hwloc_topology_is_thissystem(topo->hwloc))
        return DN_OK;
    DN_TRY(check_description("HWLOC_SYNTHETIC"));
    return check_description("HWLOC_XMLFILE");
}

/* Where the calling thread is bound now. Meaningless, and left whole, on a machine that is not this one. */
static void remember_home(dn_topo *topo)
{
    if (!topo->machine.this_system ||
        hwloc_get_cpubind(topo->hwloc, topo->home_pus, HWLOC_CPUBIND_THREAD) != 0)
        hwloc_bitmap_copy(topo->home_pus, hwloc_topology_get_topology_cpuset(topo->hwloc));
    if (!topo->machine.this_system || hwloc_get_membind(topo->hwloc, topo->home_nodes, &topo->home_policy,
                                                        HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET) != 0)
        topo->home_policy = HWLOC_MEMBIND_DEFAULT;
}

/* Threads that can run at once on n_pus PUs under a quota of CPU time. */
static int cut_by_quota(int n_pus, double quota)
{
    int n = quota > 0 && quota < n_pus ? (int)ceil(quota) : n_pus;
    return n > 1 ? n : 1;
}

/* The processors and the time that this process really has, whatever machine is planned for. */
static int count_here(double quota)
{
    cpu_set_t set[64]; /* 65536 PUs; Linux knows fewer */
    int n = sched_getaffinity(0, sizeof set, set) == 0 ? CPU_COUNT_S(sizeof set, set) : 1;
    return cut_by_quota(n, quota);
}

/* Whether home_pus leaves out what `usable`, as long as it is the allowed set, has. */
static void compare_home(dn_topo *topo)
{
    dn_machine *machine = &topo->machine;
    double quota = dn_quota_read("");
    int n_allowed = hwloc_bitmap_weight(topo->usable);
    machine->quota = machine->this_system ? quota : 0;
    machine->n_allowed = machine->this_system ? cut_by_quota(n_allowed, quota) : count_here(quota);
    machine->bound = !hwloc_bitmap_isincluded(topo->usable, topo->home_pus);
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

    remember_home(topo);
    compare_home(topo);
    hwloc_bitmap_and(topo->usable, topo->usable, topo->home_pus);
    if (hwloc_bitmap_iszero(topo->usable))
        return dn_fail(DN_ERR_SYSTEM,
                       "no processor may be used: affinity mask and cgroup cpuset have none in "
                       "common");
    machine->n_usable = cut_by_quota(hwloc_bitmap_weight(topo->usable), machine->quota);
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
