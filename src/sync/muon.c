/* Muon and NorMuon on all their matrices: the phases of optim/muon.h and optim/normuon.h on every rank's
 * part, between them the polar factor of the whole (whole.h). */
#include "base/fail.h"
#include "compute/kernels.h"
#include "optim/dion3.h"
#include "optim/normuon.h"
#include "sync/whole.h"

static void describe(const int size[DN_N_AXES], dn_slot *slot, const char *momentum, const char *second)
{
    dn_dion2_shape all_rows = dn_dion3_shape_of(slot->param->rows, slot->param->cols, 1);
    dn_whole_describe(size, slot, all_rows, momentum, second);
}

static void describe_muon(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    (void)config;
    describe(size, slot, "muon.momentum", NULL);
}

static void describe_normuon(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    (void)config;
    describe(size, slot, "normuon.momentum", "normuon.second");
}

static dn_normuon part_of(const dn_slot *slot)
{
    return (dn_normuon){.muon = {.rows = slot->param->rows,
                                 .cols = slot->param->cols,
                                 .n = dn_slot_size(slot),
                                 .weight = slot->weight,
                                 .grad = slot->grad,
                                 .momentum = slot->states[DN_STATE_OF_PARTS].data},
                        .here_rows = slot->part.rows,
                        .here_cols = slot->part.cols};
}

static dn_muon_step rule_of(const dn_party *party, const dn_slot *slot, double lr)
{
    const dn_optim_config *c = party->config;
    return (dn_muon_step){.lr = lr * slot->group.lr_scale,
                          .weight_decay = slot->group.weight_decay,
                          .mu = c->mu,
                          .nesterov = c->nesterov,
                          .adjust = c->adjust};
}

/* Leaves U where the gradient was. */
static void accumulate(const dn_party *party, const dn_whole *x)
{
    const dn_slot *slot = x->slot;
    dn_normuon part = part_of(slot);
    dn_muon_step rule = rule_of(party, slot, 0);
    const dn_buf *u = dn_muon_accumulate(party->stream, &part.muon, &rule);
    if (u != slot->grad)
        party->stream->kernels->copy(party->stream, slot->grad, u, part.muon.n);
}

static void apply(const dn_party *party, const dn_whole *x, double lr)
{
    const dn_slot *slot = x->slot;
    dn_normuon part = part_of(slot);
    dn_muon_step rule = rule_of(party, slot, lr);
    if (x->n_facts)
        dn_normuon_apply(party->stream, &part, slot->grad, x->facts + 2 + slot->part.row0, x->facts, &rule);
    else
        dn_muon_apply(party->stream, &part.muon, slot->grad, &rule);
}

static dn_status step_all(dn_party *party, uint64_t step, double lr, dn_step_report *report)
{
    const dn_wholes *w = party->work;
    for (size_t k = 0; k < w->n_batches; k++) {
        dn_whole_batch *b = &w->batches[k];
        dn_comm_tick(party->mesh->all, step + 1, "muon");
        for (size_t i = 0; i < b->n; i++) {
            dn_slot_open(party->stream, b->matrices[i].slot);
            accumulate(party, &b->matrices[i]);
        }
        DN_TRY(dn_whole_orthonormalize(w, b, step, report));
        for (size_t i = 0; i < b->n; i++) {
            apply(party, &b->matrices[i], lr);
            dn_slot_close(party->stream, b->matrices[i].slot);
        }
        DN_TRY(dn_stream_sync(party->stream));
    }
    return DN_OK;
}

const dn_method dn_method_muon = {DN_WHOLE_METHOD, .describe = describe_muon, .step = step_all};

const dn_method dn_method_normuon = {DN_WHOLE_METHOD, .describe = describe_normuon, .step = step_all};
