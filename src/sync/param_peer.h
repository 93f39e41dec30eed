/* Where other ranks hold their parts of a parameter. */
#ifndef SYNC_PARAM_PEER_H
#define SYNC_PARAM_PEER_H

#include "optim/param.h"

#include <stdbool.h>

/** The weight (or gradient) of params[i] in the heap of the rank at coordinates at[]: dense, the shape of
 * that rank's block (dn_param_block). params are this rank's, on the symmetric heap of mesh->all, the whole
 * stack of params[i] among them; or windows of such. */
dn_buf *dn_param_peer(const dn_mesh *mesh, const dn_param *params, size_t i, bool grad,
                      const int at[DN_N_AXES]);

#endif
