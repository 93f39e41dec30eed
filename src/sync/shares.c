#include "sync/shares.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

static dn_status make_room(dn_shares *shares, unsigned axes, size_t more)
{
    size_t needed = shares->n[axes] + more;
    if (needed <= shares->room[axes])
        return DN_OK;
    size_t room = 2 * needed;
    dn_owned *items = realloc(shares->items[axes], room * sizeof *items);
    if (!items)
        return dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu shares", room);
    shares->items[axes] = items;
    shares->room[axes] = room;
    return DN_OK;
}

dn_status dn_shares_add(dn_shares *shares, unsigned axes, void *x, size_t rows, size_t cols)
{
    int members = dn_axes_size(shares->mesh->size, axes);
    if (members == 1)
        return DN_OK;
    DN_TRY(make_room(shares, axes, (size_t)members));
    for (int k = 0; k < members; k++) {
        dn_range part = dn_part(rows, 1, members, k);
        size_t count = dn_range_size(part) * cols;
        if (count)
            shares->items[axes][shares->n[axes]++] =
                (dn_owned){(char *)x + part.first * cols * dn_type_bytes(shares->type), count, k};
    }
    return DN_OK;
}

void dn_shares_reset(dn_shares *shares)
{
    memset(shares->n, 0, sizeof shares->n);
}

void dn_shares_clear(dn_shares *shares)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        free(shares->items[axes]);
    *shares = (dn_shares){0};
}

dn_status dn_shares_reduce(const dn_shares *shares, dn_op op, dn_traffic kind)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if (shares->n[axes])
            DN_TRY(dn_comm_reduce_to_owners(dn_mesh_group(shares->mesh, axes), shares->items[axes],
                                            shares->n[axes], shares->type, op, kind));
    return DN_OK;
}

dn_status dn_shares_gather(const dn_shares *shares, dn_traffic kind)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if (shares->n[axes])
            DN_TRY(dn_comm_gather_from_owners(dn_mesh_group(shares->mesh, axes), shares->items[axes],
                                              shares->n[axes], shares->type, kind));
    return DN_OK;
}
