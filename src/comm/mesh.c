#include "dionode/mesh.h"

#include "base/fail.h"
#include "comm/internal.h"
#include "tensor/axes.h"

#include <stdlib.h>

void dn_mesh_at(const int size[DN_N_AXES], int rank, int at[DN_N_AXES])
{
    dn_axes_at(size, DN_ALL_AXES, rank, at);
}

int dn_mesh_rank(const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    return dn_axes_rank(size, DN_ALL_AXES, at);
}

/* Whether these axes have a communicator of their own: not all ranks, and not equal to a smaller set. Nothing is exchanged
 * along stages and some axis within one together. */
static bool is_split(const int size[DN_N_AXES], unsigned axes)
{
    bool mixed = (axes & DN_AXIS(DN_PP)) && axes != DN_AXIS(DN_PP);
    return dn_axes_of(size, axes) == axes && axes != dn_axes_of(size, DN_ALL_AXES) && !mixed;
}

size_t dn_mesh_heap_bytes(const int size[DN_N_AXES])
{
    size_t bytes = 0;
    for (unsigned axes = 0; axes < DN_ALL_AXES; axes++)
        if (is_split(size, axes))
            bytes += dn_split_bytes(dn_axes_size(size, DN_ALL_AXES), 0);
    return bytes;
}

/* A communicator for each set of axes; ranks that agree in all other coordinates have the same color. */
static dn_status split(dn_mesh *mesh)
{
    mesh->comms[dn_axes_of(mesh->size, DN_ALL_AXES)] = mesh->all;
    for (unsigned axes = 0; axes < DN_ALL_AXES; axes++) {
        if (!is_split(mesh->size, axes))
            continue;
        int others[DN_N_AXES];
        for (int axis = 0; axis < DN_N_AXES; axis++)
            others[axis] = axes & DN_AXIS(axis) ? 0 : mesh->at[axis];
        DN_TRY(dn_comm_split(mesh->all, dn_mesh_rank(mesh->size, others), 0, 0, &mesh->comms[axes]));
    }
    return DN_OK;
}

dn_status dn_mesh_create(dn_comm *all, const int size[DN_N_AXES], dn_mesh **out)
{
    *out = NULL;
    if (size[DN_DP] < 1 || size[DN_FS] < 1 || size[DN_TP] < 1 || size[DN_PP] < 0 ||
        dn_axes_size(size, DN_ALL_AXES) != dn_comm_size(all))
        return dn_fail(DN_ERR_ARG,
                       "mesh dp=%d,pp=%d,fs=%d,tp=%d: the product of its axes must be the number of ranks, %d",
                       size[DN_DP], size[DN_PP], size[DN_FS], size[DN_TP], dn_comm_size(all));
    dn_mesh *mesh = calloc(1, sizeof *mesh);
    if (!mesh)
        return dn_fail(DN_ERR_MEMORY, "no memory for a mesh");
    for (int axis = 0; axis < DN_N_AXES; axis++)
        mesh->size[axis] = dn_axis_size(size, axis);
    dn_mesh_at(size, dn_comm_rank(all), mesh->at);
    mesh->all = mesh->root = all;
    dn_status status = split(mesh);
    if (status != DN_OK)
        dn_mesh_destroy(&mesh);
    *out = mesh;
    return status;
}

void dn_mesh_destroy(dn_mesh **mesh)
{
    if (!*mesh)
        return;
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if ((*mesh)->comms[axes] != (*mesh)->all)
            dn_comm_destroy(&(*mesh)->comms[axes]);
    free(*mesh);
    *mesh = NULL;
}

/* The ranks that have this one's coordinate along `axis`. */
static dn_mesh without(const dn_mesh *mesh, dn_axis axis)
{
    dn_mesh part = *mesh;
    part.size[axis] = 1;
    part.at[axis] = 0;
    part.all = dn_mesh_comm(mesh, DN_ALL_AXES & ~DN_AXIS(axis));
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if (axes & DN_AXIS(axis))
            part.comms[axes] = NULL;
    part.comms[dn_axes_of(part.size, DN_ALL_AXES)] = part.all;
    return part;
}

dn_mesh dn_mesh_replica(const dn_mesh *mesh)
{
    return without(mesh, DN_DP);
}

dn_mesh dn_mesh_stage(const dn_mesh *mesh)
{
    dn_mesh stage = without(mesh, DN_PP);
    if (mesh->size[DN_PP] > 1)
        stage.stages = dn_mesh_comm(mesh, DN_AXIS(DN_PP));
    return stage;
}

int dn_mesh_n_alone(const dn_mesh *mesh)
{
    return dn_comm_size(mesh->root) / (dn_comm_size(mesh->all) * (mesh->stages ? dn_comm_size(mesh->stages) : 1));
}

dn_comm *dn_mesh_comm(const dn_mesh *mesh, unsigned axes)
{
    return mesh->comms[dn_axes_of(mesh->size, axes & DN_ALL_AXES)];
}
