/*
 * Dion3, also NorDion2 (arXiv 2608.11612): Dion2 over rows, with mu for ef_decay, its update
 * normalized row by row as NorMuon's (optim/row_moments.h), and the second moments kept for selected rows
 * only. The paper orthonormalizes by the Gram form.
 *
 *     X = (1 - lr wd) X everywhere, then selected rows -= lr s (||O|| / ||f O||) f O
 */
#include "compute/kernels.h"
#include "optim/adjust.h"
#include "optim/dion2.h"
#include "optim/row_moments.h"

static void direction(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x)
{
    dn_dion2_take(s, x, config->mu);
}

static void apply(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x,
                  const dn_update_params *p)
{
    double scale = dn_adjust_factor(config->adjust, x->selection.rows, x->selection.cols) *
                   dn_row_moments_scale(x->norms);
    s->kernels->scale(s, x->weight, 1 - p->lr * p->weight_decay, x->weight, x->rows * x->cols);
    s->kernels->add_rows(s, x->weight, x->ids, -p->lr * scale, x->row_factor, x->grad, x->n_ids, x->cols);
}

#define SETTINGS                                                                                              \
    "newton_schulz=dion use_polar_express:newton_schulz=polar_express "                                       \
    "use_gram_newton_schulz:newton_schulz=polar_express"

const dn_rule dn_rule_dion3 = {
    .info = {.name = "dion3",
             .help = "NorMuon on the largest rows",
             .matrices_only = true,
             .lr = 0.02},
    .executor = DN_OWNER,
    .states = {{.name = "dion3.momentum"}, {.name = "dion3.second", .at_owner = dn_row_moments_shape}},
    .script = {{"dion3", SETTINGS}, {"nordion2", SETTINGS}},
    .options = {&dn_option_mu, &dn_option_rank_fraction, &dn_option_selection, &dn_option_adjust,
                &dn_option_newton_schulz, &dn_option_eps, &dn_option_row_beta2},
    .decays = {&dn_option_row_beta2},
    .always_gram = true,
    .row_scale = true,
    .selects = DN_SELECT_ROWS,
    .accumulate = dn_dion2_accumulate,
    .direction = direction,
    .at_owner = dn_row_moments,
    .apply = apply,
};
