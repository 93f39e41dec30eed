/*
 * The placement plan. The machine is a row of units in the order of the hardware tree, divided into NUMA
 * domains:
 *
 *     | core core core core | core core core core | ...        one domain between two bars
 *
 * A unit is a core with its usable PUs, or one PU if there are more workers than cores. Every worker gets the
 * same number `width` of consecutive units, as many as possible
 *   - inside one domain (a domain may hold several workers), or
 *   - over whole domains, if fewer workers than domains make that wider.
 * With more workers than PUs, PUs are shared round-robin.
 */
#include "topo/topo.h"

#include "base/fail.h"
#include "base/printable.h"

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

/* Gives each NUMA node those of its usable PUs that no earlier node has. PUs without a node (one is offline)
 * are a domain of their own, whose memory comes from other nodes. */
static dn_status find_domains(row *r, dn_topo *topo)
{
    int n_numa = topo->machine.n_numa;
    hwloc_bitmap_t *pus_of = r->domains =
        calloc((size_t)n_numa + 1, sizeof *r->domains); /* by logical index */
    if (!pus_of)
        return no_memory();
    r->n_domains = n_numa + 1; /* to be freed, empty ones included */
    hwloc_bitmap_t left = pus_of[n_numa] = hwloc_bitmap_dup(topo->usable);
    if (!left)
        return no_memory();
    for (hwloc_obj_t node = NULL; (node = next_node(topo, node));) {
        hwloc_bitmap_t pus = pus_of[node->logical_index] = hwloc_bitmap_dup(left);
        if (!pus)
            return no_memory();
        hwloc_bitmap_and(pus, pus, node->cpuset);
        hwloc_bitmap_andnot(left, left, pus);
    }
    topo->n_orphans = hwloc_bitmap_weight(left);
    r->n_domains = 0;
    for (int i = 0; i <= n_numa; i++) {
        hwloc_bitmap_t pus = pus_of[i];
        pus_of[i] = NULL;
        if (pus && !hwloc_bitmap_iszero(pus))
            r->domains[r->n_domains++] = pus;
        else
            hwloc_bitmap_free(pus);
    }
    return r->n_domains > 0 ? DN_OK : dn_fail(DN_ERR_SYSTEM, "no NUMA domain has a usable processor");
}

/* Divides the domains into units of a type, replacing those of an earlier call. */
static dn_status make_units(row *r, const dn_topo *topo, hwloc_obj_type_t type)
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
    DN_TRY(make_units(r, topo, HWLOC_OBJ_CORE));
    return r->n_units < *n_workers ? make_units(r, topo, HWLOC_OBJ_PU) : DN_OK;
}

/* ---- the width ---- */

static int units_in(const row *r, int domain)
{
    return r->first[domain + 1] - r->first[domain];
}

/* The number of workers of a width that fit, each inside one domain. */
static int fit_inside(const row *r, int width)
{
    int n = 0;
    for (int d = 0; d < r->n_domains; d++)
        n += units_in(r, d) / width;
    return n;
}

/* The number of workers of a width that fit, each on whole domains of its own; end[i] (may be NULL) is the
 * unit after worker i's last. */
static int fit_across(const row *r, int width, int *end)
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
    while (width > 1 && fit_inside(r, width) < n_workers)
        width--;
    return width;
}

static int widest_across(const row *r, int n_workers)
{
    int width = r->n_units / n_workers;
    while (width > 0 && fit_across(r, width, NULL) < n_workers)
        width--;
    return width;
}

/* ---- the first unit ---- */

/* begin[rank] = first unit. Each worker goes to the domain that is relatively emptiest and still has room;
 * the workers of a domain are spread evenly over it, so that they share as few caches as possible. */
static dn_status begin_inside(const row *r, int n_workers, int width, int *begin)
{
    int *n_placed = calloc((size_t)r->n_domains, sizeof *n_placed);
    if (!n_placed)
        return no_memory();
    for (int i = 0; i < n_workers; i++) {
        int best = -1;
        for (int d = 0; d < r->n_domains; d++)
            if (n_placed[d] < units_in(r, d) / width &&
                (best < 0 || n_placed[d] * units_in(r, best) < n_placed[best] * units_in(r, d)))
                best = d;
        assert(best >= 0);
        n_placed[best]++;
    }
    int rank = 0;
    for (int d = 0; d < r->n_domains; d++)
        for (int i = 0; i < n_placed[d]; i++)
            begin[rank++] = r->first[d] + i * units_in(r, d) / n_placed[d];
    free(n_placed);
    return DN_OK;
}

static dn_status begin_across(const row *r, int n_workers, int width, int *begin)
{
    int *end = calloc((size_t)r->n_domains, sizeof *end);
    if (!end)
        return no_memory();
    fit_across(r, width, end);
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

/* ---- the placement ---- */

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

static dn_status place_worker(const dn_topo *topo, const row *r, int begin, int width, dn_placement *out)
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

/* A quota limits time, not PUs: under one, workers keep their width (containers that all bound to the first
 * few cores would share them) and run fewer threads. */
static dn_status place_all(dn_topo *topo, const row *r, int n_workers)
{
    int begin[DN_MAX_RANKS], width;
    DN_TRY(choose(r, n_workers, &width, begin));
    int at_once = topo->machine.n_usable / n_workers;
    int n_threads = topo->machine.quota > 0 && at_once < width ? at_once : width;
    topo->n_workers = n_workers;
    for (int rank = 0; rank < n_workers; rank++) {
        DN_TRY(place_worker(topo, r, begin[rank], width, &topo->placements[rank]));
        topo->placements[rank].place.rank = rank;
        topo->placements[rank].place.n_threads = n_threads > 1 ? n_threads : 1;
    }
    return DN_OK;
}

void dn_topo_warn(const dn_topo *topo)
{
    const dn_machine *m = &topo->machine;
    hwloc_bitmap_t idle = hwloc_bitmap_dup(topo->usable);
    for (int rank = 0; idle && rank < topo->n_workers; rank++)
        hwloc_bitmap_andnot(idle, idle, topo->placements[rank].pus);
    int n_idle = idle ? hwloc_bitmap_weight(idle) : 0;
    hwloc_bitmap_free(idle);
    if (topo->n_workers > m->n_usable)
        dn_log(DN_LOG_WARNING, "%d workers share %d processor%s and will run in turn; use at most %d",
               topo->n_workers, m->n_usable, dn_plural(m->n_usable), m->n_usable);
    else if (n_idle > 0)
        dn_log(DN_LOG_WARNING,
               "%d of %d processors stay idle, as all %d workers get the same number of cores; another "
               "number of workers "
               "may fit better (dionode topo --np N)",
               n_idle, hwloc_bitmap_weight(topo->usable), topo->n_workers);
    if (topo->n_orphans > 0)
        dn_log(DN_LOG_WARNING,
               "%d processor%s no NUMA node of %s own (is one offline?): memory comes from other nodes",
               topo->n_orphans, topo->n_orphans == 1 ? " has" : "s have",
               topo->n_orphans == 1 ? "its" : "their");
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
