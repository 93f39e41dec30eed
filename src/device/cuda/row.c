/* The module: the row of the device, and taking hold of a GPU. */
#include "device/cuda/cuda.h"
#include "device/cuda/row.h"

#include <stdio.h>
#include <stdlib.h>

extern const dn_device_module dn_device_of_module;

dn_device_services dn_gpu_library;

static int number, passed_over;

static dn_status map_heap(const dn_device_heap *heap, bool *mapped);

/* The distance is a wish until there is a heap: below what the host maps, on machines of 47 bits of address.
 */
static dn_device row = {
    .name = "cuda",
    .print = dn_gpu_print,
    .heap_distance = -((ptrdiff_t)1 << 44),
    .map_heap = map_heap,
    .unmap_heap = dn_gpu_unmap_heap,
    .kernels = &dn_cuda_kernels,
    .take = dn_gpu_take,
    .give_back = dn_gpu_give_back,
    .room = dn_gpu_room,
    .open = dn_gpu_open,
    .close = dn_gpu_close,
    .keep = dn_gpu_keep,
    .call = dn_gpu_call,
    .lend = dn_gpu_lend,
    .copy = dn_gpu_copy,
    .clear = dn_gpu_clear,
    .fold = dn_gpu_fold,
    .sync = dn_gpu_sync,
    .drain = dn_gpu_drain,
    .record = dn_gpu_record,
    .wait = dn_gpu_wait,
    .passed = dn_gpu_passed,
};

static dn_status map_heap(const dn_device_heap *heap, bool *mapped)
{
    return dn_gpu_map_heap(heap, &row.heap_distance, mapped);
}

/* Why CUDA sees no GPU, and what to do. */
static dn_status no_gpu(cudaError_t error)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    int driver = 0, built_with = 0;
    (void)cudaDriverGetVersion(&driver); /* 0: none */
    (void)cudaRuntimeGetVersion(&built_with);
    if (error == cudaErrorInsufficientDriver && driver == 0)
        return dn_gpu_fail(DN_ERR_SYSTEM, "device cuda: NVIDIA's driver is not found (libcuda.so.1): install "
                                          "it, start a container with its "
                                          "GPUs, or take device: cpu");
    if (error == cudaErrorInsufficientDriver)
        return dn_gpu_fail(DN_ERR_SYSTEM,
                           "device cuda: NVIDIA's driver is one for CUDA %d.%d, and this module is built "
                           "with %d.%d: update the "
                           "driver, or take device: cpu",
                           driver / 1000, driver % 1000 / 10, built_with / 1000, built_with % 1000 / 10);
    if (error == cudaSuccess || error == cudaErrorNoDevice)
        return dn_gpu_fail(DN_ERR_SYSTEM,
                           "device cuda: no GPU is seen by CUDA%s%s%s: nvidia-smi shows those of this "
                           "machine; or take device: cpu",
                           visible ? " (CUDA_VISIBLE_DEVICES is '" : "", visible ? visible : "",
                           visible ? "')" : "");
    return dn_gpu_failed(error, "device cuda");
}

/* Worker i takes the i-th visible GPU, by turns where workers are more. Workers that are started anew pass
 * over one that cannot be taken, as it was lost meanwhile; at first that is an error: who starts a run counts
 * on it. */
static dn_status take_gpu(int n)
{
    const char *rank = getenv("LOCAL_RANK"), *restart = getenv("DIONODE_RESTART");
    const int first = rank ? atoi(rank) % n : 0, n_tries = restart && atoi(restart) > 0 ? n : 1;
    char what[32];
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < n_tries; i++) {
        number = (first + i) % n;
        error = dn_gpu_take_hold();
        passed_over = i;
        if (error == cudaSuccess)
            return DN_OK;
        (void)cudaGetLastError(); /* the first launch would take it for its own */
        if (i + 1 < n_tries)
            dn_gpu_library.log(DN_LOG_WARNING,
                               "GPU %d cannot be taken (%s): worker %s takes GPU %d, beside another", number,
                               cudaGetErrorName(error), rank ? rank : "0", (number + 1) % n);
    }
    snprintf(what, sizeof what, "GPU %d", first);
    return dn_gpu_failed(error, what);
}

static dn_status start(const dn_device_services *services)
{
    int n = 0;
    dn_gpu_library = *services;
    row.mixed_kernels = dn_cuda_mixed_kernels();
    row.kernels_bytes = dn_cuda_kernels_bytes;
    cudaError_t error = cudaGetDeviceCount(&n);
    if (error != cudaSuccess || n == 0)
        return no_gpu(error);
    return take_gpu(n);
}

cudaError_t dn_gpu_take_hold(void)
{
    return cudaSetDevice(number);
}

int dn_gpu_n_passed_over(void)
{
    return passed_over;
}

__attribute__((visibility("default"))) const dn_device_module dn_device_of_module = {
    .version = DN_DEVICE_MODULE_VERSION,
    .real_bytes = sizeof(dn_real),
    .device = &row,
    .start = start,
};
