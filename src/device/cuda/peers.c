/*
 * The symmetric heap on GPUs: of every rank an arena, made by CUDA's virtual memory functions, which take an
 * address and hand out descriptors. Every rank maps the arenas of all, its own and its peers', as far behind
 * the host's as the row says. Descriptors go over sockets, from the process that made them to each that maps
 * them: other ways are closed between processes of one parent (pidfd_getfd by ptrace's scope, CUDA's older
 * handles by the address).
 *
 * The functions are the driver's, and are asked for by name, so that nothing is linked with it.
 */
#include "device/cuda/cuda.h"
#include "device/cuda/row.h"

#include "base/fail.h"

#include <cuda.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

/* ---- descriptors ---- */

static socklen_t address_of(struct sockaddr_un *address, const char *host, int pid)
{
    /* Abstract: gone with its process. The heap's address tells several of a process apart. */
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "dionode-gpu-%d-%zx", pid,
                          (size_t)(uintptr_t)host);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static dn_status socket_failed(const char *what, int peer)
{
    return dn_gpu_fail(DN_ERR_SYSTEM, "memory that workers share on GPUs: %s worker %d: %s", what, peer,
                       strerror(errno));
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static dn_awaited look_at_socket(void *context)
{
    return poll(context, 1, 0) == 0 ? DN_AWAITED_NOT_YET : DN_AWAITED_DONE;
}

/* Until something has come from `peer`, or for a listener from anybody (-1). What is sent is a few bytes, for
 * which a socket always has room. */
static dn_status await(int s, int peer)
{
    struct pollfd what = {.fd = s, .events = POLLIN};
    dn_status status = dn_gpu_library.wait(look_at_socket, &what);
    errno = ETIMEDOUT;
    return status == DN_ERR_TIMEOUT ? socket_failed("no word from", peer) : status;
}

typedef union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
} control;

/* The rank, and the descriptor beside it. */
static bool send_descriptor(int s, int rank, int descriptor)
{
    control c = {0};
    struct iovec data = {&rank, sizeof rank};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof c.room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
    return sendmsg(s, &message, MSG_NOSIGNAL) == (ssize_t)sizeof rank;
}

/* -1, with errno, if none comes. */
static int receive_descriptor(int s, int rank)
{
    control c = {0};
    int sender = -1, descriptor = -1;
    struct iovec data = {&sender, sizeof sender};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof c.room};
    ssize_t n = recvmsg(s, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = n == (ssize_t)sizeof sender ? CMSG_FIRSTHDR(&message) : NULL;
    if (head && head->cmsg_type == SCM_RIGHTS)
        memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
    if (n >= 0 && (descriptor < 0 || sender != rank))
        errno = EPROTO;
    return sender == rank ? descriptor : -1;
}

/* Whether the process at the other end is that one, of this user: anyone may take an abstract name. */
static bool is_process(int s, int pid)
{
    struct ucred other;
    socklen_t bytes = sizeof other;
    bool same = getsockopt(s, SOL_SOCKET, SO_PEERCRED, &other, &bytes) == 0 && other.pid == pid &&
                other.uid == getuid();
    errno = same ? 0 : EPERM;
    return same;
}

/* From each peer its descriptor, [n], the own one for each: all listen, then all connect, which waits for
 * nobody, then all send, then all receive. */
static dn_status exchange(const dn_device_heap *asked, int listener, int own, int *descriptors)
{
    int sockets[DN_MAX_RANKS];
    dn_status status = DN_OK;
    for (int peer = 0; peer < asked->n; peer++)
        sockets[peer] = -1;
    for (int peer = 0; peer < asked->n && status == DN_OK; peer++) {
        struct sockaddr_un address;
        socklen_t bytes = address_of(&address, asked->first, asked->pids[peer]);
        if (peer == asked->rank)
            continue;
        sockets[peer] = new_socket();
        if (sockets[peer] < 0 || connect(sockets[peer], (const struct sockaddr *)&address, bytes) != 0 ||
            !is_process(sockets[peer], asked->pids[peer]))
            status = socket_failed("no connection to", peer);
    }
    for (int i = 0; i < asked->n - 1 && status == DN_OK; i++) {
        status = await(listener, -1);
        int s = status == DN_OK ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (status == DN_OK && (s < 0 || !send_descriptor(s, asked->rank, own)))
            status = socket_failed("a descriptor is not sent by", asked->rank);
        if (s >= 0)
            close(s);
    }
    for (int peer = 0; peer < asked->n && status == DN_OK; peer++) {
        if (peer == asked->rank)
            continue;
        status = await(sockets[peer], peer);
        if (status == DN_OK && (descriptors[peer] = receive_descriptor(sockets[peer], peer)) < 0)
            status = socket_failed("no descriptor from", peer);
    }
    for (int peer = 0; peer < asked->n; peer++)
        if (sockets[peer] >= 0)
            close(sockets[peer]);
    return status;
}

/* ---- the heap ---- */

static dn_status map_arena(heap *h, int rank, CUmemGenericAllocationHandle handle, const CUmemAccessDesc *who)
{
    CUdeviceptr at = h->at + (CUdeviceptr)rank * h->bytes;
    CALL("cuMemMap", h->calls.map(at, h->bytes, 0, handle, 0));
    CALL("cuMemSetAccess", h->calls.allow(at, h->bytes, who, 1));
    CALL("cuMemRelease", h->calls.release(handle)); /* the mapping keeps it */
    return DN_OK;
}

