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

static dn_status check_state(const dn_instance *instance, size_t index, bool *finite)
{
    const dn_shard shard = dn_instance_state_shard(instance, index, dn_comm_rank(instance->mesh->all));
    size_t n = shard.block.rows * shard.block.cols;
    return dn_instance_state(instance, index)->type == DN_BF16 ? check_halves(instance, shard.data, n, finite)
                                                               : check_reals(instance, shard.data, n, finite);
}

dn_status dn_finite_check(const dn_instance *instance, const char *where, const char *todo, void (*tick)(void *),
                          void *context)
{
    bool finite;
    for (size_t i = 0; i < instance->plan->n_params; i++) {
        const dn_param *p = &instance->params[i];
        DN_TRY(check_reals(instance, p->weight, dn_param_size(p), &finite));
        if (!finite)
            return not_finite(p->tensor.name, where, todo);
        if (tick)
            tick(context);
    }
    size_t n_states = instance->optimizer ? dn_instance_n_states(instance) : 0;
    for (size_t i = 0; i < n_states; i++) {
        DN_TRY(check_state(instance, i, &finite));
        if (!finite)
            return not_finite(dn_instance_state(instance, i)->name, where, todo);
        if (tick)
            tick(context);
    }
    return DN_OK;
}
