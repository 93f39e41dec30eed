/*
 * Parameters that are split (optim/param.h), as they are stepped: every matrix of one is a parameter of its
 * own, with its rank, orientation, scale and states. Where a rule works element by element nothing is split.
 */
#ifndef SHARD_VIEWS_H
#define SHARD_VIEWS_H

#include "dionode/optim.h"
#include "optim/param.h"

/** What params [n] (borrowed) become under config, in their order: views of them, of the whole where one is
 * not split. Returns how many. views: room for them, or NULL to count. */
size_t dn_views_of(const dn_optim_config *config, const dn_param *params, size_t n, dn_param *views);

/** Whether a parameter can be split as it says. Errors: DN_ERR_ARG. */
dn_status dn_views_check(const dn_param *param) DN_MUST_USE;

#endif
