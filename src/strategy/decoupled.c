#include "strategy/decoupled.h"

#include "base/fail.h"
#include "base/size.h"
#include "linalg/newton_schulz.h"
#include "optim/option.h"

const dn_key dn_option_demo_beta = DN_STRATEGY_REAL("demo_beta", 0, DN_DECAY_MAX, "decay of each replica's own momentum");
const dn_key dn_option_demo_update =
    DN_STRATEGY_ENUM("demo_update", "sign|plain|muon", "update by what was sent: its sign, as it is, or its polar factor");

static const dn_ns_method polar = {.set = DN_NS_POLAR_EXPRESS, .eps = 1e-8};

void dn_decoupled_momentum(const dn_strategy_context *c, const dn_strategy_param *x, dn_buf *d, double beta)
{
    c->stream->kernels->axpby(c->stream, d, x->lr, x->grad, beta, x->n);
}

size_t dn_decoupled_scratch(int update, size_t rows, size_t cols)
{
    size_t bytes = update == DN_UPDATE_MUON ? dn_ns_workspace_bytes(&polar, rows, cols, 1) : 0;
    return dn_size_add(bytes, sizeof(dn_real) - 1) / sizeof(dn_real);
}

const char *dn_decoupled_is_cut_dependent(int update)
{
    return update == DN_UPDATE_MUON ? "polar factors are those of a rank's block" : NULL;
}

void dn_decoupled_update(const dn_strategy_context *c, const dn_strategy_param *x, int update)
{
    const dn_kernels *k = c->stream->kernels;
    double keep = 1 - x->lr * x->weight_decay;
    dn_buf *u = x->grad;
    if (update == DN_UPDATE_PLAIN) {
        k->axpby(c->stream, x->weight, -1, u, keep, x->n);
    } else if (update == DN_UPDATE_MUON && x->param->kind == DN_PARAM_MATRIX && x->n > 0) {
        dn_ns_info info;
        size_t bytes = dn_decoupled_scratch(update, x->rows, x->cols) * sizeof(dn_real);
        (void)!dn_newton_schulz(c->stream, &polar, &u, &info, 1, x->rows, x->cols, c->scratch, bytes); /* stays with the stream */
        k->axpby(c->stream, x->weight, -x->lr, u, keep, x->n);
    } else {
        k->sign(c->stream, u, u, x->n);
        k->axpby(c->stream, x->weight, -x->lr, u, keep, x->n);
    }
}
