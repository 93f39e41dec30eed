/* AdamW with bias correction, eps outside the root, decoupled decay first (arXiv 1711.05101). Cautious: no
 * decay of weights that the update lets grow (arXiv 2510.12402). */
#include "compute/kernels.h"
#include "optim/rule.h"

#include <math.h>

static void update(dn_stream *s, const dn_optim_config *config, const dn_chunk *x, const dn_update_params *p)
{
    const dn_adamw_step step = {.lr = p->lr,
                                .beta1 = config->beta1,
                                .beta2 = config->beta2,
                                .eps = config->eps,
                                .weight_decay = p->weight_decay,
                                .correction1 = 1 - pow(config->beta1, (double)p->step + 1),
                                .correction2 = 1 - pow(config->beta2, (double)p->step + 1),
                                .cautious = config->cautious};
    s->kernels->adamw(s, x->weight, x->states[0], x->states[1], x->grad, x->n, &step);
}

/* The rate is microsoft/dion's. */
const dn_rule dn_rule_adamw = {
    .info = {.name = "adamw", .help = "Adam with decoupled weight decay", .lr = 0.002},
    .executor = DN_ELEMENT_WISE,
    .states = {{.name = "adamw.m"}, {.name = "adamw.v"}},
    .script = {{"adamw", "scalar_opt=adamw"}},
    .options = {&dn_option_beta1, &dn_option_beta2, &dn_option_eps, &dn_option_cautious},
    .decays = {&dn_option_beta1, &dn_option_beta2},
    .update = update,
};
