/* The reference backend: every row. */
#include "compute/ref/ref.h"

const dn_kernels dn_kernels_ref = {
    .name = "ref",
    .plain = "ref",
#define OP(name, ...) .name = dn_ref_##name,
#include "compute/ops.h"
#undef OP
};
