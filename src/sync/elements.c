/* The element-wise methods: each rank updates its part of a parameter, and keeps state for that part alone.
 */
#include "base/arena.h"
#include "base/fail.h"
#include "optim/adamw.h"
#include "optim/lion.h"
#include "optim/sgd.h"
#include "sync/method.h"

/* Elements of a stretch where states need room to be opened: work enough for a few threads, and it stays in
 * their cache. */
#define STRETCH ((size_t)1 << 18)
#define ROOM    (STRETCH * sizeof(dn_real)) /* of one state */

size_t dn_elements_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                              size_t n)
{
    (void)size;
    int most = 0;
    for (size_t i = 0; i < n; i++)
        most = slots[i].n_states > most ? slots[i].n_states : most;
    return config->state_precision == DN_PRECISION_FULL ? 0 : (size_t)most * ROOM;
}

dn_status dn_elements_open(dn_party *party, void *workspace)
{
    party->work = workspace;
    return DN_OK;
}

/* Elements first .. of a slot: all of them where states need no room. */
static dn_stretch open_stretch(const dn_party *party, const dn_slot *slot, size_t first)
{
    size_t left = dn_slot_size(slot) - first;
    dn_stretch x = {.slot = slot,
                    .n = slot->type == DN_REAL || left < STRETCH ? left : STRETCH,
                    .weight = dn_at(slot->weight, first),
                    .grad = dn_at(slot->grad, first)};
    for (int k = 0; k < slot->n_states; k++) {
        const dn_slot_state *state = &slot->states[k];
        x.states[k] = slot->type == DN_REAL ? dn_at(state->data, first) : dn_at(party->work, k * STRETCH);
        if (slot->type != DN_REAL)
            party->stream->kernels->from_bf16(party->stream, x.states[k], dn_bf16_at(state->stored, first),
                                              x.n);
    }
    return x;
}

static void close_stretch(const dn_party *party, const dn_stretch *x, size_t first)
{
    for (int k = 0; k < x->slot->n_states && x->slot->type != DN_REAL; k++)
        party->stream->kernels->to_bf16(party->stream, dn_bf16_at(x->slot->states[k].stored, first),
                                        x->states[k], x->n);
}

dn_status dn_elements_step(dn_party *party, uint64_t step, double lr, dn_step_report *report)
{
    (void)report;
    for (size_t i = 0; i < party->n_slots; i++) {
        const dn_slot *slot = &party->slots[i];
        for (size_t first = 0; first < dn_slot_size(slot);) {
            dn_stretch x = open_stretch(party, slot, first);
            party->method->update(party, &x, step, lr * slot->group.lr_scale);
            close_stretch(party, &x, first);
            first += x.n;
        }
    }
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

static void update_adamw(const dn_party *party, const dn_stretch *x, uint64_t step, double lr)
{
    const dn_optim_config *c = party->config;
    dn_adamw_update(party->stream, x->weight, x->states[0], x->states[1], x->grad, x->n, step,
                    (dn_adamw_step){.lr = lr,
                                    .beta1 = c->beta1,
                                    .beta2 = c->beta2,
                                    .eps = c->eps,
                                    .weight_decay = x->slot->group.weight_decay,
                                    .cautious = c->cautious});
}

const dn_method dn_method_adamw = {
    .describe = describe_adamw,
    .heap_bytes = dn_elements_heap_bytes,
    .open = dn_elements_open,
    .step = dn_elements_step,
    .update = update_adamw,
};

/* ---- Lion ---- */

static void describe_lion(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    (void)config;
    describe(size, slot, "lion.m", NULL);
}

static void update_lion(const dn_party *party, const dn_stretch *x, uint64_t step, double lr)
{
    (void)step;
    const dn_optim_config *c = party->config;
    dn_lion_step rule = {
        .lr = lr, .beta1 = c->beta1, .beta2 = c->beta2, .weight_decay = x->slot->group.weight_decay};
    dn_lion_update(party->stream, x->slot->param, x->weight, x->states[0], x->grad, x->n, &rule);
}

const dn_method dn_method_lion = {
    .describe = describe_lion,
    .heap_bytes = dn_elements_heap_bytes,
    .open = dn_elements_open,
    .step = dn_elements_step,
    .update = update_lion,
};

/* ---- SGD ---- */

static void describe_sgd(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    (void)config;
    describe(size, slot, "sgd.momentum", NULL);
}

static void update_sgd(const dn_party *party, const dn_stretch *x, uint64_t step, double lr)
{
    (void)step;
    const dn_optim_config *c = party->config;
    dn_sgd_step rule = {
        .lr = lr, .weight_decay = x->slot->group.weight_decay, .mu = c->mu, .nesterov = c->nesterov};
    dn_sgd_update(party->stream, x->weight, x->states[0], x->grad, x->n, &rule);
}

const dn_method dn_method_sgd = {
    .describe = describe_sgd,
    .heap_bytes = dn_elements_heap_bytes,
    .open = dn_elements_open,
    .step = dn_elements_step,
    .update = update_sgd,
};
