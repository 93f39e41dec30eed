/* Islands: consecutive replicas, and the meshes of those of one island and of islands. */
#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "strategy/run.h"

#include <string.h>

/* One replica is one island, whatever the settings say, and so are all while their places are not known. */
static int n_islands(const dn_strategy *strategy, const dn_strategy_config *config, int n_replicas)
{
    int given = strategy->islands ? strategy->islands(config) : 1;
    if (n_replicas == 1)
        return 1;
    return given < 0 ? (config->placed_islands ? config->placed_islands : 1) : given ? given : n_replicas;
}

/* Where a replica's ranks are, which stand one behind another; -1: not in one place. */
static int place_of(const int *places, int n_ranks, int replica)
{
    int place = places[replica * n_ranks];
    for (int i = 1; i < n_ranks; i++)
        place = places[replica * n_ranks + i] == place ? place : -1;
    return place;
}

dn_status dn_strategy_place_islands(const dn_strategy *strategy, dn_strategy_config *config, const int size[DN_N_AXES],
                                    const int *domains, const int *nodes)
{
    int n_replicas = size[DN_DP], n_ranks = dn_axes_size(size, DN_ALL_AXES) / n_replicas, n = 0, of[DN_MAX_RANKS];
    if (!strategy->islands || strategy->islands(config) >= 0)
        return DN_OK;
    const bool by_node = strategy->islands(config) == DN_ISLANDS_NODES;
    const char *word = by_node ? "nodes" : "numa", *what = by_node ? "node" : "NUMA domain";
    for (int i = 0; i < n_replicas && n_replicas > 1; i++) {
        of[i] = place_of(by_node ? nodes : domains, n_ranks, i);
        if (of[i] < 0)
            return dn_fail(DN_ERR_CONFIG, "islands %s: replica %d is in no %s alone: give islands a number, or "
                           "replicas fewer workers (fs_size, tp_size)", word, i, what);
        n += i == 0 || of[i] != of[i - 1];
    }
    config->placed_islands = n > 0 ? n : 1;
    for (int i = 0; i < n_replicas && n > 1; i++) {
        int first = i - i % (n_replicas / n);
        bool apart = n_replicas % n != 0 || of[i] != of[first];
        for (int k = 0; k < first; k++)
            apart = apart || of[k] == of[i];
        if (apart)
            return dn_fail(DN_ERR_CONFIG, "islands %s: %d replicas (dp_size) are not the same number in each %s, one "
                           "%s's behind another's (replica %d is in %s %d): give islands a number", word, n_replicas, what, what, i,
                           what, of[i]);
    }
    return DN_OK;
}

dn_status dn_strategy_check_mesh(const dn_strategy *strategy, const dn_strategy_config *config, const int size[DN_N_AXES])
{
    int n = n_islands(strategy, config, size[DN_DP]);
    if (size[DN_DP] % n == 0)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "islands %d: %d replicas (dp_size) do not form that many equal islands", n, size[DN_DP]);
}

void dn_strategy_scope_at(const dn_strategy *strategy, const dn_strategy_config *config, dn_scope scope,
                          int size[DN_N_AXES], int at[DN_N_AXES])
{
    int n = n_islands(strategy, config, size[DN_DP]), members = size[DN_DP] / n;
    if (scope == DN_SCOPE_ISLAND) {
        size[DN_DP] = members;
        at[DN_DP] %= members;
    } else if (scope == DN_SCOPE_ACROSS) {
        size[DN_DP] = n;
        at[DN_DP] /= members;
    }
}

static bool has_islands(const dn_strategy *strategy, const int size[DN_N_AXES])
{
    return strategy->islands && size[DN_DP] > 1;
}

size_t dn_strategy_islands_bytes(const dn_strategy *strategy, const int size[DN_N_AXES])
{
    return has_islands(strategy, size) ? dn_size_mul(2, dn_split_bytes(dn_axes_size(size, DN_ALL_AXES), 0)) : 0;
}

/* Ranks of the scope agree in all but the replica's place in it. */
static dn_status split(dn_strategy_run *r, dn_scope scope)
{
    const dn_mesh *whole = r->parts.mesh;
    dn_scope other = scope == DN_SCOPE_ISLAND ? DN_SCOPE_ACROSS : DN_SCOPE_ISLAND;
    dn_mesh *mesh = &r->scopes[scope];
    int size[DN_N_AXES], at[DN_N_AXES];
    memcpy(size, whole->size, sizeof size);
    memcpy(at, whole->at, sizeof at);
    dn_strategy_scope_at(r->strategy, &r->config, scope, mesh->size, mesh->at);
    dn_strategy_scope_at(r->strategy, &r->config, other, size, at);
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if (axes & DN_AXIS(DN_DP))
            mesh->comms[axes] = NULL;
    return dn_comm_split(whole->all, dn_mesh_rank(size, at), 0, 0, &mesh->comms[DN_AXIS(DN_DP)]);
}

dn_status dn_strategy_open_islands(dn_strategy_run *r)
{
    for (int scope = 0; scope < DN_N_SCOPES; scope++)
        r->scopes[scope] = *r->parts.mesh;
    if (!has_islands(r->strategy, r->parts.mesh->size))
        return DN_OK;
    DN_TRY(split(r, DN_SCOPE_ISLAND));
    return split(r, DN_SCOPE_ACROSS);
}

void dn_strategy_close_islands(dn_strategy_run *r)
{
    for (int scope = DN_SCOPE_ISLAND; scope < DN_N_SCOPES; scope++)
        if (has_islands(r->strategy, r->parts.mesh->size))
            dn_comm_destroy(&r->scopes[scope].comms[DN_AXIS(DN_DP)]);
}

dn_comm *dn_strategy_comm(const dn_strategy_run *r, dn_scope scope)
{
    return has_islands(r->strategy, r->parts.mesh->size) ? r->scopes[scope].comms[DN_AXIS(DN_DP)] : NULL;
}
