/* The stand-in's virtual memory: ranges of addresses, and memory of descriptors that is mapped there. */
#include "cuda.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The module's calls come here, and no other's: nothing of it is seen outside. */
int accept4(int s, struct sockaddr *address, socklen_t *bytes, int flags)
{
    if (!standin_fails("accept"))
        return (int)syscall(SYS_accept4, s, address, bytes, flags);
    errno = EMFILE;
    return -1;
}

#define GRANULARITY ((size_t)2 << 20)

static void *at_address(CUdeviceptr at)
{
    return (void *)(uintptr_t)at;
}

static CUresult reserve(CUdeviceptr *out, size_t bytes, size_t align, CUdeviceptr at,
                        unsigned long long flags)
{
    const int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *range = MAP_FAILED;
    if (bytes == 0 || bytes % GRANULARITY != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (at % GRANULARITY == 0)
        range = mmap(at_address(at), bytes, PROT_NONE, kind | MAP_FIXED_NOREPLACE, -1, 0);
    if (range == MAP_FAILED) { /* the address is a wish */
        char *wider = mmap(NULL, bytes + GRANULARITY, PROT_NONE, kind, -1, 0);
        if (wider == MAP_FAILED)
            return CUDA_ERROR_OUT_OF_MEMORY;
        size_t before = (GRANULARITY - (uintptr_t)wider % GRANULARITY) % GRANULARITY;
        (void)munmap(wider, before);
        (void)munmap(wider + before + bytes, GRANULARITY - before);
        range = wider + before;
    }
    *out = (CUdeviceptr)(uintptr_t)range;
    return CUDA_SUCCESS;
}

static CUresult give_range_back(CUdeviceptr at, size_t bytes)
{
    return munmap(at_address(at), bytes) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult create(CUmemGenericAllocationHandle *out, size_t bytes, const CUmemAllocationProp *how,
                       unsigned long long flags)
{
    if (how->requestedHandleTypes != 0 && standin_fails("export"))
        return CUDA_ERROR_NOT_SUPPORTED;
    int descriptor = standin_fails("memory") ? -1 : memfd_create("device", MFD_CLOEXEC);
    if (descriptor < 0 || bytes % GRANULARITY != 0 || ftruncate(descriptor, (off_t)bytes) != 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *out = (CUmemGenericAllocationHandle)descriptor;
    return CUDA_SUCCESS;
}

static CUresult release(CUmemGenericAllocationHandle handle)
{
    return close((int)handle) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* Without access until it is allowed. */
static CUresult map(CUdeviceptr at, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                    unsigned long long flags)
{
    const bool other = standin_fails("board");
    if (mmap(at_address(at), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED | (other ? MAP_ANONYMOUS : 0),
             other ? -1 : (int)handle, (off_t)offset) == MAP_FAILED)
        return CUDA_ERROR_INVALID_VALUE;
    standin_register(at_address(at), bytes, true);
    return CUDA_SUCCESS;
}

static CUresult unmap(CUdeviceptr at, size_t bytes)
{
    standin_unregister(at_address(at));
    return mmap(at_address(at), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                0) != MAP_FAILED
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

/* What is mapped next is another process's. */
static bool imported;

static CUresult allow(CUdeviceptr at, size_t bytes, const CUmemAccessDesc *who, size_t n)
{
    const bool of_peer = imported;
    imported = false;
    if (of_peer && standin_fails("access"))
        return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    bool all = n == 1 && who->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return all && mprotect(at_address(at), bytes, PROT_READ | PROT_WRITE) == 0 ? CUDA_SUCCESS
                                                                               : CUDA_ERROR_INVALID_VALUE;
}

static CUresult export_as(void *out, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType type,
                          unsigned long long flags)
{
    int descriptor = dup((int)handle);
    memcpy(out, &descriptor, sizeof descriptor);
    return descriptor >= 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult import_from(CUmemGenericAllocationHandle *out, void *handle, CUmemAllocationHandleType type)
{
    int descriptor = dup((int)(uintptr_t)handle);
    imported = true;
    *out = (CUmemGenericAllocationHandle)descriptor;
    return descriptor >= 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult granularity(size_t *out, const CUmemAllocationProp *how,
                            CUmemAllocationGranularity_flags option)
{
    *out = GRANULARITY;
    return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **out, unsigned version,
                                             unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *found)
{
    static const struct {
        const char *name;
        uintptr_t call;
    } calls[] = {{"cuMemAddressReserve", (uintptr_t)reserve},
                 {"cuMemAddressFree", (uintptr_t)give_range_back},
                 {"cuMemCreate", (uintptr_t)create},
                 {"cuMemRelease", (uintptr_t)release},
                 {"cuMemMap", (uintptr_t)map},
                 {"cuMemUnmap", (uintptr_t)unmap},
                 {"cuMemSetAccess", (uintptr_t)allow},
                 {"cuMemExportToShareableHandle", (uintptr_t)export_as},
                 {"cuMemImportFromShareableHandle", (uintptr_t)import_from},
                 {"cuMemGetAllocationGranularity", (uintptr_t)granularity}};
    *found = cudaDriverEntryPointSymbolNotFound;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, name) == 0) {
            *out = (void *)calls[i].call;
            *found = cudaDriverEntryPointSuccess;
        }
    return cudaSuccess;
}
