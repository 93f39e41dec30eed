/* Planted bugs that are a wrong exchange. */
#include "verify/plant.h"

#include "base/fail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static dn_planted_comm *planted(const dn_comm *comm)
{
    return (dn_planted_comm *)(uintptr_t)dn_comm_ops_of(comm);
}

static bool is_last_rank(const dn_mesh *mesh)
{
    return dn_comm_rank(mesh->all) == dn_comm_size(mesh->all) - 1;
}

/* The last rank's terms are nothing. */
static dn_status lose_terms(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type, dn_op op,
                            dn_traffic kind)
{
    const dn_plant *plant = planted(comm)->plant;
    dn_stream *s = plant->stream;
    for (size_t i = 0; i < n_items && s && kind == DN_TRAFFIC_FACTORS && is_last_rank(plant->mesh); i++) {
        s->kernels->fill(s, items[i].buffer, items[i].count, 0);
        DN_TRY(dn_stream_sync(s));
    }
    return planted(comm)->real->reduce_to_owners(comm, items, n_items, type, op, kind);
}

static dn_status sum_over_replicas(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                   dn_op op, dn_traffic kind)
{
    const dn_planted_comm *c = planted(comm);
    bool wrong = (c->axes & DN_AXIS(DN_DP)) && kind == DN_TRAFFIC_GRADIENT && op == DN_AVG;
    return c->real->reduce_to_owners(comm, items, n_items, type, wrong ? DN_SUM : op, kind);
}

static dn_status keep_own_gradients(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                    dn_op op, dn_traffic kind)
{
    const dn_comm_ops *real = planted(comm)->real;
    if (planted(comm)->axes == DN_AXIS(DN_FS) && kind == DN_TRAFFIC_GRADIENT)
        return real->barrier(comm);
    return real->reduce_to_owners(comm, items, n_items, type, op, kind);
}

static dn_status keep_own_norms(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                dn_traffic kind)
{
    const dn_comm_ops *real = planted(comm)->real;
    if (kind == DN_TRAFFIC_BASIS && type == DN_F64)
        return real->barrier(comm);
    return real->all_reduce(comm, buffer, count, type, op, kind);
}

static dn_status skip_first_activations(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                        dn_traffic kind)
{
    const dn_comm_ops *real = planted(comm)->real;
    if (kind == DN_TRAFFIC_ACTIVATIONS && planted(comm)->plant->n_skipped++ == 0)
        return real->barrier(comm);
    return real->all_reduce(comm, buffer, count, type, op, kind);
}

static dn_status keep_old_weights(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                  dn_traffic kind)
{
    const dn_comm_ops *real = planted(comm)->real;
    return kind == DN_TRAFFIC_WEIGHTS ? real->barrier(comm)
                                      : real->gather_from_owners(comm, items, n_items, type, kind);
}

/* A place gives for ever what it gave first. By one thread of a rank at a time. */
static void fetch_old_weights(const dn_comm *comm, dn_stream *stream, void *to, const void *p, size_t bytes, int rank)
{
    dn_plant *plant = planted(comm)->plant;
    dn_fetched *f = plant->fetched;
    while (f && (f->from != p || f->rank != rank || f->bytes != bytes))
        f = f->next;
    if (f) {
        dn_copy_bytes(stream, to, f->data, bytes);
        return;
    }
    planted(comm)->real->fetch(comm, stream, to, p, bytes, rank);
    f = malloc(sizeof *f + bytes);
    if (!f)
        return;
    *f = (dn_fetched){.next = plant->fetched, .from = p, .bytes = bytes, .rank = rank};
    dn_copy_bytes(stream, f->data, to, bytes);
    (void)!dn_stream_sync(stream);
    plant->fetched = f;
}

/* What the last replica has fetched changes in its last bit; what it owns others may still read. */
static dn_status drift(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type, dn_traffic kind)
{
    const dn_plant *plant = planted(comm)->plant;
    const dn_mesh *mesh = plant->mesh;
    dn_stream *s = plant->stream;
    bool drifts = s && kind == DN_TRAFFIC_WEIGHTS && mesh->at[DN_DP] == mesh->size[DN_DP] - 1;
    DN_TRY(planted(comm)->real->gather_from_owners(comm, items, n_items, type, kind));
    for (size_t i = 0; i < n_items && drifts; i++)
        if (items[i].owner != dn_comm_rank(comm))
            s->kernels->scale(s, items[i].buffer, 1 + DN_REAL_EPS, items[i].buffer, items[i].count);
    return drifts ? dn_stream_sync(s) : DN_OK;
}

static void leave_uncounted(dn_comm *comm, dn_collective as, dn_traffic kind, size_t own, size_t whole,
                            int root)
{
    if (as != DN_REDUCE_SCATTER)
        planted(comm)->real->count(comm, as, kind, own, whole, root);
}

static const void *view_own(dn_comm *comm, const void *p, size_t span, int rank)
{
    const dn_planted_comm *c = planted(comm);
    return c->axes == DN_AXIS(DN_DP) ? p : c->real->view(comm, p, span, rank);
}

static void leave_probe_uncounted(dn_comm *comm, dn_collective as, dn_traffic kind, size_t own, size_t whole, int root)
{
    if (kind != DN_TRAFFIC_PROBE)
        planted(comm)->real->count(comm, as, kind, own, whole, root);
}

/* Of the last rank. */
static dn_status poison_probe(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, dn_traffic kind)
{
    if (kind == DN_TRAFFIC_PROBE && type == DN_F64 && is_last_rank(planted(comm)->plant->mesh))
        *(double *)buffer = NAN;
    return planted(comm)->real->all_reduce(comm, buffer, count, type, op, kind);
}

/* Forward, to the next stage: backward the stream of another slot may be anything. */
static dn_status post_stale(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to, dn_traffic kind)
{
    dn_plant *plant = planted(comm)->plant;
    const void *before = to > dn_comm_rank(comm) && plant->posted ? plant->posted : buffer;
    if (to > dn_comm_rank(comm))
        plant->posted = buffer;
    return planted(comm)->real->post(comm, before, count, type, to, kind);
}

void dn_plant_in_comm(dn_bug bug, dn_comm_ops *ops)
{
    switch (bug) {
    case DN_BUG_SKIP_FACTOR_REDUCE:
        ops->reduce_to_owners = lose_terms;
        break;
    case DN_BUG_SUM_FOR_AVERAGE:
        ops->reduce_to_owners = sum_over_replicas;
        break;
    case DN_BUG_SKIP_FS_REDUCE:
        ops->reduce_to_owners = keep_own_gradients;
        break;
    case DN_BUG_LOCAL_COLUMN_NORMS:
        ops->all_reduce = keep_own_norms;
        break;
    case DN_BUG_SKIP_TP_REDUCE:
        ops->all_reduce = skip_first_activations;
        break;
    case DN_BUG_STALE_WEIGHTS:
        ops->gather_from_owners = keep_old_weights;
        ops->fetch = fetch_old_weights;
        break;
    case DN_BUG_REPLICA_DRIFT:
        ops->gather_from_owners = drift;
        break;
    case DN_BUG_UNCOUNTED_BYTES:
        ops->count = leave_uncounted;
        break;
    case DN_BUG_WRONG_PAIR:
        ops->view = view_own;
        break;
    case DN_BUG_UNCOUNTED_PROBE:
        ops->count = leave_probe_uncounted;
        break;
    case DN_BUG_POISON_PROBE:
        ops->all_reduce = poison_probe;
        break;
    case DN_BUG_STALE_CHANNEL:
        ops->post = post_stale;
        break;
    default:
        break;
    }
}
