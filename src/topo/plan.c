/*
 * Who sits where. The machine is a row of units, in the order of the hardware tree, cut into NUMA domains:
 *
 *     | core core core core | core core core core | ...        one domain between two bars
 *
 * A unit is a core with its usable PUs, or one PU if there are more workers than cores. Every worker gets the
 * same number `width` of consecutive units, as many as possible
 *   - inside one domain (a domain may seat several workers), or
 *   - over whole domains, where fewer workers than domains make that wider.
 * Beyond one worker a PU, PUs are shared in turn.
 */
#include "topo/topo.h"

#include "base/fail.h"

#include <assert.h>
#include <stdlib.h>

typedef struct row {
    hwloc_bitmap_t *domains; /* [n_domains], usable PUs of each, in tree order; owned */
    int n_domains;
    hwloc_bitmap_t *units; /* [n_units], usable PUs of each; owned */
    int n_units;
    int *first; /* [n_domains + 1]: units of domain d are first[d] .. first[d + 1] - 1 */
} row;

static void row_free(row *r)
{
    for (int d = 0; d < r->n_domains; d++)
        hwloc_bitmap_free(r->domains[d]);
    for (int u = 0; u < r->n_units; u++)
        hwloc_bitmap_free(r->units[u]);
    free(r->domains);
    free(r->units);
    free(r->first);
}

static dn_status no_memory(void)
{
    return dn_fail(DN_ERR_MEMORY, "no memory to plan the workers");
}

/* ---- the row ---- */

/* The node that comes after `node` (NULL: the first) in the order in which nodes are given PUs: those with
 * memory before those without, then as the operating system numbers them. Where several memories serve the
 * same PUs (HBM or persistent memory beside DRAM) DRAM is numbered first. NULL after the last. */
static hwloc_obj_t next_node(const dn_topo *topo, hwloc_obj_t node)
{
    hwloc_const_bitmap_t nodes = hwloc_topology_get_complete_nodeset(topo->hwloc);
    bool empty = node && node->attr->numanode.local_memory == 0;
    for (int pass = empty; pass < 2; pass++) {
        int os_index = node && pass == empty ? (int)node->os_index : -1;
        while ((os_index = hwloc_bitmap_next(nodes, os_index)) >= 0) {
            hwloc_obj_t next = hwloc_get_numanode_obj_by_os_index(topo->hwloc, (unsigned)os_index);
            if (next && (next->attr->numanode.local_memory == 0) == (pass == 1))
                return next;
        }
    }
    return NULL;
}

/* Gives each NUMA node those of its usable PUs that no node before it has; share[n_numa] are those that no
 * node has (one is offline): a domain of their own, whose memory comes from other nodes. share is [n_numa +
 * 1], by logical index, filled with bitmaps (empty = no domain). */
static dn_status share_pus(const dn_topo *topo, hwloc_bitmap_t *share)
{
    hwloc_bitmap_t left = share[topo->machine.n_numa] = hwloc_bitmap_dup(topo->usable);
    if (!left)
        return no_memory();
    for (hwloc_obj_t node = NULL; (node = next_node(topo, node));) {
        hwloc_bitmap_t pus = share[node->logical_index] = hwloc_bitmap_dup(left);
        if (!pus)
            return no_memory();
        hwloc_bitmap_and(pus, pus, node->cpuset);
        hwloc_bitmap_andnot(left, left, pus);
    }
    return DN_OK;
}

static dn_status find_domains(row *r, dn_topo *topo)
{
    int n_numa = topo->machine.n_numa;
    r->domains = calloc((size_t)n_numa + 1, sizeof *r->domains);
    if (!r->domains)
        return no_memory();
    dn_status status = share_pus(topo, r->domains);
    for (int i = 0; i <= n_numa; i++) {
        hwloc_bitmap_t pus = r->domains[i];
        r->domains[i] = NULL;
        if (i == n_numa && pus)
            topo->n_orphans = hwloc_bitmap_weight(pus);
        if (pus && !hwloc_bitmap_iszero(pus))
            r->domains[r->n_domains++] = pus;
        else
            hwloc_bitmap_free(pus);
    }
    if (status == DN_OK && r->n_domains == 0)
        return dn_fail(DN_ERR_SYSTEM, "no NUMA domain has a processor that may be used");
    return status;
}

/* Cuts the domains into units of a type, replacing those of an earlier call. */
static dn_status cut(row *r, const dn_topo *topo, hwloc_obj_type_t type)
{
    while (r->n_units > 0)
        hwloc_bitmap_free(r->units[--r->n_units]);
    for (int d = 0; d < r->n_domains; d++) {
        r->first[d] = r->n_units;
        hwloc_obj_t object = NULL;
        while ((object = hwloc_get_next_obj_by_type(topo->hwloc, type, object))) {
            if (!hwloc_bitmap_intersects(object->cpuset, r->domains[d]))
                continue;
            hwloc_bitmap_t unit = hwloc_bitmap_dup(r->domains[d]);
            if (!unit)
                return no_memory();
            hwloc_bitmap_and(unit, unit, object->cpuset);
            r->units[r->n_units++] = unit;
        }
    }
    r->first[r->n_domains] = r->n_units;
    return DN_OK;
}

