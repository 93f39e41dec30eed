#include "shard/views.h"

#include "base/fail.h"
#include "optim/named_group.h"

#include <string.h>

size_t dn_views_of(const dn_optim_config *config, const dn_param *params, size_t n, dn_param *views)
{
    size_t n_views = 0;
    for (size_t i = 0; i < n; i++) {
        const dn_optim_config own = dn_param_config(config, &params[i]);
        bool whole = !dn_param_rule(&own, &params[i])->info.matrices_only;
        size_t parts = whole || params[i].n_views <= 1 ? 1 : params[i].n_views;
        for (size_t k = 0; k < parts; k++, n_views++)
            if (views)
                views[n_views] = dn_param_view(&params[i], parts, k);
    }
    return n_views;
}

dn_status dn_views_check(const dn_param *param)
{
    if (param->n_views <= 1)
        return DN_OK;
    if (param->kind != DN_PARAM_MATRIX)
        return dn_fail(DN_ERR_ARG, "%s: split into %zu, but only hidden matrices are", param->tensor.name,
                       param->n_views);
    size_t sum = 0;
    for (size_t k = 0; k < DN_OPTIM_SPLITS_MAX; k++)
        sum += param->split_rows[k];
    if (sum > 0 && sum != param->tensor.rows)
        return dn_fail(DN_ERR_ARG, "%s: split into %zu rows, and it has %zu", param->tensor.name, sum,
                       param->tensor.rows);
    if (sum == 0 && param->tensor.rows % param->n_views != 0)
        return dn_fail(DN_ERR_ARG, "%s: split into %zu, which does not divide its %zu rows",
                       param->tensor.name, param->n_views, param->tensor.rows);
    if (strlen(param->tensor.name) >= DN_PARAM_SPLIT_NAME_MAX)
        return dn_fail(DN_ERR_ARG, "%s: the name of a split parameter has at most %d bytes",
                       param->tensor.name, DN_PARAM_SPLIT_NAME_MAX - 1);
    return DN_OK;
}
