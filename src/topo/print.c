/* The report of `dionode topo`. */
#include "topo/topo.h"

#include "base/human.h"
#include "base/printable.h"
#include "dionode/version.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

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
            dn_plural(m->n_packages), m->n_numa, dn_plural(m->n_numa), m->n_cores, dn_plural(m->n_cores),
            m->n_pus, dn_plural(m->n_pus));
    print_usable(topo, out);
    if (m->quota > 0)
        fprintf(out, "CPU quota  %.2f CPUs: %d thread%s can run at once\n", m->quota, m->n_usable,
                dn_plural(m->n_usable));
    else
        fprintf(out, "CPU quota  none\n");
}

/* Each kind of cache: the size of the first, how many there are, and what it is shared by. */
static void print_caches(const dn_topo *topo, FILE *out)
{
    static const hwloc_obj_type_t kinds[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE,
                                             HWLOC_OBJ_L4CACHE};
    bool any = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        hwloc_obj_t first = hwloc_get_obj_by_type(topo->hwloc, kinds[i], 0);
        char size[24];
        if (!first)
            continue;
        int n_pus = hwloc_bitmap_weight(first->cpuset);
        fprintf(out, "%s%d x L%u %s of %d PU%s", any ? ", " : "caches     ",
                hwloc_get_nbobjs_by_type(topo->hwloc, kinds[i]), first->attr->cache.depth,
                dn_human_size((double)first->attr->cache.size, size, sizeof size), n_pus, dn_plural(n_pus));
        any = true;
    }
    if (any)
        fputc('\n', out);
}

/* As the firmware tells them: 10 is the own domain. NULL where it does not, or of one domain. */
static struct hwloc_distances_s *distances_of(const dn_topo *topo)
{
    struct hwloc_distances_s *distances = NULL;
    unsigned n = 1;
    if (topo->machine.n_numa < 2 ||
        hwloc_distances_get_by_type(topo->hwloc, HWLOC_OBJ_NUMANODE, &n, &distances,
                                    HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 ||
        n == 0)
        return NULL;
    return distances;
}

static void print_distances(const dn_topo *topo, FILE *out)
{
    struct hwloc_distances_s *d = distances_of(topo);
    for (unsigned i = 0; d && i < d->nbobjs; i++) {
        fprintf(out, "%s NUMA %u to all:", i ? "          " : "distances ", d->objs[i]->logical_index);
        for (unsigned k = 0; k < d->nbobjs; k++)
            fprintf(out, " %llu", (unsigned long long)d->values[i * d->nbobjs + k]);
        fputc('\n', out);
    }
    if (d)
        hwloc_distances_release(topo->hwloc, d);
}

/* This machine with its devices, which planning does without: looking for them takes time. NULL: another
 * machine. */
static hwloc_topology_t with_devices(const dn_topo *topo)
{
    hwloc_topology_t full;
    if (!topo->machine.this_system || hwloc_topology_init(&full) != 0)
        return NULL;
    hwloc_topology_set_io_types_filter(full, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
    if (hwloc_topology_load(full) == 0)
        return full;
    hwloc_topology_destroy(full);
    return NULL;
}

static const char *device_kind(hwloc_obj_t device)
{
    static const char *const kinds[] = {"block", "GPU", "network", "fabric", "DMA", "accelerator"};
    unsigned kind = (unsigned)device->attr->osdev.type;
    return kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "device";
}

/* The first NUMA domain that a device hangs on; -1: none is told. */
static int domain_of(hwloc_obj_t device)
{
    hwloc_obj_t at = device;
    while (at && !at->nodeset)
        at = at->parent;
    return at && hwloc_bitmap_weight(at->nodeset) == 1 ? hwloc_bitmap_first(at->nodeset) : -1;
}

static void print_devices(hwloc_topology_t full, FILE *out)
{
    for (hwloc_obj_t device = NULL; full && (device = hwloc_get_next_osdev(full, device)) != NULL;) {
        int domain = domain_of(device);
        fprintf(out, "device     %s %s", device_kind(device), device->name);
        if (domain >= 0)
            fprintf(out, ", at node %d of the system", domain);
        fputc('\n', out);
    }
}

static void print_domains(const dn_topo *topo, FILE *out)
{
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(topo->hwloc, HWLOC_OBJ_NUMANODE, node))) {
        char *pus = NULL;
        if (hwloc_bitmap_list_asprintf(&pus, node->cpuset) < 0)
            pus = NULL;
        char size[24] = "memory unknown"; /* of a synthetic machine */
        if (node->attr->numanode.local_memory > 0)
            dn_human_size((double)node->attr->numanode.local_memory, size, sizeof size);
        fprintf(out, "NUMA %-4u  node %u of the system, %s, PUs %s\n", node->logical_index, node->os_index,
                size, pus ? pus : "?");
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
        if (hwloc_bitmap_intersects(topo->placements[rank].pus, node->cpuset))
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
    hwloc_topology_t full = with_devices(topo);
    print_machine(topo, out);
    print_caches(topo, out);
    print_domains(topo, out);
    print_distances(topo, out);
    print_devices(full, out);
    if (full)
        hwloc_topology_destroy(full);
    print_binding(topo, out);
    fprintf(out, "\n%-5s ", "rank");
    print_role(roles ? roles_head : NULL, out);
    fprintf(out, "%-8s %-8s %-8s %-12s %s\n", "threads", "package", "NUMA", "cores", "PUs of the system");
    for (int rank = 0; rank < topo->n_workers; rank++)
        print_place(topo, &topo->placements[rank].place, roles ? roles[rank] : NULL, out);
}

/* ---- for programs ---- */

static void write_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(out, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, out);
    fputc('"', out);
}

