/* Parameters by their names: what globs match; the rule and options of a parameter, those of its named group
 * (dn_named_group), or else of its kind. */
#ifndef OPTIM_NAMED_GROUP_H
#define OPTIM_NAMED_GROUP_H

#include "optim/param.h"
#include "optim/rule.h"

/* A list of globs (*, ?, [abc]) of names. */
typedef struct dn_globs {
    size_t n;
    char match[DN_NAMED_GROUPS_MAX][DN_OPTIM_NAME_MAX];
} dn_globs;

/** Whether a glob matches the parameter's name (of a view: the name of the parameter it belongs to). */
bool dn_param_named(const dn_param *param, const char *glob);

/** Whether one of them does. */
bool dn_globs_match(const dn_globs *globs, const dn_param *param);

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
