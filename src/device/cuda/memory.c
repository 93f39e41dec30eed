/* Memory of the GPU. */
#include "device/cuda/cuda.h"
#include "device/cuda/row.h"

#include <stdlib.h>

/* For tests of kernels on a GPU: memory that kernels and the host reach at one address, page-locked and slow.
 */
static bool is_page_locked(void)
{
    return getenv("DIONODE_CUDA_PAGE_LOCKED") != NULL;
}

void *dn_gpu_take(size_t bytes)
{
    void *memory = NULL;
    size_t asked = bytes ? bytes : 1;
    cudaError_t error =
        is_page_locked() ? cudaHostAlloc(&memory, asked, cudaHostAllocDefault) : cudaMalloc(&memory, asked);
    if (error != cudaSuccess)
        (void)cudaGetLastError(); /* the caller says what it was for */
    return error == cudaSuccess ? memory : NULL;
}

/* Freeing waits for the device: not where that may be for ever. */
void dn_gpu_give_back(void *memory)
{
    if (!dn_gpu_is_lost())
        (void)(is_page_locked() ? cudaFreeHost(memory) : cudaFree(memory));
}

uint64_t dn_gpu_room(void)
{
    size_t available = 0, all = 0;
    (void)cudaMemGetInfo(&available, &all);
    return available;
}

/* A GPU's memory has no address for the host; that of the stand-in has. */
void *dn_gpu_lend(const void *handle)
{
    struct cudaPointerAttributes attributes;
    if (cudaPointerGetAttributes(&attributes, handle) != cudaSuccess)
        return NULL;
    bool own = attributes.type == cudaMemoryTypeDevice ||
               (is_page_locked() && attributes.type == cudaMemoryTypeHost);
    return own ? attributes.hostPointer : NULL;
}
