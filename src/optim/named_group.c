#include "optim/named_group.h"

#include <fnmatch.h>
#include <math.h>

bool dn_param_named(const dn_param *param, const char *glob)
{
    return fnmatch(glob, param->view_of ? param->view_of->tensor.name : param->tensor.name, 0) == 0;
}

bool dn_globs_match(const dn_globs *globs, const dn_param *param)
{
    size_t i = 0;
    while (i < globs->n && !dn_param_named(param, globs->match[i]))
        i++;
    return i < globs->n;
}

size_t dn_named_group_of(const dn_optim_config *config, const dn_param *param)
{
    size_t i = 0;
    while (i < config->n_named_groups && !dn_param_named(param, config->named_groups[i].match))
        i++;
    return i;
}

dn_optim_config dn_param_config(const dn_optim_config *config, const dn_param *param)
{
    dn_optim_config own = *config;
    size_t i = dn_named_group_of(config, param);
    if (i == config->n_named_groups)
        return own;
    const dn_named_group *group = &config->named_groups[i];
    dn_group_options *of_kind = &own.groups[param->kind];
    if (group->rule)
        own.matrix_rule = own.scalar_rule = group->rule;
    if (!isnan(group->lr_scale))
        of_kind->lr_scale = group->lr_scale;
    if (!isnan(group->weight_decay))
        of_kind->weight_decay = group->weight_decay;
    if (!isnan(group->rank_fraction))
        own.rank_fraction = group->rank_fraction;
    return own;
}
