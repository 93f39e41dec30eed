/*
 * Where a chain of units is cut into stages: so that the slowest stage is as fast as possible, for it alone sets the pace of a
 * pipeline. A stage takes the time of its units and, but for the first, that of the link it receives over.
 */
#ifndef PIPE_CUT_H
#define PIPE_CUT_H

#include "dionode/status.h"

#include <stddef.h>

/**
 * end [n_stages]: stage s has the units end[s-1] (0) to end[s] - 1, at least one; 1 <= n_stages <= n_units. work_s [n_units]:
 * seconds of each; link_s [n_stages]: of receiving, [0] is not read. *slowest_s: of the slowest stage, the least possible; of all
 * such cuts it is the one whose last stages begin earliest. Errors: DN_ERR_MEMORY.
 */
dn_status dn_pipe_cut(const double *work_s, size_t n_units, const double *link_s, size_t n_stages, size_t *end,
                      double *slowest_s) DN_MUST_USE;

#endif
