#include "tensor/axes.h"

unsigned dn_axes_of(const int size[DN_N_AXES], unsigned axes)
{
    for (int axis = 0; axis < DN_N_AXES; axis++)
        if (size[axis] == 1)
            axes &= ~DN_AXIS(axis);
    return axes & DN_ALL_AXES;
}

unsigned dn_axes_without(const int size[DN_N_AXES], unsigned axes)
{
    return dn_axes_of(size, ~axes);
}

int dn_axes_size(const int size[DN_N_AXES], unsigned axes)
{
    int n = 1;
    for (int axis = 0; axis < DN_N_AXES; axis++)
        if (axes & DN_AXIS(axis))
            n *= size[axis];
    return n;
}

int dn_axes_rank(const int size[DN_N_AXES], unsigned axes, const int at[DN_N_AXES])
{
    int rank = 0;
    for (int axis = 0; axis < DN_N_AXES; axis++)
        if (axes & DN_AXIS(axis))
            rank = rank * size[axis] + at[axis];
    return rank;
}

void dn_axes_at(const int size[DN_N_AXES], unsigned axes, int rank, int at[DN_N_AXES])
{
    for (int axis = DN_N_AXES - 1; axis >= 0; axis--)
        if (axes & DN_AXIS(axis)) {
            at[axis] = rank % size[axis];
            rank /= size[axis];
        }
}
