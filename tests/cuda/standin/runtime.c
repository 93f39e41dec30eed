/* The stand-in's memory, streams and events. */
#include "cuda_runtime_api.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, bytes)   ((void)(p), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(p, bytes) ((void)(p), (void)(bytes))
#endif

typedef struct task {
    struct task *next;
    void (*run)(void *own); /* NULL: waits for the event's place */
    void (*free_own)(void *own);
    void *own;
    cudaStream_t awaited;
    uint64_t place;
} task;

struct standin_stream {
    struct standin_stream *before, *after; /* of this thread, in the order they were made */
    task *first, *last;
    uint64_t n_queued, n_run;
};

struct standin_event {
    cudaStream_t stream;
    uint64_t place;
    bool asked;
};

static _Thread_local cudaStream_t oldest, newest;
static _Thread_local uint64_t random_state;
static _Thread_local cudaError_t last_error;

/* After an illegal address nothing that was queued is done any more. A kernel that does not end: what CUDA
 * would wait for in other calls, and at the end of the process, is waited for here, too. */
static bool dead, hung;

static void wait_as_cuda_does(void)
{
    while (hung)
        pause();
}

__attribute__((destructor)) static void clear_up(void)
{
    wait_as_cuda_does();
}

cudaError_t standin_failed(cudaError_t error)
{
    last_error = error;
    dead = dead || error == cudaErrorIllegalAddress;
    return error;
}

bool standin_fails(const char *fault)
{
    static int n;
    const char *text = getenv("DIONODE_STANDIN_FAULT"), *rank = getenv("LOCAL_RANK");
    const char *of = text ? strchr(text, '@') : NULL;
    size_t length = strlen(fault);
    if (!text || strncmp(text, fault, length) != 0 || text[length] != ':' ||
        (of && atoi(of + 1) != (rank ? atoi(rank) : 0)))
        return false;
    return ++n == atoi(text + length + 1);
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorInvalidValue:
        return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
        return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
        return "cudaErrorNoDevice";
    case cudaErrorInvalidConfiguration:
        return "cudaErrorInvalidConfiguration";
    case cudaErrorDevicesUnavailable:
        return "cudaErrorDevicesUnavailable";
    case cudaErrorNotReady:
        return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
        return "cudaErrorIllegalAddress";
    }
    return "unknown";
}

const char *cudaGetErrorString(cudaError_t error)
{
    return "an error of the stand-in";
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 0; /* is asked for where there is none */
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

static int of_process;
static _Thread_local int current;

static int n_gpus(void)
{
    const char *text = getenv("DIONODE_STANDIN_GPUS");
    return text ? atoi(text) : 1;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = n_gpus();
    return standin_fails("driver") ? cudaErrorInsufficientDriver
           : standin_fails("gpu")  ? cudaErrorNoDevice
                                   : cudaSuccess;
}

static bool is_started_anew(void)
{
    const char *restart = getenv("DIONODE_RESTART");
    return restart && atoi(restart) > 0;
}

cudaError_t cudaSetDevice(int device)
{
    const char *fault = getenv("DIONODE_STANDIN_FAULT"), *of = fault ? strchr(fault, '@') : NULL;
    if (device < 0 || device >= n_gpus())
        return standin_failed(cudaErrorInvalidValue);
    if (fault && strncmp(fault, "lost:", 5) == 0 && is_started_anew() && device == (of ? atoi(of + 1) : 0))
        return standin_failed(cudaErrorDevicesUnavailable);
    of_process = current = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *about, int device)
{
    *about = (struct cudaDeviceProp){.name = "stand-in",
                                     .totalGlobalMem =
                                         (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE)};
    return cudaSuccess;
}

/* Of no machine: buses end at ff. */
cudaError_t cudaDeviceGetPCIBusId(char *address, int bytes, int device)
{
    snprintf(address, (size_t)bytes, "DEAD:%02X:00.0", device);
    return cudaSuccess;
}

/* Neighbours reach each other, pairs of them over NVLink. */
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    *can = device - peer == 1 || peer - device == 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetP2PAttribute(int *value, enum cudaDeviceP2PAttr name, int device, int peer)
{
    *value = device / 2 == peer / 2;
    return cudaSuccess;
}

/* DIONODE_STANDIN_ROOM: bytes that are free. */
cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    const char *room = getenv("DIONODE_STANDIN_ROOM");
    *total = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    *available = room ? (size_t)strtoull(room, NULL, 10) : standin_fails("room") ? (size_t)1 << 30 : *total / 2;
    return cudaSuccess;
}

/* ---- memory ---- */

