/* One instruction set is enough here: the sanitizer looks at order, not at sums. */
#include "comm/kernels.h"

extern const dn_comm_kernels dn_comm_kernels_base;

const dn_comm_kernels *dn_comm_kernels_best(void)
{
    return &dn_comm_kernels_base;
}
