/*
 * Muon (Jordan 2024):
 *
 *     M = mu M + G,  U = M, or G + mu M (Nesterov)
 *     O = the polar factor of U (linalg/newton_schulz.h)
 *     X = (1 - lr wd) X - lr s O,  s by the shape of the whole matrix (optim/adjust.h)
 *
 * Cautious: wd is 0 for elements with O X < 0, which the update lets grow (arXiv 2510.12402).
 */
#include "optim/muon.h"

#include "compute/kernels.h"
#include "optim/adjust.h"

void dn_muon_direction(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x)
{
    size_t n = x->rows * x->cols;
    dn_buf *momentum = x->states[0];
    s->kernels->axpby(s, momentum, 1, x->grad, config->mu, n);
    if (config->nesterov)
        s->kernels->axpby(s, x->grad, config->mu, momentum, 1, n);
    else
        s->kernels->copy(s, x->grad, momentum, n);
}

void dn_muon_decay(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x,
                   const dn_update_params *p)
{
    double keep = 1 - p->lr * p->weight_decay;
    size_t n = x->rows * x->cols;
    if (config->cautious)
        s->kernels->scale_aligned(s, x->weight, keep, x->grad, n);
    else
        s->kernels->scale(s, x->weight, keep, x->weight, n);
}

static void apply(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x,
                  const dn_update_params *p)
{
    double scale = dn_adjust_factor(config->adjust, x->selection.rows, x->selection.cols);
    double keep = 1 - p->lr * p->weight_decay;
    if (config->cautious)
        dn_muon_decay(s, config, x, p);
    s->kernels->axpby(s, x->weight, -p->lr * scale, x->grad, config->cautious ? 1 : keep, x->rows * x->cols);
}

const dn_rule dn_rule_muon = {
    .info = {.name = "muon", .help = "the orthonormalized momentum", .matrices_only = true, .lr = 0.02},
    .executor = DN_OWNER,
    .states = {{.name = "muon.momentum"}},
    .script = {{"muon", "nesterov=true newton_schulz=dion use_polar_express:newton_schulz=polar_express "
                        "use_gram_newton_schulz:newton_schulz=polar_express"},
               {"muon_reference", "nesterov=true newton_schulz=keller beta1=0.95 beta2=0.98"}},
    .options = {&dn_option_mu, &dn_option_nesterov, &dn_option_adjust, &dn_option_newton_schulz, &dn_option_gram,
                &dn_option_eps, &dn_option_cautious},
    .direction = dn_muon_direction,
    .apply = apply,
};