/* What cudaMalloc gives is aligned so. */
enum { ALIGN = 256 };

typedef struct allocation {
    struct allocation *next;
    char *mapped, *memory, *end; /* the page without access begins less than ALIGN behind the end */
    size_t mapped_bytes;
    bool on_device;
} allocation;

static allocation *allocations;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void note(allocation *a)
{
    pthread_mutex_lock(&lock);
    a->next = allocations;
    allocations = a;
    pthread_mutex_unlock(&lock);
}

static void *take(size_t bytes, bool on_device)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    allocation *a = malloc(sizeof *a);
    if (!a || rounded < bytes)
        return free(a), NULL;
    size_t room = (rounded + page - 1) / page * page;
    char *mapped = mmap(NULL, room + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return free(a), NULL;
    if (room > 0 && mprotect(mapped, room, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapped, room + page);
        return free(a), NULL;
    }
    char *memory = mapped + room - rounded;
    memset(memory, 0xff, rounded); /* not-a-number */
    ASAN_POISON_MEMORY_REGION(memory + bytes, rounded - bytes);
    *a = (allocation){.mapped = mapped,
                      .memory = memory,
                      .end = memory + bytes,
                      .mapped_bytes = room + page,
                      .on_device = on_device};
    note(a);
    return memory;
}

/* NULL if there is none. */
static allocation *forget(void *memory)
{
    allocation *a = NULL;
    pthread_mutex_lock(&lock);
    for (allocation **at = &allocations; *at && !a; at = a ? at : &(*at)->next)
        if ((*at)->memory == memory) {
            a = *at;
            *at = a->next;
        }
    pthread_mutex_unlock(&lock);
    return a;
}

static cudaError_t give_back(void *memory)
{
    wait_as_cuda_does();
    if (dead)
        return cudaErrorIllegalAddress;
    allocation *a = forget(memory);
    if (!a)
        return memory ? standin_failed(cudaErrorInvalidValue) : cudaSuccess;
    ASAN_UNPOISON_MEMORY_REGION(a->mapped, a->mapped_bytes);
    munmap(a->mapped, a->mapped_bytes);
    free(a);
    return cudaSuccess;
}

void standin_register(void *memory, size_t bytes, bool on_device)
{
    allocation *a = malloc(sizeof *a);
    if (!a)
        abort();
    *a = (allocation){.memory = memory, .end = (char *)memory + bytes, .on_device = on_device};
    note(a);
}

void standin_unregister(void *memory)
{
    free(forget(memory));
}

cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned flags)
{
    standin_register(memory, bytes, false);
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *memory)
{
    standin_unregister(memory);
    return cudaSuccess;
}

void *standin_guarded(size_t bytes)
{
    return take(bytes, true);
}

