/* Sets of axes of a mesh of size[], as bit masks: number and numbering of the ranks along a set. */
#ifndef TENSOR_AXES_H
#define TENSOR_AXES_H

#include "dionode/tensor.h"

/** The set without axes of size 1. */
unsigned dn_axes_of(const int size[DN_N_AXES], unsigned axes);

/** Those axes of the mesh that are not in the set, without axes of size 1. */
unsigned dn_axes_without(const int size[DN_N_AXES], unsigned axes);

/** The number of ranks along a set of axes. */
int dn_axes_size(const int size[DN_N_AXES], unsigned axes);

/** The rank, among the ranks along the set, of the one at coordinates at[]: its rank in dn_mesh_comm(mesh,
 * axes). */
int dn_axes_rank(const int size[DN_N_AXES], unsigned axes, const int at[DN_N_AXES]);

/** The inverse: at[] along the set becomes that of the rank with that number; along other axes it stays. */
void dn_axes_at(const int size[DN_N_AXES], unsigned axes, int rank, int at[DN_N_AXES]);

#endif
