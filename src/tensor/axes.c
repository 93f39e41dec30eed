#include "tensor/axes.h"

/* From the slowest to the fastest. */
static const dn_axis order[DN_N_AXES] = {DN_DP, DN_PP, DN_FS, DN_TP};

bool dn_axes_same(const int a[DN_N_AXES], const int b[DN_N_AXES])
{
    for (int axis = 0; axis < DN_N_AXES; axis++)
        if (dn_axis_size(a, axis) != dn_axis_size(b, axis))
            return false;
    return true;
}

unsigned dn_axes_of(const int size[DN_N_AXES], unsigned axes)
{
    for (int axis = 0; axis < DN_N_AXES; axis++)
        if (dn_axis_size(size, axis) == 1)
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
            n *= dn_axis_size(size, axis);
    return n;
}

int dn_axes_rank(const int size[DN_N_AXES], unsigned axes, const int at[DN_N_AXES])
{
    int rank = 0;
    for (int i = 0; i < DN_N_AXES; i++)
        if (axes & DN_AXIS(order[i]))
            rank = rank * dn_axis_size(size, order[i]) + at[order[i]];
    return rank;
}

void dn_axes_at(const int size[DN_N_AXES], unsigned axes, int rank, int at[DN_N_AXES])
{
    for (int i = DN_N_AXES; i-- > 0;)
        if (axes & DN_AXIS(order[i])) {
            at[order[i]] = rank % dn_axis_size(size, order[i]);
            rank /= dn_axis_size(size, order[i]);
        }
}
