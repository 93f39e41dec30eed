/*
 * The symmetric heap on GPUs: of every rank an arena, made by CUDA's virtual memory functions, which take an
 * address and hand out descriptors. Every rank maps its own as far behind the host's as the row says, and
 * those of its peers beside it, where the machine lets it: `mapped`. Where one rank cannot, or reads other
 * data there than its peer wrote, none does, and they exchange through the host's memory: `staged`
 * (comm/shadows.c).
 *
 * The functions are the driver's, and are asked for by name, so that nothing is linked with it.
 */
#include "device/cuda/cuda.h"
#include "device/cuda/row.h"

#include "base/fail.h"

#include <cuda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct driver {
    CUresult (*reserve)(CUdeviceptr *out, size_t bytes, size_t align, CUdeviceptr at,
                        unsigned long long flags);
    CUresult (*give_range_back)(CUdeviceptr at, size_t bytes);
    CUresult (*create)(CUmemGenericAllocationHandle *out, size_t bytes, const CUmemAllocationProp *how,
                       unsigned long long flags);
    CUresult (*release)(CUmemGenericAllocationHandle handle);
    CUresult (*map)(CUdeviceptr at, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                    unsigned long long flags);
    CUresult (*unmap)(CUdeviceptr at, size_t bytes);
    CUresult (*allow)(CUdeviceptr at, size_t bytes, const CUmemAccessDesc *who, size_t n);
    CUresult (*export_as)(void *out, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType type,
                          unsigned long long flags);
    CUresult (*import_from)(CUmemGenericAllocationHandle *out, void *handle, CUmemAllocationHandleType type);
    CUresult (*granularity)(size_t *out, const CUmemAllocationProp *how,
                            CUmemAllocationGranularity_flags option);
} driver;

typedef struct heap {
    struct heap *next;
    const char *host; /* of the first arena: what names the heap */
    CUdeviceptr at;
    size_t bytes; /* of an arena */
    void *shared; /* page-locked; NULL: none */
    int n;
    driver calls;
} heap;

static heap *heaps;

static dn_status refused(const char *call, CUresult result)
{
    return dn_gpu_fail(result == CUDA_ERROR_OUT_OF_MEMORY ? DN_ERR_MEMORY : DN_ERR_SYSTEM,
                       "memory that workers share on GPUs: %s: error %d of CUDA", call, (int)result);
}

#define CALL(name, call)                                                                                     \
    do {                                                                                                     \
        CUresult result_ = (call);                                                                           \
        if (result_ != CUDA_SUCCESS)                                                                         \
            return refused(name, result_);                                                                   \
    } while (0)

static dn_status find_calls(driver *calls)
{
    const struct {
        const char *name;
        void *at;
    } wanted[] = {{"cuMemAddressReserve", &calls->reserve},
                  {"cuMemAddressFree", &calls->give_range_back},
                  {"cuMemCreate", &calls->create},
                  {"cuMemRelease", &calls->release},
                  {"cuMemMap", &calls->map},
                  {"cuMemUnmap", &calls->unmap},
                  {"cuMemSetAccess", &calls->allow},
                  {"cuMemExportToShareableHandle", &calls->export_as},
                  {"cuMemImportFromShareableHandle", &calls->import_from},
                  {"cuMemGetAllocationGranularity", &calls->granularity}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        enum cudaDriverEntryPointQueryResult found;
        void *call = NULL;
        cudaError_t error =
            cudaGetDriverEntryPointByVersion(wanted[i].name, &call, 12000, cudaEnableDefault, &found);
        if (error != cudaSuccess || found != cudaDriverEntryPointSuccess)
            return dn_gpu_fail(DN_ERR_SYSTEM, "CUDA's driver has no %s: take device: cpu", wanted[i].name);
        memcpy(wanted[i].at, &call, sizeof call);
    }
    return DN_OK;
}

/* ---- the heap ---- */

