/* The module: the row of the device, and taking hold of a GPU. */
#include "device/cuda/cuda.h"
#include "device/cuda/row.h"

#include <stdlib.h>

extern const dn_device_module dn_device_of_module;

dn_device_services dn_gpu_library;

static dn_status map_heap(const dn_device_heap *heap);

/* The distance is a wish until there is a heap: below what the host maps, on machines of 47 bits of address.
 */
static dn_device row = {
    .name = "cuda",
    .heap_distance = -((ptrdiff_t)1 << 44),
    .map_heap = map_heap,
    .unmap_heap = dn_gpu_unmap_heap,
    .kernels = &dn_cuda_kernels,
    .take = dn_gpu_take,
    .give_back = dn_gpu_give_back,
    .open = dn_gpu_open,
    .close = dn_gpu_close,
    .keep = dn_gpu_keep,
    .call = dn_gpu_call,
    .lend = dn_gpu_lend,
    .copy = dn_gpu_copy,
    .clear = dn_gpu_clear,
    .fold = dn_gpu_fold,
    .sync = dn_gpu_sync,
    .record = dn_gpu_record,
    .wait = dn_gpu_wait,
    .passed = dn_gpu_passed,
};

static dn_status map_heap(const dn_device_heap *heap)
{
    return dn_gpu_map_heap(heap, &row.heap_distance);
}

/* Worker i takes the i-th visible GPU, by turns where workers are more. */
static dn_status start(const dn_device_services *services)
{
    int n = 0;
    dn_gpu_library = *services;
    row.mixed_kernels = dn_cuda_mixed_kernels();
    row.kernels_bytes = dn_cuda_kernels_bytes;
    cudaError_t error = cudaGetDeviceCount(&n);
    if (error != cudaSuccess)
        return dn_gpu_failed(error, "device cuda");
    if (n == 0)
        return dn_gpu_fail(DN_ERR_SYSTEM,
                           "device cuda: this machine has no GPU that CUDA sees: take device: cpu");
    const char *rank = getenv("LOCAL_RANK");
    error = cudaSetDevice(rank ? atoi(rank) % n : 0);
    return error == cudaSuccess ? DN_OK : dn_gpu_failed(error, "device cuda");
}

__attribute__((visibility("default"))) const dn_device_module dn_device_of_module = {
    .version = DN_DEVICE_MODULE_VERSION,
    .real_bytes = sizeof(dn_real),
    .device = &row,
    .start = start,
};
