/* The element-wise methods: each rank updates its part of a parameter, and keeps state for that part alone.
 */
#include "base/fail.h"
#include "optim/adamw.h"
#include "optim/lion.h"
#include "optim/sgd.h"
#include "sync/method.h"

dn_status dn_elements_step(dn_party *party, uint64_t step, double lr, dn_step_report *report)
{
    (void)report;
    for (size_t i = 0; i < party->n_slots; i++)
        party->method->update(party, &party->slots[i], step, lr * party->slots[i].group.lr_scale);
    return dn_stream_sync(party->stream);
}

/* A dealt layout, and states of the parameter's own shape. */
static void describe(const int size[DN_N_AXES], dn_slot *slot, const char *first, const char *second)
{
    const dn_param *param = slot->param;
    slot->layout = dn_layout_of(param, size, false);
    dn_slot_add_state(slot, first, param->rows, param->cols, dn_slot_part);
    if (second)
        dn_slot_add_state(slot, second, param->rows, param->cols, dn_slot_part);
}

/* ---- AdamW ---- */

static void describe_adamw(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    (void)config;
    describe(size, slot, "adamw.m", "adamw.v");
}

static void update_adamw(const dn_party *party, const dn_slot *slot, uint64_t step, double lr)
{
    const dn_optim_config *c = party->config;
    dn_adamw_update(party->stream, slot->weight, slot->states[0].data, slot->states[1].data, slot->grad,
                    dn_slot_size(slot), step,
                    (dn_adamw_step){.lr = lr,
                                    .beta1 = c->beta1,
                                    .beta2 = c->beta2,
                                    .eps = c->eps,
                                    .weight_decay = slot->group.weight_decay,
                                    .cautious = c->cautious});
}

const dn_method dn_method_adamw = {
    .describe = describe_adamw, .step = dn_elements_step, .update = update_adamw};

/* ---- Lion ---- */

static void describe_lion(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    (void)config;
    describe(size, slot, "lion.m", NULL);
}

static void update_lion(const dn_party *party, const dn_slot *slot, uint64_t step, double lr)
{
    (void)step;
    const dn_optim_config *c = party->config;
    dn_lion_step rule = {
        .lr = lr, .beta1 = c->beta1, .beta2 = c->beta2, .weight_decay = slot->group.weight_decay};
    dn_lion_update(party->stream, slot->param, slot->weight, slot->states[0].data, slot->grad,
                   dn_slot_size(slot), &rule);
}

const dn_method dn_method_lion = {.describe = describe_lion, .step = dn_elements_step, .update = update_lion};

/* ---- SGD ---- */

static void describe_sgd(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    (void)config;
    describe(size, slot, "sgd.momentum", NULL);
}

static void update_sgd(const dn_party *party, const dn_slot *slot, uint64_t step, double lr)
{
    (void)step;
    const dn_optim_config *c = party->config;
    dn_sgd_step rule = {
        .lr = lr, .weight_decay = slot->group.weight_decay, .mu = c->mu, .nesterov = c->nesterov};
    dn_sgd_update(party->stream, slot->weight, slot->states[0].data, slot->grad, dn_slot_size(slot), &rule);
}

const dn_method dn_method_sgd = {.describe = describe_sgd, .step = dn_elements_step, .update = update_sgd};