void standin_release(void *memory)
{
    (void)give_back(memory);
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    *out = standin_fails("memory") ? NULL : take(bytes, true);
    return *out ? cudaSuccess : standin_failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void *memory)
{
    return give_back(memory);
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
    *out = standin_fails("memory") ? NULL : take(bytes, false);
    return *out ? cudaSuccess : standin_failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *memory)
{
    return give_back(memory);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *out, const void *p)
{
    *out = (cudaPointerAttributes){.type = cudaMemoryTypeUnregistered, .hostPointer = (void *)(uintptr_t)p};
    pthread_mutex_lock(&lock);
    for (const allocation *a = allocations; a; a = a->next)
        if ((const char *)p >= a->memory && (const char *)p <= a->end) {
            out->type = a->on_device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
            out->devicePointer = out->hostPointer;
            break;
        }
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

/* ---- streams ---- */

static bool is_order(const char *name)
{
    const char *text = getenv("DIONODE_CUDA_ORDER");
    return strcmp(text ? text : "rising", name) == 0;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    if (current != of_process)
        return standin_failed(cudaErrorInvalidValue);
    cudaStream_t q = calloc(1, sizeof *q);
    if (!q)
        return standin_failed(cudaErrorMemoryAllocation);
    q->before = newest;
    *(newest ? &newest->after : &oldest) = q;
    newest = *out = q;
    return cudaSuccess;
}

static void push(cudaStream_t q, task t)
{
    task *queued = malloc(sizeof *queued);
    if (!queued)
        abort();
    *queued = t;
    *(q->last ? &q->last->next : &q->first) = queued;
    q->last = queued;
    q->n_queued++;
}

void standin_queue(cudaStream_t stream, void (*run)(void *), void (*free_own)(void *), void *own)
{
    push(stream, (task){.run = run, .free_own = free_own, .own = own});
}

static bool ready(cudaStream_t q)
{
    return q->first && (q->first->run || q->first->awaited->n_run >= q->first->place);
}

/* A stream whose next task may run. There is one while a place is waited for, which was recorded before that,
 * unless a kernel hangs. */
static cudaStream_t choose(void)
{
    bool falling = is_order("falling"), shuffled = is_order("shuffled");
    uint64_t n = 0;
    cudaStream_t chosen = NULL;
    for (cudaStream_t q = falling ? newest : oldest; q; q = falling ? q->before : q->after) {
        if (!ready(q))
            continue;
        if (!shuffled)
            return q;
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        if ((random_state >> 33) % ++n == 0)
            chosen = q;
    }
    return chosen;
}

/* False if it hangs. */
static bool run_until(cudaStream_t stream, uint64_t place)
{
    while (stream->n_run < place) {
        cudaStream_t q = choose();
        if (!q)
            return false;
        task *t = q->first;
        if (t->run && !dead)
            t->run(t->own);
        if (t->free_own)
            t->free_own(t->own);
        q->first = t->next;
        if (!q->first)
            q->last = NULL;
        q->n_run++;
        free(t);
    }
    return true;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    bool done = run_until(stream, stream->n_queued);
    return dead ? cudaErrorIllegalAddress : done ? cudaSuccess : standin_failed(cudaErrorNotReady);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    if (!run_until(stream, stream->n_queued))
        wait_as_cuda_does();
    *(stream->before ? &stream->before->after : &oldest) = stream->after;
    *(stream->after ? &stream->after->before : &newest) = stream->before;
    free(stream);
    return cudaSuccess;
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    *out = calloc(1, sizeof **out);
    return *out ? cudaSuccess : standin_failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    *event = (struct standin_event){.stream = stream, .place = stream->n_queued};
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    if (event->stream)
        push(stream, (task){.awaited = event->stream, .place = event->place});
    return cudaSuccess;
}

/* Does not do what it is asked about for the first time: an event passes when somebody waits for it, or for a
 * stream. */
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    bool passed = !event->stream || event->stream->n_run >= event->place ||
                  (event->asked && run_until(event->stream, event->place));
    event->asked = true;
    return dead ? cudaErrorIllegalAddress : passed ? cudaSuccess : standin_failed(cudaErrorNotReady);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return cudaSuccess;
}

/* ---- work ---- */

static void run_illegal(void *own)
{
    (void)own;
    dead = true;
}

bool standin_launch_goes_wrong(cudaStream_t stream)
{
    if (standin_fails("illegal")) {
        standin_queue(stream, run_illegal, NULL, NULL);
        return true;
    }
    if (!standin_fails("hang") && (is_started_anew() || !standin_fails("lost")))
        return false;
    hung = true;
    fprintf(stderr, "stand-in: a kernel that does not end\n");
    push(stream, (task){.awaited = stream, .place = UINT64_MAX});
    return true;
}

typedef struct copying {
    void *to;
    const void *from;
    int value;
    size_t bytes;
} copying;

static void run_copy(void *own)
{
    const copying *c = own;
    memcpy(c->to, c->from, c->bytes);
}

static void run_set(void *own)
{
    const copying *c = own;
    memset(c->to, c->value, c->bytes);
}

static cudaError_t queue_copy(cudaStream_t stream, void (*run)(void *), copying c)
{
    copying *own = malloc(sizeof *own);
    if (!own)
        return standin_failed(cudaErrorMemoryAllocation);
    *own = c;
    standin_queue(stream, run, free, own);
    return cudaSuccess;
}

/* Of pageable memory in the call, behind all that was queued. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    cudaPointerAttributes of_to, of_from;
    (void)cudaPointerGetAttributes(&of_to, to);
    (void)cudaPointerGetAttributes(&of_from, from);
    if (standin_fails("copy"))
        return standin_failed(cudaErrorInvalidValue);
    if (of_to.type == cudaMemoryTypeUnregistered || of_from.type == cudaMemoryTypeUnregistered) {
        if (!run_until(stream, stream->n_queued))
            wait_as_cuda_does();
        if (!dead)
            memcpy(to, from, bytes);
        return dead ? cudaErrorIllegalAddress : cudaSuccess;
    }
    return queue_copy(stream, run_copy, (copying){.to = to, .from = from, .bytes = bytes});
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    return queue_copy(stream, run_set, (copying){.to = to, .value = value, .bytes = bytes});
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *context)
{
    standin_queue(stream, function, NULL, context);
    return cudaSuccess;
}
