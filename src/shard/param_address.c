#include "shard/param_address.h"

/* Only the first of a stack lies at the same offset everywhere: those behind it move with the sizes of the
 * blocks in front of them, unless they lie apart; and a view, with what its rank holds of the rows in front of it. */
dn_buf *dn_param_address(const int size[DN_N_AXES], const dn_param *params, size_t i, bool grad,
                         const int at[DN_N_AXES])
{
    const dn_param *param = &params[i], *whole = param->view_of ? param->view_of : param;
    const dn_param *first = whole->apart ? whole : whole - whole->stack;
    size_t before = param->view_of ? dn_param_view_offset(param, dn_param_block(whole, size, at)) : 0;
    for (const dn_param *p = first; p < whole; p++)
        before += dn_block_size(dn_param_block(p, size, at));
    return dn_at(grad ? first->grad : first->weight, before);
}
