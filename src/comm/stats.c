/* Communication statistics: payload, bytes moved here, and bytes that a cluster's network would have carried.
 */
#include "dionode/mesh.h"

#include "comm/internal.h"

#include <assert.h>
#include <string.h>

/* ---- what a call counts ---- */

/* The table of comm.h. Integers are multiplied before the one division: exact where the result is an integer.
 */
static double cluster_bytes(const dn_comm *comm, dn_collective as, size_t whole, int root)
{
    double all = (double)whole, others = (double)(comm->size - 1);
    switch (as) {
    case DN_ALL_REDUCE:
        return 2 * others * all / (double)comm->size;
    case DN_REDUCE_SCATTER:
    case DN_ALL_GATHER:
    case DN_ALL_TO_ALL:
        return others * all / (double)comm->size;
    default: { /* a chain, to the root or from it: all but the last member send */
        int last = as == DN_REDUCE ? root : (root + comm->size - 1) % comm->size;
        return comm->rank != last ? all : 0;
    }
    }
}

static uint64_t hops_of(dn_collective as, int size)
{
    return (uint64_t)(as == DN_ALL_REDUCE ? 2 : 1) * (uint64_t)(size - 1);
}

/* Hops of what a view or message adds to those since the last barrier: once for each batch. */
static uint64_t batched_hops(dn_comm *comm, int way, dn_traffic kind, uint64_t hops)
{
    uint64_t *at = &comm->batched_at[way][kind], now = comm->barrier.sequence + 1;
    bool first = *at != now;
    *at = now;
    return first ? hops : 0;
}

static void count_hops(dn_comm *comm, dn_traffic kind, uint64_t hops, double cluster)
{
    comm->stats.hops[kind] += hops;
    dn_link_carry(comm, kind, hops, cluster);
}

void dn_comm_count_call(dn_comm *comm, dn_collective as, dn_traffic kind, size_t own, size_t whole, int root)
{
    dn_comm_stats *stats = &comm->stats;
    size_t payload = as == DN_ALL_GATHER ? own : whole;
    if (as == DN_BROADCAST && comm->rank != root)
        payload = 0;
    stats->payload[kind] += payload;
    stats->by_collective[as] += payload;
    double cluster = cluster_bytes(comm, as, whole, root);
    stats->cluster[kind] += cluster;
    stats->cluster_by_collective[as] += cluster;
    uint64_t hops = comm->counts_part ? 0 : hops_of(as, comm->size);
    count_hops(comm, kind, comm->viewing ? batched_hops(comm, (int)as, kind, hops) : hops, cluster);
}

void dn_comm_count_send(dn_comm *comm, dn_traffic kind, size_t bytes, bool viewing)
{
    comm->stats.payload[kind] += bytes;
    comm->stats.cluster[kind] += (double)bytes;
    count_hops(comm, kind, viewing ? batched_hops(comm, DN_N_COLLECTIVES, kind, 1) : 1, (double)bytes);
}

void dn_comm_count_moved(dn_comm *comm, dn_traffic kind, int member, size_t bytes)
{
    int domain = comm->domains.of[member];
    comm->stats.moved[kind] += bytes;
    comm->links[domain] += bytes;
    if (domain != comm->domains.of[comm->rank])
        comm->stats.crossed[kind] += bytes;
}

void dn_comm_count_in_place(dn_comm *comm, dn_collective as, size_t own, size_t whole, dn_traffic kind)
{
    assert(own <= whole && as != DN_BROADCAST && as != DN_REDUCE);
    if (comm->size == 1)
        return;
    comm->ops->count(comm, as, kind, own, whole, -1);
    dn_link_wait(comm);
}

void dn_comm_count_viewed(dn_comm *comm, dn_collective as, size_t own, size_t whole, dn_traffic kind)
{
    comm->viewing = true;
    dn_comm_count_in_place(comm, as, own, whole, kind);
    comm->viewing = false;
}

/* ---- reading ---- */

dn_comm_stats dn_comm_get_stats(dn_comm *comm, bool reset)
{
    dn_comm_stats stats = comm->stats;
    if (reset) {
        comm->stats = (dn_comm_stats){0};
        memset(comm->links, 0, sizeof comm->links);
    }
    return stats;
}

void dn_comm_links(const dn_comm *comm, uint64_t *bytes, int n_domains)
{
    memset(bytes, 0, (size_t)n_domains * sizeof *bytes);
    for (int domain = 0; domain < comm->domains.n; domain++) {
        int member = comm->domains.members[comm->domains.first[domain]];
        int of_world = dn_world_domain(comm->world, comm->barrier.ranks[member]);
        if (of_world < n_domains)
            bytes[of_world] += comm->links[domain];
    }
}
