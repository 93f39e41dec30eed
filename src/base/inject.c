#include "base/inject.h"

#include "base/fail.h"
#include "base/nearest.h"

#include <stddef.h>
#include <string.h>

_Atomic int dn_inject_planted = DN_INJECT_NONE;

static const struct {
    const char *name, *what;
} kinds[DN_N_INJECTS] = {
    [DN_INJECT_NONE] = {"none", "no bug"},
    [DN_INJECT_SKIP_FACTOR_REDUCE] = {"skip-factor-reduce", "one rank's partial P is not added"},
    [DN_INJECT_SUM_FOR_AVERAGE] = {"sum-for-average", "replicas add gradients or factors, and do not divide"},
    [DN_INJECT_WRONG_BAND_OFFSET] = {"wrong-band-offset", "a band of P is read one row off"},
    [DN_INJECT_STALE_Q] = {"stale-q", "a rank goes on with its Q of the step before"},
    [DN_INJECT_LOCAL_COLUMN_NORMS] = {"local-column-norms", "columns are normalized by the own rows' norms"},
    [DN_INJECT_LOCAL_FAN_OUT] = {"local-fan-out", "the update is scaled by the shard's shape"},
    [DN_INJECT_LOCAL_ZERO_GUARD] = {"local-zero-guard", "a rank takes its empty shard for a zero matrix"},
    [DN_INJECT_SKIP_TP_REDUCE] = {"skip-tp-reduce", "one all-reduce of activations is left out"},
    [DN_INJECT_WRONG_HEAD_SPLIT] = {"wrong-head-split",
                                    "heads of k are cut half a head from where their projections are"},
    [DN_INJECT_WRONG_VOCAB_OFFSET] = {"wrong-vocab-offset", "a part of the vocabulary starts one row off"},
    [DN_INJECT_WRONG_ROWS] = {"wrong-rows", "all data ranks take the same rows of the batch"},
    [DN_INJECT_SKIP_FS_REDUCE] = {"skip-fs-reduce", "a shard's gradient is that of its owner's rows alone"},
    [DN_INJECT_STALE_WEIGHTS] = {"stale-weights",
                                 "a gather over dp, or fs, leaves the weights of the step before"},
    [DN_INJECT_EVEN_PARTS] = {"even-parts", "where a part starts is computed as if all were equal"},
    [DN_INJECT_REPLICA_DRIFT] = {"replica-drift", "one replica's weights change in their last bit"},
    [DN_INJECT_UNCOUNTED_BYTES] = {"uncounted-bytes", "one exchange is missing in the ledger"},
};

static dn_status unknown(const char *name)
{
    int nearest = 0;
    for (int kind = 1; kind < DN_N_INJECTS; kind++)
        if (dn_edit_distance(name, kinds[kind].name) < dn_edit_distance(name, kinds[nearest].name))
            nearest = kind;
    return dn_fail(DN_ERR_CONFIG, "there is no bug '%s' to plant: did you mean '%s'?", name,
                   kinds[nearest].name);
}

dn_status dn_inject_plant(const char *name)
{
    for (int kind = 0; kind < DN_N_INJECTS; kind++) {
        if (strcmp(name, kinds[kind].name) == 0) {
            dn_inject_swap((dn_inject)kind);
            return DN_OK;
        }
    }
    return unknown(name);
}

dn_inject dn_inject_swap(dn_inject kind)
{
    return (dn_inject)atomic_exchange_explicit(&dn_inject_planted, (int)kind, memory_order_relaxed);
}

const char *dn_inject_name(dn_inject kind)
{
    return kinds[kind].name;
}

void dn_inject_list(FILE *out)
{
    for (int kind = 1; kind < DN_N_INJECTS; kind++)
        fprintf(out, "%-20s %s\n", kinds[kind].name, kinds[kind].what);
}
