/*
 * Dion2 (arXiv 2512.16928): only the k rows or columns of the momentum that are largest by L1 norm
 * are orthonormalized, and only they fade.
 *
 *     M += G
 *     S = the selected part of M;  that part of M = ef_decay * itself
 *     O = the polar factor of S
 *     X = (1 - lr wd) X everywhere, then the selected part -= lr s O, s by the shape of the whole matrix
 *
 * Rows are selected where there are at most as many as columns, else columns: shape alone decides, so that
 * the result does not depend on a sharding.
 */
#include "optim/dion2.h"

#include "compute/kernels.h"
#include "optim/adjust.h"

void dn_dion2_accumulate(dn_stream *s, const dn_matrix_shard *x, double *scores)
{
    if (!scores)
        s->kernels->axpby(s, x->states[0], 1, x->grad, 1, x->rows * x->cols);
    else if (x->selection.by_rows)
        s->kernels->add_row_norms1(s, scores, x->states[0], x->grad, x->rows, x->cols);
    else
        s->kernels->add_column_norms1(s, scores, x->states[0], x->grad, x->rows, x->cols);
}

void dn_dion2_take(dn_stream *s, const dn_matrix_shard *x, double ef_decay)
{
    if (x->selection.by_rows)
        s->kernels->take_rows(s, x->grad, x->states[0], x->ids, x->n_ids, x->cols, ef_decay);
    else
        s->kernels->take_columns(s, x->grad, x->states[0], x->ids, x->n_ids, x->rows, x->cols, ef_decay);
}

static void direction(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x)
{
    dn_dion2_take(s, x, config->ef_decay);
}

static void apply(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x,
                  const dn_update_params *p)
{
    double rate = -p->lr * dn_adjust_factor(config->adjust, x->selection.rows, x->selection.cols);
    s->kernels->scale(s, x->weight, 1 - p->lr * p->weight_decay, x->weight, x->rows * x->cols);
    if (x->selection.by_rows)
        s->kernels->add_rows(s, x->weight, x->ids, rate, NULL, x->grad, x->n_ids, x->cols);
    else
        s->kernels->add_columns(s, x->weight, x->ids, rate, x->grad, x->n_ids, x->rows, x->cols);
}

static const dn_key option_ef_decay =
    DN_OPTION(ef_decay, "ef_decay", "0.95", .max = 1,
              .help = "what a step leaves of the momentum that it took");

#define SETTINGS                                                                                              \
    "ef_decay=mu newton_schulz=dion use_polar_express:newton_schulz=polar_express "                           \
    "use_gram_newton_schulz:newton_schulz=polar_express"

const dn_rule dn_rule_dion2 = {
    .info = {.name = "dion2",
             .help = "Muon on the largest rows or columns",
             .matrices_only = true,
             .lr = 0.02},
    .executor = DN_OWNER,
    .states = {{.name = "dion2.momentum"}},
    .script = {{"dion2", SETTINGS}, {"fron", SETTINGS}}, /* its first name */
    .options = {&option_ef_decay, &dn_option_rank_fraction, &dn_option_selection, &dn_option_adjust,
                &dn_option_newton_schulz, &dn_option_gram, &dn_option_eps},
    .selects = DN_SELECT_SHORT_SIDE,
    .accumulate = dn_dion2_accumulate,
    .direction = direction,
    .apply = apply,
};
