#include "verify/plant.h"

#include "base/fail.h"
#include "base/nearest.h"
#include "verify/inside.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *what;
} bugs[DN_N_BUGS] = {
    [DN_BUG_NONE] = {"none", "no bug"},
    [DN_BUG_SKIP_FACTOR_REDUCE] = {"skip-factor-reduce", "one rank's terms of P and R are not added"},
    [DN_BUG_SUM_FOR_AVERAGE] = {"sum-for-average", "replicas add gradients or factors, and do not divide"},
    [DN_BUG_WRONG_BAND_OFFSET] = {"wrong-band-offset", "a band of P is read one row off"},
    [DN_BUG_STALE_Q] = {"stale-q", "a rank goes on with its Q of the step before"},
    [DN_BUG_LONG_Q] = {"long-q", "columns of Q are kept twice as long as unit vectors"},
    [DN_BUG_LOCAL_COLUMN_NORMS] = {"local-column-norms", "columns are normalized by the own rows' norms"},
    [DN_BUG_LOCAL_FAN_OUT] = {"local-fan-out", "the update is scaled by the shard's shape"},
    [DN_BUG_LOCAL_ZERO_GUARD] = {"local-zero-guard", "a rank takes its empty shard for a zero matrix"},
    [DN_BUG_SKIP_TP_REDUCE] = {"skip-tp-reduce", "one all-reduce of activations is left out"},
    [DN_BUG_WRONG_HEAD_SPLIT] = {"wrong-head-split",
                                 "heads of k are cut half a head from where their projections are"},
    [DN_BUG_WRONG_VOCAB_OFFSET] = {"wrong-vocab-offset", "a part of the vocabulary starts one row off"},
    [DN_BUG_WRONG_ROWS] = {"wrong-rows", "all data ranks take the same rows of the batch"},
    [DN_BUG_SKIP_FS_REDUCE] = {"skip-fs-reduce", "a shard's gradient is that of its owner's rows alone"},
    [DN_BUG_STALE_WEIGHTS] = {"stale-weights",
                              "a gather over dp, or fs, leaves the weights of the step before"},
    [DN_BUG_EVEN_PARTS] = {"even-parts", "where a part starts is computed as if all were equal"},
    [DN_BUG_REPLICA_DRIFT] = {"replica-drift", "one replica's weights change in their last bit"},
    [DN_BUG_UNCOUNTED_BYTES] = {"uncounted-bytes", "one exchange is missing in the statistics"},
    [DN_BUG_WRONG_PAIR] = {"wrong-pair", "of a pair of replicas each takes its own message for the other's"},
    [DN_BUG_UNCOUNTED_PROBE] = {"uncounted-probe", "the numbers by which replicas decide are missing in the statistics"},
    [DN_BUG_SKIP_FEEDBACK] = {"skip-feedback", "what a replica has not sent is forgotten"},
    [DN_BUG_OWN_NOT_SUBTRACTED] = {"own-not-subtracted", "what a replica has sent it goes on to owe"},
    [DN_BUG_MEAN_FOR_SENDERS] = {"mean-for-senders", "a mean over those that sent is taken over all replicas"},
    [DN_BUG_STALE_ANCHOR] = {"stale-anchor", "where replicas set out from stays where it was at first"},
    [DN_BUG_LATE_APPLY] = {"late-apply", "what was exchanged is taken up a step late"},
    [DN_BUG_POISON_PROBE] = {"poison-probe", "one replica's numbers by which all decide are no numbers"},
    [DN_BUG_SWAP_MICRO_BATCHES] = {"swap-micro-batches", "a stage takes the targets of another micro-batch than it computes"},
    [DN_BUG_OTHER_MASK_BACKWARD] = {"other-mask-backward", "gradients come back by other entries than numbers went forward by"},
    [DN_BUG_STASH_NEWEST] = {"stash-newest", "gradients go back through the newest weights, not those that numbers went forward with"},
    [DN_BUG_STALE_CHANNEL] = {"stale-channel", "a stage sends on what it has sent of the micro-batch before"},
};

static _Atomic int chosen = DN_BUG_NONE;

dn_bug dn_bug_chosen(void)
{
    return (dn_bug)atomic_load_explicit(&chosen, memory_order_relaxed);
}

const char *dn_bug_name(dn_bug bug)
{
    return bugs[bug].name;
}

dn_status dn_verify_inject(const char *name)
{
    int nearest = DN_BUG_NONE;
    for (int bug = 0; bug < DN_N_BUGS; bug++) {
        if (strcmp(name, bugs[bug].name) == 0) {
            atomic_store_explicit(&chosen, bug, memory_order_relaxed);
            return DN_OK;
        }
        if (bug > 0 && dn_edit_distance(name, bugs[bug].name) < dn_edit_distance(name, bugs[nearest].name))
            nearest = bug;
    }
    return dn_fail(DN_ERR_CONFIG, "there is no bug '%s' to plant: did you mean '%s'?", name,
                   bugs[nearest].name);
}

void dn_verify_inject_list(FILE *out)
{
    for (int bug = 1; bug < DN_N_BUGS; bug++)
        fprintf(out, "%-20s %s\n", bugs[bug].name, bugs[bug].what);
}

/* ---- on a mesh ---- */

void dn_plant_begin(dn_plant *plant, dn_bug bug, const dn_mesh *mesh)
{
    *plant = (dn_plant){.bug = bug, .mesh = mesh};
    for (unsigned axes = 1; axes <= DN_ALL_AXES && bug != DN_BUG_NONE; axes++) {
        dn_planted_comm *c = &plant->comms[axes];
        if (!mesh->comms[axes])
            continue;
        c->real = dn_comm_ops_of(mesh->comms[axes]);
        c->ops = *c->real;
        c->plant = plant;
        c->axes = axes;
        dn_plant_in_comm(bug, &c->ops);
        dn_comm_use_ops(mesh->comms[axes], &c->ops);
    }
}

void dn_plant_end(dn_plant *plant)
{
    for (unsigned axes = 1; axes <= DN_ALL_AXES; axes++)
        if (plant->comms[axes].real)
            dn_comm_use_ops(plant->mesh->comms[axes], plant->comms[axes].real);
    if (plant->stream)
        plant->stream->kernels = plant->kernels.real;
    for (dn_fetched *next, *f = plant->fetched; f; f = next) {
        next = f->next;
        free(f);
    }
    *plant = (dn_plant){0};
}

bool dn_planted(const dn_verify *v, dn_bug bug)
{
    return v->plant.bug == bug;
}

void dn_plant_kernels(dn_verify *v, dn_stream *stream, const dn_plant_memory *memory)
{
    dn_plant *plant = &v->plant;
    if (plant->bug == DN_BUG_NONE)
        return;
    plant->stream = stream;
    plant->memory = *memory;
    plant->kernels = (dn_planted_kernels){.table = *stream->kernels, .real = stream->kernels, .plant = plant};
    dn_plant_in_kernels(plant->bug, &plant->kernels.table);
    stream->kernels = &plant->kernels.table;
}

dn_block dn_plant_block(const dn_plant *plant, dn_block block)
{
    if (plant->bug != DN_BUG_EVEN_PARTS || block.rows == 0 || block.cols == 0)
        return block;
    return (dn_block){block.row0 / block.rows * block.rows, block.rows, block.col0 / block.cols * block.cols,
                      block.cols};
}
