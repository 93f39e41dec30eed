/* Memory of the GPU. */
#include "device/cuda/cuda.h"
#include "device/cuda/row.h"

void *dn_gpu_take(size_t bytes)
{
    void *memory = NULL;
    if (cudaMalloc(&memory, bytes ? bytes : 1) != cudaSuccess)
        (void)cudaGetLastError(); /* the caller says what it was for */
    return memory;
}

void dn_gpu_give_back(void *memory)
{
    (void)cudaFree(memory);
}

/* A GPU's memory has no address for the host; that of the stand-in has. */
void *dn_gpu_lend(const void *handle)
{
    struct cudaPointerAttributes attributes;
    if (cudaPointerGetAttributes(&attributes, handle) != cudaSuccess ||
        attributes.type != cudaMemoryTypeDevice)
        return NULL;
    return attributes.hostPointer;
}
