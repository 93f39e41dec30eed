/*
 * NorMuon (arXiv 2510.05491): Muon whose rows are divided by a running size of their own, the
 * Frobenius norm of the whole kept (optim/row_moments.h).
 *
 *     X = (1 - lr wd) X - lr s (||O|| / ||f O||) f O
 */
#include "compute/kernels.h"
#include "optim/adjust.h"
#include "optim/muon.h"
#include "optim/row_moments.h"

static void apply(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x,
                  const dn_update_params *p)
{
    double scale = dn_adjust_factor(config->adjust, x->selection.rows, x->selection.cols) *
                   dn_row_moments_scale(x->norms);
    dn_muon_decay(s, config, x, p); /* f > 0 leaves the signs of O */
    s->kernels->add_rows(s, x->weight, NULL, -p->lr * scale, x->row_factor, x->grad, x->rows, x->cols);
}

const dn_rule dn_rule_normuon = {
    .info = {.name = "normuon", .help = "Muon with rows of even size", .matrices_only = true, .lr = 0.02},
    .executor = DN_OWNER,
    .states = {{.name = "normuon.momentum"}, {.name = "normuon.second", .at_owner = dn_row_moments_shape}},
    .script = {{"normuon", "nesterov=true newton_schulz=dion use_polar_express:newton_schulz=polar_express"}},
    .options = {&dn_option_mu, &dn_option_nesterov, &dn_option_adjust, &dn_option_newton_schulz, &dn_option_gram,
                &dn_option_eps, &dn_option_row_beta2, &dn_option_cautious},
    .decays = {&dn_option_row_beta2},
    .row_scale = true,
    .direction = dn_muon_direction,
    .at_owner = dn_row_moments,
    .apply = apply,
};
