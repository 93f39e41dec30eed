/* What a parameter is stepped by: its group (dn_named_group), or else its kind. */
#ifndef OPTIM_NAMED_GROUP_H
#define OPTIM_NAMED_GROUP_H

#include "optim/param.h"
#include "optim/rule.h"

/** The number of the first group that matches the parameter (of a matrix of one that is split: the parameter);
 * n_named_groups: none does. */
size_t dn_named_group_of(const dn_optim_config *config, const dn_param *param);

/** The configuration as it is for one parameter: rules, rank_fraction and the group of its kind are its own. */
dn_optim_config dn_param_config(const dn_optim_config *config, const dn_param *param);

/** Its rule, out of such a configuration. */
static inline const dn_rule *dn_param_rule(const dn_optim_config *own, const dn_param *param)
{
    return dn_rule_row(param->kind == DN_PARAM_MATRIX ? own->matrix_rule : own->scalar_rule);
}

#endif
