/* Dion2 and Dion3 on all their matrices: the phases of optim/dion2.h and optim/dion3.h on every rank's part,
 * between them the choice (selection.h) and the polar factor of what is selected (whole.h). */
#include "base/fail.h"
#include "optim/dion3.h"
#include "sync/selection.h"

static void describe_dion2(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    dn_dion2_shape all = dn_dion2_shape_of(slot->param->rows, slot->param->cols, 1);
    dn_whole_describe(size, slot, dn_selection_of(config, size, slot->param, all), "dion2.momentum", NULL);
}

static void describe_dion3(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    dn_dion2_shape all = dn_dion3_shape_of(slot->param->rows, slot->param->cols, 1);
    dn_whole_describe(size, slot, dn_selection_of(config, size, slot->param, all), "dion3.momentum",
                      "dion3.second");
}

static dn_dion2_step rule_of(const dn_party *party, const dn_slot *slot, double lr)
{
    const dn_optim_config *c = party->config;
    return (dn_dion2_step){.lr = lr * slot->group.lr_scale,
                           .weight_decay = slot->group.weight_decay,
                           .ef_decay = c->matrix_rule == DN_RULE_DION3 ? c->mu : c->ef_decay,
                           .adjust = c->adjust};
}

/* Leaves the selected part where the gradient was. */
static void take(const dn_party *party, const dn_whole *x)
{
    dn_dion2 part = dn_selection_part(x);
    dn_dion2_step rule = rule_of(party, x->slot, 0);
    dn_dion2_take(party->stream, &part, x->ids_here, dn_selection_here(x, party->mesh), x->slot->grad, &rule);
}

static void apply(const dn_party *party, const dn_whole *x, double lr)
{
    dn_dion2 part = dn_selection_part(x);
    dn_dion2_step rule = rule_of(party, x->slot, lr);
    size_t k = dn_selection_here(x, party->mesh), first = dn_whole_part(x, party->mesh->at).row0;
    if (x->n_facts)
        dn_dion3_apply(party->stream, &part, x->ids_here, k, x->slot->grad, x->facts + 2 + first, x->facts,
                       &rule);
    else
        dn_dion2_apply(party->stream, &part, x->ids_here, k, x->slot->grad, &rule);
}

static dn_status step_all(dn_party *party, uint64_t step, double lr, dn_step_report *report)
{
    const dn_wholes *w = party->work;
    for (size_t k = 0; k < w->n_batches; k++) {
        dn_whole_batch *b = &w->batches[k];
        dn_comm_tick(party->mesh->all, step + 1, "dion2");
        for (size_t i = 0; i < b->n; i++)
            dn_slot_open(party->stream, b->matrices[i].slot);
        DN_TRY(dn_selection_choose(w, b));
        for (size_t i = 0; i < b->n; i++)
            take(party, &b->matrices[i]);
        DN_TRY(dn_whole_orthonormalize(w, b, step, report));
        for (size_t i = 0; i < b->n; i++) {
            apply(party, &b->matrices[i], lr);
            dn_slot_close(party->stream, b->matrices[i].slot);
        }
        DN_TRY(dn_stream_sync(party->stream));
    }
    return DN_OK;
}

const dn_method dn_method_dion2 = {DN_WHOLE_METHOD, .describe = describe_dion2, .step = step_all};

const dn_method dn_method_dion3 = {DN_WHOLE_METHOD, .describe = describe_dion3, .step = step_all};
