/*
 * Internals of this room: a loaded hwloc topology and the placement plan made on it. Only this room uses
 * hwloc.
 *
 * All sets are bitmaps of PUs by operating-system number. Disallowed objects are kept in the topology, so
 * that the whole machine is described and logical numbers are those of lstopo; `usable` holds the allowed
 * PUs.
 */
#ifndef TOPO_TOPO_H
#define TOPO_TOPO_H

#include "dionode/topo.h"

#include <hwloc.h>

typedef struct dn_placement {
    dn_place place;     /* its texts are owned here */
    hwloc_bitmap_t pus; /* where the worker is bound */
} dn_placement;

struct dn_topo {
    hwloc_topology_t hwloc;
    dn_machine machine;
    hwloc_bitmap_t usable; /* affinity mask and cpuset */

    /* Where the thread that created this was bound, for dn_topo_unbind. */
    hwloc_bitmap_t home_pus, home_nodes;
    hwloc_membind_policy_t home_policy;

    int n_orphans; /* usable PUs without a NUMA node */
    int n_workers;
    dn_placement placements[DN_MAX_RANKS];
};

/** Fills everything but the plan. On failure, too, topo is to be destroyed with dn_topo_destroy. */
dn_status dn_topo_discover(dn_topo *topo) DN_MUST_USE;

/** Fills n_workers and placements; n_workers as in dn_topo_create, in range. */
dn_status dn_topo_plan(dn_topo *topo, int n_workers) DN_MUST_USE;

/** The NUMA node a place lies in; NULL if it spans several. */
hwloc_obj_t dn_topo_node(const dn_topo *topo, const dn_place *place);

#endif
