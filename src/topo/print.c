/* The report of `dionode topo`. */
#include "topo/topo.h"

#include <stdlib.h>

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

/* "label  0-3,8 (5 of 16)", or the count alone when there is no memory for the list. */
static void print_usable(const dn_topo *topo, FILE *out)
{
    char *list = NULL;
    if (hwloc_bitmap_list_asprintf(&list, topo->usable) < 0)
        list = NULL;
    fprintf(out, "allowed    PUs %s (%d of %d)\n", list ? list : "?", hwloc_bitmap_weight(topo->usable),
            topo->machine.n_pus);
    free(list);
}

static void print_machine(const dn_topo *topo, FILE *out)
{
    const dn_machine *m = &topo->machine;
    fprintf(out, "machine    %d package%s, %d NUMA domain%s, %d core%s, %d PU%s\n", m->n_packages,
            plural(m->n_packages), m->n_numa, plural(m->n_numa), m->n_cores, plural(m->n_cores), m->n_pus,
            plural(m->n_pus));
    print_usable(topo, out);
    if (m->quota > 0)
        fprintf(out, "CPU quota  %.2f CPUs: %d thread%s can run at once\n", m->quota, m->n_usable,
                plural(m->n_usable));
    else
        fprintf(out, "CPU quota  none\n");
}

static void print_domains(const dn_topo *topo, FILE *out)
{
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(topo->hwloc, HWLOC_OBJ_NUMANODE, node))) {
        char *pus = NULL;
        if (hwloc_bitmap_list_asprintf(&pus, node->cpuset) < 0)
            pus = NULL;
        fprintf(out, "NUMA %-4u  node %u of the system, %.1f GiB, PUs %s\n", node->logical_index,
                node->os_index, (double)node->attr->numanode.local_memory / (1 << 30), pus ? pus : "?");
        free(pus);
    }
}

static void print_index(FILE *out, int index, const char *otherwise)
{
    if (index >= 0)
        fprintf(out, "%-8d", index);
    else
        fprintf(out, "%-8s", otherwise);
}

/* Of a place without a node of its own. */
static const char *nodes_of(const dn_topo *topo, int rank)
{
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(topo->hwloc, HWLOC_OBJ_NUMANODE, node)))
        if (hwloc_bitmap_intersects(topo->seats[rank].pus, node->cpuset))
            return "several";
    return "none";
}

static void print_role(const char *role, FILE *out)
{
    if (role)
        fprintf(out, "%-12s ", role);
}

static void print_place(const dn_topo *topo, const dn_place *place, const char *role, FILE *out)
{
    fprintf(out, "%-5d ", place->rank);
    print_role(role, out);
    fprintf(out, "%-8d ", place->n_threads);
    print_index(out, place->package, "several");
    fprintf(out, " ");
    print_index(out, place->numa, nodes_of(topo, place->rank));
    fprintf(out, " %-12s %s\n", place->cores, place->os_pus);
    hwloc_obj_t node = dn_topo_node(topo, place);
    if (node && topo->machine.n_numa > 1)
        fprintf(out, "      = numactl --physcpubind=%s --preferred=%u\n", place->os_pus, node->os_index);
    else
        fprintf(out, "      = taskset -c %s\n", place->os_pus);
}

static void print_binding(const dn_topo *topo, FILE *out)
{
    const struct hwloc_topology_support *can = hwloc_topology_get_support(topo->hwloc);
    if (!topo->machine.this_system)
        fprintf(out, "binding    this is not the running machine (HWLOC_SYNTHETIC or HWLOC_XMLFILE): nothing "
                     "will be bound\n");
    else if (!can->cpubind->set_thisthread_cpubind)
        fprintf(out, "binding    not supported by this system\n");
    else if (topo->machine.n_numa > 1 && !can->membind->set_thisthread_membind)
        fprintf(out, "binding    PUs only; this system has no memory policy\n");
    else
        fprintf(out, "binding    possible\n");
}

void dn_topo_print(const dn_topo *topo, const char *roles_head, const char *const *roles, FILE *out)
{
    print_machine(topo, out);
    print_domains(topo, out);
    print_binding(topo, out);
    fprintf(out, "\n%-5s ", "rank");
    print_role(roles ? roles_head : NULL, out);
    fprintf(out, "%-8s %-8s %-8s %-12s %s\n", "threads", "package", "NUMA", "cores", "PUs of the system");
    for (int rank = 0; rank < topo->n_workers; rank++)
        print_place(topo, &topo->seats[rank].place, roles ? roles[rank] : NULL, out);
}