static void write_set(const char *name, hwloc_const_bitmap_t set, FILE *out)
{
    char *list = NULL;
    fprintf(out, "\"%s\": ", name);
    write_text(hwloc_bitmap_list_asprintf(&list, set) >= 0 ? list : "?", out);
    free(list);
}

static void write_caches(const dn_topo *topo, FILE *out)
{
    bool any = false;
    fprintf(out, ",\n \"caches\": [");
    for (hwloc_obj_type_t kind = HWLOC_OBJ_L1CACHE; kind <= HWLOC_OBJ_L5CACHE; kind++)
        for (hwloc_obj_t cache = NULL; (cache = hwloc_get_next_obj_by_type(topo->hwloc, kind, cache)) != NULL;
             any = true) {
            fprintf(out, "%s\n  {\"level\": %u, \"bytes\": %llu, \"line\": %u, ", any ? "," : "",
                    cache->attr->cache.depth, (unsigned long long)cache->attr->cache.size,
                    cache->attr->cache.linesize);
            write_set("pus", cache->cpuset, out);
            fputc('}', out);
        }
    fputc(']', out);
}

static void write_domains(const dn_topo *topo, FILE *out)
{
    bool any = false;
    fprintf(out, ",\n \"numa\": [");
    for (hwloc_obj_t node = NULL;
         (node = hwloc_get_next_obj_by_type(topo->hwloc, HWLOC_OBJ_NUMANODE, node)) != NULL; any = true) {
        fprintf(out, "%s\n  {\"index\": %u, \"os_index\": %u, \"bytes\": %llu, ", any ? "," : "",
                node->logical_index, node->os_index, (unsigned long long)node->attr->numanode.local_memory);
        write_set("pus", node->cpuset, out);
        fputc('}', out);
    }
    fputc(']', out);
    struct hwloc_distances_s *d = distances_of(topo);
    for (unsigned i = 0; d && i < d->nbobjs * d->nbobjs; i++)
        fprintf(out, "%s%llu",
                i == 0          ? ",\n \"distances\": [["
                : i % d->nbobjs ? ", "
                                : "], [",
                (unsigned long long)d->values[i]);
    if (d) {
        fprintf(out, "]]");
        hwloc_distances_release(topo->hwloc, d);
    }
}

static void write_devices(const dn_topo *topo, FILE *out)
{
    hwloc_topology_t full = with_devices(topo);
    bool any = false;
    fprintf(out, ",\n \"devices\": [");
    for (hwloc_obj_t device = NULL; full && (device = hwloc_get_next_osdev(full, device)) != NULL;
         any = true) {
        fprintf(out, "%s\n  {\"kind\": \"%s\", \"name\": ", any ? "," : "", device_kind(device));
        write_text(device->name, out);
        fprintf(out, ", \"numa_os_index\": %d}", domain_of(device));
    }
    fputc(']', out);
    if (full)
        hwloc_topology_destroy(full);
}

void dn_topo_write_json(const dn_topo *topo, FILE *out)
{
    const dn_machine *m = &topo->machine;
    char processor[128];
    dn_topo_processor(processor, sizeof processor);
    fprintf(out, "{\"version\": \"%s\", \"this_system\": %s, \"processor\": ", dn_version(),
            m->this_system ? "true" : "false");
    write_text(m->this_system ? processor : "", out);
    fprintf(out, ",\n \"packages\": %d, \"cores\": %d, \"pus\": %d, \"usable\": %d, ", m->n_packages,
            m->n_cores, m->n_pus, m->n_usable);
    write_set("allowed", topo->usable, out);
    if (m->quota > 0)
        fprintf(out, ", \"quota\": %.17g", m->quota);
    write_caches(topo, out);
    write_domains(topo, out);
    write_devices(topo, out);
    fprintf(out, ",\n \"workers\": [");
    for (int rank = 0; rank < topo->n_workers; rank++) {
        const dn_place *place = &topo->placements[rank].place;
        fprintf(out, "%s\n  {\"rank\": %d, \"threads\": %d, \"package\": %d, \"numa\": %d, \"cores\": ",
                rank ? "," : "", place->rank, place->n_threads, place->package, place->numa);
        write_text(place->cores, out);
        fprintf(out, ", \"os_pus\": ");
        write_text(place->os_pus, out);
        fputc('}', out);
    }
    fprintf(out, "]}\n");
}
