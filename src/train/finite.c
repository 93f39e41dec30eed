#include "train/finite.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "device/device.h"

#include <math.h>

static dn_status not_finite(const char *name, const char *where, const char *todo)
{
    return dn_fail(DN_ERR_NUMERIC, "%s: %s is not finite; %s", where, name, todo);
}

/* A sum of squares is as finite as its terms: those of floats are added in double. In double, what is beyond
 * 1e154 counts as infinite, too. */
static dn_status check_reals(const dn_instance *instance, const dn_buf *x, size_t n, bool *finite)
{
    double sum = 0;
    instance->stream->kernels->sum_squares(instance->stream, &sum, x, n);
    DN_TRY(dn_stream_sync(instance->stream));
    dn_stream_progress(instance->stream);
    *finite = isfinite(sum);
    return DN_OK;
}

/* Infinities and NaN have all bits of the exponent. Of a device's memory the host looks at copies. */
static dn_status check_halves(const dn_instance *instance, const dn_bf16 *x, size_t n, bool *finite)
{
    enum { PIECE = 4096 };
    uint16_t copy[PIECE];
    *finite = true;
    for (size_t at = 0, count; at < n; at += count) {
        count = dn_min(PIECE, n - at);
        const uint16_t *halves = (const uint16_t *)dn_bf16_at(x, at);
        if (dn_device_is_apart()) {
            dn_copy_bytes(instance->stream, copy, halves, count * sizeof *copy);
            DN_TRY(dn_stream_sync(instance->stream));
            halves = copy;
        }
        for (size_t i = 0; i < count; i++)
            *finite = *finite && (halves[i] & 0x7f80) != 0x7f80;
    }
    return DN_OK;
}

dn_status dn_finite_weights(const dn_instance *instance, const char *where, const char *todo)
{
    for (size_t i = 0; i < instance->plan->n_params; i++) {
        const dn_param *p = &instance->params[i];
        bool finite;
        DN_TRY(check_reals(instance, p->weight, dn_param_size(p), &finite));
        if (!finite)
            return not_finite(p->name, where, todo);
    }
    return DN_OK;
}

dn_status dn_finite_states(const dn_instance *instance, int rank, const char *where, const char *todo)
{
    for (size_t i = 0; i < dn_instance_n_states(instance); i++) {
        const dn_tensor *state = dn_instance_state(instance, i);
        const dn_shard shard = dn_instance_state_shard(instance, i, rank);
        size_t n = shard.block.rows * shard.block.cols;
        bool finite;
        if (state->type == DN_BF16)
            DN_TRY(check_halves(instance, shard.data, n, &finite));
        else
            DN_TRY(check_reals(instance, shard.data, n, &finite));
        if (!finite)
            return not_finite(state->name, where, todo);
    }
    return DN_OK;
}