static dn_status row_build(row *r, dn_topo *topo, int *n_workers)
{
    DN_TRY(find_domains(r, topo));
    if (*n_workers == 0)
        *n_workers = r->n_domains < topo->machine.n_usable ? r->n_domains : topo->machine.n_usable;
    /* A core split between two domains would be a unit of both: no more units than PUs, either way. */
    r->units = calloc((size_t)topo->machine.n_pus, sizeof *r->units);
    r->first = calloc((size_t)r->n_domains + 1, sizeof *r->first);
    if (!r->units || !r->first)
        return no_memory();
    DN_TRY(cut(r, topo, HWLOC_OBJ_CORE));
    return r->n_units < *n_workers ? cut(r, topo, HWLOC_OBJ_PU) : DN_OK;
}

/* ---- how wide ---- */

static int units_in(const row *r, int domain)
{
    return r->first[domain + 1] - r->first[domain];
}

/* Workers of a width that find room, each inside one domain. */
static int seats_inside(const row *r, int width)
{
    int n = 0;
    for (int d = 0; d < r->n_domains; d++)
        n += units_in(r, d) / width;
    return n;
}

/* Workers of a width that find room, each beginning with a domain of its own and closing with the domain that
 * completes it; end[i] (may be NULL) is the unit after worker i's last. */
static int seats_across(const row *r, int width, int *end)
{
    int n = 0, gathered = 0;
    for (int d = 0; d < r->n_domains; d++) {
        gathered += units_in(r, d);
        if (gathered < width)
            continue;
        if (end)
            end[n] = r->first[d + 1];
        n++;
        gathered = 0;
    }
    return n;
}

static int widest_inside(const row *r, int n_workers)
{
    int width = r->n_units / n_workers;
    while (width > 1 && seats_inside(r, width) < n_workers)
        width--;
    return width;
}

static int widest_across(const row *r, int n_workers)
{
    int width = r->n_units / n_workers;
    while (width > 0 && seats_across(r, width, NULL) < n_workers)
        width--;
    return width;
}

/* ---- where each begins ---- */

/* Hands n_workers out to the domains, each time to the one that is relatively emptiest and still has room. */
static void fill_domains(const row *r, int n_workers, int width, int *seated)
{
    for (int i = 0; i < n_workers; i++) {
        int best = -1;
        for (int d = 0; d < r->n_domains; d++)
            if (seated[d] < units_in(r, d) / width &&
                (best < 0 || seated[d] * units_in(r, best) < seated[best] * units_in(r, d)))
                best = d;
        assert(best >= 0);
        seated[best]++;
    }
}

/* begin[rank] = first unit. Workers of one domain are spread evenly over it, so that they share caches as
 * little as they must. */
static dn_status begin_inside(const row *r, int n_workers, int width, int *begin)
{
    int *seated = calloc((size_t)r->n_domains, sizeof *seated);
    if (!seated)
        return no_memory();
    fill_domains(r, n_workers, width, seated);
    int rank = 0;
    for (int d = 0; d < r->n_domains; d++)
        for (int i = 0; i < seated[d]; i++)
            begin[rank++] = r->first[d] + i * units_in(r, d) / seated[d];
    free(seated);
    return DN_OK;
}

static dn_status begin_across(const row *r, int n_workers, int width, int *begin)
{
    int *end = calloc((size_t)r->n_domains, sizeof *end);
    if (!end)
        return no_memory();
    seats_across(r, width, end);
    for (int rank = 0; rank < n_workers; rank++)
        begin[rank] = end[rank] - width;
    free(end);
    return DN_OK;
}

static dn_status choose(const row *r, int n_workers, int *width, int *begin)
{
    *width = 1;
    if (n_workers > r->n_units) {
        for (int rank = 0; rank < n_workers; rank++)
            begin[rank] = rank % r->n_units;
        return DN_OK;
    }
    int inside = widest_inside(r, n_workers), across = widest_across(r, n_workers);
    *width = across > inside ? across : inside;
    return across > inside ? begin_across(r, n_workers, across, begin)
                           : begin_inside(r, n_workers, inside, begin);
}

/* ---- writing it down ---- */

/* Logical index of the one package that holds all of `pus`; -1 if several do. Where none is known, on some
 * virtual machines, the machine counts as one. */
