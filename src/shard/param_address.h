/* Where other ranks hold their parts of a parameter. */
#ifndef SHARD_PARAM_ADDRESS_H
#define SHARD_PARAM_ADDRESS_H

#include "optim/param.h"

#include <stdbool.h>

/** Where the rank at coordinates at[] of a mesh of size[] keeps its weight (or gradient) of params[i], as an
 * address of this rank's arena, for dn_comm_view: dense, the shape of that rank's block (dn_param_block).
 * params are this rank's, on the symmetric heap, the whole stack of params[i] among them; or views of such.
 */
dn_buf *dn_param_address(const int size[DN_N_AXES], const dn_param *params, size_t i, bool grad,
                         const int at[DN_N_AXES]);

#endif