static CUdeviceptr arena_of(const heap *h, int rank)
{
    return h->at + (CUdeviceptr)rank * h->bytes;
}

/* The mapping keeps the memory; *call: what was refused. */
static CUresult map_arena(const heap *h, int rank, CUmemGenericAllocationHandle handle,
                          const CUmemAccessDesc *who, const char **call)
{
    *call = "cuMemMap";
    CUresult result = h->calls.map(arena_of(h, rank), h->bytes, 0, handle, 0);
    if (result == CUDA_SUCCESS) {
        *call = "cuMemSetAccess";
        result = h->calls.allow(arena_of(h, rank), h->bytes, who, 1);
    }
    CUresult released = h->calls.release(handle);
    return result == CUDA_SUCCESS ? released : result;
}

static void object(char *objection, const dn_device_heap *asked, const char *call, int peer, CUresult result)
{
    if (!*objection)
        snprintf(objection, DN_OBJECTION_BYTES, "worker %d: %s of worker %d's memory: error %d of CUDA",
                 asked->rank, call, peer, (int)result);
}

/* The own arena, with a descriptor of it for the others if that can be had. */
static dn_status make_own(heap *h, const dn_device_heap *asked, CUmemAllocationProp how,
                          const CUmemAccessDesc *who, int *descriptor, char *objection)
{
    CUmemGenericAllocationHandle own;
    const char *call = "cuMemCreate";
    CUresult result = h->calls.create(&own, h->bytes, &how, 0);
    if (result != CUDA_SUCCESS && result != CUDA_ERROR_OUT_OF_MEMORY && how.requestedHandleTypes != 0) {
        object(objection, asked, call, asked->rank, result);
        how.requestedHandleTypes = 0;
        result = h->calls.create(&own, h->bytes, &how, 0);
    }
    if (result != CUDA_SUCCESS)
        return refused(call, result);
    if (asked->n > 1 && !*objection) {
        result = h->calls.export_as(descriptor, own, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
        if (result != CUDA_SUCCESS)
            object(objection, asked, "cuMemExportToShareableHandle", asked->rank, result);
    }
    result = map_arena(h, asked->rank, own, who, &call);
    return result == CUDA_SUCCESS ? DN_OK : refused(call, result);
}

/* The arenas of all others, as they lie beside the own one. */
static void map_peers(heap *h, const dn_device_heap *asked, const CUmemAccessDesc *who,
                      const int *descriptors, char *objection)
{
    for (int peer = 0; peer < asked->n && !*objection; peer++) {
        CUmemGenericAllocationHandle theirs;
        const char *call = "cuMemImportFromShareableHandle";
        if (peer == asked->rank)
            continue;
        CUresult result = h->calls.import_from(&theirs, (void *)(uintptr_t)descriptors[peer],
                                               CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
        if (result == CUDA_SUCCESS)
            result = map_arena(h, peer, theirs, who, &call);
        if (result != CUDA_SUCCESS)
            object(objection, asked, call, peer, result);
    }
}

/* ---- whether peers' memory is what it seems ---- */

enum { PATTERN_WORDS = 1024 };

static int32_t pattern_at(int rank, int i)
{
    return (int32_t)((uint32_t)(rank + 1) * 2654435761u ^ (uint32_t)i * 40503u);
}

/* Each writes a pattern at the beginning of its arena, where nothing is yet, and a kernel of every other
 * reads it: some boards map a peer's memory and deliver other data (IOMMU, ACS). */
static dn_status read_patterns(const heap *h, const dn_device_heap *asked, dn_stream *stream, char *objection)
{
    const size_t bytes = PATTERN_WORDS * sizeof(int32_t);
    int32_t *own = dn_gpu_keep(stream, bytes);
    for (int i = 0; i < PATTERN_WORDS; i++)
        own[i] = pattern_at(asked->rank, i);
    dn_gpu_copy(stream, (void *)(uintptr_t)arena_of(h, asked->rank), own, bytes);
    DN_TRY(dn_gpu_sync(stream));
    DN_TRY(asked->agree(asked->context, objection)); /* all are written */
    for (int rank = 0; rank < asked->n; rank++) {
        int32_t *seen = dn_gpu_keep(stream, bytes); /* stays until more is kept */
        const dn_fold read = {.type = DN_I32,
                              .op = DN_SUM,
                              .n = PATTERN_WORDS,
                              .n_sources = 1,
                              .n_targets = 1,
                              .sources = {(const char *)(uintptr_t)arena_of(h, rank)},
                              .targets = {(char *)seen}};
        dn_gpu_fold_kernel(stream, &read);
        DN_TRY(dn_gpu_sync(stream));
        for (int i = 0; i < PATTERN_WORDS && !*objection; i++)
            if (seen[i] != pattern_at(rank, i))
                snprintf(objection, DN_OBJECTION_BYTES,
                         "worker %d reads %08x in worker %d's memory, which wrote %08x", asked->rank,
                         (unsigned)seen[i], rank, (unsigned)pattern_at(rank, i));
    }
    return asked->agree(asked->context, objection); /* all have read */
}

static dn_status try_peers(const heap *h, const dn_device_heap *asked, char *objection)
{
    dn_stream stream = {0};
    DN_TRY(dn_gpu_open(&stream));
    dn_status status = read_patterns(h, asked, &stream, objection);
    dn_gpu_close(&stream);
    return status;
}

static void say_which(int n, const char *objection)
{
    if (!*objection)
        dn_gpu_library.log(DN_LOG_INFO,
                           "GPUs: %d workers read each other's memory in place (mapped), as a pattern shows",
                           n);
    else
        dn_gpu_library.log(
            DN_LOG_WARNING,
            "GPUs: %d workers exchange through page-locked memory of the host (staged), which is "
            "slower: board, IOMMU or container do not carry accesses to each other's: %s",
            n, objection);
}

/* ---- all of it ---- */

static dn_status fill_heap(heap *h, const dn_device_heap *asked, const CUmemAllocationProp *how,
                           int *descriptors, char *objection)
{
    const CUmemAccessDesc who = {.location = how->location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    DN_TRY(make_own(h, asked, *how, &who, &descriptors[asked->rank], objection));
    if (asked->n == 1)
        return DN_OK;
    DN_TRY(dn_gpu_pass_descriptors(asked, descriptors[asked->rank], descriptors, objection));
    if (!*objection) {
        map_peers(h, asked, &who, descriptors, objection);
        DN_TRY(asked->agree(asked->context, objection)); /* nobody leaves before all have mapped him */
    }
    if (!*objection)
        DN_TRY(try_peers(h, asked, objection));
    for (int peer = 0; peer < asked->n && *objection; peer++)
        if (peer != asked->rank)
            (void)h->calls.unmap(arena_of(h, peer), h->bytes); /* if it was mapped */
    if (asked->rank == 0)
        say_which(asked->n, objection);
    return DN_OK;
}

/* Workers of this GPU: those whose turn it is, and those of GPUs that this one has passed over, who do so, too. */
static size_t count_workers(int n, int device, int n_devices)
{
    size_t n_here = 0;
    for (int k = 0; k <= dn_gpu_n_passed_over(); k++) {
        int gpu = (device - k + n_devices) % n_devices;
        n_here += (size_t)(n - gpu + n_devices - 1) / (size_t)n_devices;
    }
    return n_here;
}

/* Before anybody takes any: what is planned against what is free, which the workers of a GPU share. */
static dn_status check_room(const dn_device_heap *asked)
{
    const size_t of_cuda = (size_t)1 << 30; /* contexts, code and what libraries take */
    size_t available = 0, all = 0;
    int device = 0, n_devices = 1;
    (void)cudaGetDevice(&device);
    (void)cudaGetDeviceCount(&n_devices);
    (void)cudaMemGetInfo(&available, &all);
    size_t n_here = count_workers(asked->n, device, n_devices);
    size_t room = (available > of_cuda ? available - of_cuda : 0) / (n_here > 0 ? n_here : 1);
    if (asked->needed > room)
        return dn_gpu_fail(DN_ERR_MEMORY,
                           "the plan of a worker is %.2f GiB of memory of GPU %d, %.2f of them shared with "
                           "others, and there are %.2f GiB for each of "
                           "the %zu workers on it (%.2f of %.2f GiB are free, and CUDA takes 1): use a "
                           "smaller device_batch_size, more workers of fs, "
                           "or a smaller model",
                           (double)asked->needed / 0x1p30, device, (double)asked->bytes / 0x1p30,
                           (double)room / 0x1p30, n_here, (double)available / 0x1p30, (double)all / 0x1p30);
    char nothing[DN_OBJECTION_BYTES] = "";
    return asked->n > 1 ? asked->agree(asked->context, nothing) : DN_OK;
}

dn_status dn_gpu_map_heap(const dn_device_heap *asked, ptrdiff_t *distance, bool *mapped)
{
    char objection[DN_OBJECTION_BYTES] = "";
    int descriptors[DN_MAX_RANKS], device = 0;
    size_t granularity = 0;
    if (asked->needed > 0)
        DN_TRY(check_room(asked));
    heap *h = calloc(1, sizeof *h);
    if (!h)
        return dn_gpu_fail(DN_ERR_MEMORY, "no memory for a heap");
    h->next = heaps;
    heaps = h;
    h->host = asked->first;
    h->n = asked->n;
    DN_TRY(find_calls(&h->calls));
    if (asked->shared) {
        cudaError_t error = cudaHostRegister(asked->shared, asked->shared_bytes, cudaHostRegisterDefault);
        if (error != cudaSuccess)
            return dn_gpu_failed(error, "page-locking what workers tell each other");
        h->shared = asked->shared;
    }
    (void)cudaGetDevice(&device);
    const CUmemAllocationProp how = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                     .requestedHandleTypes =
                                         asked->n > 1 ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : 0,
                                     .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device}};
    CALL("cuMemGetAllocationGranularity",
         h->calls.granularity(&granularity, &how, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    h->bytes = asked->bytes;
    if (h->bytes % granularity != 0)
        return dn_gpu_fail(DN_ERR_SYSTEM,
                           "arenas of %zu bytes are no multiple of what this GPU maps at once, %zu bytes",
                           h->bytes, granularity);
    CUdeviceptr wanted = (CUdeviceptr)(uintptr_t)(asked->first + *distance);
    CALL("cuMemAddressReserve", h->calls.reserve(&h->at, h->bytes * (size_t)h->n, granularity, wanted, 0));
    if (h->at != wanted && h->next)
        return dn_gpu_fail(DN_ERR_SYSTEM,
                           "a second heap of this process does not get its address on the GPU");
    *distance = (ptrdiff_t)((uintptr_t)h->at - (uintptr_t)asked->first);
    for (int rank = 0; rank < asked->n; rank++)
        descriptors[rank] = -1;
    dn_status status = fill_heap(h, asked, &how, descriptors, objection);
    for (int rank = 0; rank < asked->n; rank++)
        if (descriptors[rank] >= 0)
            close(descriptors[rank]);
    *mapped = !*objection;
    return status;
}

void dn_gpu_unmap_heap(const char *first)
{
    for (heap **at = &heaps; *at; at = &(*at)->next) {
        heap *h = *at;
        if (h->host != first)
            continue;
        *at = h->next;
        if (dn_gpu_is_lost()) /* a kernel may still use it */
            return;
        if (h->shared)
            (void)cudaHostUnregister(h->shared);
        for (int rank = 0; h->at && rank < h->n; rank++)
            (void)h->calls.unmap(arena_of(h, rank), h->bytes);
        if (h->at)
            (void)h->calls.give_range_back(h->at, h->bytes * (size_t)h->n);
        free(h);
        return;
    }
}
