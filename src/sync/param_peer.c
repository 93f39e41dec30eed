#include "sync/param_peer.h"

/* Only the first of a stack lies at the same offset everywhere: those behind it move with the sizes of the
 * blocks in front of them. */
dn_buf *dn_param_peer(const dn_mesh *mesh, const dn_param *params, size_t i, bool grad,
                      const int at[DN_N_AXES])
{
    size_t first = i - params[i].stack, before = 0;
    for (size_t k = first; k < i; k++) {
        dn_block block = dn_param_block(&params[k], mesh->size, at);
        before += block.rows * block.cols;
    }
    const dn_buf *own = grad ? params[first].grad : params[first].weight;
    return dn_at(dn_comm_peer(mesh->all, own, dn_mesh_rank(mesh->size, at)), before);
}
