#include "topo/topo.h"

#include "base/fail.h"

#include <assert.h>
#include <stdlib.h>

dn_status dn_topo_create(int n_workers, dn_topo **out)
{
    if (n_workers < 0 || n_workers > DN_MAX_RANKS)
        return dn_fail(DN_ERR_ARG, "%d workers: must be 1 to %d, or 0 for one per NUMA domain", n_workers,
                       DN_MAX_RANKS);
    dn_topo *topo = calloc(1, sizeof *topo);
    if (!topo)
        return dn_fail(DN_ERR_MEMORY, "no memory to describe the machine");
    dn_status status = dn_topo_discover(topo);
    if (status == DN_OK)
        status = dn_topo_plan(topo, n_workers);
    if (status != DN_OK)
        dn_topo_destroy(&topo);
    else
        *out = topo;
    return status;
}

void dn_topo_destroy(dn_topo **topo)
{
    dn_topo *t = *topo;
    if (!t)
        return;
    for (int i = 0; i < t->n_workers; i++) {
        hwloc_bitmap_free(t->placements[i].pus);
        free((char *)t->placements[i].place.os_pus);
        free((char *)t->placements[i].place.cores);
    }
    hwloc_bitmap_free(t->usable);
    hwloc_bitmap_free(t->home_pus);
    hwloc_bitmap_free(t->home_nodes);
    if (t->hwloc)
        hwloc_topology_destroy(t->hwloc);
    free(t);
    *topo = NULL;
}

const dn_machine *dn_topo_machine(const dn_topo *topo)
{
    return &topo->machine;
}

int dn_topo_n_workers(const dn_topo *topo)
{
    return topo->n_workers;
}

const dn_place *dn_topo_place(const dn_topo *topo, int rank)
{
    assert(rank >= 0 && rank < topo->n_workers);
    return &topo->placements[rank].place;
}

hwloc_obj_t dn_topo_node(const dn_topo *topo, const dn_place *place)
{
    return place->numa < 0 ? NULL
                           : hwloc_get_obj_by_type(topo->hwloc, HWLOC_OBJ_NUMANODE, (unsigned)place->numa);
}
