/* The rule and options of a parameter: those of its named group (dn_named_group), or else of its kind. */
#ifndef OPTIM_NAMED_GROUP_H
#define OPTIM_NAMED_GROUP_H

#include "optim/param.h"
#include "optim/rule.h"

/** Index of the first group that matches the parameter (for a view: the parameter it belongs to);
 * n_named_groups if none does. */
size_t dn_named_group_of(const dn_optim_config *config, const dn_param *param);

/** The configuration of one parameter: config with its own rules, rank_fraction and options of its kind. */
dn_optim_config dn_param_config(const dn_optim_config *config, const dn_param *param);

/** The parameter's rule, from its own configuration. */
static inline const dn_rule *dn_param_rule(const dn_optim_config *own, const dn_param *param)
{
    return dn_rule_row(param->kind == DN_PARAM_MATRIX ? own->matrix_rule : own->scalar_rule);
}

#endif
