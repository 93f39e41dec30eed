#include "sync/windows.h"

#include "base/fail.h"
#include "optim/rule.h"

#include <string.h>

size_t dn_windows_of(const dn_optim_config *config, const dn_param *params, size_t n, dn_param *windows)
{
    size_t n_windows = 0;
    bool whole = !dn_rule_row(config->matrix_rule)->info.matrices_only;
    for (size_t i = 0; i < n; i++) {
        size_t parts = whole || params[i].split <= 1 ? 1 : params[i].split;
        for (size_t k = 0; k < parts; k++, n_windows++)
            if (windows)
                windows[n_windows] = dn_param_window(&params[i], parts, k);
    }
    return n_windows;
}

dn_status dn_windows_check(const dn_param *param)
{
    if (param->split <= 1)
        return DN_OK;
    if (param->kind != DN_PARAM_MATRIX)
        return dn_fail(DN_ERR_ARG, "%s: split into %zu, but only hidden matrices are", param->name,
                       param->split);
    if (param->rows % param->split != 0)
        return dn_fail(DN_ERR_ARG, "%s: split into %zu, which does not divide its %zu rows", param->name,
                       param->split, param->rows);
    if (strlen(param->name) >= DN_PARAM_SPLIT_NAME_MAX)
        return dn_fail(DN_ERR_ARG, "%s: the name of a split parameter has at most %d bytes", param->name,
                       DN_PARAM_SPLIT_NAME_MAX - 1);
    return DN_OK;
}