static dn_status fill_heap(heap *h, const dn_device_heap *asked, const CUmemAllocationProp *how, int listener,
                           int *descriptors)
{
    const CUmemAccessDesc who = {.location = how->location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemGenericAllocationHandle own;
    CALL("cuMemCreate", h->calls.create(&own, h->bytes, how, 0));
    if (asked->n > 1)
        CALL("cuMemExportToShareableHandle",
             h->calls.export_as(&descriptors[asked->rank], own, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    DN_TRY(map_arena(h, asked->rank, own, &who));
    if (asked->n == 1)
        return DN_OK;
    DN_TRY(asked->meet(asked->context)); /* all listen */
    DN_TRY(exchange(asked, listener, descriptors[asked->rank], descriptors));
    for (int peer = 0; peer < asked->n; peer++) {
        CUmemGenericAllocationHandle theirs;
        if (peer == asked->rank)
            continue;
        CALL("cuMemImportFromShareableHandle",
             h->calls.import_from(&theirs, (void *)(uintptr_t)descriptors[peer],
                                  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
        DN_TRY(map_arena(h, peer, theirs, &who));
    }
    return asked->meet(asked->context); /* nobody leaves before all have mapped him */
}

/* ---- whether peers' memory is what it seems ---- */

enum { PATTERN_WORDS = 1024 };

static int32_t pattern_at(int rank, int i)
{
    return (int32_t)((uint32_t)(rank + 1) * 2654435761u ^ (uint32_t)i * 40503u);
}

/* Each writes a pattern at the beginning of its arena, where nothing is yet, and a kernel of every other
 * reads it: some boards map a peer's memory and deliver other data (IOMMU, ACS). */
static dn_status read_patterns(const heap *h, const dn_device_heap *asked, dn_stream *stream)
{
    const size_t bytes = PATTERN_WORDS * sizeof(int32_t);
    int32_t *own = dn_gpu_keep(stream, bytes), *seen[DN_MAX_RANKS];
    for (int i = 0; i < PATTERN_WORDS; i++)
        own[i] = pattern_at(asked->rank, i);
    dn_gpu_copy(stream, (void *)(uintptr_t)(h->at + (CUdeviceptr)asked->rank * h->bytes), own, bytes);
    DN_TRY(dn_gpu_sync(stream));
    DN_TRY(asked->meet(asked->context));
    for (int rank = 0; rank < asked->n; rank++) {
        seen[rank] = dn_gpu_keep(stream, bytes);
        const dn_fold read = {.type = DN_I32,
                              .op = DN_SUM,
                              .n = PATTERN_WORDS,
                              .n_sources = 1,
                              .n_targets = 1,
                              .sources = {(const char *)(uintptr_t)(h->at + (CUdeviceptr)rank * h->bytes)},
                              .targets = {(char *)seen[rank]}};
        dn_gpu_fold_kernel(stream, &read);
    }
    DN_TRY(dn_gpu_sync(stream));
    for (int rank = 0; rank < asked->n; rank++)
        for (int i = 0; i < PATTERN_WORDS; i++)
            if (seen[rank][i] != pattern_at(rank, i))
                return dn_gpu_fail(DN_ERR_SYSTEM,
                                   "worker %d's GPU has mapped the memory of worker %d's and reads other "
                                   "data there than that wrote (word %d: %08x "
                                   "instead of %08x): its board or the IOMMU does not carry peers' accesses; "
                                   "take device: cpu",
                                   asked->rank, rank, i, (unsigned)seen[rank][i],
                                   (unsigned)pattern_at(rank, i));
    return asked->meet(asked->context); /* all have read */
}

static dn_status try_peers(const heap *h, const dn_device_heap *asked)
{
    dn_stream stream = {0};
    DN_TRY(dn_gpu_open(&stream));
    dn_status status = read_patterns(h, asked, &stream);
    dn_gpu_close(&stream);
    if (status == DN_OK && asked->rank == 0)
        dn_gpu_library.log(DN_LOG_INFO,
                           "GPUs: %d workers read each other's memory in place (mapped), as a pattern shows",
                           asked->n);
    return status;
}

static dn_status listen_for(const dn_device_heap *asked, int *listener)
{
    struct sockaddr_un address;
    socklen_t bytes = address_of(&address, asked->first, (int)getpid());
    *listener = new_socket();
    if (*listener < 0 || bind(*listener, (const struct sockaddr *)&address, bytes) != 0 ||
        listen(*listener, asked->n) != 0)
        return socket_failed("no socket of", asked->rank);
    return DN_OK;
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
    size_t n_here = ((size_t)asked->n - (size_t)device + (size_t)n_devices - 1) / (size_t)n_devices;
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
    return asked->n > 1 ? asked->meet(asked->context) : DN_OK;
}

dn_status dn_gpu_map_heap(const dn_device_heap *asked, ptrdiff_t *distance)
{
    int listener = -1, descriptors[DN_MAX_RANKS], device = 0;
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
                                     .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
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
    dn_status status = asked->n > 1 ? listen_for(asked, &listener) : DN_OK;
    if (status == DN_OK)
        status = fill_heap(h, asked, &how, listener, descriptors);
    for (int rank = 0; rank < asked->n; rank++)
        if (descriptors[rank] >= 0)
            close(descriptors[rank]);
    if (listener >= 0)
        close(listener);
    return status == DN_OK && asked->n > 1 ? try_peers(h, asked) : status;
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
            (void)h->calls.unmap(h->at + (CUdeviceptr)rank * h->bytes, h->bytes);
        if (h->at)
            (void)h->calls.give_range_back(h->at, h->bytes * (size_t)h->n);
        free(h);
        return;
    }
}
