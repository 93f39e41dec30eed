/* Sets of axes of a mesh of size[], as bit masks: number and numbering of the ranks along a set. Ranks are numbered
 * dp x pp x fs x tp, tp fastest: a stage is one run of ranks in each replica. */
#ifndef TENSOR_AXES_H
#define TENSOR_AXES_H

#include "dionode/tensor.h"

#include <stdbool.h>

/** The size of an axis: 1 where it is given as 0. */
static inline int dn_axis_size(const int size[DN_N_AXES], int axis)
{
    return size[axis] > 0 ? size[axis] : 1;
}

/** Whether two meshes have the same sizes. */
bool dn_axes_same(const int a[DN_N_AXES], const int b[DN_N_AXES]);

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