static int package_of(const dn_topo *topo, hwloc_const_bitmap_t pus)
{
    hwloc_obj_t package = NULL;
    while ((package = hwloc_get_next_obj_by_type(topo->hwloc, HWLOC_OBJ_PACKAGE, package)))
        if (hwloc_bitmap_isincluded(pus, package->cpuset))
            return (int)package->logical_index;
    return hwloc_get_nbobjs_by_type(topo->hwloc, HWLOC_OBJ_PACKAGE) == 0 ? 0 : -1;
}

/* The first node that holds all of `pus`, in the order in which they were given out; -1 if none does. */
static int node_of(const dn_topo *topo, hwloc_const_bitmap_t pus)
{
    for (hwloc_obj_t node = NULL; (node = next_node(topo, node));)
        if (hwloc_bitmap_isincluded(pus, node->cpuset))
            return (int)node->logical_index;
    return -1;
}

static dn_status list_cores(const dn_topo *topo, hwloc_const_bitmap_t pus, char **text)
{
    hwloc_bitmap_t cores = hwloc_bitmap_alloc();
    if (!cores)
        return no_memory();
    hwloc_obj_t core = NULL;
    while ((core = hwloc_get_next_obj_by_type(topo->hwloc, HWLOC_OBJ_CORE, core)))
        if (hwloc_bitmap_intersects(core->cpuset, pus))
            hwloc_bitmap_set(cores, core->logical_index);
    int length = hwloc_bitmap_list_asprintf(text, cores);
    hwloc_bitmap_free(cores);
    return length >= 0 ? DN_OK : no_memory();
}

static dn_status seat(const dn_topo *topo, const row *r, int begin, int width, dn_seat *out)
{
    out->pus = hwloc_bitmap_alloc();
    if (!out->pus)
        return no_memory();
    for (int u = begin; u < begin + width; u++)
        hwloc_bitmap_or(out->pus, out->pus, r->units[u]);
    dn_place *place = &out->place;
    place->numa = node_of(topo, out->pus);
    place->package = package_of(topo, out->pus);
    char *text;
    if (hwloc_bitmap_list_asprintf(&text, out->pus) < 0)
        return no_memory();
    place->os_pus = text;
    DN_TRY(list_cores(topo, out->pus, &text));
    place->cores = text;
    return DN_OK;
}

/* A quota limits time, not places: under one, workers stay as wide as they are (containers that all bound to
 * the fewest, first cores would meet there) and run fewer threads. */
static int threads_of(const dn_topo *topo, int n_workers, int width)
{
    int at_once = topo->machine.n_usable / n_workers;
    int n = topo->machine.quota > 0 && at_once < width ? at_once : width;
    return n > 1 ? n : 1;
}

static dn_status place_all(dn_topo *topo, const row *r, int n_workers)
{
    int begin[DN_MAX_RANKS], width;
    DN_TRY(choose(r, n_workers, &width, begin));
    topo->n_workers = n_workers;
    for (int rank = 0; rank < n_workers; rank++) {
        DN_TRY(seat(topo, r, begin[rank], width, &topo->seats[rank]));
        topo->seats[rank].place.rank = rank;
        topo->seats[rank].place.n_threads = threads_of(topo, n_workers, width);
    }
    return DN_OK;
}

/* Usable PUs that no worker has: where domains differ in size, for all workers get as many units. -1 without
 * memory. */
static int count_idle(const dn_topo *topo)
{
    hwloc_bitmap_t idle = hwloc_bitmap_dup(topo->usable);
    for (int rank = 0; idle && rank < topo->n_workers; rank++)
        hwloc_bitmap_andnot(idle, idle, topo->seats[rank].pus);
    int n = idle ? hwloc_bitmap_weight(idle) : -1;
    hwloc_bitmap_free(idle);
    return n;
}

void dn_topo_warn(const dn_topo *topo)
{
    const dn_machine *m = &topo->machine;
    int n_idle = count_idle(topo);
    if (topo->n_workers > m->n_usable)
        dn_log(DN_LOG_WARNING,
               "%d workers share %d processor%s and will wait for each other's time; give at most %d",
               topo->n_workers, m->n_usable, m->n_usable == 1 ? "" : "s", m->n_usable);
    else if (n_idle > 0)
        dn_log(DN_LOG_WARNING,
               "%d of %d processors stay idle, for %d workers get the same number of cores each; another "
               "number of "
               "workers may fit better (dionode topo --np N)",
               n_idle, hwloc_bitmap_weight(topo->usable), topo->n_workers);
    if (topo->n_orphans > 0)
        dn_log(DN_LOG_WARNING,
               "%d processors have no NUMA node of their own (is one offline?): their memory comes from "
               "other nodes",
               topo->n_orphans);
}

dn_status dn_topo_plan(dn_topo *topo, int n_workers)
{
    row r = {0};
    dn_status status = row_build(&r, topo, &n_workers);
    if (status == DN_OK)
        status = place_all(topo, &r, n_workers);
    row_free(&r);
    return status;
}
