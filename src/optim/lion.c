/* Lion: the sign of a blend of momentum and gradient (arXiv 2302.06675). Cautious: no decay of weights that
 * the update lets grow (arXiv 2510.12402). */
#include "compute/kernels.h"
#include "optim/rule.h"

#include <math.h>

/* The update of an output head, not its decay, is scaled by 1/sqrt(fan_in) of the whole parameter. The kernel
 * decays by lr * weight_decay: what scales lr must not scale the decay. */
static void update(dn_stream *s, const dn_optim_config *config, const dn_chunk *x, const dn_update_params *p)
{
    double scale = x->param->kind == DN_PARAM_HEAD ? 1 / sqrt((double)x->param->tensor.cols) : 1;
    s->kernels->lion(s, x->weight, x->states[0], x->grad, x->n, p->lr * scale, config->beta1, config->beta2,
                     p->weight_decay / scale, config->cautious);
}

/* A quarter of AdamW's rate: signs are larger than AdamW's quotients. */
const dn_rule dn_rule_lion = {
    .info = {.name = "lion", .help = "sign of a blend of momentum and gradient", .lr = 0.0005},
    .executor = DN_ELEMENT_WISE,
    .states = {{.name = "lion.m"}},
    .options = {&dn_option_beta1, &dn_option_beta2, &dn_option_cautious},
    .decays = {&dn_option_beta2},
    .update = update,
};
