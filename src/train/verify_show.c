/* What is compared of a case to verify: parameters and states, as this rank holds them. */
#include "train/verify_trial.h"

#include "base/fail.h"
#include "compute/kernels.h"
#include "device/device.h"
#include "tensor/axes.h"

#include <stdio.h>
#include <string.h>

const char *dn_verify_trial_line(const char *what, uint64_t step, char line[DN_VERIFY_LINE_MAX])
{
    snprintf(line, DN_VERIFY_LINE_MAX, step == 1 ? "%.16s, %d step" : "%.16s, %d steps", what, (int)step);
    return line;
}

dn_status dn_verify_trial_show(dn_verify_trial *t, const dn_verify_tensor *tensor, unsigned averaged, dn_block block,
                      dn_type stored, const void *data)
{
    size_t n = block.rows * block.cols;
    dn_comm *comm = dn_mesh_comm(t->instance.mesh, averaged);
    dn_stream *s = t->instance.stream;
    if (stored == DN_BF16) {
        s->kernels->from_bf16(s, t->wide, data, n);
        data = t->wide;
    }
    bool in_place = dn_comm_size(comm) == 1 && !dn_device_is_apart();
    if (!in_place)
        dn_download(s, t->copy, data, n);
    DN_TRY(dn_stream_sync(s));
    if (dn_comm_size(comm) == 1)
        return dn_verify_block(t->v, tensor, block, in_place ? data : t->copy);
    DN_TRY(dn_comm_all_reduce(comm, t->copy, n, DN_REAL, DN_AVG, DN_TRAFFIC_CONTROL));
    return dn_verify_block(t->v, tensor, block, t->copy);
}

dn_status dn_verify_trial_show_params(dn_verify_trial *t, const char *what, bool gradients, uint64_t step)
{
    char line[DN_VERIFY_LINE_MAX];
    dn_verify_trial_line(what, step, line);
    for (size_t i = gradients ? 0 : dn_model_n_borrowed(&t->plan.spec); i < (gradients ? t->plan.n_trained : t->plan.n_params); i++) {
        const dn_param *p = gradients ? &t->instance.trained[i] : &t->instance.params[i];
        unsigned copies = dn_axes_without(t->instance.mesh->size, dn_tensor_axes(&p->tensor)); /* of the block */
        unsigned apart = t->vcase->by_replicas && dn_strategy_apart(t->instance.strategy) ? DN_AXIS(DN_DP) : 0;
        dn_verify_tensor whole = {line, p->tensor, copies, NULL};
        DN_TRY(dn_verify_trial_show(t, &whole, gradients ? copies : apart, p->block, DN_REAL, gradients ? p->grad : p->weight));
    }
    return DN_OK;
}

dn_status dn_verify_trial_show_tied(dn_verify_trial *t, uint64_t step)
{
    char line[DN_VERIFY_LINE_MAX];
    bool here = dn_spec_is_tied(&t->plan.spec) && dn_model_has_head(&t->plan.spec);
    for (size_t i = 0; here && i < dn_embedding.describe(&t->plan.spec, 0, NULL); i++) {
        const dn_param *p = &t->instance.params[i];
        dn_verify_tensor whole = {dn_verify_trial_line("tied head", step, line), p->tensor,
                                  dn_axes_without(t->instance.mesh->size, dn_tensor_axes(&p->tensor)), NULL};
        DN_TRY(dn_verify_trial_show(t, &whole, 0, p->block, DN_REAL, p->weight));
    }
    return DN_OK;
}

/* Axes along which the copies of a state lie. */
static unsigned replicas_of(const dn_verify_trial *t, size_t state)
{
    unsigned axes = 0;
    int first = dn_instance_state_shard(&t->instance, state, 0).replica;
    for (int axis = 0; axis < DN_N_AXES; axis++) {
        int at[DN_N_AXES] = {0};
        at[axis] = t->instance.mesh->size[axis] > 1;
        int rank = dn_mesh_rank(t->instance.mesh->size, at);
        if (dn_instance_state_shard(&t->instance, state, rank).replica != first)
            axes |= DN_AXIS(axis);
    }
    return axes;
}

const char *dn_verify_trial_kind_of_state(const char *name)
{
    static const struct {
        const char *infix, *what;
    } kinds[] = {{".q.", "Q"},
                 {".momentum.", "momentum"},
                 {".m.", "momentum"},
                 {".v.", "second moment"},
                 {".second.", "second moment"},
                 {".rank.", "rank"}};
    const char *infix = strchr(name, '.');
    for (size_t i = 0; infix && i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(infix, kinds[i].infix, strlen(kinds[i].infix)) == 0)
            return kinds[i].what;
    return "other state";
}

/* A column of Q is one of R divided by its length, and so is its error: short columns are rounding for the most part, and in
 * float may be nothing else. By these lengths columns count as they did in R, whose error is of the size of rounding. Other
 * states have none. */
static const double *weights_of(const dn_verify_trial *t, size_t state)
{
    const dn_optimizer *o = t->instance.optimizer;
    bool is_q = state < dn_optimizer_n_states(o) && strcmp(dn_verify_trial_kind_of_state(dn_optimizer_state(o, state)->name), "Q") == 0;
    return is_q ? dn_optimizer_choice(o, dn_optimizer_state_matrix(o, state)).lengths : NULL;
}

size_t dn_verify_trial_n_states(const dn_verify_trial *t)
{
    return dn_instance_n_states(&t->instance) - t->instance.stash.n_kept * t->plan.n_trained;
}

dn_status dn_verify_trial_show_states(dn_verify_trial *t, uint64_t step)
{
    char line[DN_VERIFY_LINE_MAX];
    for (size_t i = 0; i < dn_verify_trial_n_states(t); i++) {
        size_t of_optimizer = dn_optimizer_n_states(t->instance.optimizer);
        if (i >= of_optimizer && dn_strategy_state_is_cut(t->instance.strategy, i - of_optimizer))
            continue; /* one rank has no such tensor */
        const dn_tensor *state = dn_instance_state(&t->instance, i);
        dn_shard shard = dn_instance_state_shard(&t->instance, i, dn_comm_rank(t->instance.mesh->all));
        unsigned replicas = replicas_of(t, i);
        dn_verify_tensor whole = {dn_verify_trial_line(dn_verify_trial_kind_of_state(state->name), step, line), *state, replicas, weights_of(t, i)};
        whole.tensor.type = DN_REAL;
        DN_TRY(dn_verify_trial_show(t, &whole, state->per_replica ? replicas : 0, shard.block, state->type, shard.data));
    }
    return DN_OK;
}
