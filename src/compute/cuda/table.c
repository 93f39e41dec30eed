/*
 * The kernels that the module has: a file defines dn_cuda_NAME, and that is all; here a name that nobody
 * defines is NULL, and the library has the host compute it. In mixed precision a kernel is dn_cuda_mixed_NAME
 * where somebody defines that.
 */
#include "compute/kernels.h"
#include "device/cuda/row.h"

#ifndef DN_CUDA_NAME
#define DN_CUDA_NAME "cuda"
#endif

#define OP(name, ...)                                                                                        \
    __attribute__((weak)) void dn_cuda_##name DN_OP_PARAMETERS(__VA_ARGS__),                                 \
        dn_cuda_mixed_##name DN_OP_PARAMETERS(__VA_ARGS__);
#include "compute/ops.h"
#undef OP

const dn_kernels dn_cuda_kernels = {
    .name = DN_CUDA_NAME,
    .plain = DN_CUDA_NAME,
#define OP(name, ...) .name = dn_cuda_##name,
#include "compute/ops.h"
#undef OP
};

const dn_kernels *dn_cuda_mixed_kernels(void)
{
    static dn_kernels mixed;
    mixed = (dn_kernels){
        .name = DN_CUDA_NAME "-bf16",
        .plain = DN_CUDA_NAME,
        .narrow = sizeof(dn_real) == sizeof(float),
#define OP(name, ...) .name = dn_cuda_mixed_##name ? dn_cuda_mixed_##name : dn_cuda_##name,
#include "compute/ops.h"
#undef OP
    };
    return &mixed;
}

const size_t dn_cuda_kernels_bytes = sizeof(dn_kernels);
