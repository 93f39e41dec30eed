/* Stochastic gradient descent with momentum, decay decoupled as everywhere here (Loshchilov and Hutter, arXiv
 * 1711.05101: SGDW).
 *
 *     M = mu M + G;  X = (1 - lr wd) X - lr U,  U = M, or G + mu M (Nesterov)
 */
#include "compute/kernels.h"
#include "optim/rule.h"

static void update(dn_stream *s, const dn_optim_config *config, const dn_chunk *x, const dn_update_params *p)
{
    dn_buf *momentum = x->states[0];
    s->kernels->axpby(s, momentum, 1, x->grad, config->mu, x->n);
    if (config->nesterov)
        s->kernels->axpby(s, x->grad, config->mu, momentum, 1, x->n);
    s->kernels->axpby(s, x->weight, -p->lr, config->nesterov ? x->grad : momentum,
                      1 - p->lr * p->weight_decay, x->n);
}

const dn_rule dn_rule_sgd = {
    .info = {.name = "sgd", .help = "gradient descent with momentum", .lr = 0.02},
    .executor = DN_ELEMENT_WISE,
    .states = {{.name = "sgd.momentum"}},
    .options = {&dn_option_mu, &dn_option_nesterov},
    .update = update,
};
